//! The store of one shard: what the other modules are joined to.
//!
//! A [`Store`] is a handle to state owned by one core. Its life: [`Store::open`] (recovery, then
//! its tasks start: the log's writer, its flusher, the writers of ConsumeQueues and checkpoints),
//! appends and reads, [`Store::close`]. Every method that is not async completes at once and
//! touches memory only.

mod append;
mod append_all;
mod append_raw;
mod append_records;
mod arrivals;
mod background;
mod boundaries;
mod budget;
mod caches;
mod check_files;
mod checkpoints;
mod close;
mod cold;
mod cold_windows;
mod cuts;
mod damage;
mod delete;
mod derived;
mod env;
mod fill;
mod group;
mod indexing;
mod life;
mod light;
mod open;
mod open_tail;
mod query;
mod read;
mod read_ahead;
mod read_origin;
mod recover;
mod repair;
mod retain;
mod search;
mod space;
mod stream;
mod truncate;
mod visibility;
mod writing;
mod zeros;

pub use append::{Appended, AppendedBatch};
pub use arrivals::Arrival;
pub use budget::CacheUse;
pub use close::{LeftOver, LeftQueue};
pub use cold::ColdRead;
pub use indexing::IndexBehind;
pub use open::Recovered;
pub use query::{KeyQuery, Queried};
pub use read::{
    OwnedReadRequest, OwnedTagFilter, QueueRange, ReadRequest, ReadSlices, ReadStatus,
    RecordFilter, TagFilter,
};
pub use read_origin::{ReadAmount, ReadOrigins};
pub use search::Boundary;

use crate::offset::PhyOffset;
use crate::tail_file::TailMemory;
use crate::watermarks::Watermarks;
use caches::Caches;
use derived::Derived;
use env::Env;
use life::{Life, Phase};
use rt::{MemoryAccount, Runtime};
use std::cell::Cell;
use std::rc::Rc;
use visibility::Visibility;
use writing::Writing;

/// What a store did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteCounts {
    /// Messages appended.
    pub messages: u64,
    /// Bytes of their records, each copied once: from the request into the log's tail.
    pub record_bytes: u64,
    /// Bytes copied a second time: last blocks, to the next chunk of the tail and padded for a
    /// write; on `mmap` everything, into the page cache.
    pub copied_again_bytes: u64,
    /// Writes of the log.
    pub log_writes: u64,
    /// Their bytes, padding included.
    pub log_bytes: u64,
    /// Times that the log was made durable; under SYNC_FLUSH with each write.
    pub flushes: u64,
    /// Checkpoints: what the ConsumeQueues hold made durable, and a manifest that says so.
    pub checkpoints: u64,
    /// Time all of them took.
    pub checkpoint_nanos: u64,
    /// Messages that the index read from the log, because the append did not hand them over: those
    /// of earlier lives, copied ones, and those beyond [`crate::limits::INDEX_HANDED_RECORDS_MAX`].
    pub index_read_again: u64,
}

#[derive(Default)]
struct Counts(Cell<WriteCounts>);

impl Counts {
    fn add(&self, change: impl FnOnce(&mut WriteCounts)) {
        let mut counts = self.0.get();
        change(&mut counts);
        self.0.set(counts);
    }
}

struct Inner<R: Runtime> {
    env: Env<R>,
    watermarks: Watermarks,
    counts: Counts,
    writing: Writing<R>,
    derived: Derived<R>,
    caches: Caches,
    visibility: Visibility,
    life: Life,
}

impl<R: Runtime> Inner<R> {
    /// Asserts what each part says of itself, in builds with assertions: at both ends of what
    /// changes several of them.
    fn check(&self) {
        self.writing.check(&self.watermarks);
        self.derived.check(&self.watermarks);
    }
}

/// The store of one shard. Cloning gives another handle to the same one.
pub struct Store<R: Runtime> {
    inner: Rc<Inner<R>>,
}

impl<R: Runtime> Clone for Store<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<R: Runtime> Store<R> {
    /// The end of the log.
    #[must_use]
    pub fn appended(&self) -> PhyOffset {
        self.inner.watermarks.appended()
    }

    /// Up to here the log's files have it: a killed process loses nothing whatever the tail is.
    #[must_use]
    pub fn written(&self) -> PhyOffset {
        self.inner.watermarks.written()
    }

    /// Up to here a power cut loses nothing.
    #[must_use]
    pub fn flushed(&self) -> PhyOffset {
        self.inner.watermarks.flushed()
    }

    /// Up to here producers may be answered: the watermark that the configuration's flush policy
    /// and backend promise.
    #[must_use]
    pub fn acknowledged(&self) -> PhyOffset {
        self.inner.watermarks.acknowledged()
    }

    /// Completes when [`Store::acknowledged`] has passed `seen`, or when it never will: the store
    /// was poisoned, or the log cut ([`Store::truncate`]): look again.
    pub async fn acknowledged_beyond(&self, seen: PhyOffset) {
        let inner = &*self.inner;
        let cuts = inner.writing.log.cuts();
        loop {
            let changes = inner.visibility.acknowledged.seen();
            let is_cut = inner.writing.log.cuts() != cuts;
            let is_poisoned = inner.life.poison.borrow().is_some();
            if inner.watermarks.acknowledged() > seen || is_poisoned || is_cut {
                return;
            }
            inner.visibility.acknowledged.changed_since(changes).await;
        }
    }

    /// Up to here messages are in their queues.
    #[must_use]
    pub fn dispatched(&self) -> PhyOffset {
        self.inner.watermarks.dispatched()
    }

    /// Up to here consumers see messages.
    #[must_use]
    pub fn visible(&self) -> PhyOffset {
        self.inner.watermarks.visible()
    }

    /// The first byte of the log.
    #[must_use]
    pub fn log_begin(&self) -> PhyOffset {
        PhyOffset(self.inner.writing.log.begin())
    }

    /// Whether the log goes through the page cache because the filesystem has no O_DIRECT: the
    /// broker should say so.
    #[must_use]
    pub fn is_buffered(&self) -> bool {
        self.inner.writing.log.is_buffered()
    }

    /// Why the store stopped accepting writes, if it did.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.life.poison.borrow().clone()
    }

    /// What was written since the store was opened.
    #[must_use]
    pub fn write_counts(&self) -> WriteCounts {
        let mut counts = self.inner.counts.0.get();
        counts.copied_again_bytes += self.inner.writing.tail.borrow().carried_bytes();
        counts
    }

    /// The account that the store charges for what readers make it hold.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        &self.inner.env.memory
    }

    /// What outlives a killed process of what is appended and not written.
    #[must_use]
    pub fn tail_memory(&self) -> &TailMemory {
        &self.inner.life.tail_memory
    }

    /// What opening found.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.inner.life.recovered
    }
}
