//! What the timers' tasks share with each other and with requests.

use super::metrics::Metrics;
use super::pending::{Pending, Timer};
use crate::services::delivery::arrived::Arrived;
use crate::services::delivery::lateness::Lateness;
use engine::PhyOffset;
use std::cell::{Cell, RefCell};

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Timers that an earlier life or another broker left in the timer log.
    pub(crate) taken_over: u64,
    /// Timers taken up from their topic.
    pub(crate) taken_up: u64,
    /// Messages delivered.
    pub(crate) delivered: u64,
    /// Messages that were recalled.
    pub(crate) recalled: u64,
    /// Messages stored once more.
    pub(crate) rolled: u64,
    /// Messages that can't be delivered.
    pub(crate) left_out: u64,
}

/// How far the timers are, for those who go on after this life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Of the records before [`Progress::known`], those of slots before this are done.
    pub(crate) done_ms: i64,
    /// The first queue offset that was not looked at.
    pub(crate) known: i64,
}

/// The timers of one shard.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Those that wait.
    pub(super) pending: RefCell<Pending>,
    /// The queue offset of the next record to take up.
    pub(super) next: Cell<i64>,
    /// The place and size of the record before that.
    pub(super) last: Cell<Option<(PhyOffset, u32)>>,
    /// Everything that was there at the start is taken up. Before that a recall may be unseen.
    pub(super) is_caught_up: Cell<bool>,
    /// Something was appended to the timers' topic.
    pub(crate) arrived: Arrived,
    /// Something is due sooner than what is waited for.
    pub(super) sooner: Arrived,
    /// How many wait, by topic.
    pub(crate) metrics: RefCell<Metrics>,
    /// See there.
    pub(crate) counts: Cell<Counts>,
    /// How late messages were.
    pub(crate) lateness: RefCell<Lateness>,
    /// A task delivers at this moment.
    pub(super) delivers: Cell<bool>,
    /// A task writes files at this moment, or may not begin to any more.
    pub(super) writes: Cell<bool>,
}

impl Timers {
    /// Whether no message is between its delivery and its acknowledgement.
    pub(crate) fn is_at_rest(&self) -> bool {
        !self.delivers.get()
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.pending.borrow().len()
    }

    /// How many wait in a slot.
    pub(crate) fn in_slot(&self, slot_ms: i64) -> usize {
        self.pending.borrow().in_slot(slot_ms)
    }

    /// The queue offset of the next record to take up.
    pub(crate) fn next(&self) -> i64 {
        self.next.get()
    }

    /// For how long the first has been due, in milliseconds.
    pub(crate) fn behind_ms(&self, now_ms: i64) -> i64 {
        let due_ms = self.pending.borrow().first_due_ms();
        due_ms.map_or(0, |due_ms| now_ms.saturating_sub(due_ms).max(0))
    }

    /// Of what is taken up, everything due before this is delivered, in milliseconds since 1970;
    /// `None` while what was there at the start is not taken up.
    pub(crate) fn done_upto_ms(&self, now_ms: i64, precision_ms: i64) -> Option<i64> {
        self.is_caught_up.get().then(|| self.progress(now_ms, precision_ms).done_ms)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }

    /// Adds a timer, and wakes who delivers if it is due before all others.
    pub(super) fn insert(&self, timer: &Timer) {
        let mut pending = self.pending.borrow_mut();
        let before = pending.first_due_ms();
        pending.insert(timer);
        if pending.first_due_ms() != before {
            self.sooner.notify();
        }
    }

    /// How far they are at this time. A clock that was set back takes it back too: what was
    /// delivered meanwhile may come again after a kill, nothing is forgotten.
    pub(super) fn progress(&self, now_ms: i64, precision_ms: i64) -> Progress {
        let over_ms = now_ms.div_euclid(precision_ms).saturating_mul(precision_ms);
        let first_ms = self.pending.borrow().first_slot_ms().unwrap_or(i64::MAX);
        Progress { done_ms: over_ms.min(first_ms).max(0), known: self.next.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pending::Kind;
    use super::*;

    fn timer(slot_ms: i64) -> Timer {
        Timer { slot_ms, after_ms: 1, kind: Kind::Message, at: PhyOffset(1), size: 1 }
    }

    #[test]
    fn progress_never_counts_a_slot_that_is_not_over_or_has_timers() {
        let timers = Timers::default();
        timers.next.set(7);
        let done = |now_ms| timers.progress(now_ms, 1_000);
        assert_eq!(done(5_999), Progress { done_ms: 5_000, known: 7 });
        timers.insert(&timer(4_000));
        assert_eq!(done(5_999).done_ms, 4_000);
        timers.insert(&timer(-2_000));
        assert_eq!(done(5_999).done_ms, 0, "never below 0");
    }
}
