//! The native protocol: RocketMQ's stored records behind headers that are read in place.
//!
//! ```text
//!   | prefix, 16 bytes | header: an rkyv archive, its root last | payload: records as they lie in the CommitLog |
//! ```
//!
//! `docs/FORMATS.md` specifies it byte by byte; `tests/native_golden.rs` compares what this module
//! writes with the golden frames. A header is validated and read where it was received, at any
//! alignment, without allocating; a record is checked there too ([`records`]) and copied once, into
//! the log.
//!
//! Compatibility: what version 1 defines here never changes. Additions are new kinds of frames,
//! capability bits that both sides announce, or a version that both sides speak (Hello, Welcome).

mod codes;
mod frame;
mod headers;
pub mod records;

pub use codes::{ErrorCode, FetchStatus};
pub use frame::{
    FrameView, HEADER_BYTES_MAX, Header, Kind, MAGIC, NativeError, PREFIX_BYTES, Prefix,
    ReadInPlace, append_frame,
};
pub use headers::{
    Ack, ArchivedCommitOffset, ArchivedErrorAnswer, ArchivedFetch, ArchivedFetchSql,
    ArchivedFetched, ArchivedHello, ArchivedOffsetIs, ArchivedProduce, ArchivedProduced,
    ArchivedQueryOffset, ArchivedRoute, ArchivedRouteIs, ArchivedStages, ArchivedWelcome,
    CommitOffset, Durability, ErrorAnswer, Fetch, FetchSql, Fetched, Hello, NO_RECORD, OffsetIs,
    PLACED_BYTES, Placed, Produce, Produced, QueryOffset, Route, RouteIs, ShardAddress, Stages,
    Welcome,
};

/// The only version so far.
pub const VERSION: u16 = 1;

/// Records of one produce frame at most: a whole frame is checked before any of it is stored.
pub const RECORDS_PER_PRODUCE_MAX: u32 = 2_048;
