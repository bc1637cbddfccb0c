//! Memory that is nearly exhausted: the program starts, or the library answers with ENOMEM. It never aborts its caller.
#![allow(unsafe_code, reason = "fills the map of a process")]

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, setrlimit};
use supplant_loader::Command;
use support::alike::forked;
use support::elf::Elf;
use support::system::{address, system_call};
use support::{Call, Ending, builds, place, scratch, trials};

trials![
    where_the_map_is_full_nothing_aborts,
    where_the_address_space_is_small_nothing_aborts,
    where_data_is_limited_nothing_aborts,
    where_the_stack_is_small_nothing_aborts,
    where_the_command_starts_it_does_not_abort,
    children_of_an_exhausted_process_start_or_are_refused,
];

const PAGE: usize = 4096;

/// The value of a line of /proc/self/status, in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .expect("the line is there")
        * 1024
}

/// Runs a program by the kernel and by the library, each in a forked child, after `exhaust`. What the command needs is allocated
/// before.
fn endings(path: &Path, exhaust: &dyn Fn() -> io::Result<()>) -> [Ending; 2] {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("it has no NUL");
    let kernel = forked(|| match exhaust() {
        Ok(()) => {
            let (argv, envp) = ([address(&*name), 0], [0_u64]);
            let arguments = [name.as_ptr().addr() as u64, address(&argv), address(&envp)];
            let result = system_call(libc::SYS_execve, arguments);
            result.map_or_else(|error| error.raw_os_error().unwrap_or(98), |_| 98)
        }
        Err(_) => 99,
    });
    let mut command = Command::new(path);
    command.env_clear();
    let command = std::cell::RefCell::new(command);
    let ours = forked(|| match exhaust() {
        Ok(()) => {
            let error = command.borrow_mut().exec();
            if let Some(signal) = error.signal() {
                supplant_loader::die_by(signal);
            }
            error.raw_os_error()
        }
        Err(_) => 99,
    });
    [kernel, ours]
}

/// It ends as by the kernel, or is refused with ENOMEM. Returns whether it is refused.
fn check(name: &str, [kernel, ours]: &[Ending; 2]) -> bool {
    let refused = Ending::Exited(libc::ENOMEM);
    assert!(
        [kernel, &refused].contains(&ours),
        "{name}: {ours:?} instead of {kernel:?}"
    );
    *ours == refused
}

/// A static program of two pages, and a dynamic one.
fn programs(folder: &tempfile::TempDir) -> [PathBuf; 2] {
    [
        Elf::standard().write(folder.path().join("small")),
        place::target().join("test-binaries/glibc-pie/frames"),
    ]
}

/// Maps single pages, each of which is a mapping of its own, until so many are left.
fn fill_map(left: u64) -> io::Result<()> {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count")?;
    let limit: u64 = limit.trim().parse().map_err(io::Error::other)?;
    let now = std::fs::read_to_string("/proc/self/maps")?.lines().count() as u64;
    let (none, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let size = (limit.saturating_sub(now + left) as usize) * PAGE;
    // SAFETY: a new mapping.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), size, none, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    for page in (0..size / PAGE).step_by(2) {
        let at = start.cast::<u8>().wrapping_add(page * PAGE).cast();
        // SAFETY: within the mapping.
        if unsafe { libc::mprotect(at, PAGE, libc::PROT_READ) } != 0 {
            break;
        }
    }
    Ok(())
}

fn where_the_map_is_full_nothing_aborts() {
    let folder = scratch();
    for path in programs(&folder) {
        let mut refused = 0;
        for left in [0, 1, 2, 4, 8, 20, 40] {
            let endings = endings(&path, &|| fill_map(left));
            refused += u64::from(check(
                &format!("{left} mappings left for {}", path.display()),
                &endings,
            ));
        }
        assert!(refused < 7, "{refused}");
    }
}

/// How much more memory than now is allowed, in KiB.
const STEPS: [u64; 16] = [
    0, 8, 32, 64, 100, 132, 164, 200, 300, 400, 600, 1000, 2000, 4000, 16_000, 64_000,
];

/// Sets the limit to what `line` of /proc/self/status says, and each step.
fn limited(resource: Resource, line: &str) {
    let folder = scratch();
    for path in programs(&folder) {
        for step in STEPS {
            let endings = endings(&path, &|| {
                let bytes = status(line) + step * 1024;
                Ok(setrlimit(resource, bytes, bytes)?)
            });
            let refused = check(
                &format!("{line} and {step} KiB for {}", path.display()),
                &endings,
            );
            assert!(!refused || step < 16_000, "{step}");
        }
    }
}

fn where_the_address_space_is_small_nothing_aborts() {
    limited(Resource::RLIMIT_AS, "VmSize:");
}

fn where_data_is_limited_nothing_aborts() {
    limited(Resource::RLIMIT_DATA, "VmData:");
}

fn where_the_stack_is_small_nothing_aborts() {
    let folder = scratch();
    for path in programs(&folder) {
        for bytes in [64, 132, 200, 1000].map(|kib| kib * 1024) {
            let endings = endings(&path, &|| {
                Ok(setrlimit(Resource::RLIMIT_STACK, bytes, bytes)?)
            });
            check(&format!("a stack of {bytes}"), &endings);
        }
    }
}

fn children_of_an_exhausted_process_start_or_are_refused() {
    let folder = scratch();
    for path in programs(&folder) {
        for step in STEPS {
            let mut command = Command::new(&path);
            command.env_clear();
            let command = std::cell::RefCell::new(command);
            let ending = forked(|| {
                let bytes = status("VmData:") + step * 1024;
                if setrlimit(Resource::RLIMIT_DATA, bytes, bytes).is_err() {
                    return 99;
                }
                match command.borrow_mut().status() {
                    Ok(status) => status.code().unwrap_or(98),
                    Err(error) => error.raw_os_error(),
                }
            });
            let expected = [42, libc::ENOMEM, 127].map(Ending::Exited);
            assert!(expected.contains(&ending), "{step} KiB of data: {ending:?}");
        }
    }
}

/// The command itself has memory of its own: below that the kernel does not start it.
fn where_the_command_starts_it_does_not_abort() {
    let folder = scratch();
    let path = Elf::standard().write(folder.path().join("small"));
    for build in builds() {
        for (resource, steps) in [
            (Resource::RLIMIT_DATA, 20..40),
            (Resource::RLIMIT_AS, 200..240),
        ] {
            for bytes in steps.map(|step| step * 20 * 1024) {
                let run = Call::new(&path).setup(move || Ok(setrlimit(resource, bytes, bytes)?));
                let ending = run.by_command(&build).ending;
                assert_ne!(
                    ending,
                    Ending::Killed(libc::SIGABRT),
                    "{} {resource:?} {bytes}",
                    build.display()
                );
            }
        }
    }
}
