//! x86-64: the runner that plays the table, and the few registers that Rust cannot reach.
//!
//! The runner is a template: slots and code in read-only data of the loader, copied into a page of their own, the slots
//! filled. There it needs no stack and writes no memory. It keeps its only state, the address of the current row, in
//! `rbx`, which no system call changes.
#![allow(unsafe_code, reason = "assembly")]

use std::arch::x86_64::{__cpuid, _xgetbv};
use std::arch::{asm, global_asm};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::machine::Machine;
use crate::sys::SignalAction;
use crate::table::{Call, Table};

pub(crate) const MACHINE: Machine = Machine::X86_64;

/// What the runner needs besides the table; the order is that of the slots in the template.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The stack pointer at the jump.
    pub(crate) sp: u64,
    /// Where to jump: the new program's first instruction, or [`find_syscall_return`]'s.
    pub(crate) target: u64,
    /// `rax`, `rdi` and `rsi` at the jump: zeros, or the last munmap.
    pub(crate) rax: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    /// The flags at the jump.
    flags: u64,
    /// The components of the floating-point and vector state that are put back to their initial state; 0 without XSAVE.
    xstate: u64,
    /// Whether there is a PKRU register.
    pkru: u64,
}

/// Interrupts on and the bit that is always set: the flags execve leaves.
const FLAGS: u64 = 0x202;
const XSTATE_PKRU: u64 = 1 << 9;

impl Slots {
    /// Jumps to `entry` and leaves the runner's page behind.
    pub(crate) fn jump(sp: u64, entry: u64) -> Self {
        Self {
            sp,
            target: entry,
            rax: 0,
            rdi: 0,
            rsi: 0,
            flags: FLAGS,
            xstate: xstate(),
            pkru: pkru(),
        }
    }

    /// Lets the munmap of `start..start + size`, the runner itself, be the last thing that happens, at `gadget` (see
    /// [`find_syscall_return`]), which returns to the address found at `sp`.
    pub(crate) fn unmap_and_return(sp: u64, gadget: u64, start: u64, size: u64) -> Self {
        let rax = libc::SYS_munmap as u64;
        Self {
            target: gadget,
            rax,
            rdi: start,
            rsi: size,
            ..Self::jump(sp, 0)
        }
    }

    fn words(self) -> [[u8; 8]; 8] {
        let words = [
            self.sp,
            self.target,
            self.rax,
            self.rdi,
            self.rsi,
            self.flags,
            self.xstate,
            self.pkru,
        ];
        words.map(u64::to_ne_bytes)
    }
}

/// Appends a runner's bytes, to be put at any address that is a multiple of 64.
pub(crate) fn runner(slots: &Slots, bytes: &mut Vec<u8>) {
    let words = slots.words();
    let slots = words.as_flattened();
    bytes.extend_from_slice(slots);
    bytes.extend_from_slice(&template()[slots.len()..]);
}

fn xstate() -> u64 {
    // OSXSAVE: the kernel has switched XSAVE on.
    if __cpuid(1).ecx & (1 << 27) == 0 {
        return 0;
    }
    // SAFETY: XGETBV exists where OSXSAVE is set.
    unsafe { _xgetbv(0) & !XSTATE_PKRU }
}

fn pkru() -> u64 {
    // OSPKE: the kernel has switched protection keys on.
    let has_leaf = __cpuid(0).eax >= 7;
    u64::from(has_leaf && __cpuid(7).ecx & (1 << 4) != 0)
}

unsafe extern "C" {
    static supplant_runner_start: [u8; 0];
    static supplant_runner_entry: [u8; 0];
    static supplant_runner_end: [u8; 0];
}

fn template() -> &'static [u8] {
    let start = (&raw const supplant_runner_start).cast::<u8>();
    let size = (&raw const supplant_runner_end).addr() - start.addr();
    // SAFETY: the labels enclose read-only data of this program.
    unsafe { std::slice::from_raw_parts(start, size) }
}

