//! The time that a send spends in each stage, as the native protocol's answers tell it.
//!
//! ```text
//!   due ──────────── written ───────── frame taken up ── appended ── flushed ── replicated ── answer queued ───────── answer read
//!    │ client queue   │ network + broker's loop │ append    │ flush wait │ replication wait │      network + broker's loop │
//!    └─ sent: lag ends here, service time begins                last stage ┘
//! ```
//!
//! The clocks of the two machines are never compared. The broker tells durations since it took up
//! the frame; the generator measures its own. The remaining time, before the frame was taken up and
//! between the last stage and the reading of the answer, is network and the broker's loop.
//!
//! The stages of a message add up to its response time, and without the lag to its service time. An
//! answer whose stages do not fit between written and read, or are not in order, is counted as a
//! fault and not split.

use crate::recorder::fine;
use crate::row::{Percentiles, count_f64};
use hdrhistogram::Histogram;
use protocol::native::Stages;
use serde::{Deserialize, Serialize};

/// How many stages there are.
pub(crate) const STAGES: usize = 5;

/// Their names, in the order in which a message passes them.
pub(crate) const NAMES: [&str; STAGES] =
    ["client queue", "network + loop", "append", "flush wait", "replication wait"];

/// The times of one message on the generator's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When it was due.
    pub due_nanos: u64,
    /// When its bytes were given to the kernel.
    pub written_nanos: u64,
    /// When its answer was read.
    pub answered_nanos: u64,
}

/// Nanoseconds of each stage of one message; `None` when the broker's durations contradict the
/// generator's times.
#[must_use]
pub(crate) fn split(seen: Seen, told: &Stages) -> Option<[u64; STAGES]> {
    let client_queue = seen.written_nanos.checked_sub(seen.due_nanos)?;
    let out = seen.answered_nanos.checked_sub(seen.written_nanos)?;
    // 0: not waited for. A broker's clock may not have moved within a stage, which also reads 0.
    let flushed = if told.flushed_nanos == 0 { told.appended_nanos } else { told.flushed_nanos };
    let replicated = if told.replicated_nanos == 0 { flushed } else { told.replicated_nanos };
    let flush_wait = flushed.checked_sub(told.appended_nanos)?;
    // Flush and replication run side by side: replication's wait is what came on top.
    let last = replicated.max(flushed);
    let replication_wait = last - flushed;
    let until_queued = told.answered_nanos.checked_sub(last)?;
    let on_the_way = out.checked_sub(told.answered_nanos)?;
    Some([
        client_queue,
        on_the_way + until_queued,
        told.appended_nanos,
        flush_wait,
        replication_wait,
    ])
}

/// The stages of a phase's messages, one histogram each.
#[derive(Clone, Debug)]
pub struct StageTimes {
    each: [Histogram<u64>; STAGES],
    sums_nanos: [u64; STAGES],
    response_sum_nanos: u64,
    service_sum_nanos: u64,
    lag_sum_nanos: u64,
    faults: u64,
}

impl Default for StageTimes {
    fn default() -> Self {
        Self {
            each: std::array::from_fn(|_| fine()),
            sums_nanos: [0; STAGES],
            response_sum_nanos: 0,
            service_sum_nanos: 0,
            lag_sum_nanos: 0,
            faults: 0,
        }
    }
}

impl StageTimes {
    /// One acknowledged message of the measured window, sent (its lag over) at `sent_nanos`.
    /// With `count` messages in its request, all have the same times.
    pub fn record(&mut self, count: u64, seen: Seen, sent_nanos: u64, told: &Stages) {
        let Some(stages) = split(seen, told) else {
            self.faults += count;
            return;
        };
        for ((histogram, sum_nanos), stage) in
            self.each.iter_mut().zip(&mut self.sums_nanos).zip(stages)
        {
            histogram.saturating_record_n(stage, count);
            *sum_nanos += stage * count;
        }
        self.response_sum_nanos += (seen.answered_nanos - seen.due_nanos) * count;
        self.service_sum_nanos += seen.answered_nanos.saturating_sub(sent_nanos) * count;
        self.lag_sum_nanos += sent_nanos.saturating_sub(seen.due_nanos) * count;
    }

