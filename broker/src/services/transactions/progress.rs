//! How far a start may skip the half and the op messages: the offsets of CID_RMQ_SYS_TRANS in
//! `consumerOffset.json`, as Apache keeps them.
//!
//! ```text
//!   frontier ─► snapshot(end of the log) ─► waits ── flushed(end) ─► table ─► file
//! ```
//!
//! **The file never runs ahead of the log.** What lies below the frontier has ended, or lives on in
//! a copy; a power cut must not take the end and leave the file. So a snapshot goes into the table
//! only once the log is flushed up to where it ended when the snapshot was made.
//!
//! An op message names half messages that were stored before it. So at any moment: the op messages
//! that are there name only half messages that are there. Once the frontier has passed these, no
//! start needs those. Pure.

use engine::PhyOffset;
use std::collections::VecDeque;

/// Moments that are remembered; more are thinned out.
const MARKS_MAX: usize = 64;

/// The first half and the first op message that a start reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frontier {
    pub(super) half: i64,
    pub(super) op: i64,
}

/// The ends of both queues at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) half: i64,
    pub(super) op: i64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Progress {
    marks: VecDeque<Ends>,
    /// Op messages between two marks, but for the newest.
    spacing: i64,
    now: Frontier,
    waits: Option<(PhyOffset, Frontier)>,
    /// What the table has.
    saved: Frontier,
}

impl Progress {
    /// A start read from here on.
    pub(super) fn begin(&mut self, saved: Frontier) {
        (self.now, self.saved) = (saved, saved);
    }

    /// Keeps what there is now until the log is flushed up to `log_end`, its end. A snapshot that
    /// waits already is kept, unless `is_last`.
    pub(super) fn snapshot(
        &mut self,
        half_frontier: i64,
        ends: Ends,
        log_end: PhyOffset,
        is_last: bool,
    ) {
        self.now.half = half_frontier.max(self.now.half);
        self.mark(ends);
        while let Some(passed) = self.marks.pop_front_if(|ends| ends.half <= self.now.half) {
            self.now.op = passed.op;
        }
        if self.now != self.saved && (self.waits.is_none() || is_last) {
            self.waits = Some((log_end, self.now));
        }
    }

    /// Remembers this moment. Moments that lie close to each other share a mark, so that their
    /// number stays small however long the frontier stays.
    fn mark(&mut self, ends: Ends) {
        if self.marks.is_empty() {
            self.spacing = 1;
        }
        let newest = self.marks.back().map_or(self.now.op, |newest| newest.op);
        if ends.op <= newest {
            return;
        }
        let before = self.marks.len().checked_sub(2).and_then(|nth| self.marks.get(nth));
        let before = before.map_or(self.now.op, |before| before.op);
        if newest - before < self.spacing {
            self.marks.pop_back();
        }
        self.marks.push_back(ends);
        if self.marks.len() == MARKS_MAX {
            self.spacing *= 2;
            let mut is_kept = false;
            self.marks.retain(|_| {
                is_kept = !is_kept;
                !is_kept
            });
        }
    }

    /// The log is flushed up to `upto`: what the table is to have, if that is news.
    pub(super) fn flushed(&mut self, upto: PhyOffset) -> Option<Frontier> {
        let (_, frontier) = self.waits.take_if(|(end, _)| *end <= upto)?;
        self.saved = frontier;
        Some(frontier)
    }

    /// What the table has to have.
    pub(super) fn saved(&self) -> Frontier {
        self.saved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_waits_until_what_it_counts_is_flushed() {
        let mut progress = Progress::default();
        progress.snapshot(3, Ends { half: 5, op: 2 }, PhyOffset(100), false);
        progress.snapshot(5, Ends { half: 5, op: 4 }, PhyOffset(200), false);
        assert_eq!(progress.flushed(PhyOffset(99)), None);
        let first = Frontier { half: 3, op: 0 };
        assert_eq!(progress.flushed(PhyOffset(150)), Some(first), "not what came later");
        assert_eq!(progress.flushed(PhyOffset(500)), None);
        progress.snapshot(5, Ends { half: 5, op: 4 }, PhyOffset(300), false);
        assert_eq!(progress.flushed(PhyOffset(300)), Some(Frontier { half: 5, op: 4 }));
        assert_eq!(progress.saved(), Frontier { half: 5, op: 4 });
    }

    #[test]
    fn op_messages_are_needed_as_long_as_what_they_may_name() {
        let mut progress = Progress::default();
        let mut op_at = |half, ends| {
            progress.snapshot(half, ends, PhyOffset(0), true);
            progress.now.op
        };
        assert_eq!(op_at(0, Ends { half: 10, op: 5 }), 0);
        assert_eq!(op_at(9, Ends { half: 20, op: 8 }), 0);
        assert_eq!(op_at(10, Ends { half: 30, op: 9 }), 5);
        assert_eq!(op_at(29, Ends { half: 40, op: 12 }), 8);
        assert_eq!(op_at(40, Ends { half: 40, op: 12 }), 12);
    }

    #[test]
    fn a_frontier_that_stays_costs_a_bounded_number_of_marks() {
        let mut progress = Progress::default();
        for nth in 1..10_000 {
            progress.snapshot(0, Ends { half: nth, op: nth }, PhyOffset(0), false);
        }
        assert!(progress.marks.len() <= MARKS_MAX);
        progress.snapshot(9_000, Ends { half: 10_000, op: 10_000 }, PhyOffset(0), true);
        assert!((4_000..=9_000).contains(&progress.now.op), "{:?}", progress.now);
    }
}
