//! RingMQ's broker: RocketMQ's requests, answered by one shard per core.
//!
//! ```text
//!  mqbroker ─► run ─► one serve per shard ─► netcore ──frames──► Shard ─► requests::* ──► engine::Store
//!               │                                                  │          │
//!               └─ signals, names of name servers (own threads)    │          └─ tables: topics, groups, consumers,
//!                                                                  │             offsets, locks, held pulls (pure)
//!                                            sibling shards ◄──────┴─ topics created and deleted
//! ```
//!
//! What is not here: bytes of frames and records (`protocol`), files (`engine`), sockets
//! (`netcore`). Not in this version: slaves, delayed and transactional messages, SQL92 filters,
//! access control. What would promise one of them is refused at start or by request, never half
//! done.
//!
//! Reading order: [`config`], `tables`, `reads`, `sends`, `shard`, `requests`, `serve`, [`run`].
//! [`run`].

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
