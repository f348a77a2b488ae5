//! The name server. Brokers register their addresses and topics with it, and clients ask it for the
//! route of a topic.
//!
//! ```text
//!  mqnamesrv ─► run ─► netcore ──frames──► Processor ─► NameServer ─► route::RouteTable    pure
//!                                             │              └──────► kv::KvConfig         pure
//!                                             └─ tasks of `run`: expiry scan, writing the key-value file
//! ```
//!
//! What is not here: messages, offsets, consensus. Name servers know nothing of each other: a
//! broker registers with each of them, again and again, so a restarted one soon knows everything.
//! Only key-value entries are on disk.
//!
//! Reading order: `route` (the table and its rules), `kv`, `service` (request codes), `processor`
//! (frames and connections), `config`, `run`.

#![forbid(unsafe_code)]

mod cli;
mod config;
mod kv;
mod limits;
mod processor;
mod route;
mod run;
mod service;

pub use run::run;
