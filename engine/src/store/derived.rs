//! What is made from the log and can be made again: ConsumeQueues, the index, the manifest and the
//! checkpoint that tell how far their files are.
//!
//! ```text
//!   manifest_end ≤ flushed                       a manifest lists only what is durable
//!   of each queue: synced ≤ persisted ≤ next     its units on disk, in files, in memory
//! ```

use super::cuts::Cuts;
use crate::checkpoint::Checkpoint;
use crate::consumequeue::queues::Queues;
use crate::index::{Index, IndexMark};
use crate::signal::{Signal, Turn};
use crate::watermarks::Watermarks;
use rt::Runtime;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

pub(super) struct Derived<R: Runtime> {
    pub(super) queues: Queues<R>,
    pub(super) index: Index<R>,
    /// What the manifest says of the index: kept while it is switched off, or cannot be written.
    pub(super) index_mark: RefCell<Option<IndexMark>>,
    /// Topic to log offset below which its records are deleted.
    pub(super) deleted: RefCell<BTreeMap<String, u64>>,
    pub(super) checkpoint: Cell<Checkpoint>,
    /// Log end of the newest manifest of this life; 0 before there is one.
    pub(super) manifest_end: Cell<u64>,
    /// Log end of the manifest on disk, whichever life wrote it: of the records below it the
    /// queues' ends are known without the log.
    pub(super) listed_end: Cell<u64>,
    /// Wakes the writer of ConsumeQueue files.
    pub(super) wake: Signal,
    /// Units of records from here on stay in memory: a manifest is being made that has to know
    /// which they are.
    pub(super) listed_upto: Cell<u64>,
    /// What lies behind the ends of ConsumeQueues after an unclean stop.
    pub(super) cuts: Cuts,
    /// Only one writes checkpoints, deletes topics or removes old files at a time.
    pub(super) turn: Turn,
}

/// The making of a manifest ends when it is dropped.
pub(super) struct Listing<'a>(&'a Cell<u64>);

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        self.0.set(u64::MAX);
    }
}

impl<R: Runtime> Derived<R> {
    /// What no manifest and no checkpoint says anything of.
    pub(super) fn new(queues: Queues<R>, index: Index<R>, cuts: Cuts) -> Self {
        Self {
            queues,
            index,
            index_mark: RefCell::default(),
            deleted: RefCell::default(),
            checkpoint: Cell::default(),
            manifest_end: Cell::new(0),
            listed_end: Cell::new(0),
            wake: Signal::default(),
            listed_upto: Cell::new(u64::MAX),
            cuts,
            turn: Turn::default(),
        }
    }

    /// Keeps the units of records from `log_end` on in memory while a manifest is made.
    pub(super) fn list_upto(&self, log_end: u64) -> Listing<'_> {
        self.listed_upto.set(log_end);
        Listing(&self.listed_upto)
    }

    /// Asserts what the module's text says.
    pub(super) fn check(&self, watermarks: &Watermarks) {
        if cfg!(debug_assertions) {
            assert!(
                self.manifest_end.get() <= watermarks.flushed().0,
                "a manifest ahead of the log"
            );
            for (_, queue) in self.queues.table.borrow().iter() {
                assert!(
                    queue.synced <= queue.persisted && queue.persisted <= queue.next,
                    "queue {} of {}: {} {} {}",
                    queue.queue_id,
                    queue.topic,
                    queue.synced,
                    queue.persisted,
                    queue.next
                );
            }
        }
    }
}
