//! Names of topics and groups: which are legal, and which the system reserves.

use crate::limits::{GROUP_BYTES_MAX, RETRY_TOPIC_BYTES_MAX, TOPIC_BYTES_MAX};

/// Prefix of a group's retry topic.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Prefix of a group's dead-letter topic.
pub const DLQ_PREFIX: &str = "%DLQ%";

/// Prefix of a light message queue: a queue of references to messages of other topics.
pub const LMQ_PREFIX: &str = "%LMQ%";

/// The topic whose settings new topics take when a producer names it as their default.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Delayed messages are stored here until they are due.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Half messages.
pub const TRANS_HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// Marks of finished half messages.
pub const TRANS_OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// Transactions that nobody resolved.
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// Offsets kept in RocksDB (`RMQ_SYS_ROCKSDB_OFFSET_TOPIC`).
pub const ROCKSDB_OFFSET_TOPIC: &str = "CHECKPOINT_TOPIC";
/// The clients' self test.
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
/// Notes about moved offsets.
pub const OFFSET_MOVED_EVENT: &str = "OFFSET_MOVED_EVENT";
/// RocketMQ's benchmark programs.
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
/// Message traces.
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
/// Timer messages are stored here until they are due.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Prefix of system topics.
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
/// Half messages of the RocksDB kind. The topic always exists and refuses sends.
pub const ROCKSDB_TRANS_HALF_TOPIC: &str = "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC";
/// Marks of finished half messages of the RocksDB kind. The topic always exists and refuses sends.
pub const ROCKSDB_TRANS_OP_HALF_TOPIC: &str = "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC";

/// Topics reserved for the system: `TopicValidator`'s `SYSTEM_TOPIC_SET` of RocketMQ 5.5.0 before a
/// broker adds its own. GET_SYSTEM_TOPIC_LIST_FROM_BROKER (305) lists them whether they exist or
/// not; [`is_system_topic`] knows others by their prefix.
pub const SYSTEM_TOPICS: [&str; 12] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    BENCHMARK_TOPIC,
    TRANS_HALF_TOPIC,
    TRACE_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    ROCKSDB_OFFSET_TOPIC,
    ROCKSDB_TRANS_HALF_TOPIC,
    ROCKSDB_TRANS_OP_HALF_TOPIC,
];

/// Topics that no client may send to: `TopicValidator`'s `NOT_ALLOWED_SEND_TOPIC_SET`.
pub const NOT_ALLOWED_SEND_TOPICS: [&str; 8] = [
    SCHEDULE_TOPIC,
    TRANS_HALF_TOPIC,
    TRANS_OP_HALF_TOPIC,
    TRANS_CHECK_MAX_TIME_TOPIC,
    SELF_TEST_TOPIC,
    OFFSET_MOVED_EVENT,
    ROCKSDB_TRANS_HALF_TOPIC,
    ROCKSDB_TRANS_OP_HALF_TOPIC,
];

/// Groups that exist on every broker.
pub const SYSTEM_GROUPS: [&str; 8] = [
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    "CID_RMQ_SYS_TRANS",
];

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or white space only.
    #[error("The specified {kind} is blank.")]
    Blank {
        /// "topic" or "group".
        kind: &'static str,
    },
    /// A character that RocketMQ does not allow.
    #[error(
        "The specified {kind} contains illegal characters ({found:?}), allowing only \
            ^[%|a-zA-Z0-9_-]+$"
    )]
    Character {
        /// "topic" or "group".
        kind: &'static str,
        /// The first such character.
        found: char,
    },
    /// Too long.
    #[error("The specified {kind} is longer than {kind} max length {max}: {found} bytes.")]
    TooLong {
        /// "topic" or "group".
        kind: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
}

/// Whether `topic` is a retry topic.
#[must_use]
pub fn is_retry_topic(topic: &str) -> bool {
    topic.starts_with(RETRY_PREFIX)
}

/// Whether `topic` is a dead-letter topic.
#[must_use]
pub fn is_dlq_topic(topic: &str) -> bool {
    topic.starts_with(DLQ_PREFIX)
}

/// The retry topic of a group.
#[must_use]
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// The dead-letter topic of a group.
#[must_use]
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

