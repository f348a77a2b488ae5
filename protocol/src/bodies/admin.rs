//! What tools ask of a broker about its consumers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConsumeStats, MessageQueue, SubscriptionData, SubscriptionGroupConfig};

/// Answer of GET_BROKER_CONSUME_STATS.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStatsList {
    /// The broker's address.
    pub broker_addr: String,
    /// One map for each group, of one entry: the group, and the state of each of its topics.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages that are not consumed yet, of all groups.
    pub total_diff: i64,
    /// Messages that are pulled and not consumed yet, of all groups.
    pub total_inflight_diff: i64,
}

/// Between which times a queue's messages were stored, and where a group is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueTimeSpan {
    /// Store time of the last message that the group consumed, in milliseconds; −1 without one.
    pub consume_time_stamp: i64,
    /// How old the next message is that the group consumes, in milliseconds.
    pub delay_time: i64,
    /// Store time of the last message, in milliseconds; −1 without one.
    pub max_time_stamp: i64,
    /// The queue.
    pub message_queue: MessageQueue,
    /// Store time of the first message, in milliseconds; −1 without one.
    pub min_time_stamp: i64,
}

/// Answer of QUERY_CONSUME_TIME_SPAN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryConsumeTimeSpanBody {
    /// One entry for each queue of the topic.
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Answer of QUERY_SUBSCRIPTION_BY_CONSUMER.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuerySubscriptionResponseBody {
    /// The group.
    pub group: String,
    /// What it wants of the topic; nothing while it is not online.
    pub subscription_data: Option<SubscriptionData>,
    /// The topic.
    pub topic: String,
}

/// Answer of QUERY_CORRECTION_OFFSET.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryCorrectionOffsetBody {
    /// The lowest offset of any group by queue.
    pub correction_offsets: BTreeMap<i32, i64>,
}

/// Answer of GET_CONSUMER_STATUS_FROM_CLIENT (of one client: `message_queue_table`) and of
/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (of all: `consumer_table`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetConsumerStatusBody {
    /// Where each client is in its queues, by client id.
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
    /// Where one client is in its queues.
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
}

/// Answer of UPDATE_AND_GET_GROUP_FORBIDDEN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupForbidden {
    /// The group.
    pub group: String,
    /// Whether it may read the topic.
    pub readable: bool,
    /// The topic.
    pub topic: String,
}

/// Body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubscriptionGroupList {
    /// The groups.
    pub group_config_list: Vec<SubscriptionGroupConfig>,
}
