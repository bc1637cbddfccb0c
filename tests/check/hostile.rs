//! For every file, there is a quick answer within bounds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use supplant_inspect::check::{self, Setting, Verdict, examine};
use supplant_model::page::PageSize;

use crate::{asserting, numbers};
use support::elf::{Elf, PT_LOAD, ProgramHeader};
use support::refused::file;
use support::{Call, Ending, scratch, test_binaries};

/// Far longer than any file takes.
const SOON: Duration = Duration::from_secs(5);
const SETTING: Setting = Setting {
    page_size: PageSize::SMALLEST,
    elsewhere: true,
};

pub(super) fn trials() -> Vec<Trial> {
    vec![
        asserting("special_files_do_not_block", special_files),
        asserting("a_program_cut_off_anywhere", cut_off),
        asserting(
            "a_program_with_a_byte_changed_anywhere_in_its_headers",
            changed,
        ),
        asserting("random_bytes", random),
        asserting("65535_program_headers_and_2_to_the_64", huge_fields),
        asserting("a_file_that_vanishes", vanishing),
    ]
}

fn soon(path: &Path) -> Verdict {
    let started = Instant::now();
    let verdict = examine(path, None).verdict;
    assert!(started.elapsed() < SOON, "{}", path.display());
    verdict
}

fn special_files() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    mkfifo(&at("fifo"), Mode::S_IRWXU).expect("the directory is ours");
    symlink("loop", at("loop")).expect("the directory is ours");
    symlink(at("fifo"), at("link")).expect("the directory is ours");
    fs::write(at("to_fifo"), format!("#!{}\n", at("fifo").display()))
        .expect("the directory is ours");
    let paths = ["fifo", "loop", "link", "to_fifo", ".", "nothing", "fifo/x"].map(at);
    let others = [
        "/dev/zero",
        "/dev/null",
        "/dev/tty",
        "/proc/self/mem",
        "/proc/self/maps",
        "/proc/self/fd",
        "",
        "/",
    ];
    for path in paths
        .iter()
        .map(PathBuf::as_path)
        .chain(others.map(Path::new))
    {
        let kernel = Call::new(path).by_kernel().ending;
        match (soon(path), kernel) {
            (Verdict::Refused { errno }, Ending::Refused(expected)) => {
                assert_eq!(errno, expected, "{}", path.display());
            }
            (ours, kernel) => {
                panic!("{}: {ours:?}, the kernel {kernel:?}", path.display());
            }
        }
    }
}

fn real() -> Vec<u8> {
    fs::read(test_binaries().join("glibc-pie/tell")).expect("`make test-binaries` builds it")
}

/// Truncates the file at each byte of the headers, and at steps in the rest.
fn cut_off() {
    let bytes = real();
    let directory = scratch();
    let every = 0..0x400;
    let some = (0x400..bytes.len()).step_by(997);
    for size in every.chain(some) {
        let findings = check::findings(&bytes[..size], size as u64, SETTING);
        assert!(findings.len() < 200, "{size}: {} findings", findings.len());
    }
    // The sizes at which the kernel's answer changes: in the prefix, the table, the segments.
    for size in [
        0,
        1,
        4,
        63,
        64,
        65,
        200,
        64 + 56 * 13 - 1,
        64 + 56 * 14,
        0x1000,
        0x1001,
        0x2fff,
        bytes.len() - 1,
    ] {
        let path = file(
            directory.path().join(size.to_string()),
            &bytes[..size],
            0o755,
        );
        let kernel = Call::new(&path).by_kernel().ending;
        match (soon(&path), kernel) {
            (Verdict::Refused { errno }, Ending::Refused(expected)) => {
                assert_eq!(errno, expected, "{size}");
            }
            (Verdict::Killed { signal }, Ending::Killed(expected)) => {
                assert_eq!(signal, expected, "{size}");
            }
            // A program that starts may die because of the missing part.
            (Verdict::Starts, Ending::Exited(_) | Ending::Killed(_)) => (),
            (ours, kernel) => {
                panic!("{size} bytes: {ours:?}, the kernel {kernel:?}");
            }
        }
    }
}

fn changed() {
    let mut bytes = real();
    for at in 0..0x400 {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let old = std::mem::replace(&mut bytes[at], value);
            let findings = check::findings(&bytes[..], bytes.len() as u64, SETTING);
            assert!(findings.len() < 400, "{at:#x}: {} findings", findings.len());
            bytes[at] = old;
        }
    }
}

/// The random numbers are the same in each run.
fn random() {
    let mut next = numbers(0x9e37_79b9_7f4a_7c15);
    let directory = scratch();
    for n in 0..200 {
        let mut bytes: Vec<u8> = (0..128).flat_map(|_| next().to_le_bytes()).collect();
        match n % 4 {
            0 => bytes[..6].copy_from_slice(b"\x7fELF\x02\x01"),
            1 => {
                bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0");
                bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
                bytes[54..58].copy_from_slice(&[56, 0, 9, 0]);
            }
            2 => bytes[..2].copy_from_slice(b"#!"),
            _ => (),
        }
        let size = bytes.len() as u64;
        assert!(check::findings(&bytes[..], size, SETTING).len() < 400);
        let path = file(directory.path().join(n.to_string()), &bytes, 0o755);
        let (ours, kernel) = (soon(&path), Call::new(&path).by_kernel().ending);
        let same = match (ours, kernel) {
            (Verdict::Refused { errno }, Ending::Refused(expected)) => errno == expected,
            (Verdict::Killed { signal }, Ending::Killed(expected)) => signal == expected,
            (Verdict::Starts, Ending::Exited(_) | Ending::Killed(_)) => true,
            _ => false,
        };
        assert!(same, "{n}: {ours:?}, the kernel {kernel:?}");
    }
}

fn huge_fields() {
    let directory = scratch();
    for value in [u64::MAX, 1 << 63, (1 << 47) - 1] {
        let header = ProgramHeader {
            kind: PT_LOAD,
            flags: u32::MAX,
            offset: value,
            vaddr: value,
            paddr: value,
            file_size: value,
            memory_size: value,
            align: value,
        };
        for count in [9, 1170, 65535_usize] {
            let elf = Elf::standard().with(|elf| {
                elf.program_headers = vec![header; count];
                elf.size = None;
                (elf.header.shoff, elf.header.shnum, elf.header.shentsize) = (value, 0, 64);
                elf.header.entry = value;
            });
            let path = file(
                directory.path().join(format!("{value:x}.{count}")),
                elf.to_bytes(),
                0o755,
            );
            let report = examine(&path, PageSize::new(0x1_0000));
            assert_ne!(report.verdict, Verdict::Starts);
            assert!(report.findings.len() < 200, "{}", report.findings.len());
        }
    }
}

fn vanishing() {
    let directory = scratch();
    let path = directory.path().join("program");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..200 {
                let other = directory.path().join("new");
                file(&other, Elf::standard().to_bytes(), 0o755);
                fs::rename(&other, &path).expect("the directory is ours");
                fs::remove_file(&path).expect("it is there");
            }
        });
        while !writer.is_finished() {
            soon(&path);
        }
    });
}
