//! Another process's memory, read without stopping at what is not there.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;

/// /proc/PID/mem.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
    pagemap: Option<File>,
}

pub(super) const PAGE: u64 = 0x1000;

impl Memory {
    pub(super) fn of(pid: i32) -> Result<Self, Errno> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        let file = open("mem")
            .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Self {
            file,
            pagemap: open("pagemap").ok(),
        })
    }

    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.file.read_exact_at(buffer, address).is_ok()
    }

    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)
            .then(|| u64::from_ne_bytes(bytes))
    }

    /// A hash of each page from `start` to `end`. Pages of anonymous memory that nobody touched are zero, and are not
    /// read, since that would touch them.
    pub(super) fn hashes(&self, start: u64, end: u64, anonymous: bool) -> Vec<Option<u64>> {
        let zero = Some(hash(&[0; PAGE as usize]));
        let mut page = vec![0; PAGE as usize];
        let touched = if anonymous {
            self.touched(start, end)
        } else {
            None
        };
        (start..end)
            .step_by(PAGE as usize)
            .enumerate()
            .map(
                |(index, address)| match touched.as_ref().and_then(|touched| touched.get(index)) {
                    Some(false) => zero,
                    _ => self.read(address, &mut page).then(|| hash(&page)),
                },
            )
            .collect()
    }

    /// Whether each page is present or swapped, as /proc/PID/pagemap says.
    fn touched(&self, start: u64, end: u64) -> Option<Vec<bool>> {
        const PRESENT_OR_SWAPPED: u64 = 3 << 62;
        let mut bytes = vec![0; ((end - start) / PAGE * 8) as usize];
        self.pagemap
            .as_ref()?
            .read_exact_at(&mut bytes, start / PAGE * 8)
            .ok()?;
        let words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        Some(words.map(|word| word & PRESENT_OR_SWAPPED != 0).collect())
    }
}

/// FNV-1a over words: fast, stable over time, and not meant against an adversary.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let words = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        let mixed = (hash ^ word).wrapping_mul(PRIME);
        mixed ^ mixed >> 29
    })
}
