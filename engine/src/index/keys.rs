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

use protocol::properties::{self, PROPERTY_SEPARATOR};
use protocol::record::RecordView;
use protocol::sys_flag::{TRANSACTION_ROLLBACK, transaction_type};
use protocol::tags::{java_hash, java_hash_of_bytes_on, java_hash_on};

/// Between two keys in the property KEYS.
const KEYS_SEPARATOR: u8 = b' ';

/// What a query asks for: a key (also a unique one), or a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Key,
    Tag,
}

impl KeyKind {
    /// Between the topic and the key.
    fn separator(self) -> &'static str {
        match self {
            Self::Key => "#",
            Self::Tag => "#T#",
        }
    }
}

fn positive(hash: i32) -> u32 {
    hash.checked_abs().unwrap_or(0).unsigned_abs()
}

/// The hash a key of `topic` is found by.
pub(crate) fn hash_of(topic: &str, key: &str, kind: KeyKind) -> u32 {
    positive(java_hash_on(java_hash_on(java_hash(topic), kind.separator()), key))
}

/// The properties of a record that keys are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyProperties<'r> {
    unique: Option<&'r [u8]>,
    keys: Option<&'r [u8]>,
    /// Its tag.
    pub(crate) tag: Option<&'r [u8]>,
}

impl<'r> KeyProperties<'r> {
    /// One pass over a record's properties; each value is what [`properties::get_bytes`] finds. The
    /// names are written out, so that each comparison is one of a few bytes.
    #[inline]
    pub(crate) fn of(properties: &'r [u8]) -> Self {
        let mut found = Self::default();
        found.look_through(properties);
        found
    }

