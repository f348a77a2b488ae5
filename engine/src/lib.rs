//! Storage of one shard: messages in, messages out, in RocketMQ's files.
//!
//! ```text
//!   append ─► tail (memory) ─► writer ─► commitlog/…        (O_DIRECT, up to four writes together, fdatasync behind)
//!              │   └─ hot reads: slices, at once
//!              ├► ConsumeQueue units (memory) ─► background ─► consumequeue/…, manifest, checkpoint
//!              └► keys ─► newest index file (slots in memory) ─► background ─► index/…
//!   cold reads: units and records from files, with read-ahead
//!   open: manifest ─► scan of the log ─► cut ─► as above
//! ```
//!
//! What is *not* here: sockets, request codes, consumer groups and their offsets, topic
//! configuration. A shard's store belongs to one core: no lock, no atomic, no other thread.
//!
//! Reading order: [`offset`], [`watermarks`](crate::Store::appended) (how far the log has come,
//! stated once), `tail` (the recent log in memory), `tail_file` (where that memory outlives the
//! process), `commitlog` (its files, writing, scanning),
//! `consumequeue` (units, queues, files), `index` (by key), `manifest`, `flushed_mark` and
//! `checkpoint` (what recovery trusts), `store` (append, read, cold, search, open, recover,
//! background).

#![forbid(unsafe_code)]

pub mod config;
pub mod delay_levels;
pub mod error;
pub mod limits;
pub mod offset;
pub mod retention;

mod checkpoint;
mod commitlog;
mod consumequeue;
mod files;
mod flushed_mark;
mod index;
mod manifest;
mod number;
mod paths;
mod signal;
mod store;
mod tail;
mod tail_file;
mod watermarks;

pub use config::{FlushPolicy, LogBackend, LogSource, StoreConfig, TailPlace};
pub use consumequeue::dispatch::place_in;
pub use delay_levels::{DelayLevelError, DelayLevels};
pub use error::{AppendError, FileError, OpenError, RawError, ReadError, StoreError};
pub use offset::{PhyOffset, QueueOffset};
pub use retention::{DeleteWhen, RetentionConfig};
pub use store::{
    Appended, AppendedBatch, Arrival, Boundary, CacheUse, ColdRead, IndexBehind, KeyQuery,
    LeftOver, LeftQueue, OwnedReadRequest, OwnedTagFilter, Queried, QueueRange, ReadAmount,
    ReadOrigins, ReadRequest, ReadSlices, ReadStatus, RecordFilter, Recovered, Store, TagFilter,
    WriteCounts,
};
pub use tail_file::TailMemory;
