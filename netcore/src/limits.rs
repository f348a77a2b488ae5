//! Every bound of this crate, in one place.

/// The longest frame, its length field excluded: RocketMQ's `com.rocketmq.remoting.frameMaxLength`.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Connections of one core; one more is closed as soon as it is accepted.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Queued and unsent on one connection: above it no more is read from the peer until it has taken
/// some.
pub const OUT_PAUSE_BYTES: usize = 4 * 1024 * 1024;
/// Queued and unsent on one connection: above it the connection is closed (a peer that never reads
/// its answers).
pub const OUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Queued and unsent on all connections of a core: above it the connection that adds more is
/// closed.
pub const OUT_TOTAL_BYTES_MAX: usize = 512 * 1024 * 1024;
/// A send of which the peer takes nothing for this long ends the connection.
pub const SEND_STALL_MS_MAX: u64 = 30_000;
/// Dialling gives up after this (RocketMQ's clients: 3 s).
pub const CONNECT_TIMEOUT_MS: u64 = 3_000;
/// Half-frame memory that a connection keeps between frames; more is given back.
pub const CARRY_KEEP_BYTES: usize = 64 * 1024;
/// Pending connections of a listener (RocketMQ's SO_BACKLOG).
pub const LISTEN_BACKLOG: i32 = 1024;
/// Pause after a failed accept (out of descriptors), and the step of the scan for idle connections.
pub const SCAN_INTERVAL_MS: u64 = 1_000;

const _: () = assert!(OUT_PAUSE_BYTES < OUT_BYTES_MAX, "a peer must be paused before it is closed");
const _: () = assert!(FRAME_BYTES_MAX < OUT_BYTES_MAX, "the largest answer must fit the queue");
