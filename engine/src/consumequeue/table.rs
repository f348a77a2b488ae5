//! Every queue of a shard, in memory: its range, and its recent units.
//!
//! ```text
//!   queue offsets:   min ......... first_recent ......... persisted ......... next
//!   in files:        [-------------------------------------------)
//!   in memory:                     [-----------------------------------------)
//!   consumers see:   [---------------------------------------- visible)
//! ```
//!
//! A queue belongs to its shard's core and lives from its first message to the deletion of its
//! topic. What bounds it: units leave memory when they are in a file and their record has left the
//! tail; units in no file yet are counted, and appends wait beyond a limit. An idle queue costs its
//! row here and nothing else.
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

use super::unit::Unit;
use crate::limits::{QUEUE_ID_MAX, STUCK_UNITS_MAX, UNPERSISTED_UNITS_MAX};
use crate::number::exact;
use crate::offset::QueueOffset;
use foldhash::HashMap;
use std::collections::VecDeque;
use std::rc::Rc;

/// A queue for as long as it lives: a key kept over a deletion finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QueueKey {
    slot: u32,
    generation: u32,
}

const NO_QUEUE: u32 = u32::MAX;

/// See the module's text.
pub(crate) struct Queue {
    pub(crate) topic: Rc<str>,
    pub(crate) queue_id: i32,
    pub(crate) min: QueueOffset,
    pub(crate) next: QueueOffset,
    /// Consumers see the messages below: those that are acknowledged.
    pub(crate) visible: QueueOffset,
    pub(crate) persisted: QueueOffset,
    /// Up to here the files are synced.
    pub(crate) synced: QueueOffset,
    recent: VecDeque<Unit>,
    /// Listed as having units in no file. Never set while it is stuck.
    is_dirty: bool,
    is_stuck: bool,
}

/// Where the unit of a queue offset is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Memory(Unit),
    File,
}

impl Queue {
    fn new(topic: Rc<str>, queue_id: i32, min: QueueOffset, next: QueueOffset) -> Self {
        Self {
            topic,
            queue_id,
            min,
            next,
            visible: next,
            persisted: next,
            synced: next,
            recent: VecDeque::new(),
            is_dirty: false,
            is_stuck: false,
        }
    }

    /// Where the queue ended when the log ended at `log_end`. Every unit of a record from there on
    /// is in memory.
    pub(crate) fn end_at(&self, log_end: u64) -> QueueOffset {
        self.first_recent().plus(self.recent.partition_point(|unit| unit.at.0 < log_end))
    }

    fn unpersisted_count(&self) -> usize {
        self.next.since(self.persisted)
    }

    pub(crate) fn first_recent(&self) -> QueueOffset {
        QueueOffset(self.next.0 - exact::<_, i64>(self.recent.len()))
    }

    /// The unit of `offset`, which is in `min..next`.
    pub(crate) fn unit(&self, offset: QueueOffset) -> Found {
        debug_assert!(offset >= self.min && offset < self.next);
        let first = self.first_recent();
        if offset < first {
            return Found::File;
        }
        self.recent.get(offset.since(first)).map_or(Found::File, |unit| Found::Memory(*unit))
    }

    /// Units from `persisted` on that no file has, at most `most`.
    pub(crate) fn unpersisted(&self, most: usize) -> impl Iterator<Item = &Unit> {
        self.recent.iter().skip(self.persisted.since(self.first_recent())).take(most)
    }

    /// Frees what is in files and whose records lie below `below` in the log.
    fn trim(&mut self, below: u64) {
        let mut first = self.first_recent();
        while first < self.persisted && self.recent.front().is_some_and(|unit| unit.at.0 < below) {
            self.recent.pop_front();
            first = first.plus(1);
        }
        if self.recent.is_empty() && self.recent.capacity() > 64 {
            self.recent = VecDeque::new();
        }
    }
}

