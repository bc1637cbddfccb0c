//! x86-64 under ptrace: the names of the registers, how a system call is injected, and how the runner is recognised.

/// The general registers.
pub(crate) type Registers = libc::user_regs_struct;

/// The trap flag and the resume flag: set by the processor if a tracer steps or has set a breakpoint.
const FLAGS_OF_DEBUGGING: u64 = 0x1_0100;
/// Carry, parity, auxiliary carry, zero, sign, overflow.
const FLAGS_OF_ARITHMETIC: u64 = 0x8d5;
/// The bit that is always set, and the interrupt flag.
const FLAGS_OF_USERS: u64 = 0x202;
const ROW_NEXT: u64 = 56;
const PAGE: u64 = 0x1000;

/// The offsets in `struct user` of the first debug register and of the control register, and the value of the latter for a
/// breakpoint on execution at the address in the former.
pub(crate) const BREAKPOINT_ADDRESS: usize = std::mem::offset_of!(libc::user, u_debugreg);
pub(crate) const BREAKPOINT_CONTROL: usize = BREAKPOINT_ADDRESS + 7 * 8;
pub(crate) const BREAKPOINT_ON: u64 = 1;

/// The instruction pointer.
pub(crate) fn instruction(registers: &Registers) -> u64 {
    registers.rip
}

/// The stack pointer.
pub(crate) fn stack_pointer(registers: &Registers) -> u64 {
    registers.rsp
}

/// The registers in the order of gdb's remote protocol, as far as every stub for x86-64 has them: sixteen general ones and
/// the instruction pointer of 8 bytes, flags and six selectors of 4. The others are zero.
pub(crate) fn registers_of_gdb(bytes: &[u8]) -> Option<Registers> {
    const WIDE: usize = 17 * 8;
    const NARROW: usize = 7 * 4;
    let (wide, rest) = bytes.split_at_checked(WIDE)?;
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let wide = wide.chunks(8).map(number);
    let narrow = rest.get(..NARROW)?.chunks(4).map(number);
    let all: Vec<u64> = wide.chain(narrow).collect();
    Some(Registers {
        rax: all[0],
        rbx: all[1],
        rcx: all[2],
        rdx: all[3],
        rsi: all[4],
        rdi: all[5],
        rbp: all[6],
        rsp: all[7],
        r8: all[8],
        r9: all[9],
        r10: all[10],
        r11: all[11],
        r12: all[12],
        r13: all[13],
        r14: all[14],
        r15: all[15],
        rip: all[16],
        eflags: all[17],
        cs: all[18],
        ss: all[19],
        ds: all[20],
        es: all[21],
        fs: all[22],
        gs: all[23],
        orig_rax: 0,
        fs_base: 0,
        gs_base: 0,
    })
}

/// Whether [`registers_of_gdb`] fills it.
pub(crate) fn is_shown_by_gdb(key: &str) -> bool {
    !["reg.tls", "reg.gs_base", "reg.syscall"].contains(&key)
}

/// Whether the flags show that registers were cleared by xor: zero and parity flag in addition to those of a new program.
pub(crate) fn are_flags_of_last_jump(flags: u64) -> bool {
    const FLAGS_OF_CLEARING: u64 = 0x44;
    flags & !FLAGS_OF_CLEARING == FLAGS_OF_USERS
}

/// Each register by its key. Registers that every processor has in some form have the same key on each: `reg.ip`, `reg.sp`,
/// `reg.flags`, `reg.tls` and `reg.syscall`, the number of the system call; the others have the processor's names. Any
/// register may contain an address. `ran`: the flags come from the last comparison, also in r11,
/// where the last system call saved them.
pub(crate) fn values(registers: &Registers, ran: bool) -> Vec<(&'static str, u64)> {
    let settled = |flags: u64| {
        let are_flags = flags & !FLAGS_OF_ARITHMETIC == FLAGS_OF_USERS;
        if ran && are_flags {
            FLAGS_OF_USERS
        } else {
            flags
        }
    };
    [
        ("reg.ip", registers.rip),
        ("reg.sp", registers.rsp),
        ("reg.rax", registers.rax),
        ("reg.rbx", registers.rbx),
        ("reg.rcx", registers.rcx),
        ("reg.rdx", registers.rdx),
        ("reg.rsi", registers.rsi),
        ("reg.rdi", registers.rdi),
        ("reg.rbp", registers.rbp),
        ("reg.r8", registers.r8),
        ("reg.r9", registers.r9),
        ("reg.r10", registers.r10),
        ("reg.r11", settled(registers.r11)),
        ("reg.r12", registers.r12),
        ("reg.r13", registers.r13),
        ("reg.r14", registers.r14),
        ("reg.r15", registers.r15),
        ("reg.flags", settled(registers.eflags & !FLAGS_OF_DEBUGGING)),
        ("reg.cs", registers.cs),
        ("reg.ss", registers.ss),
        ("reg.ds", registers.ds),
        ("reg.es", registers.es),
        ("reg.fs", registers.fs),
        ("reg.gs", registers.gs),
        ("reg.tls", registers.fs_base),
        ("reg.gs_base", registers.gs_base),
        ("reg.syscall", registers.orig_rax),
    ]
    .to_vec()
}

