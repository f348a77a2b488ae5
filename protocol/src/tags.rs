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
pub fn java_hash_on(before: i32, text: &str) -> i32 {
    text.encode_utf16()
        .fold(before, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
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
    std::str::from_utf8(tag).map_or_else(|_| tags_code(&String::from_utf8_lossy(tag)), tags_code)
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
    fn no_tag_is_zero_and_a_negative_hash_stays_negative() {
        assert_eq!(tags_code(""), 0);
        assert_eq!(tags_code("TopicTest#KEY1"), -1_656_969_516);
    }
}
