//! Random mutations of real programs: the outcome is the kernel's, and if both start, their states at the first instruction are
//! equal. No instruction of a mutated program ever runs.
//!
//! The environment variables `SEED` and `COUNT` choose which mutations and how many; a failure names the seed that reproduces
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fuzz::outcome::outcome;
use support::elf::write_executable;
use support::{scratch, test_binaries, without_randomization};

const USUAL_COUNT: u64 = 200;
const EHDR_SIZE: usize = 64;
const PHDR_SIZE: usize = 56;

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn main() -> ExitCode {
    without_randomization();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = (
        number("SEED").unwrap_or(1),
        number("COUNT").unwrap_or(USUAL_COUNT),
    );
    let bases = bases();
    let directory = scratch();
    let (mut started, mut failed) = (0, 0);
    for seed in first..first + count {
        let path = directory.path().join("mutant");
        let mutant = mutate(seed, &bases, directory.path());
        // A new file each time: a mapped or traced file is busy.
        let _ = fs::remove_file(&path);
        write_executable(&path, &mutant);
        if std::env::var_os("KEEP").is_some() {
            let _ = fs::copy(&path, "/tmp/mutant");
        }
        match outcome(&path) {
            Ok(true) => started += 1,
            Ok(false) => (),
            Err(text) => {
                failed += 1;
                println!("SEED={seed} COUNT=1:\n{text}");
            }
        }
    }
    println!("{started} of {count} mutants start");
    println!("\n{} passed, {failed} failed", count - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn bases() -> Vec<Vec<u8>> {
    let names = [
        "glibc-pie/bss_tail",
        "glibc-static/bss_tail",
        "glibc-static-pie/bss_tail",
        "bare/two_segments_far",
    ];
    let built = names.iter().map(|name| test_binaries().join(name));
    let paths = built.chain(["/bin/true", "/usr/bin/env"].map(PathBuf::from));
    let bases: Vec<_> = paths.filter_map(|path| fs::read(path).ok()).collect();
    assert!(!bases.is_empty(), "there is no program to change");
    bases
}

/// Makes one to three changes to fields of the ELF header or of a program header, or to the size of the file.
fn mutate(seed: u64, bases: &[Vec<u8>], directory: &Path) -> Vec<u8> {
    let mut random = Random::new(seed);
    let base = random.below(bases.len());
    let mut bytes = bases[base].clone();
    if random.below(8) == 0 {
        return as_interpreter(&bytes, &mut random, directory);
    }
    for _ in 0..=random.below(3) {
        change(&mut bytes, &mut random);
    }
    bytes
}

/// Makes the changed file the interpreter of a valid program.
fn as_interpreter(base: &[u8], random: &mut Random, directory: &Path) -> Vec<u8> {
    use support::elf::Elf;
    let mut interpreter = base.to_vec();
    for _ in 0..=random.below(3) {
        change(&mut interpreter, random);
    }
    let path = directory.join("interpreter");
    let _ = fs::remove_file(&path);
    write_executable(&path, &interpreter);
    let elf = if random.below(2) == 0 {
        Elf::standard()
    } else {
        Elf::standard_pie()
    };
    elf.with_interpreter(&path).to_bytes()
}

fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    let count = bytes
        .get(56..58)
        .map_or(0, |half| u16::from_le_bytes([half[0], half[1]]))
        .min(20);
    match random.below(10) {
        0 => bytes.truncate(random.below(bytes.len().max(1))),
        1 | 2 => {
            let (at, size) = random.pick(&[
                (16, 2),
                (18, 2),
                (24, 8),
                (32, 8),
                (54, 2),
                (56, 2),
                (4, 1),
                (40, 8),
            ]);
            overwrite(bytes, at, size, random);
        }
        _ => {
            let header = EHDR_SIZE + random.below(usize::from(count).max(1)) * PHDR_SIZE;
            let (at, size) = random.pick(&[
                (0, 4),
                (4, 4),
                (8, 8),
                (16, 8),
                (16, 8),
                (32, 8),
                (40, 8),
                (40, 8),
                (48, 8),
            ]);
            overwrite(bytes, header + at, size, random);
        }
    }
}

/// Writes a new value: near the old one, a boundary value, or random.
fn overwrite(bytes: &mut [u8], at: usize, size: usize, random: &mut Random) {
    const INTERESTING: [u64; 16] = [
        0,
        1,
        2,
        3,
        4,
        6,
        0x6474_e551,
        0xfff,
        0x1000,
        0x1001,
        0x20_0000,
        0x40_0000,
        0x7fff_ffff_e000,
        0x7fff_ffff_f000,
        1 << 63,
        u64::MAX,
    ];
    let Some(field) = bytes.get_mut(at..at + size) else {
        return;
    };
    let old = field
        .iter()
        .rev()
        .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    let new = match random.below(4) {
        0 => random.pick(&INTERESTING),
        1 => old.wrapping_add(random.pick(&[1, 8, 0xff8, 0x1000, 0x3000, 0x20_0000])),
        2 => old.wrapping_sub(random.pick(&[1, 8, 0xff8, 0x1000, 0x3000, 0x20_0000])),
        _ => random.next() >> random.below(64),
    };
    field.copy_from_slice(&new.to_le_bytes()[..size]);
}
