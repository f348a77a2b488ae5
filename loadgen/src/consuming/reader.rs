//! The consumers' thread: one long poll in flight for each queue, over some connections.

use super::{EndToEnd, Shared};
use crate::clock::Clock;
use crate::consumer::append_fetch;
use crate::error::{Error, Result};
use crate::integrity::{AckTable, Checker, IntegrityReport};
use crate::limits::{PULL_MESSAGES, REQUEST_TIMEOUT};
use crate::native_wire::greet;
use crate::net::{Event, Link, Wait};
use crate::payload::verify;
use crate::plan::QueuePlan;
use crate::protocols::Protocol;
use crate::wire::{PullShape, append_pull};
use client::answer::{self, Answer};
use hdrhistogram::Histogram;
use protocol::checked::{fit, nanos};
use protocol::native::FetchStatus;
use protocol::record::records;
use protocol::remoting::CommandView;
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a broker may keep a long poll: shorter than what counts as no answer.
const WAIT_MS: u32 = 1_000;
/// Pause after an answer without messages that came at once.
const AGAIN_NANOS: u64 = 1_000_000;
/// What is acknowledged and not readable for so long is missing.
const STUCK: Duration = REQUEST_TIMEOUT;
const PULL_NOT_FOUND: i32 = 19;
const PULL_RETRY_IMMEDIATELY: i32 = 20;

/// What is read, and how.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Protocol of the pulls.
    pub protocol: Protocol,
    /// Topic.
    pub topic: String,
    /// Each queue with the offset where reading begins.
    pub queues: Vec<(QueuePlan, u64)>,
    /// Connections.
    pub consumers: usize,
    /// Marks this run's messages.
    pub run_id: u64,
    /// Generators of the run by now and of this load.
    pub generators: usize,
    /// Core of the thread.
    pub core: Option<usize>,
    /// Whether it never sleeps.
    pub spin: bool,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Times of the messages that were due in the window.
    pub end_to_end: Histogram<u64>,
    /// Messages that were read before they were due.
    pub faults: u64,
    /// Messages read in the window.
    pub in_window: u64,
    /// Time from the last answer to a sender to the last message read, ns.
    pub drained_nanos: u64,
    /// Damage, order, gaps; why reading ended early.
    pub integrity: IntegrityReport,
}

struct Queue {
    plan: QueuePlan,
    conn: usize,
    next: u64,
    asked_nanos: u64,
    pulling: bool,
    again_at_nanos: u64,
    last_progress_nanos: u64,
}

struct Reader<'s> {
    plan: &'s Plan,
    clock: Clock,
    shared: &'s Shared,
    queues: Vec<Queue>,
    checker: Checker,
    times: EndToEnd,
    in_window: u64,
    why: Option<String>,
}

/// Reads until every queue has reached the end that the senders left, or nothing comes any more.
/// Calls `ready` when it is connected. A signal ends the senders, and so the consumers after them.
///
/// # Errors
/// When connecting or the ring fails.
pub(crate) fn read(
    plan: &Plan,
    clock: Clock,
    shared: &Shared,
    ready: impl FnOnce(),
) -> Result<Reading> {
    if let Some(core) = plan.core {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
    }
    let (mut link, queues) = connect(plan)?;
    let tables = (0..plan.generators).map(|_| AckTable::with_max(0)).collect();
    let checker = Checker::new(plan.run_id, tables);
    let (times, in_window, why) = (EndToEnd::new(), 0, None);
    let mut reader = Reader { plan, clock, shared, queues, checker, times, in_window, why };
    ready();
    let wait = if plan.spin { Wait::Poll } else { Wait::AtMost(Duration::from_millis(5)) };
    let mut ended_nanos = None;
    while !reader.is_done(&mut ended_nanos) {
        reader.ask(&mut link);
        link.turn(wait, &mut |conn, event, _| match event {
            Event::Frame(frame) => reader.on_answer(frame),
            Event::Written => {}
            Event::Closed(why) => reader.on_closed(conn, why),
        })?;
        shared.read.store(reader.checker.consumed(), Ordering::Relaxed);
    }
    let drained_nanos = ended_nanos.map_or(0, |ended| clock.now_nanos().saturating_sub(ended));
    Ok(Reading {
        end_to_end: reader.times.times,
        faults: reader.times.faults,
        in_window: reader.in_window,
        drained_nanos,
        integrity: reader.checker.finish(reader.why),
    })
}

/// Connections to each broker, and its queues dealt over them in turn.
fn connect(plan: &Plan) -> Result<(Link, Vec<Queue>)> {
    let mut link = Link::new(plan.queues.len().max(plan.consumers), plan.protocol)?;
    let mut conns: Vec<(std::net::SocketAddr, Vec<usize>, usize)> = Vec::new();
    let mut queues = Vec::with_capacity(plan.queues.len());
    for (queue, next) in &plan.queues {
        let addr = queue.addr;
        let known = conns.iter().position(|(known, ..)| *known == addr);
        let at = known.unwrap_or_else(|| {
            conns.push((addr, Vec::new(), 0));
            conns.len() - 1
        });
        let (_, of_broker, turn) = &mut conns[at];
        if of_broker.len() < plan.consumers {
            let mut stream = TcpStream::connect_timeout(&addr, REQUEST_TIMEOUT)
                .map_err(Error::peer("connect a consumer to broker", addr))?;
            if plan.protocol == Protocol::Native {
                greet(&mut stream, addr)?;
            }
            of_broker.push(link.add(stream)?);
        }
        let conn = of_broker[*turn % of_broker.len()];
        *turn += 1;
        queues.push(Queue {
            plan: queue.clone(),
            conn,
            next: *next,
            asked_nanos: 0,
            pulling: false,
            again_at_nanos: 0,
            last_progress_nanos: 0,
        });
    }
    Ok((link, queues))
}

