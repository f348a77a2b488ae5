//! A pop on its way through its queues, step by step. It never waits: a step that has to (for the
//! disk, for room in the log) gives back what for, and [`super::take`] comes back with it.
//!
//! ```text
//!   queue: taken? ─► next message ─► read, from memory or disk ─► a checkpoint into the log
//!     ─► the queue's next message is behind it ─► next queue … ─► done
//! ```

use super::hand_out::Batch;
use super::order;
use super::records::ReviveRecord;
use super::sources::{self, Source};
use super::spill;
use super::storing::append_now;
use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::reads::pop_ask::PopAsk;
use crate::shard::Shard;
use engine::{OwnedReadRequest, PhyOffset, QueueOffset, ReadRequest, ReadSlices, ReadStatus};
use protocol::pop::ORDER_REVIVE_QUEUE;

/// What a pop asks of each queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) messages_max: usize,
    pub(super) invisible_ms: i64,
    pub(super) begins_at_end: bool,
}

/// Why a walk stopped.
#[derive(Debug)]
pub(super) enum Step {
    /// It is at its end, with what it has taken.
    Done,
    /// This is to be read from disk: [`Walk::read`] goes on.
    Cold(OwnedReadRequest),
    /// There is no room in the log for this checkpoint: [`Walk::stored`] goes on.
    Full(ReviveRecord),
}

/// Where it is in a queue that it has taken.
#[derive(Debug)]
struct At {
    source: Source,
    next: i64,
    /// The group's place was corrected already.
    is_corrected: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) ask: PopAsk,
    wanted: Wanted,
    left: std::vec::IntoIter<Source>,
    at: Option<At>,
    /// What it found there, while its checkpoint is not in the log.
    batch: Option<Batch>,
    pub(super) taken: Taken,
}

impl Walk {
    /// Nothing is taken yet.
    pub(super) fn new(shard: &mut Shard, ask: PopAsk, wanted: Wanted) -> Self {
        let left = sources::plan(shard, &ask).into_iter();
        let revive_queue =
            if ask.order { ORDER_REVIVE_QUEUE } else { shard.services.pops.next_revive_queue() };
        let taken = Taken { pop_time_ms: shard.cx.now_ms(), revive_queue, ..Taken::default() };
        Self { ask, wanted, left, at: None, batch: None, taken }
    }

    /// Goes on until it has to wait, or is done.
    pub(super) fn go_on(&mut self, shard: &mut Shard) -> Result<Step, Refusal> {
        loop {
            if self.at.is_none() && !self.enter_next(shard) {
                return Ok(Step::Done);
            }
            let Some(at) = &self.at else { continue };
            let request = self.request(at);
            let mut found = ReadSlices::default();
            let status = shard.cx.store.read(&request, &mut found);
            let stopped = if status == ReadStatus::Cold {
                Some(Step::Cold(request.to_owned()))
            } else {
                self.read(shard, status, found)?
            };
            if let Some(step) = stopped {
                return Ok(step);
            }
        }
    }

    /// Takes the next queue that is to be read; false when there is none left.
    fn enter_next(&mut self, shard: &mut Shard) -> bool {
        for source in self.left.by_ref() {
            if !sources::take(shard, &source) {
                self.taken.rest += sources::left(shard, &source.key);
                continue;
            }
            let next = sources::next_message(shard, &source, self.wanted.begins_at_end);
            // What waits behind messages that block their queue is no news: it would wake pops in
            // vain.
            let queue_id = source.key.queue_id;
            let is_blocked = self.ask.order && order::is_blocked(shard, &self.ask, queue_id);
            if !is_blocked && self.taken.messages < self.wanted.messages_max {
                self.at = Some(At { source, next, is_corrected: false });
                return true;
            }
            if !is_blocked {
                self.taken.rest += sources::left(shard, &source.key);
            }
            sources::give_back(shard, &self.ask, &source);
        }
        false
    }

