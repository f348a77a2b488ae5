//! Acknowledgements that came in one turn of the loop: those of one checkpoint become one record.
//!
//! ```text
//!   turn:  ack a1 │ ack a2 │ ack b7 │ ack a3   ─► its end:  bAck a [1, 2, 3] │ ack b 7   ─► answers
//! ```
//!
//! Clients acknowledge one by one what a pop brought, and often in one go. Each record costs two
//! writes into the log, a timer and a merge; an acknowledgement waits for no longer than the rest
//! of its turn. Pure.

use crate::answers::ticket::Ticket;
use crate::limits::ACKS_PER_REQUEST_MAX;
use protocol::bodies::AckMessage;

/// So many checkpoints of the turn are looked at for the one of an acknowledgement, from the last:
/// what one pop brought is acknowledged in a row.
const LOOKS_MAX: usize = 8;

/// The checkpoint of a message, as its receipt says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Of<'a> {
    /// The topic that the message lies in.
    pub(crate) topic: &'a str,
    /// Who consumes it.
    pub(crate) group: &'a str,
    /// Its queue.
    pub(crate) queue_id: i32,
    /// The first queue offset of the checkpoint.
    pub(crate) start_offset: i64,
    /// When it was popped.
    pub(crate) pop_time_ms: i64,
    /// Which broker gave it.
    pub(crate) broker: Option<&'a str>,
    /// Where its checkpoint goes.
    pub(crate) revive_queue: i32,
    /// When its invisible time is over.
    pub(crate) due_ms: i64,
}

/// Acknowledgements of one checkpoint, and where they go.
#[derive(Debug)]
pub(crate) struct Ready {
    /// Their record.
    pub(crate) ack: AckMessage,
    /// The queue of the revive topic.
    pub(crate) revive_queue: i32,
    /// When they go there.
    pub(crate) due_ms: i64,
}

/// A request that waits for records.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    /// The places of its records.
    pub(super) records: Places,
}

/// Places of records that are gathered.
#[derive(Debug, Default)]
pub(crate) struct Places {
    first: Option<usize>,
    /// A batch may have several checkpoints.
    more: Vec<usize>,
}

impl Places {
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// None.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn add(&mut self, place: usize) {
        match self.first {
            None => self.first = Some(place),
            Some(first) if first == place || self.more.last() == Some(&place) => {}
            Some(_) => self.more.push(place),
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    acks: Vec<Ready>,
    waiting: Vec<Waiting>,
}

impl Gathered {
    /// A message of a checkpoint is acknowledged; the place of its record comes to `places`.
    pub(crate) fn add(&mut self, of: Of<'_>, offset: i64, places: &mut Places) {
        let last = self.acks.iter_mut().enumerate().rev().take(LOOKS_MAX);
        let same = last.into_iter().find_map(|(at, ready)| Some((at, ready.offsets_of(of)?)));
        let place = match same {
            Some((place, offsets)) => {
                offsets.push(offset);
                place
            }
            None => {
                self.acks.push(Ready::gathered(of, offset));
                self.acks.len() - 1
            }
        };
        places.add(place);
    }

    /// Who is answered when these are stored.
    pub(crate) fn wait(&mut self, ticket: Ticket, records: Places) {
        self.waiting.push(Waiting { ticket, records });
    }

    /// Nothing is to be stored.
    pub(super) fn is_empty(&self) -> bool {
        self.acks.is_empty() && self.waiting.is_empty()
    }

    /// Takes all out: records, and who waits for them.
    pub(super) fn take(&mut self) -> (Vec<Ready>, Vec<Waiting>) {
        let mut acks = std::mem::take(&mut self.acks);
        acks.iter_mut().for_each(Ready::seal);
        (acks, std::mem::take(&mut self.waiting))
    }
}

impl Ready {
    /// One message's alone.
    pub(crate) fn new(of: Of<'_>, offset: i64) -> Self {
        let mut ready = Self::gathered(of, offset);
        ready.seal();
        ready
    }

