//! The fuzz targets without libFuzzer: every file of the corpus, and some seconds of random changes to it.
//!
//! A failure names the seed that reproduces it: `SEED=7 cargo test --test fuzz -- load`. `make fuzz` searches for longer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fuzz::{TARGETS, Target};
use libtest_mimic::{Arguments, Failed};
use supplant_inspect::trace::by_kernel;
use support::trials::trial;

/// How long the random inputs of one target take.
const TIME: Duration = Duration::from_millis(1200);
/// The most inputs in this time, so that a fast machine does not need longer to find out what a slow one cannot.
const COUNT: u64 = 20_000;
/// The largest random input.
const SIZE: usize = 600;

fn main() {
    fuzz::prepare();
    let arguments = Arguments::from_args();
    let trials = TARGETS.iter().flat_map(|target| {
        let missing = missing(*target);
        let trial = move |name: &str, run: fn(Target) -> Result<(), Failed>| {
            let name = format!("{name}::{}", target.name);
            trial(name, missing, move || run(*target))
        };
        [trial("corpus", corpus), trial("random", random)]
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn missing(target: Target) -> Option<&'static str> {
    let arguments = supplant_model::arguments::Arguments {
        execfn: c"/bin/true".to_owned(),
        argv: vec![c"/bin/true".to_owned()],
        envp: Vec::new(),
    };
    let traces = || by_kernel(&[c"/bin/true".to_owned()], &arguments).is_ok();
    (target.name == "exec" && !traces()).then_some("permission to trace children")
}

/// The files of a target's corpus, in the order of their names.
fn files(target: Target) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let entries = fs::read_dir(folder.join(target.name)).expect("each target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    files.sort();
    files
}

fn corpus(target: Target) -> Result<(), Failed> {
    for file in files(target) {
        let bytes = fs::read(&file).expect("it can be read");
        catch(target, &bytes).map_err(|text| format!("{}: {text}", file.display()))?;
    }
    Ok(())
}

fn random(target: Target) -> Result<(), Failed> {
    let read = |file: PathBuf| fs::read(file).expect("it can be read");
    let corpus: Vec<_> = files(target).into_iter().map(read).collect();
    let only = std::env::var("SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let started = Instant::now();
    for seed in only.map_or(1..=COUNT, |seed: u64| seed..=seed) {
        catch(target, &input(seed, &corpus)).map_err(|text| format!("SEED={seed}: {text}"))?;
        if started.elapsed() > TIME {
            break;
        }
    }
    Ok(())
}

/// The same bytes for the same seed and corpus: random ones, or a file of the corpus with a few changes.
fn input(seed: u64, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    if corpus.is_empty() || random.below(4) == 0 {
        let size = random.below(SIZE);
        return (0..size).map(|_| random.next() as u8).collect();
    }
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => {
                let other = &corpus[random.below(corpus.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[at.min(other.len())..]);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= random.next() as u8;
                }
            }
        }
    }
    bytes
}

/// Runs one input; an error is the text of the panic.
fn catch(target: Target, bytes: &[u8]) -> Result<(), String> {
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    result.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        format!(
            "{}\n{}",
            text.unwrap_or("it panicked"),
            bytes.escape_ascii()
        )
    })
}

/// xorshift64*: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
