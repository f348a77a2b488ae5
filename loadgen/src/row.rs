//! One row of the result: a load or a read, with the facts needed to judge it.

use crate::plan::{Load, Mode};
use crate::protocols::Protocol;
use crate::recorder::Recorder;
use crate::stages::{StageRow, StageTimes};
use hdrhistogram::{Counter, Histogram};
use serde::Serialize;
use std::collections::BTreeMap;

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Values recorded.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// 99.99 %.
    pub p9999_us: f64,
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
        let at = |quantile: f64| micros(histogram.value_at_quantile(quantile));
        Some(Self {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            p9999_us: at(0.9999),
            max_us: micros(histogram.max()),
        })
    }
}

/// The kind of measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Closed loop: hides stalls.
    Closed,
    /// Open loop.
    Open,
    /// Reading back.
    Consume,
}

/// The same load against the no-op target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Floor {
    /// Answers a second.
    pub rate_per_s: f64,
    /// Response time.
    pub response: Percentiles,
}

/// Response times in one slice of time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slice {
    /// When the slice ends, seconds from the window's start.
    pub end_s: f64,
    /// Messages due in it.
    pub count: u64,
    /// Median, µs.
    pub p50_us: f64,
    /// 99 %, µs.
    pub p99_us: f64,
    /// Largest, µs.
    pub max_us: f64,
}

/// One row.
#[derive(Clone, Debug, Serialize)]
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
    /// Payload bytes per message.
    pub size_bytes: usize,
    /// Length of the measured window, seconds.
    pub seconds: f64,
    /// Messages a second that were asked for (open loop).
    pub planned_rate_per_s: Option<f64>,
    /// Messages due in the window.
    pub planned: u64,
    /// Of those, sent.
    pub sent: u64,
    /// Of those, acknowledged.
    pub acknowledged: u64,
    /// Requests without an answer after the drain.
    pub unanswered: u64,
    /// Answers in the window per second.
    pub rate_per_s: f64,
    /// Payload megabytes (10^6) a second.
    pub megabytes_per_s: f64,
    /// Time from due to answer.
    pub response: Option<Percentiles>,
    /// Time from send to answer.
    pub service: Option<Percentiles>,
    /// Time from due to send: the generator's check of itself.
    pub lag: Option<Percentiles>,
    /// Time spent in each stage of a send (native protocol).
    pub stages: Option<StageRow>,
    /// The same against the no-op target.
    pub floor: Option<Floor>,
    /// Failures by name.
    pub errors: BTreeMap<String, u64>,
    /// The broker's explanation of the first failure of each kind.
    pub remarks: BTreeMap<String, String>,
    /// Times above the histogram's range.
    pub overflows: u64,
    /// Share of the window a generator thread was on a CPU, per thread.
    pub generator_cpu_share: Vec<Option<f64>>,
    /// CPU time of the broker per message, µs (own broker only).
    pub broker_cpu_us_per_message: Option<f64>,
    /// Resident memory of the broker after the row, bytes (own broker only).
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
            size_bytes: load.size_bytes,
            seconds,
            planned_rate_per_s,
            planned: recorder.sent,
            sent: recorder.sent,
            acknowledged: recorder.acknowledged,
            unanswered: 0,
            rate_per_s,
            megabytes_per_s: rate_per_s * load.size_bytes as f64 / 1e6,
            response: Percentiles::of(&recorder.response),
            service: Percentiles::of(&recorder.service),
            lag: Percentiles::of(&recorder.lag),
            stages: recorder.stages.as_deref().and_then(StageTimes::row),
            floor: None,
            errors: recorder.errors.clone(),
            remarks: recorder.remarks.clone(),
            overflows: recorder.overflows,
            generator_cpu_share: Vec::new(),
            broker_cpu_us_per_message: None,
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
            label: format!("consume, {queues} queues"),
            kind: Kind::Consume,
            protocol,
            senders: queues,
            in_flight: 1,
            size_bytes,
            seconds,
            planned_rate_per_s: None,
            planned: consumed.messages,
            sent: consumed.messages,
            acknowledged: consumed.messages,
            unanswered: 0,
            rate_per_s: count_f64(consumed.messages) / seconds,
            megabytes_per_s: count_f64(consumed.bytes) / seconds / 1e6,
            response: Percentiles::of(&consumed.pull),
            service: None,
            lag: None,
            stages: None,
            floor: None,
            errors: BTreeMap::new(),
            remarks: BTreeMap::new(),
            overflows: 0,
            generator_cpu_share: Vec::new(),
            broker_cpu_us_per_message: None,
            broker_resident_bytes: None,
            invalid: Vec::new(),
            notes: vec!["RT of this row is per pull of up to 32 messages, not per message".into()],
            over_time: Vec::new(),
            recorder: None,
        };
        if consumed.failed_pulls > 0 {
            row.errors.insert("pull without messages".into(), consumed.failed_pulls);
        }
        row
    }

    /// Failures of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

fn slices(recorder: &Recorder) -> Vec<Slice> {
    let width_s = recorder.buckets.width_nanos as f64 / 1e9;
    let each = recorder.buckets.each.iter().enumerate().filter(|(_, bucket)| !bucket.is_empty());
    let slice = |(index, bucket): (usize, &Histogram<u32>)| Slice {
        end_s: (index + 1) as f64 * width_s,
        count: bucket.len(),
        p50_us: micros(bucket.value_at_quantile(0.5)),
        p99_us: micros(bucket.value_at_quantile(0.99)),
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
