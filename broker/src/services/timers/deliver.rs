//! Delivers timer messages when they are due, and leaves out those that were recalled.

use super::pending::{Kind, Timer};
use super::record::{due_timer_of, has_copies, identity, key_of, recalled_key};
use super::state::Timers;
use crate::config::TimerOptions;
use crate::sends::message::draft_of;
use crate::services::delivery::message::{CRC_PROPERTY, NotDelivered, destination, fate};
use crate::services::delivery::outlet::Outlet;
use engine::{Appended, PhyOffset, ReadError};
use futures_lite::future::{or, yield_now};
use futures_util::future::join_all;
use protocol::names::TIMER_TOPIC;
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView};
use rt::{BufSlice, Runtime as _};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

/// Timers delivered before the acknowledgement of all of them is waited for.
const BATCH_TIMERS_MAX: usize = 64;
/// Records read at once, so that timers whose records are cold wait for one read from disk and not
/// for one each …
const READS_AT_ONCE: usize = 32;
/// … and bytes of them, but for one that is longer.
const READ_BYTES_AT_ONCE: usize = 1 << 20;
/// The longest sleep: a clock that is set forward is noticed then.
const SLEEP_MS_MAX: i64 = 10_000;
/// Between two attempts when a read or a delivery failed.
const RETRY_MS: i64 = 1_000;
/// So many slots a recall is remembered, and longer while messages of its slot wait.
const RECALLS_KEPT_SLOTS: i64 = 2;
/// A message that is due so soon is not stored once more.
const NEAR_MS: i64 = 2_000;
/// What the broker says of a timer; a record that has waited already says it anew.
const SET_ANEW: [&str; 4] =
    [names::TIMER_ENQUEUE_MS, names::TIMER_DEQUEUE_MS, names::TIMER_ROLL_TIMES, CRC_PROPERTY];

/// The record where a timer's should lie.
type Found = Result<Option<BufSlice>, ReadError>;

/// What became of a timer.
enum Done {
    /// Its copy is in the log and ends here.
    Appended(PhyOffset),
    /// It asks for nothing more.
    Gone,
    /// It was to be stored once more, and is so near by now that it waits for its time instead. It
    /// may be a recall of what is due already.
    Waits(Timer),
}

/// The task that delivers.
pub(super) struct Deliver<O> {
    outlet: O,
    timers: Rc<Timers>,
    options: Rc<TimerOptions>,
    /// By slot: what its messages are recalled by.
    recalled: Keys,
    /// By slot: messages with copies of which one has come.
    came: Keys,
    /// What the life before has done: it has stored messages once more that were to roll before.
    done_before_ms: i64,
    batch: Vec<Timer>,
}

/// Keys by slot, in milliseconds since 1970.
type Keys = BTreeMap<i64, HashSet<Vec<u8>>>;

enum Wait {
    No,
    Ms(i64),
    Sooner,
    ForEver,
}

impl<O: Outlet> Deliver<O> {
    pub(super) fn new(
        outlet: O,
        timers: Rc<Timers>,
        options: Rc<TimerOptions>,
        done_before_ms: i64,
    ) -> Self {
        let (recalled, came) = (Keys::new(), Keys::new());
        Self { outlet, timers, options, recalled, came, done_before_ms, batch: vec![] }
    }

    pub(super) async fn run(mut self) {
        while !self.outlet.is_stopping() {
            match self.step().await {
                Wait::No => yield_now().await,
                Wait::Ms(ms) => {
                    let ms = ms.clamp(1, SLEEP_MS_MAX).unsigned_abs();
                    let asleep = self.outlet.rt().sleep(Duration::from_millis(ms));
                    or(asleep, self.timers.sooner.wait()).await;
                }
                Wait::Sooner => self.timers.sooner.wait().await,
                Wait::ForEver => return,
            }
        }
    }

    async fn step(&mut self) -> Wait {
        if !self.timers.is_caught_up.get() {
            return Wait::Sooner;
        }
        let now_ms = self.outlet.rt().wall_ms();
        let first_due_ms = self.timers.pending.borrow().first_due_ms();
        match first_due_ms {
            None => Wait::Sooner,
            Some(due_ms) if due_ms > now_ms => Wait::Ms(due_ms.saturating_sub(now_ms)),
            Some(_) => self.deliver_due(now_ms).await,
        }
    }

