//! Address randomisation: random bits vary over the kernel's range with the kernel's alignment, and all other bits are equal.

use std::collections::BTreeMap;
use std::path::PathBuf;

use support::trials;
use support::trials::ignore;
use support::{Call, Ending, builds, test_binaries};

trials![
    a_position_independent_program_is_random_where_the_kernel_makes_it_so,
    a_static_position_independent_program_is_random_where_the_kernel_makes_it_so,
    a_program_at_fixed_addresses_is_random_where_the_kernel_makes_it_so,
];

/// So many that a random bit has the same value in all runs only once in 2^150 times.
const RUNS: usize = 150;

/// The bits of an address that were seen as 0, the bits that were seen as 1, and the range of the address.
#[derive(Clone, Copy, Debug)]
struct Spread {
    zeros: u64,
    ones: u64,
    lowest: u64,
    highest: u64,
}

impl Spread {
    fn of(values: &[u64]) -> Self {
        let zeros = values.iter().fold(0, |bits, value| bits | !value);
        let ones = values.iter().fold(0, |bits, value| bits | value);
        let lowest = values.iter().copied().min().unwrap_or(0);
        Self {
            zeros,
            ones,
            lowest,
            highest: values.iter().copied().max().unwrap_or(0),
        }
    }

    /// The bits that were seen as both 0 and 1.
    fn random(self) -> u64 {
        self.zeros & self.ones
    }
}

/// Addresses of one run of `tell`, by name.
fn anchors(stdout: &[u8]) -> BTreeMap<&'static str, u64> {
    let text = String::from_utf8_lossy(stdout);
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let value = |key: &str| {
        text.lines()
            .find_map(|line| hex(line.strip_prefix(key)?.trim()))
    };
    let map = |wanted: &str, nth: usize| {
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with("maps ") && line.ends_with(wanted));
        let (start, end) = lines
            .next_back()?
            .strip_prefix("maps ")?
            .split_once(' ')?
            .0
            .split_once('-')?;
        hex([start, end][nth])
    };
    let image = text
        .lines()
        .find_map(|line| hex(line.strip_prefix("maps ")?.split('-').next()?));
    let entries = [
        ("image", image),
        ("stack top", map("[stack]", 1)),
        ("sp", value("sp ")),
        ("heap", value("stat.start_brk ")),
        ("vdso", map("[vdso]", 0)),
    ];
    entries
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

fn spreads(call: &Call, build: Option<&PathBuf>) -> BTreeMap<&'static str, Spread> {
    let mut values: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for _ in 0..RUNS {
        let outcome = build.map_or_else(|| call.by_kernel(), |build| call.by_command(build));
        assert_eq!(outcome.ending, Ending::Exited(42), "{outcome:?}");
        for (name, value) in anchors(&outcome.stdout) {
            values.entry(name).or_default().push(value);
        }
    }
    values
        .into_iter()
        .map(|(name, values)| (name, Spread::of(&values)))
        .collect()
}

/// The same bits are random for the kernel and for us; one bit at the upper end may be seen on one side only, by the chance of
/// a carry.
fn alike(flavour: &str) {
    let program = test_binaries().join(flavour).join("tell");
    if !program.exists() {
        ignore("the test programs");
    }
    let call = Call::new(program);
    let kernel = spreads(&call, None);
    assert!(kernel.len() >= 4, "{kernel:?}");
    let build = builds().pop().expect("cargo built one");
    let ours = spreads(&call, Some(&build));
    for (name, kernel) in &kernel {
        let ours = ours[name];
        let carry = |bits: u64| bits & !(1 << (63 - bits.leading_zeros().min(63)));
        let both = |bits: u64| carry(carry(bits));
        assert_eq!(
            both(kernel.random() & !ours.random()),
            0,
            "{name}: kernel {kernel:x?}, ours {ours:x?}"
        );
        assert_eq!(
            both(ours.random() & !kernel.random()),
            0,
            "{name}: kernel {kernel:x?}, ours {ours:x?}"
        );
        let width = (kernel.highest - kernel.lowest).max(0x1000) / 4;
        assert!(
            ours.lowest.abs_diff(kernel.lowest) <= width,
            "{name}: kernel {kernel:x?}, ours {ours:x?}"
        );
        assert!(
            ours.highest.abs_diff(kernel.highest) <= width,
            "{name}: kernel {kernel:x?}, ours {ours:x?}"
        );
    }
}

fn a_position_independent_program_is_random_where_the_kernel_makes_it_so() {
    alike("glibc-pie");
}

fn a_static_position_independent_program_is_random_where_the_kernel_makes_it_so() {
    alike("glibc-static-pie");
}

fn a_program_at_fixed_addresses_is_random_where_the_kernel_makes_it_so() {
    alike("glibc-static");
}
