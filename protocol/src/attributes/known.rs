//! The attributes that RocketMQ 5.5.0 knows: `TopicAttributes.ALL` and
//! `SubscriptionGroupAttributes.ALL`.

use super::{Attribute, Values};

/// `TimeUnit.DAYS.toMinutes(30)`.
const LITE_TOPIC_MINUTES_MAX: i64 = 30 * 24 * 60;

/// Attributes of a topic.
pub static TOPIC_ATTRIBUTES: [Attribute; 5] = [
    Attribute::fixed("queue.type", Values::OneOf(&["SimpleCQ", "BatchCQ"]), "SimpleCQ"),
    Attribute::fixed("cleanup.policy", Values::OneOf(&["DELETE", "COMPACTION"]), "DELETE"),
    Attribute::changeable(
        MESSAGE_TYPE,
        Values::OneOf(&[
            "UNSPECIFIED",
            MIXED,
            "TRANSACTION",
            "PRIORITY",
            "FIFO",
            "DELAY",
            "LITE",
            "NORMAL",
        ]),
        "NORMAL",
    ),
    Attribute::changeable("reserve.time", Values::Range { min: -1, max: i64::MAX }, "-1"),
    Attribute::changeable(
        "lite.topic.expiration",
        Values::Range { min: -1, max: LITE_TOPIC_MINUTES_MAX },
        "-1",
    ),
];

/// Attributes of a consumer group.
pub static GROUP_ATTRIBUTES: [Attribute; 8] = [
    Attribute::changeable("priority.factor", Values::Range { min: 0, max: 100 }, "100"),
    Attribute::changeable("lite.bind.topic", Values::Any, ""),
    Attribute::changeable("lite.sub.model", Values::OneOf(&["Shared", "Exclusive"]), "Shared"),
    Attribute::changeable("lite.sub.reset.offset.exclusive", Values::Bool, "false"),
    Attribute::changeable("lite.sub.reset.offset.unsubscribe", Values::Bool, "false"),
    Attribute::changeable(
        "lite.sub.client.quota",
        Values::Range { min: -1, max: i64::MAX },
        "2000",
    ),
    Attribute::changeable(
        "lite.sub.client.max.event.cnt",
        Values::Range { min: 10, max: i64::MAX },
        "400",
    ),
    Attribute::changeable("lite.sub.wildcard", Values::Any, ""),
];

/// The topic attribute that says which kind of messages a topic takes.
pub const MESSAGE_TYPE: &str = "message.type";
/// The value of [`MESSAGE_TYPE`] that a broker refuses unless `enableMixedMessageType` is set.
pub const MIXED: &str = "MIXED";
