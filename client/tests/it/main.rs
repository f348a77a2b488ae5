//! The client against the real broker, a process of its own.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as its tests do")]

mod broker_process;

mod core;
mod examples;
mod fetching;
mod lost;
mod sending;
