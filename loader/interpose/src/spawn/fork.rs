//! fork(2) with a pipe from the child to the parent that no other child inherits, or with shared memory if there is no descriptor
//! for one.
//!
//! A child that another thread forks while the pipe is open would inherit it; if that child continues without an exec, the
//! parent would wait until it ends. So a handler of pthread_atfork(3) makes the pipe just before the fork, and another one
//! closes the parent's copy of the child's end just after it, under a lock that every fork of this process takes there. A
//! lock around the fork would not work: a thread that waits for it in a handler may hold the locks of other handlers.
#![allow(unsafe_code, reason = "forks, with handlers")]

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::board::Board;
use super::lock::{lock, unlock};
use super::report::{Outcome, Report};

/// Both sides of a fork.
pub(crate) enum Forked {
    Child(Report),
    Parent(libc::pid_t, Outcome),
}

/// The pipe of this thread's fork.
#[derive(Clone, Copy)]
enum Pipe {
    /// No pipe: the caller's own fork.
    None,
    Wanted,
    Open {
        reader: RawFd,
        writer: RawFd,
    },
    /// There is no descriptor for one.
    Failed(Errno),
}

thread_local! {
    static PIPE: Cell<Pipe> = const { Cell::new(Pipe::None) };
    /// The shared memory instead of a pipe. Dropped by hand: a destructor would have to be registered in a handler.
    static BOARD: Cell<Option<ManuallyDrop<Board>>> = const { Cell::new(None) };
}

/// Makes every fork of this process run the handlers. Called once, before the program starts.
pub(crate) fn watch_forks() {
    // SAFETY: the handlers take and release a lock, and open and close descriptors of this library.
    unsafe { libc::pthread_atfork(Some(before), Some(after_in_parent), Some(after_in_child)) };
}

unsafe extern "C" fn before() {
    lock();
    if let Pipe::Wanted = PIPE.get() {
        PIPE.set(match pipe2(OFlag::O_CLOEXEC) {
            Ok((reader, writer)) => Pipe::Open {
                reader: reader.into_raw_fd(),
                writer: writer.into_raw_fd(),
            },
            Err(errno) => {
                BOARD.set(Board::new().ok().map(ManuallyDrop::new));
                Pipe::Failed(errno)
            }
        });
    }
}

unsafe extern "C" fn after_in_parent() {
    if let Pipe::Open { writer, .. } = PIPE.get() {
        // SAFETY: opened by `before`; here it is the child's end.
        unsafe { libc::close(writer) };
    }
    unlock();
}

unsafe extern "C" fn after_in_child() {
    if let Pipe::Open { reader, .. } = PIPE.get() {
        // SAFETY: opened by `before`; here it is the parent's end.
        unsafe { libc::close(reader) };
    }
    unlock();
}

/// Forks. The child may do what a child of fork(3) may do.
///
/// # Safety
///
/// The child ends by an exec or by _exit(2).
pub(crate) unsafe fn fork() -> Result<Forked, Errno> {
    PIPE.set(Pipe::Wanted);
    // SAFETY: the caller's promise.
    let pid = unsafe { libc::fork() };
    let pipe = PIPE.replace(Pipe::None);
    match pipe {
        // SAFETY: opened by `before`, and no other code has it.
        Pipe::Open { writer, .. } if pid == 0 => Ok(Forked::Child(Report::Pipe(
            unsafe { OwnedFd::from_raw_fd(writer) }.into(),
        ))),
        Pipe::Open { reader, .. } => {
            // SAFETY: as above.
            let outcome = Outcome::Pipe(unsafe { OwnedFd::from_raw_fd(reader) }.into());
            Ok(Forked::Parent(Errno::result(pid)?, outcome))
        }
        Pipe::None | Pipe::Wanted | Pipe::Failed(_) => with_board(pid, pipe),
    }
}

/// There is no pipe. Without a board either, or with one that the parent cannot read, there must be no child: a child that exists
/// ends.
fn with_board(pid: libc::pid_t, pipe: Pipe) -> Result<Forked, Errno> {
    let board = BOARD.take().map(ManuallyDrop::into_inner);
    match (board, pid) {
        (Some(board), 0) if board.is_admitted() => Ok(Forked::Child(Report::Board(board))),
        // SAFETY: ends the child.
        (_, 0) => unsafe { libc::_exit(super::child::NOT_STARTED) },
        (Some(board), 1..) if board.admit(pid) => {
            Ok(Forked::Parent(pid, Outcome::Board(board, pid)))
        }
        (_, -1) => Err(Errno::last()),
        (_, child) => {
            let _ = super::wait(child);
            Err(match pipe {
                Pipe::Failed(errno) => errno,
                // The handlers have not run: the library was not initialised.
                _ => Errno::EAGAIN,
            })
        }
    }
}
