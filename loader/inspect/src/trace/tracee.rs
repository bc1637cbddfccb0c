//! Traced processes as types: a process is either running or stopped, and each type has only the valid calls.
//!
//! Neither can be copied; using one consumes it. A tracee that is dropped is killed and reaped; an attached process is
//! released instead.
#![allow(unsafe_code, reason = "PTRACE_GETREGSET has no safe wrapper")]

use std::mem::{self, MaybeUninit};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::arch::Registers;
use crate::snapshot::Program;

use super::released::Released;

/// A traced process that is running.
#[derive(Debug)]
pub struct Running(Tracee);

/// A traced process that is stopped.
#[derive(Debug)]
pub struct Stopped(Tracee);

#[derive(Debug)]
struct Tracee {
    pid: Pid,
    /// Whether it is another process's child, which continues to live.
    attached: bool,
    /// Whether instructions of the new program have run.
    ran: bool,
    /// The program, if it is known.
    program: Program,
}

/// The next event of a running tracee.
#[derive(Debug)]
pub enum Event {
    /// It stopped.
    Stopped(Stopped, Stop),
    /// It ended with this status.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
}

/// The reason for a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A signal is about to be delivered.
    Signal(i32),
    /// execve succeeded.
    Exec,
    /// At the start or the end of a system call.
    Syscall,
    /// Another ptrace event.
    Event(i32),
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if self.attached {
            let _ = ptrace::detach(self.pid, None);
            return;
        }
        let _ = kill(self.pid, Signal::SIGKILL);
        while let Ok(status) = waitpid(self.pid, Some(WaitPidFlag::__WALL)) {
            if matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                break;
            }
        }
    }
}

impl Tracee {
    fn kill_without_waiting(self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        mem::forget(self);
    }
}

fn wait(pid: Pid) -> Result<WaitStatus, Errno> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => (),
            result => return result,
        }
    }
}

impl Running {
    /// A child that asks to be traced, or a child of a tracee.
    pub(super) fn child(pid: Pid) -> Self {
        Self(Tracee {
            pid,
            attached: false,
            ran: false,
            program: Program::default(),
        })
    }

    /// Waits for its next event.
    ///
    /// # Errors
    ///
    /// The errors of wait(2).
    pub fn wait(self) -> Result<Event, Errno> {
        let status = wait(self.0.pid)?;
        Ok(self.event(status))
    }

    /// Converts a status of wait(2) for this process.
    pub(super) fn event(self, status: WaitStatus) -> Event {
        let stop = match status {
            WaitStatus::Exited(_, status) => {
                mem::forget(self);
                return Event::Exited(status);
            }
            WaitStatus::Signaled(_, signal, _) => {
                mem::forget(self);
                return Event::Killed(signal as i32);
            }
            WaitStatus::Stopped(_, signal) => Stop::Signal(signal as i32),
            WaitStatus::PtraceSyscall(_) => Stop::Syscall,
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) => Stop::Exec,
            WaitStatus::PtraceEvent(_, _, event) => Stop::Event(event),
            _ => Stop::Event(0),
        };
        Event::Stopped(Stopped(self.0), stop)
    }

    /// Its process or thread id.
    pub(super) fn pid(&self) -> i32 {
        self.0.pid.as_raw()
    }

    /// Kills it without waiting: another part waits for it.
    pub(super) fn kill_without_waiting(self) {
        self.0.kill_without_waiting();
    }
}