fn entry_offset() -> u64 {
    ((&raw const supplant_runner_entry).addr() - (&raw const supplant_runner_start).addr()) as u64
}

/// Leaves the old program for good: plays the table that starts at `first_row`.
///
/// # Safety
///
/// At `runner` there are a [`runner`]'s bytes, executable, and `first_row` starts a list of rows (see
/// [`crate::table`]); neither is unmapped by any of them, nor is what they point to before it is used. All signals are
/// blocked and no other thread runs.
pub(crate) unsafe fn play(runner: u64, first_row: u64) -> ! {
    // SAFETY: nothing of the old program runs after this jump; the runner uses no stack.
    unsafe {
        asm!(
            "mov rbx, {row}",
            // Away from the old stack, also for the kernel's question whether this is the alternate one.
            "mov rsp, {runner}",
            "jmp {entry}",
            row = in(reg) first_row,
            runner = in(reg) runner,
            entry = in(reg) runner + entry_offset(),
            options(noreturn)
        )
    }
}

// A row is eight words: the number of the call, its six arguments, and the address of the next row with the row's
// policy in bit 0: 1 when the call may fail.
global_asm!(
    ".pushsection .rodata.supplant_runner, \"a\", @progbits",
    ".balign 64",
    "supplant_runner_start:",
    // The slots, in the order of `Slots`.
    "10: .quad 0", // sp
    "11: .quad 0", // target
    "12: .quad 0", // rax
    "13: .quad 0", // rdi
    "14: .quad 0", // rsi
    "15: .quad 0", // flags
    "16: .quad 0", // xstate
    "17: .quad 0", // pkru
    // An area for XRSTOR in its standard form, or FXRSTOR: everything in its initial state. Both load MXCSR from here
    // (an area of zeros would unmask every exception), FXRSTOR the x87 control word too.
    ".balign 64",
    "18: .short 0x37f",
    ".zero 22",
    ".long 0x1f80",
    ".zero 548",
    "supplant_runner_entry:",
    // Once per row: the arguments, the call.
    "2: mov rax, [rbx]",
    "mov rdi, [rbx + 8]",
    "mov rsi, [rbx + 16]",
    "mov rdx, [rbx + 24]",
    "mov r10, [rbx + 32]",
    "mov r8, [rbx + 40]",
    "mov r9, [rbx + 48]",
    "syscall",
    "mov rbx, [rbx + 56]",
    // Results from -4095 to -1 are errors. Where one is allowed the bit makes no difference.
    "cmp rax, -4095",
    "jb 3f",
    "test bl, 1",
    "jz 9f",
    "3: and rbx, -2",
    "jnz 2b",
    // No row is left. Floating-point and vector registers: all components but PKRU to their initial state.
    "mov rax, [rip + 16b]",
    "test rax, rax",
    "jz 4f",
    "mov rdx, rax",
    "shr rdx, 32",
    "xrstor64 [rip + 18b]",
    "jmp 5f",
    "4: fxrstor64 [rip + 18b]",
    // PKRU has an initial value of the kernel's own: only key 0 has all rights.
    "5: cmp qword ptr [rip + 17b], 0",
    "je 6f",
    "xor ecx, ecx",
    "xor edx, edx",
    "mov eax, 0x55555554",
    "wrpkru",
    // The flags can only be popped; the slot serves as a stack. Nothing below changes them.
    "6: lea rsp, [rip + 15b]",
    "popfq",
    "mov rsp, [rip + 10b]",
    "mov rax, [rip + 12b]",
    "mov rdi, [rip + 13b]",
    "mov rsi, [rip + 14b]",
    "mov ebx, 0",
    "mov ds, ebx",
    "mov es, ebx",
    "mov ecx, 0",
    "mov edx, 0",
    "mov ebp, 0",
    "mov r8d, 0",
    "mov r9d, 0",
    "mov r10d, 0",
    "mov r11d, 0",
    "mov r12d, 0",
    "mov r13d, 0",
    "mov r14d, 0",
    "mov r15d, 0",
    // Through memory, so that no register keeps the address.
    "jmp [rip + 11b]",
    // A call that had to succeed did not: SIGSEGV, as after execve's point of no return. `hlt` is not allowed here, and
    // the kernel makes the resulting signal fatal even where it is blocked or ignored, and for the init of a container.
    "9: hlt",
    "supplant_runner_end:",
    ".popsection",
);

