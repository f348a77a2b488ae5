//! Reads `rmq_sys_wheel_timer`: each record becomes a timer that waits.

use super::pending::{Kind, Timer};
use super::record::{due_timer_of, timer_of};
use super::state::{Progress, Timers};
use crate::config::TimerOptions;
use crate::services::delivery::outlet::Outlet;
use crate::services::delivery::read::{Found, Read, read};
use engine::{PhyOffset, ReadError};
use futures_lite::future::yield_now;
use protocol::names::TIMER_TOPIC;
use protocol::record::{RecordView, records};
use rt::Runtime as _;
use std::rc::Rc;
use std::time::Duration;

/// Records read at once.
const BATCH_MESSAGES_MAX: usize = 256;
/// Between two attempts when a read failed.
const RETRY: Duration = Duration::from_secs(1);

/// The task that takes timers up.
pub(super) struct TakeUp<O> {
    outlet: O,
    timers: Rc<Timers>,
    options: Rc<TimerOptions>,
    /// What the life before this one has done.
    before: Progress,
    /// The records of the timer log's units are at most here.
    units_upto: PhyOffset,
}

enum Wait {
    No,
    Arrival,
    Retry,
}

impl<O: Outlet> TakeUp<O> {
    pub(super) fn new(
        outlet: O,
        timers: Rc<Timers>,
        options: Rc<TimerOptions>,
        before: Progress,
    ) -> Self {
        let units_upto = timers.last.get().map_or(PhyOffset(0), |(at, _)| at);
        Self { outlet, timers, options, before, units_upto }
    }

    pub(super) async fn run(self) {
        while !self.outlet.is_stopping() {
            match self.step().await {
                Wait::No => yield_now().await,
                Wait::Arrival => {
                    self.caught_up();
                    self.timers.arrived.wait().await;
                }
                Wait::Retry => self.outlet.rt().sleep(RETRY).await,
            }
        }
    }

    fn caught_up(&self) {
        if !self.timers.is_caught_up.replace(true) {
            self.timers.sooner.notify();
        }
    }

    async fn step(&self) -> Wait {
        let next = self.timers.next.get();
        let found = read(self.outlet.store(), (TIMER_TOPIC, 0), next, BATCH_MESSAGES_MAX).await;
        match found {
            Ok(Read::Found(found)) => self.take_records(&found),
            Ok(Read::End) => Wait::Arrival,
            Ok(Read::Gap { next }) => {
                self.timers.next.set(next);
                Wait::No
            }
            Err(ReadError::TooMuchMemory { .. }) => Wait::Retry,
            Err(error) => {
                tracing::error!("timers: read message {next}: {error}");
                Wait::Retry
            }
        }
    }

    fn take_records(&self, found: &Found) -> Wait {
        for record in found.slices.iter().flat_map(|slice| records(slice)) {
            match record {
                Ok(record) => self.take_one(&record),
                Err(error) => {
                    tracing::error!("timers: after {}: {error}", self.timers.next.get());
                    return Wait::Retry;
                }
            }
        }
        self.timers.next.set(found.next);
        Wait::No
    }

    fn take_one(&self, record: &RecordView<'_>) {
        let offset = record.queue_offset();
        match self.timer(record) {
            Ok(timer) => {
                let is_done = offset < self.before.known && timer.slot_ms < self.before.done_ms;
                // Apache's broker looks at records again that are in its timer log.
                let is_there =
                    timer.at <= self.units_upto && self.timers.pending.borrow().has(&timer);
                if !is_done && !is_there {
                    let now_ms = self.outlet.rt().wall_ms();
                    self.timers.metrics.borrow_mut().began(&timer, record, now_ms);
                    self.timers.insert(&timer);
                    self.timers.count(|counts| counts.taken_up += 1);
                }
                self.timers.last.set(Some((timer.at, timer.size)));
            }
            Err(why) => {
                let at = record.physical_offset();
                tracing::error!("the timer message at {at} is left out: {why}");
                self.timers.count(|counts| counts.left_out += 1);
            }
        }
        self.timers.next.set(offset + 1);
    }

    /// What was stored once more by the life before waits for its time beside its copy: who knows
    /// whether that is there. One of them is delivered.
    fn timer(&self, record: &RecordView<'_>) -> Result<Timer, &'static str> {
        let timer = timer_of(record, &self.options)?;
        let is_known = record.queue_offset() < self.before.known;
        if timer.kind == Kind::Roll && is_known && timer.slot_ms < self.before.done_ms {
            return due_timer_of(record, &self.options);
        }
        Ok(timer)
    }
}
