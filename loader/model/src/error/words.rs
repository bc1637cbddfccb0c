//! Numbers of causes in words.

use nix::errno::Errno;

use super::Role;

pub(super) fn path_text(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT => "no such file",
        Errno::ENOTDIR => "a component of the path is not a directory",
        Errno::EACCES => "no search permission for a directory of the path",
        Errno::ELOOP => "too many symbolic links",
        Errno::ENAMETOOLONG => "the name is too long",
        Errno::EBADF => "no such descriptor",
        other => other.desc(),
    }
}

pub(super) fn magic_text(found: [u8; 4], role: Role) -> String {
    let [a, b, c, d] = found;
    let what = match role {
        Role::Program => "neither an ELF file nor a script",
        Role::Interpreter => "not an ELF file",
    };
    format!("{what}: it starts with {a:02x} {b:02x} {c:02x} {d:02x}")
}

/// What else the linker and the kernel write, in parentheses.
pub(super) fn type_name(number: u16) -> &'static str {
    match number {
        0 => " (ET_NONE)",
        1 => " (ET_REL, an object file that is not linked)",
        4 => " (ET_CORE, a core dump)",
        _ => "",
    }
}
