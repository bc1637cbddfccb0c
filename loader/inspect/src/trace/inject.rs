//! Makes system calls inside a stopped process, for facts that only it can query, and then restores its registers.

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::arch::{SYSCALL, result, stack_pointer, with_call};
use crate::snapshot::symbols::Symbols;
use crate::snapshot::{Snapshot, Value};

use super::memory::Memory;
use super::tracee::Stopped;

/// Makes all queries. The answers are written far below the stack pointer, where a program has no data; the snapshot's
/// memory is recorded before that.
pub(super) fn ask(stopped: Stopped, snapshot: &mut Snapshot) -> Result<Stopped, Errno> {
    let memory = Memory::of(stopped.pid())?;
    let Some(instruction) = syscall_instruction(snapshot, &memory) else {
        return Ok(stopped);
    };
    let buffer = (stack_pointer(&stopped.registers()?) - 0x800) & !15;
    let mut asking = Asking {
        stopped,
        memory,
        instruction,
        buffer,
    };
    asking.signals(snapshot)?;
    asking.thread(snapshot)?;
    asking.timers(snapshot)?;
    asking.controls(snapshot)?;
    let brk = asking.call(libc::SYS_brk, [0; 6])?;
    snapshot.set("heap.brk", Value::Address(brk as u64));
    Ok(asking.stopped)
}

/// A stopped process with the data for injecting calls.
struct Asking {
    stopped: Stopped,
    memory: Memory,
    instruction: u64,
    buffer: u64,
}

impl Asking {
    fn signals(&mut self, snapshot: &mut Snapshot) -> Result<(), Errno> {
        let symbols = Symbols::new(snapshot);
        for signal in (1..=64).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP)
        {
            self.call(
                libc::SYS_rt_sigaction,
                [signal as u64, 0, self.buffer, 8, 0, 0],
            )?;
            let [handler, flags, restorer, mask] = [0, 8, 16, 24].map(|at| self.answer(at));
            let [handler, restorer] = [handler, restorer].map(|address| symbols.name(address));
            let text =
                format!("handler {handler} flags {flags:#x} restorer {restorer} mask {mask:#x}");
            snapshot.set(format!("signal.{}", signal_name(signal)), Value::Text(text));
        }
        self.call(libc::SYS_sigaltstack, [0, self.buffer, 0, 0, 0, 0])?;
        let [address, flags, size] = [0, 8, 16].map(|at| self.answer(at));
        let text = format!(
            "address {} flags {:#x} size {size:#x}",
            symbols.name(address),
            flags as u32
        );
        snapshot.set("signal.stack", Value::Text(text));
        Ok(())
    }

    fn thread(&mut self, snapshot: &mut Snapshot) -> Result<(), Errno> {
        self.call(
            libc::SYS_get_robust_list,
            [0, self.buffer, self.buffer + 8, 0, 0, 0],
        )?;
        snapshot.set("thread.robust_list", Value::Address(self.answer(0)));
        let option = libc::PR_GET_TID_ADDRESS as u64;
        self.call(libc::SYS_prctl, [option, self.buffer, 0, 0, 0, 0])?;
        snapshot.set("thread.tid_address", Value::Address(self.answer(0)));
        Ok(())
    }

    /// Interval timers: their intervals, and whether they run; the remaining time is never the same.
    fn timers(&mut self, snapshot: &mut Snapshot) -> Result<(), Errno> {
        for (number, name) in ["real", "virtual", "prof"].iter().enumerate() {
            self.call(
                libc::SYS_getitimer,
                [number as u64, self.buffer, 0, 0, 0, 0],
            )?;
            let [seconds, micros, left, left_micros] = [0, 8, 16, 24].map(|at| self.answer(at));
            let runs = left != 0 || left_micros != 0;
            let text = format!("interval {seconds}.{micros:06} running {runs}");
            snapshot.set(format!("timer.{name}"), Value::Text(text));
        }
        Ok(())
    }

    /// The results of prctl(2), in its return value or in an `int`, and the I/O priority.
    fn controls(&mut self, snapshot: &mut Snapshot) -> Result<(), Errno> {
        for (key, option) in PRCTLS {
            let answer = self.call(libc::SYS_prctl, [option as u64, 0, 0, 0, 0, 0])?;
            snapshot.set(key, Value::Text(answer.to_string()));
        }
        for (key, option) in PRCTLS_BY_POINTER {
            self.memory.clear_word(self.buffer);
            let answer = self.call(libc::SYS_prctl, [option as u64, self.buffer, 0, 0, 0, 0])?;
            let text = format!("{} ({answer})", self.answer(0) as u32);
            snapshot.set(key, Value::Text(text));
        }
        let own_process = 1;
        let answer = self.call(libc::SYS_ioprio_get, [own_process, 0, 0, 0, 0, 0])?;
        snapshot.set("process.io_priority", Value::Text(answer.to_string()));
        Ok(())
    }

    /// A word that the last call wrote.
    fn answer(&self, at: u64) -> u64 {
        self.memory.word(self.buffer + at).unwrap_or(u64::MAX)
    }

    fn call(&mut self, number: i64, arguments: [u64; 6]) -> Result<i64, Errno> {
        let before = self.stopped.registers()?;
        self.stopped
            .set_registers(with_call(before, self.instruction, number, arguments))?;
        self.stopped.step()?;
        let answer = result(&self.stopped.registers()?);
        self.stopped.set_registers(before)?;
        Ok(answer)
    }
}

/// Options of prctl(2) with the answer in the return value.
const PRCTLS: [(&str, i32); 9] = [
    ("process.dumpable", libc::PR_GET_DUMPABLE),
    ("process.keepcaps", libc::PR_GET_KEEPCAPS),
    ("process.securebits", libc::PR_GET_SECUREBITS),
    ("process.timer_slack", libc::PR_GET_TIMERSLACK),
    ("process.thp_disable", libc::PR_GET_THP_DISABLE),
    ("process.no_new_privs", libc::PR_GET_NO_NEW_PRIVS),
    ("process.mdwe", PR_GET_MDWE),
    ("process.memory_merge", PR_GET_MEMORY_MERGE),
    ("process.machine_check_kill", libc::PR_MCE_KILL_GET),
];

/// Options of prctl(2) that write an `int`.
const PRCTLS_BY_POINTER: [(&str, i32); 3] = [
    ("process.death_signal", libc::PR_GET_PDEATHSIG),
    ("process.child_subreaper", libc::PR_GET_CHILD_SUBREAPER),
    ("process.time_stamp_counter", libc::PR_GET_TSC),
];

const PR_GET_MDWE: i32 = 66;
const PR_GET_MEMORY_MERGE: i32 = 68;

/// The name of a signal, such as `INT`; real-time signals have only numbers.
fn signal_name(number: i32) -> String {
    match Signal::try_from(number) {
        Ok(signal) => signal.as_str().trim_start_matches("SIG").to_owned(),
        Err(_) => format!("{number:02}"),
    }
}

/// A system call instruction in the vDSO; it does not need to return, because only one step is made.
fn syscall_instruction(snapshot: &Snapshot, memory: &Memory) -> Option<u64> {
    let vdso = snapshot
        .regions
        .iter()
        .find(|region| region.name == "[vdso]" && region.permissions.contains('x'))?;
    let mut code = vec![0; (vdso.end - vdso.start) as usize];
    if !memory.read(vdso.start, &mut code) {
        return None;
    }
    let at = code
        .windows(SYSCALL.len())
        .position(|window| window == SYSCALL)?;
    Some(vdso.start + at as u64)
}
