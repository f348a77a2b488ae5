//! SEND_MESSAGE (10), SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320): one header, two spellings of
//! its keys.

use super::{Scratch, is_true, opt_i32, opt_i64, req_i32, req_i64};
use crate::json::text::RawText;
use crate::remoting::{Ext, ExtWriter, HeaderError};

/// The fields of a send request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendHeader<'s> {
    /// a: producer group.
    pub producer_group: &'s str,
    /// b: topic.
    pub topic: &'s str,
    /// c: the topic whose settings an unknown topic takes, usually TBW102.
    pub default_topic: &'s str,
    /// d: queues of a topic created by this message.
    pub default_topic_queue_nums: i32,
    /// e: queue; negative = the broker chooses.
    pub queue_id: i32,
    /// f: see [`crate::sys_flag`].
    pub sys_flag: i32,
    /// g: when the client made the message.
    pub born_timestamp_ms: i64,
    /// h: the user's flag.
    pub flag: i32,
    /// i: properties, see [`crate::properties`]; empty when absent.
    pub properties: &'s str,
    /// j: how often a retried message was consumed; 0 when absent.
    pub reconsume_times: i32,
    /// k: unit mode.
    pub unit_mode: bool,
    /// l: how often it may be consumed.
    pub max_reconsume_times: Option<i32>,
    /// m: the body is a batch. "1" counts as true too: C++ clients send batches so, with code 10.
    pub batch: bool,
    /// n (V1: `bname`): broker name, from 5.x clients.
    pub broker_name: Option<&'s str>,
}

/// The fields' places, in the order of the V2 keys a to n.
const FIELDS: usize = 14;
const GROUP: usize = 0;
const TOPIC: usize = 1;
const DEFAULT_TOPIC: usize = 2;
const DEFAULT_QUEUES: usize = 3;
const QUEUE_ID: usize = 4;
const SYS_FLAG: usize = 5;
const BORN: usize = 6;
const FLAG: usize = 7;
const PROPERTIES: usize = 8;
const RECONSUME: usize = 9;
const UNIT_MODE: usize = 10;
const MAX_RECONSUME: usize = 11;
const BATCH: usize = 12;
const BROKER_NAME: usize = 13;

fn slot(key: &str) -> Option<usize> {
    match key.as_bytes() {
        [letter] => letter.checked_sub(b'a').map(usize::from), // 14 and above: no field
        _ => slot_v1(key),
    }
}

fn slot_v1(key: &str) -> Option<usize> {
    Some(match key {
        "producerGroup" => GROUP,
        "topic" => TOPIC,
        "defaultTopic" => DEFAULT_TOPIC,
        "defaultTopicQueueNums" => DEFAULT_QUEUES,
        "queueId" => QUEUE_ID,
        "sysFlag" => SYS_FLAG,
        "bornTimestamp" => BORN,
        "flag" => FLAG,
        "properties" => PROPERTIES,
        "reconsumeTimes" => RECONSUME,
        "unitMode" => UNIT_MODE,
        "maxReconsumeTimes" => MAX_RECONSUME,
        "batch" => BATCH,
        "bname" => BROKER_NAME,
        _ => return None,
    })
}

impl<'s> SendHeader<'s> {
    /// Reads the header from a request's fields, V1 and V2 keys alike.
    pub fn decode(ext: &Ext<'s>, scratch: &'s mut Scratch) -> Result<Self, HeaderError> {
        // A header of V2 keys alone is taken as it was parsed; of any other, each field is visited
        // once.
        match ext.letters() {
            Some(letters) => {
                Self::of(|field| letters.get(field), |field| letters.digit(field), scratch)
            }
            None => {
                let found: [_; FIELDS] = ext.collect(slot);
                Self::of(|field| found.get(field).copied().flatten(), |_| None, scratch)
            }
        }
    }

    /// `digit` gives a value that is one digit, without what else a number may look like.
    #[inline]
    fn of(
        raw: impl Fn(usize) -> Option<RawText<'s>>,
        digit: impl Fn(usize) -> Option<u8>,
        scratch: &'s mut Scratch,
    ) -> Result<Self, HeaderError> {
        let texts = [GROUP, TOPIC, DEFAULT_TOPIC, PROPERTIES, BROKER_NAME].map(&raw);
        let [group, topic, default_topic, properties, broker_name] = scratch.resolve(texts);
        let batch = raw(BATCH);
        let missing = |field| HeaderError::Missing { field };
        let int = |name, field| match digit(field) {
            Some(digit) => Ok(Some(i32::from(digit))),
            None => opt_i32(name, raw(field)),
        };
        let must = |name, field| int(name, field)?.ok_or(missing(name));
        Ok(Self {
            producer_group: group.ok_or_else(|| missing("producerGroup"))?,
            topic: topic.ok_or_else(|| missing("topic"))?,
            default_topic: default_topic.unwrap_or_default(),
            default_topic_queue_nums: int("defaultTopicQueueNums", DEFAULT_QUEUES)?
                .unwrap_or_default(),
            queue_id: must("queueId", QUEUE_ID)?,
            sys_flag: must("sysFlag", SYS_FLAG)?,
            born_timestamp_ms: req_i64("bornTimestamp", raw(BORN))?,
            flag: must("flag", FLAG)?,
            properties: properties.unwrap_or_default(),
            reconsume_times: int("reconsumeTimes", RECONSUME)?.unwrap_or_default(),
            unit_mode: is_true(raw(UNIT_MODE)),
            max_reconsume_times: int("maxReconsumeTimes", MAX_RECONSUME)?,
            batch: is_true(batch) || batch.is_some_and(|batch| batch.as_plain() == Some("1")),
            broker_name,
        })
    }

