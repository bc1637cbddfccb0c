//! The exit statuses of the commands.

/// A wrong command line.
pub(crate) const WRONG_COMMAND_LINE: i32 = 125;
/// `run`: the program may not or cannot be run.
pub(crate) const CANNOT_RUN: i32 = 126;
/// `run`: the program or its interpreter is not found.
pub(crate) const NOT_FOUND: i32 = 127;

/// `compare` and `diff`: every difference is known.
pub(crate) const EQUAL: i32 = 0;
/// `compare` and `diff`: something differs.
pub(crate) const DIFFERENT: i32 = 1;
/// `compare` and `diff`: the two could not be compared.
pub(crate) const NOT_COMPARED: i32 = 2;

/// `check`: all files would start.
pub(crate) const STARTS: i32 = 0;
/// `check`: a file would not start.
pub(crate) const DOES_NOT_START: i32 = 1;
/// `check`: a file could not be checked.
pub(crate) const NOT_CHECKED: i32 = 2;

/// `plan`: it would start.
pub(crate) const PLANNED: i32 = 0;
/// `plan`: it would be refused.
pub(crate) const REFUSED: i32 = 1;
/// `plan`: it could not be planned.
pub(crate) const NOT_PLANNED: i32 = 2;

/// `layout`: nothing is mapped at the requested address.
pub(crate) const NOTHING_THERE: i32 = 1;

/// `manual`: a file could not be written.
#[cfg(feature = "manual")]
pub(crate) const FAILED: i32 = 1;

/// The status for a program that is refused with this errno, as in a shell.
pub(crate) fn of_refusal(errno: i32) -> i32 {
    if errno == libc::ENOENT {
        NOT_FOUND
    } else {
        CANNOT_RUN
    }
}
