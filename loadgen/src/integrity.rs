//! Checks that every acknowledged message is there once, unchanged, at its acknowledged place and
//! in order.
//!
//! A rate without this check is not a result. It keeps one 8-byte word for each message, indexed by
//! the generator's message id:
//!
//! ```text
//!  63    62..48     47..0
//!  |seen| queue + 1 | queue offset |      queue + 1 = 0: not acknowledged
//! ```
//!
//! The consuming side looks each message up: a message seen twice is a duplicate; one acknowledged
//! and never seen is lost; one seen elsewhere than acknowledged is misplaced. The stamps show the
//! order (see `payload`).

use crate::payload::{Damage, Stamp};
use protocol::checked::fit;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

const SEEN: u64 = 1 << 63;
const QUEUE_SHIFT: u32 = 48;
const OFFSET_MASK: u64 = (1 << QUEUE_SHIFT) - 1;
const CHUNK: usize = 1 << 16;

/// Where the messages of one generator were acknowledged. It grows by chunks, so that nothing is
/// moved during a run, up to a largest number of messages.
#[derive(Debug)]
pub struct AckTable {
    messages_max: u64,
    chunks: Vec<Box<[u64]>>,
    acknowledged: u64,
    unplaced: u64,
    /// One past the highest offset acknowledged in each queue.
    ends: Vec<u64>,
}

impl AckTable {
    /// A table that keeps the places of messages below `messages_max`, and counts the others.
    #[must_use]
    pub fn with_max(messages_max: u64) -> Self {
        Self { messages_max, chunks: Vec::new(), acknowledged: 0, unplaced: 0, ends: Vec::new() }
    }

    /// The message was acknowledged at this place.
    pub fn acknowledge(&mut self, message_id: u64, queue: u32, queue_offset: u64) {
        self.acknowledged += 1;
        self.raise_end(queue, queue_offset + 1);
        if message_id >= self.messages_max {
            self.unplaced += 1;
            return;
        }
        let place = ((u64::from(queue) + 1) << QUEUE_SHIFT) | (queue_offset & OFFSET_MASK);
        let word = self.word_mut(message_id);
        *word = (*word & SEEN) | (place & !SEEN);
    }

    fn raise_end(&mut self, queue: u32, end: u64) {
        let queue: usize = fit(queue);
        if self.ends.len() <= queue {
            self.ends.resize(queue + 1, 0);
        }
        self.ends[queue] = self.ends[queue].max(end);
    }

    /// Messages that the table has memory for by now.
    #[must_use]
    pub fn room_used(&self) -> u64 {
        fit(self.chunks.len() * CHUNK)
    }

    /// Messages acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Raises `ends[queue]` to one past the highest offset acknowledged in each queue.
    pub fn raise_ends(&self, ends: &mut [u64]) {
        for (end, mine) in ends.iter_mut().zip(&self.ends) {
            *end = (*end).max(*mine);
        }
    }

    fn word_mut(&mut self, message_id: u64) -> &mut u64 {
        let index: usize = fit(message_id);
        while self.chunks.len() <= index / CHUNK {
            self.chunks.push(vec![0; CHUNK].into_boxed_slice());
        }
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    fn covers(&self, message_id: u64) -> bool {
        message_id < self.messages_max
            && usize::try_from(message_id).is_ok_and(|id| id / CHUNK < self.chunks.len())
    }
}

/// The findings of the consuming side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IntegrityReport {
    /// Messages acknowledged to the senders.
    pub acknowledged: u64,
    /// Messages of this run read back.
    pub consumed: u64,
    /// Of those, beyond the room for places: if read back, checked for damage and order only.
    pub unplaced: u64,
    /// Acknowledged, but not read back.
    pub lost: u64,
    /// Read back more than once.
    pub duplicated: u64,
    /// Read back behind a message that was sent after this one had been acknowledged, in the same
    /// queue.
    pub reordered: u64,
    /// With this program's magic, but changed.
    pub corrupt: u64,
    /// Acknowledged at another queue or offset than where it was read.
    pub misplaced: u64,
    /// Queue offsets that do not follow the one before.
    pub gaps: u64,
    /// Stored although the send failed or timed out, which is allowed: the sender could not know.
    pub unacknowledged: u64,
    /// Messages that are not of this run (an old topic): not judged.
    pub foreign: u64,
    /// Why reading ended before all was read, if it did.
    pub incomplete: Option<String>,
}

impl IntegrityReport {
    /// Whether every acknowledged message was there once, unchanged, in place and in order.
    #[must_use]
    pub fn holds(&self) -> bool {
        let faults = self.lost
            + self.duplicated
            + self.reordered
            + self.corrupt
            + self.misplaced
            + self.gaps;
        faults == 0 && self.incomplete.is_none()
    }

