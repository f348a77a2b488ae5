//! What services keep between their rounds. The services themselves are in files of their own.

use super::lite::state::LiteTopics;
use super::pop::state::Pops;
use super::replication::state::Replication;
use super::schedule::state::Schedule;
use super::timers::state::Timers;
use super::transactions::state::Transactions;
use crate::tables::rates::{Clock, Sums};
use std::collections::VecDeque;
use std::rc::Rc;

/// The state of one shard's services.
#[derive(Debug)]
pub(crate) struct Services {
    /// How far its tables are saved.
    pub(crate) saving: Saving,
    /// Its delayed messages.
    pub(crate) schedule: Schedule,
    /// Its timer messages.
    pub(crate) timers: Rc<Timers>,
    /// Its transactions.
    pub(crate) transactions: Transactions,
    /// What groups have popped.
    pub(crate) pops: Pops,
    /// Its lite topics.
    pub(crate) lite: LiteTopics,
    /// Its slaves.
    pub(crate) replication: Replication,
    /// What it did, second by second.
    pub(crate) statistics: Statistics,
}

impl Services {
    /// Of a shard that starts now, in milliseconds since 1970; so many pops of lite topics may
    /// wait.
    pub(crate) fn new(now_ms: i64, polls_max: usize) -> Self {
        Self {
            saving: Saving::new(now_ms),
            schedule: Schedule::default(),
            timers: Rc::default(),
            transactions: Transactions::default(),
            pops: Pops::default(),
            lite: LiteTopics::new(polls_max, now_ms),
            replication: Replication::default(),
            statistics: Statistics::new(now_ms),
        }
    }
}

/// How far the tables of a shard are saved.
#[derive(Debug)]
pub(crate) struct Saving {
    /// A task writes at this moment.
    pub(super) is_under_way: bool,
    /// Their folder is there, durably.
    pub(super) has_folder: bool,
    /// When the periodic files were taken last, in milliseconds since 1970.
    pub(super) periodic_ms: i64,
    /// Not before this time of the monotonic clock.
    pub(super) again_nanos: u64,
}

impl Saving {
    /// At the start of a shard.
    fn new(now_ms: i64) -> Self {
        Self { is_under_way: false, has_folder: false, periodic_ms: now_ms, again_nanos: 0 }
    }
}

/// Samples kept: one more than the longest rate looks back, in seconds.
const SAMPLES_MAX: usize = 601;

/// The sums at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Nanoseconds of the monotonic clock.
    pub(crate) at_nanos: u64,
    /// Messages stored.
    pub(crate) put: u64,
    /// Reads that found something.
    pub(crate) found: u64,
    /// Reads that found nothing.
    pub(crate) missed: u64,
    /// Messages handed out.
    pub(crate) transferred: u64,
    /// Timers taken up.
    pub(crate) timers_taken_up: u64,
    /// Timer messages delivered.
    pub(crate) timers_delivered: u64,
}

/// The samples of one shard.
#[derive(Debug)]
pub(crate) struct Statistics {
    booted_ms: i64,
    samples: VecDeque<Sample>,
    /// When the sums of [`crate::tables::rates`] are sampled.
    pub(crate) clock: Clock,
    /// Those of the whole broker.
    pub(crate) broker: Sums<3>,
}

impl Statistics {
    /// Of a shard that starts now, in milliseconds since 1970.
    fn new(booted_ms: i64) -> Self {
        Self {
            booted_ms,
            samples: VecDeque::new(),
            clock: Clock::default(),
            broker: Sums::default(),
        }
    }

    /// When the shard started, in milliseconds since 1970.
    pub(crate) fn booted_ms(&self) -> i64 {
        self.booted_ms
    }

    /// Adds the newest.
    pub(super) fn push(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// What `sum` grew by a second over the last 10, 60 and 600 seconds, or since the start where
    /// that is later. 0 without two samples.
    pub(crate) fn rates(&self, sum: impl Fn(&Sample) -> u64) -> [f64; 3] {
        [10, 60, 600].map(|seconds| self.rate(seconds, &sum))
    }

    fn rate(&self, seconds: usize, sum: &impl Fn(&Sample) -> u64) -> f64 {
        let Some(last) = self.samples.back() else { return 0.0 };
        let first = self.samples.len().saturating_sub(seconds + 1);
        let Some(first) = self.samples.get(first) else { return 0.0 };
        let nanos = last.at_nanos.saturating_sub(first.at_nanos);
        if nanos == 0 {
            return 0.0;
        }
        let grown = sum(last).saturating_sub(sum(first));
        grown as f64 * 1e9 / nanos as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_looks_back_as_far_as_it_says_and_no_further_than_the_start() {
        let mut statistics = Statistics::new(0);
        assert_eq!(statistics.rates(|sample| sample.put), [0.0; 3]);
        for second in 0..=700_u64 {
            // 100 a second, and 1,000 in the last ten.
            let put = 100 * second + second.saturating_sub(690) * 900;
            statistics.push(Sample { at_nanos: second * 1_000_000_000, put, ..Sample::default() });
            if second == 5 {
                assert_eq!(statistics.rates(|sample| sample.put), [100.0; 3]);
            }
        }
        assert_eq!(statistics.samples.len(), SAMPLES_MAX);
        let [ten, sixty, six_hundred] = statistics.rates(|sample| sample.put);
        assert_eq!((ten, sixty, six_hundred), (1_000.0, 250.0, 115.0));
    }
}
