//! The records of a produce frame: stored layout (`crate::record`) with the broker's fields left
//! open.
//!
//! | field | the client writes | the broker |
//! |---|---|---|
//! | QUEUEOFFSET, PHYSICALOFFSET, STORETIMESTAMP, STOREHOST | anything | fills in |
//! | `__CRC32#` at the end of the properties, if there | any digits | fills in |
//! | PREPAREDTRANSACTIONOFFSET, transaction bits of SYSFLAG | 0 | refuses others |
//! | everything else | as it is to be stored | checks, keeps |
//!
//! One pass over a record's properties checks that they are well formed, computes the tag's hash
//! and finds what is not supported, and what asks to wait: a record with a delay level or a time is
//! stored with other properties in another topic, so it is no record that is stored as it is.

use crate::bytes::i32_at;
use crate::checked::fit;
use crate::find::{find_either, find_up_to_two};
use crate::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR};
use crate::record::{RECORD_BYTES_MIN, RecordError, RecordView, needs_v2};
use crate::sys_flag::{STORE_HOST_V6, transaction_type};
use crate::tags::tags_code_of_bytes;

/// A kind of message that the native protocol of this broker does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// TRAN_MSG or transaction bits: delivered when committed.
    Transactional,
}

/// Why a record is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Lengths, magic, checksum, text.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A property is not `name 0x01 value 0x02`.
    #[error(
        "the properties are not well formed at byte {at}: each is name 0x01 value 0x02, without \
            zero bytes; only the last 0x02 may be missing"
    )]
    Properties {
        /// Where, from the beginning of the properties.
        at: usize,
    },
    /// The room for STOREHOST is not what this broker needs.
    #[error(
        "SYSFLAG says that STOREHOST is IPv{found}, this broker's is IPv{expected}: \
            Welcome.store_host_is_v6 tells"
    )]
    StoreHost {
        /// 4 or 6.
        expected: u8,
        /// 4 or 6.
        found: u8,
    },
    /// The magic says one length field for the topic, the topic's length needs another.
    #[error(
        "a topic of {topic_bytes} bytes: up to 127 need the magic da a3 20 a7, longer ones da a3 \
            20 ab"
    )]
    Version {
        /// The topic's length.
        topic_bytes: usize,
    },
    /// Something for which there is no support.
    #[error("{0:?} messages are not in this version of RingMQ")]
    Unsupported(Unsupported),
    /// A reserved property that the broker sets, or a transaction's offset.
    #[error("{0} is for brokers to set")]
    Reserved(&'static str),
}

/// A record that may be stored as it is, once the broker's fields are filled in.
#[derive(Clone, Copy, Debug)]
pub struct CheckedRecord<'a> {
    /// The record.
    pub view: RecordView<'a>,
    /// The hash of its tag, 0 without.
    pub tags_code: i64,
    /// Whether it ends with the property `__CRC32#`, which the broker fills in.
    pub has_crc_property: bool,
    /// Whether it has a delay level, or a time as a timer message.
    pub asks_to_wait: bool,
}

/// The position of a checked record in its payload, and the facts that storing it needs. It borrows
/// nothing, so that a list of plans can be kept and reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordPlan {
    /// From the payload's beginning.
    at: u32,
    bytes: u32,
    topic_at: u32,
    topic_bytes: u32,
    /// Its queue.
    pub queue_id: i32,
    /// SYSFLAG.
    pub sys_flag: i32,
    /// The hash of its tag, 0 without.
    pub tags_code: i64,
    /// Whether it ends with the property `__CRC32#`.
    pub has_crc_property: bool,
    /// Whether it has a delay level, or a time as a timer message.
    pub asks_to_wait: bool,
}

