//! The tag hash that the ConsumeQueue stores and a TAG subscription compares: Java's
//! `String.hashCode`.

/// Java's `String.hashCode`: over UTF-16 units, wrapping at 32 bits.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    java_hash_on(0, text)
}

/// The hash of a text whose hash is `before` with `text` appended. So the index can hash a composed
/// key without building its string.
#[must_use]
#[inline]
pub fn java_hash_on(before: i32, text: &str) -> i32 {
    if text.is_ascii() {
        return ascii_hash_on(before, text.as_bytes());
    }
    text.encode_utf16()
        .fold(before, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// As [`java_hash_on`], of a text as it stands in a record; what is not UTF-8 is read as Java reads
/// it.
#[must_use]
#[inline]
pub fn java_hash_of_bytes_on(before: i32, text: &[u8]) -> i32 {
    if text.is_ascii() {
        return ascii_hash_on(before, text);
    }
    java_hash_on(before, &String::from_utf8_lossy(text))
}

/// Four bytes at a time: each message that is stored is hashed so, a byte at a time would wait for
/// one multiplication after the other.
#[inline]
fn ascii_hash_on(before: i32, text: &[u8]) -> i32 {
    let (fours, rest) = text.as_chunks::<4>();
    let mut hash = before;
    for [a, b, c, d] in fours.iter().map(|four| four.map(i32::from)) {
        hash = hash
            .wrapping_mul(31 * 31 * 31 * 31)
            .wrapping_add(a * (31 * 31 * 31) + b * (31 * 31) + c * 31 + d);
    }
    rest.iter().fold(hash, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(*byte)))
}

/// The number that the ConsumeQueue stores for a message with this tag: the hash, sign-extended; 0
/// for no tag.
#[must_use]
pub fn tags_code(tag: &str) -> i64 {
    i64::from(java_hash(tag))
}

/// As [`tags_code`], of a tag as it stands in a record; what is not UTF-8 is read as Java reads it.
#[must_use]
#[inline]
pub fn tags_code_of_bytes(tag: &[u8]) -> i64 {
    i64::from(java_hash_of_bytes_on(0, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_java_does() {
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("TagB"), 2_598_920);
        assert_eq!(java_hash("中文"), 646_394);
        assert_eq!(java_hash("TopicTest#KEY1"), -1_656_969_516);
        assert_eq!(java_hash("😀"), 1_772_899);
        assert_eq!(
            java_hash_on(java_hash_on(java_hash("TopicTest"), "#"), "KEY1"),
            java_hash("TopicTest#KEY1")
        );
    }

    #[test]
    fn every_length_and_every_text_hashes_as_unit_after_unit() {
        let text = "~\u{7f}Zz09 _-\u{1}中é😀#T#~~~~";
        let chars: Vec<char> = text.chars().collect();
        for (from, to) in
            (0..chars.len()).flat_map(|from| (from..=chars.len()).map(move |to| (from, to)))
        {
            let text: String = chars[from..to].iter().collect();
            let naive = text
                .encode_utf16()
                .fold(-7i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
            assert_eq!(java_hash_on(-7, &text), naive, "{text:?}");
            assert_eq!(java_hash_of_bytes_on(-7, text.as_bytes()), naive, "{text:?}");
        }
        let broken = b"ab\xff\xe4c";
        let lossy = String::from_utf8_lossy(broken);
        assert_eq!(java_hash_of_bytes_on(3, broken), java_hash_on(3, &lossy));
    }

    #[test]
    fn no_tag_is_zero_and_a_negative_hash_stays_negative() {
        assert_eq!(tags_code(""), 0);
        assert_eq!(tags_code("TopicTest#KEY1"), -1_656_969_516);
    }
}