/// A system call that leaves no trace in the C library: for signal handlers, and where there is none.
///
/// Returns what the kernel answers: errors are numbers from -4095 to -1.
///
/// # Safety
///
/// As the call that it is.
#[inline]
pub(crate) unsafe fn system_call(number: i64, arguments: [u64; 6]) -> i64 {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result;
    // SAFETY: the caller's promise; the kernel changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    result
}

/// The same, made by a child that shares memory and descriptors with this process, and is gone when this returns. Where no
/// child can be made the answer is that there is no such call (`ENOSYS`).
///
/// # Safety
///
/// As [`system_call`], and all signals are blocked: the child has the stack of its parent, which waits.
pub(crate) unsafe fn system_call_in_child(number: i64, arguments: [u64; 6]) -> i64 {
    let mut words = [number as u64; 7];
    words[1..].copy_from_slice(&arguments);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let child: i64;
    // SAFETY: the child runs the instructions up to its exit, which write to `words` only; the parent goes on when it is
    // gone.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The child: the call, its answer in the place of the number, and the end.
            "mov rax, [r12]",
            "mov rdi, [r12 + 8]",
            "mov rsi, [r12 + 16]",
            "mov rdx, [r12 + 24]",
            "mov r10, [r12 + 32]",
            "mov r8, [r12 + 40]",
            "mov r9, [r12 + 48]",
            "syscall",
            "mov [r12], rax",
            "mov eax, 60",
            "xor edi, edi",
            "syscall",
            "2:",
            inlateout("rax") libc::SYS_clone => child,
            in("r12") words.as_mut_ptr(),
            inlateout("rdi") i64::from(flags) => _,
            inlateout("rsi") 0_u64 => _,
            inlateout("rdx") 0_u64 => _,
            inlateout("r10") 0_u64 => _,
            inlateout("r8") 0_u64 => _,
            lateout("r9") _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack)
        );
    }
    if child < 0 {
        return -i64::from(libc::ENOSYS);
    }
    // SAFETY: waits for that child, which tells nobody else; no pointer is passed.
    while unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), libc::__WALL) } < 0
        && Errno::last() == Errno::EINTR
    {}
    words[0] as i64
}

unsafe extern "C" {
    /// Ends a signal handler.
    fn supplant_restorer();
    /// Ends the thread that gets here.
    fn supplant_exit();
}

global_asm!(
    ".pushsection .text.supplant_stubs, \"ax\", @progbits",
    "supplant_restorer:",
    "mov eax, 15", // rt_sigreturn
    "syscall",
    "supplant_exit:",
    "mov eax, 60", // exit: of this thread
    "xor edi, edi",
    "syscall",
    "hlt",
    ".popsection",
);

/// The action with the return from the handler that the kernel wants here.
pub(crate) fn with_restorer(action: SignalAction) -> SignalAction {
    const SA_RESTORER: u64 = 0x0400_0000;
    SignalAction {
        flags: action.flags | SA_RESTORER,
        restorer: supplant_restorer as *const () as usize,
        ..action
    }
}

/// Lets a stopped thread of a process with this program's memory end as soon as it goes on.
pub(crate) fn divert_to_exit(thread: Pid) -> Result<(), Errno> {
    let mut registers = ptrace::getregs(thread)?;
    registers.rip = supplant_exit as *const () as u64;
    // No system call is to be started again.
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers)
}