impl RecordPlan {
    /// Its length.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The record, in the payload that it was found in; empty in a shorter one.
    #[must_use]
    pub fn record<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        payload
            .get(self.at as usize..)
            .and_then(|rest| rest.get(..self.bytes as usize))
            .unwrap_or_default()
    }

    fn topic_bytes<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        payload
            .get(self.topic_at as usize..)
            .and_then(|rest| rest.get(..self.topic_bytes as usize))
            .unwrap_or_default()
    }

    /// Its topic.
    #[must_use]
    pub fn topic<'p>(&self, payload: &'p [u8]) -> &'p str {
        std::str::from_utf8(self.topic_bytes(payload)).unwrap_or_default()
    }

    /// Its properties.
    #[must_use]
    #[inline]
    pub fn properties<'p>(&self, payload: &'p [u8]) -> &'p [u8] {
        let from = self.topic_at as usize + self.topic_bytes as usize + 2;
        payload.get(from..self.at as usize + self.bytes as usize).unwrap_or_default()
    }

    /// Whether `other`, of the same payload, goes into the same queue.
    #[must_use]
    pub fn same_queue(&self, other: &Self, payload: &[u8]) -> bool {
        self.queue_id == other.queue_id && self.topic_bytes(payload) == other.topic_bytes(payload)
    }
}

impl CheckedRecord<'_> {
    /// The plan for this record, which begins `at` bytes into its payload.
    ///
    /// # Panics
    /// If the record ends beyond 4 GiB: no frame is as long.
    #[must_use]
    #[inline]
    pub fn plan(&self, at: usize) -> RecordPlan {
        let topic_at = at + self.view.total_size()
            - 2
            - self.view.properties().len()
            - self.view.topic().len();
        RecordPlan {
            at: fit(at),
            bytes: fit(self.view.total_size()),
            topic_at: fit(topic_at),
            topic_bytes: fit(self.view.topic().len()),
            queue_id: self.view.queue_id(),
            sys_flag: self.view.sys_flag(),
            tags_code: self.tags_code,
            has_crc_property: self.has_crc_property,
            asks_to_wait: self.asks_to_wait,
        }
    }
}

/// Cuts the next record off `payload`: its TOTALSIZE bytes, not yet checked. `None` at the end.
pub fn next<'a>(payload: &mut &'a [u8]) -> Option<Result<&'a [u8], RecordError>> {
    if payload.is_empty() {
        return None;
    }
    let found = payload.len();
    let Some(total) = i32_at(payload, 0) else {
        return Some(Err(RecordError::TooShort { expected: RECORD_BYTES_MIN, found }));
    };
    let Some(size) = usize::try_from(total).ok().filter(|size| *size >= RECORD_BYTES_MIN) else {
        return Some(Err(RecordError::TotalSize { declared: total, parts: RECORD_BYTES_MIN }));
    };
    match payload.split_at_checked(size) {
        Some((record, rest)) => {
            *payload = rest;
            Some(Ok(record))
        }
        None => Some(Err(RecordError::TooShort { expected: size, found })),
    }
}

/// Checks a record that is exactly `bytes`, in place.
pub fn check(bytes: &[u8], store_host_is_v6: bool) -> Result<CheckedRecord<'_>, RecordFault> {
    let view = RecordView::parse(bytes)?;
    view.verify_crc()?;
    let sys_flag = view.sys_flag();
    let is_v6 = sys_flag & STORE_HOST_V6 != 0;
    if is_v6 != store_host_is_v6 {
        let number = |v6| if v6 { 6 } else { 4 };
        return Err(RecordFault::StoreHost {
            expected: number(store_host_is_v6),
            found: number(is_v6),
        });
    }
    if transaction_type(sys_flag) != 0 {
        return Err(RecordFault::Unsupported(Unsupported::Transactional));
    }
    if view.prepared_transaction_offset() != 0 {
        return Err(RecordFault::Reserved("PREPAREDTRANSACTIONOFFSET"));
    }
    if view.topic().is_empty() || find_either(view.topic().as_bytes(), 0, 0, 0).is_some() {
        return Err(RecordFault::Record(RecordError::Topic { offset: 0 }));
    }
    if view.is_v2() != needs_v2(view.topic()) {
        return Err(RecordFault::Version { topic_bytes: view.topic().len() });
    }
    let said = walk(view.properties())?;
    // A property that only resembles the checksum would be taken for a damaged checksum when the
    // log is read.
    if view.has_crc_property() != said.ends_with_crc {
        return Err(RecordFault::Reserved(
            "__CRC32#, unless it is the last property and has ten digits,",
        ));
    }
    let tags_code = said.tag.map_or(0, tags_code_of_bytes);
    let Said { ends_with_crc: has_crc_property, asks_to_wait, .. } = said;
    Ok(CheckedRecord { view, tags_code, has_crc_property, asks_to_wait })
}

