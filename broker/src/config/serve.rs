//! What comes into being by itself, and how requests are answered.

use crate::limits;
use protocol::config_file::Settings;

/// What comes into being by itself.
#[derive(Clone, Debug)]
pub(crate) struct CreateOptions {
    /// `defaultTopicQueueNums`.
    pub(crate) topic_queues: i32,
    /// `autoCreateTopicEnable`.
    pub(crate) topics: bool,
    /// `clusterTopicEnable`.
    pub(crate) cluster_topic: bool,
    /// `brokerTopicEnable`.
    pub(crate) broker_topic: bool,
    /// `autoCreateSubscriptionGroup`.
    pub(crate) groups: bool,
    /// `enableCreateSysGroup`.
    pub(crate) system_groups: bool,
    /// `msgTraceTopicName` when `traceTopicEnable`.
    pub(crate) trace_topic: Option<String>,
    /// `validateSystemTopicWhenUpdateTopic`.
    pub(crate) protect_system_topics: bool,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub(crate) struct ServeOptions {
    /// `regionId`.
    pub(crate) region: String,
    /// `traceOn`.
    pub(crate) trace_on: bool,
    /// `notifyConsumerIdsChangedEnable`.
    pub(crate) notify_consumers: bool,
    /// `waitTimeMillsInSendQueue`; `None` without `brokerFastFailureEnable`: sends wait until there
    /// is room.
    pub(crate) send_wait_ms: Option<i64>,
    /// `syncFlushTimeout`.
    pub(crate) sync_flush_timeout_ms: i64,
    /// `startAcceptSendRequestTimeStamp`.
    pub(crate) accept_sends_from_ms: i64,
    /// `channelExpiredTimeout`.
    pub(crate) member_silent_ms_max: i64,
    /// How pulls are answered.
    pub(crate) pulls: PullOptions,
    /// How many clients may do what.
    pub(crate) limits: ClientLimits,
    /// `indexFileReadEnable`.
    pub(crate) queries: bool,
    /// `useServerSideResetOffset`: a reset of offsets is the broker's, not its clients'.
    pub(crate) resets_here: bool,
    /// `storeReplyMessageEnable`.
    pub(crate) store_replies: bool,
    /// `defaultQueryMaxNum`.
    pub(crate) unique_query_messages_max: usize,
}

/// How many clients of a shard may do what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// `longPollsMax`.
    pub(crate) long_polls: usize,
    /// `groupsMax`.
    pub(crate) groups: usize,
    /// `subscriptionsPerGroupMax`.
    pub(crate) subscriptions_per_group: usize,
    /// `clientsMax`.
    pub(crate) clients: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            long_polls: limits::LONG_POLLS_MAX,
            groups: limits::GROUPS_MAX,
            subscriptions_per_group: limits::SUBSCRIPTIONS_PER_GROUP_MAX,
            clients: limits::CLIENTS_MAX,
        }
    }
}

/// How pulls are answered.
#[derive(Clone, Debug)]
pub(crate) struct PullOptions {
    /// `longPollingEnable`.
    pub(crate) long_polling: bool,
    /// `shortPollingTimeMills`.
    pub(crate) short_polling_ms: i64,
    /// `litePullMessageEnable`.
    pub(crate) lite: bool,
    /// `pullBatchMaxMessageCount`.
    pub(crate) messages_max: i32,
    /// `enablePropertyFilter`.
    pub(crate) sql: bool,
    /// `filterSupportRetry`.
    pub(crate) sql_for_retries: bool,
}

impl CreateOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        let trace_topic = settings.text("msgTraceTopicName").to_owned();
        Self {
            topic_queues: settings.int("defaultTopicQueueNums"),
            topics: settings.bool("autoCreateTopicEnable"),
            cluster_topic: settings.bool("clusterTopicEnable"),
            broker_topic: settings.bool("brokerTopicEnable"),
            groups: settings.bool("autoCreateSubscriptionGroup"),
            system_groups: settings.bool("enableCreateSysGroup"),
            trace_topic: settings.bool("traceTopicEnable").then_some(trace_topic),
            protect_system_topics: settings.bool("validateSystemTopicWhenUpdateTopic"),
        }
    }
}

impl ServeOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        Self {
            region: settings.text("regionId").to_owned(),
            trace_on: settings.bool("traceOn"),
            notify_consumers: settings.bool("notifyConsumerIdsChangedEnable"),
            send_wait_ms: settings
                .bool("brokerFastFailureEnable")
                .then(|| settings.i64("waitTimeMillsInSendQueue")),
            sync_flush_timeout_ms: settings.i64("syncFlushTimeout"),
            accept_sends_from_ms: settings.i64("startAcceptSendRequestTimeStamp"),
            member_silent_ms_max: settings.i64("channelExpiredTimeout"),
            pulls: PullOptions::from_settings(settings),
            limits: ClientLimits::from_settings(settings),
            queries: settings.bool("indexFileReadEnable"),
            resets_here: settings.bool("useServerSideResetOffset"),
            store_replies: settings.bool("storeReplyMessageEnable"),
            unique_query_messages_max: settings.int("defaultQueryMaxNum"),
        }
    }
}

impl ClientLimits {
    fn from_settings(settings: &Settings) -> Self {
        Self {
            long_polls: settings.int("longPollsMax"),
            groups: settings.int("groupsMax"),
            subscriptions_per_group: settings.int("subscriptionsPerGroupMax"),
            clients: settings.int("clientsMax"),
        }
    }
}

impl PullOptions {
    fn from_settings(settings: &Settings) -> Self {
        Self {
            long_polling: settings.bool("longPollingEnable"),
            short_polling_ms: settings.i64("shortPollingTimeMills"),
            lite: settings.bool("litePullMessageEnable"),
            messages_max: settings.int("pullBatchMaxMessageCount"),
            sql: settings.bool("enablePropertyFilter"),
            sql_for_retries: settings.bool("filterSupportRetry"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;

    #[test]
    fn the_limits_of_clients_are_their_defaults_and_can_be_lowered() {
        let limits = |settings: &[(&str, &str)]| options(settings).serve.limits;
        let (found, built) = (limits(&[]), ClientLimits::default());
        assert_eq!(found.long_polls, built.long_polls);
        assert_eq!(found.groups, built.groups);
        assert_eq!(found.subscriptions_per_group, built.subscriptions_per_group);
        assert_eq!(found.clients, built.clients);
        assert_eq!(limits(&[("longPollsMax", "7")]).long_polls, 7);
    }
}
