//! The records that the end of a transaction, and a question to its producers, leave in the log, in
//! Apache's format (`EndTransactionProcessor`, `TransactionalMessageBridge`,
//! `DefaultTransactionalMessageCheckListener`).
//!
//! | what happened | records, next to each other |
//! |---|---|
//! | commit | the message in its own topic, SYSFLAG commit, PREPAREDTRANSACTIONOFFSET = place of the half; an op message |
//! | roll-back | an op message |
//! | a question | a copy of the half at the end of its queue, TRANSACTION_CHECK_TIMES one more; an op message for the one before |
//! | given up | a copy in TRANS_CHECK_MAX_TIME_TOPIC; an op message |
//!
//! An op message says which half messages count no more: tag `d`, body `3,` or `3,5,8,`, their
//! queue offsets. It stands right behind what it follows from, and says how long that is: a power
//! cut may leave either alone, and the next start finds out ([`super::recover`]).

use crate::sends::delay::{self, Waiting};
use crate::sends::half::{CHECK_TIMES, FIRST_OFFSET, QUEUE_ID, without_transaction};
use crate::sends::message::draft_of;
use crate::sends::timer::Timer;
use engine::{DelayLevels, PhyOffset};
use protocol::names::{TRANS_CHECK_MAX_TIME_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView};
use protocol::sys_flag::TRANSACTION_COMMIT;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// The checksum of the record that a copy is made of: the copy gets its own.
const CRC_PROPERTY: &str = "__CRC32#";
/// The tag of op messages.
const OP_TAG: &str = "d";
/// Of an op message: the bytes of the record before it, from which it follows. Apache has no such
/// property and looks at none.
const FOLLOWS: &str = "TRAN_OP_FOLLOWS";

/// A record's topic, queue and properties; the rest is another's.
#[derive(Debug)]
pub(super) struct Copy<'r> {
    pub(super) topic: &'r str,
    pub(super) queue_id: i32,
    sys_flag: i32,
    prepared: i64,
    properties: Vec<u8>,
}

/// The message of a committed transaction, in queue `queue_id` of its topic or where it waits for
/// its delay or as `timer`; a delay level wins over that. `half` is the place of the half message.
pub(super) fn committed<'r>(
    record: &RecordView<'_>,
    (topic, queue_id): (&'r str, i32),
    half: PhyOffset,
    (levels, timer): (&DelayLevels, Option<Timer>),
) -> Copy<'r> {
    let sys_flag = without_transaction(record.sys_flag()) | TRANSACTION_COMMIT;
    let sent = record.properties();
    let own = [names::REAL_TOPIC, names::REAL_QUEUE_ID, FIRST_OFFSET, CRC_PROPERTY];
    let mut properties = vec![];
    let level = properties::get(sent, names::DELAY_TIME_LEVEL);
    let level = level.and_then(|level| level.trim().parse().ok()).unwrap_or(0);
    let timer = timer.filter(|_| level <= 0);
    let (topic, queue_id) = match (Waiting::of(level, sys_flag, levels), timer) {
        (Some(waiting), _) => {
            let out = [&own[..], &delay::TAKEN_OUT].concat();
            properties::write_without(&mut properties, sent, &out);
            waiting.write_properties(&mut properties, topic, queue_id);
            (waiting.topic(), waiting.queue_id())
        }
        (None, Some(timer)) => {
            properties::write_without(&mut properties, sent, &own);
            timer.write_properties(&mut properties, topic, queue_id);
            (Timer::topic(), 0)
        }
        (None, None) => {
            properties::write_without(&mut properties, sent, &own);
            (topic, queue_id)
        }
    };
    Copy { topic, queue_id, sys_flag, prepared: half.as_i64(), properties }
}

