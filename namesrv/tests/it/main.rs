//! The real `mqnamesrv` on loopback, spoken to in bytes: what brokers, clients and whoever starts
//! it see.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bad_input;
mod brokers;
mod files;
mod kv;
mod server;
mod startup;
mod wire;
