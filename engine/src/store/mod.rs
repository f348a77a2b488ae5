//! The store of one shard: what the other modules are joined to.
//!
//! A [`Store`] is a handle to state owned by one core. Its life: [`Store::open`] (recovery, then
//! three tasks start: the log's writer, its flusher, the ConsumeQueues' writer), appends and reads,
//! [`Store::close`]. Every method that is not async completes at once and touches memory only.

mod append;
mod append_records;
mod arrivals;
mod background;
mod check_files;
mod cold;
mod damage;
mod delete;
mod fill;
mod indexing;
mod open;
mod query;
mod read;
mod read_ahead;
mod recover;
mod repair;
mod retain;
mod search;
mod space;
mod zeros;

pub use append::{Appended, AppendedBatch};
pub use arrivals::Arrival;
pub use cold::ColdRead;
pub use open::Recovered;
pub use query::{KeyQuery, Queried};
pub use read::{
    OwnedReadRequest, OwnedTagFilter, QueueRange, ReadRequest, ReadSlices, ReadStatus, TagFilter,
};
pub use search::Boundary;

use crate::checkpoint::Checkpoint;
use crate::commitlog::files::LogFiles;
use crate::config::StoreConfig;
use crate::consumequeue::queues::Queues;
use crate::index::{Index, IndexMark};
use crate::offset::PhyOffset;
use crate::paths::Paths;
use crate::signal::{Signal, Turn};
use crate::tail::Tail;
use crate::watermarks::Watermarks;
use arrivals::{Arrivals, Hidden};
use read_ahead::{ColdCache, UnitCache};
use rt::{AppendBuf, MemoryAccount, Runtime};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

/// How far a store's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Closed,
}

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
    rt: R,
    config: StoreConfig,
    paths: Paths,
    watermarks: Watermarks,
    tail: RefCell<Tail>,
    log: LogFiles<R>,
    queues: Queues<R>,
    index: Index<R>,
    /// What the manifest says of the index: kept while it is switched off, or cannot be written.
    index_mark: RefCell<Option<IndexMark>>,
    arrivals: RefCell<Arrivals>,
    hidden: RefCell<Hidden>,
    /// Charged for what readers make the store hold.
    memory: MemoryAccount,
    cold_cache: RefCell<ColdCache>,
    unit_cache: RefCell<UnitCache>,
    window_arrived: Signal,
    /// Where damage was said to be.
    reported_damage: RefCell<HashSet<u64>>,
    /// Topic to log offset below which its records are deleted.
    deleted: RefCell<BTreeMap<String, u64>>,
    phase: Cell<Phase>,
    /// Why the store stopped accepting writes.
    poison: RefCell<Option<String>>,
    /// Records from here on are ours: see [`crate::manifest::Manifest`].
    own_from: u64,
    /// Start of the log file there was no space for.
    disk_full_at: Cell<Option<u64>>,
    /// How full the disk is, in hundredths, while sends are refused for it.
    nearly_full: Cell<Option<u64>>,
    file_made: Signal,
    /// Store times never go back, whatever the clock does.
    last_store_ms: Cell<i64>,
    checkpoint: Cell<Checkpoint>,
    /// Log end of the manifest on disk.
    manifest_end: Cell<u64>,
    /// Zeros ahead of the log, and how far the log's writes go: see `zeros`.
    zeros: zeros::Zeros,
    /// Reused for the zero-padded copy of the partial last block.
    partial_block: RefCell<Rc<AppendBuf>>,
    counts: Counts,
    appended: Signal,
    written: Signal,
    /// Producers may be answered; not used where appending is enough.
    acknowledged: Signal,
    wake_background: Signal,
    stopping: Signal,
    flush_turn: Turn,
    derived_turn: Turn,
    running_tasks: Cell<usize>,
    task_ended: Signal,
    recovered: Recovered,
    /// Exclusive for as long as the store is open.
    lock: RefCell<Option<R::File>>,
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

    /// Up to here a killed process loses nothing.
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

    /// Completes when [`Store::acknowledged`] has passed `seen` or the store was poisoned: then it
    /// never will.
    pub async fn acknowledged_beyond(&self, seen: PhyOffset) {
        let inner = &*self.inner;
        loop {
            let changes = inner.acknowledged.seen();
            if inner.watermarks.acknowledged() > seen || inner.poison.borrow().is_some() {
                return;
            }
            inner.acknowledged.changed_since(changes).await;
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
        PhyOffset(self.inner.log.begin())
    }

    /// Whether the log goes through the page cache because the filesystem has no O_DIRECT: the
    /// broker should say so.
    #[must_use]
    pub fn is_buffered(&self) -> bool {
        self.inner.log.is_buffered()
    }

    /// Why the store stopped accepting writes, if it did.
    #[must_use]
    pub fn poisoned(&self) -> Option<String> {
        self.inner.poison.borrow().clone()
    }

    /// What was written since the store was opened.
    #[must_use]
    pub fn write_counts(&self) -> WriteCounts {
        let mut counts = self.inner.counts.0.get();
        counts.copied_again_bytes += self.inner.tail.borrow().carried_bytes();
        counts
    }

    /// The account that the store charges for what readers make it hold.
    #[must_use]
    pub fn memory(&self) -> &MemoryAccount {
        &self.inner.memory
    }

    /// What opening found.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.inner.recovered
    }
}
