//! One row of the result: a load or a read, with the facts needed to judge it.

use crate::consuming::Consuming;
use crate::messages::Drawing;
use crate::plan::{Load, LoadFacts, Mode};
use crate::protocols::Protocol;
use crate::recorder::Recorder;
use crate::stages::{StageRow, StageTimes};
use hdrhistogram::{Counter, Histogram};
use protocol::checked::fit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A percentile that is printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantile {
    /// Its name.
    pub name: &'static str,
    /// The share of values at or below it.
    pub share: f64,
    /// From fewer values it is not printed: 10 / (1 − share). Below that, fewer than ten values lie
    /// beyond the percentile, and it is an anecdote.
    pub samples_min: u64,
}

/// The percentiles of every result.
pub const QUANTILES: [Quantile; 5] = [
    Quantile { name: "p50", share: 0.5, samples_min: 20 },
    Quantile { name: "p90", share: 0.9, samples_min: 100 },
    Quantile { name: "p99", share: 0.99, samples_min: 1_000 },
    Quantile { name: "p99.9", share: 0.999, samples_min: 10_000 },
    Quantile { name: "p99.99", share: 0.9999, samples_min: 100_000 },
];

impl Quantile {
    /// Its value in a histogram of nanoseconds, in µs; `None` when there are too few values.
    #[must_use]
    pub fn of<C: Counter>(&self, histogram: &Histogram<C>) -> Option<f64> {
        (histogram.len() >= self.samples_min)
            .then(|| micros(histogram.value_at_quantile(self.share)))
    }
}

/// Percentiles in microseconds. One that was taken from too few values is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    /// Values recorded.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: Option<f64>,
    /// 90 %.
    pub p90_us: Option<f64>,
    /// 99 %.
    pub p99_us: Option<f64>,
    /// 99.9 %.
    pub p999_us: Option<f64>,
    /// 99.99 %.
    pub p9999_us: Option<f64>,
    /// Largest.
    pub max_us: f64,
}

impl Percentiles {
    /// The percentiles of a histogram of nanoseconds; `None` when it is empty.
    #[must_use]
    pub fn of<C: Counter>(histogram: &Histogram<C>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let [p50_us, p90_us, p99_us, p999_us, p9999_us] =
            QUANTILES.map(|quantile| quantile.of(histogram));
        Some(Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us,
            p90_us,
            p99_us,
            p999_us,
            p9999_us,
            max_us: micros(histogram.max()),
        })
    }

    /// The values in the order of [`QUANTILES`].
    #[must_use]
    pub fn each(&self) -> [Option<f64>; QUANTILES.len()] {
        [self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.p9999_us]
    }
}

/// A printed percentile that is INVALID: the generator was late by too much of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatePercentile {
    /// Its name.
    pub percentile: String,
    /// The response time there, µs.
    pub response_us: f64,
    /// The schedule lag at the same percentile, µs.
    pub lag_us: f64,
}

/// The kind of measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Closed loop: hides stalls.
    #[default]
    Closed,
    /// Open loop.
    Open,
    /// Reading back.
    Consume,
    /// Clients are connected, and nothing is asked.
    Idle,
}

impl Kind {
    /// Whether messages are sent.
    #[must_use]
    pub fn is_load(self) -> bool {
        matches!(self, Self::Closed | Self::Open)
    }
}

/// The same load against the no-op target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Floor {
    /// Answers a second: the median of the repetitions.
    pub rate_per_s: f64,
    /// Response time, of all repetitions together.
    pub response: Percentiles,
    /// How often it was measured; 0 in files of schema 1, which measured it once.
    pub repetitions: u32,
    /// The slowest repetition's answers a second.
    pub rate_min_per_s: f64,
    /// The fastest repetition's answers a second.
    pub rate_max_per_s: f64,
    /// What one core of the instrument can drive of this load: the messages of each second that a
    /// generator worked. `None` in older files.
    pub core_rate_per_s: Option<f64>,
}

/// Response times in one slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// When the slice ends, seconds from the window's start.
    pub end_s: f64,
    /// Messages due in it.
    pub count: u64,
    /// Median, µs; `None` from too few messages.
    pub p50_us: Option<f64>,
    /// 99 %, µs; `None` from too few messages.
    pub p99_us: Option<f64>,
    /// Largest, µs.
    pub max_us: f64,
}

/// How a peer was warmed before the first row: closed loops until three in a row agree.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steady {
    /// The rate of each window.
    pub rates_per_s: Vec<f64>,
    /// How long it took, seconds.
    pub took_s: f64,
    /// Whether three windows agreed in the end.
    pub is_steady: bool,
}

