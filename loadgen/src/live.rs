//! The counters that a running generator shows. It writes them a few times a second; the display's
//! thread reads them.

use crate::recorder::Recorder;
use crate::row::{QUANTILES, Quantile};
use std::sync::atomic::{AtomicU64, Ordering};

/// Live counters of one generator (or consumer).
#[derive(Debug, Default)]
pub(crate) struct Live {
    done: AtomicU64,
    stored: AtomicU64,
    errors: AtomicU64,
    refused: AtomicU64,
    p50_nanos: AtomicU64,
    p99_nanos: AtomicU64,
    sum_nanos: AtomicU64,
    measured: AtomicU64,
    max_nanos: AtomicU64,
}

/// A reading of [`Live`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Messages done in the measured window.
    pub done: u64,
    /// Messages acknowledged since the load began, in the warm-up too.
    pub stored: u64,
    /// Failures of all kinds.
    pub errors: u64,
    /// Of those, answers with an error.
    pub refused: u64,
    /// Response-time median of the last full bucket, ns; 0: too few values.
    pub p50_nanos: u64,
    /// Response-time p99 of the last full bucket, ns; 0: too few values.
    pub p99_nanos: u64,
    /// Sum of all response times, ns.
    pub sum_nanos: u64,
    /// Messages whose times are in that sum.
    pub measured: u64,
    /// Largest so far, ns.
    pub max_nanos: u64,
}

impl Live {
    /// Shows a recorder's counters; `at_nanos` counts from the window's start.
    pub(crate) fn publish(&self, recorder: &Recorder, at_nanos: u64) {
        self.done.store(recorder.answered_in_window, Ordering::Relaxed);
        self.errors.store(recorder.error_count(), Ordering::Relaxed);
        self.sum_nanos.store(recorder.response_sum_nanos, Ordering::Relaxed);
        self.measured.store(recorder.acknowledged, Ordering::Relaxed);
        self.refused.store(recorder.refused, Ordering::Relaxed);
        if let Some(bucket) =
            recorder.buckets.finished_before(at_nanos).filter(|bucket| !bucket.is_empty())
        {
            let shown = |quantile: &Quantile| {
                let enough = bucket.len() >= quantile.samples_min;
                if enough { bucket.value_at_quantile(quantile.share) } else { 0 }
            };
            self.p50_nanos.store(shown(&QUANTILES[0]), Ordering::Relaxed);
            self.p99_nanos.store(shown(&QUANTILES[2]), Ordering::Relaxed);
            self.max_nanos.fetch_max(bucket.max(), Ordering::Relaxed);
        }
    }

    /// Shows how many messages were acknowledged; more often than the rest, as a backlog is counted
    /// from it.
    pub(crate) fn set_stored(&self, stored: u64) {
        self.stored.store(stored, Ordering::Relaxed);
    }

    /// Shows a count alone (the consumer).
    pub(crate) fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// The present counters.
    #[must_use]
    pub(crate) fn read(&self) -> Reading {
        let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Reading {
            done: get(&self.done),
            stored: get(&self.stored),
            errors: get(&self.errors),
            refused: get(&self.refused),
            p50_nanos: get(&self.p50_nanos),
            p99_nanos: get(&self.p99_nanos),
            sum_nanos: get(&self.sum_nanos),
            measured: get(&self.measured),
            max_nanos: get(&self.max_nanos),
        }
    }
}

/// When the measured window is, on the run's clock. Generators tell it when they start; consumers
/// that read meanwhile look it up.
#[derive(Debug)]
pub struct Measured {
    from_nanos: AtomicU64,
    to_nanos: AtomicU64,
}

impl Default for Measured {
    fn default() -> Self {
        Self { from_nanos: AtomicU64::new(u64::MAX), to_nanos: AtomicU64::new(0) }
    }
}

impl Measured {
    /// One generator's window; all of them together are the measured one.
    pub(crate) fn add(&self, from_nanos: u64, to_nanos: u64) {
        self.from_nanos.fetch_min(from_nanos, Ordering::Relaxed);
        self.to_nanos.fetch_max(to_nanos, Ordering::Relaxed);
    }

    /// Begin and end; `None` before the load has started.
    pub(crate) fn window(&self) -> Option<(u64, u64)> {
        let from = self.from_nanos.load(Ordering::Relaxed);
        let to = self.to_nanos.load(Ordering::Relaxed);
        (from < to).then_some((from, to))
    }
}
