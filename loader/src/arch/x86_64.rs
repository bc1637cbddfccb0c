//! x86-64: the runner that plays the table, and the few registers that Rust cannot reach.
//!
//! The runner is a template: slots and code in the loader's text. It is copied into a page of its own, and the slots of the
//! copy are filled. There it needs no stack and writes no memory. It keeps its only state, the address of the current row,
//! in `rbx`, which no system call changes.
//!
//! All assembly is in naked functions. A label of a `global_asm!` is known only in one unit of code generation, so whether
//! the loader links would depend on the profile of the crate that uses it. A global label would exist twice in a program
//! that holds two versions of this crate.
#![allow(unsafe_code, reason = "assembly")]

use std::arch::x86_64::{__cpuid, _xgetbv};
use std::arch::{asm, naked_asm};

use crate::machine::Machine;

pub(crate) use last_jump::find_syscall_return;
pub(crate) use reset::{call_without_effect, reset_process};
pub(crate) use without_libc::{
    divert_to_exit, go_on_at, system_call, system_call_in_child, with_restorer,
};

mod last_jump;
mod reset;
mod without_libc;

/// The processor that this code is built for.
pub const MACHINE: Machine = Machine::X86_64;

/// The runner's data besides the table, in the order of the slots in the template.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slots {
    /// The stack pointer at the jump.
    pub(crate) sp: u64,
    /// The address to jump to: the new program's first instruction, or [`find_syscall_return`]'s.
    pub(crate) target: u64,
    /// `rax`, `rdi` and `rsi` at the jump: zeros, or the last munmap.
    pub(crate) rax: u64,
    pub(crate) rdi: u64,
    pub(crate) rsi: u64,
    /// The flags at the jump.
    flags: u64,
    /// The components of the floating-point and vector state that are reset to their initial state; 0 without XSAVE.
    xstate: u64,
    /// Whether there is a PKRU register.
    pkru: u64,
}

/// Interrupts on, and the bit that is always set: execve leaves these flags.
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

    /// Makes the munmap of `start..start + size`, the runner itself, the last action. It is made at `gadget` (see
    /// [`find_syscall_return`]), which returns to the address stored at `sp`.
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

/// Appends a runner's bytes. Their address must be a multiple of 64.
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

/// The template. Its first two words are the offset of its code and its size; in a copy the slots replace them.
fn template() -> &'static [u8] {
    let size = template_word(1) as usize;
    // SAFETY: the function's whole extent, by its own second word; text that no code writes to.
    unsafe { std::slice::from_raw_parts((template_runner as *const ()).cast(), size) }
}

fn entry_offset() -> u64 {
    template_word(0)
}

fn template_word(index: usize) -> u64 {
    let words = (template_runner as *const ()).cast::<[u8; 8]>();
    let word = words.wrapping_add(index);
    // SAFETY: the function begins with eight words. Text is readable, unless a program is linked with unreadable text.
    u64::from_ne_bytes(unsafe { *word })
}

/// Leaves the old program permanently: plays the table that starts at `first_row`.
///
/// # Safety
///
/// At `runner` there are a [`runner`]'s bytes, executable, and `first_row` starts a list of rows (see [`crate::table`]); no
/// row unmaps either of them, nor the memory that the rows point to before it is used. All signals are blocked and no other
/// thread runs.
pub(crate) unsafe fn play(runner: u64, first_row: u64) -> ! {
    // SAFETY: no code of the old program runs after this jump; the runner uses no stack.
    unsafe {
        asm!(
            "mov rbx, {row}",
            // Leaves the old stack, so that the kernel does not see the thread on the alternate signal stack.
            "mov rsp, {runner}",
            "jmp {entry}",
            row = in(reg) first_row,
            runner = in(reg) runner,
            entry = in(reg) runner + entry_offset(),
            options(noreturn)
        )
    }
}