#[derive(Default)]
struct Said<'a> {
    tag: Option<&'a [u8]>,
    /// The last property is the checksum, whole.
    ends_with_crc: bool,
    /// A property is a delay level or a time.
    asks_to_wait: bool,
}

/// Reads every property once.
fn walk(properties: &[u8]) -> Result<Said<'_>, RecordFault> {
    let mut said = Said::default();
    let mut rest = properties;
    while !rest.is_empty() {
        let at = properties.len() - rest.len();
        let (name, value) = match cut(rest) {
            (name, Some((NAME_VALUE_SEPARATOR, value))) if !name.is_empty() => (name, value),
            (name, Some((0, _))) => return Err(RecordFault::Properties { at: at + name.len() }),
            _ => return Err(RecordFault::Properties { at }),
        };
        let (value, end) = cut(value);
        let is_ended = match end {
            None => false,
            Some((PROPERTY_SEPARATOR, _)) => true,
            Some((0, _)) => {
                return Err(RecordFault::Properties { at: at + name.len() + 1 + value.len() });
            }
            Some(_) => return Err(RecordFault::Properties { at }),
        };
        rest = end.map_or(&[], |(_, later)| later);
        look_at(name, value, &mut said)?;
        said.ends_with_crc = rest.is_empty()
            && is_ended
            && name == b"__CRC32#"
            && value.len() == 10
            && value.iter().all(u8::is_ascii_digit);
    }
    Ok(said)
}

/// What stands before the next zero or separator, that byte, and what follows it.
#[inline]
fn cut(bytes: &[u8]) -> (&[u8], Option<(u8, &[u8])>) {
    const { assert!(NAME_VALUE_SEPARATOR == 1 && PROPERTY_SEPARATOR == 2) };
    match find_up_to_two(bytes, 0).and_then(|end| bytes.split_at_checked(end)) {
        Some((before, [mark, after @ ..])) => (before, Some((*mark, after))),
        _ => (bytes, None),
    }
}

