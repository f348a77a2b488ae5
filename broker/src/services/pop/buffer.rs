//! Checkpoints that wait in memory for their acknowledgements (`enablePopBufferMerge=true`,
//! Apache's `PopBufferMergeService`): one that is acknowledged within some seconds is never
//! written.
//!
//! ```text
//!   pop ─► open ─ all acknowledged ────────────────► the group's saved place may move, nothing is written
//!            └─── too old, or its time is near ────► "ck" of the messages that are not acknowledged
//! ```
//!
//! An acknowledgement needs no record while its checkpoint is here, up to the moment when that
//! leaves. A record of its own could come to the revive topic before a checkpoint that leaves late,
//! as after the machine stood still, and would say nothing there.
//!
//! What must hold: **the saved place of a group stays before the first message whose checkpoint is
//! here** ([`super::cursors`]). So a kill brings all of them again, acknowledged or not; it loses
//! none. At most `popCkMaxBufferSize` are here, a few hundred bytes each. Pure.

use super::cursors::{Key, PointId};
use super::gather::Of;
use crate::config::BufferOptions;
use protocol::bodies::CheckPoint;
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

/// A checkpoint that would leave sooner is written at once (Apache's 1,500).
const MARGIN_MS: i64 = 1_500;

/// What one pop took from one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) key: Key,
    pub(super) start_offset: i64,
    pub(super) pop_time_ms: i64,
    pub(super) invisible_ms: i64,
    pub(super) revive_queue: i32,
    /// Where each message lies, from `start_offset`.
    pub(super) diffs: Box<[i32]>,
}

#[derive(Debug)]
struct Entry {
    id: PointId,
    hash: u64,
    point: Point,
    /// By place.
    acked: u128,
    leave_ms: i64,
    /// It is being written: what comes now is written too.
    is_leaving: bool,
}

/// What became of an acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Acked {
    /// Its checkpoint is not here, or is being written: it is to be written too.
    No,
    /// It counts.
    Here,
    /// It was the last: the checkpoint is gone.
    Done(Key, PointId),
}

/// A checkpoint that has to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaves {
    pub(super) id: PointId,
    pub(super) key: Key,
    pub(super) revive_queue: i32,
    /// Of the messages that are not acknowledged.
    pub(super) point: CheckPoint,
    slot: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    entries: Slab<Entry>,
    by_hash: HashMap<u64, usize>,
    /// When each has to leave, and its slot.
    by_time: BTreeSet<(i64, usize)>,
    hasher: RandomState,
    ids: u64,
}

impl Buffer {
    /// How many are here.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether one has to leave by now.
    pub(super) fn is_due(&self, now_ms: i64) -> bool {
        self.by_time.first().is_some_and(|(leave_ms, _)| *leave_ms <= now_ms)
    }

    /// Takes a checkpoint; `None` when it has to be written at once: its time is near, or too many
    /// are here.
    pub(super) fn add(
        &mut self,
        point: Point,
        now_ms: i64,
        options: &BufferOptions,
    ) -> Option<PointId> {
        let revive_ms = point.pop_time_ms.saturating_add(point.invisible_ms);
        let is_near = revive_ms.saturating_sub(now_ms) < options.early_ms + MARGIN_MS;
        let is_full = self.entries.len() >= options.points_max;
        let is_long = point.diffs.len() > 127; // as many as a checkpoint can say
        if !options.enabled || is_near || is_full || is_long {
            return None;
        }
        let Key { topic, group, queue_id } = &point.key;
        let hash = self.hash(topic, group, (*queue_id, point.start_offset, point.pop_time_ms));
        if self.by_hash.contains_key(&hash) {
            return None;
        }
        self.ids += 1;
        let id = PointId(self.ids);
        let over_ms = point.pop_time_ms.saturating_add(options.stay_ms);
        let leave_ms = over_ms.min(revive_ms - options.early_ms);
        let entry = Entry { id, hash, point, acked: 0, leave_ms, is_leaving: false };
        let slot = self.entries.insert(entry);
        self.by_hash.insert(hash, slot);
        self.by_time.insert((leave_ms, slot));
        Some(id)
    }

