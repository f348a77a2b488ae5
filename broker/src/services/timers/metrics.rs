//! How many timer messages wait for each topic, as Apache's `TimerMetrics` tells it.
//!
//! The units of the timer log name no topic. So what waits is written into `config/timermetrics`
//! with them, as Apache's broker does; what an earlier life left is counted where that file has as
//! many as the timer log, and not at all where it has not (Apache's own counts drift). Bounded by
//! [`COUNTED_TOPICS_MAX`] topics; of further ones nothing is told. Pure.

use super::pending::{Kind, Timer};
use crate::checked;
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
    /// Goes on with what an earlier life left: so many messages, whose records end at `at`.
    pub(super) fn begin(&mut self, left: usize, at: Option<PhyOffset>, saved: TimerMetrics) {
        let each = saved.timing_count.values().map(|count| count.count.max(0));
        let counted = each.fold(0, i64::saturating_add);
        let is_right = counted == checked::to_i64(left)
            && saved.timing_count.len() <= COUNTED_TOPICS_MAX
            && saved.timing_count.values().all(|count| count.count >= 0);
        if is_right {
            let counts = saved.timing_count.into_iter();
            self.topics = counts.map(|(topic, count)| (topic.into(), count)).collect();
            self.changes = saved.data_version.counter;
            self.changed_ms = saved.data_version.timestamp;
        } else {
            self.after = at;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(counts: &[(&str, i64)]) -> TimerMetrics {
        let count = |count| TimingCount { count, time_stamp: 5 };
        TimerMetrics {
            timing_count: counts
                .iter()
                .map(|(topic, n)| ((*topic).to_owned(), count(*n)))
                .collect(),
            ..TimerMetrics::default()
        }
    }

    #[test]
    fn what_was_saved_counts_only_where_it_is_as_many_as_are_there() {
        let begun = |counts: &[(&str, i64)], left| {
            let mut metrics = Metrics::default();
            metrics.begin(left, Some(PhyOffset(9)), saved(counts));
            (metrics.body().timing_count.len(), metrics.after)
        };
        assert_eq!(begun(&[("a", 2), ("b", 3)], 5), (2, None));
        assert_eq!(begun(&[], 0), (0, None));
        let not = (0, Some(PhyOffset(9)));
        assert_eq!(begun(&[("a", 2), ("b", 3)], 4), not);
        assert_eq!(begun(&[("a", -1), ("b", 5)], 5), not, "no count is below 0");
        assert_eq!(begun(&[("a", i64::MAX), ("b", i64::MAX)], 5), not, "nor do they overflow");
        assert_eq!(begun(&[], 1), not);
    }
}