    /// Adds another thread's measurements.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.each.iter_mut().zip(&other.each) {
            if let Err(error) = mine.add(theirs) {
                unreachable!("stages have the same bounds: {error}");
            }
        }
        self.sums_nanos.iter_mut().zip(other.sums_nanos).for_each(|(mine, theirs)| *mine += theirs);
        self.response_sum_nanos += other.response_sum_nanos;
        self.service_sum_nanos += other.service_sum_nanos;
        self.lag_sum_nanos += other.lag_sum_nanos;
        self.faults += other.faults;
    }

    /// Each stage's name and histogram.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
        NAMES.into_iter().zip(&self.each)
    }

    /// The stages for the result; `None` when nothing was recorded.
    #[must_use]
    pub fn row(&self) -> Option<StageRow> {
        let messages = self.each[0].len();
        if messages + self.faults == 0 {
            return None;
        }
        let mean_us = |sum_nanos: u64| sum_nanos as f64 / 1000.0 / count_f64(messages.max(1));
        let stage = |(at, (name, histogram)): (usize, (&'static str, &Histogram<u64>))| Stage {
            name: name.to_owned(),
            mean_us: mean_us(self.sums_nanos[at]),
            times: Percentiles::of(histogram).unwrap_or_default(),
        };
        Some(StageRow {
            messages,
            faults: self.faults,
            stages: self.named().enumerate().map(stage).collect(),
            sum_of_means_us: self.sums_nanos.iter().map(|sum_nanos| mean_us(*sum_nanos)).sum(),
            response_mean_us: mean_us(self.response_sum_nanos),
            service_mean_us: mean_us(self.service_sum_nanos),
            lag_mean_us: mean_us(self.lag_sum_nanos),
        })
    }
}

/// One stage, as it is written to the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The exact mean: these add up.
    pub mean_us: f64,
    /// Its percentiles: these do not.
    pub times: Percentiles,
}

/// The stages of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// Messages that were split.
    pub messages: u64,
    /// Answers whose stages contradict the generator's times; should be 0.
    pub faults: u64,
    /// The stages, in the order in which a message passes them.
    pub stages: Vec<Stage>,
    /// The sum of the stages' means.
    pub sum_of_means_us: f64,
    /// Mean response time of the same messages: the same number.
    pub response_mean_us: f64,
    /// Their mean service time: the sum without the lag.
    pub service_mean_us: f64,
    /// Their mean lag.
    pub lag_mean_us: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Seen = Seen { due_nanos: 100, written_nanos: 150, answered_nanos: 1_150 };

    fn told(
        appended_nanos: u64,
        flushed_nanos: u64,
        replicated_nanos: u64,
        answered_nanos: u64,
    ) -> Stages {
        Stages { appended_nanos, flushed_nanos, replicated_nanos, answered_nanos }
    }

    #[test]
    fn stages_add_up_to_the_response_time_whatever_was_waited_for() {
        for (told, expected) in [
            (told(10, 0, 0, 12), [50, 990, 10, 0, 0]),
            (told(10, 500, 0, 520), [50, 500, 10, 490, 0]),
            (told(10, 500, 700, 700), [50, 300, 10, 490, 200]),
            // The slaves were faster than the disk.
            (told(10, 500, 300, 510), [50, 500, 10, 490, 0]),
            (told(10, 0, 300, 300), [50, 700, 10, 0, 290]),
            (told(0, 0, 0, 0), [50, 1_000, 0, 0, 0]),
        ] {
            let stages = split(SEEN, &told).unwrap();
            assert_eq!(
                (stages, stages.iter().sum::<u64>()),
                (expected, SEEN.answered_nanos - SEEN.due_nanos)
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_a_fault_and_never_a_negative_stage() {
        for wrong in [
            told(10, 5, 0, 20),
            told(10, 500, 0, 499),
            told(10, 0, 0, 1_001),
            told(2_000, 0, 0, 2_000),
        ] {
            assert_eq!(split(SEEN, &wrong), None, "{wrong:?}");
        }
        assert_eq!(
            split(Seen { written_nanos: 99, ..SEEN }, &told(1, 0, 0, 1)),
            None,
            "written before it was due"
        );
        let mut times = StageTimes::default();
        times.record(1, SEEN, 120, &told(10, 5, 0, 20));
        assert_eq!(times.row().map(|row| (row.messages, row.faults)), Some((0, 1)));
    }

    #[test]
    fn means_are_exact_and_histograms_of_threads_are_merged() {
        let (mut one, mut other) = (StageTimes::default(), StageTimes::default());
        for answered_nanos in 1_000..2_000 {
            one.record(1, Seen { answered_nanos, ..SEEN }, 120, &told(10, 500, 0, 520));
            other.record(
                1,
                Seen { answered_nanos: answered_nanos * 1_000, ..SEEN },
                120,
                &told(10, 0, 0, 20),
            );
        }
        one.merge(&other);
        let row = one.row().unwrap();
        assert_eq!((row.messages, row.stages.len()), (2_000, STAGES));
        assert!((row.sum_of_means_us - row.response_mean_us).abs() < 1e-9 * row.response_mean_us);
        assert!(
            (row.service_mean_us + row.lag_mean_us - row.response_mean_us).abs()
                < 1e-9 * row.response_mean_us
        );
    }
}
