//! Room for what will be allocated. Rust's collections end the process if there is no memory, and a library must not do that: it
//! asks before, and answers with `ENOMEM`.
//!
//! What is found free may be taken by another thread meanwhile, but nothing else takes it.

use std::hint::black_box;

/// Memory that cannot be had (`ENOMEM`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// In bytes.
    pub bytes: usize,
}

/// Strings of which copies are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strings {
    /// How many.
    pub count: usize,
    /// All of them, in bytes.
    pub bytes: usize,
}

impl Strings {
    /// One more.
    pub fn add(&mut self, bytes: usize) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The memory for a load with these strings.
    pub fn room(self) -> usize {
        /// Of buffers, headers and tables.
        const OTHERS: usize = 48 * 1024;
        /// As a string of its own, sorted by its name, on the new stack, and while it is copied.
        const COPIES: usize = 4;
        /// Beside its bytes.
        const EACH: usize = 256;
        let bytes = self.bytes.saturating_mul(COPIES);
        let others = self.count.saturating_mul(EACH);
        bytes.saturating_add(others).saturating_add(OTHERS)
    }
}

/// Checks that so much can be allocated, in whatever pieces.
///
/// # Errors
///
/// It cannot.
pub fn check(bytes: usize) -> Result<(), TooLittle> {
    /// What most loads need. For this, one question for an ample amount takes less time than many for small pieces.
    const USUAL: usize = 1 << 20;
    const AMPLE: usize = 4 << 20;
    /// Smaller than what allocators take from the kernel for one request.
    const PIECE: usize = 32 * 1024;
    if bytes <= USUAL && are_free([AMPLE]) {
        return Ok(());
    }
    // Large pieces, each of which may need a mapping of its own, and then small ones.
    let halves = std::iter::successors(Some(bytes / 2), |size| Some(size / 2));
    let halves = halves.take_while(|&size| size > PIECE);
    let rest = bytes.saturating_sub(halves.clone().sum());
    let pieces = std::iter::repeat_n(PIECE, rest.div_ceil(PIECE));
    if are_free(halves.chain(pieces)) {
        Ok(())
    } else {
        Err(TooLittle { bytes })
    }
}

/// Whether pieces of these sizes can be allocated at once.
fn are_free(sizes: impl IntoIterator<Item = usize>) -> bool {
    let mut pieces = Vec::<Vec<u8>>::new();
    for size in sizes {
        let mut piece = Vec::new();
        if pieces.try_reserve(1).is_err() || piece.try_reserve_exact(size).is_err() {
            return false;
        }
        // There is room for it.
        pieces.push(piece);
    }
    // A compiler may leave out memory that nobody uses.
    black_box(&pieces);
    true
}

/// Room that was found, for allocations of unknown sizes one after the other.
#[derive(Debug, Default)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// Checks that an allocation of at most `most` bytes is possible.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check(&mut self, most: usize) -> Result<(), TooLittle> {
        /// Not one question for each allocation.
        const USUAL: usize = 1 << 20;
        if self.left >= most {
            return Ok(());
        }
        self.left = if check(most.max(USUAL)).is_ok() {
            most.max(USUAL)
        } else {
            check(most)?;
            most
        };
        Ok(())
    }

    /// Takes what was really allocated.
    pub fn take(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_address_space_is_not_there() {
        assert_eq!(check(1 << 20), Ok(()));
        let bytes = 1 << 60;
        assert_eq!(check(bytes), Err(TooLittle { bytes }));
        assert_eq!(Budget::default().check(bytes), Err(TooLittle { bytes }));
    }
}
