//! Revives what nobody acknowledged in time (Apache's `PopReviveService`): one task for each queue
//! of the revive topic.
//!
//! ```text
//!   revive queue ─► checkpoints and acknowledgements ─► merge ─► time is over, settled
//!     ─► each missing message: read where it lies ─► a copy in the retry topic, one attempt more
//!     ─► all acknowledged ─► the checkpoint is done ─► frontier ─ flushed ─► consumerOffset.json
//! ```
//!
//! A kill between the copies and the saved frontier has them made again: consumers get duplicates,
//! nothing is lost.

use super::merge::{Due, Merge};
use super::outlet::{Goes, ReviveOutlet};
use crate::limits::CHECKPOINTS_READ_MAX;
use crate::sends::message::draft_of;
use crate::services::delivery::arrived::Arrived;
use crate::services::delivery::message::{NotDelivered, fate};
use crate::services::delivery::read::{Found, Read, read};
use engine::{PhyOffset, ReadError};
use futures_lite::future::{or, yield_now};
use protocol::bodies::{AckMessage, CheckPoint};
use protocol::json;
use protocol::pop::{ACK_TAG, BATCH_ACK_TAG, CHECKPOINT_TAG};
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView, records};
use rt::{BufSlice, Runtime as _};
use serde::de::DeserializeOwned;
use std::rc::Rc;
use std::time::Duration;

/// Records read at once.
const BATCH_MESSAGES_MAX: usize = 256;
/// Between two attempts when a read or a copy failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often it looks whether a moment is settled that is near.
const LOOK: Duration = Duration::from_millis(200);
/// When a message was popped first, in milliseconds since 1970.
const FIRST_POP_TIME: &str = "1ST_POP_TIME";
/// The group whose retry topic a message is in.
const ORIGIN_GROUP: &str = "ORIGIN_GROUP";
/// The checksum of the record that a copy is made of: the copy gets its own.
const CRC_PROPERTY: &str = "__CRC32#";

/// The task of one revive queue.
pub(super) struct Revive<O> {
    outlet: O,
    topic: Rc<str>,
    queue_id: i32,
    broker: String,
    arrived: Rc<Arrived>,
    merge: Merge,
    /// The next record to read.
    next: i64,
    /// What was told to be done.
    told: i64,
    /// The latest time that a record which was read waited for.
    read_ms: i64,
}

enum Wait {
    No,
    Look,
    Retry,
    Arrival,
    ForEver,
}