    fn hash(&self, topic: &str, group: &str, rest: (i32, i64, i64)) -> u64 {
        self.hasher.hash_one((topic, group, rest))
    }

    /// A message is acknowledged, of a checkpoint of `own`, this broker, or of another.
    pub(super) fn ack(&mut self, of: Of<'_>, offset: i64, own: &str) -> Acked {
        if self.entries.is_empty() || of.broker != Some(own) {
            return Acked::No;
        }
        let hash = self.hash(of.topic, of.group, (of.queue_id, of.start_offset, of.pop_time_ms));
        let Some(slot) = self.by_hash.get(&hash).copied() else { return Acked::No };
        let entry = &mut self.entries[slot];
        if !entry.point.is(of) || entry.is_leaving {
            return Acked::No;
        }
        let diff = offset.checked_sub(of.start_offset).and_then(|diff| i32::try_from(diff).ok());
        let place = diff.and_then(|diff| entry.point.diffs.binary_search(&diff).ok());
        let Some(place) = place else { return Acked::Here }; // it is none of its messages
        entry.acked |= 1 << place;
        if entry.acked.count_ones() as usize == entry.point.diffs.len() {
            let entry = self.take_out(slot);
            return Acked::Done(entry.point.key, entry.id);
        }
        Acked::Here
    }

    /// The next that has to leave by now. It stays until [`Buffer::left`]; if it could not be
    /// written, it comes again.
    pub(super) fn leaves(&mut self, now_ms: i64, broker: &str) -> Option<Leaves> {
        let (leave_ms, slot) = *self.by_time.first()?;
        if leave_ms > now_ms {
            return None;
        }
        let entry = &mut self.entries[slot];
        entry.is_leaving = true;
        let (id, key) = (entry.id, entry.point.key.clone());
        let revive_queue = entry.point.revive_queue;
        let point = entry.not_acked(broker);
        Some(Leaves { id, key, revive_queue, point, slot })
    }

    /// It is written.
    pub(super) fn left(&mut self, leaves: &Leaves) {
        if self.entries.get(leaves.slot).is_some_and(|entry| entry.id == leaves.id) {
            self.take_out(leaves.slot);
        }
    }

    /// Those of a topic or a group that is gone.
    pub(crate) fn forget(&mut self, which: impl Fn(&Key) -> bool) {
        let gone: Vec<usize> = self
            .entries
            .iter()
            .filter(|(_, entry)| which(&entry.point.key))
            .map(|(slot, _)| slot)
            .collect();
        for slot in gone {
            self.take_out(slot);
        }
    }

    fn take_out(&mut self, slot: usize) -> Entry {
        let entry = self.entries.remove(slot);
        self.by_hash.remove(&entry.hash);
        self.by_time.remove(&(entry.leave_ms, slot));
        entry
    }
}

impl Point {
    /// Whether a receipt means it.
    fn is(&self, of: Of<'_>) -> bool {
        let Key { topic, group, queue_id } = &self.key;
        (&**topic, &**group, *queue_id) == (of.topic, of.group, of.queue_id)
            && (self.start_offset, self.pop_time_ms) == (of.start_offset, of.pop_time_ms)
    }

    /// Its record's body.
    pub(super) fn check_point(&self, broker: &str) -> CheckPoint {
        CheckPoint {
            broker: Some(broker.to_owned()),
            group: Some(self.key.group.to_string()),
            topic: Some(self.key.topic.to_string()),
            messages: i8::try_from(self.diffs.len()).expect("checked when it came"),
            diffs: self.diffs.to_vec(),
            invisible_ms: self.invisible_ms,
            pop_time_ms: self.pop_time_ms,
            queue_id: self.key.queue_id,
            start_offset: self.start_offset,
            ..CheckPoint::default()
        }
    }
}

