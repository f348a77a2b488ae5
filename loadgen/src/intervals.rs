//! Response times of one interval after the other, for loads that last hours.
//!
//! ```text
//!   generator ── records ──► the present interval's histogram ── its end ──► a channel ──► the log
//! ```
//!
//! An answer belongs to the interval in which it came, so that an interval is done when its time
//! is over. A generator has one histogram at a time; what was handed over is the receiver's.

use crate::recorder::fine;
use hdrhistogram::Histogram;
use protocol::checked::nanos;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Asks the generators for intervals.
#[derive(Clone, Debug)]
pub struct IntervalsWish {
    /// Length of an interval.
    pub every: Duration,
    /// Where they go.
    pub to: Sender<IntervalPart>,
}

/// One generator's part of an interval.
#[derive(Debug)]
pub struct IntervalPart {
    /// Number of the interval, from 0.
    pub index: u64,
    /// Response times, ns.
    pub response: Histogram<u64>,
    /// Failures of all kinds in it.
    pub errors: u64,
}

/// What a generator has of the present interval.
#[derive(Debug)]
pub(crate) struct Intervals {
    every_nanos: u64,
    from_nanos: u64,
    last_index: u64,
    errors_before: u64,
    current: IntervalPart,
    to: Sender<IntervalPart>,
}

fn empty(index: u64) -> IntervalPart {
    IntervalPart { index, response: fine(), errors: 0 }
}

impl Intervals {
    /// The first interval of a window of `duration` that begins at `from_nanos`.
    #[must_use]
    pub(crate) fn begin(wish: &IntervalsWish, from_nanos: u64, duration: Duration) -> Self {
        let every_nanos = nanos(wish.every).max(1);
        // What is answered in the drain belongs to the last one.
        let last_index = nanos(duration).div_ceil(every_nanos).saturating_sub(1);
        let (current, to) = (empty(0), wish.to.clone());
        Self { every_nanos, from_nanos, last_index, errors_before: 0, current, to }
    }

    /// Records `count` answers that came at `now`.
    pub(crate) fn record(&mut self, now: u64, response_nanos: u64, count: u64) {
        if self.index(now) == self.current.index {
            self.current.response.saturating_record_n(response_nanos.max(1), count);
        } else {
            // Its errors are told with the next look at the clock.
            self.roll(now, self.errors_before);
            self.current.response.saturating_record_n(response_nanos.max(1), count);
        }
    }

    /// Hands over the interval if it has ended. `errors` are all so far.
    pub(crate) fn roll(&mut self, now: u64, errors: u64) {
        let index = self.index(now);
        if index > self.current.index {
            self.hand_over(errors, index);
        }
    }

    /// Hands over what there is.
    pub(crate) fn end(mut self, errors: u64) {
        self.hand_over(errors, self.last_index);
    }

    fn hand_over(&mut self, errors: u64, next: u64) {
        let mut done = std::mem::replace(&mut self.current, empty(next));
        done.errors = errors.saturating_sub(self.errors_before);
        self.errors_before = errors;
        // Nobody who reads them has ended the run already.
        let _nobody_reads = self.to.send(done);
    }

    fn index(&self, now: u64) -> u64 {
        (now.saturating_sub(self.from_nanos) / self.every_nanos).min(self.last_index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn an_answer_is_in_the_interval_in_which_it_came_and_none_is_lost() {
        let (to, each) = channel();
        let wish = IntervalsWish { every: Duration::from_nanos(100), to };
        let mut intervals = Intervals::begin(&wish, 1_000, Duration::from_nanos(300));
        for (now, errors) in [(1_010, 0), (1_099, 2), (1_100, 2), (1_250, 3), (9_999, 3)] {
            intervals.record(now, 5, 1);
            intervals.roll(now, errors);
        }
        intervals.end(4);
        let parts: Vec<(u64, u64)> =
            each.try_iter().map(|part| (part.index, part.response.len())).collect();
        assert_eq!(parts, [(0, 2), (1, 1), (2, 2)]);
    }

    #[test]
    fn an_interval_without_answers_is_left_out_and_errors_add_up() {
        let (to, each) = channel();
        let wish = IntervalsWish { every: Duration::from_nanos(10), to };
        let mut intervals = Intervals::begin(&wish, 0, Duration::from_nanos(100));
        intervals.roll(5, 3);
        intervals.roll(55, 7);
        intervals.end(9);
        let parts: Vec<(u64, u64)> =
            each.try_iter().map(|part| (part.index, part.errors)).collect();
        assert_eq!(parts, [(0, 7), (5, 2)]);
    }
}
