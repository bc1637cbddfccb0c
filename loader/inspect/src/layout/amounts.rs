//! Sizes and distances in words.

/// `4 KiB`, `1.5 MiB`, `16 GiB`: with one decimal if it is not a whole number.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = (bytes.max(1).ilog2() / 10) as usize;
    let shift = 10 * unit;
    let whole = bytes >> shift;
    let rest = ((u128::from(bytes) * 10) >> shift) - u128::from(whole) * 10;
    match (bytes, rest) {
        (1, _) => "1 byte".to_owned(),
        (_, 0) => format!("{whole} {}", UNITS[unit]),
        (_, rest) => format!("{whole}.{rest} {}", UNITS[unit]),
    }
}

/// The size of a randomisation window, rounded to MiB, because a page more or less is not important.
pub fn about(bytes: u64) -> String {
    const STEP: u64 = 1 << 20;
    let rounded = bytes
        .saturating_sub(STEP / 2)
        .checked_next_multiple_of(STEP);
    size(rounded.filter(|_| bytes >= STEP).unwrap_or(bytes))
}

/// The distance that something moved: `+0x1000`, `-0x1000`.
pub fn distance(from: u64, to: u64) -> String {
    if to >= from {
        format!("+{:#x}", to - from)
    } else {
        format!("-{:#x}", from - to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        let shown = [
            0,
            1,
            1023,
            4096,
            1536,
            132 << 10,
            (1 << 30) - 4096,
            u64::MAX,
        ]
        .map(size);
        let expected = [
            "0 bytes",
            "1 byte",
            "1023 bytes",
            "4 KiB",
            "1.5 KiB",
            "132 KiB",
            "1023.9 MiB",
            "15.9 EiB",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn distances_have_a_sign() {
        assert_eq!(
            (distance(1, 17), distance(17, 1)),
            ("+0x10".into(), "-0x10".into())
        );
    }
}
