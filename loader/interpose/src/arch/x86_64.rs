//! x86-64: entries of variadic functions, and the kernel's own execveat.
//!
//! System V ABI: integer arguments are in rdi, rsi, rdx, rcx, r8, r9, then on the stack above the return address.
#![allow(unsafe_code, reason = "assembly")]

use std::arch::{asm, naked_asm};
use std::ffi::c_long;

use nix::errno::Errno;

use crate::replace::Request;
use crate::variadic;

/// The number of arguments in registers.
pub(crate) const ARGUMENT_REGISTERS: usize = 6;

/// The kernel's execveat, or execve if that was called, so that tracers and filters see the same call. Returns only if the
/// program was refused, or with 0 for a successful `AT_EXECVE_CHECK`.
pub(crate) fn kernel_execveat(request: &Request) -> Errno {
    let Request {
        directory,
        path,
        argv,
        envp,
        flags,
    } = *request;
    let words = if directory == libc::AT_FDCWD && flags == 0 {
        [path.addr(), argv.addr(), envp.addr(), 0, 0]
    } else {
        let (directory, flags) = (directory as usize, flags as usize);
        [directory, path.addr(), argv.addr(), envp.addr(), flags]
    };
    let number = if directory == libc::AT_FDCWD && flags == 0 {
        libc::SYS_execve
    } else {
        libc::SYS_execveat
    };
    let result: isize;
    // SAFETY: the kernel accepts any pointer. It writes nothing to this program's memory, or replaces all of it.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") words[0], in("rsi") words[1], in("rdx") words[2], in("r10") words[3], in("r8") words[4],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    };
    Errno::from_raw(-result as i32)
}

/// Stores the six registers in memory, below the caller's stack, and calls `$function(registers, stack)`.
macro_rules! variadic_entry {
    ($name:ident, $function:path) => {
        #[cfg_attr(not(test), unsafe(no_mangle))]
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                // Six words, and one more for the alignment of the stack.
                "sub rsp, 56",
                "mov [rsp], rdi",
                "mov [rsp + 8], rsi",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], rcx",
                "mov [rsp + 32], r8",
                "mov [rsp + 40], r9",
                "mov rdi, rsp",
                // Above these words and the return address.
                "lea rsi, [rsp + 64]",
                "call {function}",
                "add rsp, 56",
                "ret",
                function = sym $function,
            )
        }
    };
}

variadic_entry!(execl, variadic::execl);
variadic_entry!(execle, variadic::execle);
variadic_entry!(execlp, variadic::execlp);

/// glibc's `syscall`, except for the system calls that start programs. vfork becomes fork.
///
/// There must be no Rust code between the caller and the kernel: clone and vfork return twice, the second time on another
/// stack.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[unsafe(naked)]
extern "C" fn syscall(_number: c_long) -> c_long {
    naked_asm!(
        "cmp rdi, {execve}",
        "je 2f",
        "cmp rdi, {execveat}",
        "je 3f",
        "mov rax, rdi",
        "cmp rdi, {vfork}",
        "jne 1f",
        "mov eax, {fork}",
        "1:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        // -4095 to -1 are errors.
        "cmp rax, -4095",
        "jae 4f",
        "ret",
        "2:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "jmp {start_execve}",
        "3:",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov rcx, r8",
        "mov r8, r9",
        "jmp {start_execveat}",
        "4:",
        "neg eax",
        "mov edi, eax",
        "jmp {failed}",
        execve = const libc::SYS_execve,
        execveat = const libc::SYS_execveat,
        vfork = const libc::SYS_vfork,
        fork = const libc::SYS_fork,
        start_execve = sym variadic::system_call_execve,
        start_execveat = sym variadic::system_call_execveat,
        failed = sym variadic::system_call_failed,
    )
}
