//! The network against plain blocking sockets: what peers see, and what they can make a core hold.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ending;
mod frames;
mod memory;
mod server;
