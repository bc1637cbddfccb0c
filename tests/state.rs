//! The state that exec keeps and the state that it drops: a process sets up a state and runs a program that reports it, by the
//! kernel and in each of our ways, with the same report.
#![allow(unsafe_code, reason = "brings a child into a state")]

use std::cell::Cell;
use std::fs;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::resource::Resource;
use support::alike::{alike, attributes, program, script, told};
use support::system::{address, block, set_action, system_call};
use support::{Call, Ending, check, scratch, test_binaries};

#[test]
fn the_signal_mask_is_kept() {
    let told = told(&["status.SigBlk"], || block(&[libc::SIGUSR1, 33, 64]));
    assert!(told.has("status.SigBlk 8000000100000200"), "{told:?}");
}

#[test]
fn pending_signals_are_kept() {
    let told = told(&["status."], || {
        block(&[libc::SIGUSR1, libc::SIGUSR2])?;
        let (process, thread) = (
            std::process::id().into(),
            system_call(libc::SYS_gettid, [])?,
        );
        system_call(libc::SYS_kill, [process, libc::SIGUSR1 as u64])?;
        system_call(libc::SYS_tkill, [thread as u64, libc::SIGUSR2 as u64]).map(drop)
    });
    assert!(told.has("status.ShdPnd 0000000000000200"), "{told:?}");
    assert!(told.has("status.SigPnd 0000000000000800"), "{told:?}");
}

#[test]
fn a_pending_signal_kills_once_the_program_unblocks_it() {
    let call = Call::new(program("signals")).setup(|| {
        block(&[libc::SIGTERM])?;
        set_action(libc::SIGTERM, [0x1000, 0, 0, 0])?;
        system_call(
            libc::SYS_kill,
            [std::process::id().into(), libc::SIGTERM as u64],
        )
        .map(drop)
    });
    assert_eq!(alike(&call, &[""]).ending, Ending::Killed(libc::SIGTERM));
}

#[test]
fn a_pending_signal_of_a_timer_is_dropped_with_it() {
    let told = told(&["status.SigPnd", "status.ShdPnd"], || {
        block(&[libc::SIGALRM])?;
        let timer = Cell::new(0u32);
        // Without an event structure, the timer sends SIGALRM.
        system_call(libc::SYS_timer_create, [0, 0, address(&timer)])?;
        let soon = [0u64, 0, 0, 1];
        let timer = timer.get().into();
        system_call(libc::SYS_timer_settime, [timer, 0, address(&soon), 0])?;
        sleep(Duration::from_millis(5));
        Ok(())
    });
    assert!(told.has("status.ShdPnd 0000000000000000"), "{told:?}");
}

#[test]
fn ignored_signals_stay_ignored_caught_ones_do_not_and_flags_masks_and_restorers_go() {
    let call = Call::new(program("signals")).setup(|| {
        const FLAGS: u64 = (libc::SA_RESTART | libc::SA_NODEFER | 0x0400_0000) as u64;
        for signal in (1..=64).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
            let handler = [0, 1, 0x1000][signal as usize % 3];
            set_action(signal, [handler, FLAGS, 0x2000, 0xff00])?;
        }
        Ok(())
    });
    let signals = alike(&call, &[""]);
    assert_eq!(signals.ending, Ending::Exited(42), "{signals:?}");
    assert!(
        signals
            .lines()
            .any(|line| line.starts_with("ignored 1 4 7 10 13 16 22 25 28 31 34"))
    );
}

#[test]
fn sigpipe_is_neither_ignored_nor_restored() {
    for handler in [0, 1] {
        let told = told(&["status.SigIgn"], move || {
            set_action(libc::SIGPIPE, [handler, 0, 0, 0])
        });
        let ignored = told.lines().next().and_then(|line| line.rsplit_once(' '));
        let ignored = ignored.and_then(|(_, digits)| u64::from_str_radix(digits, 16).ok());
        let bit = ignored.map(|set| set >> (libc::SIGPIPE - 1) & 1);
        assert_eq!(bit, Some(handler), "{told:?}");
    }
}

