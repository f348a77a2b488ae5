//! POP: consumption without a rebalance. Names, and the texts that a broker gives with popped
//! messages and gets back with their acknowledgement (`KeyBuilder`, `ExtraInfoUtil`).

mod receipt;

pub use receipt::{Receipt, ReceiptError, write_offsets, write_order_count, write_start};

use crate::names::RETRY_PREFIX;

/// The prefix of the topic that checkpoints and acknowledgements go to when they are due; the
/// cluster's name follows.
pub const REVIVE_TOPIC_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
/// Who reads it: the table of consumer offsets has the last one that is done.
pub const REVIVE_GROUP: &str = "CID_RMQ_SYS_REVIVE_GROUP";
/// The revive queue that receipts of ordered pops name.
pub const ORDER_REVIVE_QUEUE: i32 = 999;
/// Tag of a checkpoint.
pub const CHECKPOINT_TAG: &str = "ck";
/// Tag of the acknowledgement of one message.
pub const ACK_TAG: &str = "ack";
/// Tag of the acknowledgement of several.
pub const BATCH_ACK_TAG: &str = "bAck";

/// Which topic a popped message lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The topic that was sent to.
    No,
    /// `%RETRY%group_topic`.
    V1,
    /// `%RETRY%group+topic`.
    V2,
}

impl Retry {
    /// Of a topic by its name.
    #[must_use]
    pub fn of(topic: &str) -> Self {
        if !topic.starts_with(RETRY_PREFIX) {
            Self::No
        } else if topic.contains('+') {
            Self::V2
        } else {
            Self::V1
        }
    }

    /// As receipts and acknowledgements write it.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::No => "0",
            Self::V1 => "1",
            Self::V2 => "2",
        }
    }

    /// The same, read.
    #[must_use]
    pub fn from_flag(flag: &str) -> Option<Self> {
        [Self::No, Self::V1, Self::V2].into_iter().find(|retry| retry.flag() == flag)
    }

    /// The topic that messages of `topic` for `group` lie in.
    #[must_use]
    pub fn topic(self, topic: &str, group: &str) -> String {
        match self {
            Self::No => topic.to_owned(),
            Self::V1 => format!("{RETRY_PREFIX}{group}_{topic}"),
            Self::V2 => format!("{RETRY_PREFIX}{group}+{topic}"),
        }
    }
}

/// The topic that messages were sent to which lie in `topic` for `group`; `topic` itself when it is
/// no retry topic of POP.
#[must_use]
pub fn normal_topic<'t>(topic: &'t str, group: &str) -> &'t str {
    let rest = topic.strip_prefix(RETRY_PREFIX).and_then(|rest| rest.strip_prefix(group));
    let normal = rest.and_then(|rest| rest.strip_prefix(['+', '_']));
    normal.filter(|normal| !normal.is_empty()).unwrap_or(topic)
}

/// The topic of checkpoints and acknowledgements that are due.
#[must_use]
pub fn revive_topic(cluster: &str) -> String {
    format!("{REVIVE_TOPIC_PREFIX}{cluster}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_topics_are_named_and_read_as_apache_does() {
        for (retry, name) in [(Retry::V1, "%RETRY%g_1_T"), (Retry::V2, "%RETRY%g_1+T")] {
            assert_eq!(retry.topic("T", "g_1"), name);
            assert_eq!((Retry::of(name), normal_topic(name, "g_1")), (retry, "T"));
            assert_eq!(Retry::from_flag(retry.flag()), Some(retry));
        }
        assert_eq!((Retry::No.topic("T", "g").as_str(), Retry::of("T")), ("T", Retry::No));
        assert_eq!((normal_topic("T", "g"), normal_topic("%RETRY%g", "g")), ("T", "%RETRY%g"));
        assert_eq!(normal_topic("%RETRY%other_T", "g"), "%RETRY%other_T");
        assert_eq!(Retry::from_flag("3"), None);
    }
}
