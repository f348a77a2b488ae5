//! What a pop has taken from queues, on its way into the answer.

use engine::PhyOffset;
use rt::BufSlice;

/// What a pop has taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// When it was popped, in milliseconds since 1970.
    pub(super) pop_time_ms: i64,
    /// Where its checkpoints go.
    pub(super) revive_queue: i32,
    /// Its messages.
    pub(super) slices: Vec<BufSlice>,
    /// How many bytes.
    pub(super) bytes: usize,
    /// How many messages.
    pub(super) messages: usize,
    /// How many are left in its queues.
    pub(super) rest: i64,
    /// `startOffsetInfo`.
    pub(super) starts: String,
    /// `msgOffsetInfo`.
    pub(super) offsets: String,
    /// `orderCountInfo`.
    pub(super) order_counts: String,
    /// Where its last checkpoint ends in the log.
    pub(super) end: Option<PhyOffset>,
}
