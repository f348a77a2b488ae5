//! Whole behaviours of the instrument, on real sockets and real processes.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test fails by panicking; its numbers are small")]

mod coordinated_omission;
mod fake_broker;
mod processes;
mod run_folder;
