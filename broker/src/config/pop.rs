//! POP: consumption without a rebalance.

use crate::limits::{POP_POLLS_OF_ONE_MAX, REVIVE_QUEUES_MAX};
use protocol::bodies::MessageRequestMode;
use protocol::config_file::{Key, Settings};

/// RocketMQ's keys of POP that work.
pub(super) const KEYS: &[Key] = &[
    Key::int(
        "reviveQueueNum",
        1,
        REVIVE_QUEUES_MAX,
        "8",
        "queues of the topic with checkpoints and acknowledgements; counts when the topic is made",
    ),
    Key::int(
        "popPollingSize",
        1,
        POP_POLLS_OF_ONE_MAX,
        "1024",
        "long polls of one group on one queue of a topic, or on all of them; over it 209",
    ),
    Key::bool(
        "enableRetryTopicV2",
        "false",
        "whether messages that nobody acknowledged go to %RETRY%group+topic, else to \
            %RETRY%group_topic",
    ),
    Key::bool(
        "retrieveMessageFromPopRetryTopicV1",
        "true",
        "whether pops look into %RETRY%group_topic too while enableRetryTopicV2=true",
    ),
    Key::int(
        "popFromRetryProbability",
        0,
        100,
        "20",
        "of 100 pops so many look into the retry topic first, the others last",
    ),
    Key::bool(
        "initPopOffsetByCheckMsgInMem",
        "true",
        "whether a new group that asks for the end begins at 0 where all messages are in memory",
    ),
    Key::bool(
        "popResponseReturnActualRetryTopic",
        "false",
        "whether messages from a retry topic are handed out as they lie there",
    ),
    Key::bool(
        "serverLoadBalancerEnable",
        "true",
        "whether 400 shares queues out, or names them all",
    ),
    Key::choice(
        "defaultMessageRequestMode",
        &["PULL", "POP"],
        "PULL",
        "how groups consume for which 401 has said nothing",
    ),
    Key::int(
        "defaultPopShareQueueNum",
        i32::MIN as i64,
        i32::MAX as i64,
        "-1",
        "of such a group, with POP: a consumer shares the queues of so many others; -1: all share \
            all",
    ),
    Key::bool(
        "enablePopBufferMerge",
        "false",
        "whether checkpoints and acknowledgements wait in memory and are written only when they \
            get old; a kill brings again what was acknowledged within that time",
    ),
    Key::int("popCkStayBufferTime", 0, 3_600_000, "10000", "longest stay in that memory, in ms"),
    Key::int(
        "popCkStayBufferTimeOut",
        0,
        3_600_000,
        "3000",
        "so many ms before its invisible time is over a checkpoint leaves that memory",
    ),
    Key::int("popCkMaxBufferSize", 0, 10_000_000, "200000", "checkpoints in that memory"),
    Key::int(
        "popCkOffsetMaxQueueSize",
        0,
        10_000_000,
        "20000",
        "of one group on one queue, with those behind them",
    ),
];

/// Which checkpoints wait in memory, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferOptions {
    /// `enablePopBufferMerge`.
    pub(crate) enabled: bool,
    /// `popCkStayBufferTime`: longest stay, in milliseconds.
    pub(crate) stay_ms: i64,
    /// `popCkStayBufferTimeOut`: so long before its time is over a checkpoint leaves.
    pub(crate) early_ms: i64,
    /// `popCkMaxBufferSize`.
    pub(crate) points_max: usize,
    /// `popCkOffsetMaxQueueSize`: steps of one group on one queue that are not saved.
    pub(crate) steps_max: usize,
}

/// The validated values of [`KEYS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct PopOptions {
    /// `reviveQueueNum`.
    pub(crate) revive_queues: i32,
    /// `popPollingSize`.
    pub(crate) polls_of_one: usize,
    /// `enableRetryTopicV2`.
    pub(crate) retry_v2: bool,
    /// `retrieveMessageFromPopRetryTopicV1`.
    pub(crate) reads_v1_too: bool,
    /// `popFromRetryProbability`.
    pub(crate) retry_first_percent: u64,
    /// `initPopOffsetByCheckMsgInMem`.
    pub(crate) begins_in_memory: bool,
    /// `popResponseReturnActualRetryTopic`.
    pub(crate) returns_retry_topic: bool,
    /// `serverLoadBalancerEnable`.
    pub(crate) balances: bool,
    /// `defaultMessageRequestMode`.
    pub(crate) mode: MessageRequestMode,
    /// `defaultPopShareQueueNum`.
    pub(crate) share_queues: i32,
    /// `enablePopBufferMerge` and its keys.
    pub(crate) buffer: BufferOptions,
}

impl PopOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        Self {
            revive_queues: settings.int("reviveQueueNum"),
            polls_of_one: settings.int("popPollingSize"),
            retry_v2: settings.bool("enableRetryTopicV2"),
            reads_v1_too: settings.bool("retrieveMessageFromPopRetryTopicV1"),
            retry_first_percent: settings.int("popFromRetryProbability"),
            begins_in_memory: settings.bool("initPopOffsetByCheckMsgInMem"),
            returns_retry_topic: settings.bool("popResponseReturnActualRetryTopic"),
            balances: settings.bool("serverLoadBalancerEnable"),
            mode: match settings.text("defaultMessageRequestMode") {
                "POP" => MessageRequestMode::Pop,
                _ => MessageRequestMode::Pull,
            },
            share_queues: settings.int("defaultPopShareQueueNum"),
            buffer: BufferOptions {
                enabled: settings.bool("enablePopBufferMerge"),
                stay_ms: settings.int("popCkStayBufferTime"),
                early_ms: settings.int("popCkStayBufferTimeOut"),
                points_max: settings.int("popCkMaxBufferSize"),
                steps_max: settings.int("popCkOffsetMaxQueueSize"),
            },
        }
    }
}