    /// One line for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        if self.holds() {
            let unplaced = match self.unplaced {
                0 => String::new(),
                count => format!(
                    "; {count} more acknowledged ones, beyond the room for their places, were \
                     checked for damage and order only"
                ),
            };
            return format!(
                "every one of the {} acknowledged messages was read back once, unchanged, in \
                    place and in order ({} more were stored without an acknowledgement{unplaced})",
                self.acknowledged - self.unplaced,
                self.unacknowledged
            );
        }
        let end = self
            .incomplete
            .as_deref()
            .map(|why| format!("; reading ended early: {why}"))
            .unwrap_or_default();
        format!(
            "of {} acknowledged messages {} were lost, {} duplicated, {} reordered, {} corrupt, \
                {} misplaced; {} gaps in queue offsets{end}",
            self.acknowledged,
            self.lost,
            self.duplicated,
            self.reordered,
            self.corrupt,
            self.misplaced,
            self.gaps
        )
    }
}

/// Judges what is read back. Feed it every message in the order of each queue, then
/// [`Checker::finish`].
#[derive(Debug)]
pub struct Checker {
    run_id: u64,
    tables: Vec<AckTable>,
    /// The greatest `settled_below` seen per (queue, generator, sender).
    settled: HashMap<(u32, u32, u32), u64>,
    next_offset: HashMap<u32, u64>,
    report: IntegrityReport,
}

impl Checker {
    /// A checker for the acknowledgements of all generators, in their order.
    #[must_use]
    pub fn new(run_id: u64, tables: Vec<AckTable>) -> Self {
        let acknowledged = tables.iter().map(AckTable::acknowledged).sum();
        let unplaced = tables.iter().map(|table| table.unplaced).sum();
        let report = IntegrityReport { acknowledged, unplaced, ..IntegrityReport::default() };
        Self { run_id, tables, settled: HashMap::new(), next_offset: HashMap::new(), report }
    }

    /// A message was read from `queue` at `queue_offset`.
    pub fn observe(&mut self, queue: u32, queue_offset: u64, payload: Result<Stamp, Damage>) {
        let expected = self.next_offset.insert(queue, queue_offset + 1);
        if expected.is_some_and(|expected| expected != queue_offset) {
            self.report.gaps += 1;
        }
        match payload {
            Ok(stamp) if stamp.run_id == self.run_id => {
                self.observe_ours(queue, queue_offset, &stamp)
            }
            Ok(_) | Err(Damage::Foreign) => self.report.foreign += 1,
            Err(Damage::Corrupt) => self.report.corrupt += 1,
        }
    }

    fn observe_ours(&mut self, queue: u32, queue_offset: u64, stamp: &Stamp) {
        self.report.consumed += 1;
        let generator = stamp.generator as usize;
        let Some(table) = self.tables.get_mut(generator) else {
            self.report.corrupt += 1;
            return;
        };
        if table.covers(stamp.message_id) {
            self.observe_place(queue, queue_offset, stamp);
        } else if stamp.message_id < table.messages_max {
            self.report.unacknowledged += 1;
        }
        let settled = self.settled.entry((queue, stamp.generator, stamp.sender)).or_default();
        if stamp.sender_seq < *settled {
            self.report.reordered += 1;
        }
        *settled = stamp.settled_below.max(*settled);
    }

    fn observe_place(&mut self, queue: u32, queue_offset: u64, stamp: &Stamp) {
        let Some(table) = self.tables.get_mut(stamp.generator as usize) else { return };
        let word = table.word_mut(stamp.message_id);
        let acknowledged_at = *word & !SEEN;
        if *word & SEEN != 0 {
            self.report.duplicated += 1;
        } else if acknowledged_at == 0 {
            self.report.unacknowledged += 1;
        } else if acknowledged_at
            != ((u64::from(queue) + 1) << QUEUE_SHIFT) | (queue_offset & OFFSET_MASK)
        {
            self.report.misplaced += 1;
        }
        *word |= SEEN;
    }