/// One row. Fields that a file of schema 1 has not are empty when it is read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// Short name, usable in file names.
    pub name: String,
    /// Its label in the table.
    pub label: String,
    /// The kind of measurement.
    pub kind: Kind,
    /// The protocol of the load.
    pub protocol: Protocol,
    /// Connections.
    pub senders: usize,
    /// Requests in flight per connection (closed loop).
    pub in_flight: usize,
    /// Payload bytes per message, the mean where sizes differ.
    pub size_bytes: usize,
    /// Length of the measured window, seconds.
    pub seconds: f64,
    /// Everything that makes the load again; `None` for a read, and in files of schema 1.
    pub load: Option<LoadFacts>,
    /// Messages a second that were asked for (open loop).
    pub planned_rate_per_s: Option<f64>,
    /// Messages due in the window.
    pub planned: u64,
    /// Of those, sent.
    pub sent: u64,
    /// Of those, acknowledged.
    pub acknowledged: u64,
    /// Of those sent, acknowledged before the window's end.
    pub answered_in_time: u64,
    /// Of those sent, answered with an error.
    pub failed: u64,
    /// Of those sent, never answered: timed out, or their connection was lost.
    pub unanswered: u64,
    /// Connections that ended before the load did.
    pub lost_connections: u64,
    /// Answers in the window per second.
    pub rate_per_s: f64,
    /// Payload megabytes (10^6) a second.
    pub megabytes_per_s: f64,
    /// Time from due to answer.
    pub response: Option<Percentiles>,
    /// The response time without a backlog, µs: the smallest median of a slice of the load.
    pub usual_response_us: Option<f64>,
    /// Printed percentiles that are INVALID (open loop).
    pub late_percentiles: Vec<LatePercentile>,
    /// Time from send to answer.
    pub service: Option<Percentiles>,
    /// Open loop: time from due to send, the generator's check of itself.
    pub lag: Option<Percentiles>,
    /// Closed loop: how long the generator kept a free place empty. It is in neither time above.
    pub generator_wait: Option<Percentiles>,
    /// Time spent in each stage of a send (native protocol).
    pub stages: Option<StageRow>,
    /// How the broker was warmed before it; `None`: for the warm-up's time only.
    pub steady: Option<Steady>,
    /// What consumers beside the senders did.
    pub consuming: Option<Consuming>,
    /// The same against the no-op target.
    pub floor: Option<Floor>,
    /// The failed and the unanswered ones by name.
    pub errors: BTreeMap<String, u64>,
    /// The same of the warm-up.
    pub warmup_errors: BTreeMap<String, u64>,
    /// Answers that belong to no request, by name.
    pub strays: BTreeMap<String, u64>,
    /// The broker's explanation of the first failure of each kind.
    pub remarks: BTreeMap<String, String>,
    /// Times above the histogram's range.
    pub overflows: u64,
    /// Share of the window a generator thread was on a CPU, per thread.
    pub generator_cpu_share: Vec<Option<f64>>,
    /// Share of the window a generator thread worked, per thread. Spinning is not work.
    pub generator_busy_share: Vec<f64>,
    /// CPU time of the broker per message, µs, with the work that it put off until after the row
    /// (its own broker, or `--broker-pid`).
    pub broker_cpu_us_per_message: Option<f64>,
    /// The part of it that the broker used after the last answer, µs.
    pub deferred_cpu_us_per_message: Option<f64>,
    /// The part of it in which the broker looked for work and found none, µs: its idle spin, where
    /// it tells it.
    pub spin_cpu_us_per_message: Option<f64>,
    /// Instructions of the broker per message, where the host counts them.
    pub instructions_per_message: Option<f64>,
    /// Bytes that the broker had fetched from a device during the row.
    pub device_read_bytes: Option<u64>,
    /// How long the broker worked after the last answer, seconds.
    pub deferred_s: Option<f64>,
    /// Share of a core that a broker used while its clients did nothing.
    pub idle_cpu_share: Option<f64>,
    /// Resident memory of the broker after the row, bytes.
    pub broker_resident_bytes: Option<u64>,
    /// Why the row is INVALID; empty when it is not.
    pub invalid: Vec<String>,
    /// Notes for the reader.
    pub notes: Vec<String>,
    /// Response times over time.
    pub over_time: Vec<Slice>,
    /// The histograms themselves, for the `.hgrm` files and charts.
    #[serde(skip)]
    pub recorder: Option<Recorder>,
}

