//! What a slave does with a transfer: the own log once more is compared, what follows it is
//! appended.
//!
//! Pure: connections are the caller's, and so is the log.

use super::assembly::{Broken, Fed, Taken};
use super::compare::Different;
use super::following::{Following, Goal, Up};
use super::search::Search;

/// What a transfer came to.
pub(super) enum Took<E> {
    /// All of it was here already, and there is more to compare.
    Known,
    /// It was appended.
    Fed {
        /// As far as that went.
        fed: Fed<E>,
        /// Bytes that were not here.
        new_bytes: usize,
    },
    /// The comparison has ended, and the stream was not for following.
    Compared(Verdict),
    /// It can't be taken.
    Broken(Broken),
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All of it is the same.
    Same(Goal),
    /// It is not.
    Different {
        /// What the comparison was for.
        goal: Goal,
        /// Both logs have something from here on.
        begin: u64,
        /// Where they differ.
        different: Different,
    },
}

impl<C> Up<C> {
    /// Takes a transfer of `bytes` at `offset`.
    pub(super) fn take<E>(
        &mut self,
        offset: u64,
        bytes: &[u8],
        append: impl FnMut(u64, &[u8]) -> Taken<E>,
    ) -> Took<E> {
        let same = match self.compared(offset, bytes) {
            Ok(same) => same,
            Err(other) => return other,
        };
        if !self.compare.is_done() {
            return Took::Known;
        }
        if self.goal != Goal::Follow {
            return Took::Compared(Verdict::Same(self.goal));
        }
        let new = bytes.get(same..).unwrap_or_default();
        if new.is_empty() && !bytes.is_empty() {
            return Took::Known;
        }
        let fed = self.assembly.feed(offset + same as u64, new, append);
        Took::Fed { fed, new_bytes: new.len() }
    }

    /// What to tell the master, when there is something: this broker has kept its log up to `kept`.
    /// Nothing is told before all that is compared was the same.
    pub(super) fn report(&mut self, kept: u64, now_ms: i64, heartbeat_ms: i64) -> Option<u64> {
        let follows = self.compare.is_done() && self.goal == Goal::Follow;
        let kept = if follows { kept } else { self.reported };
        if kept <= self.reported && now_ms - self.told_ms <= heartbeat_ms {
            return None;
        }
        self.reported = self.reported.max(kept);
        self.told_ms = now_ms;
        Some(self.reported)
    }

    /// Compares what this log has already; how much of `bytes` that is.
    fn compared<E>(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, Took<E>> {
        if self.compare.is_done() {
            return Ok(0);
        }
        let expected = self.compare.next();
        if offset != expected {
            return Err(Took::Broken(Broken::Gap { found: offset, expected }));
        }
        let (goal, begin) = (self.goal, self.begin);
        let is_other = |different| Took::Compared(Verdict::Different { goal, begin, different });
        self.compare.take(bytes).map_err(is_other)
    }
}

impl<C> Following<C> {
    /// What follows from a comparison: where the log is to be cut before it joins anew.
    /// `file_bytes` are those of a log file.
    pub(super) fn learn(&mut self, verdict: Verdict, file_bytes: u64) -> Option<u64> {
        match (verdict, &mut self.search) {
            (Verdict::Same(Goal::Cut(to)), _) => return Some(to),
            (Verdict::Same(Goal::Try(record)), Some(search)) => search.tried(record, true),
            (Verdict::Different { goal: Goal::Try(record), .. }, Some(search)) => {
                search.tried(record, false);
            }
            (Verdict::Different { begin, different, .. }, _) => {
                tracing::warn!("{different}. Looking for where both logs part");
                self.search = Some(Search::new(begin, different.at, file_bytes));
            }
            (Verdict::Same(_), _) => {}
        }
        None
    }
}