/// The floating-point and vector state, in XSAVE's layout: control and status words, and how many bytes of registers are
/// not in their initial state. The bits for components in use are ignored: a processor may set them for unused components.
pub(crate) fn xstate_values(area: &[u8]) -> Vec<(&'static str, u64)> {
    let word = |at: usize, size: usize| {
        let bytes = area.get(at..at + size).unwrap_or_default();
        let bytes = bytes.iter().rev();
        bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let registers = area.get(32..416).unwrap_or_default();
    let rest = area.get(576..).unwrap_or_default();
    let dirty = |bytes: &[u8]| bytes.iter().filter(|byte| **byte != 0).count() as u64;
    vec![
        ("fpu.control", word(0, 2)),
        ("fpu.status", word(2, 2)),
        ("fpu.tags", word(4, 1)),
        ("fpu.opcode", word(6, 2)),
        ("fpu.instruction", word(8, 8)),
        ("fpu.operand", word(16, 8)),
        ("fpu.mxcsr", word(24, 4)),
        ("fpu.x87_and_sse_bytes", dirty(registers)),
        ("fpu.extended_bytes", dirty(rest)),
    ]
}

/// The registers for a system call by the `syscall` instruction at `instruction`.
pub(crate) fn with_call(
    mut registers: Registers,
    instruction: u64,
    number: i64,
    arguments: [u64; 6],
) -> Registers {
    registers.rip = instruction;
    registers.rax = number as u64;
    // Prevents the restart of a system call.
    registers.orig_rax = u64::MAX;
    [
        registers.rdi,
        registers.rsi,
        registers.rdx,
        registers.r10,
        registers.r8,
        registers.r9,
    ] = arguments;
    registers
}

/// The number of a system call, at its start.
pub(crate) fn call_number(registers: &Registers) -> u64 {
    registers.orig_rax
}

/// The arguments of a system call, at its start.
pub(crate) fn call_arguments(registers: &Registers) -> [u64; 6] {
    [
        registers.rdi,
        registers.rsi,
        registers.rdx,
        registers.r10,
        registers.r8,
        registers.r9,
    ]
}

/// The result of a system call.
pub(crate) fn result(registers: &Registers) -> i64 {
    registers.rax as i64
}

/// The bytes of the instruction that makes a system call.
pub(crate) const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// The new program's first instruction, if the process is in the runner (whose stack pointer is its own page) at the
/// last row. The slots at the start of the page show it.
pub(crate) fn entry_after_last_row(
    registers: &Registers,
    word: impl Fn(u64) -> Option<u64>,
) -> Option<u64> {
    let page = registers.rsp;
    let in_runner = page & (PAGE - 1) == 0 && page <= registers.rip && registers.rip < page + PAGE;
    if !in_runner || word(registers.rbx + ROW_NEXT)? & !1 != 0 {
        return None;
    }
    let [sp, target, last_call] = [word(page)?, word(page + 8)?, word(page + 16)?];
    if last_call == 0 {
        Some(target)
    } else {
        word(sp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_of_gdb_are_in_its_order_whatever_follows_them() {
        let wide = (1..=17_u64).flat_map(u64::to_le_bytes);
        let narrow = (18..=24_u32).flat_map(u32::to_le_bytes);
        let mut bytes: Vec<u8> = wide.chain(narrow).collect();
        let registers = registers_of_gdb(&bytes).expect("all are there");
        let Registers {
            rax,
            rbx,
            rsp,
            r15,
            rip,
            ..
        } = registers;
        assert_eq!([rax, rbx, rsp, r15, rip], [1, 2, 8, 16, 17]);
        assert_eq!([registers.eflags, registers.cs, registers.gs], [18, 19, 24]);
        bytes.push(0);
        assert!(registers_of_gdb(&bytes).is_some());
        assert!(registers_of_gdb(&bytes[..bytes.len() - 2]).is_none());
    }
}