impl Reader<'_> {
    /// Whether all was read, or why not is known.
    fn is_done(&mut self, ended_nanos: &mut Option<u64>) -> bool {
        if self.why.is_some() || self.shared.give_up.load(Ordering::Relaxed) {
            return true;
        }
        let Some(ends) = self.shared.ends.get() else { return false };
        let now = self.clock.now_nanos();
        let ended = *ended_nanos.get_or_insert(now);
        let mut missing = self.queues.iter().zip(ends).filter(|(queue, end)| queue.next < **end);
        let Some((queue, end)) = missing.next() else { return true };
        let since = now.saturating_sub(ended.max(queue.last_progress_nanos));
        if since > nanos(STUCK) {
            self.why = Some(format!(
                "{} queue {} gave nothing at offset {} of {end} for 3 s",
                queue.plan.broker, queue.plan.queue_id, queue.next
            ));
        }
        self.why.is_some()
    }

    fn ask(&mut self, link: &mut Link) {
        let now = self.clock.now_nanos();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            if queue.pulling || now < queue.again_at_nanos {
                continue;
            }
            let (queue_id, offset) = (queue.plan.queue_id, queue.next);
            let (out, topic) = (link.out(queue.conn), self.plan.topic.as_str());
            match self.plan.protocol {
                Protocol::Remoting => {
                    let (group, messages_max) = ("loadgen_consumer", PULL_MESSAGES);
                    let wait_ms = WAIT_MS;
                    let pull = PullShape { group, topic, queue_id, offset, messages_max, wait_ms };
                    append_pull(out, fit(index), &pull);
                }
                Protocol::Native => {
                    append_fetch(out, fit(index), topic, (queue_id, offset), WAIT_MS);
                }
            }
            queue.pulling = true;
            queue.asked_nanos = now;
        }
    }

    fn on_answer(&mut self, frame: &[u8]) {
        let now = self.clock.now_nanos();
        match self.plan.protocol {
            Protocol::Remoting => self.on_pulled(frame, now),
            Protocol::Native => self.on_fetched(frame, now),
        }
    }

    fn on_pulled(&mut self, frame: &[u8], now: u64) {
        let Ok(command) = CommandView::parse(frame) else {
            self.why.get_or_insert("unreadable answer to a pull".into());
            return;
        };
        let index = usize::try_from(command.opaque).ok();
        let index = index.filter(|index| command.is_response() && *index < self.queues.len());
        let Some(index) = index else { return };
        match command.code {
            0 => self.take(index, command.body, now),
            PULL_NOT_FOUND | PULL_RETRY_IMMEDIATELY => self.found_nothing(index, now),
            code => {
                let remark = command.remark().unwrap_or_default().into_owned();
                self.refused(index, &format!("code {code}: {remark}"));
            }
        }
    }

    fn on_fetched(&mut self, frame: &[u8], now: u64) {
        let (index, answer) = match answer::read(frame) {
            Ok((correlation, answer)) => (correlation as usize, answer),
            Err(error) => {
                self.why.get_or_insert(format!("unreadable answer to a fetch: {error}"));
                return;
            }
        };
        if index >= self.queues.len() {
            return;
        }
        match answer {
            Answer::Fetched(fetched) => match fetched.status {
                Some(FetchStatus::Found) => self.take(index, fetched.records, now),
                Some(FetchStatus::AtEnd) => self.found_nothing(index, now),
                status => self.refused(index, &format!("status {status:?}")),
            },
            Answer::Refused(refusal) => self.refused(index, &refusal.to_string()),
            _ => self.refused(index, "another kind of frame"),
        }
    }

    fn found_nothing(&mut self, index: usize, now: u64) {
        let queue = &mut self.queues[index];
        queue.pulling = false;
        // A broker that does not wait must not be asked in a circle.
        queue.again_at_nanos = queue.asked_nanos.max(now) + AGAIN_NANOS;
    }

    fn refused(&mut self, index: usize, said: &str) {
        let queue = &mut self.queues[index];
        queue.pulling = false;
        self.why.get_or_insert(format!(
            "{} queue {} answered a pull at offset {} with {said}",
            queue.plan.broker, queue.plan.queue_id, queue.next
        ));
    }

    fn take(&mut self, index: usize, body: &[u8], now: u64) {
        let window = self.shared.measured.window();
        let is_in = |at: u64| window.is_some_and(|(from, to)| (from..to).contains(&at));
        let before = self.queues[index].next;
        for record in records(body) {
            let offset = record.as_ref().ok().map(|it| u64::try_from(it.queue_offset()));
            let (Ok(record), Some(Ok(offset))) = (record, offset) else {
                self.refused(index, "a record that can't be read");
                return;
            };
            let queue = &mut self.queues[index];
            let payload = verify(record.body());
            if let Ok(stamp) = &payload
                && stamp.run_id == self.plan.run_id
                && is_in(stamp.due_nanos)
            {
                self.times.record(stamp.due_nanos, now);
            }
            self.in_window += u64::from(is_in(now));
            self.checker.observe(queue.plan.index, offset, payload);
            // Never back: a broker that repeats itself is reported, not followed.
            queue.next = queue.next.max(offset + 1);
        }
        let queue = &mut self.queues[index];
        queue.pulling = false;
        if queue.next > before {
            queue.last_progress_nanos = now;
        }
    }

    fn on_closed(&mut self, conn: usize, why: &str) {
        if let Some(queue) = self.queues.iter().find(|queue| queue.conn == conn) {
            let broker = &queue.plan.broker;
            self.why.get_or_insert(format!("{broker} closed the connection: {why}"));
        }
    }
}
