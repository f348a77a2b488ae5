//! `mqbroker` as a process: command line, start, signals, the end.
//!
//! ```text
//!   run ──► settings, logging, store_shards::claim ──► supervisor ──► one thread for each shard
//!                                                          ▲ events
//!              signals (thread) ── SIGINT, SIGTERM ────────┤
//!              resolver (thread) ─ name servers' addresses ┤
//!              shards ──────────── up, settled, ended ─────┘──► greeting
//! ```

mod become_role;
mod cli;
mod files;
mod greeting;
#[cfg(debug_assertions)]
mod panic_hook;
mod resolver;
pub(crate) mod run;
mod signals;
mod store_shards;
mod supervisor;
