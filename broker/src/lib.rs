//! RingMQ's broker: RocketMQ's requests, answered by one shard per core.
//!
//! ```text
//!  mqbroker ─► process ─► one serve per shard ─► netcore ──frames──► desk ─► requests, native
//!                │                                                            │         │
//!                └─ signals, names of name servers (own threads)            sends     reads
//!                                                                             │         │
//!                              tables: topics, groups, members, offsets ◄─────┴─────────┴─► engine
//! ```
//!
//! What is not here: bytes of frames and records (`protocol`), files (`engine`), sockets
//! (`netcore`), the language of SQL92 filters (`filter`). Not in this version: access control, the
//! controller. What would promise one of them is refused at start or by request, never half done.
//!
//! Reading order: `config`, `tables`, `shard`, `desk`, `requests`, `sends`, `reads`, `services`,
//! `serve`, `process`. Imports run one way: no file leads back to itself (a test).

#![forbid(unsafe_code)]

mod answers;
mod checked;
mod config;
mod desk;
pub mod limits;
mod native;
mod peers;
mod process;
mod reads;
mod requests;
mod sends;
mod serve;
mod services;
mod shard;
mod tables;

pub use process::run::run;
