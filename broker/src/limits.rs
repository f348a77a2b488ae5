//! Every limit of the broker: what a peer can make it hold. Reaching one is a normal outcome with
//! its own answer.

/// Long polls of one shard (`longPollsMax`, at most this). Over it a pull that finds nothing is
/// refused with SYSTEM_BUSY: consumers ask again after 3 s. PULL_NOT_FOUND would have them ask
/// again at once, all of them, for ever.
pub const LONG_POLLS_MAX: usize = 100_000;

/// The longest time of one long poll, whatever it asks for: that of a dead peer must end.
pub const LONG_POLL_MS_MAX: i64 = 120_000;

/// Sends that wait for room in the log's tail (RocketMQ's `sendThreadPoolQueueCapacity`).
pub const BACKLOG_SENDS_MAX: usize = 10_000;

/// Bytes of the sends that wait: their bodies are the only message bytes that the broker copies
/// besides the log.
pub const BACKLOG_BYTES_MAX: usize = 32 << 20;

/// Topics of one shard. Over it nothing is created automatically and 17 is answered.
pub const TOPICS_MAX: usize = 50_000;

/// Queues of one topic; a request for more is refused with INVALID_PARAMETER.
pub const QUEUES_PER_TOPIC_MAX: i32 = 65_536;

/// Subscription groups of one shard (`groupsMax`, at most this), and apart from them its producer
/// groups; over it a new group does not exist (26).
pub const GROUPS_MAX: usize = 50_000;

/// Pairs of group and topic that may not be read (UPDATE_AND_GET_GROUP_FORBIDDEN); over it a
/// request for another one is refused.
pub const FORBIDDEN_MAX: usize = 100_000;

/// Members of one consumer group and of one producer group.
pub const GROUP_MEMBERS_MAX: usize = 20_000;

/// Connections that are in consumer groups, and apart from them in producer groups (`clientsMax`,
/// by default this).
pub const CLIENTS_MAX: usize = 100_000;

/// Topics one consumer group subscribes to (`subscriptionsPerGroupMax`, at most this): a heartbeat
/// with more is refused.
pub const SUBSCRIPTIONS_PER_GROUP_MAX: usize = 4_096;

/// Groups one heartbeat registers: more are refused rather than registered in part.
pub const GROUPS_PER_HEARTBEAT_MAX: usize = 1_024;

/// Consumer groups, and apart from them producer groups, that one connection is in.
pub const GROUPS_PER_CONNECTION_MAX: usize = GROUPS_PER_HEARTBEAT_MAX;

/// Bytes of what a client calls itself; RocketMQ's clients need about 40.
pub const CLIENT_ID_BYTES_MAX: usize = 1_024;

/// Tags of one subscription expression.
pub const TAGS_PER_SUBSCRIPTION_MAX: usize = 1_024;

/// Compiled SQL92 expressions that pulls carried (Apache's `PARSE_CACHE` holds as many); those of
/// heartbeats are kept with their subscriptions.
pub const CARRIED_EXPRESSIONS_MAX: usize = 100;

/// Pairs of group and topic of which it is known how far they are pulled; tools show nothing in
/// flight for others.
pub const PULLED_MAX: usize = 100_000;

/// Topics whose rates are known; tools show none of others. One takes a KiB.
pub const COUNTED_TOPICS_MAX: usize = 10_000;

/// Pairs of group and topic whose rates are known; tools show none of others. One takes 2 KiB.
pub const COUNTED_PAIRS_MAX: usize = 10_000;

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

/// Stored messages whose senders wait for a watermark; over it sends wait as for a full tail.
pub const UNACKNOWLEDGED_MAX: usize = 100_000;

/// Reads from disk in flight, for pulls, look-ups and the broker itself; over it a pull is answered
/// PULL_RETRY_IMMEDIATELY and a look-up SYSTEM_BUSY.
pub const DISK_READS_MAX: usize = 1_024;

/// Requests of one kind that may be under way at once, unless its row says less: all that may wait,
/// and as many again of which each is read or written at this moment.
pub const REQUESTS_UNDER_WAY_MAX: u32 = 400_000;

