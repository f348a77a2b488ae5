//! PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361), request and answer.

use super::{Scratch, opt_i32, opt_i64, req_i32, req_i64};
use crate::remoting::{Ext, ExtWriter, HeaderError};

/// The fields of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullHeader<'s> {
    /// Consumer group.
    pub consumer_group: &'s str,
    /// Topic.
    pub topic: &'s str,
    /// Queue.
    pub queue_id: i32,
    /// First queue offset wanted.
    pub queue_offset: i64,
    /// Most messages in the answer.
    pub max_msg_nums: i32,
    /// See [`crate::sys_flag::pull`].
    pub sys_flag: i32,
    /// Offset consumed so far, stored when `sys_flag` says so.
    pub commit_offset: i64,
    /// Longest long poll, in milliseconds.
    pub suspend_timeout_ms: i64,
    /// The subscription's expression, when `sys_flag` says it is here.
    pub subscription: Option<&'s str>,
    /// Version of the subscription; 0 when absent.
    pub sub_version: i64,
    /// TAG or SQL92; TAG when absent.
    pub expression_type: Option<&'s str>,
    /// Most bytes in the answer (5.x clients).
    pub max_msg_bytes: Option<i32>,
    /// Whether a proxy or a client asks (5.x).
    pub request_source: Option<i32>,
    /// Lite topic (5.5).
    pub lite_topic: Option<&'s str>,
}

impl<'s> PullHeader<'s> {
    /// Reads the header from a request's fields, each looked at once.
    pub fn decode(ext: &Ext<'s>, scratch: &'s mut Scratch) -> Result<Self, HeaderError> {
        let [
            group,
            topic,
            queue,
            offset,
            max,
            sys,
            commit,
            suspend,
            sub,
            version,
            kind,
            bytes,
            source,
            lite,
        ] = ext.collect(slot);
        let [group, topic, subscription, expression_type, lite_topic] =
            scratch.resolve([group, topic, sub, kind, lite]);
        Ok(Self {
            consumer_group: group.ok_or(HeaderError::Missing { field: "consumerGroup" })?,
            topic: topic.ok_or(HeaderError::Missing { field: "topic" })?,
            queue_id: req_i32("queueId", queue)?,
            queue_offset: req_i64("queueOffset", offset)?,
            max_msg_nums: req_i32("maxMsgNums", max)?,
            sys_flag: req_i32("sysFlag", sys)?,
            commit_offset: opt_i64("commitOffset", commit)?.unwrap_or_default(),
            suspend_timeout_ms: opt_i64("suspendTimeoutMillis", suspend)?.unwrap_or_default(),
            subscription,
            sub_version: opt_i64("subVersion", version)?.unwrap_or_default(),
            expression_type,
            max_msg_bytes: opt_i32("maxMsgBytes", bytes)?,
            request_source: opt_i32("requestSource", source)?,
            lite_topic,
        })
    }

    /// Writes the fields, as a client does.
    pub fn write(&self, ext: &mut ExtWriter<'_>) {
        ext.str("consumerGroup", self.consumer_group);
        ext.str("topic", self.topic);
        ext.int("queueId", self.queue_id);
        ext.int("queueOffset", self.queue_offset);
        ext.int("maxMsgNums", self.max_msg_nums);
        ext.int("sysFlag", self.sys_flag);
        ext.int("commitOffset", self.commit_offset);
        ext.int("suspendTimeoutMillis", self.suspend_timeout_ms);
        ext.opt("subscription", self.subscription);
        ext.int("subVersion", self.sub_version);
        ext.opt("expressionType", self.expression_type);
        if let Some(bytes) = self.max_msg_bytes {
            ext.int("maxMsgBytes", bytes);
        }
        if let Some(source) = self.request_source {
            ext.int("requestSource", source);
        }
        ext.opt("liteTopic", self.lite_topic);
    }
}

fn slot(key: &str) -> Option<usize> {
    Some(match key {
        "consumerGroup" => 0,
        "topic" => 1,
        "queueId" => 2,
        "queueOffset" => 3,
        "maxMsgNums" => 4,
        "sysFlag" => 5,
        "commitOffset" => 6,
        "suspendTimeoutMillis" => 7,
        "subscription" => 8,
        "subVersion" => 9,
        "expressionType" => 10,
        "maxMsgBytes" => 11,
        "requestSource" => 12,
        "liteTopic" => 13,
        _ => return None,
    })
}

/// The fields of the answer to a pull. Clients fail unless every answer of code 0, 19, 20 or 21 has
/// the first four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullResponseHeader {
    /// Broker id to ask next time; 0 = the master.
    pub suggest_which_broker_id: i64,
    /// Queue offset to ask for next time.
    pub next_begin_offset: i64,
    /// First offset of the queue.
    pub min_offset: i64,
    /// Next offset to be written.
    pub max_offset: i64,
    /// Topic's system flag.
    pub topic_sys_flag: Option<i32>,
    /// Group's system flag.
    pub group_sys_flag: Option<i32>,
    /// Why the pull is forbidden: 1 broker, 2 group, 3 topic, 4 broadcasting, 5 subscription.
    pub forbidden_type: Option<i32>,
}

impl PullResponseHeader {
    /// Writes the fields.
    pub fn write(&self, ext: &mut ExtWriter<'_>) {
        ext.int("suggestWhichBrokerId", self.suggest_which_broker_id);
        ext.int("nextBeginOffset", self.next_begin_offset);
        ext.int("minOffset", self.min_offset);
        ext.int("maxOffset", self.max_offset);
        for (key, value) in [
            ("topicSysFlag", self.topic_sys_flag),
            ("groupSysFlag", self.group_sys_flag),
            ("forbiddenType", self.forbidden_type),
        ] {
            if let Some(value) = value {
                ext.int(key, value);
            }
        }
    }

    /// Reads the fields, as a client does.
    pub fn decode(ext: &Ext<'_>) -> Result<Self, HeaderError> {
        let mut found = [None; 7];
        for (key, value) in ext.entries() {
            let slot = match key.as_plain() {
                Some("suggestWhichBrokerId") => 0,
                Some("nextBeginOffset") => 1,
                Some("minOffset") => 2,
                Some("maxOffset") => 3,
                Some("topicSysFlag") => 4,
                Some("groupSysFlag") => 5,
                Some("forbiddenType") => 6,
                _ => continue,
            };
            if let Some(place) = found.get_mut(slot) {
                *place = Some(value);
            }
        }
        let [suggest, next, min, max, topic, group, forbidden] = found;
        Ok(Self {
            suggest_which_broker_id: opt_i64("suggestWhichBrokerId", suggest)?.unwrap_or_default(),
            next_begin_offset: req_i64("nextBeginOffset", next)?,
            min_offset: req_i64("minOffset", min)?,
            max_offset: req_i64("maxOffset", max)?,
            topic_sys_flag: opt_i32("topicSysFlag", topic)?,
            group_sys_flag: opt_i32("groupSysFlag", group)?,
            forbidden_type: opt_i32("forbiddenType", forbidden)?,
        })
    }
}
