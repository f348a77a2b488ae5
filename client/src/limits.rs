//! Every limit of this crate.

use std::time::Duration;

/// Longest frame that is read or written, whatever a broker announces.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Memory for a partial frame that a connection keeps; a larger buffer is freed after use.
pub(crate) const CARRY_KEEP_BYTES: usize = 256 * 1024;
/// Most unanswered requests of one connection, whatever is configured.
pub(crate) const REQUESTS_MAX: usize = 65_536;
/// How long a dial may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection without requests for this long is pinged, because brokers close quiet connections
/// after two minutes.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(30);
/// Pause before the first dial after a lost connection; doubled with every failure.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Longest pause between two dials.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Longest client name in Hello.
pub(crate) const CLIENT_NAME_BYTES_MAX: usize = 255;
/// Untaken completions at which a producer takes no more records.
pub(crate) const COMPLETIONS_MAX: usize = 1 << 20;
/// Queues of one topic at one shard: what a broker allows. A larger claim would become a list of
/// that length.
pub(crate) const QUEUES_PER_SHARD_MAX: u32 = 65_536;
/// Most shards of a cluster that one client connects to.
pub(crate) const SHARDS_MAX: usize = 1_024;

const _: () =
    assert!(PING_AFTER.as_secs() < 120, "a ping must come before the broker's idle limit");
const _: () = assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis());
