//! The timers of a shard that wait, in memory: by the slot they wait in, 12 bytes each.
//!
//! ```text
//!   slots:  1700000002000 ─► [ timer, timer, … ]      63     62      52   51  50           0
//!           1700000003000 ─► [ timer, … ]             | kind | after_ms | roll | at         |  + size (u32)
//!                                                       1      11         1      51 bits
//! ```
//!
//! A slot is what `TIMER_OUT_MS` names; `after_ms` is the exact time within it. A timer's bits are
//! its order: recalls first, then by time, then by place in the log. What is taken to be delivered
//! is kept until it is done, so that whoever asks what waits is told of it.
//!
//! Memory: a slot's list doubles as it grows, so 12 to 24 bytes a timer, and at most about 150 for
//! each of the (at most 604,740) slots that are not empty. Pure.

use crate::checked;
use engine::PhyOffset;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The longest time within a slot.
pub(super) const AFTER_MS_MAX: i64 = (1 << AFTER_BITS) - 1;
/// How far a log may reach for its timers: 2 PiB.
const AT_MAX: u64 = (1 << AT_BITS) - 1;
const AT_BITS: u32 = 51;
const ROLL_BITS: u32 = 1;
const AFTER_BITS: u32 = 11;
const _: () = assert!(AT_BITS + ROLL_BITS + AFTER_BITS + 1 == u64::BITS);
const _: () = assert!(size_of::<Packed>() == 12);

/// What a timer does when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its message is delivered.
    Message,
    /// Its message is too far away and stored once more.
    Roll,
    /// It recalls others of its slot, before any of them is delivered.
    Recall,
}

/// A timer that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    /// Its slot, in milliseconds since 1970.
    pub(crate) slot_ms: i64,
    /// When it is due, in milliseconds from there: 0 to [`AFTER_MS_MAX`].
    pub(crate) after_ms: i64,
    /// What it does.
    pub(crate) kind: Kind,
    /// Where its record lies …
    pub(crate) at: PhyOffset,
    /// … and how long it is.
    pub(crate) size: u32,
}

