//! The packets of gdb's remote serial protocol: `$data#checksum`, with escapes and run-length encoding in data from a stub.

/// The largest packet.
pub(super) const LARGEST: usize = 128 << 10;
const CHECKSUM_DIGITS: usize = 2;

/// The checksum was wrong, or an escape was incomplete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Makes a packet for a command, which contains no characters that need escapes.
pub(super) fn encode(command: &str) -> Vec<u8> {
    format!("${command}#{:02x}", sum(command.as_bytes())).into_bytes()
}

/// Removes the first complete packet from the received bytes, with everything before it: acknowledgements, noise.
pub(super) fn take(arrived: &mut Vec<u8>) -> Option<Result<Vec<u8>, Broken>> {
    let Some(start) = arrived.iter().position(|&byte| byte == b'$') else {
        arrived.clear();
        return None;
    };
    arrived.drain(..start);
    let end = arrived.iter().position(|&byte| byte == b'#')?;
    let digits = arrived.get(end + 1..end + 1 + CHECKSUM_DIGITS)?;
    let is_whole = unhex(digits) == Some(vec![sum(&arrived[1..end])]);
    let data = is_whole.then(|| expand(&arrived[1..end])).flatten();
    arrived.drain(..end + 1 + CHECKSUM_DIGITS);
    Some(data.ok_or(Broken))
}

fn sum(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

/// Expands the data: `}` escapes the next byte, `*` repeats the previous byte.
fn expand(data: &[u8]) -> Option<Vec<u8>> {
    const ESCAPED: u8 = 0x20;
    const NO_REPEATS: u8 = 29;
    let mut expanded = Vec::with_capacity(data.len());
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'}' => expanded.push(bytes.next()? ^ ESCAPED),
            b'*' => {
                let count = bytes.next()?.checked_sub(NO_REPEATS)?;
                let last = *expanded.last()?;
                expanded.extend(std::iter::repeat_n(last, usize::from(count)));
            }
            _ => expanded.push(byte),
        }
    }
    Some(expanded)
}

/// Converts pairs of hexadecimal digits to bytes.
pub(super) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut pairs = digits.chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs
        .by_ref()
        .map(|pair| u8::try_from(value(pair[0])? << 4 | value(pair[1])?).ok())
        .collect();
    bytes.filter(|_| pairs.remainder().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packets_are_found_between_acknowledgements_and_noise() {
        let mut arrived = b"+noise+$OK#9a+$T05".to_vec();
        assert_eq!(take(&mut arrived), Some(Ok(b"OK".to_vec())));
        assert_eq!(take(&mut arrived), None);
        arrived.extend(b"#b9");
        assert_eq!(take(&mut arrived), Some(Ok(b"T05".to_vec())));
        assert_eq!(take(&mut arrived), None);
        assert!(arrived.is_empty());
    }

    #[test]
    fn a_wrong_checksum_is_told() {
        assert_eq!(take(&mut b"$OK#9b".to_vec()), Some(Err(Broken)));
        assert_eq!(take(&mut b"$OK#zz".to_vec()), Some(Err(Broken)));
    }

    #[test]
    fn escapes_and_runs_are_expanded() {
        assert_eq!(expand(b"a}\x03b"), Some(b"a#b".to_vec()));
        assert_eq!(expand(b"0* 1"), Some(b"00001".to_vec()));
        assert_eq!(expand(b"* "), None);
        assert_eq!(expand(b"}"), None);
    }

    #[test]
    fn what_is_sent_can_be_read_again() {
        let mut arrived = encode("m400000,10");
        assert_eq!(take(&mut arrived), Some(Ok(b"m400000,10".to_vec())));
        assert_eq!(unhex(b"00ff7G"), None);
        assert_eq!(unhex(b"00f"), None);
        assert_eq!(unhex(b"00ff"), Some(vec![0, 255]));
    }

    proptest! {
        #[test]
        fn anything_may_arrive(mut arrived in proptest::collection::vec(any::<u8>(), 0..200)) {
            let size = arrived.len();
            while take(&mut arrived).is_some() {}
            prop_assert!(arrived.len() <= size);
        }
    }
}
