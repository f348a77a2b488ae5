//! POP: what the revive topic has, batches of acknowledgements, and who consumes which queues.

use super::{MessageModel, MessageQueue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Messages that one pop took from a queue: the body of a record with tag `ck`
/// (`PopCheckPoint`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckPoint {
    /// Always 0 in a record.
    #[serde(rename = "bm")]
    pub bits: i32,
    /// The broker that gave them.
    #[serde(rename = "bn", skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// The consumer group.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Where each lies, from `start_offset`. Old brokers leave it out: one after the other.
    #[serde(rename = "d", skip_serializing_if = "Vec::is_empty")]
    pub diffs: Vec<i32>,
    /// For how long nobody else gets them, in milliseconds.
    #[serde(rename = "it")]
    pub invisible_ms: i64,
    /// How many.
    #[serde(rename = "n")]
    pub messages: i8,
    /// When they were popped, in milliseconds since 1970.
    #[serde(rename = "pt")]
    pub pop_time_ms: i64,
    /// Their queue.
    #[serde(rename = "q")]
    pub queue_id: i32,
    /// Always 0 in a record.
    #[serde(rename = "ro")]
    pub revive_offset: i64,
    /// How often it was stored again because a message could not be read.
    #[serde(rename = "rp", skip_serializing_if = "Option::is_none")]
    pub put_again: Option<String>,
    /// The first queue offset that the pop looked at.
    #[serde(rename = "so")]
    pub start_offset: i64,
    /// The consumer gave the message back without that it counts as an attempt.
    #[serde(rename = "sp")]
    pub suspend: bool,
    /// The topic that they lie in, a retry topic perhaps.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

impl CheckPoint {
    /// From when on others get them, in milliseconds since 1970.
    #[must_use]
    pub fn revive_ms(&self) -> i64 {
        self.pop_time_ms.saturating_add(self.invisible_ms)
    }

    /// How many messages it has: what a foreign record says is bounded by what it lists.
    #[must_use]
    pub fn len(&self) -> usize {
        let said = usize::try_from(self.messages).unwrap_or(0);
        if self.diffs.is_empty() { said } else { said.min(self.diffs.len()) }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The queue offset of its `nth` message.
    #[must_use]
    pub fn offset(&self, nth: usize) -> Option<i64> {
        if nth >= self.len() {
            return None;
        }
        let diff = match self.diffs.get(nth) {
            Some(diff) => i64::from(*diff),
            None => i64::try_from(nth).ok()?,
        };
        self.start_offset.checked_add(diff)
    }

    /// Which of its messages lies at this queue offset.
    #[must_use]
    pub fn place(&self, offset: i64) -> Option<usize> {
        (0..self.len()).find(|nth| self.offset(*nth) == Some(offset))
    }
}

/// An acknowledgement: the body of a record with tag `ack` or `bAck` (`AckMsg`, `BatchAckMsg`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AckMessage {
    /// The message's queue offset; −1 where `offsets` says it.
    #[serde(rename = "ao", alias = "ackOffset")]
    pub offset: i64,
    /// The queue offsets of several (tag `bAck`).
    #[serde(rename = "aol", alias = "ackOffsetList", skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Vec<i64>>,
    /// The broker that gave them.
    #[serde(rename = "bn", alias = "brokerName", skip_serializing_if = "Option::is_none")]
    pub broker: Option<String>,
    /// The consumer group.
    #[serde(rename = "c", alias = "consumerGroup", skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When they were popped.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time_ms: i64,
    /// Their queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// The first queue offset of their checkpoint.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// The topic that they lie in.
    #[serde(rename = "t", alias = "topic", skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// Body of BATCH_ACK_MESSAGE (200151).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BatchAckRequestBody {
    /// The acknowledgements; `null` is none, as to Java.
    #[serde(deserialize_with = "null_as_none")]
    pub acks: Vec<BatchAck>,
    /// The broker that gave the messages.
    pub broker_name: Option<String>,
}

fn null_as_none<'de, D: Deserializer<'de>>(acks: D) -> Result<Vec<BatchAck>, D::Error> {
    Ok(Option::deserialize(acks)?.unwrap_or_default())
}

/// The acknowledgement of messages of one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchAck {
    /// Which messages: bit `i` is the one at `start_offset + i`, the lowest bit of the first byte
    /// first, in base64.
    #[serde(rename = "b", alias = "bitSet")]
    pub bits: String,
    /// The consumer group.
    #[serde(rename = "c", alias = "consumerGroup")]
    pub group: String,
    /// Their invisible time, in milliseconds.
    #[serde(rename = "it", alias = "invisibleTime")]
    pub invisible_ms: i64,
    /// When they were popped.
    #[serde(rename = "pt", alias = "popTime")]
    pub pop_time_ms: i64,
    /// Their queue.
    #[serde(rename = "q", alias = "queueId")]
    pub queue_id: i32,
    /// Which topic they lie in, as receipts say it.
    #[serde(rename = "r", alias = "retry")]
    pub retry: String,
    /// The queue of the revive topic.
    #[serde(rename = "rq", alias = "reviveQueueId")]
    pub revive_queue: i32,
    /// The first queue offset of their checkpoint.
    #[serde(rename = "so", alias = "startOffset")]
    pub start_offset: i64,
    /// The topic that was sent to.
    #[serde(rename = "t", alias = "topic")]
    pub topic: String,
}

