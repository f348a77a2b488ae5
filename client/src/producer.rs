//! Gathers records into produce frames and gives each record its own completion.
//!
//! ```text
//!   add(message) -> Ticket        close: linger is over, batch is full, or flush
//!      └─ open batch: records of any topics and queues ──▶ one Produce frame ──▶ in flight ──▶ one Completion per ticket
//! ```
//!
//! Each connection has one. A record is never sent twice: records that were in flight when a
//! connection was lost complete as unknown. Records that were still gathering go out on the next
//! connection. Bounded by [`ProducerConfig`]; in steady state nothing is allocated.

use crate::answer::Produced;
use crate::connection::Connection;
use crate::error::{ClientError, Operation, Result};
use crate::limits::COMPLETIONS_MAX;
use crate::record::{Message, RecordLayout, RecordWriter};
use protocol::checked::nanos;
use protocol::native::{Ack, Placed, Produce, Stages, Welcome};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// How a producer gathers records, and its limits.
#[derive(Clone, Copy, Debug)]
pub struct ProducerConfig {
    /// How long a batch gathers. With zero, the records of one turn go out together.
    pub linger: Duration,
    /// A batch with this many bytes is sent at once.
    pub batch_bytes: usize,
    /// A batch with this many records is sent at once. The broker's own limit applies too.
    pub batch_records: u32,
    /// Most bytes of records that gather or are unacknowledged.
    pub in_flight_bytes_max: usize,
    /// Most unanswered frames.
    pub in_flight_frames_max: usize,
    /// When the broker acknowledges.
    pub ack: Ack,
    /// Whether acknowledgements contain the time spent in each stage.
    pub wants_stages: bool,
    /// How long a record may gather or be unacknowledged.
    pub timeout: Duration,
}

impl Default for ProducerConfig {
    /// No linger, 64 KiB a batch, 16 MiB and 256 unanswered frames, acknowledged as the broker is
    /// configured, a timeout of 3 s.
    fn default() -> Self {
        Self {
            linger: Duration::ZERO,
            batch_bytes: 64 * 1024,
            batch_records: 1_024,
            in_flight_bytes_max: 16 << 20,
            in_flight_frames_max: 256,
            ack: Ack::Configured,
            wants_stages: false,
            timeout: Duration::from_secs(3),
        }
    }
}

/// Identifies a record until its completion. Tickets of one connection count up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Which connection: the shard's number in the client.
    pub shard: u32,
    /// Counts that connection's records.
    pub number: u64,
}

/// A record is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its index in its queue.
    pub queue_offset: i64,
    /// Offset of its first byte in the shard's CommitLog.
    pub physical_offset: i64,
    /// When the broker stored it, in milliseconds since 1970.
    pub store_timestamp_ms: i64,
    /// Stored, but the flush took longer than the broker's `syncFlushTimeout`.
    pub is_late: bool,
    /// Time spent in each stage; zeros unless it was asked for.
    pub stages: Stages,
}

/// The outcome of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which record.
    pub ticket: Ticket,
    /// Where it is stored, or the error.
    pub outcome: Result<Stored>,
}

/// The records of a frame. The connection returns them with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    first: u64,
    records: u32,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: Vec<u8>,
    first: u64,
    records: u32,
    since_nanos: u64,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Producer {
    config: ProducerConfig,
    shard: u32,
    peer: SocketAddr,
    layout: Option<RecordLayout>,
    frame_bytes_max: usize,
    next_number: u64,
    open: Batch,
    in_flight_bytes: usize,
    in_flight_records: usize,
    in_flight_frames: usize,
    completions: VecDeque<Completion>,
}

/// Bytes of a frame kept for its header.
const FRAME_HEAD_BYTES: usize = 128;

impl Producer {
    /// A producer for the shard with this number and address.
    #[must_use]
    pub fn new(config: ProducerConfig, shard: u32, peer: SocketAddr) -> Self {
        let open = Batch {
            bytes: Vec::with_capacity(config.batch_bytes.min(1 << 20)),
            ..Batch::default()
        };
        Self {
            config,
            shard,
            peer,
            layout: None,
            frame_bytes_max: 0,
            next_number: 0,
            open,
            in_flight_bytes: 0,
            in_flight_records: 0,
            in_flight_frames: 0,
            completions: VecDeque::with_capacity(1024),
        }
    }

