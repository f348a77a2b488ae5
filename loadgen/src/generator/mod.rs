//! One generator thread: it sends by a schedule or after answers, measures the time of every
//! answer, and waits only for its ring.
//!
//! ```text
//!   due? -> patch a template into the connection's bytes -> turn (send, receive) -> answers -> histograms
//!    ^                                                                                 |
//!    +------- closed loop: a freed place / open loop: the schedule, nothing else ------+
//! ```
//!
//! The thread owns its connections, windows, histograms and acknowledgement table; nothing is
//! shared but the live counters. In steady state it allocates nothing per message (a table chunk
//! every 65,536 messages).

mod busy;
mod state;

use busy::{BusyMeter, Round};
use state::{Queue, Ready, Sender, State};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::gate::Ticket;
use crate::integrity::AckTable;
use crate::intervals::Intervals;
use crate::limits::{DRAIN_TIMEOUT, OPEN_IN_FLIGHT_MAX, REQUEST_TIMEOUT, WINDOW_MIN};
use crate::live::Live;
use crate::messages::{Drawing, skewed};
use crate::native_wire::greet;
use crate::net::{Event, Link, Wait};
use crate::payload::{PayloadWriter, Stamp};
use crate::plan::{Mode, Part};
use crate::protocols::{Content, Protocol};
use crate::recorder::Recorder;
use crate::schedule::Schedule;
use crate::window::{SentRequest, Window};
use protocol::checked::{fit, nanos};
use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The results of a generator thread.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Times and counts of the measured window.
    pub recorder: Recorder,
    /// Where each message was acknowledged, warm-up included.
    pub acks: AckTable,
    /// Connections that ended before the load did.
    pub lost_connections: u64,
    /// Messages due in the measured window that were never sent.
    pub unsent: u64,
    /// Length of the measured window: shorter than planned after a signal.
    pub measured: Duration,
    /// A signal came before the last answer.
    pub interrupted: bool,
    /// Share of the measured window this thread spent on a CPU, when the kernel tells.
    pub cpu_share: Option<f64>,
    /// Share of the measured window this thread worked; spinning is not work.
    pub busy_share: f64,
    /// The in-flight limit held the schedule back.
    pub hit_in_flight_limit: bool,
}

struct Generator<'p> {
    part: &'p Part,
    payload: PayloadWriter,
    drawing: Drawing,
    state: State,
    link: Link,
    next_message: u64,
    next_sender: usize,
    schedule: Option<std::iter::Peekable<Schedule>>,
    start_nanos: u64,
    hit_limit: bool,
}

/// Runs one generator to the end of its plan, on the calling thread.
///
/// Nothing comes back when another generator could not connect, or a signal came before the start.
///
/// # Errors
/// When connecting or the ring fails; failed requests are counted, not returned.
pub(crate) fn run(part: &Part, clock: Clock, live: &Arc<Live>) -> Result<Option<Outcome>> {
    let ticket = Ticket::of(&part.gate);
    let mut generator = Generator::connect(part, clock, live, &ticket)?;
    // Threads start their schedules together, not when each has connected.
    if !ticket.pass(&part.stop) {
        return Ok(None);
    }
    generator.start();
    let use_of_time = generator.send_until_end()?;
    generator.drain()?;
    Ok(Some(generator.finish(use_of_time)))
}

/// How a generator used the measured window.
struct UseOfTime {
    cpu_share: Option<f64>,
    busy_share: f64,
}

