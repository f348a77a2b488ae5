//! Finds the end of a string or a property: sixteen bytes at a time, then eight, then each of the
//! last. Most of them end within the first sixteen, so a search is inlined and not called.

use wide::u8x16;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The index of the first byte that equals `one` or `other`, at or after `from`.
#[inline]
pub(crate) fn find_either(bytes: &[u8], from: usize, one: u8, other: u8) -> Option<usize> {
    let mut at = from;
    let (ones, others) = (u8x16::splat(one), u8x16::splat(other));
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let chunk = u8x16::new(*chunk);
        let hits = (chunk.simd_eq(ones) | chunk.simd_eq(others)).to_bitmask();
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize);
        }
        at += 16;
    }
    if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
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

/// The index of the first `one`, if no `other` is before it.
#[inline]
pub(crate) fn find_one_first(chunk: [u8; 16], one: u8, other: u8) -> Option<usize> {
    let chunk = u8x16::new(chunk);
    let ones = chunk.simd_eq(u8x16::splat(one)).to_bitmask();
    let hits = ones | chunk.simd_eq(u8x16::splat(other)).to_bitmask();
    let first = hits & hits.wrapping_neg();
    (ones & first != 0).then_some(hits.trailing_zeros() as usize)
}

/// The digit D of the escape `\u000D` at `at`, if one stands there. Those of the separators of
/// properties are by far the most frequent ones.
#[inline]
pub(crate) fn separator_escape(bytes: &[u8], at: usize) -> Option<u8> {
    let [head @ .., digit] = *bytes.get(at..)?.first_chunk::<SEPARATOR_ESCAPE_BYTES>()?;
    let digit = digit.wrapping_sub(b'0');
    (head == *b"\\u000" && digit <= 9).then_some(digit)
}

/// `\u0001`, `\u0002`.
pub(crate) const SEPARATOR_ESCAPE_BYTES: usize = 6;

/// The index of the first byte that is 0, 1 or 2, at or after `from`.
#[inline]
pub(crate) fn find_up_to_two(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // As `zero_bytes`, with 3 in place of 1.
        let hits = word.wrapping_sub(3 * LOW_BITS) & !word & HIGH_BITS;
        if hits != 0 {
            return Some(at + hits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    bytes.get(at..)?.iter().position(|byte| *byte <= 2).map(|offset| at + offset)
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
                    let soon = plain.filter(|(at, byte)| **byte == b'"' && *at < from + 16);
                    if let Some(chunk) = with.get(from..).and_then(|rest| rest.first_chunk()) {
                        assert_eq!(
                            find_one_first(*chunk, b'"', b'\\'),
                            soon.map(|(at, _)| at - from),
                            "{at} from {from}"
                        );
                    }
                    assert_eq!(
                        find_either(&with, from, b'"', b'\\'),
                        plain.map(|(at, _)| at),
                        "{at} from {from}"
                    );
                }
            }
        }
    }

    #[test]
    fn finds_the_first_of_the_three_lowest_bytes() {
        let others = [b'a', 3, 0x80, 0x7F, 0xFF, 0x81, 0x82, 4, 0x83];
        for (len, mark) in (0..40).flat_map(|len| [0, 1, 2].map(|mark| (len, mark))) {
            let plain: Vec<u8> = others.iter().copied().cycle().take(len).collect();
            assert_eq!(find_up_to_two(&plain, 0), None);
            for at in 0..len {
                let mut with = plain.clone();
                with[at] = mark;
                for from in 0..=len {
                    let first = (from <= at).then_some(at);
                    assert_eq!(find_up_to_two(&with, from), first, "{mark} at {at} from {from}");
                }
            }
        }
    }
}
