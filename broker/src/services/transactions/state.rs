//! What the transactions of one shard keep, and share with the rest of it.

use super::changed::Changed;
use super::halves::Halves;
use super::progress::Progress;
use std::cell::Cell;
use std::rc::Rc;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// The open ones; `None` until the start has read them.
    pub(super) halves: Option<Halves>,
    /// How far a start may skip.
    pub(super) progress: Progress,
    /// When progress was prepared for its file last, in milliseconds of the monotonic clock.
    pub(super) snapshot_ms: i64,
    /// Ends and questions on their way into the log.
    pub(super) under_way: usize,
    /// Tells the service's task of work.
    pub(super) work: Rc<Work>,
    /// Tells ends that a transaction is busy no longer, or that the open ones are known.
    pub(super) freed: Rc<Changed>,
    /// What happened since the start.
    pub(super) counts: Counts,
}

/// Wakes the service's task.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) changed: Changed,
    /// It has looked at every half message.
    pub(super) waits_for_halves: Cell<bool>,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) committed: u64,
    pub(super) rolled_back: u64,
    pub(super) asked: u64,
    pub(super) given_up: u64,
}

impl Transactions {
    /// A half message became visible.
    pub(crate) fn half_arrived(&self) {
        if self.work.waits_for_halves.take() {
            self.work.changed.notify();
        }
    }

    /// A producer of this group is there.
    pub(crate) fn producer_came(&mut self, group: &str, now_ms: i64) {
        let halves = self.halves.as_mut();
        if halves.is_some_and(|halves| halves.producer_came(group, now_ms)) {
            self.work.changed.notify();
        }
    }

    /// Whether nothing is on its way into the log.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.under_way == 0
    }
}
