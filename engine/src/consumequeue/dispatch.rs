//! From a record to its units: which queues, at which offsets, with which tags code. The one place
//! where units are made ([`unit_of`], [`RecordUnits`]), so that append, recovery and repair can't
//! differ.
//!
//! | the record | its queues | tags code |
//! |---|---|---|
//! | half message, roll-back | none | |
//! | whose topic is no folder's name, or whose queue id is none ([`is_queue`]) | none: it stays in the log and is reported as damage, for no checksum covers the two | |
//! | of SCHEDULE_TOPIC_XXXX with a delay level | its own | the time it is due, in ms |
//! | any other | its own | the hash of its tag, 0 without |
//! | with INNER_MULTI_DISPATCH | also each `%LMQ%…` named there | as in its own |
//!
//! As RocketMQ 5.5.0's `CommitLog.checkMessageAndReturnSize` and `ConsumeQueue`
//! (`multiDispatchLmqQueue`).

use super::unit::Unit;
use crate::delay_levels::DelayLevels;
use crate::limits::QUEUE_ID_MAX;
use crate::number::exact;
use crate::offset::{PhyOffset, QueueOffset};
use crate::paths::is_folder_name;
use protocol::names::{LMQ_PREFIX, SCHEDULE_TOPIC, SYSTEM_TOPIC_PREFIX, is_retry_topic};
use protocol::properties::{self, names};
use protocol::record::{RECORD_BYTES_MIN, RecordView};
use protocol::sys_flag::{TRANSACTION_PREPARED, TRANSACTION_ROLLBACK, transaction_type};
use protocol::tags::tags_code_of_bytes;

/// The queue id of every `%LMQ%…` queue.
pub(crate) const LMQ_QUEUE_ID: i32 = 0;

/// Half messages and roll-backs are in the log but in no queue.
pub(crate) fn is_indexed(sys_flag: i32) -> bool {
    !matches!(transaction_type(sys_flag), TRANSACTION_PREPARED | TRANSACTION_ROLLBACK)
}

/// Whether there can be such a queue: a folder of the store, and a row of a table.
pub(crate) fn is_queue(topic: &str, queue_id: i32) -> bool {
    (0..=QUEUE_ID_MAX).contains(&queue_id) && is_folder_name(topic)
}

/// What of a record decides its tags code.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TagFacts<'r> {
    /// Of a stored record; `tag` is its property TAGS.
    Record { topic: &'r str, properties: &'r [u8], tag: Option<&'r [u8]>, store_timestamp_ms: i64 },
    /// The check of a request has hashed the tag already; it refused properties that ask for a
    /// delay.
    Hashed(i64),
}

/// The unit of a record of `bytes` bytes at `at`, the same in each of its queues.
#[inline]
pub(crate) fn unit_of(
    at: PhyOffset,
    bytes: usize,
    facts: TagFacts<'_>,
    levels: &DelayLevels,
) -> Unit {
    let tags_code = match facts {
        TagFacts::Record { topic, properties, tag, store_timestamp_ms } => {
            tags_code(topic, properties, tag, store_timestamp_ms, levels)
        }
        TagFacts::Hashed(code) => code,
    };
    Unit { at, size: exact(bytes), tags_code }
}

/// The units of a stored record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordUnits<'r> {
    /// The same in each of its queues.
    pub(crate) unit: Unit,
    /// Its place in its own queue.
    pub(crate) own: QueuePosition<'r>,
    record: RecordView<'r>,
}

impl<'r> RecordUnits<'r> {
    /// Of the record at `at`; `None` when it goes into no queue. See also
    /// [`QueuePosition::is_in_a_queue`].
    pub(crate) fn of(record: &RecordView<'r>, at: PhyOffset, levels: &DelayLevels) -> Option<Self> {
        if !is_indexed(record.sys_flag()) {
            return None;
        }
        let facts = TagFacts::Record {
            topic: record.topic(),
            properties: record.properties(),
            tag: properties::get_bytes(record.properties(), names::TAGS),
            store_timestamp_ms: record.store_timestamp_ms(),
        };
        let unit = unit_of(at, record.total_size(), facts, levels);
        Some(Self { unit, own: QueuePosition::own(record), record: *record })
    }

