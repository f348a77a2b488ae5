//! Offsets of groups: files, slave synchronisation and resets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, MessageQueue};

/// Answer of GET_ALL_CONSUMER_OFFSET, and `consumerOffset.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumerOffsets {
    /// Version (5.x).
    pub data_version: Option<DataVersion>,
    /// With `enableLmq`, of groups that are light themselves: `topic@group` to the offset in queue
    /// 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lmq_offset_table: Option<BTreeMap<String, i64>>,
    /// `topic@group` to queue to offset.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// Answer of GET_ALL_DELAY_OFFSET, and `delayOffset.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DelayOffsets {
    /// Version (5.x).
    pub data_version: Option<DataVersion>,
    /// Level to offset.
    pub offset_table: BTreeMap<i32, i64>,
}

/// Body of RESET_CONSUMER_CLIENT_OFFSET to Java and Go clients, answer of
/// INVOKE_BROKER_TO_RESET_OFFSET.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsetBody {
    /// New offset by queue; keys are inline objects.
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// One queue's new offset, as C++ clients read it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsetEntry {
    /// Broker name.
    pub broker_name: String,
    /// New offset.
    pub offset: i64,
    /// Queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Body of RESET_CONSUMER_CLIENT_OFFSET to C++ clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResetOffsetBodyForC {
    /// New offsets.
    pub offset_table: Vec<ResetOffsetEntry>,
}