    /// Takes the Welcome of a new connection. Gathered records that do not have the layout it asks
    /// for complete as not sent.
    pub fn on_welcome(&mut self, welcome: &Welcome) {
        let layout = RecordLayout::of(welcome);
        if self.layout.is_some_and(|before| before != layout) {
            self.give_back_open(&"the broker came back with another layout of records".into());
        }
        self.layout = Some(layout);
        self.frame_bytes_max =
            (welcome.frame_bytes_max as usize).min(crate::limits::FRAME_BYTES_MAX);
        self.config.batch_records =
            self.config.batch_records.clamp(1, welcome.records_per_produce_max);
    }

    /// Takes a message for a queue of this shard. [`ClientError::Full`] is back-pressure: take
    /// completions and try again. After an error the message was not taken, and no completion
    /// follows.
    pub fn add(
        &mut self,
        writer: &mut RecordWriter,
        queue_id: i32,
        message: &Message<'_>,
        now_nanos: u64,
        born_ms: i64,
    ) -> Result<Ticket> {
        let Some(layout) = self.layout else {
            return Err(ClientError::NotSent {
                operation: Operation::Produce,
                peer: self.peer,
                why: "the shard was not reached yet".into(),
            });
        };
        self.check_room(message.body.len())?;
        let before = self.open.bytes.len();
        writer.append(&mut self.open.bytes, &layout, queue_id, message, born_ms)?;
        let record_bytes = self.open.bytes.len() - before;
        if self.open.bytes.len() + FRAME_HEAD_BYTES > self.frame_bytes_max {
            self.open.bytes.truncate(before);
            let (peer, limit) = (self.peer, self.frame_bytes_max);
            return Err(ClientError::TooLarge {
                operation: Operation::Produce,
                peer,
                what: "bytes of a frame",
                found: before + record_bytes,
                limit,
            });
        }
        if self.open.records == 0 {
            self.open.first = self.next_number;
            self.open.since_nanos = now_nanos;
        }
        self.open.records += 1;
        let ticket = Ticket { shard: self.shard, number: self.next_number };
        self.next_number += 1;
        Ok(ticket)
    }

    fn check_room(&self, body_bytes: usize) -> Result<()> {
        let full = |what, found, limit| {
            Err(ClientError::Full {
                operation: Operation::Produce,
                peer: self.peer,
                what,
                found,
                limit,
            })
        };
        let bytes = self.in_flight_bytes + self.open.bytes.len() + body_bytes;
        let completions =
            self.completions.len() + self.in_flight_records + self.open.records as usize + 1;
        let is_alone = self.in_flight_bytes == 0 && self.open.records == 0;
        if bytes > self.config.in_flight_bytes_max && !is_alone {
            full("bytes", bytes, self.config.in_flight_bytes_max)
        } else if completions > COMPLETIONS_MAX {
            full("completions", completions, COMPLETIONS_MAX)
        } else if self.is_batch_full() && !self.has_room_for_frame() {
            full("frames", self.in_flight_frames + 1, self.config.in_flight_frames_max)
        } else if self.open.records >= self.config.batch_records
            || (self.open.records > 0
                && self.open.bytes.len() + body_bytes + FRAME_HEAD_BYTES * 8 > self.frame_bytes_max)
        {
            full(
                "records of a batch that waits to be sent",
                self.open.records as usize + 1,
                self.config.batch_records as usize,
            )
        } else {
            Ok(())
        }
    }

    /// Whether the open batch should go although its linger is not over.
    #[must_use]
    pub fn is_batch_full(&self) -> bool {
        self.open.bytes.len() >= self.config.batch_bytes
            || self.open.records >= self.config.batch_records
    }

    /// Whether another frame may be under way.
    #[must_use]
    pub fn has_room_for_frame(&self) -> bool {
        self.in_flight_frames < self.config.in_flight_frames_max
    }

    /// When the open batch is due; `None` when no record gathers.
    #[must_use]
    pub fn due_nanos(&self) -> Option<u64> {
        (self.open.records > 0)
            .then(|| self.open.since_nanos.saturating_add(nanos(self.config.linger)))
    }

