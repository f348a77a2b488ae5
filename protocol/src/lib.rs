//! RocketMQ's protocol as pure functions: bytes in, types out, and back. No I/O, no clock, no
//! threads, no unsafe.
//!
//! In the order in which a message passes through them:
//!
//! ```text
//!  socket bytes ──► remoting::CommandView ──► headers::SendHeader ──► record::RecordDraft ──► CommitLog bytes
//!                        │    (JSON or                │                    ▲
//!                        │     binary header)         └─ properties, tags ─┘
//!                        └──► bodies::* (through json::from_lenient: fastjson's dialect)
//!  socket bytes ◄── remoting::write_command ◄── headers::PullResponseHeader + slices of records
//! ```
//!
//! Every reader is total: any bytes give a value or a typed error, never a panic. A length that
//! bytes announce is compared with the bytes that are there before anything is allocated for it
//! (`tests/total.rs`, `fuzz/`).
//!
//! Not here: which request is allowed when (broker, namesrv), where records lie in files (engine),
//! sockets (netcore).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod find;

pub mod codes;
pub mod limits;
pub mod remoting;

pub mod headers;
pub mod record;

pub mod attributes;
pub mod batch;
pub mod ids;
pub mod lite;
pub mod names;
pub mod pop;
pub mod properties;
pub mod sys_flag;
pub mod tags;

pub mod bodies;
pub mod config_file;
pub mod json;
pub mod native;

pub mod check;
pub mod checked;

mod bytes;
