//! The measurements of one generator thread in a phase: two histograms, never one number called
//! latency.
//!
//! *Response time* runs from when a message was due, *service time* from when it was sent. They
//! differ when the sender was late, which a closed-loop tool does not see. *Lag* is the difference,
//! and the generator's check of itself.
//!
//! Recorders of several threads are merged; percentiles are never averaged.

use crate::limits::{BUCKET_NANOS, BUCKETS_MAX, RECORDED_NANOS_MAX};
use crate::protocols::Protocol;
use crate::stages::StageTimes;
use hdrhistogram::Histogram;
use protocol::checked::{fit, nanos};
use std::collections::BTreeMap;
use std::time::Duration;

/// Histograms and counts of one phase.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Time from due to answer, ns.
    pub response: Histogram<u64>,
    /// Time from send to answer, ns.
    pub service: Histogram<u64>,
    /// Time from due to send, ns.
    pub lag: Histogram<u64>,
    /// Time spent in each stage, if answers tell it (native protocol).
    pub stages: Option<Box<StageTimes>>,
    /// Response times by when the message was due.
    pub buckets: Buckets,
    /// Times above [`RECORDED_NANOS_MAX`], recorded as that.
    pub overflows: u64,
    /// Answers that arrived inside the measured window; the rate counts these.
    pub answered_in_window: u64,
    /// Measured messages sent.
    pub sent: u64,
    /// Measured messages acknowledged.
    pub acknowledged: u64,
    /// Failures by kind.
    pub errors: BTreeMap<String, u64>,
    /// The broker's explanation of the first failure of each kind.
    pub remarks: BTreeMap<String, String>,
}

impl Recorder {
    /// An empty recorder for a measured window of `duration`.
    #[must_use]
    pub fn new(duration: Duration, protocol: Protocol) -> Self {
        Self {
            stages: (protocol == Protocol::Native).then(Box::default),
            response: fine(),
            service: fine(),
            lag: fine(),
            buckets: Buckets::new(duration),
            overflows: 0,
            answered_in_window: 0,
            sent: 0,
            acknowledged: 0,
            errors: BTreeMap::new(),
            remarks: BTreeMap::new(),
        }
    }

    /// Records an acknowledged message of the measured window. `due_in_window_nanos` counts from
    /// the window's start.
    pub fn answer(&mut self, due_in_window_nanos: u64, response_nanos: u64, service_nanos: u64) {
        if response_nanos > RECORDED_NANOS_MAX {
            self.overflows += 1;
        }
        self.response.saturating_record(response_nanos.max(1));
        self.service.saturating_record(service_nanos.max(1));
        self.buckets.record(due_in_window_nanos, response_nanos);
        self.acknowledged += 1;
    }

    /// Records a failure of the measured window.
    pub fn error(&mut self, what: &str) {
        // A lookup first: naming an error allocates only the first time it is seen.
        match self.errors.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(what.to_owned(), 1);
            }
        }
    }

    /// Failures of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds what another thread recorded in the same phase.
    pub fn merge(&mut self, other: &Self) {
        merge_into(&mut self.response, &other.response);
        merge_into(&mut self.service, &other.service);
        merge_into(&mut self.lag, &other.lag);
        if let (Some(mine), Some(theirs)) = (&mut self.stages, &other.stages) {
            mine.merge(theirs);
        }
        self.buckets.merge(&other.buckets);
        self.overflows += other.overflows;
        self.answered_in_window += other.answered_in_window;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        for (what, count) in &other.errors {
            *self.errors.entry(what.clone()).or_default() += count;
        }
        for (what, remark) in &other.remarks {
            self.remarks.entry(what.clone()).or_insert_with(|| remark.clone());
        }
    }
}

/// Response times over time, one small histogram per bucket so that buckets of several threads can
/// be merged.
#[derive(Clone, Debug)]
pub struct Buckets {
    /// Width of one bucket.
    pub width_nanos: u64,
    /// The buckets, made before the phase starts so that none is allocated in it.
    pub each: Vec<Histogram<u32>>,
}

impl Buckets {
    fn new(duration: Duration) -> Self {
        let duration_nanos = nanos(duration);
        let buckets_max = BUCKETS_MAX as u64;
        let width_nanos = BUCKET_NANOS.max(duration_nanos.div_ceil(buckets_max));
        let count = fit::<usize, _>(duration_nanos.div_ceil(width_nanos)).max(1);
        Self { width_nanos, each: vec![coarse(); count] }
    }