/// A half message, asked about `checks` times, at the end of its queue. `first` is where its
/// transaction was first.
pub(super) fn asked(record: &RecordView<'_>, checks: i32, first: i64) -> Copy<'static> {
    let mut properties = vec![];
    let own = [CHECK_TIMES, FIRST_OFFSET, CRC_PROPERTY];
    properties::write_without(&mut properties, record.properties(), &own);
    properties::write(&mut properties, CHECK_TIMES, &checks.to_string());
    properties::write(&mut properties, FIRST_OFFSET, &first.to_string());
    let (topic, sys_flag) = (TRANS_HALF_TOPIC, record.sys_flag());
    Copy { topic, queue_id: QUEUE_ID, sys_flag, prepared: 0, properties }
}

/// A half message that is given up.
pub(super) fn given_up(record: &RecordView<'_>) -> Copy<'static> {
    let mut properties = vec![];
    properties::write_without(&mut properties, record.properties(), &[FIRST_OFFSET, CRC_PROPERTY]);
    let (topic, sys_flag) = (TRANS_CHECK_MAX_TIME_TOPIC, record.sys_flag());
    Copy { topic, queue_id: 0, sys_flag, prepared: 0, properties }
}

/// What a producer is sent with the question: the message as it was sent, at the place of its half
/// message, and how often was asked by now.
pub(super) fn question<'r>(
    record: &RecordView<'r>,
    checks: i32,
    (topic, queue_id): (&'r str, i32),
) -> Copy<'r> {
    let mut properties = vec![];
    properties::write_without(&mut properties, record.properties(), &[CHECK_TIMES]);
    properties::write(&mut properties, CHECK_TIMES, &checks.to_string());
    Copy { topic, queue_id, sys_flag: record.sys_flag(), prepared: 0, properties }
}

impl<'c> Copy<'c> {
    /// Its properties, in the form that [`Self::draft`] takes.
    pub(super) fn pieces(&self) -> [&[u8]; 1] {
        [&self.properties]
    }

    /// The record; `pieces` are [`Self::pieces`].
    pub(super) fn draft(
        &'c self,
        of: &RecordView<'c>,
        pieces: &'c [&'c [u8]; 1],
        store_host: SocketAddr,
    ) -> RecordDraft<'c> {
        RecordDraft {
            topic: self.topic,
            queue_id: self.queue_id,
            sys_flag: self.sys_flag,
            prepared_transaction_offset: self.prepared,
            properties: if self.properties.is_empty() { &[] } else { pieces },
            ..draft_of(of, store_host)
        }
    }
}

/// An op message.
#[derive(Debug)]
pub(super) struct Op {
    body: String,
    properties: Vec<u8>,
}

impl Op {
    /// These half messages count no more.
    pub(super) fn of(offsets: &[i64]) -> Self {
        let mut body = String::new();
        for offset in offsets {
            let _infallible = write!(body, "{offset},");
        }
        let mut properties = vec![];
        properties::write(&mut properties, names::TAGS, OP_TAG);
        Self { body, properties }
    }

    /// This half message counts no more, because of the record of `bytes` bytes right before.
    pub(super) fn behind(bytes: usize, offset: i64) -> Self {
        let mut op = Self::of(&[offset]);
        properties::write(&mut op.properties, FOLLOWS, &bytes.to_string());
        op
    }

    /// Its properties, in the form that [`Self::draft`] takes.
    pub(super) fn pieces(&self) -> [&[u8]; 1] {
        [&self.properties]
    }

    /// The record; `pieces` are [`Self::pieces`].
    pub(super) fn draft<'o>(
        &'o self,
        pieces: &'o [&'o [u8]; 1],
        now_ms: i64,
        host: SocketAddr,
    ) -> RecordDraft<'o> {
        RecordDraft {
            topic: TRANS_OP_HALF_TOPIC,
            queue_id: QUEUE_ID,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: now_ms,
            born_host: host,
            store_timestamp_ms: 0,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: self.body.as_bytes(),
            properties: pieces,
        }
    }
}

/// The half messages that the body of an op message names; what is no number is left out.
pub(super) fn op_offsets(body: &[u8]) -> impl Iterator<Item = i64> {
    let numbers = body.split(|byte| *byte == b',');
    numbers.filter_map(|number| std::str::from_utf8(number).ok()?.trim().parse().ok())
}

/// Whether a record is an op message that says something.
pub(super) fn is_op(record: &RecordView<'_>) -> bool {
    properties::get(record.properties(), names::TAGS) == Some(OP_TAG)
}