    /// Writes the fields with V2 keys, as requests 310 and 320 carry them.
    pub fn write_v2(&self, ext: &mut ExtWriter<'_>) {
        ext.str("a", self.producer_group);
        ext.str("b", self.topic);
        ext.str("c", self.default_topic);
        ext.int("d", self.default_topic_queue_nums);
        ext.int("e", self.queue_id);
        ext.int("f", self.sys_flag);
        ext.int("g", self.born_timestamp_ms);
        ext.int("h", self.flag);
        ext.str("i", self.properties);
        ext.int("j", self.reconsume_times);
        ext.bool("k", self.unit_mode);
        if let Some(max) = self.max_reconsume_times {
            ext.int("l", max);
        }
        ext.bool("m", self.batch);
        ext.opt("n", self.broker_name);
    }

    /// Writes the fields with V1 keys, as request 10 carries them.
    pub fn write_v1(&self, ext: &mut ExtWriter<'_>) {
        ext.str("producerGroup", self.producer_group);
        ext.str("topic", self.topic);
        ext.str("defaultTopic", self.default_topic);
        ext.int("defaultTopicQueueNums", self.default_topic_queue_nums);
        ext.int("queueId", self.queue_id);
        ext.int("sysFlag", self.sys_flag);
        ext.int("bornTimestamp", self.born_timestamp_ms);
        ext.int("flag", self.flag);
        ext.str("properties", self.properties);
        ext.int("reconsumeTimes", self.reconsume_times);
        ext.bool("unitMode", self.unit_mode);
        if let Some(max) = self.max_reconsume_times {
            ext.int("maxReconsumeTimes", max);
        }
        ext.bool("batch", self.batch);
        ext.opt("bname", self.broker_name);
    }
}

/// The answer to a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendResponseHeader<'s> {
    /// Offset message id; of a batch all ids, joined by commas.
    pub msg_id: &'s str,
    /// The queue it went to.
    pub queue_id: i32,
    /// Its index there; of a batch the first one's.
    pub queue_offset: i64,
    /// UNIQ_KEY of a transactional message.
    pub transaction_id: Option<&'s str>,
    /// With what a timer message can be recalled.
    pub recall_handle: Option<&'s str>,
}

impl<'s> SendResponseHeader<'s> {
    /// Writes the fields.
    pub fn write(&self, ext: &mut ExtWriter<'_>) {
        ext.known_str(b"\"msgId\":", "msgId", self.msg_id);
        ext.known_int(b"\"queueId\":", "queueId", self.queue_id.into());
        ext.known_int(b"\"queueOffset\":", "queueOffset", self.queue_offset);
        if let Some(transaction_id) = self.transaction_id {
            ext.known_str(b"\"transactionId\":", "transactionId", transaction_id);
        }
        ext.opt("recallHandle", self.recall_handle);
    }

    /// Reads the fields, as a client does.
    pub fn decode(ext: &Ext<'s>, scratch: &'s mut Scratch) -> Result<Self, HeaderError> {
        let (mut msg_id, mut queue_id, mut queue_offset) = (None, None, None);
        let (mut transaction_id, mut recall_handle) = (None, None);
        for (key, value) in ext.entries() {
            match key.as_plain() {
                Some("msgId") => msg_id = Some(value),
                Some("queueId") => queue_id = Some(value),
                Some("queueOffset") => queue_offset = Some(value),
                Some("transactionId") => transaction_id = Some(value),
                Some("recallHandle") => recall_handle = Some(value),
                _ => {}
            }
        }
        let [msg_id, transaction_id, recall_handle] =
            scratch.resolve([msg_id, transaction_id, recall_handle]);
        Ok(Self {
            msg_id: msg_id.unwrap_or_default(),
            queue_id: req_i32("queueId", queue_id)?,
            queue_offset: opt_i64("queueOffset", queue_offset)?
                .ok_or(HeaderError::Missing { field: "queueOffset" })?,
            transaction_id,
            recall_handle,
        })
    }
}
