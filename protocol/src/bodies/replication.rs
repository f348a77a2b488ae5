//! What brokers of one name tell each other of their logs.

use serde::{Deserialize, Serialize};

/// One master's life in a log (`EpochEntry`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EpochEntry {
    /// Where it ended; `i64::MAX` of the last one.
    pub end_offset: i64,
    /// Its number.
    pub epoch: i32,
    /// Where its first record lies.
    pub start_offset: i64,
}

/// Answer of GET_BROKER_EPOCH_CACHE (1007), `EpochEntryCache`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EpochEntryCache {
    /// `brokerId`.
    pub broker_id: i64,
    /// `brokerName`.
    pub broker_name: String,
    /// `brokerClusterName`.
    pub cluster_name: String,
    /// From the oldest to the newest.
    pub epoch_list: Vec<EpochEntry>,
    /// Where the log ends.
    pub max_offset: i64,
}