/// The place of the record that an op message follows from, where it says so.
pub(super) fn follows(op: &RecordView<'_>) -> Option<PhyOffset> {
    let bytes: u64 = properties::get(op.properties(), FOLLOWS)?.parse().ok()?;
    let at = u64::try_from(op.physical_offset()).ok()?;
    at.checked_sub(bytes).map(PhyOffset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::transactions::facts::half_record;

    const SENT: &str = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}T\u{2}\
                        REAL_QID\u{1}3\u{2}TRANSACTION_CHECK_TIMES\u{1}2\u{2}\
                        TRAN_PREPARED_QUEUE_OFFSET\u{1}4\u{2}KEYS\u{1}k";

    #[test]
    fn a_committed_message_is_the_one_that_was_sent() {
        let bytes = half_record(9, 0, SENT);
        let record = RecordView::parse(&bytes).unwrap();
        let copy = committed(&record, ("T", 3), PhyOffset(4_009), (&DelayLevels::default(), None));
        let host = "127.0.0.1:10911".parse().unwrap();
        let pieces = copy.pieces();
        let draft = copy.draft(&record, &pieces, host);
        assert_eq!((draft.topic, draft.queue_id, draft.body), ("T", 3, &b"body"[..]));
        assert_eq!(
            (draft.sys_flag, draft.prepared_transaction_offset),
            (TRANSACTION_COMMIT, 4_009)
        );
        let kept =
            b"TRAN_MSG\x01true\x02PGROUP\x01p\x02TRANSACTION_CHECK_TIMES\x012\x02KEYS\x01k\x02";
        assert_eq!(draft.properties.concat(), kept);
    }

    #[test]
    fn a_committed_message_with_a_delay_waits_for_it() {
        let bytes = half_record(9, 0, &format!("DELAY\u{1}2\u{2}{SENT}"));
        let record = RecordView::parse(&bytes).unwrap();
        let copy = committed(&record, ("T", 3), PhyOffset(4_009), (&DelayLevels::default(), None));
        assert_eq!((copy.topic, copy.queue_id), ("SCHEDULE_TOPIC_XXXX", 1));
        let said = |name| properties::get(&copy.properties, name);
        assert_eq!(
            (said("REAL_TOPIC"), said("REAL_QID"), said("DELAY")),
            (Some("T"), Some("3"), Some("2"))
        );
        assert_eq!(said(FIRST_OFFSET), None);
    }

    #[test]
    fn a_copy_counts_the_questions_and_knows_where_it_began() {
        let bytes = half_record(9, 0, SENT);
        let record = RecordView::parse(&bytes).unwrap();
        let copy = asked(&record, 3, 4);
        let said = |name| properties::get(&copy.properties, name);
        assert_eq!((said(CHECK_TIMES), said(FIRST_OFFSET)), (Some("3"), Some("4")));
        assert_eq!((said("REAL_TOPIC"), said("KEYS")), (Some("T"), Some("k")));
        let given_up = given_up(&record);
        assert_eq!(properties::get(&given_up.properties, FIRST_OFFSET), None);
        assert_eq!(properties::get(&given_up.properties, CHECK_TIMES), Some("2"));
    }

    #[test]
    fn op_messages_say_what_they_were_told() {
        let op = Op::of(&[3, 5, 88]);
        assert_eq!((op.body.as_str(), &*op.properties), ("3,5,88,", &b"TAGS\x01d\x02"[..]));
        assert_eq!(op_offsets(op.body.as_bytes()).collect::<Vec<_>>(), [3, 5, 88]);
        assert_eq!(
            op_offsets(b"3,x,,-4, 7 ,\xff,99999999999999999999").collect::<Vec<_>>(),
            [3, -4, 7]
        );
    }

    #[test]
    fn an_op_message_knows_the_place_of_what_it_follows_from() {
        let host = "127.0.0.1:10911".parse().unwrap();
        for (op, before) in [(Op::behind(300, 7), Some(PhyOffset(700))), (Op::of(&[7]), None)] {
            let pieces = op.pieces();
            let draft = RecordDraft { physical_offset: 1_000, ..op.draft(&pieces, 5, host) };
            let mut bytes = vec![0; draft.encoded_len().unwrap()];
            draft.encode_into(&mut bytes).unwrap();
            let record = RecordView::parse(&bytes).unwrap();
            assert!(is_op(&record));
            assert_eq!((follows(&record), record.body()), (before, &b"7,"[..]));
        }
    }
}