    /// Its places in light message queues. Which of these there are is the store's to know: a
    /// client's property alone makes none.
    pub(crate) fn light(&self) -> impl Iterator<Item = QueuePosition<'r>> + use<'r> {
        lmq_offsets(&self.record).map(QueuePosition::lmq)
    }
}

/// The tags code of a record's units.
fn tags_code(
    topic: &str,
    record_properties: &[u8],
    tag: Option<&[u8]>,
    store_timestamp_ms: i64,
    levels: &DelayLevels,
) -> i64 {
    if topic == SCHEDULE_TOPIC
        && let Some(level) = properties::get(record_properties, names::DELAY_TIME_LEVEL)
        && let Some(due_ms) =
            level.parse().ok().and_then(|level| levels.due_ms(level, store_timestamp_ms))
    {
        return due_ms;
    }
    tag.map_or(0, tags_code_of_bytes)
}

/// Whether a topic is a light message queue: its records are those of other topics.
pub(crate) fn is_lmq(topic: &str) -> bool {
    topic.starts_with(LMQ_PREFIX)
}

/// The light message queues a record names besides its own queue, and where in them.
///
/// Names that are no folder's, offsets that are no numbers and a queue's second mention are left
/// out; so is everything when the two lists differ in length.
fn lmq_offsets<'r>(
    record: &RecordView<'r>,
) -> impl Iterator<Item = (&'r str, QueueOffset)> + use<'r> {
    let both = lmq_lists(record);
    let (queues, offsets) = both.unwrap_or_default();
    let is_even = queues.split(',').count() == offsets.split(',').count();
    let pairs = queues.split(',').zip(offsets.split(','));
    let pairs = pairs.filter(move |_| is_even && both.is_some()).enumerate();
    pairs.filter_map(move |(nth, (queue, offset))| {
        let is_name = is_lmq(queue) && is_folder_name(queue);
        let offset = offset.parse().ok().filter(|offset| *offset >= 0 && is_name)?;
        let is_again = queues.split(',').take(nth).any(|before| before == queue);
        (!is_again).then_some((queue, QueueOffset(offset)))
    })
}

/// The lists of names and offsets, each without the empty entries at its end, as Java splits.
fn lmq_lists<'r>(record: &RecordView<'r>) -> Option<(&'r str, &'r str)> {
    let topic = record.topic();
    if is_retry_topic(topic) || topic.starts_with(SYSTEM_TOPIC_PREFIX) || topic == SCHEDULE_TOPIC {
        return None;
    }
    let list = |name| {
        let list = properties::get(record.properties(), name)?.trim_end_matches(',');
        (!list.trim().is_empty()).then_some(list)
    };
    Some((list(names::INNER_MULTI_DISPATCH)?, list(names::INNER_MULTI_QUEUE_OFFSET)?))
}

/// A record's offset in a queue, its own or a light one; `None` when it is not in that queue.
#[must_use]
pub fn place_in(record: &RecordView<'_>, topic: &str, queue_id: i32) -> Option<i64> {
    offset_in(record, topic, queue_id).map(|offset| offset.0)
}

/// The record's offset in a queue; `None` when it is not in that queue.
pub(crate) fn offset_in(
    record: &RecordView<'_>,
    topic: &str,
    queue_id: i32,
) -> Option<QueueOffset> {
    if record.topic() == topic && record.queue_id() == queue_id {
        return Some(QueueOffset(record.queue_offset()));
    }
    if !is_lmq(topic) || queue_id != LMQ_QUEUE_ID {
        return None;
    }
    lmq_offsets(record).find(|(name, _)| *name == topic).map(|(_, offset)| offset)
}

/// Which queue a unit goes into, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePosition<'r> {
    pub(crate) topic: &'r str,
    pub(crate) queue_id: i32,
    pub(crate) offset: QueueOffset,
}

impl<'r> QueuePosition<'r> {
    /// Whether there can be such a queue.
    pub(crate) fn is_in_a_queue(&self) -> bool {
        is_queue(self.topic, self.queue_id)
    }

    /// Whether a record at `at` of the log can have this place: every message before it in its
    /// queue took so many bytes at least.
    pub(crate) fn is_possible_at(&self, at: PhyOffset) -> bool {
        u64::try_from(self.offset.0).is_ok_and(|before| before <= at.0 / RECORD_BYTES_MIN as u64)
    }

