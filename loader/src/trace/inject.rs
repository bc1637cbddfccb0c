//! What only the process itself can ask: system calls made in a stopped process, its registers restored afterwards.

use nix::errno::Errno;

use crate::arch::trace::{SYSCALL, result, stack_pointer, with_call};
use crate::maps::Mapping;
use crate::snapshot::{Snapshot, Value};

use super::memory::Memory;
use super::tracee::Stopped;

/// Asks everything. The bytes that the answers are written to lie far below the stack pointer, where a program has
/// nothing; the snapshot's memory is taken before.
pub(super) fn ask(
    stopped: Stopped,
    mappings: &[Mapping],
    snapshot: &mut Snapshot,
) -> Result<Stopped, Errno> {
    let memory = Memory::of(stopped.pid())?;
    let Some(instruction) = syscall_instruction(mappings, &memory) else {
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
    for (key, option) in PRCTLS {
        let answer = asking.call(libc::SYS_prctl, [option as u64, 0, 0, 0, 0, 0])?;
        snapshot.set(key, Value::Text(answer.to_string()));
    }
    let brk = asking.call(libc::SYS_brk, [0; 6])?;
    snapshot.set("heap.brk", Value::Address(brk as u64));
    Ok(asking.stopped)
}

/// A stopped process with what is needed to put calls into it.
struct Asking {
    stopped: Stopped,
    memory: Memory,
    instruction: u64,
    buffer: u64,
}

impl Asking {
    fn signals(&mut self, snapshot: &mut Snapshot) -> Result<(), Errno> {
        for signal in (1..=64).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP)
        {
            self.call(
                libc::SYS_rt_sigaction,
                [signal as u64, 0, self.buffer, 8, 0, 0],
            )?;
            let [handler, flags, restorer, mask] = [0, 8, 16, 24].map(|at| self.answer(at));
            let text = format!(
                "handler {handler:#x} flags {flags:#x} restorer {restorer:#x} mask {mask:#x}"
            );
            snapshot.set(format!("signal.{signal:02}"), Value::Text(text));
        }
        self.call(libc::SYS_sigaltstack, [0, self.buffer, 0, 0, 0, 0])?;
        let [address, flags, size] = [0, 8, 16].map(|at| self.answer(at));
        let text = format!(
            "address {address:#x} flags {:#x} size {size:#x}",
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

    /// A word of what the last call wrote.
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

/// Options of prctl(2) that answer by their return value.
const PRCTLS: [(&str, i32); 7] = [
    ("process.dumpable", libc::PR_GET_DUMPABLE),
    ("process.keepcaps", libc::PR_GET_KEEPCAPS),
    ("process.securebits", libc::PR_GET_SECUREBITS),
    ("process.timer_slack", libc::PR_GET_TIMERSLACK),
    ("process.thp_disable", libc::PR_GET_THP_DISABLE),
    ("process.no_new_privs", libc::PR_GET_NO_NEW_PRIVS),
    ("process.mdwe", 66),
];

/// One that the vDSO has; it need not return, since one step is all that is made.
fn syscall_instruction(mappings: &[Mapping], memory: &Memory) -> Option<u64> {
    let vdso = mappings
        .iter()
        .find(|mapping| mapping.is_vdso() && mapping.permissions.execute)?;
    let mut code = vec![0; (vdso.range.end - vdso.range.start) as usize];
    if !memory.read(vdso.range.start, &mut code) {
        return None;
    }
    let at = code
        .windows(SYSCALL.len())
        .position(|window| window == SYSCALL)?;
    Some(vdso.range.start + at as u64)
}