impl Stopped {
    /// Stops a process that is not our child; it continues when this is dropped.
    ///
    /// # Errors
    ///
    /// The errors of ptrace(2): `ESRCH` if there is no such process, `EPERM` if it may not be traced.
    pub fn attach(pid: i32) -> Result<Self, Errno> {
        let pid = Pid::from_raw(pid);
        ptrace::seize(pid, ptrace::Options::empty())?;
        let tracee = Tracee {
            pid,
            attached: true,
            ran: true,
            program: Program::default(),
        };
        ptrace::interrupt(pid)?;
        match Running(tracee).wait()? {
            Event::Stopped(stopped, _) => Ok(stopped),
            Event::Exited(_) | Event::Killed(_) => Err(Errno::ESRCH),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.0.pid.as_raw()
    }

    /// Whether it is our own child, whose state may be changed.
    pub(super) fn is_child(&self) -> bool {
        !self.0.attached
    }

    /// Whether instructions of the new program have run.
    pub(super) fn has_run(&self) -> bool {
        self.0.ran
    }

    /// Records that instructions of the new program have run.
    pub(super) fn mark_as_run(&mut self) {
        self.0.ran = true;
    }

    /// Releases it, stopped as by `SIGSTOP`: it continues when a debugger continues it, or after `SIGCONT`.
    ///
    /// # Errors
    ///
    /// The errors of ptrace(2): `ESRCH` if it was killed.
    pub fn leave_stopped(self) -> Result<(), Errno> {
        ptrace::detach(self.0.pid, Signal::SIGSTOP)?;
        mem::forget(self);
        Ok(())
    }

    /// The program, if it is known from a source other than its auxiliary vector.
    pub(super) fn program(&self) -> &Program {
        &self.0.program
    }

    /// Sets the program.
    pub(super) fn set_program(&mut self, program: Program) {
        self.0.program = program;
    }

    pub(super) fn set_options(&self) -> Result<(), Errno> {
        use ptrace::Options;
        let options = Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::setoptions(self.0.pid, options)
    }

    /// Continues it, with a signal if there is one to deliver.
    ///
    /// # Errors
    ///
    /// The errors of ptrace(2): `ESRCH` if it was killed.
    pub fn cont(self, signal: i32) -> Result<Running, Errno> {
        ptrace::cont(self.0.pid, Signal::try_from(signal).ok())?;
        Ok(Running(self.0))
    }

    /// Runs it to the start or end of the next system call.
    ///
    /// # Errors
    ///
    /// The errors of ptrace(2), except `ESRCH`: a process that was killed runs to its end.
    pub fn to_syscall(self) -> Result<Running, Errno> {
        self.resume_to_syscall(0)
    }

    /// The same, with a signal if there is one to deliver. A process that was killed meanwhile runs to its end.
    pub(super) fn resume_to_syscall(self, signal: i32) -> Result<Running, Errno> {
        match ptrace::syscall(self.0.pid, Signal::try_from(signal).ok()) {
            Ok(()) | Err(Errno::ESRCH) => Ok(Running(self.0)),
            Err(errno) => Err(errno),
        }
    }

    /// From now on, its new processes and threads are traced too.
    pub(super) fn follow_children(&self) -> Result<(), Errno> {
        use ptrace::Options;
        let options = Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE;
        ptrace::setoptions(self.0.pid, options)
    }

    /// Kills it without waiting: another part waits for it.
    pub(super) fn kill_without_waiting(self) {
        self.0.kill_without_waiting();
    }

    /// The message of an event: the id of a new process or thread.
    pub(super) fn event_message(&self) -> Result<i32, Errno> {
        Ok(ptrace::getevent(self.0.pid)? as i32)
    }

    /// Releases it: it continues without a tracer.
    ///
    /// # Errors
    ///
    /// The errors of ptrace(2): `ESRCH` if it was killed.
    pub fn release(self) -> Result<Released, Errno> {
        ptrace::detach(self.0.pid, None)?;
        let pid = self.0.pid;
        mem::forget(self);
        Ok(Released::new(pid))
    }

    /// Runs one instruction, and waits for its end.
    ///
    /// # Errors
    ///
    /// `ESRCH`: the process ended with this instruction, or was killed before.
    pub fn step(&mut self) -> Result<(), Errno> {
        ptrace::step(self.0.pid, None)?;
        match wait(self.0.pid)? {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => Err(Errno::ESRCH),
            _ => Ok(()),
        }
    }

    /// Runs one instruction, with a signal if there is one to deliver.
    pub(super) fn step_with(self, signal: i32) -> Result<Running, Errno> {
        ptrace::step(self.0.pid, Signal::try_from(signal).ok())?;
        Ok(Running(self.0))
    }

    /// Its general registers.
    pub(crate) fn registers(&self) -> Result<Registers, Errno> {
        ptrace::getregs(self.0.pid)
    }

    pub(crate) fn set_registers(&self, registers: Registers) -> Result<(), Errno> {
        ptrace::setregs(self.0.pid, registers)
    }

    /// Sets or removes a hardware breakpoint, which changes no memory. An error means that none is available.
    pub(super) fn set_breakpoint(&self, address: Option<u64>) -> Result<(), Errno> {
        use crate::arch::{BREAKPOINT_ADDRESS, BREAKPOINT_CONTROL, BREAKPOINT_ON};
        if let Some(address) = address {
            self.write_user(BREAKPOINT_ADDRESS, address)?;
        }
        self.write_user(
            BREAKPOINT_CONTROL,
            if address.is_some() { BREAKPOINT_ON } else { 0 },
        )
    }

    fn write_user(&self, offset: usize, value: u64) -> Result<(), Errno> {
        // SAFETY: changes a register of the tracee only.
        Errno::result(unsafe { libc::ptrace(libc::PTRACE_POKEUSER, self.pid(), offset, value) })
            .map(drop)
    }

    /// Its floating-point and vector registers, in the layout of XSAVE.
    pub(crate) fn xstate(&self) -> Result<Vec<u8>, Errno> {
        const NT_X86_XSTATE: usize = 0x202;
        let mut bytes = vec![0_u8; 16 * 1024];
        let mut vector = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        // SAFETY: the kernel writes at most `iov_len` bytes to the buffer, and the number of bytes to the struct.
        let result = unsafe {
            libc::ptrace(
                libc::PTRACE_GETREGSET,
                self.pid(),
                NT_X86_XSTATE,
                &raw mut vector,
            )
        };
        Errno::result(result)?;
        bytes.truncate(vector.iov_len);
        Ok(bytes)
    }

    /// Address, size and signature of the restartable-sequences area; zeros without one.
    pub(crate) fn rseq(&self) -> Result<(u64, u32, u32), Errno> {
        const PTRACE_GET_RSEQ_CONFIGURATION: i32 = 0x420f;
        #[repr(C)]
        struct Configuration {
            address: u64,
            size: u32,
            signature: u32,
            flags: u32,
            padding: u32,
        }
        let mut configuration = MaybeUninit::<Configuration>::zeroed();
        let size = size_of::<Configuration>();
        // Uses the system call, because C libraries differ in the type of the request.
        // SAFETY: the kernel writes at most `size` bytes to the struct.
        let result = unsafe {
            libc::syscall(
                libc::SYS_ptrace,
                PTRACE_GET_RSEQ_CONFIGURATION,
                self.pid(),
                size,
                configuration.as_mut_ptr(),
            )
        };
        Errno::result(result)?;
        // SAFETY: all fields are numbers, for which zeros are valid.
        let configuration = unsafe { configuration.assume_init() };
        Ok((
            configuration.address,
            configuration.size,
            configuration.signature,
        ))
    }
}