impl<'p> Generator<'p> {
    fn connect(part: &'p Part, clock: Clock, live: &Arc<Live>, ticket: &Ticket) -> Result<Self> {
        let load = &part.load;
        let payload = PayloadWriter::new(fit(load.messages.sizes.max()), load.seed);
        let drawing = Drawing::new(load.messages, load.seed, part.generator);
        let mut link = Link::new(part.senders.len(), load.protocol)?;
        let mut senders = Vec::with_capacity(part.senders.len());
        let window = match load.mode {
            Mode::Closed => (load.in_flight * 16).max(WINDOW_MIN),
            Mode::Open { .. } => (OPEN_IN_FLIGHT_MAX / part.senders.len().max(1)).max(WINDOW_MIN),
        };
        for plan in &part.senders {
            part.stop.check()?;
            if ticket.is_void() {
                break;
            }
            let mut stream = TcpStream::connect_timeout(&plan.addr, REQUEST_TIMEOUT)
                .map_err(Error::peer("connect to broker", plan.addr))?;
            let local = stream.local_addr().map_err(Error::peer("connect to broker", plan.addr))?;
            let welcome = if load.protocol == Protocol::Native {
                Some(greet(&mut stream, plan.addr)?)
            } else {
                None
            };
            link.add(stream)?;
            let queues = plan.queues.iter().map(|queue| {
                part.template(queue, local, welcome.as_deref())
                    .map(|template| Queue { index: queue.index, template })
            });
            let queues =
                queues.collect::<std::result::Result<Vec<_>, _>>().map_err(Error::Usage)?;
            let skew = load.messages.queue_skew;
            let queue_shares = if skew > 0.0 { skewed(queues.len(), skew) } else { Vec::new() };
            senders.push(Sender {
                window: Window::new(window),
                queues,
                queue_shares,
                next_queue: plan.first_queue,
                open: true,
            });
        }
        let state = State {
            clock,
            senders,
            recorder: Recorder::new(load.duration, load.protocol).with_warmup(load.warmup),
            acks: AckTable::with_max(load.acks_max),
            window_nanos: (0, 0),
            start_nanos: 0,
            unanswered: 0,
            lost_connections: 0,
            ready: VecDeque::with_capacity(part.senders.len() * load.in_flight),
            first_answer_nanos: None,
            closed: matches!(load.mode, Mode::Closed),
            batch: load.messages.batch.into(),
            protocol: load.protocol,
            live: Arc::clone(live),
            intervals: None,
        };
        Ok(Self {
            part,
            payload,
            drawing,
            state,
            link,
            next_message: 0,
            next_sender: 0,
            schedule: None,
            start_nanos: 0,
            hit_limit: false,
        })
    }

    fn start(&mut self) {
        let load = &self.part.load;
        let warmup_nanos = nanos(load.warmup);
        self.start_nanos = self.state.clock.now_nanos();
        self.state.start_nanos = self.start_nanos;
        let from = self.start_nanos + warmup_nanos;
        self.state.window_nanos = (from, from + nanos(load.duration));
        self.part.measured.add(from, from + nanos(load.duration));
        self.state.intervals =
            self.part.intervals.as_ref().map(|wish| Intervals::begin(wish, from, load.duration));
        match load.mode {
            Mode::Closed => {
                for _ in 0..load.in_flight {
                    let freed_nanos = self.start_nanos;
                    let each = 0..self.state.senders.len();
                    self.state.ready.extend(each.map(|conn| Ready { conn, freed_nanos }));
                }
            }
            Mode::Open { rate, shape } => {
                let whole = load.warmup + load.duration;
                let (index, parts) = (self.part.index, self.part.parts);
                let requests = rate / f64::from(load.messages.batch);
                let burst = u64::from(load.burst / load.messages.batch);
                let schedule = Schedule::new(shape, requests, whole, load.seed, index, parts);
                self.schedule = Some(schedule.with_burst(burst).peekable());
            }
        }
    }

