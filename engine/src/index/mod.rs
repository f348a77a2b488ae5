//! The index by key: RocketMQ's IndexFiles, built behind the log, read from the newest message to
//! the oldest.
//!
//! ```text
//!   append ─► hashes of its keys ─┐
//!   log ─► keys of a record ──────┴─► newest file: slot table and last entries in memory ─► index/<17 digits>
//!          (UNIQ_KEY, each of KEYS, the tag)                       │ full
//!                                                                  └─► the next file begins
//!   query: slot of the key's hash ─► entry ─► entry before it ─► ...   in the newest file, then in the one before
//! ```
//!
//! - `keys`: which keys a record has, and their hashes.
//! - `handed`: hashes and places that the append hands over, so that a record is not read again.
//! - `enter`: from either into the newest file.
//! - `layout`: header, slots and entries as bytes.
//! - `newest`: the file that grows, in memory; pure.
//! - `files`: the folder: open, write, make durable, remove; what opening a store keeps of it.
//! - `query`: from a key to places in the log.
//!
//! What is *not* here: the log. The task that reads it is in `store::indexing`.
//!
//! Bounds: 4 bytes a slot (20 MB by default) from the first key on,
//! [`crate::limits::INDEX_PENDING_ENTRIES_MAX`] entries, and what was handed over and is not
//! entered yet ([`crate::limits::INDEX_HANDED_RECORDS_MAX`]).
//!
//! Derived, so nothing of it is trusted: what a query finds is checked against the record it points
//! to; a file that contradicts itself is named in the log, removed and built anew from the log.
//! After an unclean stop the file that was growing is removed too: its slots and entries were
//! written in no certain order.

mod enter;
mod files;
mod handed;
mod keys;
mod layout;
mod newest;
mod query;

pub(crate) use files::{Index, IndexMark, Opened};
pub(crate) use keys::{KeyKind, KeyProperties, has_key, hash_of, hashes_of};
pub(crate) use layout::Shape;
pub(crate) use query::Wanted;
