//! The generator's side of the network: connections, frames, turns. It knows lengths, not commands.

pub mod frames;
pub mod link;

pub use link::{Event, Link, Wait};
