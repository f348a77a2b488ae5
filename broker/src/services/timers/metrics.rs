//! How many timer messages wait for each topic, as Apache's `TimerMetrics` tells it.
//!
//! What an earlier life left in the timer log is not counted: its units name no topic. Bounded by
//! [`COUNTED_TOPICS_MAX`] topics; of further ones nothing is told. Pure.

use super::pending::{Kind, Timer};
use crate::limits::COUNTED_TOPICS_MAX;
use engine::PhyOffset;
use protocol::bodies::{DataVersion, TimerMetrics, TimingCount};
use protocol::properties::{self, names};
use protocol::record::RecordView;
use std::collections::BTreeMap;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    topics: BTreeMap<Box<str>, TimingCount>,
    /// Records up to here are an earlier life's.
    after: Option<PhyOffset>,
    /// How often anything changed, and when that was last, in milliseconds since 1970.
    changes: i64,
    changed_ms: i64,
}

impl Metrics {
    /// Timers whose records lie behind `at` are counted.
    pub(super) fn begin_after(&mut self, at: Option<PhyOffset>) {
        self.after = at;
    }

    /// A message waits.
    pub(super) fn began(&mut self, timer: &Timer, record: &RecordView<'_>, now_ms: i64) {
        self.change(timer, record, 1, now_ms);
    }

    /// A message waits no longer.
    pub(super) fn ended(&mut self, timer: &Timer, record: &RecordView<'_>, now_ms: i64) {
        self.change(timer, record, -1, now_ms);
    }

    fn change(&mut self, timer: &Timer, record: &RecordView<'_>, by: i64, now_ms: i64) {
        let is_counted = timer.kind != Kind::Recall && self.after.is_none_or(|at| timer.at > at);
        let topic = properties::get(record.properties(), names::REAL_TOPIC);
        let Some(topic) = topic.filter(|_| is_counted) else { return };
        let is_full = self.topics.len() >= COUNTED_TOPICS_MAX;
        if let Some(known) = self.topics.get_mut(topic) {
            known.count = (known.count + by).max(0);
            known.time_stamp = now_ms;
        } else if !is_full {
            let first = TimingCount { count: by.max(0), time_stamp: now_ms };
            self.topics.insert(topic.into(), first);
        }
        (self.changes, self.changed_ms) = (self.changes + 1, now_ms);
    }

    /// As the answer to GET_TIMER_METRICS has it.
    pub(crate) fn body(&self) -> TimerMetrics {
        let data_version = DataVersion {
            counter: self.changes,
            timestamp: self.changed_ms,
            ..DataVersion::default()
        };
        let timing_count =
            self.topics.iter().map(|(topic, count)| (topic.to_string(), count.clone())).collect();
        TimerMetrics { data_version, timing_count }
    }
}
