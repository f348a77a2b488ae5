//! Every bound of this crate, in one place.
//!
//! Two kinds of memory grow with what peers do: bytes of frames whose rest has not come (*half
//! frames*) and answers that a peer has not taken. Each has a bound for one connection and one for
//! all connections of a core. Who passes the first is paused or closed. When the second is passed
//! the connections that hold most, and hold it longest, are closed until an eighth is free again;
//! see `pressure.rs`.

use rt::convert::fits;

/// The longest frame, its length field excluded: RocketMQ's `com.rocketmq.remoting.frameMaxLength`.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Half frames of all connections of a core. 64 producers may be in the middle of a message of
/// RocketMQ's largest size (4 MiB) at once.
pub const HALF_FRAMES_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A half frame must grow by [`HALF_FRAME_STEP_BYTES`] or become whole within this time, or its
/// connection is closed. A peer on a link of 1 kbit/s can still send a frame.
pub const HALF_FRAME_STALL_MS_MAX: u64 = 30_000;
/// What counts as progress of a half frame. Without it a peer that sends one byte now and then
/// would hold its memory for ever.
pub const HALF_FRAME_STEP_BYTES: usize = 4 * 1024;
/// Half-frame memory that a connection keeps between frames; more is given back at once.
pub const CARRY_KEEP_BYTES: usize = 64 * 1024;
/// A connection that was silent for this long keeps no memory for its next frames and answers.
pub const MEMORY_KEEP_MS: u64 = 5_000;

/// Queued and unsent on one connection: above it no more is read from the peer until it has taken
/// some.
pub const OUT_PAUSE_BYTES: usize = 4 * 1024 * 1024;
/// Queued and unsent on one connection: above it the connection is closed (a peer that never reads
/// its answers).
pub const OUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Queued and unsent on all connections of a core.
pub const OUT_TOTAL_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Answers so large are charged when they are queued, smaller ones when the kernel does not take
/// them at once.
pub const OUT_CHARGE_BYTES: usize = 256 * 1024;
/// A peer that takes no byte of a send for this long is closed. The time counts from the last byte
/// that it took, so a large answer to a slow link may take as long as it needs.
pub const SEND_STALL_MS_MAX: u64 = 30_000;

/// What a core's account of memory allows when the server brings none of its own.
pub const MEMORY_BYTES_MAX: usize = HALF_FRAMES_BYTES_MAX + OUT_TOTAL_BYTES_MAX;

/// Connections of one core, where the process may have enough files open; see
/// [`connections_max`]. One more is closed as soon as it is accepted.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Files of one core that connections leave to others: log files, up to 256 open ConsumeQueue
/// files, index files, rings, events, and some room for configuration being saved. Without them a
/// log that needs its next file refuses every message.
pub const FILES_KEPT: usize = 512;

/// Dialling gives up after this (RocketMQ's clients: 3 s).
pub const CONNECT_TIMEOUT_MS: u64 = 3_000;
/// A peer that has been silent for this long is asked by the kernel whether it is still there, and
/// then every [`KEEPALIVE_INTERVAL_MS`].
pub const KEEPALIVE_SILENCE_MS: u64 = 60_000;
/// See [`KEEPALIVE_SILENCE_MS`].
pub const KEEPALIVE_INTERVAL_MS: u64 = 15_000;
/// A connection that the server closes is read from for so long, so that input which nobody looks
/// at does not make the kernel drop the last answer.
pub const DRAIN_MS_MAX: u64 = 2_000;
/// No more than this is read meanwhile.
pub const DRAIN_BYTES_MAX: usize = FRAME_BYTES_MAX;

/// Connections that the kernel completes before they are accepted (RocketMQ's SO_BACKLOG).
pub const LISTEN_BACKLOG: i32 = 1024;
/// Pause after a failed accept (out of descriptors), and the step in which the times above are
/// looked at.
pub const SCAN_INTERVAL_MS: u64 = 1_000;
/// Refused connections are told in the log at most once in this time, as a number.
pub const REFUSALS_LOG_MS: u64 = 10_000;

const _: () = assert!(OUT_PAUSE_BYTES < OUT_BYTES_MAX, "a peer must be paused before it is closed");
const _: () = assert!(FRAME_BYTES_MAX < OUT_BYTES_MAX, "the largest answer must fit the queue");
const _: () = assert!(FRAME_BYTES_MAX < HALF_FRAMES_BYTES_MAX, "the largest frame must fit");
const _: () = assert!(OUT_BYTES_MAX < OUT_TOTAL_BYTES_MAX, "one connection must fit the total");

/// How many connections each of `cores` cores may have when the process may have `files_max` files
/// open: what [`FILES_KEPT`] leaves, and half of the files when there are so few that it would
/// leave less; never more than [`CONNECTIONS_MAX`].
#[must_use]
pub fn connections_max(files_max: u64, cores: usize) -> usize {
    let cores = cores.max(1) as u64;
    let kept = (FILES_KEPT as u64 * cores).min(files_max / 2);
    fits(((files_max - kept) / cores).min(CONNECTIONS_MAX as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_to_others_whatever_the_limit_is() {
        for (files_max, cores, connections) in [
            (655_350, 1, CONNECTIONS_MAX),
            (655_350, 4, CONNECTIONS_MAX),
            (20_000, 1, 19_488),
            (20_000, 4, 4_488),
            (1_024, 1, 512),
            (1_024, 2, 256),
            (100, 1, 50),
            (0, 0, 0),
        ] {
            assert_eq!(connections_max(files_max, cores), connections, "{files_max} for {cores}");
        }
    }
}