    async fn deliver_due(&mut self, now_ms: i64) -> Wait {
        let mut batch = std::mem::take(&mut self.batch);
        {
            let mut pending = self.timers.pending.borrow_mut();
            let first_ms = pending.first_slot_ms().unwrap_or(now_ms);
            let kept_ms = RECALLS_KEPT_SLOTS * self.options.precision_ms;
            let forget_ms = first_ms.min(now_ms.saturating_sub(kept_ms));
            pending.forget_recalls(forget_ms);
            self.recalled = self.recalled.split_off(&forget_ms);
            self.came = self.came.split_off(&forget_ms);
            pending.take_due(now_ms, BATCH_TIMERS_MAX, &mut batch);
        }
        self.timers.delivers.set(true);
        let wait = self.deliver_all(&batch).await;
        self.timers.delivers.set(false);
        self.batch = batch;
        wait
    }

    /// Appends copies of what is not recalled, then waits until they are acknowledged.
    async fn deliver_all(&mut self, batch: &[Timer]) -> Wait {
        let (mut end, mut wait, mut again) = (None, Wait::No, &[][..]);
        let mut records = VecDeque::new();
        for (nth, timer) in batch.iter().enumerate() {
            if records.is_empty() {
                records = self.read(batch.get(nth..).unwrap_or_default()).await;
            }
            let found = records.pop_front().expect("at least one is read");
            match self.one(timer, found).await {
                Ok(Done::Appended(appended)) => end = Some(appended),
                Ok(Done::Gone) => {}
                Ok(Done::Waits(near)) => {
                    again = batch.get(nth + 1..).unwrap_or_default();
                    self.timers.pending.borrow_mut().insert(&near);
                    break;
                }
                Err(NotDelivered::LeftOut) => {
                    self.timers.count(|counts| counts.left_out += 1);
                }
                Err(NotDelivered::Later) => {
                    (wait, again) = (Wait::Ms(RETRY_MS), batch.get(nth..).unwrap_or_default());
                    break;
                }
                Err(NotDelivered::Never) => return Wait::ForEver,
            }
        }
        if let Some(end) = end
            && self.outlet.passed(end).await.is_err()
        {
            return Wait::ForEver; // poisoned: what was appended may be lost
        }
        self.timers.pending.borrow_mut().put_back(again);
        wait
    }

    /// The records of the first timers.
    async fn read(&self, timers: &[Timer]) -> VecDeque<Found> {
        let mut bytes = 0;
        let fits = |timer: &&Timer| {
            let is_first = bytes == 0;
            bytes += timer.size as usize;
            is_first || bytes <= READ_BYTES_AT_ONCE
        };
        let first = timers.iter().take(READS_AT_ONCE).take_while(fits);
        let store = self.outlet.store();
        join_all(first.map(|timer| store.message_at(timer.at))).await.into()
    }

    /// What is done with one timer, whose record was read.
    async fn one(&mut self, timer: &Timer, found: Found) -> Result<Done, NotDelivered> {
        let left_out = |why: &dyn std::fmt::Display| left_out(timer, why);
        let found = match found {
            Ok(found) => found.ok_or_else(|| left_out(&"no record lies there"))?,
            Err(error) => {
                tracing::warn!("timers wait: read the message at {}: {error}", timer.at);
                return Err(NotDelivered::Later);
            }
        };
        let record = RecordView::parse(&found).map_err(|error| left_out(&error))?;
        self.check(timer, &record).map_err(|why| left_out(&why))?;
        let done = self.one_record(timer, &record).await;
        if matches!(done, Ok(Done::Appended(_) | Done::Gone) | Err(NotDelivered::LeftOut)) {
            let now_ms = self.outlet.rt().wall_ms();
            self.timers.metrics.borrow_mut().ended(timer, &record, now_ms);
        }
        done
    }

