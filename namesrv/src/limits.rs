//! The limits of the name server's memory. A request that reaches a limit is answered with code 1
//! and the limit's name.
//!
//! The numbers are far above what a cluster has and far below what would exhaust a small host: a
//! full table of topics is some hundred MiB, and everything else is small beside it.

/// Topics known at once.
pub(crate) const TOPICS_MAX: usize = 500_000;
/// (topic, broker) pairs known at once.
pub(crate) const TOPIC_QUEUES_MAX: usize = 2_000_000;
/// Broker names known at once.
pub(crate) const BROKERS_MAX: usize = 10_000;
/// Addresses (master and slaves) under one broker name.
pub(crate) const REPLICAS_MAX: usize = 64;
/// Bytes of a cluster's, broker's or topic's name, or of an address. RocketMQ's own topics stay
/// below 255.
pub(crate) const NAME_BYTES_MAX: usize = 512;
/// Filter servers of one broker.
pub(crate) const FILTER_SERVERS_MAX: usize = 64;
/// Key-value entries over all namespaces.
pub(crate) const KV_ENTRIES_MAX: usize = 100_000;
/// Bytes of a namespace or key.
pub(crate) const KV_KEY_BYTES_MAX: usize = 1024;
/// Bytes of a value.
pub(crate) const KV_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Connections open at once, brokers and clients together.
pub(crate) const CONNECTIONS_MAX: usize = 20_000;
/// Changes of the key-value table that are unanswered while its file is written; further changes
/// are answered with code 2.
pub(crate) const KV_UNANSWERED_MAX: usize = 10_000;
/// Longest heartbeat timeout that a broker may ask for: a day. With a longer one, a dead broker
/// would stay in routes for as long.
pub(crate) const HEARTBEAT_TIMEOUT_MS_MAX: i64 = 24 * 60 * 60 * 1000;

const _: () = assert!(TOPIC_QUEUES_MAX >= TOPICS_MAX);
const _: () = assert!(KV_VALUE_BYTES_MAX > KV_KEY_BYTES_MAX);