    /// Sends the open batch when it is due (or `now` whatever its age), as far as the connection
    /// takes another request.
    pub fn close<T: From<InFlight>>(
        &mut self,
        connection: &mut Connection<T>,
        out: &mut Vec<u8>,
        now_nanos: u64,
        at_once: bool,
    ) -> Result<()> {
        let is_due = self
            .due_nanos()
            .is_some_and(|due_nanos| at_once || due_nanos <= now_nanos || self.is_batch_full());
        if !is_due || !self.has_room_for_frame() || connection.has_room(Operation::Produce).is_err()
        {
            return Ok(());
        }
        let Batch { bytes, first, records, .. } = &mut self.open;
        let in_flight = InFlight { first: *first, records: *records, bytes: bytes.len() };
        let produce = Produce {
            records: *records,
            ack: self.config.ack as u8,
            wants_stages: self.config.wants_stages,
        };
        connection.produce(out, in_flight.into(), &produce, bytes.len(), now_nanos, |out| {
            out.extend_from_slice(bytes)
        })?;
        bytes.clear();
        *records = 0;
        self.in_flight_bytes += in_flight.bytes;
        self.in_flight_records += in_flight.records as usize;
        self.in_flight_frames += 1;
        Ok(())
    }

    /// Completes the records of an acknowledged frame.
    pub fn on_produced(&mut self, frame: InFlight, produced: &Produced<'_>) {
        self.landed(frame);
        let stored = |placed: Placed| Stored {
            queue_offset: placed.queue_offset,
            physical_offset: placed.physical_offset,
            store_timestamp_ms: produced.store_timestamp_ms,
            is_late: produced.is_late,
            stages: produced.stages,
        };
        let mut placed = produced.placed();
        for number in (frame.first..).take(frame.records as usize) {
            let outcome = placed.next().map(stored).ok_or_else(|| ClientError::Unknown {
                operation: Operation::Produce,
                peer: self.peer,
                why: "the answer has no place for this record".into(),
            });
            self.completions
                .push_back(Completion { ticket: Ticket { shard: self.shard, number }, outcome });
        }
    }

    /// Completes the records of a failed frame. A refused frame is not stored at all; the faulty
    /// record and its neighbours get different errors.
    pub fn on_failed(&mut self, frame: InFlight, error: &ClientError) {
        self.landed(frame);
        for (at, number) in (0_u32..).zip((frame.first..).take(frame.records as usize)) {
            let outcome = match error {
                ClientError::Refused { peer, refusal, .. }
                    if refusal.record.is_some_and(|blamed| blamed != at) =>
                {
                    ClientError::Neighbour { peer: *peer, refusal: refusal.clone() }
                }
                error => error.clone(),
            };
            self.completions.push_back(Completion {
                ticket: Ticket { shard: self.shard, number },
                outcome: Err(outcome),
            });
        }
    }

    fn landed(&mut self, frame: InFlight) {
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(frame.bytes);
        self.in_flight_records = self.in_flight_records.saturating_sub(frame.records as usize);
        self.in_flight_frames = self.in_flight_frames.saturating_sub(1);
    }

    /// Completes, as not sent, records that gathered longer than the timeout because there was no
    /// connection.
    pub fn expire_open(&mut self, now_nanos: u64, why: &Arc<str>) {
        let too_old = self
            .open
            .since_nanos
            .saturating_add(nanos(self.config.timeout) + nanos(self.config.linger))
            <= now_nanos;
        if self.open.records > 0 && too_old {
            self.give_back_open(why);
        }
    }

    fn give_back_open(&mut self, why: &Arc<str>) {
        for number in (self.open.first..).take(self.open.records as usize) {
            let error = ClientError::NotSent {
                operation: Operation::Produce,
                peer: self.peer,
                why: why.clone(),
            };
            self.completions.push_back(Completion {
                ticket: Ticket { shard: self.shard, number },
                outcome: Err(error),
            });
        }
        self.open.bytes.clear();
        self.open.records = 0;
    }

    /// The next completion that has not been taken.
    pub fn next_completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// Takes the completion of one record out of order, if it is there.
    pub fn take_completion(&mut self, number: u64) -> Option<Completion> {
        let at =
            self.completions.iter().position(|completion| completion.ticket.number == number)?;
        self.completions.remove(at)
    }

    /// Completions that have not been taken.
    #[must_use]
    pub fn completions(&self) -> usize {
        self.completions.len()
    }

    /// Records that were taken and have no completion yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.in_flight_records + self.open.records as usize
    }
}