struct Slot {
    generation: u32,
    queue: Option<Queue>,
}

/// All queues of a shard.
pub(crate) struct QueueTable {
    topics: HashMap<Rc<str>, Vec<u32>>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    dirty: Vec<QueueKey>,
    /// Takes the place of `dirty` when that is taken: an append that marks a queue allocates
    /// nothing.
    spare: Vec<QueueKey>,
    stuck: Vec<QueueKey>,
    /// Units in no file yet, but for those of stuck queues.
    unpersisted: usize,
    stuck_units: usize,
    /// From so many of `unpersisted` on an append has to look closer: the limit, or 0 while stuck
    /// queues take no more. One comparison serves both.
    look_closer_at: usize,
}

impl Default for QueueTable {
    fn default() -> Self {
        Self {
            topics: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            spare: Vec::new(),
            stuck: Vec::new(),
            unpersisted: 0,
            stuck_units: 0,
            look_closer_at: UNPERSISTED_UNITS_MAX,
        }
    }
}

impl QueueTable {
    pub(crate) fn key(&self, topic: &str, queue_id: i32) -> Option<QueueKey> {
        let index = usize::try_from(queue_id).ok()?;
        let slot = *self.topics.get(topic)?.get(index).filter(|slot| **slot != NO_QUEUE)?;
        let generation = self.slots.get(slot as usize)?.generation;
        Some(QueueKey { slot, generation })
    }

    pub(crate) fn get(&self, key: QueueKey) -> Option<&Queue> {
        self.slots
            .get(key.slot as usize)
            .filter(|slot| slot.generation == key.generation)?
            .queue
            .as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: QueueKey) -> Option<&mut Queue> {
        self.slots
            .get_mut(key.slot as usize)
            .filter(|slot| slot.generation == key.generation)?
            .queue
            .as_mut()
    }

    /// The queue, made empty with its first message at `first` when it is new. `None` when the id
    /// is no queue id.
    pub(crate) fn key_or_new(
        &mut self,
        topic: &str,
        queue_id: i32,
        first: QueueOffset,
    ) -> Option<QueueKey> {
        self.key(topic, queue_id).or_else(|| self.insert(topic, queue_id, first, first))
    }

