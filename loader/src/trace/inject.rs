//! What only the process itself can ask: system calls made in a stopped process, its registers restored afterwards.

use nix::errno::Errno;

use crate::arch::trace::{SYSCALL, result, stack_pointer, with_call};
use crate::maps::Mapping;
use crate::snapshot::{Snapshot, Value};

use super::memory::Memory;
use super::tracee::{Event, Stopped};

/// Asks everything. The bytes that the answers are written to lie far below the stack pointer, where a program has
/// nothing; the snapshot's memory is taken before.
pub(super) fn ask(
    mut stopped: Stopped,
    mappings: &[Mapping],
    snapshot: &mut Snapshot,
) -> Result<Stopped, Errno> {
    let memory = Memory::of(stopped.pid())?;
    let Some(instruction) = syscall_instruction(mappings, &memory) else {
        return Ok(stopped);
    };
    let buffer = (stack_pointer(&stopped.registers()?) - 0x800) & !15;
    for signal in (1..=64).filter(|&signal| signal != libc::SIGKILL && signal != libc::SIGSTOP) {
        let arguments = [signal as u64, 0, buffer, 8, 0, 0];
        stopped = call(stopped, instruction, libc::SYS_rt_sigaction, arguments)?.0;
        let [handler, flags, restorer, mask] =
            [0, 8, 16, 24].map(|at| memory.word(buffer + at).unwrap_or(u64::MAX));
        let text =
            format!("handler {handler:#x} flags {flags:#x} restorer {restorer:#x} mask {mask:#x}");
        snapshot.set(format!("signal.{signal:02}"), Value::Text(text));
    }
    stopped = call(
        stopped,
        instruction,
        libc::SYS_sigaltstack,
        [0, buffer, 0, 0, 0, 0],
    )?
    .0;
    let stack: Vec<u64> = [0, 8, 16]
        .map(|at| memory.word(buffer + at).unwrap_or(u64::MAX))
        .into();
    snapshot.set(
        "signal.stack",
        Value::Text(format!(
            "address {:#x} flags {:#x} size {:#x}",
            stack[0],
            stack[1] & 0xffff_ffff,
            stack[2]
        )),
    );
    stopped = call(
        stopped,
        instruction,
        libc::SYS_get_robust_list,
        [0, buffer, buffer + 8, 0, 0, 0],
    )?
    .0;
    snapshot.set(
        "thread.robust_list",
        Value::Address(memory.word(buffer).unwrap_or(u64::MAX)),
    );
    stopped = call(
        stopped,
        instruction,
        libc::SYS_prctl,
        [libc::PR_GET_TID_ADDRESS as u64, buffer, 0, 0, 0, 0],
    )?
    .0;
    snapshot.set(
        "thread.tid_address",
        Value::Address(memory.word(buffer).unwrap_or(u64::MAX)),
    );
    for (key, option) in PRCTLS {
        let (next, answer) = call(
            stopped,
            instruction,
            libc::SYS_prctl,
            [option as u64, 0, 0, 0, 0, 0],
        )?;
        stopped = next;
        snapshot.set(key, Value::Text(answer.to_string()));
    }
    let (stopped, brk) = call(stopped, instruction, libc::SYS_brk, [0; 6])?;
    snapshot.set("heap.brk", Value::Address(brk as u64));
    Ok(stopped)
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

fn call(
    stopped: Stopped,
    instruction: u64,
    number: i64,
    arguments: [u64; 6],
) -> Result<(Stopped, i64), Errno> {
    let before = stopped.registers()?;
    stopped.set_registers(with_call(before, instruction, number, arguments))?;
    match stopped.step()?.wait()? {
        Event::Stopped(stopped, _) => {
            let answer = result(&stopped.registers()?);
            stopped.set_registers(before)?;
            Ok((stopped, answer))
        }
        Event::Exited(_) | Event::Killed(_) => Err(Errno::ESRCH),
    }
}