    /// Sends the load.
    fn send_until_end(&mut self) -> Result<UseOfTime> {
        let (from, end) = self.state.window_nanos;
        let mut cpu_at_start = None;
        let mut next_chore_nanos = self.start_nanos;
        let (mut busy, mut last_round): (BusyMeter, Option<Round>) = (BusyMeter::default(), None);
        loop {
            let now = self.state.clock.now_nanos();
            if let Some(round) = last_round.filter(|round| round.began_nanos >= from) {
                busy.add(&round, now);
            }
            if self.is_over(now, end)
                || self.part.stop.is_set()
                || self.state.senders.iter().all(|sender| !sender.open)
            {
                break;
            }
            if now >= from && cpu_at_start.is_none() {
                cpu_at_start = crate::env::process::thread_cpu_nanos();
            }
            let messages_before = self.next_message;
            let next_due = match self.schedule.is_some() {
                true => self.send_due(now),
                false => self.send_ready(end),
            };
            if now >= next_chore_nanos {
                self.state.chores(now);
                next_chore_nanos = now + CHORE_NANOS;
            }
            let turned_nanos = self.state.clock.now_nanos();
            let until = next_due.min(end.max(now + 1)).min(next_chore_nanos);
            let wait = self.wait(until, turned_nanos);
            self.state.first_answer_nanos = None;
            self.turn(wait)?;
            self.state.live.set_stored(self.state.acks.acknowledged());
            last_round = Some(Round {
                began_nanos: now,
                turned_nanos,
                may_sleep: wait != Wait::Poll,
                sent: self.next_message > messages_before,
                first_answer_nanos: self.state.first_answer_nanos,
            });
        }
        if self.part.stop.is_set() {
            // What was due later is no part of what was measured.
            let now = self.state.clock.now_nanos();
            self.state.window_nanos.1 = (now + 1).clamp(from, end);
        }
        let cpu_end = crate::env::process::thread_cpu_nanos();
        let wall = self.state.clock.now_nanos().saturating_sub(from).max(1);
        let cpu_share = cpu_at_start
            .zip(cpu_end)
            .map(|(start, end)| end.saturating_sub(start) as f64 / wall as f64);
        Ok(UseOfTime { cpu_share, busy_share: busy.share(wall) })
    }

    /// A closed loop ends with its window. An open loop has to send what was due in it, also when
    /// it is late; how late it was is in the lag.
    fn is_over(&mut self, now: u64, end: u64) -> bool {
        let due = self.schedule.as_mut().is_some_and(|schedule| schedule.peek().is_some());
        now >= end && (!due || now >= end + END_GRACE_NANOS)
    }

    /// Sends the messages that are due. Returns the due time of the next one.
    fn send_due(&mut self, mut now: u64) -> u64 {
        let start_nanos = self.start_nanos;
        for _ in 0..SENDS_PER_TURN {
            let Some(due_nanos) = self
                .schedule
                .as_mut()
                .and_then(|schedule| schedule.peek())
                .map(|due| start_nanos + due)
            else {
                return u64::MAX;
            };
            if due_nanos > now {
                return due_nanos;
            }
            let Some(sender) = self.sender_with_room() else {
                self.hit_limit |= self.part.load.in_flight == 0;
                return u64::MAX;
            };
            self.schedule.as_mut().map(Iterator::next);
            self.send(sender, due_nanos, now, now - due_nanos);
            now = self.state.clock.now_nanos();
        }
        now
    }

    /// Closed loop: one message for every place that an answer has freed.
    fn send_ready(&mut self, end: u64) -> u64 {
        for _ in 0..self.state.ready.len().min(SENDS_PER_TURN) {
            let Some(ready) = self.state.ready.pop_front() else { break };
            let sender = ready.conn;
            let now = self.state.clock.now_nanos();
            if now < end
                && self.state.senders[sender].open
                && self.state.senders[sender].window.has_room()
            {
                // Due when it is sent: a closed loop has no schedule. Its own delay is apart.
                self.send(sender, now, now, now.saturating_sub(ready.freed_nanos));
            } else if self.state.senders[sender].open {
                self.state.ready.push_back(ready);
            }
        }
        if self.state.ready.is_empty() { u64::MAX } else { 0 }
    }

    fn sender_with_room(&mut self) -> Option<usize> {
        let senders = &self.state.senders;
        let depth =
            if self.part.load.in_flight == 0 { usize::MAX } else { self.part.load.in_flight };
        for step in 0..senders.len() {
            let index = (self.next_sender + step) % senders.len();
            let sender = &senders[index];
            if sender.open && sender.window.has_room() && sender.window.unanswered() < depth {
                self.next_sender = index + 1;
                return Some(index);
            }
        }
        None
    }

