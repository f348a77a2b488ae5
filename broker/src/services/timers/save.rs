//! Saves how far the timers are, while the broker runs: a killed one delivers again what it
//! delivered since, and nothing is forgotten.
//!
//! `timercheck` never runs ahead of the log: what it counts as delivered is flushed when it says
//! so. All that waits is written anew when very much was taken up since, so that a start after a
//! kill reads a bounded part of the topic.

use super::state::{Counts, Progress, Timers};
use super::write::{Place, Snapshot, Written};
use crate::config::TimerOptions;
use crate::services::delivery::outlet::Outlet;
use engine::PhyOffset;
use rt::Runtime as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Timers taken up before all that waits is written anew, at least: a start reads as many records.
const SNAPSHOT_AFTER_TIMERS: u64 = 1_000_000;
/// Between two looks at whether the log is flushed, or another write has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// The task that saves.
pub(super) struct Save<O> {
    pub(super) outlet: O,
    pub(super) timers: Rc<Timers>,
    pub(super) options: Rc<TimerOptions>,
    pub(super) root: Rc<Path>,
    pub(super) written: Written,
    /// What had happened when the files were written last.
    pub(super) saved: Counts,
    /// How many timers had been taken up at the last snapshot.
    pub(super) at_snapshot: u64,
    /// Timers taken up before the next.
    pub(super) snapshot_after: u64,
}

impl<O: Outlet> Save<O> {
    pub(super) fn new(
        outlet: O,
        timers: Rc<Timers>,
        (options, root): (Rc<TimerOptions>, Rc<Path>),
        written: Written,
    ) -> Self {
        let saved = Counts::default();
        let snapshot_after = SNAPSHOT_AFTER_TIMERS;
        Self { outlet, timers, options, root, written, saved, at_snapshot: 0, snapshot_after }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.outlet.rt().sleep(self.options.save_every).await;
            if self.outlet.is_stopping() {
                return;
            }
            let is_news = self.timers.counts.get() != self.saved;
            if is_news && self.timers.is_caught_up.get() && !self.save().await {
                return;
            }
        }
    }

    /// Writes what is so now, once the log is flushed that far. False when nothing more is to be
    /// written.
    async fn save(&mut self) -> bool {
        let now_ms = self.outlet.rt().wall_ms();
        let counts = self.timers.counts.get();
        let progress = self.timers.progress(now_ms, self.options.precision_ms);
        let taken_up = counts.taken_up - self.at_snapshot;
        let waiting = self.timers.waiting() as u64;
        let snapshot = (taken_up >= self.snapshot_after.max(waiting))
            .then(|| snapshot(&self.timers, progress));
        let end = self.outlet.store().appended();
        if !self.flushed(end).await || self.timers.writes.replace(true) {
            return false;
        }
        let place = Place { rt: self.outlet.rt(), root: &self.root, options: &self.options };
        let outcome = match &snapshot {
            Some(snapshot) => place.write(snapshot, &self.written).await,
            None => place.write_progress(progress, &self.written).await,
        };
        self.timers.writes.set(false);
        match outcome {
            Ok(written) => {
                (self.written, self.saved) = (written, counts);
                if snapshot.is_some() {
                    self.at_snapshot = counts.taken_up;
                }
            }
            Err(error) => {
                // What a failed snapshot left is not what the check says.
                tracing::error!("timers are not saved, which is tried again: {error}");
                if snapshot.is_some() {
                    self.written = Written::default();
                }
            }
        }
        true
    }

    async fn flushed(&self, end: PhyOffset) -> bool {
        while self.outlet.store().flushed() < end {
            if self.outlet.is_stopping() || self.outlet.store().poisoned().is_some() {
                return false;
            }
            self.outlet.rt().sleep(LOOK_AGAIN_AFTER).await;
        }
        true
    }
}

fn snapshot(timers: &Timers, progress: Progress) -> Snapshot {
    let waiting = timers.pending.borrow().all(progress.done_ms);
    let metrics = timers.metrics.borrow().body();
    Snapshot { timers: waiting, progress, last: timers.last.get(), metrics }
}

/// Gives the timers back at a clean stop, when nothing delivers any more and all of the log is
/// flushed. Nothing is written that says no more than what is there already, or while the topic was
/// still being read: what the lives before left is right then.
pub(crate) async fn hand_over<O: Outlet>(
    outlet: &O,
    timers: &Timers,
    options: &TimerOptions,
    root: &Path,
) -> std::io::Result<()> {
    while timers.writes.replace(true) {
        outlet.rt().sleep(LOOK_AGAIN_AFTER).await;
    }
    if !timers.is_caught_up.get() || timers.next.get() == 0 && timers.waiting() == 0 {
        return Ok(());
    }
    let progress = timers.progress(outlet.rt().wall_ms(), options.precision_ms);
    let place = Place { rt: outlet.rt(), root, options };
    let snapshot = snapshot(timers, progress);
    place.write(&snapshot, &Written::default()).await?;
    tracing::info!(timers = snapshot.timers.len(), "pending timers are given back");
    Ok(())
}
