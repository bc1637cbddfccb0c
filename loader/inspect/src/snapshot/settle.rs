//! Makes pages of a program that has run comparable: values that are random in every process become the same.
//!
//! A relocated page contains addresses, some of which point to memory that is no longer mapped. Thread-local storage
//! contains the stack protector's value, which comes from the bytes at `AT_RANDOM`, the process id, and the rseq area, into
//! which the kernel writes the processor's number. Each such word is replaced by a word that represents its meaning.

use supplant_model::digest::digest;

use super::symbols::Symbols;

/// No program has memory below this address; without it, every small number would be an address.
const LOWEST: u64 = 0x1_0000;
/// If the bytes at `AT_RANDOM` are not larger than this, they are not used: any small number would match.
const MOST_NUMBERS: u64 = u32::MAX as u64;
/// The number of bytes that the kernel writes in the rseq area.
const RSEQ_SIZE: u64 = 32;
/// The process id is only replaced in this many bytes of the C library's thread data; elsewhere it may be any number.
const THREAD_SIZE: u64 = 0x1000;
/// The byte that a C library clears in its stack protector: the lowest (glibc) or the second one (musl).
const TAKEN_OUT: [u64; 3] = [0, 0xff, 0xff00];

/// The meanings of words in one process.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    symbols: &'a Symbols,
    random: [u64; 2],
    pid: u64,
    thread: u64,
    rseq: u64,
}

impl<'a> Words<'a> {
    /// From the names of the mappings, the bytes at `AT_RANDOM`, and the process id. `thread` is the address of the C
    /// library's data about the first thread, `rseq` the address of the rseq area.
    pub fn new(symbols: &'a Symbols, random: [u8; 16], pid: u64, thread: u64, rseq: u64) -> Self {
        let half = |start: usize| {
            random[start..start + 8]
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        Self {
            symbols,
            random: [half(0), half(8)],
            pid,
            thread,
            rseq,
        }
    }

    /// Replaces such words in the page at `address`.
    pub fn settle(&self, address: u64, page: &mut [u8]) {
        for (bytes, at) in page.chunks_exact_mut(8).zip((address..).step_by(8)) {
            let word = u64::from_ne_bytes(bytes.as_ref().try_into().unwrap_or_default());
            let within = |start: u64, size: u64| start != 0 && start <= at && at - start < size;
            if within(self.rseq, RSEQ_SIZE) || word == self.pid && within(self.thread, THREAD_SIZE)
            {
                bytes.fill(0);
            } else if let Some(meaning) = self.meaning(word) {
                bytes.copy_from_slice(&digest(meaning.as_bytes()).to_ne_bytes());
            }
        }
    }

    fn meaning(&self, word: u64) -> Option<String> {
        if word < LOWEST {
            return None;
        }
        if self.symbols.is_address(word)
            && let Some(name) = self.symbols.name_near(word)
        {
            return Some(name);
        }
        let is_random = |random: &u64| {
            *random > MOST_NUMBERS && TAKEN_OUT.iter().any(|out| random & !out == word & !out)
        };
        let half = self.random.iter().position(is_random)?;
        Some(format!("random {half}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Region, Snapshot};

    fn process(base: u64) -> Snapshot {
        let mut snapshot = Snapshot::new();
        snapshot.regions.push(Region {
            start: base,
            end: base + 0x2000,
            name: "/lib/libx.so".to_owned(),
            file: (1, 1, 1),
            ..Region::default()
        });
        snapshot
    }

    fn page(words: [u64; 4]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn addresses_the_stack_protector_and_the_process_id_do_not_count() {
        let settled = |base: u64, random: u8, pid: u64, number: u64| {
            let symbols = Symbols::new(&process(base));
            let protector = u64::from_ne_bytes([random; 8]) & !0xff;
            let mut page = page([base + 0x18, protector, pid, number]);
            Words::new(&symbols, [random; 16], pid, 0x1000, 0).settle(0x1000, &mut page);
            page
        };
        let one = settled(0x7f00_0000_0000, 0x11, 77, 5);
        assert_eq!(one, settled(0x7e00_0000_0000, 0x22, 88, 5));
        assert_ne!(one, settled(0x7e00_0000_0000, 0x22, 88, 6));
    }

    #[test]
    fn a_number_above_all_memory_is_no_address_however_near_the_stack_is() {
        const NUMBER: u64 = 0x8000_0000_0012;
        let settled = |base: u64| {
            let symbols = Symbols::new(&process(base));
            let mut page = page([NUMBER, base + 0x2000, 0, 0]);
            Words::new(&symbols, [0; 16], 77, 0, 0).settle(0x1000, &mut page);
            page
        };
        // The end of memory itself is an address.
        assert_eq!(settled(0x7fff_ffff_c000), settled(0x7ffd_1234_5000));
    }
}
