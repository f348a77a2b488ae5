//! Whole behaviours of the instrument, on real sockets and real processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod arguments;
mod bad_input;
mod bodies;
mod campaign;
mod commands;
mod consumers;
mod coordinated_omission;
mod crash;
mod fake_broker;
mod generators;
mod hostile_brokers;
mod hours;
mod interruptions;
mod loads;
mod many;
mod matrix;
mod native;
mod processes;
mod program;
mod provenance;
mod run_folder;