/// Rows for what only this processor has: the bases of the segments `fs`, where the old program's thread-local storage
/// was, and `gs`.
pub(crate) fn reset_rows(table: &mut Table) {
    const ARCH_PRCTL: Call = Call {
        number: libc::SYS_arch_prctl,
        name: "arch_prctl",
    };
    const ARCH_SET_GS: u64 = 0x1001;
    const ARCH_SET_FS: u64 = 0x1002;
    table.must(
        ARCH_PRCTL,
        &[ARCH_SET_FS.into(), 0.into()],
        "no thread-local storage yet",
    );
    table.must(ARCH_PRCTL, &[ARCH_SET_GS.into(), 0.into()], "no gs base");
}

/// What only this processor has and needs a look first: the local descriptor table, protection keys, whether CPUID faults.
pub(crate) fn reset_process(buffer: &mut [u8]) {
    const ARCH_GET_CPUID: i32 = 0x1011;
    const ARCH_SET_CPUID: i32 = 0x1012;
    const ARCH_SHSTK_DISABLE: i32 = 0x5002;
    const SHADOW_STACK: u64 = 1;
    const KEYS: std::ops::Range<i32> = 1..16;
    empty_descriptor_table(buffer);
    if pkru() != 0 {
        for key in KEYS {
            // SAFETY: takes a number. The memory that has the key still has it, and goes with the old program.
            unsafe { libc::syscall(libc::SYS_pkey_free, key) };
        }
    }
    // SAFETY: takes no pointer.
    if unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_CPUID, 0) } == 0 {
        // SAFETY: the same.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_CPUID, 1) };
    }
    // SAFETY: the same; returning takes the ordinary stack alone from then on. A locked one stays.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SHSTK_DISABLE, SHADOW_STACK) };
}

/// Linux has no way to free the table; each of its entries is made empty.
fn empty_descriptor_table(buffer: &mut [u8]) {
    const READ: i32 = 0;
    const WRITE: i32 = 0x11;
    const ENTRY_SIZE: i64 = 8;
    // Of `struct user_desc` the bits that make an entry empty: read_exec_only and seg_not_present.
    const EMPTY: u32 = 1 << 3 | 1 << 5;
    const ENTRIES: u32 = 8192;
    let number = libc::SYS_modify_ldt;
    // SAFETY: the kernel writes at most the buffer's size.
    let size = unsafe { libc::syscall(number, READ, buffer.as_mut_ptr(), buffer.len()) };
    let count = if size < buffer.len() as i64 {
        (size.max(0) / ENTRY_SIZE) as u32
    } else {
        ENTRIES
    };
    for index in 0..count {
        let description = [index, 0, 0, EMPTY];
        // SAFETY: the kernel reads 16 bytes.
        let result = unsafe { libc::syscall(number, WRITE, &raw const description, 16) };
        if result != 0 {
            return;
        }
    }
}

/// The address, in `code` that starts at `base`, of a `syscall` after which only registers are cleared, among them all
/// that a system call and its arguments leave dirty, before it returns. A munmap issued there can remove the page that
/// jumped to it.
///
/// Compilers emit such tails with `-fzero-call-used-regs`, as Linux has it from 5.15; nothing guarantees one.
pub(crate) fn find_syscall_return(code: &[u8], base: u64) -> Option<u64> {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let starts = (0..code.len()).filter(|&start| code[start..].starts_with(&SYSCALL));
    let mut usable = starts.filter(|&start| clears_and_returns(&code[start + SYSCALL.len()..]));
    usable.next().map(|start| base + start as u64)
}

