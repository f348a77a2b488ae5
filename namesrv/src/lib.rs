//! The name server: brokers say here where they are, clients ask here where a topic is.
//!
//! ```text
//!  mqnamesrv ─► run ─► netcore ──frames──► Processor ─► NameServer ─► route::RouteTable    pure
//!                                             │              └──────► kv::KvConfig         pure
//!                                             └─ tasks of `run`: expiry scan, writing the key-value file
//! ```
//!
//! What is not here: messages, offsets, consensus. Name servers know nothing of each other: a
//! broker registers with each, and what one of them forgets, the next registration tells it again.
//! Only key-value entries are on disk.
//!
//! Reading order: [`route`] (the table and its rules), [`kv`], [`service`] (request codes),
//! [`processor`] (frames and connections), [`config`], [`run`].

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
