//! wordexp(3): runs the commands in the words, and passes words without commands to the C library.
#![allow(
    unsafe_code,
    reason = "a symbol that replaces one of the C library and calls it"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::Read as _;
use std::mem;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::command::{SHELL, become_shell, connect};
use super::substitution::{Piece, parse, quoted, split};
use crate::family::{environment, variable};
use crate::log::{Event, log};
use crate::memory::Memory;
use crate::next::next;
use crate::settings::settings;
use crate::spawn::{default_signals, set_mask, start, wait};

const NO_COMMANDS: c_int = 1 << 2;
const SHOW_ERRORS: c_int = 1 << 4;
/// Its results: no memory, a command that is not allowed, a syntax error.
const NO_SPACE: c_int = 1;
const COMMAND_FORBIDDEN: c_int = 4;
const SYNTAX: c_int = 5;

/// # Safety
///
/// That of wordexp(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn wordexp(words: *const c_char, result: *mut c_void, flags: c_int) -> c_int {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(words) }.to_bytes();
    let has_command = text.contains(&b'`') || text.windows(2).any(|pair| pair == b"$(");
    if flags & NO_COMMANDS != 0 || !has_command {
        // SAFETY: the arguments of the same function.
        return unsafe { by_c_library(words, result, flags) };
    }
    let Some(pieces) = parse(text) else {
        if settings().strict {
            return COMMAND_FORBIDDEN;
        }
        let reason = "words that this library does not parse";
        log(Event::Kernel, c"wordexp", Some(&reason));
        // SAFETY: as above.
        return unsafe { by_c_library(words, result, flags) };
    };
    match without_commands(pieces, flags & SHOW_ERRORS != 0) {
        // SAFETY: as above, with other words.
        Ok(words) => unsafe { by_c_library(words.as_ptr(), result, flags) },
        Err(answer) => answer,
    }
}

/// The words, with commands replaced by their output.
fn without_commands(pieces: Vec<Piece>, show_errors: bool) -> Result<CString, c_int> {
    let separators = variable(c"IFS").map_or_else(|| b" \t\n".to_vec(), OsStringExt::into_vec);
    let mut words = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => words.extend(text),
            Piece::Command { command, .. } if command.is_empty() => (),
            Piece::Command {
                command,
                quoted: is_quoted,
            } => {
                let command = CString::new(command).map_err(|_| SYNTAX)?;
                let output = output(&command, show_errors)?;
                words.extend(if is_quoted {
                    quoted(&output)
                } else {
                    split(&output, &separators)
                });
            }
        }
    }
    // A string ends there in the C library too.
    words.retain(|&byte| byte != 0);
    CString::new(words).map_err(|_| SYNTAX)
}

/// The output of a command. If it fails, this may be a syntax error: the shell checks the syntax without running the
/// command.
fn output(command: &CStr, show_errors: bool) -> Result<Vec<u8>, c_int> {
    let (output, status) = run(c"-c", command, show_errors).map_err(|_| NO_SPACE)?;
    if status != 0 {
        let (_, status) = run(c"-nc", command, false).map_err(|_| NO_SPACE)?;
        if libc::WEXITSTATUS(status) != 0 {
            return Err(SYNTAX);
        }
    }
    Ok(output)
}

fn run(option: &CStr, command: &CStr, show_errors: bool) -> Result<(Vec<u8>, c_int), Errno> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let environment = without_separators();
    let pid = start(|report, mask| {
        default_signals(0);
        let connected = connect(report, &writer, libc::STDOUT_FILENO);
        if let Err(errno) = connected.and_then(|()| hide_errors(!show_errors)) {
            return errno;
        }
        set_mask(mask);
        become_shell(&[SHELL, option], command.as_ptr(), environment.as_ptr())
    })?;
    drop(writer);
    let mut output = Vec::new();
    // The bytes that were read before an error count.
    let _ = File::from(reader).read_to_end(&mut output);
    Ok((output, wait(pid)?))
}

/// glibc does not check what its caller's standard error is.
fn hide_errors(yes: bool) -> Result<(), Errno> {
    if !yes {
        return Ok(());
    }
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
    // SAFETY: takes no pointer.
    Errno::result(unsafe { libc::dup2(null.as_raw_fd(), libc::STDERR_FILENO) }).map(drop)
}

/// The environment without `IFS`, which a shell may take from it.
fn without_separators() -> Vec<*const c_char> {
    let memory = Memory::default();
    let entries = memory.pointers(environment().addr()).unwrap_or_default();
    let is_other = |entry: &usize| {
        let start = memory.string(*entry, 4);
        start.is_ok_and(|start| start.to_bytes() != b"IFS=")
    };
    let kept = entries.into_iter().filter(is_other);
    let pointers = kept.map(std::ptr::with_exposed_provenance);
    pointers.chain([std::ptr::null()]).collect()
}

/// # Safety
///
/// That of wordexp(3).
unsafe fn by_c_library(words: *const c_char, result: *mut c_void, flags: c_int) -> c_int {
    type Function = unsafe extern "C" fn(*const c_char, *mut c_void, c_int) -> c_int;
    let Some(address) = next(c"wordexp") else {
        return NO_SPACE;
    };
    // SAFETY: the C library's function of this name has this type.
    let function = unsafe { mem::transmute::<*mut c_void, Function>(address) };
    // SAFETY: the caller's promise.
    unsafe { function(words, result, flags) }
}
