//! Every limit of the broker: what a peer can make it hold. Reaching one is a normal outcome with
//! its own answer.

/// Requests held for long polling in one shard. Over it a pull that finds nothing is answered at
/// once with PULL_NOT_FOUND, as a broker without long polling does; consumers then poll instead of
/// being woken.
pub const HELD_PULLS_MAX: usize = 100_000;

/// The longest time one pull is held, whatever it asks for: a dead peer's hold must end.
pub const HELD_PULL_MS_MAX: i64 = 120_000;

/// Sends waiting for room in the log's tail (RocketMQ's `sendThreadPoolQueueCapacity`).
pub const WAITING_SENDS_MAX: usize = 10_000;

/// Bytes of the requests that wait: their bodies are the only message bytes the broker copies
/// besides the log.
pub const WAITING_SEND_BYTES_MAX: usize = 32 << 20;

/// Topics of one shard. Over it nothing is created automatically and 17 is answered.
pub const TOPICS_MAX: usize = 50_000;

/// Queues of one topic; a request for more is refused with INVALID_PARAMETER.
pub const QUEUES_PER_TOPIC_MAX: i32 = 65_536;

/// Subscription groups of one shard; over it a new group does not exist (26).
pub const GROUPS_MAX: usize = 50_000;

/// Members of one consumer group and of one producer group.
pub const GROUP_MEMBERS_MAX: usize = 20_000;

/// Topics one consumer group subscribes to.
pub const SUBSCRIPTIONS_PER_GROUP_MAX: usize = 4_096;

/// Groups one heartbeat registers: more are refused rather than registered in part.
pub const GROUPS_PER_HEARTBEAT_MAX: usize = 1_024;

/// Consumer groups, and apart from them producer groups, that one connection is in.
pub const GROUPS_PER_CONNECTION_MAX: usize = GROUPS_PER_HEARTBEAT_MAX;

/// Bytes of what a client calls itself; RocketMQ's clients need about 40.
pub const CLIENT_ID_BYTES_MAX: usize = 1_024;

/// Tags of one subscription expression.
pub const TAGS_PER_SUBSCRIPTION_MAX: usize = 1_024;

/// Queues one group has locked.
pub const LOCKS_PER_GROUP_MAX: usize = 65_536;

/// Bytes of a JSON body the broker is willing to parse (heartbeats, locks): nothing a client sends
/// comes near.
pub const JSON_BODY_BYTES_MAX: usize = 4 << 20;

/// Messages one pull returns at most (`pullBatchMaxMessageCount` is the default of the key; this
/// bounds the key).
pub const PULL_MESSAGES_MAX: i32 = 1_024;

/// Messages of one native fetch.
pub const NATIVE_FETCH_MESSAGES_MAX: u32 = 1_024;

/// Bytes of one native fetch, except that one message is always returned.
pub const NATIVE_FETCH_BYTES_MAX: u32 = 4 << 20;

/// Log lines about one kind of misbehaving peers in one second; the next line says how many were
/// left out.
pub const PEER_LOG_LINES_PER_SECOND: u32 = 20;

/// Stored sends whose answers wait for a flush; over it sends wait as for a full tail.
pub const PENDING_ANSWERS_MAX: usize = 100_000;

/// Reads from disk in flight for pulls and look-ups; over it a pull is answered
/// PULL_RETRY_IMMEDIATELY.
pub const COLD_READS_MAX: usize = 1_024;

/// Shards of one process: ports are 10 apart and the store has one folder each.
pub const SHARDS_MAX: usize = 256;

/// Name servers the broker registers with.
pub const NAME_SERVERS_MAX: usize = 64;

const _: () =
    assert!(WAITING_SEND_BYTES_MAX >= 4 << 20, "the largest message must be able to wait");
