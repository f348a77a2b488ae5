//! What POP keeps of one shard, and shares with the rest of it.

use super::blocked::Blocked;
use super::buffer::{Acked, Buffer, Point};
use super::cursors::{Cursors, Key};
use super::gather::{Gathered, Of};
use super::settled::{Settled, TimersAt};
use crate::config::BufferOptions;
use crate::services::delivery::arrived::Arrived;
use engine::PhyOffset;
use protocol::pop::{REVIVE_GROUP, REVIVE_TOPIC_PREFIX};
use std::cell::Cell;
use std::rc::Rc;

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages that pops handed out.
    pub(crate) popped: u64,
    /// Messages that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Messages whose time was over and that are in their retry topic.
    pub(crate) revived: u64,
    /// Messages that went to the dead letters instead.
    pub(crate) dead: u64,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Pops {
    /// Where groups are that pop.
    pub(crate) cursors: Cursors,
    /// Checkpoints that wait in memory.
    pub(crate) buffer: Buffer,
    /// A task writes those that leave it.
    pub(super) spills: bool,
    /// What was acknowledged in this turn.
    pub(crate) gathered: Gathered,
    /// Queues that ordered pops block.
    pub(super) blocked: Blocked,
    /// Up to when acknowledgements are in the revive topic.
    settled: Settled,
    /// The revive queues' tasks, by queue.
    revive: Vec<Rc<Arrived>>,
    /// A task puts messages into retry topics at this moment.
    pub(super) revives: Rc<Cell<usize>>,
    /// Checkpoints given out: they go round the revive queues.
    given: u64,
    /// See there.
    pub(crate) counts: Counts,
}

impl Pops {
    /// How many revive queues there are, at the start.
    pub(super) fn begin(&mut self, queues: usize) -> &[Rc<Arrived>] {
        self.revive = (0..queues).map(|_| Rc::default()).collect();
        &self.revive
    }

    /// The revive queue of the next checkpoint.
    pub(super) fn next_revive_queue(&mut self) -> i32 {
        let queues = u64::try_from(self.revive.len().max(1)).expect("a few");
        let queue = self.given % queues;
        self.given += 1;
        i32::try_from(queue).expect("a few")
    }

    /// Whether a receipt may name this revive queue.
    pub(crate) fn has_revive_queue(&self, queue: i32) -> bool {
        usize::try_from(queue).is_ok_and(|queue| queue < self.revive.len())
    }

    /// Something is in a topic: perhaps the revive topic.
    pub(crate) fn arrived(&self, topic: &str, queue_id: i32) {
        if !topic.starts_with(REVIVE_TOPIC_PREFIX) {
            return;
        }
        if let Some(arrived) = usize::try_from(queue_id).ok().and_then(|id| self.revive.get(id)) {
            arrived.notify();
        }
    }

    /// Up to which moment no acknowledgement comes any more that was accepted before.
    pub(super) fn settled_ms(&mut self, now_ms: i64, at: TimersAt) -> i64 {
        self.settled.upto(now_ms, at)
    }

    /// Everything in a revive queue up to `last` is done; a start may know it when the log is
    /// flushed up to `end`, its end at this moment.
    pub(super) fn revived(&mut self, topic: &Rc<str>, queue_id: i32, last: i64, end: PhyOffset) {
        let key = Key { topic: topic.clone(), group: Rc::from(REVIVE_GROUP), queue_id };
        self.cursors.advance(&key, last, end);
    }

    /// Keeps a checkpoint in memory, behind which its group goes on at `next`; false when it has to
    /// be written.
    pub(super) fn keep(
        &mut self,
        point: Point,
        next: i64,
        now_ms: i64,
        options: &BufferOptions,
    ) -> bool {
        if self.cursors.held(&point.key) >= options.steps_max {
            return false;
        }
        let key = point.key.clone();
        let Some(id) = self.buffer.add(point, now_ms, options) else { return false };
        self.cursors.hold(&key, next, id);
        true
    }

    /// Takes an acknowledgement of a checkpoint that is in memory, of `own`, this broker, while the
    /// log ends at `end`; false when it has to be written.
    pub(super) fn ack_kept(&mut self, of: Of<'_>, offset: i64, own: &str, end: PhyOffset) -> bool {
        match self.buffer.ack(of, offset, own) {
            Acked::No => return false,
            Acked::Here => {}
            Acked::Done(key, id) => self.cursors.release(&key, id, end),
        }
        self.counts.acknowledged += 1;
        true
    }

    /// Whether a task is to begin that writes what has to leave the buffer.
    pub(super) fn begins_to_spill(&mut self, now_ms: i64) -> bool {
        let begins = !self.spills && self.buffer.is_due(now_ms);
        self.spills |= begins;
        begins
    }

    /// Whether nothing is on its way into the log.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.revives.get() == 0 && self.cursors.taken() == 0 && !self.spills
    }
}
