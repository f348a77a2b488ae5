//! What delivering messages that waited needs, for delay levels and timers alike.

pub(crate) mod arrived;
pub(crate) mod lateness;
pub(crate) mod message;
pub(crate) mod outlet;
pub(crate) mod read;
#[cfg(test)]
pub(crate) mod simulation;
