//! Starts a program up to its first instruction in two ways: by the kernel, with a raw execve, and by our loader.
//!
//! Both children are forked by the same process and are stopped before anything else, so that they are equal at the start.
#![allow(unsafe_code, reason = "forks; calls execve raw")]

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::unistd::{ForkResult, fork, pipe2};

use crate::Command;
use crate::arch;
use crate::arguments::Arguments;

use super::breakpoint::{Reached, run_to};
use super::memory::Memory;
use super::streams::Streams;
use super::tracee::{Event, Running, Stop, Stopped};

/// The result of starting a program.
#[derive(Debug)]
pub enum Started {
    /// Stopped before its first instruction.
    Stopped(Stopped),
    /// Refused with an errno, and the reason if we know it.
    Refused {
        /// The errno.
        errno: i32,
        /// Our error's text; empty for the kernel.
        reason: String,
    },
    /// Killed after the point of no return.
    Killed {
        /// The signal.
        signal: i32,
        /// Our error's text; empty for the kernel.
        reason: String,
    },
}

const NOT_STARTED: i32 = 125;

/// Starts a program by execve, and tries `paths` in order like execvp.
///
/// # Errors
///
/// The errors of fork(2), ptrace(2) and wait(2). A refusal by execve is not an error, but a [`Started`].
pub fn by_kernel(paths: &[CString], arguments: &Arguments) -> Result<Started, Errno> {
    by_kernel_with(paths, arguments, None)
}

/// The same with other standard streams, in a new process group.
///
/// # Errors
///
/// As [`by_kernel`].
pub fn by_kernel_with(
    paths: &[CString],
    arguments: &Arguments,
    streams: Option<&Streams>,
) -> Result<Started, Errno> {
    let (argv, envp) = (pointers(&arguments.argv), pointers(&arguments.envp));
    let (running, report) = child(streams, || {
        let mut best = libc::ENOENT;
        for path in paths {
            // SAFETY: terminated strings in terminated arrays.
            unsafe {
                libc::syscall(
                    libc::SYS_execve,
                    path.as_ptr(),
                    argv.as_ptr(),
                    envp.as_ptr(),
                )
            };
            let errno = Errno::last_raw();
            if !crate::search::goes_on(errno) {
                return (errno, 0, String::new());
            }
            if errno == libc::EACCES || best == libc::ENOENT {
                best = errno;
            }
        }
        (best, 0, String::new())
    })?;
    to_first_instruction(running, report)
}

/// Starts the program of an open descriptor, by execveat(2) as fexecve(3) calls it, with other standard streams if they
/// are given.
///
/// # Errors
///
/// As [`by_kernel`].
pub fn by_kernel_at(
    descriptor: RawFd,
    arguments: &Arguments,
    streams: Option<&Streams>,
) -> Result<Started, Errno> {
    let (argv, envp) = (pointers(&arguments.argv), pointers(&arguments.envp));
    let (running, report) = child(streams, || {
        // SAFETY: terminated strings in terminated arrays.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                descriptor,
                c"".as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        (Errno::last_raw(), 0, String::new())
    })?;
    to_first_instruction(running, report)
}

/// Runs from the start of the child to the end of execve.
fn to_first_instruction(running: Running, report: OwnedFd) -> Result<Started, Errno> {
    let stopped = match expect_stop(running, report)? {
        Ok(stopped) => stopped,
        Err(started) => return Ok(started),
    };
    // From the event to the end of the system call: no instruction runs, but then the registers are final.
    let event = stopped.to_syscall()?.wait()?;
    match event {
        Event::Stopped(stopped, Stop::Syscall) => Ok(Started::Stopped(stopped)),
        _ => Err(Errno::EIO),
    }
}

/// Starts a program by `command`.
///
/// # Errors
///
/// As [`by_kernel`]; our refusals are not errors either.
pub fn by_us(command: &Command) -> Result<Started, Errno> {
    by_us_with(command, None)
}

/// The same with other standard streams, in a new process group.
///
/// # Errors
///
/// As [`by_us`].
pub fn by_us_with(command: &Command, streams: Option<&Streams>) -> Result<Started, Errno> {
    started_by_us(command, streams, || ())
}

/// The same, but the program is killed when this process ends, even if this process calls execve before that.
///
/// # Errors
///
/// As [`by_us`].
pub fn debuggee(command: &Command) -> Result<Started, Errno> {
    started_by_us(command, None, || {
        // If this fails, the user must end the program by hand.
        let _ = set_pdeathsig(Signal::SIGKILL);
    })
}

fn started_by_us(
    command: &Command,
    streams: Option<&Streams>,
    setup: impl Fn(),
) -> Result<Started, Errno> {
    let (running, report) = child(streams, || {
        setup();
        let error = match command.prepare() {
            Ok(prepared) => prepared.exec(),
            Err(error) => error,
        };
        (
            error.raw_os_error(),
            error.signal().unwrap_or(0),
            error.to_string(),
        )
    })?;
    past_last_row(running, report)
}

