//! What is made from the log and can be made again: ConsumeQueues, the index, the manifest and the
//! checkpoint that tell how far their files are.
//!
//! ```text
//!   manifest_end ≤ flushed                       a manifest lists only what is durable
//!   of each queue: synced ≤ persisted ≤ next     its units on disk, in files, in memory
//! ```

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
    /// Log end of the manifest on disk.
    pub(super) manifest_end: Cell<u64>,
    /// Wakes the writer of derived files.
    pub(super) wake: Signal,
    /// Only one writes derived files at a time.
    pub(super) turn: Turn,
}

impl<R: Runtime> Derived<R> {
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
