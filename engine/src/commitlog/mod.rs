//! The log of one shard: `commitlog/<20 digits>`, files of one size, records of all queues in the
//! order they came.
//!
//! - `files`: the files on disk: made ahead of need, opened when needed.
//! - `writer`: tail to device, up to four writes together, everything gathered meanwhile goes next;
//!   fdatasync behind it.
//! - `scan`: bytes to records, pure; `reader`: the bytes for it, read ahead.
//! - `blank`: how a file ends.

pub(crate) mod blank;
pub(crate) mod files;
pub(crate) mod reader;
pub(crate) mod scan;
pub(crate) mod writer;