/// Whether `topic` is reserved for the system. A broker also reserves topics named after itself and
/// its cluster; this function does not know those.
#[must_use]
pub fn is_system_topic(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic) || topic.starts_with(SYSTEM_TOPIC_PREFIX)
}

/// Whether clients may send to `topic`.
#[must_use]
pub fn is_not_allowed_send(topic: &str) -> bool {
    NOT_ALLOWED_SEND_TOPICS.contains(&topic)
}

/// Checks a topic name as the broker does before it stores.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    let prefixed = is_retry_topic(topic) || is_dlq_topic(topic);
    check("topic", topic, if prefixed { RETRY_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX })
}

/// Checks a consumer or producer group name.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check("group", group, GROUP_BYTES_MAX)
}

fn check(kind: &'static str, name: &str, max: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank { kind });
    }
    let allowed = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '%' | '|' | '_' | '-')
    };
    if let Some(found) = name.chars().find(|character| !allowed(*character)) {
        return Err(NameError::Character { kind, found });
    }
    if name.len() > max {
        return Err(NameError::TooLong { kind, found: name.len(), max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_names_pass_and_others_say_why() {
        for topic in [
            "TopicTest",
            "%RETRY%group-1",
            "a|b_c",
            &"x".repeat(127),
            &format!("%DLQ%{}", "x".repeat(250)),
        ] {
            assert_eq!(check_topic(topic), Ok(()), "{topic}");
        }
        assert_eq!(check_topic(" "), Err(NameError::Blank { kind: "topic" }));
        assert_eq!(check_topic("a b"), Err(NameError::Character { kind: "topic", found: ' ' }));
        assert_eq!(check_topic("中"), Err(NameError::Character { kind: "topic", found: '中' }));
        assert_eq!(
            check_topic(&"x".repeat(128)),
            Err(NameError::TooLong { kind: "topic", found: 128, max: 127 })
        );
    }

    #[test]
    fn the_longest_group_has_retry_and_dead_letter_topics_that_pass() {
        let group = "g".repeat(120);
        assert_eq!(check_group(&group), Ok(()));
        let pop_retry = format!("{}_{}", retry_topic(&group), "t".repeat(127));
        for topic in [retry_topic(&group), dlq_topic(&group), pop_retry] {
            assert_eq!(check_topic(&topic), Ok(()), "{topic}");
        }
        assert_eq!(
            check_group(&"g".repeat(121)),
            Err(NameError::TooLong { kind: "group", found: 121, max: 120 })
        );
    }

    #[test]
    fn names_that_the_system_keeps_are_those_of_rocketmqs_topic_validator() {
        let mut system = SYSTEM_TOPICS;
        system.sort_unstable();
        // `TopicValidator.getSystemTopicSet()` of 5.5.0, sorted.
        assert_eq!(
            system,
            [
                "BenchmarkTest",
                "CHECKPOINT_TOPIC",
                "OFFSET_MOVED_EVENT",
                "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC",
                "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC",
                "RMQ_SYS_TRACE_TOPIC",
                "RMQ_SYS_TRANS_HALF_TOPIC",
                "RMQ_SYS_TRANS_OP_HALF_TOPIC",
                "SCHEDULE_TOPIC_XXXX",
                "SELF_TEST_TOPIC",
                "TBW102",
                "TRANS_CHECK_MAX_TIME_TOPIC",
            ]
        );
        // What creation and deletion refuse, and sends don't.
        for topic in ["CHECKPOINT_TOPIC", "RMQ_SYS_TRACE_TOPIC", "BenchmarkTest", TIMER_TOPIC] {
            assert!(is_system_topic(topic) && !is_not_allowed_send(topic), "{topic}");
        }
        for topic in ["checkpoint_topic", "RMQ_SYS_", "%RETRY%TBW102"] {
            assert!(!is_system_topic(topic), "{topic}");
        }
    }

    #[test]
    fn system_topics_are_known() {
        assert!(
            is_system_topic("TBW102")
                && is_system_topic("rmq_sys_REVIVE_LOG_c")
                && !is_system_topic("TopicTest")
        );
        assert!(is_not_allowed_send(SCHEDULE_TOPIC) && !is_not_allowed_send("TBW102"));
        assert_eq!(
            (retry_topic("g"), dlq_topic("g")),
            ("%RETRY%g".to_owned(), "%DLQ%g".to_owned())
        );
    }
}