impl BatchAck {
    /// The first `max` places that are acknowledged, from `start_offset`; `None` when `bits` is no
    /// base64.
    #[must_use]
    pub fn places(&self, max: usize) -> Option<Vec<i64>> {
        let bytes = STANDARD.decode(&self.bits).ok()?;
        let bits = bytes.iter().zip((0_i64..).step_by(8)).flat_map(|(byte, first)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first + bit)
        });
        Some(bits.take(max).collect())
    }

    /// The text of [`BatchAck::bits`] for these places.
    #[must_use]
    pub fn bits_of(places: &[usize]) -> String {
        let mut bytes = vec![0_u8; places.iter().max().map_or(0, |last| last / 8 + 1)];
        for place in places {
            if let Some(byte) = bytes.get_mut(place / 8) {
                *byte |= 1 << (place % 8);
            }
        }
        STANDARD.encode(bytes)
    }
}

/// How a group gets the messages of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageRequestMode {
    /// Each queue belongs to one consumer, which pulls.
    #[default]
    Pull,
    /// All pop.
    Pop,
}

/// Body of SET_MESSAGE_REQUEST_MODE (401), and an entry of `messageRequestMode.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetMessageRequestMode {
    /// Group.
    pub consumer_group: String,
    /// How it gets the topic's messages.
    pub mode: MessageRequestMode,
    /// A popping consumer shares the queues of so many that follow it; 0 and below: all share all.
    pub pop_share_queue_num: i32,
    /// Topic.
    pub topic: String,
}

/// `messageRequestMode.json`, and the answer of GET_ALL_MESSAGE_REQUEST_MODE (402).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageRequestModes {
    /// By topic, then by group.
    pub message_request_mode_map: BTreeMap<String, BTreeMap<String, SetMessageRequestMode>>,
}

/// `consumerOrderInfo.json`: what ordered pops have handed out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderInfos {
    /// By `topic@group`, then by queue.
    pub table: BTreeMap<String, BTreeMap<i32, OrderInfo>>,
}

/// The last ordered pop of a queue (`QueueLevelConsumerManager.OrderInfo`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderInfo {
    /// What the consumer calls its attempt.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub attempt_id: Option<String>,
    /// By place: whether the message is acknowledged.
    #[serde(rename = "cm")]
    pub acked: i64,
    /// For how long its messages block the queue, in milliseconds.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub invisible_ms: Option<i64>,
    /// When it was popped, by this broker's clock.
    #[serde(rename = "l")]
    pub consumed_ms: i64,
    /// The first queue offset, then how far behind it the others lie.
    #[serde(rename = "o")]
    pub offsets: Vec<i64>,
    /// How often messages were delivered before, by queue offset.
    #[serde(rename = "oc", skip_serializing_if = "Option::is_none")]
    pub consumed: Option<BTreeMap<i64, i32>>,
    /// Until when messages block the queue whose time was changed, by queue offset.
    #[serde(rename = "ot", skip_serializing_if = "Option::is_none")]
    pub visible_ms: Option<BTreeMap<i64, i64>>,
    /// When it was popped, as receipts say it.
    #[serde(rename = "popTime")]
    pub pop_time_ms: i64,
}

/// Body of QUERY_ASSIGNMENT (400).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentRequestBody {
    /// Who asks.
    pub client_id: String,
    /// Its group.
    pub consumer_group: String,
    /// Who of the group gets a message.
    pub message_model: MessageModel,
    /// AVG or AVG_BY_CIRCLE.
    pub strategy_name: String,
    /// Topic.
    pub topic: String,
}

/// Answer of QUERY_ASSIGNMENT (400).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryAssignmentResponseBody {
    /// What the client consumes; absent: it goes on as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_queue_assignments: Option<Vec<MessageQueueAssignment>>,
}

/// A queue that a client consumes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueueAssignment {
    /// The queue; −1: all of the broker's.
    pub message_queue: MessageQueue,
    /// How.
    pub mode: MessageRequestMode,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn a_checkpoint_is_written_as_apache_writes_it_and_both_forms_are_read() {
        let point = CheckPoint {
            broker: Some("b".into()),
            group: Some("g".into()),
            diffs: vec![0, 2],
            invisible_ms: 60_000,
            messages: 2,
            pop_time_ms: 1_700_000_000_000,
            queue_id: 3,
            start_offset: 10,
            topic: Some("T".into()),
            ..CheckPoint::default()
        };
        let text = concat!(
            r#"{"bm":0,"bn":"b","c":"g","d":[0,2],"it":60000,"n":2,"pt":1700000000000,"#,
            r#""q":3,"ro":0,"so":10,"sp":false,"t":"T"}"#
        );
        assert_eq!(json::to_fastjson(&point), text.as_bytes());
        assert_eq!(json::from_lenient::<CheckPoint>(text.as_bytes()).unwrap(), point);
        assert_eq!([point.offset(0), point.offset(1), point.offset(2)], [Some(10), Some(12), None]);
        assert_eq!((point.place(12), point.place(11)), (Some(1), None));
        let old = CheckPoint { diffs: vec![], ..point.clone() };
        assert_eq!((old.offset(1), old.place(11), old.place(12)), (Some(11), Some(1), None));
        let negative = CheckPoint { messages: -1, ..old };
        assert!(negative.is_empty() && negative.offset(0).is_none());
    }

    #[test]
    fn bits_of_a_batch_are_those_of_javas_bit_set() {
        let ack = BatchAck { bits: BatchAck::bits_of(&[0, 2, 9]), ..BatchAck::default() };
        assert_eq!(ack.bits, "BQI=");
        assert_eq!((ack.places(10), ack.places(2)), (Some(vec![0, 2, 9]), Some(vec![0, 2])));
        assert_eq!(BatchAck::default().places(1), Some(vec![]));
        assert_eq!(BatchAck { bits: "?".into(), ..BatchAck::default() }.places(1), None);
    }
}