#[test]
fn the_alternate_signal_stack_goes() {
    let call = Call::new(program("signals")).setup(|| {
        let place = vec![0_u8; 65536].leak();
        let stack = [address(place), 0, 65536];
        system_call(libc::SYS_sigaltstack, [address(&stack), 0]).map(drop)
    });
    assert_eq!(alike(&call, &[""]).ending, Ending::Exited(42));
}

#[test]
fn interval_timers_are_kept() {
    let told = attributes(&["itimer"], || {
        let seven_seconds = [7u64, 0, 7, 0];
        for which in [0, 1] {
            system_call(libc::SYS_setitimer, [which, address(&seven_seconds), 0])?;
        }
        Ok(())
    });
    assert!(told.has("itimer.real runs, every 7 s"), "{told:?}");
    assert!(told.has("itimer.profiling off, every 0 s"), "{told:?}");
}

#[test]
fn posix_timers_are_deleted() {
    let told = attributes(&["timers "], || {
        const SIGEV_NONE: u32 = 1;
        let mut event = [0u32; 16];
        event[3] = SIGEV_NONE;
        let timer = Cell::new(0u32);
        for clock in [0, 1, 1] {
            system_call(
                libc::SYS_timer_create,
                [clock, address(&event), address(&timer)],
            )?;
        }
        let listed = fs::read_to_string("/proc/self/timers").unwrap_or_default();
        assert!(listed.is_empty() || listed.contains("ID: "));
        Ok(())
    });
    assert!(told.lines().all(|line| line.trim() == "timers"), "{told:?}");
}

/// Opens a file for the child, at an offset, as this descriptor.
fn open_at(number: i32, flags: i32, offset: i64) -> io::Result<()> {
    let path = c"/etc/passwd";
    // SAFETY: the string is terminated.
    let opened = unsafe { libc::open(path.as_ptr(), flags) };
    check(opened)?;
    let how = if flags & libc::O_CLOEXEC == 0 {
        0
    } else {
        libc::O_CLOEXEC
    };
    system_call(libc::SYS_dup3, [opened as u64, number as u64, how as u64])?;
    system_call(libc::SYS_lseek, [number as u64, offset as u64, 0])?;
    system_call(libc::SYS_close, [opened as u64]).map(drop)
}

#[test]
fn descriptors_are_kept_with_their_offsets_and_close_on_exec_ones_closed() {
    let told = attributes(&["descriptor"], || {
        open_at(700, libc::O_RDONLY | libc::O_NONBLOCK, 5)?;
        open_at(701, libc::O_RDONLY | libc::O_CLOEXEC, 6)?;
        open_at(1000, libc::O_RDONLY, 7)
    });
    assert!(
        told.has("descriptor 700 flags 0x8800 close-on-exec 0 offset 5"),
        "{told:?}"
    );
    assert!(
        told.has("descriptor 1000 flags 0x8000 close-on-exec 0 offset 7"),
        "{told:?}"
    );
    assert!(!told.lines().any(|line| line.starts_with("descriptor 701 ")));
}

#[test]
fn of_a_thousand_descriptors_every_second_one_is_closed() {
    let told = attributes(&["descriptor"], || {
        let limit = [4000u64; 2];
        system_call(
            libc::SYS_setrlimit,
            [Resource::RLIMIT_NOFILE as u64, address(&limit)],
        )?;
        for number in 1000..2000 {
            let close = if number % 2 == 0 { libc::O_CLOEXEC } else { 0 };
            open_at(number, libc::O_RDONLY | close, i64::from(number))?;
        }
        Ok(())
    });
    let kept = told
        .lines()
        .filter(|line| line.starts_with("descriptor 1") && line.contains("offset 1"));
    assert_eq!(kept.count(), 500);
}

#[test]
fn no_descriptor_of_the_loader_is_left() {
    let directory = scratch();
    let dynamic = test_binaries().join("glibc-pie/attributes");
    let script = script(&directory, "script", format!("#!{}\n", dynamic.display()));
    for path in [program("attributes"), dynamic, script] {
        let told = alike(&Call::new(&path), &["descriptor"]);
        assert_eq!(told.ending, Ending::Exited(42), "{told:?}");
    }
}
