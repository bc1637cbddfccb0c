//! Code for threads that may have no C library: a system call, the return from a signal handler, the end of a thread.
#![allow(unsafe_code, reason = "assembly")]

use std::arch::{asm, naked_asm};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::process::SignalAction;

/// A system call that changes no state of the C library: for signal handlers, and for threads without a C library.
///
/// Returns the kernel's result: errors are numbers from -4095 to -1.
///
/// # Safety
///
/// That of the call.
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

/// The same, made by a child that shares memory and descriptors with this process, and is gone when this returns. If no
/// child can be made, the result is that there is no such call (`ENOSYS`).
///
/// # Safety
///
/// As [`system_call`], and all signals are blocked: the child uses the stack of its parent, which waits.
pub(crate) unsafe fn system_call_in_child(number: i64, arguments: [u64; 6]) -> i64 {
    let mut words = [number as u64; 7];
    words[1..].copy_from_slice(&arguments);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let child: i64;
    // SAFETY: the child runs the instructions up to its exit, which write to `words` only; the parent continues when the
    // child is gone.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The child: makes the call, stores the result in the place of the number, and exits.
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
    // SAFETY: waits for that child, which sends no signal when it ends; no pointer is passed.
    while unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), libc::__WALL) } < 0
        && Errno::last() == Errno::EINTR
    {}
    words[0] as i64
}

/// Continues in `function` with another stack, and does not return.
///
/// # Safety
///
/// No other code uses the memory below `stack`.
pub(crate) unsafe fn go_on_at(
    stack: usize,
    function: extern "C" fn(usize) -> !,
    argument: usize,
) -> ! {
    // SAFETY: the caller's promise; the stack is aligned as a call requires, and nothing returns.
    unsafe {
        asm!(
            "mov rsp, {stack}",
            "call {function}",
            "hlt",
            stack = in(reg) stack & !15,
            function = in(reg) function,
            in("rdi") argument,
            options(noreturn)
        )
    }
}

/// Ends a signal handler: the handler returns to this address.
#[unsafe(naked)]
extern "C" fn restorer() -> ! {
    naked_asm!("mov eax, {rt_sigreturn}", "syscall", "hlt", rt_sigreturn = const libc::SYS_rt_sigreturn)
}

/// Ends the thread that gets here. It needs no stack.
#[unsafe(naked)]
extern "C" fn exit_thread() -> ! {
    naked_asm!(
        "mov eax, {exit}",
        "xor edi, edi",
        "syscall",
        "hlt",
        exit = const libc::SYS_exit,
    )
}

/// The action with the restorer that the kernel requires here.
pub(crate) fn with_restorer(action: SignalAction) -> SignalAction {
    const SA_RESTORER: u64 = 0x0400_0000;
    SignalAction {
        flags: action.flags | SA_RESTORER,
        restorer: restorer as *const () as usize,
        ..action
    }
}

/// Makes a stopped thread of a process with this program's memory end as soon as it continues.
pub(crate) fn divert_to_exit(thread: Pid) -> Result<(), Errno> {
    let mut registers = ptrace::getregs(thread)?;
    registers.rip = exit_thread as *const () as u64;
    // No system call must be restarted.
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers)
}
