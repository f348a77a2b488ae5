//! What the record of a half message says of its transaction.

use crate::sends::half::{CHECK_TIMES, FIRST_OFFSET, IMMUNITY};
use engine::PhyOffset;
use protocol::names::TRANS_HALF_TOPIC;
use protocol::properties::{self, names};
use protocol::record::RecordView;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts<'r> {
    /// Its place among the half messages.
    pub(super) offset: i64,
    /// Its place in the log.
    pub(super) at: PhyOffset,
    /// The place that its transaction had first; the same as `offset` in a half message that no
    /// broker has copied.
    pub(super) first: i64,
    /// How often its producers were asked.
    pub(super) checks: i32,
    /// When it was stored, in milliseconds since 1970.
    pub(super) stored_ms: i64,
    /// When the producer made it, by its clock but never after `stored_ms`.
    pub(super) born_ms: i64,
    /// Seconds in which its producers are not asked, where it says so itself.
    pub(super) immunity_s: Option<i64>,
    /// The producer group that ends it; `""` when it says none.
    pub(super) group: &'r str,
}

impl<'r> Facts<'r> {
    /// `None` when the record is no half message.
    pub(super) fn of(record: &RecordView<'r>) -> Option<Self> {
        if record.topic() != TRANS_HALF_TOPIC {
            return None;
        }
        let at = PhyOffset(u64::try_from(record.physical_offset()).ok()?);
        let offset = record.queue_offset();
        let said = |name| properties::get(record.properties(), name);
        let number = |name| said(name).and_then(|text| text.trim().parse::<i64>().ok());
        let first = number(FIRST_OFFSET).filter(|first| (0..offset).contains(first));
        let checks = number(CHECK_TIMES).unwrap_or(0).clamp(0, i64::from(i32::MAX));
        Some(Self {
            offset,
            at,
            first: first.unwrap_or(offset),
            checks: i32::try_from(checks).expect("it was clamped"),
            stored_ms: record.store_timestamp_ms(),
            born_ms: record.born_timestamp_ms().min(record.store_timestamp_ms()),
            immunity_s: number(IMMUNITY),
            group: said(names::PRODUCER_GROUP).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
pub(super) fn half_record(offset: i64, born_ms: i64, properties: &str) -> Vec<u8> {
    use protocol::record::RecordDraft;
    let host = "127.0.0.1:10911".parse().unwrap();
    let draft = RecordDraft {
        topic: TRANS_HALF_TOPIC,
        queue_id: 0,
        flag: 0,
        queue_offset: offset,
        physical_offset: 4_000 + offset,
        sys_flag: 0,
        born_timestamp_ms: born_ms,
        born_host: host,
        store_timestamp_ms: 1_000,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"body",
        properties: &[properties.as_bytes()],
    };
    let mut bytes = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut bytes).unwrap();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_tells_of_its_first_place_and_of_its_checks() {
        let properties = "PGROUP\u{1}p\u{2}TRANSACTION_CHECK_TIMES\u{1}3\u{2}\
                          TRAN_PREPARED_QUEUE_OFFSET\u{1}7\u{2}\
                          CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}60";
        let bytes = half_record(9, 2_000, properties);
        let facts = Facts::of(&RecordView::parse(&bytes).unwrap()).unwrap();
        assert_eq!((facts.offset, facts.first, facts.checks), (9, 7, 3));
        assert_eq!((facts.group, facts.immunity_s), ("p", Some(60)));
        assert_eq!((facts.at, facts.stored_ms), (PhyOffset(4_009), 1_000));
        assert_eq!(facts.born_ms, 1_000, "a producer's clock that is ahead");
    }

    #[test]
    fn what_makes_no_sense_counts_as_not_said() {
        for properties in [
            "",
            "TRANSACTION_CHECK_TIMES\u{1}-4\u{2}TRAN_PREPARED_QUEUE_OFFSET\u{1}9",
            "TRANSACTION_CHECK_TIMES\u{1}x\u{2}TRAN_PREPARED_QUEUE_OFFSET\u{1}-1",
        ] {
            let bytes = half_record(9, 500, properties);
            let facts = Facts::of(&RecordView::parse(&bytes).unwrap()).unwrap();
            assert_eq!((facts.first, facts.checks, facts.group), (9, 0, ""), "{properties:?}");
        }
    }
}