/// Requests of one kind that look at many queues or wait for a client, and that tools send: under
/// way at once.
pub const TOOLS_REQUESTS_UNDER_WAY_MAX: u32 = 64;

/// Requests that the broker sent to peers and that are not answered yet.
pub const ASKED_MAX: usize = 4_096;

/// The same for one client: one that answers nothing keeps none from others.
pub const ASKED_OF_ONE_MAX: usize = 256;

/// Lives of masters that a log remembers: what a slave compares that was away for so many of them.
pub const EPOCHS_MAX: usize = 256;

/// Slaves of one shard; one more is refused.
pub const SLAVES_MAX: usize = 16;

/// Bytes on their way to one slave: what a socket and a link take at once. More of the log waits
/// where it is. Less than what pauses reading from a peer, so that reports are always read.
pub const SLAVE_WINDOW_BYTES: usize = 1 << 20;

/// What one read from disk fetches for a slave that is behind.
pub const SLAVE_READ_BYTES: usize = 512 * 1024;

/// Shards of one process: ports are 10 apart and the store has one folder each.
pub const SHARDS_MAX: usize = 256;

/// Name servers the broker registers with.
pub const NAME_SERVERS_MAX: usize = 64;

/// Transactions of one shard that have not ended; over it none begins (SYSTEM_BUSY). One that lasts
/// longer than a moment takes about 120 bytes.
pub const TRANSACTIONS_MAX: usize = 1_000_000;

/// Transactions whose end is under way at once; over it an end is refused (SYSTEM_BUSY), and the
/// producer is asked later. RocketMQ's `endTransactionPoolQueueCapacity`.
pub const ENDS_UNDER_WAY_MAX: u32 = 100_000;

/// Long polls of one group on one queue of a topic, or on all of them (`popPollingSize`, at most
/// this). All long polls of POP together are bounded by [`LONG_POLLS_MAX`].
pub const POP_POLLS_OF_ONE_MAX: i64 = 100_000;

/// Messages that one pop takes, RocketMQ's own limit.
pub const POP_MESSAGES_MAX: i32 = 32;

/// Queues of the topic with checkpoints and acknowledgements: each has a task.
pub const REVIVE_QUEUES_MAX: i64 = 64;

/// Acknowledgements in one request: 32 are what a pop gives, clients gather a few pops.
pub const ACKS_PER_REQUEST_MAX: usize = 4_096;

/// Topics whose route is kept for 400; of others a name server is asked each time.
pub const ROUTES_MAX: usize = 1_000;

/// Checkpoints of one revive queue that are read and whose time is not over; then no more is read.
/// One takes about 500 bytes.
pub const CHECKPOINTS_READ_MAX: usize = 100_000;

/// Queues of which it is known what ordered pops have handed out; over it ordered pops of others
/// find nothing. One takes about 500 bytes.
pub const POP_ORDERS_MAX: usize = 100_000;

/// Clients with lite subscriptions; over it those of another one are refused (2018). One takes
/// about 500 bytes.
pub const LITE_CLIENTS_MAX: usize = 100_000;

/// Pairs of topic and group of which 401 has said how they consume.
pub const REQUEST_MODES_MAX: usize = 100_000;

const _: () = assert!(
    SLAVE_WINDOW_BYTES + SLAVE_READ_BYTES < netcore::limits::OUT_PAUSE_BYTES,
    "a slave that takes its time is still listened to"
);
const _: () = assert!(BACKLOG_BYTES_MAX >= 4 << 20, "the largest message must be able to wait");
const _: () = assert!(
    REQUESTS_UNDER_WAY_MAX as usize > 2 * (LONG_POLLS_MAX + DISK_READS_MAX),
    "as many reads as may wait are admitted by the desk"
);
const _: () = assert!(
    REQUESTS_UNDER_WAY_MAX as usize > 2 * (UNACKNOWLEDGED_MAX + BACKLOG_SENDS_MAX),
    "as many sends as may wait are admitted by the desk"
);
