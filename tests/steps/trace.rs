//! One attempt under a tracer, which counts its system calls and disturbs one of them.
#![allow(unsafe_code, reason = "forks, and sets a handler")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use support::system::{state, system_call};

use super::{
    CHILD_ENDED, Fault, MIXED, RAN, REFUSED, STARTS, TALLY, WAS_REFUSED, Way, starts_at, write,
};

/// Longer than any attempt takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Calls that the kernel does not refuse if their arguments are right, and the C library's own: a refusal that comes once, when
/// something is given back, leaves it. tests/faults.rs refuses them from the start.
const NEVER_REFUSED: [i64; 17] = [
    libc::SYS_brk,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_munmap,
    libc::SYS_recvfrom,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_wait4,
    libc::SYS_write,
];

/// An attempt and what was seen of it.
pub(super) struct Trace {
    pub(super) first: Pid,
    program: PathBuf,
    /// All that were seen, to be ended if they are left.
    tracees: BTreeSet<Pid>,
    fault: Fault,
    step: usize,
    counts: bool,
    pub(super) count: usize,
    /// The call at the step, and whether the loader's last code makes it.
    pub(super) call: i64,
    in_runner: bool,
    /// The tracee whose call is to be refused.
    refusing: Option<Pid>,
    before: Vec<String>,
    after: Option<Vec<String>>,
    pub(super) ending: Option<WaitStatus>,
}

impl Trace {
    pub(super) fn of(way: Way, fault: Fault, step: usize, program: &Path) -> Result<Self, Failed> {
        // SAFETY: the child has one thread; glibc's malloc can be used after fork.
        let first = match unsafe { libc::fork() } {
            0 => {
                let status = caller(way, program);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(status) }
            }
            child => Pid::from_raw(child),
        };
        let mut trace = Self {
            first,
            program: program.to_owned(),
            tracees: BTreeSet::from([first]),
            fault,
            step,
            counts: false,
            count: 0,
            call: -1,
            in_runner: false,
            refusing: None,
            before: Vec::new(),
            after: None,
            ending: None,
        };
        let followed = trace.follow();
        for tracee in &trace.tracees {
            if kill(*tracee, Signal::SIGKILL).is_ok() {
                let _ = waitpid(
                    *tracee,
                    Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD),
                );
            }
        }
        followed.map_err(|reason| format!("step {step}: {reason}"))?;
        Ok(trace)
    }

    fn follow(&mut self) -> Result<(), String> {
        let told = |errno: Errno| errno.to_string();
        let own = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        waitpid(self.first, Some(own)).map_err(told)?;
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_TRACEFORK
            | ptrace::Options::PTRACE_O_TRACEVFORK
            | ptrace::Options::PTRACE_O_TRACECLONE;
        ptrace::setoptions(self.first, options).map_err(told)?;
        ptrace::syscall(self.first, None).map_err(told)?;
        let started = Instant::now();
        while !self.tracees.is_empty() {
            // Only this thread's tracees and children.
            let status = match waitpid(None, Some(own | WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) if started.elapsed() > LIMIT => {
                    return Err("it hangs".to_owned());
                }
                Ok(WaitStatus::StillAlive) => {
                    // The next stop comes after microseconds.
                    std::thread::yield_now();
                    continue;
                }
                Ok(status) => status,
                Err(Errno::ECHILD) => break,
                Err(errno) => return Err(errno.to_string()),
            };
            let Some(pid) = status.pid() else { continue };
            self.tracees.insert(pid);
            let signal = match status {
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                    self.tracees.remove(&pid);
                    if pid == self.first {
                        self.ending = Some(status);
                    }
                    continue;
                }
                WaitStatus::PtraceSyscall(_) => {
                    if !self.at_call(pid) {
                        continue;
                    }
                    None
                }
                // A new tracee stops first.
                WaitStatus::Stopped(_, Signal::SIGSTOP) => {
                    let _ = kill(pid, Signal::SIGCONT);
                    None
                }
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => None,
            };
            // It may be gone meanwhile.
            let _ = ptrace::syscall(pid, signal);
        }
        Ok(())
    }

    /// Returns whether the tracee goes on under the tracer.
    fn at_call(&mut self, pid: Pid) -> bool {
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return true;
        };
        if self.refusing == Some(pid) {
            // The call was not made.
            if let Fault::Errno(errno) = self.fault {
                registers.rax = -i64::from(errno as i32) as u64;
                let _ = ptrace::setregs(pid, registers);
            }
            self.refusing = None;
            return true;
        }
        let is_entry = registers.rax as i64 == -i64::from(libc::ENOSYS);
        let call = registers.orig_rax as i64;
        // Another call may have this errno at its end; its number is then the one of the last entry, and counting it twice does
        // no harm but in the count.
        if !is_entry {
            return true;
        }
        match call {
            STARTS => {
                self.counts = true;
                self.before = of_process(pid);
            }
            WAS_REFUSED if pid == self.first => self.after = Some(of_process(pid)),
            // The command: see `run`.
            libc::SYS_openat if !self.counts && self.before.is_empty() && is_command(pid) => {
                self.counts = true;
            }
            _ => (),
        }
        if !self.counts || call == STARTS || call == WAS_REFUSED || self.after.is_some() {
            return true;
        }
        self.count += 1;
        if self.count != self.step {
            return true;
        }
        self.call = call;
        self.in_runner = is_runner(pid, registers.rip);
        self.disturb(pid, registers)
    }

    fn disturb(&mut self, pid: Pid, mut registers: libc::user_regs_struct) -> bool {
        match self.fault {
            Fault::Nothing => (),
            Fault::Errno(_) => {
                if self.in_runner
                    || !(NEVER_REFUSED.contains(&self.call) || is_of_malloc(&registers))
                {
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, registers);
                    self.refusing = Some(pid);
                }
            }
            Fault::Signal(signal) => {
                let _ = kill(pid, signal);
            }
            Fault::Write => {
                write(&self.program, &starts_at(1));
            }
            Fault::Detach => {
                let _ = ptrace::detach(pid, None);
                return false;
            }
        }
        true
    }

    pub(super) fn judge(&self, fault: Fault) -> Result<(), String> {
        let ending = self.ending.ok_or("it did not end")?;
        let counter = match ending {
            WaitStatus::Exited(_, RAN) => &TALLY.ran,
            WaitStatus::Exited(..) => &TALLY.refused,
            _ => &TALLY.ended,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        match (ending, fault) {
            (WaitStatus::Signaled(_, Signal::SIGKILL, _), Fault::Signal(Signal::SIGKILL)) => Ok(()),
            (WaitStatus::Exited(_, RAN), _) => self.compare(),
            // Another process was killed: the child, or the tracer of threads.
            (WaitStatus::Exited(_, REFUSED | CHILD_ENDED), Fault::Signal(Signal::SIGKILL)) => {
                self.compare()
            }
            // Once the file is mapped, only a link that few processes may set keeps writers away.
            (WaitStatus::Exited(_, MIXED | CHILD_ENDED), Fault::Write) if self.in_runner => Ok(()),
            (WaitStatus::Exited(_, REFUSED | 126 | 127), Fault::Errno(_) | Fault::Write)
                if !self.in_runner =>
            {
                self.compare()
            }
            (WaitStatus::Exited(_, CHILD_ENDED), Fault::Errno(_)) if self.in_runner => Ok(()),
            (WaitStatus::Signaled(_, Signal::SIGSEGV, _), Fault::Errno(_)) if self.in_runner => {
                Ok(())
            }
            _ => Err(format!("{ending:?}")),
        }
    }

    fn compare(&self) -> Result<(), String> {
        match &self.after {
            Some(after) if *after != self.before => {
                let gone = self.before.iter().filter(|line| !after.contains(line));
                let new = after.iter().filter(|line| !self.before.contains(line));
                let lines = gone
                    .map(|line| format!("- {line}"))
                    .chain(new.map(|line| format!("+ {line}")));
                Err(lines.collect::<Vec<_>>().join("\n"))
            }
            _ => Ok(()),
        }
    }
}

