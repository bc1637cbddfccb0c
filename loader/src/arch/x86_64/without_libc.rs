//! Code for threads that may have no C library to call: a system call, the return from a signal handler, the end.
#![allow(unsafe_code, reason = "assembly")]

use std::arch::{asm, naked_asm};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::process::SignalAction;

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

/// Calls `function` in a child that shares memory and descriptors with this process, and nothing else: it has ids, a working
/// directory and a process id of its own. Returns when the child is gone.
///
/// Errors: those of clone(2).
///
/// # Safety
///
/// All signals are blocked, and `function` returns. The child has the stack and the C library's thread of its parent, which
/// waits.
pub(crate) unsafe fn call_in_child(
    function: extern "C" fn(usize),
    argument: usize,
) -> Result<(), Errno> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let child: i64;
    // SAFETY: the child never leaves these instructions; what it does to the stack is below all that its parent has there.
    // The parent, to whom the kernel gives its registers back, goes on when the child is gone.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "mov rdi, r13",
            "call r12",
            "mov eax, {exit}",
            "xor edi, edi",
            "syscall",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone => child,
            in("r12") function,
            in("r13") argument,
            inlateout("rdi") i64::from(flags) => _,
            inlateout("rsi") 0_u64 => _,
            inlateout("rdx") 0_u64 => _,
            inlateout("r10") 0_u64 => _,
            inlateout("r8") 0_u64 => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    if child < 0 {
        return Err(Errno::from_raw(-child as i32));
    }
    // SAFETY: waits for that child, which tells nobody else; no pointer is passed.
    while unsafe { libc::waitpid(child as i32, std::ptr::null_mut(), libc::__WALL) } < 0
        && Errno::last() == Errno::EINTR
    {}
    Ok(())
}

/// Goes on in `function` with another stack, for good.
///
/// # Safety
///
/// Below `stack` there is room that nobody else uses.
pub(crate) unsafe fn go_on_at(
    stack: usize,
    function: extern "C" fn(usize) -> !,
    argument: usize,
) -> ! {
    // SAFETY: the caller's promise; the stack is aligned as a call wants it, and nothing returns.
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

/// Ends a signal handler: the kernel has it return to here.
#[unsafe(naked)]
extern "C" fn restorer() -> ! {
    naked_asm!("mov eax, {rt_sigreturn}", "syscall", "hlt", rt_sigreturn = const libc::SYS_rt_sigreturn)
}

/// Ends the thread that gets here, with no stack to speak of.
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

/// The action with the return from the handler that the kernel wants here.
pub(crate) fn with_restorer(action: SignalAction) -> SignalAction {
    const SA_RESTORER: u64 = 0x0400_0000;
    SignalAction {
        flags: action.flags | SA_RESTORER,
        restorer: restorer as *const () as usize,
        ..action
    }
}

/// Lets a stopped thread of a process with this program's memory end as soon as it goes on.
pub(crate) fn divert_to_exit(thread: Pid) -> Result<(), Errno> {
    let mut registers = ptrace::getregs(thread)?;
    registers.rip = exit_thread as *const () as u64;
    // No system call is to be started again.
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers)
}
