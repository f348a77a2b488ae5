//! Small types that many bodies share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A queue of a topic on a broker; as a map key it is written as an inline object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MessageQueue {
    /// Broker name.
    pub broker_name: String,
    /// Queue.
    pub queue_id: i32,
    /// Topic.
    pub topic: String,
}

/// Java's order: topic, broker name, queue. Clients rely on it to share queues out.
impl Ord for MessageQueue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |queue: &Self| {
            (
                queue.topic.encode_utf16().collect::<Vec<_>>(),
                queue.broker_name.encode_utf16().collect::<Vec<_>>(),
            )
        };
        key(self).cmp(&key(other)).then(self.queue_id.cmp(&other.queue_id))
    }
}

impl PartialOrd for MessageQueue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Java's `toString`, which the consistent-hash strategy hashes.
impl std::fmt::Display for MessageQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "MessageQueue [topic={}, brokerName={}, queueId={}]",
            self.topic, self.broker_name, self.queue_id
        )
    }
}

/// Version of a broker's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DataVersion {
    /// Changes since the start.
    pub counter: i64,
    /// Epoch of the master, 0 without a controller.
    pub state_version: i64,
    /// When it last changed, in milliseconds.
    pub timestamp: i64,
}

impl DataVersion {
    /// The version after one more change.
    #[must_use]
    pub fn next(self, now_ms: i64) -> Self {
        Self { counter: self.counter.wrapping_add(1), timestamp: now_ms, ..self }
    }

    /// Newer or older, in Java's order: state version, counter, timestamp.
    #[must_use]
    pub fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let key = |version: &Self| (version.state_version, version.counter, version.timestamp);
        key(self).cmp(&key(other))
    }
}

/// A list of topics, perhaps with the address of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TopicList {
    /// Address of some broker.
    pub broker_addr: Option<String>,
    /// Topics.
    pub topic_list: Vec<String>,
}

/// A list of groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct GroupList {
    /// Groups.
    pub group_list: Vec<String>,
}

/// Names and values: `{"table":{"bootTimestamp":"1700000000000",…}}`. The answer to
/// GET_BROKER_RUNTIME_INFO (28) and to GET_KVLIST_BY_NAMESPACE (219).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KvTable {
    /// Value by name; both are texts, numbers too.
    pub table: BTreeMap<String, String>,
}
