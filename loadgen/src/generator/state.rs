//! The part of a generator that answers change: windows, histograms, acknowledgements.

use crate::clock::Clock;
use crate::integrity::AckTable;
use crate::intervals::Intervals;
use crate::limits::REQUEST_TIMEOUT;
use crate::live::Live;
use crate::protocols::{Protocol, SendOutcome, Template, read_answer};
use crate::recorder::Recorder;
use crate::stages::Seen;
use crate::window::{SentRequest, Window};
use protocol::checked::nanos;
use protocol::native::Stages;
use std::collections::VecDeque;
use std::sync::Arc;

/// One queue this generator sends to: its number in the run and its request.
pub(super) struct Queue {
    pub index: u32,
    pub template: Template,
}

/// One connection and the queues of its broker, taken in turn.
pub(super) struct Sender {
    pub window: Window,
    pub queues: Vec<Queue>,
    /// Shares of messages at or below each queue; empty: the queues are taken in turn.
    pub queue_shares: Vec<f64>,
    pub next_queue: usize,
    pub open: bool,
}

/// A free place of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub conn: usize,
    /// When it became free; from then on the generator keeps the next message waiting.
    pub freed_nanos: u64,
}

/// The state that answers change. It is apart from the link, so that both can be borrowed in a
/// turn.
pub(super) struct State {
    pub clock: Clock,
    pub senders: Vec<Sender>,
    pub recorder: Recorder,
    pub acks: AckTable,
    pub window_nanos: (u64, u64),
    /// When the load began; the warm-up ends where the window begins.
    pub start_nanos: u64,
    /// Requests in flight.
    pub unanswered: usize,
    /// Connections that ended before the load did.
    pub lost_connections: u64,
    /// Connections with a free place, oldest first (closed loop).
    pub ready: VecDeque<Ready>,
    /// When the first answer of this round was there.
    pub first_answer_nanos: Option<u64>,
    pub closed: bool,
    /// Messages in each request.
    pub batch: u64,
    pub protocol: Protocol,
    pub live: Arc<Live>,
    /// Response times of one interval after the other, where they are asked for.
    pub intervals: Option<Intervals>,
}

impl State {
    pub(super) fn measured(&self, due_nanos: u64) -> bool {
        (self.window_nanos.0..self.window_nanos.1).contains(&due_nanos)
    }

    pub(super) fn on_answer(&mut self, conn: usize, frame: &[u8]) {
        let now = self.clock.now_nanos();
        self.first_answer_nanos.get_or_insert(now);
        let answer = match read_answer(self.protocol, frame) {
            Ok(Some(answer)) => answer,
            Ok(None) => return,
            Err(_) => return self.recorder.stray("unreadable answer"),
        };
        let sender = &mut self.senders[conn];
        let Some(request) =
            answer.seq_low.and_then(|low| sender.window.take(low, self.protocol.seq_span()))
        else {
            return self.recorder.stray("answer to no request (late or repeated)");
        };
        self.unanswered -= 1;
        if self.closed {
            self.ready.push_back(Ready { conn, freed_nanos: now });
        }
        match answer.outcome {
            SendOutcome::Stored { queue_offset, stages } => {
                self.acknowledged(&request, now, queue_offset, stages.as_ref())
            }
            SendOutcome::Failed { what, remark } => {
                self.recorder.failed(self.batch, self.measured(request.due_nanos), &what);
                self.recorder.remarks.entry(what).or_insert(remark);
            }
        }
    }

    fn acknowledged(
        &mut self,
        request: &SentRequest,
        now: u64,
        queue_offset: u64,
        stages: Option<&Stages>,
    ) {
        for nth in 0..self.batch {
            self.acks.acknowledge(request.message_id + nth, request.queue, queue_offset + nth);
        }
        if self.measured(now) {
            self.recorder.answered_in_window += self.batch;
        }
        if request.due_nanos < self.window_nanos.0 {
            let due_in_warmup_nanos = request.due_nanos.saturating_sub(self.start_nanos);
            let response_nanos = now - request.due_nanos;
            self.recorder.warmup_answer(due_in_warmup_nanos, response_nanos, self.batch);
        }
        if self.measured(request.due_nanos) {
            let in_time = now < self.window_nanos.1;
            self.recorder.answered_in_time += if in_time { self.batch } else { 0 };
            let from = self.window_nanos.0;
            if let Some(intervals) = &mut self.intervals {
                intervals.record(now, now - request.due_nanos, self.batch);
            }
            self.recorder.answers(
                self.batch,
                request.due_nanos - from,
                now - request.due_nanos,
                now - request.sent_nanos,
            );
            if let (Some(times), Some(stages)) = (&mut self.recorder.stages, stages) {
                let seen = Seen {
                    due_nanos: request.due_nanos,
                    written_nanos: request.written_nanos,
                    answered_nanos: now,
                };
                times.record(self.batch, seen, request.sent_nanos, stages);
            }
        }
    }

    /// The queued bytes of a connection were given to the kernel, which ends the client queue of
    /// its requests. Only the native protocol tells the later stages.
    pub(super) fn on_written(&mut self, conn: usize) {
        if self.protocol == Protocol::Native {
            self.senders[conn].window.written(self.clock.now_nanos());
        }
    }

    pub(super) fn on_closed(&mut self, conn: usize, why: &str) {
        let what = format!("connection lost: {why}");
        self.give_up(conn, u64::MAX, &what);
        self.senders[conn].open = false;
        self.lost_connections += 1;
        self.ready.retain(|ready| ready.conn != conn);
    }

    /// Counts requests without an answer as such. Their places are free again.
    pub(super) fn give_up(&mut self, conn: usize, sent_before_nanos: u64, what: &str) {
        let freed_nanos = self.clock.now_nanos();
        let Self { senders, recorder, ready, window_nanos, unanswered, closed, batch, .. } = self;
        senders[conn].window.expire(sent_before_nanos, |request| {
            *unanswered -= 1;
            let measured = (window_nanos.0..window_nanos.1).contains(&request.due_nanos);
            recorder.no_answer(*batch, measured, what);
            if *closed {
                ready.push_back(Ready { conn, freed_nanos });
            }
        });
    }

    /// Checks timeouts and updates the live counters.
    pub(super) fn chores(&mut self, now: u64) {
        let too_old = now.saturating_sub(nanos(REQUEST_TIMEOUT));
        for conn in 0..self.senders.len() {
            self.give_up(conn, too_old, "no answer within 3 s");
        }
        self.live.publish(&self.recorder, now.saturating_sub(self.window_nanos.0));
        if let Some(intervals) = &mut self.intervals {
            intervals.roll(now, self.recorder.error_count());
        }
    }
}