    fn request<'a>(&'a self, at: &'a At) -> ReadRequest<'a> {
        ReadRequest {
            topic: &at.source.key.topic,
            queue_id: at.source.key.queue_id,
            offset: QueueOffset(at.next),
            max_messages: self.wanted.messages_max - self.taken.messages,
            max_bytes: usize::MAX, // the store's own limits decide, as for a pull
            filter: self.ask.filter.as_tag_filter(),
            as_asked: false,
        }
    }

    /// Takes what was read of the queue where it is. `None`: it goes on.
    pub(super) fn read(
        &mut self,
        shard: &mut Shard,
        status: ReadStatus,
        found: ReadSlices,
    ) -> Result<Option<Step>, Refusal> {
        let at = self.at.as_mut().expect("it has taken the queue that was read");
        let next = found.next_begin_offset.0;
        let is_off = matches!(
            status,
            ReadStatus::OffsetTooSmall
                | ReadStatus::OffsetOverflowBadly
                | ReadStatus::OffsetFoundNull
        );
        if is_off {
            sources::correct(shard, &at.source.key, next);
            at.next = next;
            if !std::mem::replace(&mut at.is_corrected, true) {
                return Ok(None);
            }
        } else if status == ReadStatus::Found {
            return self.found(shard, found);
        } else if matches!(status, ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving)
            && next > at.next
        {
            passed(shard, &self.ask, &at.source, next);
        }
        self.leave(shard);
        Ok(None)
    }

    fn found(&mut self, shard: &mut Shard, found: ReadSlices) -> Result<Option<Step>, Refusal> {
        let At { source, next: from, .. } = self.at.as_ref().expect("it was read");
        let batch = Batch::new(source.clone(), *from, found);
        let invisible_ms = self.wanted.invisible_ms;
        if self.ask.order {
            let queue_id = source.key.queue_id;
            let ordered = order::Ordered { queue_id, from: *from, offsets: &batch.offsets };
            if order::popped(shard, &self.ask, ordered, invisible_ms, &mut self.taken) {
                batch.hand_out(shard, &self.ask, invisible_ms, &mut self.taken);
                self.leave(shard);
            } else {
                self.give_back(shard);
            }
            return Ok(None);
        }
        if spill::keep(shard, &batch, invisible_ms, &self.taken) {
            batch.hand_out(shard, &self.ask, invisible_ms, &mut self.taken);
            self.leave(shard);
            return Ok(None);
        }
        let record = batch.check_point(shard, invisible_ms, &self.taken)?;
        let stored = append_now(shard, &record);
        self.batch = Some(batch);
        match stored? {
            Some(end) => {
                self.stored(shard, end);
                Ok(None)
            }
            None => Ok(Some(Step::Full(record))),
        }
    }

    /// The checkpoint of what it found is in the log and ends here: the group's next message is
    /// behind it.
    pub(super) fn stored(&mut self, shard: &mut Shard, end: PhyOffset) {
        let batch = self.batch.take().expect("its checkpoint was stored");
        self.taken.end = Some(end);
        let appended = shard.cx.store.appended();
        shard.services.pops.cursors.advance(&batch.source.key, batch.next, appended);
        batch.hand_out(shard, &self.ask, self.wanted.invisible_ms, &mut self.taken);
        self.leave(shard);
    }

    /// It is done with the queue where it is.
    fn leave(&mut self, shard: &mut Shard) {
        if let Some(at) = &self.at {
            self.taken.rest += sources::left(shard, &at.source.key);
        }
        self.give_back(shard);
    }

    /// Gives back the queue where it is, if it is in one.
    pub(super) fn give_back(&mut self, shard: &mut Shard) {
        if let Some(At { source, .. }) = self.at.take() {
            sources::give_back(shard, &self.ask, &source);
        }
    }
}

/// Messages that the group does not want are passed.
fn passed(shard: &mut Shard, ask: &PopAsk, source: &Source, next: i64) {
    if ask.order {
        sources::commit(shard, &source.key, next);
    } else {
        let end = shard.cx.store.appended();
        shard.services.pops.cursors.advance(&source.key, next, end);
    }
}