impl Row {
    /// A row of a load.
    #[must_use]
    pub fn of_load(name: &str, label: &str, load: &Load, recorder: Recorder) -> Self {
        let seconds = load.duration.as_secs_f64();
        let sizes = Drawing::new(load.messages, 0, 0);
        let rate_per_s = count_f64(recorder.answered_in_window) / seconds;
        let (kind, planned_rate_per_s) = match load.mode {
            Mode::Closed => (Kind::Closed, None),
            Mode::Open { rate, .. } => (Kind::Open, Some(rate)),
        };
        Self {
            name: name.into(),
            label: label.into(),
            kind,
            protocol: load.protocol,
            senders: load.senders,
            in_flight: load.in_flight,
            size_bytes: fit(sizes.mean_size()),
            seconds,
            load: Some(load.facts()),
            planned_rate_per_s,
            planned: recorder.sent,
            sent: recorder.sent,
            acknowledged: recorder.acknowledged,
            answered_in_time: recorder.answered_in_time,
            failed: recorder.failed,
            unanswered: recorder.unanswered,
            lost_connections: 0,
            rate_per_s,
            megabytes_per_s: rate_per_s * sizes.mean_bytes() / 1e6,
            response: Percentiles::of(&recorder.response),
            usual_response_us: recorder.usual_response_nanos().map(micros),
            late_percentiles: Vec::new(),
            service: Percentiles::of(&recorder.service),
            lag: Percentiles::of(&recorder.lag).filter(|_| kind == Kind::Open),
            generator_wait: Percentiles::of(&recorder.lag).filter(|_| kind == Kind::Closed),
            stages: recorder.stages.as_deref().and_then(StageTimes::row),
            steady: None,
            consuming: None,
            floor: None,
            errors: recorder.errors.clone(),
            warmup_errors: recorder.warmup_errors.clone(),
            strays: recorder.strays.clone(),
            remarks: recorder.remarks.clone(),
            overflows: recorder.overflows,
            generator_cpu_share: Vec::new(),
            generator_busy_share: Vec::new(),
            broker_cpu_us_per_message: None,
            deferred_cpu_us_per_message: None,
            spin_cpu_us_per_message: None,
            instructions_per_message: None,
            device_read_bytes: None,
            deferred_s: None,
            idle_cpu_share: None,
            broker_resident_bytes: None,
            invalid: Vec::new(),
            notes: Vec::new(),
            over_time: slices(&recorder),
            recorder: Some(recorder),
        }
    }

    /// A row of a read.
    #[must_use]
    pub fn of_consume(
        consumed: &crate::consumer::Consumed,
        queues: usize,
        size_bytes: usize,
        protocol: Protocol,
    ) -> Self {
        let seconds = (consumed.took_nanos.max(1) as f64) / 1e9;
        let mut row = Self {
            name: "consume".into(),
            label: format!("backlog drain, {queues} queues"),
            kind: Kind::Consume,
            protocol,
            senders: queues,
            in_flight: 1,
            size_bytes,
            seconds,
            planned: consumed.messages,
            sent: consumed.messages,
            acknowledged: consumed.messages,
            answered_in_time: consumed.messages,
            rate_per_s: count_f64(consumed.messages) / seconds,
            megabytes_per_s: count_f64(consumed.bytes) / seconds / 1e6,
            response: Percentiles::of(&consumed.pull),
            notes: vec!["RT of this row is per pull of up to 32 messages, not per message".into()],
            ..Self::default()
        };
        let faults = [&consumed.born_to_consume, &consumed.store_to_consume];
        for (ages, timestamp) in faults.into_iter().zip(["born", "stored"]) {
            if ages.faults > 0 {
                row.notes.push(format!(
                    "{} messages say that they were {timestamp} when or after they were read: \
                     faults of the clocks, in no time",
                    ages.faults
                ));
            }
        }
        if consumed.failed_pulls > 0 {
            row.errors.insert("pull without messages".into(), consumed.failed_pulls);
        }
        row
    }

    /// Closed loop: the share of each round trip that was the generator's own.
    #[must_use]
    pub fn generator_wait_share(&self) -> Option<f64> {
        let (wait, service) = (self.generator_wait?.mean_us, self.service?.mean_us);
        Some(wait / (wait + service))
    }

    /// Failures of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// The response times of a recorder over time.
pub(crate) fn slices(recorder: &Recorder) -> Vec<Slice> {
    let width_s = recorder.buckets.width_nanos as f64 / 1e9;
    let each = recorder.buckets.each.iter().enumerate().filter(|(_, bucket)| !bucket.is_empty());
    let slice = |(index, bucket): (usize, &Histogram<u32>)| Slice {
        end_s: (index + 1) as f64 * width_s,
        count: bucket.len(),
        p50_us: QUANTILES[0].of(bucket),
        p99_us: QUANTILES[2].of(bucket),
        max_us: micros(bucket.max()),
    };
    each.map(slice).collect()
}

/// Nanoseconds as microseconds.
#[must_use]
pub fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// A count as a number to divide.
#[must_use]
pub fn count_f64(count: u64) -> f64 {
    count as f64
}
