//! Checkpoints and acknowledgements as records: Apache's bodies, tags and times. They wait as
//! timers and come to the revive topic when they are due.

use crate::config::TimerOptions;
use crate::sends::timer::{Asked, NotTimed, Timer};
use protocol::bodies::{AckMessage, CheckPoint};
use protocol::properties::{self, names};
use protocol::record::RecordDraft;
use protocol::{json, pop};
use std::net::SocketAddr;

/// A checkpoint comes so much before the time that it speaks of (`ackTimeInterval`), so that it
/// comes before its acknowledgements.
pub(super) const CHECKPOINT_EARLY_MS: i64 = 1_000;

/// A record that is about to be stored.
#[derive(Debug)]
pub(crate) struct ReviveRecord {
    topic: Box<str>,
    queue_id: i32,
    properties: Vec<u8>,
    body: Vec<u8>,
    born_ms: i64,
    host: SocketAddr,
}

/// What is the same for all records of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writer<'a> {
    /// The revive topic.
    pub(crate) topic: &'a str,
    /// How timers wait.
    pub(crate) timers: &'a TimerOptions,
    /// Who stores.
    pub(crate) host: SocketAddr,
    /// Milliseconds since 1970.
    pub(crate) now_ms: i64,
}

impl Writer<'_> {
    /// A checkpoint. Whether its time can wait so long is [`Timer`]'s to say.
    pub(crate) fn check_point(
        &self,
        point: &CheckPoint,
        revive_queue: i32,
    ) -> Result<ReviveRecord, NotTimed> {
        let due_ms = point.revive_ms().saturating_sub(CHECKPOINT_EARLY_MS);
        let key = format!(
            "{}@{}@{}@{}@{}@{}@{}",
            point.topic.as_deref().unwrap_or_default(),
            point.queue_id,
            point.start_offset,
            point.group.as_deref().unwrap_or_default(),
            point.pop_time_ms,
            point.broker.as_deref().unwrap_or_default(),
            pop::CHECKPOINT_TAG,
        );
        let body = json::to_fastjson(point);
        self.record(revive_queue, (pop::CHECKPOINT_TAG, &key), due_ms, body)
    }

    /// The acknowledgement of one message or of several, of a checkpoint whose time is over at
    /// `due_ms`.
    ///
    /// Apache gives all acknowledgements of several messages one key, because it writes the key
    /// of a single one over theirs. Keys decide which of two copies of a timer is left out, so
    /// here the list is in it.
    pub(crate) fn ack(
        &self,
        ack: &AckMessage,
        revive_queue: i32,
        due_ms: i64,
    ) -> Result<ReviveRecord, NotTimed> {
        let topic = ack.topic.as_deref().unwrap_or_default();
        let group = ack.group.as_deref().unwrap_or_default();
        let broker = ack.broker.as_deref().unwrap_or_default();
        let (queue_id, pop_time_ms) = (ack.queue_id, ack.pop_time_ms);
        let (tag, key) = match &ack.offsets {
            None => {
                let offset = ack.offset;
                let key = format!(
                    "{topic}@{queue_id}@{offset}@{group}@{pop_time_ms}@{broker}@{}",
                    pop::ACK_TAG
                );
                (pop::ACK_TAG, key)
            }
            Some(offsets) => {
                let list = offsets.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                let tag = pop::BATCH_ACK_TAG;
                (tag, format!("{topic}@{queue_id}@[{list}]@{group}@{pop_time_ms}@{tag}"))
            }
        };
        self.record(revive_queue, (tag, &key), due_ms, json::to_fastjson(ack))
    }

    fn record(
        &self,
        revive_queue: i32,
        (tag, key): (&str, &str),
        due_ms: i64,
        body: Vec<u8>,
    ) -> Result<ReviveRecord, NotTimed> {
        let due = due_ms.to_string();
        let asked = Asked { deliver_ms: Some(&due), ..Asked::default() };
        let timer = Timer::of(&asked, 0, self.now_ms, self.timers)?;
        let mut out = vec![];
        properties::write(&mut out, names::TIMER_DELIVER_MS, &due);
        properties::write(&mut out, names::UNIQ_KEY, key);
        properties::write(&mut out, names::TAGS, tag);
        let (topic, queue_id) = match timer {
            Some(timer) => {
                timer.write_properties(&mut out, self.topic, revive_queue);
                (Timer::topic(), 0)
            }
            None => (self.topic, revive_queue),
        };
        Ok(ReviveRecord {
            topic: topic.into(),
            queue_id,
            properties: out,
            body,
            born_ms: self.now_ms,
            host: self.host,
        })
    }
}

