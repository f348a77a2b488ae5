//! Messages that are stored and whose senders wait for a watermark: the store's (the table in
//! `engine`'s `watermarks`), and the slaves' ([`super::replicas`]).
//!
//! ```text
//!   rows:    | send | frame A | put | frame B |     in the order of the log
//!   placed:           a a a           b             the places of the frames' records, in that order
//! ```
//!
//! The first to be answered is always at the front. Two queues, so that a frame of many records is
//! kept without a list of its own. Pure; bounded in messages.

use super::replicas::Need;
use super::told::{OwnedTold, Then, Told};
use crate::limits::UNACKNOWLEDGED_MAX;
use engine::PhyOffset;
use protocol::native::Placed;
use std::collections::VecDeque;

/// A stored message, batch or frame that nobody has been told about.
#[derive(Debug)]
pub(crate) struct Row {
    /// Who is told.
    pub(crate) then: Then,
    /// Where the last record ends: the watermark has to pass it.
    pub(crate) end: PhyOffset,
    /// What else it waits for.
    pub(crate) need: Need,
    /// The store's watermark had not passed it when it was stored.
    pub(crate) waits_for_store: bool,
    /// What a client is told.
    pub(crate) told: OwnedTold,
}

impl Row {
    /// How many places belong to it.
    fn records(&self) -> usize {
        match self.told {
            OwnedTold::Frame(frame) => usize::try_from(frame.records).expect("a u32 fits a usize"),
            OwnedTold::One(..) | OwnedTold::Batch(..) | OwnedTold::Nothing => 0,
        }
    }
}

/// The unacknowledged messages of one shard.
#[derive(Debug, Default)]
pub(crate) struct Unacknowledged {
    rows: VecDeque<Row>,
    placed: VecDeque<Placed>,
}

impl Unacknowledged {
    /// Whether no more messages may be stored until some are answered.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= UNACKNOWLEDGED_MAX || self.placed.len() >= UNACKNOWLEDGED_MAX
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds what was stored last. `placed` has the places of a frame's records.
    pub(crate) fn push(
        &mut self,
        then: Then,
        (end, need, waits_for_store): (PhyOffset, Need, bool),
        told: Told<'_>,
        placed: &[Placed],
    ) {
        debug_assert!(
            self.rows.back().is_none_or(|last| last.end < end),
            "unacknowledged messages are in the order of the log"
        );
        if let Told::Frame(frame) = told {
            debug_assert_eq!(frame.records as usize, placed.len(), "a place for each record");
            self.placed.extend(placed);
        }
        self.rows.push_back(Row { then, end, need, waits_for_store, told: told.owned() });
    }

    /// The oldest, if `which` holds for it; the places of its records go into `placed`. It stays
    /// until [`Unacknowledged::pop`], so that nobody moves it.
    pub(crate) fn first_if(
        &mut self,
        which: impl Fn(&Row) -> bool,
        placed: &mut Vec<Placed>,
    ) -> Option<&Row> {
        let row = self.rows.front().filter(|row| which(row))?;
        if let records @ 1.. = row.records() {
            placed.clear();
            placed.extend(self.placed.drain(..records));
        }
        Some(row)
    }

    /// Drops the oldest, which has been told.
    pub(crate) fn pop(&mut self) {
        self.rows.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sends::slots::Slots;
    use crate::sends::told::Frame;

    fn push(rows: &mut Unacknowledged, end: u64, places: &[i64]) {
        let placed: Vec<Placed> = places
            .iter()
            .map(|offset| Placed { queue_offset: *offset, physical_offset: 0 })
            .collect();
        let records = u32::try_from(placed.len()).unwrap();
        let frame = Frame { records, store_timestamp_ms: 0, clock: None };
        let told = if places.is_empty() { Told::Nothing } else { Told::Frame(frame) };
        let then = Then::Wake(Slots::default().open(), 0);
        rows.push(then, (PhyOffset(end), Need::Nobody, true), told, &placed);
    }

    #[test]
    fn nobody_is_answered_before_the_watermark_has_passed_the_end_of_the_message() {
        let (mut rows, mut placed) = (Unacknowledged::default(), vec![]);
        push(&mut rows, 100, &[]);
        push(&mut rows, 200, &[]);
        let mut pop = |upto| {
            let end = rows.first_if(|row| row.end <= PhyOffset(upto), &mut placed)?.end;
            rows.pop();
            Some(end.0)
        };
        assert_eq!([99, 199, 199, 200].map(&mut pop), [None, Some(100), None, Some(200)]);
        assert!(rows.is_empty());
    }

    #[test]
    fn each_frame_gets_the_places_of_its_own_records() {
        let (mut rows, mut placed) = (Unacknowledged::default(), vec![]);
        push(&mut rows, 100, &[1, 2]);
        push(&mut rows, 150, &[]);
        push(&mut rows, 200, &[3]);
        let mut offsets = vec![];
        while let Some(row) = rows.first_if(|_| true, &mut placed) {
            let (end, records) = (row.end.0, row.records());
            let places = placed[..records.min(placed.len())].iter();
            offsets.push((end, places.map(|one| one.queue_offset).collect()));
            rows.pop();
        }
        assert_eq!(offsets, [(100, vec![1, 2]), (150, vec![]), (200, vec![3])]);
        assert!(rows.placed.is_empty());
    }
}