    /// Messages of this run read so far.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.report.consumed
    }

    /// The verdict. `incomplete` says why not everything could be read.
    #[must_use]
    pub fn finish(mut self, incomplete: Option<String>) -> IntegrityReport {
        let words = self.tables.iter().flat_map(|table| &table.chunks).flatten();
        let lost = words.filter(|&&word| word != 0 && word & SEEN == 0).count();
        self.report.lost = fit(lost);
        self.report.incomplete = incomplete;
        self.report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: u64 = 42;

    fn stamp(id: u64, settled_below: u64) -> Stamp {
        Stamp {
            run_id: RUN,
            message_id: id,
            sender: 0,
            generator: 0,
            sender_seq: id,
            settled_below,
            due_nanos: 0,
        }
    }

    /// Ten messages of one sender, one in flight, acknowledged at offsets 0..10 of queue 2.
    fn ten_acknowledged() -> Checker {
        let mut table = AckTable::with_max(u64::MAX);
        (0..10).for_each(|id| table.acknowledge(id, 2, id));
        Checker::new(RUN, vec![table])
    }

    fn observe_all(checker: &mut Checker, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| checker.observe(2, id, Ok(stamp(id, id))));
    }

    #[test]
    fn all_there_once_in_order_holds() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..10);
        let report = checker.finish(None);
        assert!(report.holds(), "{report:?}");
        assert_eq!((report.consumed, report.acknowledged), (10, 10));
    }

    #[test]
    fn a_lost_message_is_found() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..9);
        let report = checker.finish(None);
        assert_eq!(report.lost, 1);
        assert!(!report.holds());
    }

    #[test]
    fn a_duplicate_is_found() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..10);
        checker.observe(2, 10, Ok(stamp(9, 9)));
        assert_eq!(checker.finish(None).duplicated, 1);
    }

    #[test]
    fn a_message_behind_one_sent_after_its_acknowledgement_is_reordered() {
        let mut table = AckTable::with_max(u64::MAX);
        (0..3).for_each(|id| table.acknowledge(id, 0, [1, 0, 2][usize::try_from(id).unwrap()]));
        let mut checker = Checker::new(RUN, vec![table]);
        checker.observe(0, 0, Ok(stamp(1, 1)));
        checker.observe(0, 1, Ok(stamp(0, 0)));
        checker.observe(0, 2, Ok(stamp(2, 2)));
        assert_eq!(checker.finish(None).reordered, 1);
    }

    #[test]
    fn messages_in_flight_together_may_swap() {
        let mut table = AckTable::with_max(u64::MAX);
        table.acknowledge(0, 0, 1);
        table.acknowledge(1, 0, 0);
        let mut checker = Checker::new(RUN, vec![table]);
        checker.observe(0, 0, Ok(stamp(1, 0)));
        checker.observe(0, 1, Ok(stamp(0, 0)));
        let report = checker.finish(None);
        assert!(report.holds(), "{report:?}");
    }

    #[test]
    fn damage_misplacement_and_gaps_are_found() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..8);
        checker.observe(2, 8, Err(Damage::Corrupt));
        checker.observe(2, 10, Ok(stamp(9, 9)));
        let report = checker.finish(None);
        assert_eq!((report.corrupt, report.lost, report.misplaced, report.gaps), (1, 1, 1, 1));
    }

    #[test]
    fn other_runs_and_unacknowledged_messages_are_no_fault() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..10);
        checker.observe(2, 10, Ok(Stamp { run_id: 1, ..stamp(3, 0) }));
        checker.observe(2, 11, Err(Damage::Foreign));
        checker.observe(2, 12, Ok(stamp(10, 10)));
        let report = checker.finish(None);
        assert!(report.holds(), "{report:?}");
        assert_eq!((report.foreign, report.unacknowledged), (2, 1));
    }

    #[test]
    fn ends_are_one_past_the_highest_acknowledged_offset() {
        let mut table = AckTable::with_max(u64::MAX);
        table.acknowledge(70_000, 1, 5);
        table.acknowledge(3, 1, 9);
        let mut ends = [2, 2];
        table.raise_ends(&mut ends);
        assert_eq!(ends, [2, 10]);
    }

    #[test]
    fn places_beyond_the_room_are_counted_and_cost_no_memory() {
        let mut table = AckTable::with_max(8);
        (0..1_000_000).for_each(|id| table.acknowledge(id, 2, id));
        assert_eq!(table.room_used(), fit::<u64, _>(CHUNK));
        let mut ends = [0; 3];
        table.raise_ends(&mut ends);
        assert_eq!(ends, [0, 0, 1_000_000], "all are read back");
        let mut checker = Checker::new(RUN, vec![table]);
        observe_all(&mut checker, 0..20);
        let report = checker.finish(None);
        assert!(report.holds(), "{report:?}");
        assert_eq!((report.consumed, report.unplaced), (20, 999_992));
        assert!(report.sentence().starts_with("every one of the 8 "), "{}", report.sentence());
    }

    #[test]
    fn messages_beyond_the_room_are_still_checked_for_order() {
        let mut table = AckTable::with_max(0);
        (0..3).for_each(|id| table.acknowledge(id, 2, id));
        let mut checker = Checker::new(RUN, vec![table]);
        observe_all(&mut checker, [0, 2, 1]);
        assert_eq!(checker.finish(None).reordered, 1);
    }

    #[test]
    fn an_unread_rest_does_not_hold() {
        let mut checker = ten_acknowledged();
        observe_all(&mut checker, 0..10);
        assert!(!checker.finish(Some("pull answered code 1".into())).holds());
    }
}