impl ReviveRecord {
    /// Lends it to be stored; `properties` are its own, as one piece.
    pub(crate) fn draft<'a>(&'a self, properties: &'a [&'a [u8]]) -> RecordDraft<'a> {
        RecordDraft {
            topic: &self.topic,
            queue_id: self.queue_id,
            flag: 0,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms: self.born_ms,
            born_host: self.host,
            store_timestamp_ms: 0,
            store_host: self.host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &self.body,
            properties,
        }
    }

    /// Its properties.
    pub(crate) fn properties(&self) -> &[u8] {
        &self.properties
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const NOW: i64 = 1_700_000_000_000;

    fn stored(
        make: impl FnOnce(&Writer<'_>) -> Result<ReviveRecord, NotTimed>,
    ) -> Result<(String, i32, String), NotTimed> {
        let options = config::options(&[]);
        let host = "127.0.0.1:10911".parse().unwrap();
        let writer = Writer { topic: "R", timers: &options.timers, host, now_ms: NOW };
        let record = make(&writer)?;
        let text = String::from_utf8(record.properties.clone()).unwrap();
        let draft = record.draft(&[]);
        Ok((draft.topic.to_owned(), draft.queue_id, text))
    }

    fn point(invisible_ms: i64) -> CheckPoint {
        let some = |text: &str| Some(text.to_owned());
        CheckPoint {
            broker: some("b"),
            group: some("g"),
            topic: some("T"),
            pop_time_ms: NOW,
            invisible_ms,
            messages: 1,
            start_offset: 7,
            ..CheckPoint::default()
        }
    }

    #[test]
    fn a_checkpoint_waits_until_a_second_before_its_time() {
        let stored_of = |ms| stored(|writer| writer.check_point(&point(ms), 3));
        let properties = "TIMER_DELIVER_MS\x011700000059000\x02\
            UNIQ_KEY\x01T@0@7@g@1700000000000@b@ck\x02TAGS\x01ck\x02\
            TIMER_OUT_MS\x011700000058000\x02REAL_TOPIC\x01R\x02REAL_QID\x013\x02";
        let wheel = "rmq_sys_wheel_timer".to_owned();
        assert_eq!(stored_of(60_000), Ok((wheel, 0, properties.to_owned())));
        let (topic, queue_id, _) = stored_of(0).unwrap();
        assert_eq!((topic.as_str(), queue_id), ("R", 3), "its time is over");
        assert_eq!(stored_of(366 * 86_400_000).unwrap_err(), NotTimed::Illegal);
    }

    #[test]
    fn acknowledgements_wait_until_the_time_and_no_two_have_one_key() {
        let ack = |offset, offsets| AckMessage {
            offset,
            offsets,
            broker: Some("b".into()),
            group: Some("g".into()),
            topic: Some("T".into()),
            pop_time_ms: NOW,
            queue_id: 1,
            start_offset: 7,
        };
        let properties = |ack: AckMessage| {
            let (topic, _, properties) =
                stored(|writer| writer.ack(&ack, 3, NOW + 60_000)).unwrap();
            assert_eq!(topic, "rmq_sys_wheel_timer");
            properties
        };
        let one = properties(ack(7, None));
        assert!(
            one.contains("UNIQ_KEY\x01T@1@7@g@1700000000000@b@ack\x02TAGS\x01ack\x02"),
            "{one}"
        );
        assert!(one.starts_with("TIMER_DELIVER_MS\x011700000060000\x02"), "{one}");
        let two = properties(ack(-1, Some(vec![7, 9])));
        assert!(two.contains("UNIQ_KEY\x01T@1@[7, 9]@g@1700000000000@bAck\x02"), "{two}");
        assert_ne!(two, properties(ack(-1, Some(vec![8, 9]))));
    }
}
