//! The generator's side of the network: connections, frames, turns. It knows lengths, not commands.

pub(crate) mod frames;
pub(crate) mod link;

pub(crate) use link::{Event, Link, Wait};
