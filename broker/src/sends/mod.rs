//! Sends on their way: the backlog, and what is not acknowledged.

pub(crate) mod backlog;
pub(crate) mod unacknowledged;
