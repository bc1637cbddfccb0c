//! Finds a program by its name, as execvp(3) does.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// The directories that are searched if there is no `PATH` (glibc's `_CS_PATH`).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The paths to try, in order: the name itself if it has a slash or is empty, otherwise one for each directory of `path`. An
/// empty directory is the working directory.
pub fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<OsString> {
    if program.is_empty() || program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|directory| {
            let mut candidate = OsStr::from_bytes(directory).to_owned();
            if !directory.is_empty() {
                candidate.push("/");
            }
            candidate.push(program);
            candidate
        })
        .collect()
}

/// Whether the search continues after this errno: a file is missing, or may not be executed.
pub fn goes_on(errno: i32) -> bool {
    [
        libc::ENOENT,
        libc::ENOTDIR,
        libc::EACCES,
        libc::ESTALE,
        libc::ENODEV,
        libc::ETIMEDOUT,
    ]
    .contains(&errno)
}

/// The text as a C string; `None` if it contains a NUL.
pub(crate) fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_slash_is_looked_for_in_every_directory() {
        let list = candidates(OsStr::new("ls"), Some(OsStr::new("/bin::/usr/bin")));
        assert_eq!(list, ["/bin/ls", "ls", "/usr/bin/ls"]);
        assert_eq!(
            candidates(OsStr::new("ls"), None),
            ["/bin/ls", "/usr/bin/ls"]
        );
        assert_eq!(
            candidates(OsStr::new("./ls"), Some(OsStr::new("/bin"))),
            ["./ls"]
        );
        assert_eq!(candidates(OsStr::new(""), Some(OsStr::new("/bin"))), [""]);
    }
}
