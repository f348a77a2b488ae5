//! Which keys a record is found by, and their hashes.
//!
//! ```text
//!   property          key                hash
//!   UNIQ_KEY  x       topic#x            |Java's String.hashCode|, and 0 for the one int that has no absolute value
//!   KEYS  "a b"       topic#a, topic#b
//!   TAGS  t           topic#T#t          (since RocketMQ 5.5)
//! ```
//!
//! In this order, as RocketMQ enters them. A rolled-back half has none.

use protocol::properties;
use protocol::record::RecordView;
use protocol::sys_flag::{TRANSACTION_ROLLBACK, transaction_type};
use protocol::tags::{java_hash, java_hash_on};

/// Between two keys in the property KEYS.
const KEYS_SEPARATOR: char = ' ';

/// What a query asks for: a key (also a unique one), or a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Key,
    Tag,
}

fn positive(hash: i32) -> u32 {
    hash.checked_abs().unwrap_or(0).unsigned_abs()
}

/// The hash a key of `topic` is found by.
pub(crate) fn hash_of(topic: &str, key: &str, kind: KeyKind) -> u32 {
    hash_after(java_hash(topic), key, kind)
}

fn hash_after(topic_hash: i32, key: &str, kind: KeyKind) -> u32 {
    let separator = match kind {
        KeyKind::Key => "#",
        KeyKind::Tag => "#T#",
    };
    positive(java_hash_on(java_hash_on(topic_hash, separator), key))
}

/// A record's keys in the index's order.
fn for_each_key(record: &RecordView<'_>, mut each: impl FnMut(&str, KeyKind)) {
    if transaction_type(record.sys_flag()) == TRANSACTION_ROLLBACK {
        return;
    }
    let (mut unique, mut keys, mut tag) = (None, None, None);
    for (name, value) in properties::iter(record.properties()) {
        match name {
            b"UNIQ_KEY" => unique = Some(value),
            b"KEYS" => keys = Some(value),
            b"TAGS" => tag = Some(value),
            _ => {}
        }
    }
    if let Some(unique) = unique {
        each(&String::from_utf8_lossy(unique), KeyKind::Key);
    }
    let keys = keys.map(String::from_utf8_lossy).unwrap_or_default();
    keys.split(KEYS_SEPARATOR)
        .filter(|key| !key.is_empty())
        .for_each(|key| each(key, KeyKind::Key));
    if let Some(tag) = tag {
        each(&String::from_utf8_lossy(tag), KeyKind::Tag);
    }
}

/// The hashes of a record's keys, into `out`.
pub(crate) fn hashes_of(record: &RecordView<'_>, out: &mut Vec<u32>) {
    out.clear();
    let topic_hash = java_hash(record.topic());
    for_each_key(record, |key, kind| out.push(hash_after(topic_hash, key, kind)));
}

/// Whether the record is one of `topic` with this key: two keys can share a hash.
pub(crate) fn has_key(record: &RecordView<'_>, topic: &str, key: &str, kind: KeyKind) -> bool {
    let mut found = false;
    if record.topic() == topic {
        for_each_key(record, |other, other_kind| found |= other == key && other_kind == kind);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::record::RecordDraft;

    fn record(properties: &[u8], sys_flag: i32) -> Vec<u8> {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic: "TopicTest",
            queue_id: 0,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"x",
            properties: &[properties],
        };
        let mut bytes = vec![0; draft.encoded_len().unwrap()];
        draft.encode_into(&mut bytes).unwrap();
        bytes
    }

    fn hashes(properties: &[u8], sys_flag: i32) -> Vec<u32> {
        let mut out = vec![99];
        hashes_of(&RecordView::parse(&record(properties, sys_flag)).unwrap(), &mut out);
        out
    }

    #[test]
    fn unique_key_then_keys_then_tag() {
        let expected = ["TopicTest#U1", "TopicTest#KEY1", "TopicTest#b", "TopicTest#T#red"]
            .map(|key| positive(java_hash(key)));
        assert_eq!(expected[1], 1_656_969_516);
        assert_eq!(hashes(b"TAGS\x01red\x02KEYS\x01KEY1  b \x02UNIQ_KEY\x01U1\x02", 0), expected);
        assert_eq!(hashes(b"a\x01b\x02", 0), [0u32; 0]);
        assert_eq!(hashes(b"KEYS\x01 \x02", 0), [0u32; 0]);
        assert_eq!(hashes(b"KEYS\x01k\x02", TRANSACTION_ROLLBACK), [0u32; 0]);
    }

    #[test]
    fn the_int_without_an_absolute_value_is_zero() {
        assert_eq!(positive(i32::MIN), 0);
        assert_eq!(positive(-7), 7);
    }

    #[test]
    fn a_key_that_only_shares_the_hash_is_none_of_the_records() {
        let bytes = record(b"KEYS\x01Aa\x02TAGS\x01BB\x02", 0);
        let record = RecordView::parse(&bytes).unwrap();
        assert_eq!(
            hash_of("TopicTest", "Aa", KeyKind::Key),
            hash_of("TopicTest", "BB", KeyKind::Key)
        );
        assert!(
            has_key(&record, "TopicTest", "Aa", KeyKind::Key)
                && !has_key(&record, "TopicTest", "BB", KeyKind::Key)
        );
        assert!(
            has_key(&record, "TopicTest", "BB", KeyKind::Tag)
                && !has_key(&record, "Topic", "Aa", KeyKind::Key)
        );
    }
}