impl Entry {
    /// Its checkpoint with the messages that are not acknowledged.
    fn not_acked(&self, broker: &str) -> CheckPoint {
        let mut point = self.point.check_point(broker);
        let mut place = 0;
        point.diffs.retain(|_| {
            place += 1;
            self.acked >> (place - 1) & 1 == 0
        });
        point.messages = i8::try_from(point.diffs.len()).expect("no more than there were");
        point
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    const OPTIONS: BufferOptions = BufferOptions {
        enabled: true,
        stay_ms: 10_000,
        early_ms: 3_000,
        points_max: 3,
        steps_max: 9,
    };
    const OWN: &str = "b";

    fn point(start_offset: i64, invisible_ms: i64) -> Point {
        let key = Key { topic: Rc::from("T"), group: Rc::from("g"), queue_id: 1 };
        Point {
            key,
            start_offset,
            pop_time_ms: 100_000,
            invisible_ms,
            revive_queue: 5,
            diffs: [0, 1, 4].into(),
        }
    }

    fn of(start_offset: i64) -> Of<'static> {
        Of {
            topic: "T",
            group: "g",
            queue_id: 1,
            start_offset,
            pop_time_ms: 100_000,
            broker: Some(OWN),
            revive_queue: 5,
            due_ms: 0,
        }
    }

    #[test]
    fn a_checkpoint_whose_messages_are_all_acknowledged_is_gone() {
        let mut buffer = Buffer::default();
        let id = buffer.add(point(10, 60_000), 100_000, &OPTIONS).unwrap();
        for (offset, acked) in [(10, Acked::Here), (10, Acked::Here), (12, Acked::Here)] {
            assert_eq!(buffer.ack(of(10), offset, OWN), acked);
        }
        assert_eq!(buffer.ack(of(10), 14, OWN), Acked::Here);
        let key = point(10, 0).key;
        assert_eq!(buffer.ack(of(10), 11, OWN), Acked::Done(key, id));
        assert_eq!(buffer.ack(of(10), 11, OWN), Acked::No);
        assert_eq!((buffer.len(), buffer.by_time.len(), buffer.by_hash.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_too_old_or_near_its_time_leaves_without_what_is_acknowledged() {
        let mut buffer = Buffer::default();
        buffer.add(point(10, 60_000), 100_000, &OPTIONS).unwrap();
        buffer.add(point(20, 8_000), 100_000, &OPTIONS).unwrap();
        assert_eq!(buffer.ack(of(10), 14, OWN), Acked::Here);
        assert_eq!(buffer.leaves(104_999, OWN), None);
        let near = buffer.leaves(105_000, OWN).unwrap();
        assert_eq!((near.point.start_offset, &*near.point.diffs), (20, &[0, 1, 4][..]));
        assert_eq!(buffer.leaves(105_000, OWN).unwrap(), near, "it was not written");
        assert_eq!(buffer.ack(of(20), 20, OWN), Acked::No, "it is being written");
        buffer.left(&near);
        assert_eq!(buffer.leaves(109_999, OWN), None);
        assert_eq!(buffer.ack(of(10), 10, OWN), Acked::Here, "it has not left");
        let old = buffer.leaves(110_000, OWN).unwrap();
        assert_eq!((old.point.diffs.as_slice(), old.revive_queue), (&[1][..], 5));
        assert_eq!((old.point.len(), old.point.start_offset), (1, 10));
        buffer.left(&old);
        buffer.left(&old);
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn what_is_not_for_long_is_written_at_once() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.add(point(10, 4_499), 100_000, &OPTIONS), None);
        let off = BufferOptions { enabled: false, ..OPTIONS };
        assert_eq!(buffer.add(point(10, 60_000), 100_000, &off), None);
        for start_offset in [10, 20, 30] {
            assert!(buffer.add(point(start_offset, 60_000), 100_000, &OPTIONS).is_some());
        }
        assert_eq!(buffer.add(point(40, 60_000), 100_000, &OPTIONS), None, "too many");
        assert_eq!(buffer.ack(Of { broker: None, ..of(10) }, 10, OWN), Acked::No);
        assert_eq!(buffer.ack(Of { group: "h", ..of(10) }, 10, OWN), Acked::No);
        buffer.forget(|key| &*key.topic == "T");
        assert_eq!(buffer.len(), 0);
        assert!(buffer.add(point(10, 60_000), 100_000, &OPTIONS).is_some());
        assert_eq!(buffer.add(point(10, 60_000), 100_000, &OPTIONS), None, "it is here already");
    }
}