    /// The same of properties that are written one piece after the other; `None` when one of them
    /// may lie in two pieces. Where a record was just written nothing is read from it: the read
    /// waits until all that was written before has reached the cache, about 0.15 us a message.
    #[inline]
    pub(crate) fn of_pieces(pieces: &[&'r [u8]]) -> Option<Self> {
        let (mut found, mut is_between) = (Self::default(), true);
        for piece in pieces {
            let (Some(first), Some(last)) = (piece.first(), piece.last()) else { continue };
            if !is_between && *first != PROPERTY_SEPARATOR {
                return None;
            }
            is_between = *last == PROPERTY_SEPARATOR;
            found.look_through(piece);
        }
        Some(found)
    }

    #[inline]
    fn look_through(&mut self, properties: &'r [u8]) {
        for entry in properties::entries(properties) {
            let (place, value) = if let Some(value) = entry.strip_prefix(b"UNIQ_KEY\x01") {
                (&mut self.unique, value)
            } else if let Some(value) = entry.strip_prefix(b"TAGS\x01") {
                (&mut self.tag, value)
            } else if let Some(value) = entry.strip_prefix(b"KEYS\x01") {
                (&mut self.keys, value)
            } else {
                continue;
            };
            if !value.is_empty() {
                *place = Some(value);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.unique.is_none() && self.keys.is_none() && self.tag.is_none()
    }

    /// A record's keys in the index's order.
    #[inline]
    fn for_each(&self, mut each: impl FnMut(&'r [u8], KeyKind)) {
        if let Some(unique) = self.unique {
            each(unique, KeyKind::Key);
        }
        if let Some(keys) = self.keys {
            let keys = keys.split(|byte| *byte == KEYS_SEPARATOR);
            keys.filter(|key| !key.is_empty()).for_each(|key| each(key, KeyKind::Key));
        }
        if let Some(tag) = self.tag {
            each(tag, KeyKind::Tag);
        }
    }

    /// The hashes that a record of `topic` with these properties is entered under, in the index's
    /// order. The one place where they are made: of a record that is being appended, and of one
    /// that is read again.
    #[inline]
    pub(crate) fn for_each_hash(&self, topic: &str, sys_flag: i32, mut each: impl FnMut(u32)) {
        if self.is_empty() || transaction_type(sys_flag) == TRANSACTION_ROLLBACK {
            return;
        }
        let before_key = java_hash_on(java_hash(topic), KeyKind::Key.separator());
        self.for_each(|key, kind| {
            let before = match kind {
                KeyKind::Key => before_key,
                KeyKind::Tag => java_hash_on(before_key, "T#"),
            };
            each(positive(java_hash_of_bytes_on(before, key)));
        });
    }
}

/// The hashes of a record's keys, into `out`.
pub(crate) fn hashes_of(record: &RecordView<'_>, out: &mut Vec<u32>) {
    out.clear();
    let properties = KeyProperties::of(record.properties());
    properties.for_each_hash(record.topic(), record.sys_flag(), |hash| out.push(hash));
}

/// Whether the record is one of `topic` with this key: two keys can share a hash.
pub(crate) fn has_key(record: &RecordView<'_>, topic: &str, key: &str, kind: KeyKind) -> bool {
    let mut found = false;
    if record.topic() == topic && transaction_type(record.sys_flag()) != TRANSACTION_ROLLBACK {
        KeyProperties::of(record.properties()).for_each(|other, other_kind| {
            found |= other_kind == kind && String::from_utf8_lossy(other) == key;
        });
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

    /// As RocketMQ does it, one step after the other: all properties into a map, text by text.
    fn naive_hashes(topic: &str, properties: &[u8]) -> Vec<u32> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let map: std::collections::BTreeMap<String, String> =
            properties::iter(properties).map(|(name, value)| (text(name), text(value))).collect();
        let get = |name: &str| map.get(name).cloned();
        let mut composed: Vec<String> =
            get("UNIQ_KEY").iter().map(|unique| format!("{topic}#{unique}")).collect();
        let keys = get("KEYS").unwrap_or_default();
        let keys = keys.split(' ').filter(|key| !key.is_empty());
        composed.extend(keys.map(|key| format!("{topic}#{key}")));
        composed.extend(get("TAGS").map(|tag| format!("{topic}#T#{tag}")));
        let hash = |key: &String| {
            key.encode_utf16()
                .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
        };
        composed.iter().map(|key| positive(hash(key))).collect()
    }

    #[test]
    fn any_properties_give_the_hashes_that_a_naive_reader_finds() {
        const PARTS: [&[u8]; 14] = [
            b"UNIQ_KEY",
            b"KEYS",
            b"TAGS",
            b"\x01",
            b"\x01",
            b"\x01",
            b"\x02",
            b"\x02",
            b" ",
            b"a",
            b"key-17",
            b"\xe4\xb8\xad",
            b"\xff\xe4",
            b"KEYS\x01k l\x02TAGS\x01t\x02",
        ];
        let (mut random, mut found, mut whole) = (0x2545_F491_4F6C_DD1D_u64, 0, 0);
        for round in 0..20_000 {
            let mut properties = Vec::new();
            for _ in 0..round % 17 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let part = usize::try_from(random % PARTS.len() as u64).unwrap();
                properties.extend_from_slice(PARTS[part]);
            }
            let mut hashes = Vec::new();
            KeyProperties::of(&properties).for_each_hash("中T", 0, |hash| hashes.push(hash));
            let shown = String::from_utf8_lossy(&properties);
            assert_eq!(hashes, naive_hashes("中T", &properties), "round {round}: {shown:?}");
            found += hashes.len();
            let (one, rest) = properties.split_at(properties.len() / 2);
            let (two, three) = rest.split_at(rest.len() / 3);
            if let Some(in_pieces) = KeyProperties::of_pieces(&[one, two, b"", three]) {
                assert_eq!(in_pieces, KeyProperties::of(&properties), "round {round}: {shown:?}");
                whole += 1;
            }
        }
        assert!(whole > 2_000, "only {whole} could be told from pieces");
        assert!(found > 10_000, "only {found} keys: nothing was compared");
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