    /// Adds a queue whose units `min..next` are in its files.
    pub(crate) fn insert(
        &mut self,
        topic: &str,
        queue_id: i32,
        min: QueueOffset,
        next: QueueOffset,
    ) -> Option<QueueKey> {
        let index = usize::try_from(queue_id).ok().filter(|_| queue_id <= QUEUE_ID_MAX)?;
        let name: Rc<str> =
            self.topics.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| name.clone());
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: 0, queue: None });
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        let queues = self.topics.entry(name.clone()).or_default();
        if queues.len() <= index {
            queues.resize(index + 1, NO_QUEUE);
        }
        *queues.get_mut(index)? = slot;
        let place = self.slots.get_mut(slot as usize)?;
        place.queue = Some(Queue::new(name, queue_id, min, next));
        Some(QueueKey { slot, generation: place.generation })
    }

    /// Adds the unit of the next message, visible at once.
    pub(crate) fn push(&mut self, key: QueueKey, unit: Unit) {
        self.push_hidden(key, unit);
        if let Some(queue) = self.get_mut(key) {
            queue.visible = queue.next;
        }
    }

    /// Lets consumers see the messages below `upto`.
    pub(crate) fn reveal(&mut self, key: QueueKey, upto: QueueOffset) {
        let Some(queue) = self.get_mut(key) else { return };
        debug_assert!(upto >= queue.visible && upto <= queue.next);
        queue.visible = upto;
    }

    /// Adds the unit of the next message, which consumers see after [`QueueTable::reveal`].
    pub(crate) fn push_hidden(&mut self, key: QueueKey, unit: Unit) {
        let Some(queue) = self.get_mut(key) else { return };
        queue.recent.push_back(unit);
        queue.next = queue.next.plus(1);
        let newly_dirty = !std::mem::replace(&mut queue.is_dirty, true);
        self.unpersisted += 1;
        if newly_dirty {
            self.becomes_dirty(key);
        }
    }

    /// A clean queue has a unit in no file. A stuck one comes by with each unit.
    fn becomes_dirty(&mut self, key: QueueKey) {
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
    fn count_less(&mut self, units: usize, is_stuck: bool) {
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

    /// Whether an append has to see if it may: see [`QueueTable::is_behind`] and
    /// [`QueueTable::is_full`].
    pub(crate) fn must_look_closer(&self) -> bool {
        self.unpersisted >= self.look_closer_at
    }

    /// Whether so many units are in no file that every append waits.
    pub(crate) fn is_behind(&self) -> bool {
        self.unpersisted >= UNPERSISTED_UNITS_MAX
    }

    /// Forgets the units from `next` on, which is not above the queue's end.
    pub(crate) fn truncate(&mut self, key: QueueKey, next: QueueOffset) {
        let Some(queue) = self.get_mut(key) else { return };
        let (first, before, is_stuck) =
            (queue.first_recent(), queue.unpersisted_count(), queue.is_stuck);
        queue.recent.truncate(next.since(first));
        queue.next = next;
        queue.visible = queue.visible.min(next);
        queue.persisted = queue.persisted.min(next);
        queue.synced = queue.synced.min(next);
        queue.min = queue.min.min(next);
        let gone = before - queue.unpersisted_count();
        self.count_less(gone, is_stuck);
    }

    /// Notes that the files hold everything below `upto`.
    pub(crate) fn persisted(&mut self, key: QueueKey, upto: QueueOffset) {
        let Some(queue) = self.get_mut(key) else { return };
        let upto = upto.min(queue.next);
        let (newly, is_stuck) = (upto.since(queue.persisted), queue.is_stuck);
        queue.persisted = queue.persisted.max(upto);
        self.count_less(newly, is_stuck);
    }

    /// Units in no file yet, but for those of stuck queues.
    pub(crate) fn unpersisted(&self) -> usize {
        self.unpersisted
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

    /// How many slots there are: an end for walks over all queues.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The queues of `count` slots from `from` on: a walk over all queues takes them a piece at a
    /// time.
    pub(crate) fn piece(
        &self,
        from: usize,
        count: usize,
    ) -> impl Iterator<Item = (QueueKey, &Queue)> {
        self.slots.iter().enumerate().skip(from).take(count).filter_map(with_key)
    }

    /// Frees of such a piece what is in files and whose records lie below `below` in the log.
    pub(crate) fn trim_piece(&mut self, from: usize, count: usize, below: u64) {
        let slots = self.slots.iter_mut().skip(from).take(count);
        for queue in slots.filter_map(|slot| slot.queue.as_mut()) {
            queue.trim(below);
        }
    }

    /// Frees what is in files, of all queues.
    pub(crate) fn trim(&mut self, below: u64) {
        self.trim_piece(0, usize::MAX, below);
    }

    /// Every queue, in the order of the slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (QueueKey, &Queue)> {
        self.piece(0, usize::MAX)
    }

    /// Forgets a topic; its keys find nothing from now on. Returns them.
    pub(crate) fn remove_topic(&mut self, topic: &str) -> Vec<QueueKey> {
        let queues = self.topics.remove(topic).unwrap_or_default();
        let mut removed = Vec::new();
        for slot in queues.into_iter().filter(|slot| *slot != NO_QUEUE) {
            let Some(place) = self.slots.get_mut(slot as usize) else { continue };
            let queue = place.queue.take();
            removed.push(QueueKey { slot, generation: place.generation });
            place.generation = place.generation.wrapping_add(1);
            self.free.push(slot);
            if let Some(queue) = queue {
                self.count_less(queue.unpersisted_count(), queue.is_stuck);
            }
        }
        self.stuck.retain(|key| !removed.contains(key));
        removed
    }

    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }
}