    /// One message's, to which others come.
    fn gathered(of: Of<'_>, offset: i64) -> Self {
        let ack = AckMessage {
            offset: -1,
            offsets: Some(vec![offset]),
            broker: of.broker.map(str::to_owned),
            group: Some(of.group.to_owned()),
            pop_time_ms: of.pop_time_ms,
            queue_id: of.queue_id,
            start_offset: of.start_offset,
            topic: Some(of.topic.to_owned()),
        };
        Self { ack, revive_queue: of.revive_queue, due_ms: of.due_ms }
    }

    /// Their checkpoint.
    pub(super) fn of(&self) -> Option<Of<'_>> {
        Some(Of {
            topic: self.ack.topic.as_deref()?,
            group: self.ack.group.as_deref()?,
            queue_id: self.ack.queue_id,
            start_offset: self.ack.start_offset,
            pop_time_ms: self.ack.pop_time_ms,
            broker: self.ack.broker.as_deref(),
            revive_queue: self.revive_queue,
            due_ms: self.due_ms,
        })
    }

    /// Its list, if it is of this checkpoint and has room.
    fn offsets_of(&mut self, of: Of<'_>) -> Option<&mut Vec<i64>> {
        let is_it = self.of() == Some(of);
        self.ack.offsets.as_mut().filter(|offsets| is_it && offsets.len() < ACKS_PER_REQUEST_MAX)
    }

    /// One alone is an "ack", several are a "bAck".
    fn seal(&mut self) {
        if let Some(&[offset]) = self.ack.offsets.as_deref() {
            self.ack.offset = offset;
            self.ack.offsets = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Of<'static> = Of {
        topic: "T",
        group: "g",
        queue_id: 1,
        start_offset: 10,
        pop_time_ms: 1_000,
        broker: Some("b"),
        revive_queue: 2,
        due_ms: 9_000,
    };

    fn taken(gathered: &mut Gathered) -> Vec<(i64, Option<Vec<i64>>)> {
        gathered.take().0.into_iter().map(|ready| (ready.ack.offset, ready.ack.offsets)).collect()
    }

    #[test]
    fn those_of_one_checkpoint_are_one_record() {
        let mut gathered = Gathered::default();
        let other = Of { start_offset: 50, ..OF };
        let mut places = Places::default();
        for (of, offset) in [(OF, 11), (OF, 12), (other, 57), (OF, 13)] {
            gathered.add(of, offset, &mut places);
        }
        assert_eq!(places.iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(taken(&mut gathered), [(-1, Some(vec![11, 12, 13])), (57, None)]);
        assert!(gathered.is_empty());
    }

    #[test]
    fn those_that_differ_in_anything_are_records_of_their_own() {
        let others = [
            Of { topic: "U", ..OF },
            Of { group: "h", ..OF },
            Of { queue_id: 2, ..OF },
            Of { start_offset: 11, ..OF },
            Of { pop_time_ms: 1_001, ..OF },
            Of { broker: None, ..OF },
            Of { revive_queue: 3, ..OF },
            Of { due_ms: 9_001, ..OF },
        ];
        for other in others {
            let mut gathered = Gathered::default();
            gathered.add(OF, 10, &mut Places::default());
            gathered.add(other, 10, &mut Places::default());
            assert_eq!(taken(&mut gathered), [(10, None), (10, None)], "{other:?}");
        }
    }

    #[test]
    fn a_record_has_no_more_than_a_request_may_have() {
        let mut gathered = Gathered::default();
        for _ in 0..=ACKS_PER_REQUEST_MAX {
            gathered.add(OF, 10, &mut Places::default());
        }
        let lengths: Vec<usize> = taken(&mut gathered)
            .into_iter()
            .map(|(_, offsets)| offsets.map_or(1, |offsets| offsets.len()))
            .collect();
        assert_eq!(lengths, [ACKS_PER_REQUEST_MAX, 1]);
    }
}
