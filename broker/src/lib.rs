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
//! Reading order: [`config`], [`topics`], [`consumers`], [`held`], `shard`, `requests`, `serve`,
//! [`run`].

#![forbid(unsafe_code)]

mod cli;
pub mod config;
pub mod consumers;
mod control;
pub mod filter;
pub mod groups;
pub mod held;
pub mod limits;
pub mod locks;
pub mod name_servers;
mod native;
pub mod offsets;
mod peer_log;
pub mod pending;
pub mod producers;
mod registration;
mod reply;
mod requests;
mod run;
mod serve;
mod shard;
pub mod store_shards;
mod tables;
pub mod topics;
pub mod waiting;

pub use run::run;