/// Starts a program by a command that loads it with this crate, such as `supplant run`; execve starts the command first.
/// The base of later mappings, which only an exec chooses again, is then different from that of this process.
///
/// # Errors
///
/// As [`by_kernel`]. If the command ends instead, that is a refusal, without an errno if execve did not cause it.
pub fn by_us_after_exec(command: &CStr, arguments: &Arguments) -> Result<Started, Errno> {
    let (argv, envp) = (pointers(&arguments.argv), pointers(&arguments.envp));
    let (running, report) = child(None, || {
        // SAFETY: a terminated string and strings in terminated arrays.
        unsafe { libc::execve(command.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
        (Errno::last_raw(), 0, String::new())
    })?;
    past_last_row(running, report)
}

/// Runs from the start of the child until nothing of the loader is left.
fn past_last_row(mut running: Running, report: OwnedFd) -> Result<Started, Errno> {
    loop {
        match running.wait()? {
            Event::Stopped(stopped, Stop::Syscall) => match entry_after_last_row(&stopped)? {
                Some(entry) => return to_entry(stopped, entry),
                None => running = stopped.to_syscall()?,
            },
            Event::Stopped(stopped, _) => running = stopped.to_syscall()?,
            Event::Exited(_) => return Ok(read_report(report)),
            Event::Killed(signal) => {
                return Ok(Started::Killed {
                    signal,
                    reason: String::new(),
                });
            }
        }
    }
}

/// Runs the few remaining instructions, including the last munmap.
fn to_entry(stopped: Stopped, entry: u64) -> Result<Started, Errno> {
    match run_to(stopped, entry)? {
        Reached::Stopped(stopped) => Ok(Started::Stopped(stopped)),
        Reached::Exited(_) | Reached::Killed(_) => Err(Errno::EIO),
    }
}

/// Forks a child that stops, then runs `body` when it is continued, and reports its result: errno, signal, text.
fn child(
    streams: Option<&Streams>,
    body: impl FnOnce() -> (i32, i32, String),
) -> Result<(Running, OwnedFd), Errno> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: the caller has one thread, or allocates nothing that another thread holds: glibc's malloc survives fork.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(reader);
            let led = streams.map_or(Ok(()), Streams::lead);
            let traced = led
                .and_then(|()| ptrace::traceme())
                .and_then(|()| raise(Signal::SIGSTOP));
            let (errno, signal, text) = match traced {
                Ok(()) => body(),
                Err(errno) => (errno as i32, 0, "ptrace".to_owned()),
            };
            let mut file = File::from(writer);
            let _ = file.write_all(format!("{errno} {signal} {text}").as_bytes());
            // SAFETY: ends the child without running the exit handlers of the parent.
            unsafe { libc::_exit(NOT_STARTED) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            match Running::child(child).wait()? {
                Event::Stopped(stopped, _) => {
                    stopped.set_options()?;
                    Ok((stopped.to_syscall()?, reader))
                }
                Event::Exited(_) | Event::Killed(_) => Err(Errno::EPERM),
            }
        }
    }
}

/// Runs to the exec event; any other result is how the process ended instead.
fn expect_stop(mut running: Running, report: OwnedFd) -> Result<Result<Stopped, Started>, Errno> {
    loop {
        match running.wait()? {
            Event::Stopped(stopped, Stop::Exec) => return Ok(Ok(stopped)),
            Event::Stopped(stopped, Stop::Signal(signal)) => running = stopped.cont(signal)?,
            Event::Stopped(stopped, _) => running = stopped.to_syscall()?,
            Event::Exited(_) => return Ok(Err(read_report(report))),
            Event::Killed(signal) => {
                return Ok(Err(Started::Killed {
                    signal,
                    reason: String::new(),
                }));
            }
        }
    }
}

fn read_report(report: OwnedFd) -> Started {
    let mut text = String::new();
    // SAFETY: the descriptor is ours alone.
    let mut file = unsafe { File::from_raw_fd(report.into_raw_fd()) };
    let _ = file.read_to_string(&mut text);
    let mut fields = text.splitn(3, ' ');
    let mut number = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .unwrap_or(0)
    };
    let (errno, signal) = (number(), number());
    let reason = fields.next().unwrap_or_default().to_owned();
    match signal {
        0 => Started::Refused { errno, reason },
        signal => Started::Killed { signal, reason },
    }
}

/// The new program's first instruction, if the stop is in the runner and no row of the table is left.
fn entry_after_last_row(stopped: &Stopped) -> Result<Option<u64>, Errno> {
    let registers = stopped.registers()?;
    let memory = Memory::of(stopped.pid())?;
    Ok(arch::entry_after_last_row(&registers, |address| {
        memory.word(address)
    }))
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|string| string.as_ptr())
        .chain([ptr::null()])
        .collect()
}
