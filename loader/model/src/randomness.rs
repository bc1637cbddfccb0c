//! The random words of a plan: fresh words from the kernel, or the words of a seed.

/// All random words of a plan, so that the same words give the same plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Randomness {
    /// For the top of the stack, in pages.
    pub stack_pages: u64,
    /// For the top of the stack, in bytes.
    pub stack_bytes: u64,
    /// For the gap below the argument strings.
    pub stack_gap: u64,
    /// For the base of a position-independent program.
    pub base: u64,
    /// For the start of the heap.
    pub brk: u64,
    /// For the base of mappings, in pages. Only a seeded layout and a host from a file use it: otherwise mappings start
    /// where they start in this process.
    pub mmap_base: u64,
    /// `AT_RANDOM`.
    pub bytes: [u8; 16],
}

/// How many random bytes it needs.
pub const SIZE: usize = 64;

impl Randomness {
    /// From random bytes.
    pub fn from_bytes(bytes: &[u8; SIZE]) -> Self {
        let (words, _) = bytes.as_chunks();
        let mut words = words.iter().map(|word| u64::from_ne_bytes(*word));
        Self::from_words(|| words.next().unwrap_or_default())
    }

    /// From a seed: the same seed always gives the same words.
    ///
    /// The generator is SplitMix64 (Steele, Lea, Flood 2014): equally distributed, and the words of neighbouring seeds
    /// are unrelated.
    pub fn from_seed(seed: u64) -> Self {
        let mut state = seed;
        Self::from_words(|| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        })
    }

    fn from_words(mut word: impl FnMut() -> u64) -> Self {
        Self {
            stack_pages: word(),
            stack_bytes: word(),
            stack_gap: word(),
            base: word(),
            brk: word(),
            mmap_base: word(),
            bytes: u128::to_ne_bytes(u128::from(word()) << 64 | u128::from(word())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_words_of_the_published_generator() {
        // The first outputs of SplitMix64 for the seed 0, as its authors' reference code prints them.
        let words = Randomness::from_seed(0);
        assert_eq!(words.stack_pages, 0xe220_a839_7b1d_cdaf);
        assert_eq!(words.stack_bytes, 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(words.stack_gap, 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert_eq!(Randomness::from_seed(7), Randomness::from_seed(7));
        assert_ne!(Randomness::from_seed(7), Randomness::from_seed(8));
    }
}
