//! Consumers that read while the senders send: the time from end to end, and the backlog.
//!
//! ```text
//!   due ──► sent ──► stored ──► long poll answered ──► read        one clock, one process
//!    └──────────────────── end to end ───────────────────┘
//!   backlog = acknowledged so far − read so far, ten times a second
//! ```
//!
//! The time counts from when the message was due, as the response time does: a sender that was late
//! is in it. Below 0 it can't be; such a value is a fault and no time.
//!
//! What is read is checked for damage, order and gaps. Where it was acknowledged is not known yet
//! while it is read; `--consume` checks that afterwards.

mod reader;

pub(crate) use reader::{Plan, Reading, read};

use crate::integrity::IntegrityReport;
use crate::live::Measured;
use crate::recorder::fine;
use crate::row::{Kind, Percentiles, Row, count_f64};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Samples of the backlog that are kept: of a longer load, neighbours become one.
const BACKLOG_SAMPLES_MAX: usize = 600;
/// A backlog at the end of the window that is worth more time than this is said.
const BEHIND_S: f64 = 0.25;

/// What the consumers of a row did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Consuming {
    /// Connections.
    pub consumers: usize,
    /// Messages of this run read, the warm-up's too.
    pub messages: u64,
    /// Messages read inside the measured window per second.
    pub rate_per_s: f64,
    /// Time from due to read, of the messages that were due in the window.
    pub end_to_end: Option<Percentiles>,
    /// Messages that were read before they were due.
    pub faults: u64,
    /// The largest backlog of the window.
    pub backlog_max: u64,
    /// The backlog at the window's end.
    pub backlog_end: u64,
    /// How long the rest took to be read after the last answer, seconds.
    pub drained_s: f64,
    /// The backlog over time.
    pub backlog: Vec<BacklogAt>,
    /// What was found of damage, order and gaps.
    pub integrity: IntegrityReport,
}

/// The backlog at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BacklogAt {
    /// Seconds from the window's start.
    pub at_s: f64,
    /// Messages acknowledged and not read.
    pub messages: u64,
}

/// What sender and consumers share while they run.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// The measured window.
    pub measured: Arc<Measured>,
    /// Messages read so far.
    pub read: AtomicU64,
    /// Where each queue ends, known when the senders have ended: up to there is read.
    pub ends: OnceLock<Vec<u64>>,
    /// The senders could not start: nothing more comes.
    pub give_up: std::sync::atomic::AtomicBool,
}

/// Watches the backlog while a load runs.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    each: Vec<BacklogAt>,
}

impl Backlog {
    /// Looks at the counts at `now` on the run's clock.
    pub(crate) fn look(&mut self, shared: &Shared, stored: u64, now: u64) {
        let window = shared.measured.window();
        let Some((from, _)) = window.filter(|(from, to)| (*from..*to).contains(&now)) else {
            return;
        };
        let messages = stored.saturating_sub(shared.read.load(Ordering::Relaxed));
        self.each.push(BacklogAt { at_s: (now - from) as f64 / 1e9, messages });
        if self.each.len() >= 2 * BACKLOG_SAMPLES_MAX {
            // The larger of two neighbours: a peak is not averaged away.
            let larger = |pair: &[BacklogAt]| {
                let most = pair.iter().max_by_key(|at| at.messages);
                most.copied().unwrap_or_default()
            };
            self.each = self.each.chunks(2).map(larger).collect();
        }
    }
}

/// Adds what the consumers did to the row of the load, and judges it.
pub(crate) fn add_to(row: &mut Row, consumers: usize, read: Reading, backlog: Backlog) {
    let end_to_end = Percentiles::of(&read.end_to_end);
    let each = backlog.each;
    if let Some(why) = &read.integrity.incomplete {
        row.invalid.push(format!("the consumers did not read everything: {why}"));
    } else if !read.integrity.holds() {
        row.invalid.push(format!("the consumers found faults: {}", sentence(&read.integrity)));
    }
    if read.faults > 0 {
        row.notes.push(format!(
            "{} messages were read before they were due: faults, in no time from end to end",
            read.faults
        ));
    }
    let consuming = Consuming {
        consumers,
        messages: read.integrity.consumed,
        rate_per_s: count_f64(read.in_window) / row.seconds.max(1e-9),
        end_to_end,
        faults: read.faults,
        backlog_max: each.iter().map(|at| at.messages).max().unwrap_or(0),
        backlog_end: each.last().map_or(0, |at| at.messages),
        drained_s: read.drained_nanos as f64 / 1e9,
        backlog: each,
        integrity: read.integrity,
    };
    if count_f64(consuming.backlog_end) > row.rate_per_s * BEHIND_S {
        let kind = if row.kind == Kind::Open { "this rate" } else { "the senders" };
        row.notes.push(format!(
            "the consumers fell behind {kind}: {} messages waited at the window's end, {:.1} s \
             more to read them",
            consuming.backlog_end, consuming.drained_s
        ));
    }
    if let Some(recorder) = &mut row.recorder {
        recorder.end_to_end = Some(Box::new(read.end_to_end));
    }
    row.consuming = Some(consuming);
}

fn sentence(integrity: &IntegrityReport) -> String {
    format!(
        "{} corrupt, {} reordered, {} gaps in queue offsets",
        integrity.corrupt, integrity.reordered, integrity.gaps
    )
}

/// Times from end to end, ns.
#[derive(Debug)]
pub(crate) struct EndToEnd {
    /// Times above 0.
    pub times: Histogram<u64>,
    /// Values below 0.
    pub faults: u64,
}

impl EndToEnd {
    /// Nothing yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self { times: fine(), faults: 0 }
    }

    /// A message that was due then and is read now.
    pub(crate) fn record(&mut self, due_nanos: u64, now: u64) {
        match now.checked_sub(due_nanos) {
            Some(time) => self.times.saturating_record(time.max(1)),
            None => self.faults += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_read_before_it_is_due_is_a_fault_and_no_time() {
        let mut times = EndToEnd::new();
        [(10, 5), (10, 10), (10, 1_010)].into_iter().for_each(|(due, now)| times.record(due, now));
        assert_eq!((times.faults, times.times.len(), times.times.max()), (1, 2, 1_000));
    }

    #[test]
    fn a_backlog_is_sampled_in_the_window_and_its_peak_outlives_a_long_load() {
        let shared = Shared::default();
        let mut backlog = Backlog::default();
        backlog.look(&shared, 5, 10);
        assert!(backlog.each.is_empty(), "before the load there is no window");
        shared.measured.add(1_000, 1_000_000_000);
        shared.read.store(40, Ordering::Relaxed);
        for step in 0..20_000u64 {
            let stored = if step == 777 { 10_040 } else { 45 };
            backlog.look(&shared, stored, 1_000 + step * 1_000);
        }
        assert!(backlog.each.len() < 2 * BACKLOG_SAMPLES_MAX);
        assert_eq!(backlog.each.iter().map(|at| at.messages).max(), Some(10_000));
        shared.read.store(100, Ordering::Relaxed);
        backlog.look(&shared, 45, 999_999_000);
        assert_eq!(backlog.each.last().unwrap().messages, 0, "read before its answer was counted");
    }
}