/// The runner before its slots are filled. This is never called: [`runner`] copies its bytes, and [`play`] jumps into the
/// copy.
///
/// A row is eight words: the number of the call, its six arguments, and the address of the next row with the row's policy in
/// bit 0, which is 1 if the call may fail.
#[unsafe(naked)]
extern "C" fn template_runner() -> ! {
    naked_asm!(
        // The slots, in the order of `Slots`. In the template the first two hold the offset and the size.
        "10: .quad 20f - 10b", // sp; the offset of the code
        "11: .quad 21f - 10b", // target; the size
        "12: .quad 0",         // rax
        "13: .quad 0",         // rdi
        "14: .quad 0",         // rsi
        "15: .quad 0",         // flags
        "16: .quad 0",         // xstate
        "17: .quad 0",         // pkru
        // An area for XRSTOR in its standard form, or FXRSTOR, with everything in its initial state. Both load MXCSR from
        // here (an area of zeros would unmask every exception), and FXRSTOR also loads the x87 control word. The area must
        // be at a multiple of 64. In the copy it is, because it is 64 bytes from the start, wherever the linker puts this
        // function.
        "18: .short 0x37f",
        ".zero 22",
        ".long 0x1f80",
        ".zero 548",
        "20:",
        // For each row: the arguments, then the call.
        "2: mov rax, [rbx]",
        "mov rdi, [rbx + 8]",
        "mov rsi, [rbx + 16]",
        "mov rdx, [rbx + 24]",
        "mov r10, [rbx + 32]",
        "mov r8, [rbx + 40]",
        "mov r9, [rbx + 48]",
        "syscall",
        "mov rbx, [rbx + 56]",
        // Results from -4095 to -1 are errors. If the row may fail, they are ignored.
        "cmp rax, -4095",
        "jb 3f",
        "test bl, 1",
        "jz 9f",
        "3: and rbx, -2",
        "jnz 2b",
        // No row is left. Floating-point and vector registers: resets all components except PKRU to their initial state.
        "mov rax, [rip + 16b]",
        "test rax, rax",
        "jz 4f",
        "mov rdx, rax",
        "shr rdx, 32",
        "xrstor64 [rip + 18b]",
        "jmp 5f",
        "4: fxrstor64 [rip + 18b]",
        // The kernel has its own initial value for PKRU: only key 0 has all rights.
        "5: cmp qword ptr [rip + 17b], 0",
        "je 6f",
        "xor ecx, ecx",
        "xor edx, edx",
        "mov eax, 0x55555554",
        "wrpkru",
        // The flags can only be popped, so the slot serves as a stack. No later instruction changes them.
        "6: lea rsp, [rip + 15b]",
        "popfq",
        "mov rsp, [rip + 10b]",
        "mov rax, [rip + 12b]",
        "mov rdi, [rip + 13b]",
        "mov rsi, [rip + 14b]",
        "mov ebx, 0",
        "mov ds, ebx",
        "mov es, ebx",
        // Not with `xor`, which would change the flags.
        ".irp register, ecx, edx, ebp, r8d, r9d, r10d, r11d, r12d, r13d, r14d, r15d",
        "mov \\register, 0",
        ".endr",
        // Jumps through memory, so that no register keeps the address.
        "jmp [rip + 11b]",
        // A call that must succeed failed: SIGSEGV, as after execve's point of no return. `hlt` is not allowed here, and the
        // kernel makes the resulting signal fatal even if it is blocked or ignored, and for the init of a container.
        "9: hlt",
        "21:",
    )
}

/// The address of the C library's restartable-sequences area, as the library exports it (glibc 2.35 and later). `None` if
/// the C library has none.
pub(crate) fn libc_rseq() -> Option<u64> {
    let (offset, size): (*const isize, *const u32);
    // SAFETY: reads two entries of the global offset table, which are null if the weak symbols are not defined.
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
    fn the_slots_lie_at_the_start_of_the_runner() {
        let slots = Slots::unmap_and_return(1, 2, 3, 4);
        let mut bytes = Vec::new();
        runner(&slots, &mut bytes);
        assert_eq!(bytes[..8], 1_u64.to_ne_bytes());
        assert_eq!(bytes[8..16], 2_u64.to_ne_bytes());
        assert_eq!(entry_offset(), 64 + 576);
    }
}
