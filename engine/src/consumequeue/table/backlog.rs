//! Units that are in no file yet: which queues have them, how many there are, and what follows.
//!
//! A queue whose file can't be written is stuck until it can. Its units are counted apart: beyond a
//! limit of their own only messages to stuck queues are refused, and nobody else waits.
//!
//! ```text
//!            first unit           taken by the writer
//!   clean ───────────────► dirty ─────────────────────► being written ──► clean
//!                            ▲                                │ fails
//!                            └───── written after all ── stuck ◄┘   (tried again each round)
//! ```

use super::{QueueKey, QueueTable};
use crate::limits::{STUCK_UNITS_MAX, UNPERSISTED_UNITS_MAX};

/// What [`QueueTable::take_dirty`] takes.
pub(crate) struct TakenQueues {
    pub(crate) stuck: Vec<QueueKey>,
    pub(crate) dirty: Vec<QueueKey>,
}

impl QueueTable {
    /// A clean queue has a unit in no file. A stuck one comes by with each unit.
    pub(super) fn becomes_dirty(&mut self, key: QueueKey) {
        match self.get_mut(key).filter(|queue| queue.is_stuck) {
            Some(queue) => {
                queue.is_dirty = false;
                self.unpersisted -= 1;
                self.count_stuck(1, 0);
            }
            None => self.dirty.push(key),
        }
    }

    fn count_stuck(&mut self, more: usize, less: usize) {
        self.stuck_units = self.stuck_units + more - less;
        let is_full = self.stuck_units >= STUCK_UNITS_MAX;
        self.look_closer_at = if is_full { 0 } else { UNPERSISTED_UNITS_MAX };
    }

    /// So many units of a queue need no file any more.
    pub(super) fn count_less(&mut self, units: usize, is_stuck: bool) {
        if is_stuck {
            self.count_stuck(0, units);
        } else {
            self.unpersisted -= units;
        }
    }

    /// A queue could not be written: its units are counted apart from now on. Returns whether it
    /// was written before.
    pub(crate) fn stick(&mut self, key: QueueKey) -> bool {
        let Some(queue) = self.get_mut(key).filter(|queue| !queue.is_stuck) else { return false };
        (queue.is_stuck, queue.is_dirty) = (true, false);
        let units = queue.unpersisted_count();
        self.unpersisted -= units;
        self.count_stuck(units, 0);
        self.stuck.push(key);
        true
    }

    /// A stuck queue was written.
    pub(crate) fn unstick(&mut self, key: QueueKey) {
        self.stuck.retain(|stuck| *stuck != key);
        let Some(queue) = self.get_mut(key).filter(|queue| queue.is_stuck) else { return };
        queue.is_stuck = false;
        let units = queue.unpersisted_count();
        queue.is_dirty = units > 0;
        if units > 0 {
            self.dirty.push(key);
        }
        self.count_stuck(0, units);
        self.unpersisted += units;
    }

    /// Whether a queue could not be written when that was tried last.
    pub(crate) fn is_stuck(&self, key: QueueKey) -> bool {
        self.get(key).is_some_and(|queue| queue.is_stuck)
    }

    /// Whether a queue is stuck and no more of such units may be held in memory.
    pub(crate) fn is_full(&self, key: QueueKey) -> bool {
        self.stuck_units >= STUCK_UNITS_MAX && self.is_stuck(key)
    }

    /// One of the queues that take no more, if there are any.
    pub(crate) fn a_full_queue(&self) -> Option<QueueKey> {
        self.stuck.iter().copied().find(|key| self.is_full(*key))
    }

    /// Whether an append has to see if it may: see [`QueueTable::is_behind`] and
    /// [`QueueTable::is_full`].
    pub(crate) fn must_look_closer(&self) -> bool {
        self.unpersisted >= self.look_closer_at
    }

    /// Whether so many units are in no file that every append waits.
    pub(crate) fn is_behind(&self) -> bool {
        self.unpersisted >= UNPERSISTED_UNITS_MAX
    }

    /// How many queues have units in no file, but for stuck ones.
    pub(crate) fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// Takes the queues that have units in no file, stuck ones first. They stay marked, so that
    /// none is listed twice, until [`QueueTable::begin_write`].
    pub(crate) fn take_dirty(&mut self) -> TakenQueues {
        let mut spare = std::mem::take(&mut self.spare);
        spare.reserve(self.dirty.len());
        let mut dirty = std::mem::replace(&mut self.dirty, spare);
        if !self.stuck.is_empty() {
            dirty.retain(|key| !self.is_stuck(*key));
        }
        TakenQueues { stuck: self.stuck.clone(), dirty }
    }

    /// The writer takes what a queue has now; a later unit lists it again.
    pub(crate) fn begin_write(&mut self, key: QueueKey) {
        if let Some(queue) = self.get_mut(key) {
            queue.is_dirty = false;
        }
    }

    /// Ends what [`QueueTable::take_dirty`] began: keeps the list's memory, and lists the queues
    /// from `done` on again.
    pub(crate) fn give_back(&mut self, mut dirty: Vec<QueueKey>, done: usize) {
        for key in dirty.iter().skip(done) {
            if self.get(*key).is_some_and(|queue| queue.is_dirty) {
                self.dirty.push(*key);
            }
        }
        dirty.clear();
        self.spare = dirty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumequeue::unit::Unit;
    use crate::offset::{PhyOffset, QueueOffset};

    fn unit(at: u64) -> Unit {
        Unit { at: PhyOffset(at), size: 100, tags_code: 0 }
    }

    #[test]
    fn a_stuck_queues_units_are_counted_apart_until_it_is_written() {
        let mut table = QueueTable::default();
        let stuck = table.key_or_new("t", 0, QueueOffset(0)).unwrap();
        let other = table.key_or_new("t", 1, QueueOffset(0)).unwrap();
        table.push(stuck, unit(0));
        let taken = table.take_dirty();
        table.begin_write(stuck);
        table.push(stuck, unit(100));
        assert!(table.stick(stuck) && !table.stick(stuck), "it is said once");
        table.give_back(taken.dirty, 1);
        assert_eq!((table.unpersisted(), table.stuck_units), (0, 2));
        table.push(other, unit(200));
        (2..STUCK_UNITS_MAX as u64).for_each(|nth| table.push(stuck, unit(nth * 100)));
        assert_eq!((table.unpersisted(), table.stuck_units), (1, STUCK_UNITS_MAX));
        assert!(table.must_look_closer() && table.is_full(stuck) && !table.is_full(other));
        assert!(!table.is_behind(), "nobody else waits");
        table.persisted(stuck, QueueOffset(10));
        assert!(!table.must_look_closer() && !table.is_full(stuck));
        table.unstick(stuck);
        assert_eq!((table.unpersisted(), table.stuck_units), (STUCK_UNITS_MAX - 9, 0));
        assert!(table.take_dirty().dirty.contains(&stuck), "the rest is written like any other");
        assert!(table.stick(stuck));
        table.remove_topic("t");
        assert_eq!((table.unpersisted(), table.stuck_units, table.stuck.len()), (0, 0, 0));
    }
}