/// `rcx` and `r11` are written by every system call, `rdi` and `rsi` hold munmap's arguments.
fn clears_and_returns(mut code: &[u8]) -> bool {
    const DIRTY: u16 = 1 << 1 | 1 << 6 | 1 << 7 | 1 << 11;
    let mut cleared = 0_u16;
    loop {
        match code {
            [0xc3, ..] => return cleared & DIRTY == DIRTY,
            [0x90, rest @ ..] => code = rest,
            [0x31 | 0x33, operands, rest @ ..] => match same_register(*operands, 0) {
                Some(register) => (cleared, code) = (cleared | 1 << register, rest),
                None => return false,
            },
            // REX with R and B alike: one of the upper or the lower eight registers, 32 or 64 bits wide.
            [
                rex @ (0x40 | 0x45 | 0x48 | 0x4d),
                0x31 | 0x33,
                operands,
                rest @ ..,
            ] => match same_register(*operands, (rex & 1) * 8) {
                Some(register) => (cleared, code) = (cleared | 1 << register, rest),
                None => return false,
            },
            _ => return false,
        }
    }
}

/// The register, if the operands are twice the same one; never the stack pointer.
fn same_register(operands: u8, high: u8) -> Option<u8> {
    const RSP: u8 = 4;
    let (kind, first, second) = (operands >> 6, operands >> 3 & 7, operands & 7);
    (kind == 3 && first == second && first + high != RSP).then_some(first + high)
}

/// The restartable-sequences area of the C library, as it says itself (glibc 2.35 and later): its address. `None` when
/// the C library has none.
pub(crate) fn libc_rseq() -> Option<u64> {
    let (offset, size): (*const isize, *const u32);
    // SAFETY: reads two entries of the global offset table, which are null where the weak symbols are not defined.
    unsafe {
        asm!(
            ".weak __rseq_offset",
            ".weak __rseq_size",
            "mov {offset}, [rip + __rseq_offset@GOTPCREL]",
            "mov {size}, [rip + __rseq_size@GOTPCREL]",
            offset = out(reg) offset,
            size = out(reg) size,
            options(nostack, preserves_flags, readonly, pure)
        );
    }
    if offset.is_null() || size.is_null() {
        return None;
    }
    let thread: u64;
    // SAFETY: the C library that defines these symbols keeps the thread pointer at fs:0.
    unsafe {
        asm!("mov {}, fs:0", out(reg) thread, options(nostack, preserves_flags, readonly, pure));
    };
    // SAFETY: not null, so these are the C library's constants.
    let (offset, size) = (unsafe { offset.read() }, unsafe { size.read() });
    (size != 0).then(|| thread.wrapping_add_signed(offset as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_only_clears_registers_is_found() {
        // xor edx,edx; xor ecx,ecx; xor esi,esi; xor edi,edi; xor r11d,r11d; ret
        let tail = [
            0x31, 0xd2, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0x45, 0x31, 0xdb, 0xc3,
        ];
        let code = [&[0x90, 0x0f, 0x05][..], &tail].concat();
        assert_eq!(find_syscall_return(&code, 0x1000), Some(0x1001));
    }

    #[test]
    fn a_tail_that_leaves_a_register_dirty_or_does_more_is_not() {
        let keeps_r11 = [0x0f, 0x05, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0xc3];
        let pops = [
            0x0f, 0x05, 0x5b, 0x31, 0xc9, 0x31, 0xf6, 0x31, 0xff, 0x45, 0x31, 0xdb, 0xc3,
        ];
        let mixes = [0x0f, 0x05, 0x31, 0xc8, 0xc3];
        let clears_rsp = [0x0f, 0x05, 0x31, 0xe4, 0xc3];
        for code in [
            &keeps_r11[..],
            &pops,
            &mixes,
            &clears_rsp,
            &[0x0f, 0x05],
            &[],
        ] {
            assert_eq!(find_syscall_return(code, 0), None);
        }
    }

    #[test]
    fn the_slots_lie_at_the_start_of_the_runner() {
        let slots = Slots::unmap_and_return(1, 2, 3, 4);
        let mut bytes = Vec::new();
        runner(&slots, &mut bytes);
        assert_eq!(bytes[..8], 1_u64.to_ne_bytes());
        assert_eq!(bytes[8..16], 2_u64.to_ne_bytes());
        assert_eq!(entry_offset(), 64 + 576);
    }
}
