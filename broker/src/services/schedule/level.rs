//! The task of one delay level.

use super::deliver;
use super::due::{Due, Head, Now};
use super::home::Home;
use crate::checked;
use crate::services::delivery::arrived::Arrived;
use crate::services::delivery::message::NotDelivered;
use crate::services::delivery::read::{Found, Read, read};
use engine::{PhyOffset, ReadError};
use futures_lite::future::yield_now;
use protocol::names::SCHEDULE_TOPIC;
use protocol::properties::{self, names};
use protocol::record::{RecordView, records};
use rt::Runtime as _;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Messages read at once. Those that are not due yet are remembered by when they are.
const BATCH_MESSAGES_MAX: usize = 32;
/// The longest sleep: a clock that is set forward is noticed then.
const SLEEP_MS_MAX: i64 = 10_000;
/// Between two attempts when a read or a delivery failed.
const RETRY_MS: i64 = 1_000;

/// One level.
pub(super) struct Level<H> {
    home: H,
    level: i32,
    due: Due,
    /// The first message that is not delivered.
    next: i64,
    /// The messages from there on, as far as they were looked at.
    upcoming: VecDeque<Head>,
    arrived: Rc<Arrived>,
}

/// What a level waits for.
enum Wait {
    /// Nothing: there is more to do.
    No,
    /// So many milliseconds.
    Ms(i64),
    /// A message in its queue.
    Arrival,
    /// The end: the shard stops, or its log takes nothing any more.
    ForEver,
}

impl<H: Home> Level<H> {
    /// Goes on with the message at `next`.
    pub(super) fn new(home: H, level: i32, next: i64) -> Self {
        let delay_ms = home.delay_levels().due_ms(level, 0);
        Self {
            level,
            due: Due::new(delay_ms.expect("levels begin at 1")),
            next,
            upcoming: VecDeque::new(),
            arrived: home.with_schedule(|schedule, _| schedule.add()),
            home,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.step().await {
                Wait::No => yield_now().await,
                Wait::Ms(ms) => {
                    let ms = ms.clamp(0, SLEEP_MS_MAX).unsigned_abs();
                    self.home.rt().sleep(Duration::from_millis(ms)).await;
                }
                Wait::Arrival => self.arrived.wait().await,
                Wait::ForEver => return,
            }
        }
    }

    /// Delivers what is due, a batch at most.
    async fn step(&mut self) -> Wait {
        if self.home.is_stopping() {
            return Wait::ForEver;
        }
        let mut wanted = BATCH_MESSAGES_MAX;
        if let Some(first) = self.upcoming.front().copied() {
            let wait_ms = self.wait_ms(first);
            if wait_ms > 0 {
                return Wait::Ms(wait_ms);
            }
            wanted = self.due_now();
        }
        let queue = (SCHEDULE_TOPIC, self.level - 1);
        match read(self.home.store(), queue, self.next, wanted).await {
            Ok(Read::Found(found)) => self.deliver_due(&found).await,
            Ok(Read::End) => Wait::Arrival,
            Ok(Read::Gap { next }) => {
                self.go_on_at(next);
                self.progress();
                Wait::No
            }
            Err(ReadError::TooMuchMemory { .. }) => Wait::Ms(RETRY_MS),
            Err(error) => {
                tracing::error!("delay level {}: read message {}: {error}", self.level, self.next);
                Wait::Ms(RETRY_MS)
            }
        }
    }

    /// How many of the messages that were looked at are due, a batch at most.
    fn due_now(&mut self) -> usize {
        let now = self.now();
        let (due, upcoming) = (&mut self.due, &self.upcoming);
        let is_due = |head: &&Head| due.wait_ms(**head, now) == 0;
        upcoming.iter().take(BATCH_MESSAGES_MAX).take_while(is_due).count()
    }

    fn wait_ms(&mut self, head: Head) -> i64 {
        let now = self.now();
        self.due.wait_ms(head, now)
    }

    fn now(&self) -> Now {
        let range = self.home.store().queue_range(SCHEDULE_TOPIC, self.level - 1);
        Now {
            wall_ms: self.home.rt().wall_ms(),
            monotonic_ms: checked::to_i64(self.home.rt().now_nanos() / 1_000_000),
            queue_end: range.unwrap_or_default().max_offset.0,
        }
    }

    /// Delivers what is due of what was read, and then moves progress on.
    async fn deliver_due(&mut self, found: &Found) -> Wait {
        self.home.with_schedule(|schedule, _| schedule.under_way += 1);
        let mut end = None;
        let mut wait = self.deliver_all(found, &mut end).await;
        if let Some(end) = end
            && self.home.passed(end).await.is_err()
        {
            wait = Wait::ForEver; // poisoned: what was appended may be lost
        } else {
            self.progress();
        }
        self.home.with_schedule(|schedule, _| schedule.under_way -= 1);
        wait
    }

    /// Appends what is due, in order; `end` is where the last copy ends.
    async fn deliver_all(&mut self, found: &Found, end: &mut Option<PhyOffset>) -> Wait {
        let looks_ahead = self.upcoming.is_empty();
        let all = found.slices.iter().flat_map(|slice| records(slice));
        for record in all {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    tracing::error!("delay level {}: after {}: {error}", self.level, self.next);
                    self.upcoming.clear();
                    return Wait::Ms(RETRY_MS);
                }
            };
            let head = self.head_of(&record);
            if !self.upcoming.is_empty() && looks_ahead || self.wait_ms(head) > 0 {
                if !looks_ahead {
                    return Wait::No;
                }
                self.upcoming.push_back(head);
                continue;
            }
            match deliver::deliver(&self.home, self.level, &record, head.due_ms).await {
                Ok(appended) => *end = Some(appended),
                Err(NotDelivered::LeftOut) => {}
                Err(NotDelivered::Later) => {
                    self.upcoming.clear();
                    return Wait::Ms(RETRY_MS);
                }
                Err(NotDelivered::Never) => return Wait::ForEver,
            }
            self.go_on_at(head.offset + 1);
        }
        if self.upcoming.is_empty() {
            self.go_on_at(found.next);
        }
        Wait::No
    }

    fn head_of(&self, record: &RecordView<'_>) -> Head {
        let levels = self.home.delay_levels();
        let asked = properties::get(record.properties(), names::DELAY_TIME_LEVEL);
        let asked = asked.and_then(|level| level.parse().ok()).filter(|level| *level > 0);
        let due_ms = levels.due_ms(asked.unwrap_or(self.level), record.store_timestamp_ms());
        Head { offset: record.queue_offset(), due_ms: due_ms.expect("levels begin at 1") }
    }

    fn go_on_at(&mut self, offset: i64) {
        self.next = offset;
        while self.upcoming.pop_front_if(|head| head.offset < offset).is_some() {}
    }

    fn progress(&self) {
        let now_ms = self.home.rt().wall_ms();
        self.home.with_schedule(|_, offsets| offsets.advance(self.level, self.next, now_ms));
    }
}
