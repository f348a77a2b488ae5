//! What the broker did, second by second: rates for `mqadmin clusterList` and its like.
//!
//! One sample a second, of sums that only grow; a rate is the difference of two samples through the
//! time between them. Ten minutes are kept, as in Apache's `StoreStatsService`.

use crate::shard::Shard;
use netcore::Net;
use std::collections::VecDeque;

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
}

/// The samples of one shard.
#[derive(Debug)]
pub(crate) struct Statistics {
    booted_ms: i64,
    samples: VecDeque<Sample>,
}

impl Statistics {
    /// Of a shard that starts now, in milliseconds since 1970.
    pub(crate) fn new(booted_ms: i64) -> Self {
        Self { booted_ms, samples: VecDeque::new() }
    }

    /// When the shard started, in milliseconds since 1970.
    pub(crate) fn booted_ms(&self) -> i64 {
        self.booted_ms
    }

    fn push(&mut self, sample: Sample) {
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

/// The service: one more sample.
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let sample = now(shard);
    shard.statistics.push(sample);
}

/// The sums at this moment.
pub(crate) fn now(shard: &Shard) -> Sample {
    let (reads, counts) = (&shard.reads, shard.cx.store.write_counts());
    Sample {
        at_nanos: rt::Runtime::now_nanos(&shard.cx.core),
        put: counts.messages,
        found: reads.found,
        missed: reads.missed,
        transferred: reads.messages_out,
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
