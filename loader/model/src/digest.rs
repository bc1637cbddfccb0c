//! FNV-1a: a digest of bytes that were not made to collide. It is stable over time, and no protection against an attacker.

/// The digest of no bytes.
pub const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

/// The digest of these bytes.
pub fn digest(bytes: &[u8]) -> u64 {
    extend(EMPTY, bytes)
}

/// The digest of the bytes that have `digest`, and of these after them.
pub fn extend(digest: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(digest, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_that_were_published() {
        assert_eq!(digest(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(digest(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(extend(digest(b"foo"), b"bar"), digest(b"foobar"));
    }
}
