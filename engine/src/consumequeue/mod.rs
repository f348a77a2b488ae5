//! Where the messages of a queue lie in the log: `consumequeue/<topic>/<queueId>/<20 digits>`.
//!
//! - `unit`: 20 bytes for a message.
//! - `dispatch`: which units a record gives.
//! - `table`: every queue of the shard in memory, with the recent units of each.
//! - `queues`: both together.
//! - `disk`: units in files: written in the background, read when they are no longer in memory.
//!
//! Derived state (design D8): the log alone decides, these files save a scan of it.

pub(crate) mod disk;
pub(crate) mod dispatch;
mod minima;
pub(crate) mod queues;
pub(crate) mod table;
pub(crate) mod unit;