    /// In the record's own queue.
    fn own(record: &RecordView<'r>) -> Self {
        Self {
            topic: record.topic(),
            queue_id: record.queue_id(),
            offset: QueueOffset(record.queue_offset()),
        }
    }

    /// In a light message queue.
    fn lmq((topic, offset): (&'r str, QueueOffset)) -> Self {
        Self { topic, queue_id: LMQ_QUEUE_ID, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::record::RecordDraft;

    fn code(topic: &str, properties: &str) -> i64 {
        let properties = properties.as_bytes();
        let tag = properties::get_bytes(properties, names::TAGS);
        tags_code(topic, properties, tag, 1_000_000, &DelayLevels::default())
    }

    #[test]
    fn a_scheduled_message_has_the_time_it_is_due_and_others_the_hash_of_their_tag() {
        let tag_a = 2_598_919;
        for (topic, properties, expected) in [
            (SCHEDULE_TOPIC, "TAGS\u{1}TagA\u{2}DELAY\u{1}3\u{2}", 1_010_000),
            (SCHEDULE_TOPIC, "DELAY\u{1}18", 8_200_000),
            (SCHEDULE_TOPIC, "DELAY\u{1}99\u{2}", 8_200_000),
            (SCHEDULE_TOPIC, "DELAY\u{1}0\u{2}TAGS\u{1}TagA\u{2}", tag_a),
            (SCHEDULE_TOPIC, "DELAY\u{1}-1\u{2}TAGS\u{1}TagA\u{2}", tag_a),
            (SCHEDULE_TOPIC, "DELAY\u{1}soon\u{2}TAGS\u{1}TagA\u{2}", tag_a),
            (SCHEDULE_TOPIC, "TAGS\u{1}TagA\u{2}", tag_a),
            ("T", "TAGS\u{1}TagA\u{2}DELAY\u{1}3\u{2}", tag_a),
            ("T", "KEYS\u{1}k\u{2}", 0),
        ] {
            assert_eq!(code(topic, properties), expected, "{topic} {properties:?}");
        }
    }

    fn record(topic: &str, properties: &str) -> Vec<u8> {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic,
            queue_id: 2,
            flag: 0,
            queue_offset: 7,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
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

    #[test]
    fn light_message_queues_are_read_as_java_splits_them() {
        let both = |queues: &str, offsets: &str| {
            format!("INNER_MULTI_DISPATCH\u{1}{queues}\u{2}INNER_MULTI_QUEUE_OFFSET\u{1}{offsets}")
        };
        for (topic, properties, expected) in [
            ("T", both("%LMQ%a,%LMQ%b", "3,0"), &[("%LMQ%a", 3), ("%LMQ%b", 0)][..]),
            ("T", both("%LMQ%a,,", "3,"), &[("%LMQ%a", 3)]),
            ("T", both("%LMQ%a,%LMQ%a", "3,3"), &[("%LMQ%a", 3)]),
            ("T", both("plain,%LMQ%b", ",4"), &[("%LMQ%b", 4)]),
            ("T", both("%LMQ%a,%LMQ%b", "3"), &[]),
            ("T", both("%LMQ%a/../x,%LMQ%b", "3,x"), &[]),
            ("T", both("%LMQ%a", "-1"), &[]),
            ("T", both(" ", "1"), &[]),
            ("T", "INNER_MULTI_DISPATCH\u{1}%LMQ%a\u{2}".to_owned(), &[]),
            ("%RETRY%g", both("%LMQ%a", "3"), &[]),
            ("rmq_sys_x", both("%LMQ%a", "3"), &[]),
            (SCHEDULE_TOPIC, both("%LMQ%a", "3"), &[]),
        ] {
            let bytes = record(topic, &properties);
            let view = RecordView::parse(&bytes).unwrap();
            let found: Vec<(&str, i64)> =
                lmq_offsets(&view).map(|(queue, offset)| (queue, offset.0)).collect();
            assert_eq!(found, expected, "{topic} {properties:?}");
            assert_eq!(offset_in(&view, topic, 2), Some(QueueOffset(7)));
            assert_eq!(offset_in(&view, topic, 1), None);
            let in_a = expected.iter().find(|(queue, _)| *queue == "%LMQ%a");
            assert_eq!(offset_in(&view, "%LMQ%a", 0).map(|at| at.0), in_a.map(|(_, at)| *at));
            assert_eq!(offset_in(&view, "%LMQ%a", 2), None);
        }
    }
}
