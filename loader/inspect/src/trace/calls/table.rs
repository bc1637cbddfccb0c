//! The names of system calls, and the kinds of their arguments.

/// The kind of an argument or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number of 32 bits: a descriptor, a command.
    Number,
    /// A number of 64 bits: a size, an offset.
    Size,
    /// Bits.
    Flags,
    /// Permissions of a file.
    Mode,
    /// A descriptor for the directory where a path starts.
    Directory,
    /// A process or thread.
    Process,
    Address,
    /// A string that ends with a NUL.
    Text,
    /// Bytes that the call reads; the next argument is their size.
    Buffer,
    /// An array of buffers; the next argument is their number.
    Vector,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) name: String,
    pub(super) kinds: Vec<Kind>,
    pub(super) result: Kind,
}

impl Signature {
    /// The signature of a number; a call that is not in the table has its number as its name, and no arguments.
    pub(super) fn of(number: u64) -> Self {
        let found = TABLE
            .iter()
            .find(|(other, ..)| u64::try_from(*other) == Ok(number));
        match found {
            Some((_, name, letters)) => Self::parse(name.trim_start_matches("SYS_"), letters),
            None => Self {
                name: format!("syscall_{}", number.cast_signed()),
                kinds: Vec::new(),
                result: Kind::Size,
            },
        }
    }

    fn parse(name: &str, letters: &str) -> Self {
        let (arguments, result) = letters.split_once(':').unwrap_or((letters, "z"));
        let kinds = |letters: &str| letters.chars().filter_map(kind).collect::<Vec<_>>();
        Self {
            name: name.to_owned(),
            kinds: kinds(arguments),
            result: kinds(result).first().copied().unwrap_or(Kind::Size),
        }
    }
}

fn kind(letter: char) -> Option<Kind> {
    Some(match letter {
        'd' | 'n' | 'u' => Kind::Number,
        'z' => Kind::Size,
        'x' => Kind::Flags,
        'o' => Kind::Mode,
        'D' => Kind::Directory,
        'p' => Kind::Process,
        'a' => Kind::Address,
        's' => Kind::Text,
        'b' => Kind::Buffer,
        'v' => Kind::Vector,
        _ => return None,
    })
}

macro_rules! table {
    ($($name:ident $letters:literal,)*) => {
        &[$((libc::$name, stringify!($name), $letters)),*]
    };
}