    /// Sends one message, which the generator itself kept waiting for `waited_nanos`.
    fn send(&mut self, index: usize, due_nanos: u64, now: u64, waited_nanos: u64) {
        let sender = &mut self.state.senders[index];
        let queue = match sender.queue_shares.as_slice() {
            [] => sender.next_queue % sender.queues.len(),
            shares => self.drawing.queue(self.next_message, shares),
        };
        let queue = &sender.queues[queue];
        sender.next_queue += 1;
        let (seq, batch) = (sender.window.next_seq(), self.state.batch);
        let stamp = Stamp {
            run_id: self.part.load.run_id,
            message_id: self.next_message,
            sender: fit(index),
            generator: self.part.generator,
            sender_seq: seq * batch,
            settled_below: sender.window.settled_below() * batch,
            due_nanos,
        };
        queue.template.append(
            self.link.out(index),
            seq,
            self.state.clock.wall_ms(now),
            &stamp,
            &Content { payload: &self.payload, drawing: &self.drawing },
        );
        sender.window.push(SentRequest {
            due_nanos,
            sent_nanos: now,
            written_nanos: 0,
            message_id: self.next_message,
            queue: queue.index,
        });
        self.next_message += batch;
        self.state.unanswered += 1;
        if self.state.measured(due_nanos) {
            self.state.recorder.sent += batch;
            self.state.recorder.lag.saturating_record_n(waited_nanos, batch);
        }
    }

    /// Sleeps only when there is time for it: waking up costs tens of microseconds, which would
    /// count as lag.
    fn wait(&self, until_nanos: u64, now: u64) -> Wait {
        let spare_nanos = until_nanos.saturating_sub(now);
        if self.part.load.spin || spare_nanos < WAKE_UP_NANOS {
            return Wait::Poll;
        }
        let sleep_nanos =
            if self.schedule.is_some() { spare_nanos - WAKE_UP_NANOS / 2 } else { spare_nanos };
        Wait::AtMost(Duration::from_nanos(sleep_nanos))
    }

    fn turn(&mut self, wait: Wait) -> Result<()> {
        let state = &mut self.state;
        self.link.turn(wait, &mut |conn, event, _out| match event {
            Event::Frame(frame) => state.on_answer(conn, frame),
            Event::Written => state.on_written(conn),
            Event::Closed(why) => state.on_closed(conn, why),
        })
    }

    fn drain(&mut self) -> Result<()> {
        let end = self.state.clock.now_nanos() + nanos(DRAIN_TIMEOUT);
        while self.state.unanswered > 0
            && self.state.clock.now_nanos() < end
            && !self.part.stop.is_set()
        {
            self.turn(Wait::AtMost(Duration::from_millis(20)))?;
            self.state.live.set_stored(self.state.acks.acknowledged());
            let now = self.state.clock.now_nanos();
            self.state.chores(now);
        }
        Ok(())
    }

    fn finish(self, use_of_time: UseOfTime) -> Outcome {
        let mut state = self.state;
        // Every request has one outcome: an acknowledgement, an error, or none.
        for conn in 0..state.senders.len() {
            state.give_up(conn, u64::MAX, "no answer when the load ended");
        }
        if let Some(intervals) = state.intervals.take() {
            intervals.end(state.recorder.error_count());
        }
        debug_assert_eq!(state.unanswered, 0, "every request was in a window");
        // What is due and was never sent counts as planned, not sent: the achieved share shows it.
        let start_nanos = self.start_nanos;
        let unsent = self
            .schedule
            .into_iter()
            .flatten()
            .filter(|due_nanos| state.measured(start_nanos + due_nanos))
            .count();
        let unsent = fit::<u64, _>(unsent) * state.batch;
        Outcome {
            lost_connections: state.lost_connections,
            recorder: state.recorder,
            acks: state.acks,
            unsent,
            measured: Duration::from_nanos(state.window_nanos.1 - state.window_nanos.0),
            interrupted: self.part.stop.is_set(),
            cpu_share: use_of_time.cpu_share,
            busy_share: use_of_time.busy_share,
            hit_in_flight_limit: self.hit_limit,
        }
    }
}

/// Most sends before the sockets are checked again, so that answers do not wait behind a burst.
const SENDS_PER_TURN: usize = 64;
/// How long after the window late messages are still sent; the others count as planned and not
/// sent.
const END_GRACE_NANOS: u64 = 200_000_000;
/// Time between checks of timeouts and updates of the live counters.
const CHORE_NANOS: u64 = 20_000_000;
/// Shortest sleep that is worth its wake-up.
const WAKE_UP_NANOS: u64 = 200_000;
