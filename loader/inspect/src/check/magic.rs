//! Recognises a file that is neither an ELF file nor a script by its first bytes, with a hint for it.

/// The first bytes, the kind of file, the hint.
const KNOWN: [(&[u8], &str, &str); 15] = [
    (
        b"\xef\xbb\xbf#!",
        "a byte order mark is before the #!",
        "save it without a byte order mark: sed -i '1s/^\\xef\\xbb\\xbf//'",
    ),
    (
        b"MZ",
        "a program for Windows or DOS",
        "wine runs it; with binfmt_misc, execve starts wine itself",
    ),
    (
        b"\xcf\xfa\xed\xfe",
        "a program for macOS (Mach-O)",
        "it needs macOS",
    ),
    (
        b"\xce\xfa\xed\xfe",
        "a program for macOS (Mach-O, 32-bit)",
        "it needs macOS",
    ),
    (
        b"\xca\xfe\xba\xbe",
        "a Java class, or a universal program for macOS",
        "java runs classes",
    ),
    (
        b"\0asm",
        "a WebAssembly module",
        "wasmtime and others run it; with binfmt_misc, execve starts them itself",
    ),
    (
        b"PK\x03\x04",
        "a zip archive, such as a jar",
        "unpack it; `java -jar` runs a jar",
    ),
    (b"\x1f\x8b", "compressed with gzip", "unpack it: gunzip"),
    (b"BZh", "compressed with bzip2", "unpack it: bunzip2"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it: unxz"),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed with zstd",
        "unpack it: unzstd",
    ),
    (
        b"!<arch>\n",
        "an archive of object files, or a Debian package",
        "link against it, or install it",
    ),
    (b"BC\xc0\xde", "LLVM bitcode", "compile it: clang"),
    (b"\x7fE", "a damaged ELF file", "copy or download it again"),
    (b"%PDF", "a PDF document", ""),
];

/// The kind of file and the hint; `None` if the first bytes are not known.
pub(super) fn known(prefix: &[u8], size: u64) -> Option<(&'static str, &'static str)> {
    if size == 0 {
        return Some((
            "the file is empty",
            "a shell treats an empty file as a script; write or copy it again",
        ));
    }
    if let Some(&(_, what, hint)) = KNOWN.iter().find(|(magic, ..)| prefix.starts_with(magic)) {
        return Some((what, hint));
    }
    let text = &prefix[..prefix.len().min(size as usize)];
    let is_text =
        |&byte: &u8| byte >= b' ' && byte != 0x7f || matches!(byte, b'\n' | b'\r' | b'\t' | 0x1b);
    if text.iter().all(is_text) {
        let late = text
            .split(|&byte| byte == b'\n')
            .skip(1)
            .any(|line| line.starts_with(b"#!"));
        return Some(if late || text.trim_ascii_start().starts_with(b"#!") {
            (
                "text, whose #! is not at the very start",
                "make #! the first two bytes",
            )
        } else {
            (
                "text with no #! line; a shell would run it with sh",
                "write #!/bin/sh, or another interpreter, into the first line",
            )
        });
    }
    None
}