impl<O: ReviveOutlet> Revive<O> {
    pub(super) fn new(outlet: O, topic: Rc<str>, queue_id: i32, arrived: Rc<Arrived>) -> Self {
        let broker = outlet.broker();
        let first = outlet.store().queue_range(&topic, queue_id).unwrap_or_default().min_offset.0;
        let told = outlet.saved(&topic, queue_id).unwrap_or(-1).max(first - 1);
        let merge = Merge::default();
        Self {
            outlet,
            topic,
            queue_id,
            broker,
            arrived,
            merge,
            next: told + 1,
            told,
            read_ms: i64::MIN,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.outlet.is_stopping() {
            match self.step().await {
                Wait::No => yield_now().await,
                Wait::Look => {
                    or(self.outlet.rt().sleep(LOOK), self.arrived.wait()).await;
                }
                Wait::Retry => self.outlet.rt().sleep(RETRY).await,
                Wait::Arrival => self.arrived.wait().await,
                Wait::ForEver => return,
            }
        }
    }

    /// What is settled is asked before the queue is read: what comes behind that is not missed.
    async fn step(&mut self) -> Wait {
        let settled_ms = self.outlet.settled_ms();
        let is_full = match self.read_to_end().await {
            Ok(is_full) => is_full,
            Err(ReadError::TooMuchMemory { .. }) => return Wait::Retry,
            Err(error) => {
                tracing::warn!("reviving waits: read {}: {error}", self.topic);
                return Wait::Retry;
            }
        };
        // Records come in the order of their times: of what was read up to one, nothing is missing.
        let settled_ms = if is_full { settled_ms.min(self.read_ms) } else { settled_ms };
        self.outlet.busy(true);
        let mut wait = Wait::Look;
        while let Some(due) = self.merge.next_due(settled_ms) {
            match self.revive(&due).await {
                Ok(()) => self.tell(),
                Err(NotDelivered::Never) => {
                    wait = Wait::ForEver;
                    break;
                }
                Err(NotDelivered::Later | NotDelivered::LeftOut) => {
                    wait = Wait::Retry;
                    break;
                }
            }
            if self.outlet.is_stopping() {
                break;
            }
        }
        self.tell();
        self.outlet.busy(false);
        match (wait, self.merge.first_due_ms()) {
            (Wait::Look, _) if is_full => Wait::No,
            (Wait::Look, None) => Wait::Arrival,
            (wait, _) => wait,
        }
    }

    /// Reads what is there, or until so much waits that some of it is judged first: then true.
    async fn read_to_end(&mut self) -> Result<bool, ReadError> {
        loop {
            let place = (&*self.topic, self.queue_id);
            match read(self.outlet.store(), place, self.next, BATCH_MESSAGES_MAX).await {
                Ok(Read::Found(found)) => self.take(&found),
                Ok(Read::Gap { next }) if next > self.next => self.next = next,
                Ok(Read::End | Read::Gap { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.merge.len() >= CHECKPOINTS_READ_MAX {
                return Ok(true);
            }
            yield_now().await;
        }
    }

    fn take(&mut self, found: &Found) {
        for record in found.slices.iter().flat_map(|slice| records(slice)).filter_map(Result::ok) {
            let at = record.queue_offset();
            let said = |name| properties::get(record.properties(), name);
            let due_ms = said(names::TIMER_DELIVER_MS).and_then(|text| text.parse().ok());
            self.read_ms = self.read_ms.max(due_ms.unwrap_or(i64::MIN));
            let tag = said(names::TAGS);
            match tag {
                Some(CHECKPOINT_TAG) => {
                    if let Some(point) = body::<CheckPoint>(&record) {
                        self.merge.check_point(at, point);
                    }
                }
                Some(ACK_TAG | BATCH_ACK_TAG) => {
                    if let Some(ack) = body::<AckMessage>(&record) {
                        self.merge.ack(&ack, &self.broker);
                    }
                }
                _ => tracing::error!("record {at} of {} is none of POP's: left out", self.topic),
            }
        }
        self.next = found.next;
    }

    fn tell(&mut self) {
        let last = self.merge.frontier(self.next) - 1;
        if last > self.told {
            self.told = last;
            self.outlet.done(&self.topic, self.queue_id, last);
        }
    }

    /// Copies what is missing of a checkpoint. One message after the other is done; the rest waits
    /// when one can't be copied now.
    async fn revive(&mut self, due: &Due) -> Result<(), NotDelivered> {
        let mut copied = vec![];
        let mut outcome = Ok(());
        for place in &due.missing {
            match self.revive_one(&due.point, *place).await {
                Ok(end) => copied.push((*place, end)),
                Err(NotDelivered::LeftOut) => copied.push((*place, None)),
                Err(why) => {
                    outcome = Err(why);
                    break;
                }
            }
        }
        let end = copied.iter().filter_map(|(_, end)| *end).max();
        if let Some(end) = end
            && self.outlet.passed(end).await.is_err()
        {
            return Err(NotDelivered::Never); // poisoned: what was appended may be lost
        }
        copied.iter().for_each(|(place, _)| self.merge.done(due.at, *place));
        outcome
    }

    /// Where its copy ends in the log; `None` when there is nothing to copy.
    async fn revive_one(
        &self,
        point: &CheckPoint,
        place: usize,
    ) -> Result<Option<PhyOffset>, NotDelivered> {
        let (Some(offset), Some(topic), Some(group)) =
            (point.offset(place), &point.topic, &point.group)
        else {
            return Ok(None);
        };
        let Some(found) = self.message(topic, point.queue_id, offset).await? else {
            return Ok(None);
        };
        let Ok(record) = RecordView::parse(&found) else { return Ok(None) };
        let attempts = if point.suspend { i32::MIN } else { record.reconsume_times() };
        let goes = self.outlet.goes(topic, group, attempts);
        let to = match &goes {
            Goes::Retry(topic) | Goes::DeadLetters(topic) => topic,
            Goes::Nowhere => return Ok(None),
            Goes::Later(why) => {
                tracing::warn!("reviving waits: {why}");
                return Err(NotDelivered::Later);
            }
        };
        let kept = revived_properties(&record, point, group);
        let host = self.outlet.store_host();
        let draft = RecordDraft {
            topic: to,
            queue_id: 0,
            reconsume_times: record.reconsume_times().saturating_add(i32::from(!point.suspend)),
            born_host: host,
            properties: &[&kept],
            ..draft_of(&record, host)
        };
        match self.outlet.append(&draft).await {
            Ok(appended) => {
                self.outlet.count(&goes);
                Ok(Some(appended.end()))
            }
            Err(error) => {
                tracing::warn!("reviving message {offset} of {topic} for {group}: {error}");
                Err(fate(&error))
            }
        }
    }

    /// The message, while it is there.
    async fn message(
        &self,
        topic: &str,
        queue_id: i32,
        offset: i64,
    ) -> Result<Option<BufSlice>, NotDelivered> {
        let found = match read(self.outlet.store(), (topic, queue_id), offset, 1).await {
            Ok(Read::Found(found)) => found,
            Ok(Read::End | Read::Gap { .. }) => return Ok(None),
            Err(error) => {
                tracing::warn!("reviving waits: message {offset} of {topic}: {error}");
                return Err(NotDelivered::Later);
            }
        };
        let is_it = |slice: &BufSlice| {
            RecordView::parse(slice).is_ok_and(|record| record.queue_offset() == offset)
        };
        Ok(found.slices.into_iter().find(is_it))
    }
}

fn body<T: DeserializeOwned>(record: &RecordView<'_>) -> Option<T> {
    json::from_lenient(record.body())
        .inspect_err(|error| {
            let at = record.physical_offset();
            tracing::error!("the record of POP at {at} can't be read and is left out: {error}");
        })
        .ok()
}

/// The message's own, with when it was popped first and by which group.
fn revived_properties(record: &RecordView<'_>, point: &CheckPoint, group: &str) -> Vec<u8> {
    let first = properties::get(record.properties(), FIRST_POP_TIME);
    let first = first.filter(|_| record.reconsume_times() > 0).map(str::to_owned);
    let first = first.unwrap_or_else(|| point.pop_time_ms.to_string());
    let set = [FIRST_POP_TIME, ORIGIN_GROUP, CRC_PROPERTY, names::POP_CK];
    let mut kept = vec![];
    properties::write_without(&mut kept, record.properties(), &set);
    properties::write(&mut kept, FIRST_POP_TIME, &first);
    properties::write(&mut kept, ORIGIN_GROUP, group);
    kept
}
