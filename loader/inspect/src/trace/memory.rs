//! Reads another process's memory, and continues after unreadable pages.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use nix::errno::Errno;

use crate::errno::errno_of;
use crate::page::PageSize;
use crate::page_size;

/// /proc/PID/mem.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
    pagemap: Option<File>,
    page: PageSize,
}

/// Bits of an entry of /proc/PID/pagemap.
const PRESENT_OR_SWAPPED: u64 = 3 << 62;
const OF_FILE: u64 = 1 << 61;

impl Memory {
    pub(super) fn of(pid: i32) -> Result<Self, Errno> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .map_err(|error| errno_of(&error))?;
        Ok(Self {
            file,
            pagemap: open("pagemap").ok(),
            page: page_size(),
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

    /// A string up to its NUL, of at most `limit` bytes; read page by page, because it may end at the end of memory.
    pub(super) fn text(&self, address: u64, limit: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < limit {
            let at = address.checked_add(text.len() as u64)?;
            let mut piece = vec![0; (self.page.get() - self.page.offset(at)) as usize];
            if !self.read(at, &mut piece) {
                return None;
            }
            let end = piece.iter().position(|&byte| byte == 0);
            text.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            if end.is_some() {
                break;
            }
        }
        text.truncate(limit);
        Some(text)
    }

    /// The first bytes of a buffer, at most `limit`.
    pub(super) fn bytes(&self, address: u64, size: usize, limit: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; size.min(limit)];
        self.read(address, &mut bytes).then_some(bytes)
    }

    /// Sets a word to zero, if it is writable.
    pub(super) fn clear_word(&self, address: u64) {
        let _ = self.file.write_all_at(&[0; 8], address);
    }

    /// A hash of each page of a range. Untouched pages of anonymous memory are zero, and are not read, because that would
    /// touch them. A private page, which is not a page of a file, is passed to `settle` first, with its address.
    pub(super) fn hashes(
        &self,
        range: Range<u64>,
        anonymous: bool,
        settle: impl Fn(u64, &mut [u8]),
    ) -> Vec<Option<u64>> {
        let size = self.page.get() as usize;
        let mut page = vec![0; size];
        let zero = Some(hash(&page));
        let entries = self.pagemap(&range);
        let entry = |index: usize| entries.as_ref().and_then(|entries| entries.get(index));
        range
            .step_by(size)
            .enumerate()
            .map(|(index, address)| match entry(index) {
                Some(entry) if anonymous && entry & PRESENT_OR_SWAPPED == 0 => zero,
                entry => self.read(address, &mut page).then(|| {
                    let own = |entry| entry & PRESENT_OR_SWAPPED != 0 && entry & OF_FILE == 0;
                    if entry.is_none_or(|&entry| own(entry)) {
                        settle(address, &mut page);
                    }
                    hash(&page)
                }),
            })
            .collect()
    }

    /// The entry of each page in /proc/PID/pagemap.
    fn pagemap(&self, range: &Range<u64>) -> Option<Vec<u64>> {
        let count = (range.end - range.start) / self.page.get();
        let mut bytes = vec![0; usize::try_from(count * 8).ok()?];
        self.pagemap
            .as_ref()?
            .read_exact_at(&mut bytes, range.start / self.page.get() * 8)
            .ok()?;
        let words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()));
        Some(words.collect())
    }
}

/// FNV-1a over words: fast and stable over time, but not secure against an attacker.
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