fn of_process(pid: Pid) -> Vec<String> {
    state(pid.as_raw() as u32)
}

/// The allocator crashes if its own calls fail without need.
fn is_of_malloc(registers: &libc::user_regs_struct) -> bool {
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
    match registers.orig_rax as i64 {
        libc::SYS_mmap => registers.rdi == 0 && registers.r10 & anonymous == anonymous,
        libc::SYS_mremap => registers.r10 == libc::MREMAP_MAYMOVE as u64,
        libc::SYS_mprotect => true,
        _ => false,
    }
}

/// Whether the loader's last code is at this address.
fn is_runner(pid: Pid, at: u64) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().any(|line| {
        let ends = line
            .split_once(' ')
            .and_then(|(range, _)| range.split_once('-'));
        let number = |text: &str| u64::from_str_radix(text, 16).unwrap_or(0);
        line.contains("memfd:supplant")
            && ends.is_some_and(|(start, end)| (number(start)..number(end)).contains(&at))
    })
}

fn is_command(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("dist/supplant"))
}

fn caller(way: Way, program: &Path) -> i32 {
    // A signal with a handler.
    extern "C" fn handle(_: i32) {}
    let handler: extern "C" fn(i32) = handle;
    // SAFETY: a handler that does nothing.
    unsafe { libc::signal(libc::SIGWINCH, handler as libc::sighandler_t) };
    if ptrace::traceme().is_err() || nix::sys::signal::raise(Signal::SIGSTOP).is_err() {
        return CHILD_ENDED;
    }
    let status = way(program);
    if status == REFUSED {
        let _ = system_call(WAS_REFUSED, [0]);
    }
    status
}
