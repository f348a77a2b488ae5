//! Lite topics: who has subscribed, and who is told of messages.

use protocol::config_file::{Key, Settings};

const DAY_MS: i64 = 86_400_000;

/// RocketMQ's keys of lite topics that work.
pub(super) const KEYS: &[Key] = &[
    Key::bool(
        "enableLiteEventMode",
        "true",
        "whether a pop of lite topics looks where messages came, or into all that its client has \
            subscribed to; then it is not woken",
    ),
    Key::int(
        "maxLiteSubscriptionCount",
        0,
        1_000_000,
        "100000",
        "lite topics that clients have subscribed to, each counted once for each client; over it \
            2018",
    ),
    Key::int(
        "maxClientEventCount",
        1,
        100_000,
        "100",
        "lite topics with messages of which one client is told at once, unless its group says \
            another number (lite.sub.client.max.event.cnt)",
    ),
    Key::int(
        "liteEventCheckInterval",
        50,
        DAY_MS,
        "10000",
        "milliseconds between two looks for clients that do not come for their messages",
    ),
    Key::int(
        "liteEventFullDispatchDelayTime",
        50,
        DAY_MS,
        "10000",
        "milliseconds until the lite topics of a client are looked through that was told of as \
            many as it may be",
    ),
    Key::int(
        "liteEventFullDispatchDelayTimeForWildcardGroup",
        50,
        DAY_MS,
        "10000",
        "the same for a group that consumes all children of a topic",
    ),
    Key::int(
        "liteSubscriptionCheckInterval",
        50,
        DAY_MS,
        "120000",
        "milliseconds between two looks for clients whose subscriptions are out of date",
    ),
    Key::int(
        "liteSubscriptionCheckTimeoutMills",
        50,
        DAY_MS,
        "180000",
        "milliseconds after which a client's subscriptions end that it has not said again",
    ),
    Key::int(
        "liteTtlCheckInterval",
        50,
        DAY_MS,
        "120000",
        "milliseconds between two looks for lite topics that may go (lite.topic.expiration)",
    ),
    Key::int(
        "minLiteTTl",
        0,
        30 * DAY_MS,
        "900000",
        "milliseconds that a lite topic stays after its last message, and after the start, \
            whatever its parent says",
    ),
];

/// The validated values of [`KEYS`], in milliseconds where they are times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiteOptions {
    /// `enableLiteEventMode`.
    pub(crate) by_events: bool,
    /// `maxLiteSubscriptionCount`.
    pub(crate) subscriptions_max: usize,
    /// `maxClientEventCount`.
    pub(crate) events_max: usize,
    /// `liteEventCheckInterval`.
    pub(crate) event_check_ms: i64,
    /// `liteEventFullDispatchDelayTime`.
    pub(crate) full_dispatch_ms: i64,
    /// `liteEventFullDispatchDelayTimeForWildcardGroup`.
    pub(crate) wildcard_dispatch_ms: i64,
    /// `liteSubscriptionCheckInterval`.
    pub(crate) subscription_check_ms: i64,
    /// `liteSubscriptionCheckTimeoutMills`.
    pub(crate) subscription_ms: i64,
    /// `liteTtlCheckInterval`.
    pub(crate) expiry_check_ms: i64,
    /// `minLiteTTl`.
    pub(crate) kept_ms_min: i64,
    /// `enableLmq`: consumer offsets are in `lmqConsumerOffset.json`, as with Apache.
    pub(crate) has_own_offsets: bool,
    /// `maxLmqConsumeQueueNum`, as tools are told it.
    pub(crate) light_queues_max: i32,
}

impl LiteOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        Self {
            by_events: settings.bool("enableLiteEventMode"),
            subscriptions_max: settings.int("maxLiteSubscriptionCount"),
            events_max: settings.int("maxClientEventCount"),
            event_check_ms: settings.int("liteEventCheckInterval"),
            full_dispatch_ms: settings.int("liteEventFullDispatchDelayTime"),
            wildcard_dispatch_ms: settings.int("liteEventFullDispatchDelayTimeForWildcardGroup"),
            subscription_check_ms: settings.int("liteSubscriptionCheckInterval"),
            subscription_ms: settings.int("liteSubscriptionCheckTimeoutMills"),
            expiry_check_ms: settings.int("liteTtlCheckInterval"),
            kept_ms_min: settings.int("minLiteTTl"),
            has_own_offsets: settings.bool("enableLmq"),
            light_queues_max: settings.int("maxLmqConsumeQueueNum"),
        }
    }
}