impl Timer {
    /// When it is due, in milliseconds since 1970.
    pub(crate) fn due_ms(&self) -> i64 {
        self.slot_ms.saturating_add(self.after_ms)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packed {
    high: u32,
    low: u32,
    size: u32,
}

impl Packed {
    /// A place beyond [`AT_MAX`] can't be: the log would be longer than any disk.
    fn of(timer: &Timer) -> Self {
        assert!(timer.at.0 <= AT_MAX, "the log reaches to {}", timer.at);
        let after: u64 = checked::to(timer.after_ms.clamp(0, AFTER_MS_MAX));
        let (waits, rolls) = match timer.kind {
            Kind::Recall => (0, 0),
            Kind::Message => (1, 0),
            Kind::Roll => (1, 1),
        };
        let bits = ((waits << AFTER_BITS | after) << ROLL_BITS | rolls) << AT_BITS | timer.at.0;
        let low = checked::to(bits & u64::from(u32::MAX));
        Self { high: checked::to(bits >> 32), low, size: timer.size }
    }

    fn timer(self, slot_ms: i64) -> Timer {
        let bits = u64::from(self.high) << 32 | u64::from(self.low);
        let (waits, rolls) = (bits >> 63, bits >> AT_BITS & 1);
        let kind = match (waits, rolls) {
            (0, _) => Kind::Recall,
            (_, 0) => Kind::Message,
            _ => Kind::Roll,
        };
        let after_ms = checked::to_i64(bits >> (AT_BITS + ROLL_BITS) & ((1 << AFTER_BITS) - 1));
        Timer { slot_ms, after_ms, kind, at: PhyOffset(bits & AT_MAX), size: self.size }
    }
}

/// The timers of one slot; the one due first is on top. Whoever takes a timer up asks for that, so
/// it has to cost nothing while a slot fills.
type Slot = BinaryHeap<Reverse<Packed>>;

/// Recalls are taken as soon as the slot begins: before whatever they recall.
fn first_due_ms_of(slot: &Slot, slot_ms: i64) -> Option<i64> {
    slot.peek().map(|Reverse(first)| match first.timer(slot_ms) {
        Timer { kind: Kind::Recall, .. } => slot_ms,
        timer => timer.due_ms(),
    })
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    slots: BTreeMap<i64, Slot>,
    waiting: usize,
    under_way: Vec<Timer>,
    /// By slot: recalls that were read. Whoever goes on needs them while messages of their slot
    /// wait.
    recalls: BTreeMap<i64, Vec<Timer>>,
}

impl Pending {
    /// How many wait, those under way too.
    pub(crate) fn len(&self) -> usize {
        self.waiting + self.under_way.len()
    }

    /// How many of them are messages, not what recalls others.
    pub(crate) fn messages(&self) -> usize {
        let bits = |timer: &&Reverse<Packed>| timer.0.high >> (u32::BITS - 1) == 1;
        let waiting = self.slots.values().map(|slot| slot.iter().filter(bits).count());
        let is_message = |timer: &&Timer| timer.kind != Kind::Recall;
        waiting.sum::<usize>() + self.under_way.iter().filter(is_message).count()
    }

    /// How many wait in this slot.
    pub(crate) fn in_slot(&self, slot_ms: i64) -> usize {
        self.slots.get(&slot_ms).map_or(0, Slot::len)
    }

    /// Whether its record has a timer in its slot already.
    pub(crate) fn has(&self, timer: &Timer) -> bool {
        let is_same = |packed: &Reverse<Packed>| packed.0.timer(timer.slot_ms).at == timer.at;
        self.slots.get(&timer.slot_ms).is_some_and(|slot| slot.iter().any(is_same))
    }

    /// Adds one.
    pub(crate) fn insert(&mut self, timer: &Timer) {
        self.slots.entry(timer.slot_ms).or_default().push(Reverse(Packed::of(timer)));
        self.waiting += 1;
    }

    /// When the next is due, in milliseconds since 1970.
    pub(crate) fn first_due_ms(&self) -> Option<i64> {
        let (slot_ms, slot) = self.slots.first_key_value()?;
        first_due_ms_of(slot, *slot_ms)
    }

    /// The first slot that is not done.
    pub(crate) fn first_slot_ms(&self) -> Option<i64> {
        let under_way = self.under_way.iter().map(|timer| timer.slot_ms).min();
        let waits = self.slots.keys().next().copied();
        under_way.into_iter().chain(waits).min()
    }

    /// Takes what is due into `taken`, at most `max`, earliest first; of timers that point to the
    /// same record one. They are under way until [`Pending::put_back`].
    pub(crate) fn take_due(&mut self, now_ms: i64, max: usize, taken: &mut Vec<Timer>) {
        taken.clear();
        while taken.len() < max {
            let Some(mut entry) = self.slots.first_entry() else { break };
            let slot_ms = *entry.key();
            let slot = entry.get_mut();
            if first_due_ms_of(slot, slot_ms).is_none_or(|due_ms| due_ms > now_ms) {
                break;
            }
            if let Some(Reverse(packed)) = slot.pop() {
                self.waiting -= 1;
                let timer = packed.timer(slot_ms);
                let is_same = |other: &Timer| other.at == timer.at && other.slot_ms == slot_ms;
                if !taken.iter().any(is_same) {
                    taken.push(timer);
                }
            }
            if slot.is_empty() {
                entry.remove();
            }
        }
        self.under_way.extend_from_slice(taken);
    }

    /// These of what is under way wait again; the others are done.
    pub(crate) fn put_back(&mut self, again: &[Timer]) {
        for timer in self.under_way.drain(..) {
            if timer.kind == Kind::Recall && !again.contains(&timer) {
                self.recalls.entry(timer.slot_ms).or_default().push(timer);
            }
        }
        again.iter().for_each(|timer| self.insert(timer));
    }

    /// Recalls of slots before this are needed no more.
    pub(crate) fn forget_recalls(&mut self, before_ms: i64) {
        self.recalls = self.recalls.split_off(&before_ms);
    }

    /// All that wait, and the recalls of slots from `done_ms` on that were read, in the order of
    /// the log.
    pub(crate) fn all(&self, done_ms: i64) -> Vec<Timer> {
        let mut all = Vec::with_capacity(self.len());
        all.extend_from_slice(&self.under_way);
        all.extend(self.recalls.range(done_ms..).flat_map(|(_, recalls)| recalls));
        for (slot_ms, slot) in &self.slots {
            all.extend(slot.iter().map(|packed| packed.0.timer(*slot_ms)));
        }
        all.sort_unstable_by_key(|timer| timer.at);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(slot_ms: i64, after_ms: i64, kind: Kind, at: u64) -> Timer {
        Timer { slot_ms, after_ms, kind, at: PhyOffset(at), size: 77 }
    }

    fn take(pending: &mut Pending, now_ms: i64) -> Vec<u64> {
        let mut taken = vec![];
        pending.take_due(now_ms, 100, &mut taken);
        taken.iter().map(|timer| timer.at.0).collect()
    }

    #[test]
    fn a_timer_is_what_was_packed() {
        for kind in [Kind::Message, Kind::Roll, Kind::Recall] {
            for (after_ms, at) in [(0, 0), (1, AT_MAX), (AFTER_MS_MAX, 1 << 33), (1_000, 5)] {
                let timer = timer(-3_000, after_ms, kind, at);
                assert_eq!(Packed::of(&timer).timer(-3_000), timer);
            }
        }
    }

    /// Hours, if asking put the slot in order.
    #[test]
    fn a_slot_of_a_million_timers_is_asked_for_its_first_after_each() {
        let mut pending = Pending::default();
        for at in 0..1_000_000_u64 {
            let after_ms = i64::try_from(at * 7_919 % 1_000).unwrap();
            pending.insert(&timer(0, after_ms, Kind::Message, at));
            assert_eq!(pending.first_due_ms(), Some(0));
        }
        let mut taken = vec![];
        pending.take_due(0, 3, &mut taken);
        let places: Vec<u64> = taken.iter().map(|timer| timer.at.0).collect();
        assert_eq!(places, [0, 1_000, 2_000]);
        pending.insert(&timer(0, 0, Kind::Message, 5_500));
        pending.insert(&timer(0, 0, Kind::Recall, 5_501));
        assert_eq!(take(&mut pending, 0)[..4], [5_501, 3_000, 4_000, 5_000]);
    }

    #[test]
    fn timers_come_when_they_are_due_and_in_that_order() {
        let mut pending = Pending::default();
        assert_eq!((pending.first_due_ms(), pending.first_slot_ms()), (None, None));
        for (slot, after, at) in [(5_000, 700, 1), (3_000, 900, 2), (5_000, 200, 3), (3_000, 1, 4)]
        {
            pending.insert(&timer(slot, after, Kind::Message, at));
        }
        assert_eq!((pending.len(), pending.in_slot(5_000), pending.in_slot(4_000)), (4, 2, 0));
        assert_eq!(pending.first_due_ms(), Some(3_001));
        assert!(take(&mut pending, 3_000).is_empty());
        assert_eq!(take(&mut pending, 5_300), [4, 2, 3]);
        assert_eq!((pending.len(), pending.first_slot_ms()), (4, Some(3_000)), "under way");
        let again = timer(5_000, 200, Kind::Message, 3);
        pending.put_back(&[again]);
        assert_eq!((pending.len(), pending.first_slot_ms()), (2, Some(5_000)));
        assert_eq!(take(&mut pending, 9_000), [3, 1]);
        pending.put_back(&[]);
        assert_eq!((pending.len(), pending.first_slot_ms()), (0, None));
    }

    #[test]
    fn recalls_come_when_their_slot_begins_before_what_they_recall() {
        let mut pending = Pending::default();
        pending.insert(&timer(3_000, 1, Kind::Message, 1));
        pending.insert(&timer(3_000, 900, Kind::Recall, 2));
        pending.insert(&timer(3_000, 0, Kind::Roll, 3));
        assert_eq!(pending.first_due_ms(), Some(3_000));
        assert_eq!(take(&mut pending, 3_001), [2, 3, 1]);
    }

    #[test]
    fn a_recall_that_was_read_is_told_while_its_slot_lasts() {
        let mut pending = Pending::default();
        pending.insert(&timer(3_000, 900, Kind::Message, 1));
        pending.insert(&timer(3_000, 1, Kind::Recall, 2));
        assert_eq!(take(&mut pending, 3_100), [2]);
        pending.put_back(&[]);
        assert_eq!((pending.len(), pending.all(3_000).len(), pending.all(3_001).len()), (1, 2, 1));
        pending.forget_recalls(3_000);
        assert_eq!(pending.all(0).len(), 2);
        pending.forget_recalls(3_001);
        assert_eq!(pending.all(0).len(), 1);
    }

    #[test]
    fn a_record_that_is_there_twice_is_taken_once() {
        let mut pending = Pending::default();
        pending.insert(&timer(3_000, 5, Kind::Message, 1));
        pending.insert(&timer(3_000, 1_000, Kind::Message, 1));
        pending.insert(&timer(3_000, 6, Kind::Message, 2));
        let has = |slot_ms, at| pending.has(&timer(slot_ms, 7, Kind::Message, at));
        assert_eq!([has(3_000, 2), has(3_000, 3), has(4_000, 2)], [true, false, false]);
        assert_eq!(take(&mut pending, 9_000), [1, 2]);
    }

    #[test]
    fn all_are_told_in_the_order_of_the_log() {
        let mut pending = Pending::default();
        for (slot, at) in [(9_000, 30), (2_000, 20), (9_000, 10)] {
            pending.insert(&timer(slot, 1, Kind::Message, at));
        }
        assert_eq!(take(&mut pending, 3_000), [20]);
        let all: Vec<u64> = pending.all(0).iter().map(|timer| timer.at.0).collect();
        assert_eq!(all, [10, 20, 30]);
    }

    #[test]
    fn a_million_timers_over_an_hour_need_less_than_25_bytes_each() {
        let mut pending = Pending::default();
        for nth in 0..1_000_000_u32 {
            let slot = i64::from(nth % 3_600) * 1_000;
            pending.insert(&timer(slot, 500, Kind::Message, u64::from(nth) * 300));
        }
        let bytes: usize = pending
            .slots
            .values()
            .map(|slot| slot.capacity() * size_of::<Packed>() + size_of::<(i64, Slot)>())
            .sum();
        println!("{} bytes of lists for 1,000,000 timers", bytes);
        assert!(bytes < 25_000_000, "{bytes}");
    }
}
