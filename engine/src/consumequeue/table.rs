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
//! What is in no file yet, and queues that can't be written: [`backlog`].

mod backlog;

pub(crate) use backlog::TakenQueues;

use super::dispatch::{is_lmq, is_queue};
use super::unit::Unit;
use crate::limits::UNPERSISTED_UNITS_MAX;
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
    /// There was a light message queue: records may belong into more than their own queue.
    has_light_queues: bool,
    /// How many there are.
    light_queues: usize,
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
            has_light_queues: false,
            light_queues: 0,
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

    /// The queue, made empty with its first message at `first` when it is new. `None` when there
    /// can be no such queue ([`is_queue`]).
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
        let index = usize::try_from(queue_id).ok().filter(|_| is_queue(topic, queue_id))?;
        self.has_light_queues |= is_lmq(topic);
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
        self.light_queues += usize::from(is_lmq(topic));
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
    /// Returns how many units the rest has room for in memory.
    pub(crate) fn trim_piece(&mut self, from: usize, count: usize, below: u64) -> usize {
        let slots = self.slots.iter_mut().skip(from).take(count);
        let trimmed = slots.filter_map(|slot| slot.queue.as_mut()).map(|queue| {
            queue.trim(below);
            queue.recent.capacity()
        });
        trimmed.sum()
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
            self.light_queues -= usize::from(queue.is_some() && is_lmq(topic));
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

    /// Forgets a queue; its key finds nothing from now on.
    pub(crate) fn remove_queue(&mut self, key: QueueKey) {
        let place = self.slots.get_mut(key.slot as usize);
        let Some(place) = place.filter(|slot| slot.generation == key.generation) else { return };
        let Some(queue) = place.queue.take() else { return };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.light_queues -= usize::from(is_lmq(&queue.topic));
        self.count_less(queue.unpersisted_count(), queue.is_stuck);
        self.stuck.retain(|stuck| *stuck != key);
        let Some(queues) = self.topics.get_mut(&queue.topic) else { return };
        queues.iter_mut().filter(|slot| **slot == key.slot).for_each(|slot| *slot = NO_QUEUE);
        if queues.iter().all(|slot| *slot == NO_QUEUE) {
            self.topics.remove(&queue.topic);
        }
    }

    /// False while no light message queue was ever in this table.
    pub(crate) fn has_light_queues(&self) -> bool {
        self.has_light_queues
    }

    /// How many light message queues there are.
    pub(crate) fn light_queues(&self) -> usize {
        self.light_queues
    }

    /// The topics that have queues.
    pub(crate) fn topics(&self) -> impl ExactSizeIterator<Item = &str> {
        self.topics.keys().map(|topic| &**topic)
    }

    pub(crate) fn has_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }
}

fn with_key((slot, entry): (usize, &Slot)) -> Option<(QueueKey, &Queue)> {
    let key = QueueKey { slot: u32::try_from(slot).ok()?, generation: entry.generation };
    entry.queue.as_ref().map(|queue| (key, queue))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::QUEUE_ID_MAX;
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
    fn a_removed_queue_leaves_its_topics_others() {
        let mut table = QueueTable::default();
        let (first, second) = (
            table.key_or_new("t", 0, QueueOffset(0)).unwrap(),
            table.key_or_new("t", 1, QueueOffset(0)).unwrap(),
        );
        table.push(first, unit(0));
        table.remove_queue(first);
        assert_eq!((table.key("t", 0), table.key("t", 1)), (None, Some(second)));
        assert_eq!(table.unpersisted(), 0);
        table.remove_queue(first);
        table.remove_queue(second);
        assert!(!table.has_topic("t"));
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
    fn where_a_queue_ended_is_known_for_every_place_of_the_log_in_memory() {
        let mut table = QueueTable::default();
        let key = table.key_or_new("t", 0, QueueOffset(5)).unwrap();
        (0..10).for_each(|nth| table.push(key, unit(nth * 100)));
        for (log_end, end) in [(0, 5), (100, 6), (150, 7), (900, 14), (1000, 15), (5000, 15)] {
            assert_eq!(table.get(key).unwrap().end_at(log_end), QueueOffset(end), "{log_end}");
        }
    }
}
