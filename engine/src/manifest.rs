//! RingMQ's own small file beside RocketMQ's: what the ConsumeQueue files held, synced, when they were last checked.
//!
//! Why: ConsumeQueues are derived and may be deleted, all or one file, while the store is stopped; and after a power cut
//! whatever was not synced may be anything. The manifest says for a log offset (`log_end`, a record boundary) which units of
//! which queue are good, so recovery trusts exactly those and builds the rest from the log from `log_end` on. When a
//! listed queue is not there as listed, or the manifest is missing (a store of Apache RocketMQ), all are built anew.
//!
//! It also remembers deleted topics: their records are still in the log, and a rebuild must not bring them back.

use crate::config::FlushPolicy;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version this program writes and reads.
pub(crate) const MANIFEST_VERSION: u32 = 1;

/// Units `[min, max)` of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedQueue {
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    pub(crate) log_end: u64,
    /// How the log goes on from `log_end`: under SYNC_FLUSH a break with records behind it is no torn tail.
    #[serde(default)]
    pub(crate) flush: FlushPolicy,
    pub(crate) queues: BTreeMap<String, BTreeMap<i32, ListedQueue>>,
    /// Topic to log offset: its records below are deleted.
    pub(crate) deleted: BTreeMap<String, u64>,
}

impl Manifest {
    /// `None` for anything but a manifest of this version: then the queues are rebuilt.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|manifest| manifest.version == MANIFEST_VERSION)
    }

    /// Maps of strings and numbers: cannot fail, and an empty file would only mean a rebuild.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}
