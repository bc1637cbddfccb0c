//! States of the process that prevent an exec in userspace but not in the kernel: the exec is rejected, and the process is
//! unchanged.
#![allow(unsafe_code, reason = "clones, and brings a child into a state")]

use std::cell::Cell;
use std::process;

use supplant_loader::Command;
use support::Ending;
use support::alike::{forked, program};
use support::system::{forbid, prctl, set_action, state};

/// The errno of an exec that is rejected and changes nothing.
fn refusal_without_harm(path: &std::path::Path) -> i32 {
    let before = state(process::id());
    let errno = Command::new(path).exec().raw_os_error();
    let after = state(process::id());
    if before == after {
        errno
    } else {
        eprintln!("before:\n{before:#?}\nafter:\n{after:#?}");
        -1
    }
}

#[test]
fn a_refused_process_has_its_signals_descriptors_and_memory_as_before() {
    let ending = forked(|| {
        let caught = set_action(libc::SIGUSR1, [0x1000, 0x400_0000, 0x2000, 0xff]);
        let mdwe = prctl(65, [1]);
        if caught.and(mdwe).is_err() {
            return -2;
        }
        refusal_without_harm(&program("exec_stack"))
    });
    assert_eq!(ending, Ending::Exited(libc::EACCES));
}

/// Otherwise the kernel would write to the C library's rseq area after its memory is unmapped.
#[test]
fn restartable_sequences_that_a_filter_protects_are_refused() {
    for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
        let action = libc::SECCOMP_RET_ERRNO | errno as u32;
        let ending = forked(|| match forbid(&[libc::SYS_rseq], action) {
            Ok(()) => refusal_without_harm(&program("arguments")),
            Err(_) => -2,
        });
        assert_eq!(ending, Ending::Exited(libc::EBUSY), "{errno}");
    }
}

#[test]
fn a_program_that_is_not_there_changes_nothing() {
    let ending = forked(|| refusal_without_harm("/nonexistent".as_ref()));
    assert_eq!(ending, Ending::Exited(libc::ENOENT));
}

/// Runs in the memory of its parent.
extern "C" fn exec_in_shared_memory(errno: *mut libc::c_void) -> i32 {
    let refused = Command::new(program("arguments")).exec().raw_os_error();
    // SAFETY: the pointer is to a variable of the parent, which waits.
    unsafe { errno.cast::<i32>().write(refused) };
    0
}

/// The errno of an exec by a vfork child, as the surviving parent sees it.
fn exec_by_a_vfork_child() -> i32 {
    let errno = Cell::new(0);
    let mut stack = vec![0u8; 1 << 20];
    let top = stack.as_mut_ptr_range().end.map_addr(|top| top & !15);
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has its own stack; the parent waits until the child is gone.
    let child = unsafe {
        libc::clone(
            exec_in_shared_memory,
            top.cast(),
            flags,
            errno.as_ptr().cast(),
        )
    };
    if child < 0 { -2 } else { errno.get() }
}

#[test]
fn a_vfork_child_is_refused_and_its_parent_lives() {
    let ending = forked(exec_by_a_vfork_child);
    assert_eq!(ending, Ending::Exited(libc::EBUSY));
}

/// If a filter answers the loader's questions, the answer is not the kernel's.
#[test]
fn a_vfork_child_is_refused_whatever_a_filter_says_to_the_questions() {
    let questions: [&[i64]; 3] = [
        &[libc::SYS_unshare],
        &[libc::SYS_kcmp],
        &[libc::SYS_unshare, libc::SYS_kcmp],
    ];
    for calls in questions {
        for errno in [libc::EPERM, libc::ENOSYS, libc::EACCES] {
            let ending = forked(|| {
                let action = libc::SECCOMP_RET_ERRNO | errno as u32;
                match forbid(calls, action) {
                    Ok(()) => exec_by_a_vfork_child(),
                    Err(_) => -2,
                }
            });
            assert_eq!(ending, Ending::Exited(libc::EBUSY), "{calls:?}: {errno}");
        }
    }
}

#[test]
fn memory_of_its_own_is_replaced_though_a_filter_answers_for_the_kernel() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let ending = forked(|| {
            let action = libc::SECCOMP_RET_ERRNO | errno as u32;
            match forbid(&[libc::SYS_unshare, libc::SYS_kcmp], action) {
                Ok(()) => Command::new("/bin/true").exec().raw_os_error(),
                Err(_) => -2,
            }
        });
        assert_eq!(ending, Ending::Exited(0), "{errno}");
    }
}
