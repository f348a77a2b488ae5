//! The measurements of one generator thread in a phase: two histograms, never one number called
//! latency.
//!
//! *Response time* runs from when a message was due, *service time* from when it was sent. They
//! differ when the sender was late, which a closed-loop tool does not see. *Lag* is the difference,
//! and the generator's check of itself. A closed loop has no schedule: there both times run from
//! the send, and lag is how long the generator kept a free place empty.
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
    /// Open loop: time from due to send, ns. Closed loop: time from the answer that freed a place
    /// to the next send there.
    pub lag: Histogram<u64>,
    /// Time from due to read, ns, where consumers read meanwhile.
    pub end_to_end: Option<Box<Histogram<u64>>>,
    /// Time spent in each stage, if answers tell it (native protocol).
    pub stages: Option<Box<StageTimes>>,
    /// Response times by when the message was due.
    pub buckets: Buckets,
    /// Times above [`RECORDED_NANOS_MAX`], recorded as that.
    pub overflows: u64,
    /// Sum of the response times, ns: the live display's means come from it.
    pub response_sum_nanos: u64,
    /// Response times of the warm-up, by when the message was due. They only tell how fast the
    /// broker is without a backlog.
    pub warmup_buckets: Buckets,
    /// Answers that arrived inside the measured window; the rate counts these.
    pub answered_in_window: u64,
    /// Of the measured messages, those acknowledged before the window's end. Unlike the rate, it
    /// has no message of the warm-up in it.
    pub answered_in_time: u64,
    /// Measured messages sent: acknowledged, failed and unanswered ones add up to it.
    pub sent: u64,
    /// Measured messages acknowledged.
    pub acknowledged: u64,
    /// Measured messages answered with an error.
    pub failed: u64,
    /// Messages answered with an error, of the warm-up too: for the display.
    pub refused: u64,
    /// Measured messages that never had an answer: timed out, or their connection was lost.
    pub unanswered: u64,
    /// The failed and the unanswered ones by kind.
    pub errors: BTreeMap<String, u64>,
    /// The same of the warm-up.
    pub warmup_errors: BTreeMap<String, u64>,
    /// Answers that belong to no request, by kind: late, repeated or unreadable.
    pub strays: BTreeMap<String, u64>,
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
            end_to_end: None,
            buckets: Buckets::new(duration),
            overflows: 0,
            response_sum_nanos: 0,
            warmup_buckets: Buckets::new(Duration::ZERO),
            answered_in_window: 0,
            answered_in_time: 0,
            sent: 0,
            acknowledged: 0,
            failed: 0,
            refused: 0,
            unanswered: 0,
            errors: BTreeMap::new(),
            warmup_errors: BTreeMap::new(),
            strays: BTreeMap::new(),
            remarks: BTreeMap::new(),
        }
    }

    /// The same with a warm-up of this length before the window.
    #[must_use]
    pub fn with_warmup(self, warmup: Duration) -> Self {
        Self { warmup_buckets: Buckets::new(warmup), ..self }
    }

    /// Records acknowledged messages of the warm-up, due this long after its start.
    pub fn warmup_answer(&mut self, due_in_warmup_nanos: u64, response_nanos: u64, count: u64) {
        self.warmup_buckets.record(due_in_warmup_nanos, response_nanos, count);
    }

    /// Records an acknowledged message of the measured window. `due_in_window_nanos` counts from
    /// the window's start.
    pub fn answer(&mut self, due_in_window_nanos: u64, response_nanos: u64, service_nanos: u64) {
        self.answers(1, due_in_window_nanos, response_nanos, service_nanos);
    }

    /// Records `count` messages of one request: each has the request's times.
    pub fn answers(
        &mut self,
        count: u64,
        due_in_window_nanos: u64,
        response_nanos: u64,
        service_nanos: u64,
    ) {
        if response_nanos > RECORDED_NANOS_MAX {
            self.overflows += count;
        }
        self.response.saturating_record_n(response_nanos.max(1), count);
        self.service.saturating_record_n(service_nanos.max(1), count);
        self.response_sum_nanos += response_nanos * count;
        self.buckets.record(due_in_window_nanos, response_nanos, count);
        self.acknowledged += count;
    }

    /// Records messages of a request that was answered with an error.
    pub fn failed(&mut self, count: u64, measured: bool, what: &str) {
        self.failed += if measured { count } else { 0 };
        self.refused += count;
        self.error(count, measured, what);
    }

    /// Records messages of a request that will have no answer any more.
    pub fn no_answer(&mut self, count: u64, measured: bool, what: &str) {
        self.unanswered += if measured { count } else { 0 };
        self.error(count, measured, what);
    }

    /// Records an answer that belongs to no request.
    pub fn stray(&mut self, what: &str) {
        count_by_name(&mut self.strays, what, 1);
    }

    fn error(&mut self, count: u64, measured: bool, what: &str) {
        let errors = if measured { &mut self.errors } else { &mut self.warmup_errors };
        count_by_name(errors, what, count);
    }

    /// Failures of all kinds, of the warm-up too.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().chain(self.warmup_errors.values()).sum()
    }

    /// The response time of this broker when it has no backlog, ns: the smallest median of a slice
    /// of the load. A backlog that grows can't raise it.
    #[must_use]
    pub fn usual_response_nanos(&self) -> Option<u64> {
        let slices = self.warmup_buckets.each.iter().chain(&self.buckets.each);
        slices.filter(|slice| !slice.is_empty()).map(|slice| slice.value_at_quantile(0.5)).min()
    }

    /// Adds what another thread recorded in the same phase.
    pub fn merge(&mut self, other: &Self) {
        merge_into(&mut self.response, &other.response);
        merge_into(&mut self.service, &other.service);
        merge_into(&mut self.lag, &other.lag);
        if let (Some(mine), Some(theirs)) = (&mut self.stages, &other.stages) {
            mine.merge(theirs);
        }
        match (&mut self.end_to_end, &other.end_to_end) {
            (Some(mine), Some(theirs)) => merge_into(mine, theirs),
            (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
            (_, None) => {}
        }
        self.buckets.merge(&other.buckets);
        self.warmup_buckets.merge(&other.warmup_buckets);
        self.overflows += other.overflows;
        self.response_sum_nanos += other.response_sum_nanos;
        self.answered_in_window += other.answered_in_window;
        self.answered_in_time += other.answered_in_time;
        self.sent += other.sent;
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        merge_counts(&mut self.errors, &other.errors);
        merge_counts(&mut self.warmup_errors, &other.warmup_errors);
        merge_counts(&mut self.strays, &other.strays);
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

    fn record(&mut self, at_nanos: u64, value_nanos: u64, count: u64) {
        let index = self.index(at_nanos);
        if let Some(bucket) = self.each.get_mut(index) {
            bucket.saturating_record_n(value_nanos.max(1), fit(count));
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

fn count_by_name(counts: &mut BTreeMap<String, u64>, what: &str, times: u64) {
    // A lookup first: a name allocates only the first time it is seen.
    match counts.get_mut(what) {
        Some(count) => *count += times,
        None => {
            counts.insert(what.to_owned(), times);
        }
    }
}

fn merge_counts(mine: &mut BTreeMap<String, u64>, theirs: &BTreeMap<String, u64>) {
    for (what, count) in theirs {
        *mine.entry(what.clone()).or_default() += count;
    }
}

/// Adds another histogram of [`fine`].
pub(crate) fn merge_into(mine: &mut Histogram<u64>, theirs: &Histogram<u64>) {
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

/// 2 significant digits over the same range: for slices of time, of which there are many.
#[must_use]
pub(crate) fn coarse() -> Histogram<u32> {
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
    fn the_usual_response_time_is_the_one_before_a_backlog_grew() {
        let mut recorder = Recorder::new(Duration::from_secs(1), Protocol::Remoting)
            .with_warmup(Duration::from_secs(1));
        for slice in 0..10 {
            recorder.warmup_answer(slice * BUCKET_NANOS, 1_000_000 * (slice + 1), 1);
            recorder.answer(slice * BUCKET_NANOS, 1_000_000 * (slice + 11), 1_000_000);
        }
        let usual = recorder.usual_response_nanos().unwrap();
        assert!((990_000..1_010_000).contains(&usual), "{usual} ns");
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
        recorder.failed(2, true, "code 2");
        recorder.no_answer(1, true, "no answer");
        recorder.failed(1, false, "code 2");
        assert_eq!((recorder.errors["code 2"], recorder.warmup_errors["code 2"]), (2, 1));
        assert_eq!((recorder.failed, recorder.unanswered, recorder.error_count()), (2, 1, 4));
    }
}