/// Records the facts about one property in `said`, or refuses it.
fn look_at<'a>(name: &[u8], value: &'a [u8], said: &mut Said<'a>) -> Result<(), RecordFault> {
    match name {
        b"TAGS" if !value.is_empty() => said.tag = Some(value),
        b"DELAY" if value != b"0" => said.asks_to_wait = true,
        b"TIMER_DELAY_SEC" | b"TIMER_DELAY_MS" | b"TIMER_DELIVER_MS" => said.asks_to_wait = true,
        b"TRAN_MSG" if value.eq_ignore_ascii_case(b"true") => {
            return Err(RecordFault::Unsupported(Unsupported::Transactional));
        }
        b"POP_CK" => return Err(RecordFault::Reserved("POP_CK")),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RecordDraft;

    fn record(properties: &[u8], sys_flag: i32) -> Vec<u8> {
        let host = "127.0.0.1:1".parse().unwrap();
        let pieces = [properties];
        let draft = RecordDraft {
            topic: "T",
            queue_id: 1,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag,
            born_timestamp_ms: 5,
            born_host: host,
            store_timestamp_ms: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: &pieces,
        };
        let mut bytes = vec![0; draft.encoded_len().unwrap()];
        draft.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_good_record_passes_with_its_tag() {
        let bytes = record(b"UNIQ_KEY\x01k\x02TAGS\x01a\x02", 0);
        let checked = check(&bytes, false).unwrap();
        assert_eq!(
            (checked.tags_code, checked.has_crc_property, checked.view.body()),
            (97, false, b"body".as_slice())
        );
        check(&record(b"", 0), false).unwrap();
        check(&record(b"TAGS\x01a", 0), false).unwrap();
        let with_crc = record(b"TAGS\x01a\x02__CRC32#\x010000000000\x02", 0);
        assert!(check(&with_crc, false).unwrap().has_crc_property);
        for resembles in [
            b"__CRC32#\x01000000000\x02".as_slice(),
            b"__CRC32#\x010000000000",
            b"__CRC32x\x010000000000\x02",
            b"__CRC32#\x01000000000x\x02",
        ] {
            let bytes = record(&[b"TAGS\x01a\x02", resembles].concat(), 0);
            assert!(
                check(&bytes, false).is_err_and(|fault| matches!(fault, RecordFault::Reserved(_)))
                    || !RecordView::parse(&bytes).unwrap().has_crc_property()
            );
        }
    }

    #[test]
    fn properties_that_are_not_well_formed_are_refused_with_the_place() {
        for (properties, at) in [
            (b"TAGS".as_slice(), 0),
            (b"\x01a\x02", 0),
            (b"a\x01b\x02\x02", 4),
            (b"a\x01b\x01c\x02", 0),
            (b"k\x01v\x02x\x02", 4),
        ] {
            assert_eq!(
                check(&record(properties, 0), false).err(),
                Some(RecordFault::Properties { at }),
                "{properties:?}"
            );
        }
        assert_eq!(
            check(&record(b"a\x01b\x00\x02", 0), false).err(),
            Some(RecordFault::Properties { at: 3 })
        );
    }

    #[test]
    fn what_is_not_supported_or_not_the_clients_is_refused() {
        let fault = |properties: &[u8], sys_flag| {
            check(&record(properties, sys_flag), false).err().unwrap()
        };
        assert_eq!(
            fault(b"TRAN_MSG\x01true\x02", 0),
            RecordFault::Unsupported(Unsupported::Transactional)
        );
        assert_eq!(fault(b"", 0x4), RecordFault::Unsupported(Unsupported::Transactional));
        assert_eq!(fault(b"POP_CK\x01x\x02", 0), RecordFault::Reserved("POP_CK"));
        assert_eq!(
            check(&record(b"", 0), true).err(),
            Some(RecordFault::StoreHost { expected: 6, found: 4 })
        );
    }

    #[test]
    fn a_delay_level_or_a_time_asks_to_wait() {
        let waits = |properties: &[u8]| {
            let bytes = record(properties, 0);
            let checked = check(&bytes, false).unwrap();
            assert_eq!(checked.plan(0).asks_to_wait, checked.asks_to_wait);
            checked.asks_to_wait
        };
        for property in [
            b"DELAY\x013\x02".as_slice(),
            b"TIMER_DELAY_SEC\x013\x02",
            b"TIMER_DELAY_MS\x013",
            b"TIMER_DELIVER_MS\x01x\x02",
        ] {
            assert!(waits(&[b"TAGS\x01a\x02", property].concat()), "{property:?}");
        }
        assert!(!waits(b"DELAY\x010\x02") && !waits(b"TAGS\x01DELAY\x02"));
    }

    #[test]
    fn every_flipped_byte_of_a_body_or_length_is_noticed_or_harmless() {
        let good = record(b"TAGS\x01a\x02", 0);
        let body_at = crate::record::body_length_at(0);
        for at in (0..8).chain(body_at..body_at + 4 + b"body".len()) {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            assert!(check(&bytes, false).is_err(), "byte {at}");
        }
    }

    #[test]
    fn records_are_cut_where_their_sizes_say_and_lies_are_refused() {
        let one = record(b"", 0);
        let both = [one.as_slice(), &one].concat();
        let mut rest = both.as_slice();
        assert_eq!(next(&mut rest).unwrap().unwrap(), one);
        assert_eq!(next(&mut rest).unwrap().unwrap(), one);
        assert!(next(&mut rest).is_none());
        let plan = check(&one, false).unwrap().plan(one.len());
        assert_eq!(
            (plan.record(&both), plan.topic(&both), plan.record(&one)),
            (one.as_slice(), "T", [].as_slice())
        );
        for size in [0_i32, -1, 90, i32::MAX] {
            let mut lying = one.clone();
            lying[..4].copy_from_slice(&size.to_be_bytes());
            assert!(next(&mut lying.as_slice()).unwrap().is_err(), "{size}");
        }
        assert!(next(&mut &one[..3]).unwrap().is_err());
    }
}