    /// The same, of a record that is one of this timer's.
    async fn one_record(
        &mut self,
        timer: &Timer,
        record: &RecordView<'_>,
    ) -> Result<Done, NotDelivered> {
        let left_out = |why: &dyn std::fmt::Display| left_out(timer, why);
        if timer.kind == Kind::Roll
            && let Some(due) = self.need_not_roll(timer, record)
        {
            return Ok(if due.slot_ms < self.done_before_ms {
                Done::Gone
            } else {
                Done::Waits(due)
            });
        }
        if timer.kind == Kind::Recall {
            let key = recalled_key(record).unwrap_or_default().to_owned();
            self.recalled.entry(timer.slot_ms).or_default().insert(key);
            return Ok(Done::Gone);
        }
        if timer.kind == Kind::Message && self.is_recalled(timer, record) {
            self.timers.count(|counts| counts.recalled += 1);
            return Ok(Done::Gone);
        }
        let copies = has_copies(record, &self.options).then(|| identity(record)).flatten();
        let copies = copies.filter(|_| timer.kind == Kind::Message);
        let came =
            |came: &Keys, key| came.get(&timer.slot_ms).is_some_and(|keys| keys.contains(key));
        if copies.as_ref().is_some_and(|key| came(&self.came, key)) {
            return Ok(Done::Gone);
        }
        let appended = match timer.kind {
            Kind::Roll => self.append(record, (TIMER_TOPIC, 0), true).await,
            Kind::Message | Kind::Recall => {
                let (topic, queue_id) = destination(record).map_err(|why| left_out(&why))?;
                if topic == TIMER_TOPIC {
                    return Err(left_out(&"it leads back to the timers"));
                }
                let there = self.outlet.queue_there(topic, queue_id);
                let queue_id = there.map_err(|why| left_out(&why))?;
                self.append(record, (topic, queue_id), false).await
            }
        };
        let appended = appended.map_err(|error| match fate(&error) {
            NotDelivered::LeftOut => left_out(&error),
            NotDelivered::Later => {
                tracing::warn!("timers wait before they are delivered: {error}");
                NotDelivered::Later
            }
            NotDelivered::Never => NotDelivered::Never,
        })?;
        if let Some(key) = copies {
            self.came.entry(timer.slot_ms).or_default().insert(key);
        }
        self.count(timer, &appended);
        Ok(Done::Appended(appended.end()))
    }

    /// The timer of a message that need not be stored once more: the life before has done so, or
    /// the broker was away and its time is near. A copy could come too late to recall what is due.
    fn need_not_roll(&self, timer: &Timer, record: &RecordView<'_>) -> Option<Timer> {
        let due = due_timer_of(record, &self.options).ok()?;
        let left_ms = due.slot_ms.saturating_sub(self.outlet.rt().wall_ms());
        let is_near = left_ms < NEAR_MS.min(self.options.roll_window_ms / 4);
        let is_done = timer.slot_ms < self.done_before_ms && left_ms < self.options.roll_window_ms;
        (is_near || is_done).then_some(due)
    }

    /// What a file of another broker led to must be a timer of this slot.
    fn check(&self, timer: &Timer, record: &RecordView<'_>) -> Result<(), String> {
        if record.topic() != TIMER_TOPIC {
            return Err(format!("it is of topic {}", record.topic()));
        }
        let found = due_timer_of(record, &self.options)?;
        if timer.kind != Kind::Roll && found.slot_ms > timer.slot_ms {
            return Err(format!("it is of slot {}, not {}", found.slot_ms, timer.slot_ms));
        }
        Ok(())
    }

    fn is_recalled(&self, timer: &Timer, record: &RecordView<'_>) -> bool {
        let Some(keys) = self.recalled.get(&timer.slot_ms) else { return false };
        key_of(record, self.options.key_has_topic).is_some_and(|key| keys.contains(&key))
    }

    async fn append(
        &self,
        record: &RecordView<'_>,
        (topic, queue_id): (&str, i32),
        rolls: bool,
    ) -> Result<Appended, crate::sends::errors::PutError> {
        let mut kept = vec![];
        properties::write_without(&mut kept, record.properties(), &SET_ANEW);
        let before = properties::get(record.properties(), names::TIMER_ROLL_TIMES);
        let times = before.and_then(|times| times.parse::<i32>().ok()).unwrap_or(0);
        if rolls || times > 0 {
            let times = times.saturating_add(i32::from(rolls));
            properties::write(&mut kept, names::TIMER_ROLL_TIMES, &times.to_string());
        }
        let taken_up_ms = record.store_timestamp_ms().to_string();
        properties::write(&mut kept, names::TIMER_ENQUEUE_MS, &taken_up_ms);
        let now_ms = self.outlet.rt().wall_ms().to_string();
        properties::write(&mut kept, names::TIMER_DEQUEUE_MS, &now_ms);
        let draft = RecordDraft {
            topic,
            queue_id,
            properties: &[&kept],
            ..draft_of(record, self.outlet.store_host())
        };
        self.outlet.append(&draft).await
    }

    fn count(&self, timer: &Timer, appended: &Appended) {
        if timer.kind == Kind::Roll {
            return self.timers.count(|counts| counts.rolled += 1);
        }
        let late_ms = appended.store_timestamp_ms.saturating_sub(timer.due_ms()).max(0);
        self.timers.lateness.borrow_mut().count(late_ms.unsigned_abs());
        self.timers.count(|counts| counts.delivered += 1);
    }
}

fn left_out(timer: &Timer, why: &dyn std::fmt::Display) -> NotDelivered {
    tracing::error!("the timer message at {} is left out: {why}", timer.at);
    NotDelivered::LeftOut
}