    fn index(&self, at_nanos: u64) -> usize {
        fit::<usize, _>(at_nanos / self.width_nanos).min(self.each.len() - 1)
    }

    fn record(&mut self, at_nanos: u64, value_nanos: u64) {
        let index = self.index(at_nanos);
        if let Some(bucket) = self.each.get_mut(index) {
            bucket.saturating_record(value_nanos.max(1));
        }
    }

    /// The last bucket that ended before `at_nanos`, for the live display.
    #[must_use]
    pub fn finished_before(&self, at_nanos: u64) -> Option<&Histogram<u32>> {
        self.each.get(self.index(at_nanos).checked_sub(1)?)
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.each.iter_mut().zip(&other.each) {
            if let Err(error) = mine.add(theirs) {
                unreachable!("bucket histograms have the same bounds: {error}");
            }
        }
    }
}

fn merge_into(mine: &mut Histogram<u64>, theirs: &Histogram<u64>) {
    if let Err(error) = mine.add(theirs) {
        unreachable!("histograms of a phase have the same bounds: {error}");
    }
}

/// 3 significant digits from 1 ns to [`RECORDED_NANOS_MAX`].
#[must_use]
pub fn fine() -> Histogram<u64> {
    Histogram::new_with_bounds(1, RECORDED_NANOS_MAX, 3)
        .unwrap_or_else(|error| unreachable!("constant bounds: {error}"))
}

fn coarse() -> Histogram<u32> {
    Histogram::new_with_bounds(1, RECORDED_NANOS_MAX, 2)
        .unwrap_or_else(|error| unreachable!("constant bounds: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_percentiles_are_those_of_all_values_not_a_mean() {
        let (mut fast, mut slow) = (
            Recorder::new(Duration::from_secs(1), Protocol::Remoting),
            Recorder::new(Duration::from_secs(1), Protocol::Remoting),
        );
        for _ in 0..9_900 {
            fast.answer(0, 1_000, 1_000);
        }
        for _ in 0..100 {
            slow.answer(0, 1_000_000, 1_000);
        }
        let mean_of_p99 =
            (fast.response.value_at_quantile(0.99) + slow.response.value_at_quantile(0.99)) / 2;
        fast.merge(&slow);
        assert_eq!(fast.acknowledged, 10_000);
        assert!(fast.response.value_at_quantile(0.99) < 1_010, "99 % of all were fast");
        assert!(fast.response.value_at_quantile(0.9901) > 990_000);
        assert!(mean_of_p99 > 400_000, "what averaging would have said");
        assert!(fast.service.max() < 1_010);
    }

    #[test]
    fn times_past_the_range_are_counted_not_lost() {
        let mut recorder = Recorder::new(Duration::from_secs(1), Protocol::Remoting);
        recorder.answer(0, RECORDED_NANOS_MAX * 2, 5);
        assert_eq!((recorder.overflows, recorder.response.len()), (1, 1));
        assert!(recorder.response.max() >= RECORDED_NANOS_MAX);
    }

    #[test]
    fn a_long_phase_has_wider_buckets_not_more() {
        let short = Recorder::new(Duration::from_secs(5), Protocol::Remoting);
        assert_eq!((short.buckets.width_nanos, short.buckets.each.len()), (BUCKET_NANOS, 50));
        let long = Recorder::new(Duration::from_secs(3600), Protocol::Remoting);
        assert_eq!(
            (long.buckets.width_nanos, long.buckets.each.len()),
            (6_000_000_000, BUCKETS_MAX)
        );
    }

    #[test]
    fn buckets_hold_what_was_due_in_them_and_errors_are_counted_by_name() {
        let mut recorder = Recorder::new(Duration::from_secs(1), Protocol::Remoting);
        recorder.answer(250_000_000, 5_000, 5_000);
        assert_eq!(recorder.buckets.each[2].len(), 1);
        assert_eq!(recorder.buckets.finished_before(300_000_000).unwrap().len(), 1);
        recorder.error("code 2");
        recorder.error("code 2");
        assert_eq!((recorder.errors["code 2"], recorder.error_count()), (2, 2));
    }
}
