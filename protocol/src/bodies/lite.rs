//! Lite topics: subscriptions, and what tools ask.

use super::{OffsetWrapper, TopicOffset};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Body of LITE_SUBSCRIPTION_CTL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LiteSubscriptionCtlRequestBody {
    /// One entry for each client.
    pub subscription_set: Vec<LiteSubscriptionDto>,
}

/// What a client has subscribed to, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LiteSubscriptionDto {
    /// What is said; an entry without is an error.
    pub action: Option<LiteSubscriptionAction>,
    /// The client.
    pub client_id: String,
    /// Its group.
    pub group: String,
    /// The children.
    pub lite_topic_set: Vec<String>,
    /// Where its group goes on in them.
    pub offset_option: Option<OffsetOption>,
    /// The parent topic.
    pub topic: String,
    /// Of the client's list; nothing looks at it.
    pub version: i64,
}

/// `LiteSubscriptionAction`, in Java's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LiteSubscriptionAction {
    /// These too.
    PartialAdd,
    /// These no more.
    PartialRemove,
    /// These and no others.
    CompleteAdd,
    /// None any more.
    CompleteRemove,
}

/// Where a group goes on in a lite topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetOption {
    /// What the value is.
    #[serde(rename = "type")]
    pub kind: OffsetOptionType,
    /// A policy, an offset, a number of messages or a time in milliseconds since 1970.
    #[serde(default)]
    pub value: i64,
}

impl OffsetOption {
    /// At the beginning.
    pub const MIN: Self = Self { kind: OffsetOptionType::Policy, value: 1 };
    /// At the end.
    pub const MAX: Self = Self { kind: OffsetOptionType::Policy, value: 2 };
}

/// `OffsetOption.Type`, in Java's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OffsetOptionType {
    /// [`OffsetOption::MIN`], [`OffsetOption::MAX`], or where it is (0).
    Policy,
    /// An offset.
    Offset,
    /// So many messages before where it is.
    TailN,
    /// A time.
    Timestamp,
}

/// Answer of GET_BROKER_LITE_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetBrokerLiteInfoResponseBody {
    /// Topics with queues.
    pub cq_table_size: i32,
    /// Light message queues.
    pub current_lmq_num: i32,
    /// Clients with a list of events.
    pub event_map_size: i32,
    /// The groups of parents.
    pub group_meta: BTreeMap<String, BTreeSet<String>>,
    /// Subscriptions.
    pub lite_subscription_count: i32,
    /// `maxLmqConsumeQueueNum`.
    pub max_lmq_num: i32,
    /// Pairs of topic and group with offsets.
    pub offset_table_size: i32,
    /// Queues with messages that are out.
    pub order_info_count: i32,
    /// Always "default".
    pub store_type: String,
    /// Parents, with the minutes their children stay.
    pub topic_meta: BTreeMap<String, i64>,
}

/// Answer of GET_PARENT_TOPIC_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetParentTopicInfoResponseBody {
    /// Its groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<String>>,
    /// Its children.
    pub lite_topic_count: i32,
    /// Light message queues of the broker.
    pub lmq_num: i32,
    /// The parent.
    pub topic: String,
    /// Minutes that its children stay.
    pub ttl: i64,
}

/// A client of a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientGroup {
    /// The client; `*` for all of them.
    pub client_id: String,
    /// The group.
    pub group: String,
}

/// Answer of GET_LITE_TOPIC_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetLiteTopicInfoResponseBody {
    /// The child.
    pub lite_topic: String,
    /// Its parent.
    pub parent_topic: String,
    /// Whether it is this broker's.
    pub sharding_to_broker: bool,
    /// Who has subscribed to it.
    pub subscriber: Vec<ClientGroup>,
    /// Its bounds.
    pub topic_offset: TopicOffset,
}

/// Answer of GET_LITE_CLIENT_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetLiteClientInfoResponseBody {
    /// The client.
    pub client_id: String,
    /// Its group.
    pub group: String,
    /// When it popped last, in milliseconds since 1970; −1: never.
    pub last_access_time: i64,
    /// Always 0.
    pub last_consume_time: i64,
    /// How many lite topics it has; −1: it is unknown.
    pub lite_topic_count: i32,
    /// Their queues, as many as were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lite_topic_set: Option<Vec<String>>,
    /// The parent.
    pub parent_topic: String,
}

/// How far a group is behind in a lite topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LiteLagInfo {
    /// Store time of the first message it has not consumed, in milliseconds since 1970.
    pub earliest_unconsumed_timestamp: i64,
    /// Messages.
    pub lag_count: i64,
    /// The child.
    pub lite_topic: String,
}

/// Answer of GET_LITE_GROUP_INFO.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GetLiteGroupInfoResponseBody {
    /// Store time of the first message it has not consumed; −1: none is known.
    pub earliest_unconsumed_timestamp: i64,
    /// The group.
    pub group: String,
    /// Where it is behind most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_count_top_k: Option<Vec<LiteLagInfo>>,
    /// Where it is behind longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_timestamp_top_k: Option<Vec<LiteLagInfo>>,
    /// The child that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lite_topic: Option<String>,
    /// The group's place in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lite_topic_offset_wrapper: Option<OffsetWrapper>,
    /// The parent.
    pub parent_topic: String,
    /// Messages; −1: there is no such child.
    pub total_lag_count: i64,
}
