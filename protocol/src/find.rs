//! Finds the end of a string or a property, eight bytes at a time: most of them end within the
//! first eight.

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The index of the first byte that equals `one` or `other`, at or after `from`.
#[inline]
pub(crate) fn find_either(bytes: &[u8], from: usize, one: u8, other: u8) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let hits = zero_bytes(word ^ (LOW_BITS * u64::from(one)))
            | zero_bytes(word ^ (LOW_BITS * u64::from(other)));
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| *byte == one || *byte == other).map(|offset| at + offset)
}

/// Sets the high bit of the lowest zero byte. Higher bits may be set too; the caller uses only the
/// lowest.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW_BITS) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_loop_finds() {
        let mut bytes = vec![b'a', 0x80, 0xFF, 0x01, b'#', b'!', b'"' ^ 1, b'[', 0x22 | 0x80, 0];
        bytes.extend_from_within(..);
        bytes.extend_from_within(..);
        for at in 0..bytes.len() {
            for special in [b'"', b'\\'] {
                let mut with = bytes.clone();
                with[at] = special;
                with.push(b'"');
                for from in 0..=with.len() + 1 {
                    let plain = with
                        .iter()
                        .enumerate()
                        .skip(from)
                        .find(|(_, byte)| matches!(byte, b'"' | b'\\'));
                    assert_eq!(
                        find_either(&with, from, b'"', b'\\'),
                        plain.map(|(at, _)| at),
                        "{at} from {from}"
                    );
                }
            }
        }
    }
}