/// A letter for each argument, and after a colon a letter for the result if it is not a number. The system call numbers
/// are those of the target processor.
#[rustfmt::skip]
const TABLE: &[(libc::c_long, &str, &str)] = table![
    SYS_read "d a z", SYS_fchmodat2 "D s o x", SYS_mseal "a z x",
    SYS_write "d b z", SYS_open "s x o", SYS_close "d", SYS_stat "s a", SYS_fstat "d a",
    SYS_lstat "s a", SYS_poll "a u n", SYS_lseek "d z n", SYS_mmap "a z x x d z :a", SYS_mprotect "a z x",
    SYS_munmap "a z", SYS_brk "a :a", SYS_rt_sigaction "n a a z", SYS_rt_sigprocmask "n a a z", SYS_rt_sigreturn "",
    SYS_ioctl "d x a", SYS_pread64 "d a z z", SYS_pwrite64 "d b z z", SYS_readv "d a n", SYS_writev "d v n",
    SYS_access "s x", SYS_pipe "a", SYS_select "n a a a a", SYS_sched_yield "", SYS_mremap "a z z x a :a",
    SYS_msync "a z x", SYS_mincore "a z a", SYS_madvise "a z n", SYS_shmget "x z x", SYS_shmat "d a x :a",
    SYS_shmctl "d n a", SYS_dup "d", SYS_dup2 "d d", SYS_pause "", SYS_nanosleep "a a", SYS_getitimer "n a",
    SYS_alarm "u", SYS_setitimer "n a a", SYS_getpid ":p", SYS_sendfile "d d a z", SYS_socket "n x n",
    SYS_connect "d a n", SYS_accept "d a a", SYS_sendto "d b z x a n", SYS_recvfrom "d a z x a a", SYS_sendmsg "d a x",
    SYS_recvmsg "d a x", SYS_shutdown "d n", SYS_bind "d a n", SYS_listen "d n", SYS_getsockname "d a a",
    SYS_getpeername "d a a", SYS_socketpair "n x n a", SYS_setsockopt "d n n a n", SYS_getsockopt "d n n a a",
    SYS_clone "x a a a a :p", SYS_fork ":p", SYS_vfork ":p", SYS_execve "s a a", SYS_exit "n", SYS_wait4 "p a x a :p",
    SYS_kill "p n", SYS_uname "a", SYS_semget "x n x", SYS_semop "d a z", SYS_semctl "d n n a", SYS_shmdt "a",
    SYS_msgget "x x", SYS_msgsnd "d a z x", SYS_msgrcv "d a z n x", SYS_msgctl "d n a", SYS_fcntl "d n x",
    SYS_flock "d n", SYS_fsync "d", SYS_fdatasync "d", SYS_truncate "s z", SYS_ftruncate "d z", SYS_getdents "d a z",
    SYS_getcwd "a z", SYS_chdir "s", SYS_fchdir "d", SYS_rename "s s", SYS_mkdir "s o", SYS_rmdir "s", SYS_creat "s o",
    SYS_link "s s", SYS_unlink "s", SYS_symlink "s s", SYS_readlink "s a z", SYS_chmod "s o", SYS_fchmod "d o",
    SYS_chown "s n n", SYS_fchown "d n n", SYS_lchown "s n n", SYS_umask "o", SYS_gettimeofday "a a",
    SYS_getrlimit "n a", SYS_getrusage "n a", SYS_sysinfo "a", SYS_times "a", SYS_ptrace "n p a a", SYS_getuid "",
    SYS_syslog "n a z", SYS_getgid "", SYS_setuid "n", SYS_setgid "n", SYS_geteuid "", SYS_getegid "",
    SYS_setpgid "p p", SYS_getppid ":p", SYS_getpgrp ":p", SYS_setsid ":p", SYS_setreuid "n n", SYS_setregid "n n",
    SYS_getgroups "n a", SYS_setgroups "n a", SYS_setresuid "n n n", SYS_getresuid "a a a", SYS_setresgid "n n n",
    SYS_getresgid "a a a", SYS_getpgid "p :p", SYS_setfsuid "n", SYS_setfsgid "n", SYS_getsid "p :p", SYS_capget "a a",
    SYS_capset "a a", SYS_rt_sigpending "a z", SYS_rt_sigtimedwait "a a a z", SYS_rt_sigqueueinfo "p n a",
    SYS_rt_sigsuspend "a z", SYS_sigaltstack "a a", SYS_utime "s a", SYS_mknod "s o x", SYS_personality "x",
    SYS_ustat "x a", SYS_statfs "s a", SYS_fstatfs "d a", SYS_sysfs "n a a", SYS_getpriority "n p",
    SYS_setpriority "n p n", SYS_sched_setparam "p a", SYS_sched_getparam "p a", SYS_sched_setscheduler "p n a",
    SYS_sched_getscheduler "p", SYS_sched_get_priority_max "n", SYS_sched_get_priority_min "n",
    SYS_sched_rr_get_interval "p a", SYS_mlock "a z", SYS_munlock "a z", SYS_mlockall "x", SYS_munlockall "",
    SYS_vhangup "", SYS_modify_ldt "n a z", SYS_pivot_root "s s", SYS_prctl "n a a a a", SYS_arch_prctl "x a",
    SYS_adjtimex "a", SYS_setrlimit "n a", SYS_chroot "s", SYS_sync "", SYS_acct "s", SYS_settimeofday "a a",
    SYS_mount "s s s x a", SYS_umount2 "s x", SYS_swapon "s x", SYS_swapoff "s", SYS_reboot "x x n a",
    SYS_sethostname "b z", SYS_setdomainname "b z", SYS_iopl "n", SYS_ioperm "x x n", SYS_init_module "a z s",
    SYS_delete_module "s x", SYS_quotactl "x s n a", SYS_gettid ":p", SYS_readahead "d z z", SYS_setxattr "s s a z x",
    SYS_lsetxattr "s s a z x", SYS_fsetxattr "d s a z x", SYS_getxattr "s s a z", SYS_lgetxattr "s s a z",
    SYS_fgetxattr "d s a z", SYS_listxattr "s a z", SYS_llistxattr "s a z", SYS_flistxattr "d a z",
    SYS_removexattr "s s", SYS_lremovexattr "s s", SYS_fremovexattr "d s", SYS_tkill "p n", SYS_time "a",
    SYS_futex "a x u a a u", SYS_sched_setaffinity "p z a", SYS_sched_getaffinity "p z a", SYS_set_thread_area "a",
    SYS_io_setup "u a", SYS_io_destroy "x", SYS_io_getevents "x n n a a", SYS_io_submit "x n a", SYS_io_cancel "x a a",
    SYS_get_thread_area "a", SYS_lookup_dcookie "x a z", SYS_epoll_create "n", SYS_remap_file_pages "a z x z x",
    SYS_getdents64 "d a z", SYS_set_tid_address "a :p", SYS_restart_syscall "", SYS_semtimedop "d a z a",
    SYS_fadvise64 "d z z n", SYS_timer_create "n a a", SYS_timer_settime "n x a a", SYS_timer_gettime "n a",
    SYS_timer_getoverrun "n", SYS_timer_delete "n", SYS_clock_settime "n a", SYS_clock_gettime "n a",
    SYS_clock_getres "n a", SYS_clock_nanosleep "n x a a", SYS_exit_group "n", SYS_epoll_wait "d a n n",
    SYS_epoll_ctl "d n d a", SYS_tgkill "p p n", SYS_utimes "s a", SYS_mbind "a z n a u x", SYS_set_mempolicy "n a u",
    SYS_get_mempolicy "a a u a x", SYS_mq_open "s x o a", SYS_mq_unlink "s", SYS_mq_timedsend "d b z u a",
    SYS_mq_timedreceive "d a z a a", SYS_mq_notify "d a", SYS_mq_getsetattr "d a a", SYS_kexec_load "x n a x",
    SYS_waitid "n p a x a", SYS_add_key "s s b z n", SYS_request_key "s s s n", SYS_keyctl "n x x x x",
    SYS_ioprio_set "n p n", SYS_ioprio_get "n p", SYS_inotify_init "", SYS_inotify_add_watch "d s x",
    SYS_inotify_rm_watch "d n", SYS_migrate_pages "p u a a", SYS_openat "D s x o", SYS_mkdirat "D s o",
    SYS_mknodat "D s o x", SYS_fchownat "D s n n x", SYS_futimesat "D s a", SYS_newfstatat "D s a x",
    SYS_unlinkat "D s x", SYS_renameat "D s D s", SYS_linkat "D s D s x", SYS_symlinkat "s D s",
    SYS_readlinkat "D s a z", SYS_fchmodat "D s o", SYS_faccessat "D s x", SYS_pselect6 "n a a a a a",
    SYS_ppoll "a u a a z", SYS_unshare "x", SYS_set_robust_list "a z", SYS_get_robust_list "p a a",
    SYS_splice "d a d a z x", SYS_tee "d d z x", SYS_sync_file_range "d z z x", SYS_vmsplice "d a z x",
    SYS_move_pages "p z a a a x", SYS_utimensat "D s a x", SYS_epoll_pwait "d a n n a z", SYS_signalfd "d a z",
    SYS_timerfd_create "n x", SYS_eventfd "u", SYS_fallocate "d x z z", SYS_timerfd_settime "d x a a",
    SYS_timerfd_gettime "d a", SYS_accept4 "d a a x", SYS_signalfd4 "d a z x", SYS_eventfd2 "u x",
    SYS_epoll_create1 "x", SYS_dup3 "d d x", SYS_pipe2 "a x", SYS_inotify_init1 "x", SYS_preadv "d a n z z",
    SYS_pwritev "d v n z z", SYS_rt_tgsigqueueinfo "p p n a", SYS_perf_event_open "a p n d x",
    SYS_recvmmsg "d a u x a", SYS_fanotify_init "x x", SYS_fanotify_mark "d x x D s", SYS_prlimit64 "p n a a",
    SYS_name_to_handle_at "D s a a x", SYS_open_by_handle_at "d a x", SYS_clock_adjtime "n a", SYS_syncfs "d",
    SYS_sendmmsg "d a u x", SYS_setns "d x", SYS_getcpu "a a a", SYS_process_vm_readv "p a u a u x",
    SYS_process_vm_writev "p a u a u x", SYS_kcmp "p p n x x", SYS_finit_module "d s x", SYS_sched_setattr "p a x",
    SYS_sched_getattr "p a u x", SYS_renameat2 "D s D s x", SYS_seccomp "n x a", SYS_getrandom "a z x",
    SYS_memfd_create "s x", SYS_kexec_file_load "d d z s x", SYS_bpf "n a u", SYS_execveat "D s a a x",
    SYS_userfaultfd "x", SYS_membarrier "n x n", SYS_mlock2 "a z x", SYS_copy_file_range "d a d a z x",
    SYS_preadv2 "d a n z z x", SYS_pwritev2 "d v n z z x", SYS_pkey_mprotect "a z x n", SYS_pkey_alloc "x x",
    SYS_pkey_free "n", SYS_statx "D s x x a", SYS_rseq "a u x x", SYS_pidfd_send_signal "d n a x",
    SYS_io_uring_setup "u a", SYS_io_uring_enter "d u u x a z", SYS_io_uring_register "d u a u", SYS_open_tree "D s x",
    SYS_move_mount "D s D s x", SYS_fsopen "s x", SYS_fsconfig "d u s a n", SYS_fsmount "d x x", SYS_fspick "D s x",
    SYS_pidfd_open "p x", SYS_clone3 "a z :p", SYS_close_range "u u x", SYS_openat2 "D s a z", SYS_pidfd_getfd "d n x",
    SYS_faccessat2 "D s x x", SYS_process_madvise "d a u n x", SYS_epoll_pwait2 "d a n a a z",
    SYS_mount_setattr "D s x a z", SYS_quotactl_fd "d x n a", SYS_landlock_create_ruleset "a z x",
    SYS_landlock_add_rule "d n a x", SYS_landlock_restrict_self "d x", SYS_memfd_secret "x",
    SYS_process_mrelease "d x", SYS_futex_waitv "a u x a n", SYS_set_mempolicy_home_node "a z u x",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_number() {
        let mmap = Signature::of(libc::SYS_mmap as u64);
        assert_eq!((&mmap.name[..], mmap.kinds.len()), ("mmap", 6));
        assert_eq!(mmap.result, Kind::Address);
        assert_eq!(Signature::of(u64::MAX).name, "syscall_-1");
    }

    #[test]
    fn every_entry_reads_as_six_arguments_at_most() {
        for (_, name, letters) in TABLE {
            let letters = letters.replace([' ', ':'], "");
            assert!(
                letters.chars().all(|letter| kind(letter).is_some()),
                "{name}"
            );
            assert!(Signature::parse(name, &letters).kinds.len() <= 7, "{name}");
        }
    }
}