fn with_key((slot, entry): (usize, &Slot)) -> Option<(QueueKey, &Queue)> {
    let key = QueueKey { slot: u32::try_from(slot).ok()?, generation: entry.generation };
    entry.queue.as_ref().map(|queue| (key, queue))
}

/// What [`QueueTable::take_dirty`] takes.
pub(crate) struct TakenQueues {
    pub(crate) stuck: Vec<QueueKey>,
    pub(crate) dirty: Vec<QueueKey>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::PhyOffset;

    fn unit(at: u64) -> Unit {
        Unit { at: PhyOffset(at), size: 100, tags_code: 0 }
    }

    #[test]
    fn units_stay_in_memory_until_they_are_in_a_file_and_cold() {
        let mut table = QueueTable::default();
        let key = table.key_or_new("t", 0, QueueOffset(0)).unwrap();
        (0..10).for_each(|nth| table.push(key, unit(nth * 100)));
        table.trim(500);
        assert_eq!(
            table.get(key).unwrap().unit(QueueOffset(0)),
            Found::Memory(unit(0)),
            "in no file yet"
        );
        table.persisted(key, QueueOffset(8));
        assert_eq!(table.unpersisted(), 2);
        table.trim(500);
        assert_eq!(table.get(key).unwrap().unit(QueueOffset(4)), Found::File);
        assert_eq!(table.get(key).unwrap().unit(QueueOffset(5)), Found::Memory(unit(500)));
        assert_eq!(table.get(key).unwrap().unpersisted(9).count(), 2);
    }

    #[test]
    fn a_key_of_a_deleted_topic_finds_nothing_even_when_its_slot_is_used_again() {
        let mut table = QueueTable::default();
        let old = table.key_or_new("t", 3, QueueOffset(0)).unwrap();
        table.push(old, unit(0));
        assert_eq!(table.remove_topic("t"), vec![old]);
        assert_eq!(table.unpersisted(), 0);
        let new = table.key_or_new("u", 3, QueueOffset(0)).unwrap();
        assert!(
            table.get(old).is_none() && table.get(new).is_some() && table.key("t", 3).is_none()
        );
    }

    #[test]
    fn no_queue_id_sizes_an_allocation() {
        let mut table = QueueTable::default();
        assert!(table.key_or_new("t", -1, QueueOffset(0)).is_none());
        assert!(table.key_or_new("t", QUEUE_ID_MAX + 1, QueueOffset(0)).is_none());
    }

    #[test]
    fn truncating_counts_what_no_file_needs_any_more() {
        let mut table = QueueTable::default();
        let key = table.key_or_new("t", 0, QueueOffset(5)).unwrap();
        (0..10).for_each(|nth| table.push(key, unit(nth * 100)));
        table.persisted(key, QueueOffset(9));
        table.truncate(key, QueueOffset(7));
        assert_eq!((table.unpersisted(), table.get(key).unwrap().persisted), (0, QueueOffset(7)));
        table.push(key, unit(1000));
        assert_eq!(table.get(key).unwrap().unit(QueueOffset(7)), Found::Memory(unit(1000)));
        assert_eq!(table.unpersisted(), 1);
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

    #[test]
    fn where_a_queue_ended_is_known_for_every_place_of_the_log_in_memory() {
        let mut table = QueueTable::default();
        let key = table.key_or_new("t", 0, QueueOffset(5)).unwrap();
        (0..10).for_each(|nth| table.push(key, unit(nth * 100)));
        for (log_end, end) in [(0, 5), (100, 6), (150, 7), (900, 14), (1000, 15), (5000, 15)] {
            assert_eq!(table.get(key).unwrap().end_at(log_end), QueueOffset(end), "{log_end}");
        }
    }
}
