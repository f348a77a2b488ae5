//! Numbers about topics and groups, read by the admin tool.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DataVersion, MessageQueue};

/// A queue's state for a group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OffsetWrapper {
    /// Next offset to be written.
    pub broker_offset: i64,
    /// Next offset to be consumed.
    pub consumer_offset: i64,
    /// Store time of the last consumed message, in milliseconds.
    pub last_timestamp: i64,
    /// Next offset to be pulled.
    pub pull_offset: i64,
}

/// Answer of GET_CONSUME_STATS.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsumeStats {
    /// Messages a second.
    pub consume_tps: f64,
    /// State by queue; keys are inline objects.
    pub offset_table: BTreeMap<MessageQueue, OffsetWrapper>,
}

/// A queue's bounds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicOffset {
    /// Store time of the last message, in milliseconds.
    pub last_update_timestamp: i64,
    /// Next offset to be written.
    pub max_offset: i64,
    /// First offset.
    pub min_offset: i64,
}

/// Answer of GET_TOPIC_STATS_INFO.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicStatsTable {
    /// Bounds by queue; keys are inline objects.
    pub offset_table: BTreeMap<MessageQueue, TopicOffset>,
    /// Messages a second.
    pub topic_put_tps: f64,
}

/// How much went by in one window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsItem {
    /// By event: a request, for most.
    pub avgpt: f64,
    /// By how much the sum grew.
    pub sum: u64,
    /// The same, a second.
    pub tps: f64,
}

/// Answer of VIEW_BROKER_STATS_DATA: the last minute, hour and day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BrokerStatsData {
    /// 25 samples, one an hour.
    pub stats_day: BrokerStatsItem,
    /// 7 samples, one in 10 minutes.
    pub stats_hour: BrokerStatsItem,
    /// 7 samples, one in 10 seconds.
    pub stats_minute: BrokerStatsItem,
}

/// How many timer messages wait for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TimingCount {
    /// So many.
    pub count: i64,
    /// When that changed last, in milliseconds since 1970.
    pub time_stamp: i64,
}

/// Answer of GET_TIMER_METRICS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TimerMetrics {
    /// Raised with each change.
    pub data_version: DataVersion,
    /// By topic.
    pub timing_count: BTreeMap<String, TimingCount>,
}
