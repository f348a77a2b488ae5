//! Reads every queue from a start to an end offset, as fast as pulls are answered, and checks each
//! message.
//!
//! One connection per broker, one pull in flight per queue: the next pull of a queue needs the
//! answer before it, so the rate is that of a real consumer with as many queues. Checking
//! (checksum, order, place) happens on the same thread and is part of the rate; it costs about a
//! tenth of a microsecond per KiB.

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::integrity::Checker;
use crate::limits::{PULL_MESSAGES, REQUEST_TIMEOUT};
use crate::live::Live;
use crate::native_wire::greet;
use crate::net::{Event, Link, Wait};
use crate::payload::verify;
use crate::plan::QueuePlan;
use crate::protocols::Protocol;
use crate::recorder::fine;
use crate::signals::Stop;
use crate::wire::{PullShape, append_pull};
use client::answer::{self, Answer};
use hdrhistogram::Histogram;
use protocol::checked::{fit, nanos};
use protocol::native::{Fetch, FetchStatus, Kind, append_frame};
use protocol::record::records;
use protocol::remoting::CommandView;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The part of a queue to read.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    /// The queue.
    pub queue: QueuePlan,
    /// First offset to read.
    pub from: u64,
    /// Offset to stop before.
    pub to: u64,
}

/// The outcome of reading.
#[derive(Debug)]
pub struct Consumed {
    /// Messages read.
    pub messages: u64,
    /// Payload bytes read.
    pub bytes: u64,
    /// Wall time of reading, ns.
    pub took_nanos: u64,
    /// Time from pull to answer, ns.
    pub pull: Histogram<u64>,
    /// Time from BORNTIMESTAMP to reading.
    pub born_to_consume: Ages,
    /// Time from STORETIMESTAMP to reading.
    pub store_to_consume: Ages,
    /// Pulls answered with nothing new or with an error.
    pub failed_pulls: u64,
    /// Why reading ended early.
    pub incomplete: Option<String>,
}

/// Ages of messages when they were read, from a timestamp in ms that another clock may have given.
#[derive(Clone, Debug)]
pub struct Ages {
    /// Ages above 0, ms.
    pub times_ms: Histogram<u64>,
    /// Messages whose timestamp is not before their reading. That is no time but a fault of the
    /// clocks, or shorter than they can tell; as 1 ms it would be an invention.
    pub faults: u64,
}

impl Ages {
    fn new() -> Self {
        Self { times_ms: fine(), faults: 0 }
    }

    fn record(&mut self, age_ms: i64) {
        match u64::try_from(age_ms) {
            Ok(age_ms) if age_ms > 0 => self.times_ms.saturating_record(age_ms),
            _ => self.faults += 1,
        }
    }
}

struct Reader {
    range: Range,
    conn: usize,
    next: u64,
    asked_nanos: u64,
    pulling: bool,
    /// No pull before this time, after an answer without messages.
    again_at_nanos: u64,
    last_progress_nanos: u64,
}

struct State<'c> {
    protocol: Protocol,
    clock: Clock,
    readers: Vec<Reader>,
    checker: &'c mut Checker,
    consumed: Consumed,
}

/// Reading ends when a queue makes no progress for this long.
const STUCK: Duration = REQUEST_TIMEOUT;
/// Bytes of records asked for in one fetch: an answer fits a frame.
const FETCH_BYTES: u32 = 8 << 20;
/// Pause after an answer without messages.
const AGAIN_NANOS: u64 = 2_000_000;

/// Reads all `ranges`.
///
/// # Errors
/// When connecting or the ring fails; a broker that stops answering makes the result incomplete
/// instead.
#[expect(
    clippy::too_many_arguments,
    reason = "one call; a struct of them would only be taken apart again"
)]
pub(crate) fn consume(
    protocol: Protocol,
    topic: &str,
    group: &str,
    ranges: Vec<Range>,
    checker: &mut Checker,
    clock: Clock,
    live: &Live,
    stop: &Stop,
) -> Result<Consumed> {
    let (mut link, readers) = connect(protocol, ranges)?;
    let mut state = State { protocol, clock, readers, checker, consumed: empty() };
    let start_nanos = clock.now_nanos();
    state.readers.iter_mut().for_each(|reader| reader.last_progress_nanos = start_nanos);
    while state.consumed.incomplete.is_none()
        && state.readers.iter().any(|reader| reader.next < reader.range.to)
    {
        stop.check()?;
        state.ask(&mut link, topic, group);
        link.turn(Wait::AtMost(Duration::from_millis(2)), &mut |conn, event, _| match event {
            Event::Frame(frame) => state.on_answer(frame),
            Event::Written => {}
            Event::Closed(why) => state.on_closed(conn, why),
        })?;
        live.set_done(state.consumed.messages);
    }
    state.consumed.took_nanos = clock.now_nanos() - start_nanos;
    Ok(state.consumed)
}

fn connect(protocol: Protocol, ranges: Vec<Range>) -> Result<(Link, Vec<Reader>)> {
    let mut link = Link::new(ranges.len(), protocol)?;
    let mut conns: Vec<SocketAddr> = Vec::new();
    let mut readers = Vec::with_capacity(ranges.len());
    for range in ranges {
        let addr = range.queue.addr;
        let known = conns.iter().position(|conn| *conn == addr);
        let conn = match known {
            Some(conn) => conn,
            None => {
                let mut stream = TcpStream::connect_timeout(&addr, REQUEST_TIMEOUT)
                    .map_err(Error::peer("connect to broker", addr))?;
                if protocol == Protocol::Native {
                    greet(&mut stream, addr)?;
                }
                conns.push(addr);
                link.add(stream)?
            }
        };
        readers.push(Reader {
            conn,
            next: range.from,
            asked_nanos: 0,
            pulling: false,
            again_at_nanos: 0,
            last_progress_nanos: 0,
            range,
        });
    }
    Ok((link, readers))
}

fn empty() -> Consumed {
    Consumed {
        messages: 0,
        bytes: 0,
        took_nanos: 0,
        pull: fine(),
        born_to_consume: Ages::new(),
        store_to_consume: Ages::new(),
        failed_pulls: 0,
        incomplete: None,
    }
}

/// Appends a fetch as large as a pull, which may wait so long for new messages.
pub(crate) fn append_fetch(
    out: &mut Vec<u8>,
    correlation: i32,
    topic: &str,
    (queue_id, offset): (u32, u64),
    wait_ms: u32,
) {
    let fetch = Fetch {
        queue_id: fit(queue_id),
        offset: fit(offset),
        messages_max: fit(PULL_MESSAGES),
        bytes_max: FETCH_BYTES,
        hold_ms: wait_ms,
        topic: topic.to_owned(),
        tags: Vec::new(),
    };
    let written = append_frame(out, Kind::Fetch, correlation.unsigned_abs(), &fetch, 0);
    debug_assert_eq!(written, Ok(()), "a topic fits a header");
}

impl State<'_> {
    fn ask(&mut self, link: &mut Link, topic: &str, group: &str) {
        let now = self.clock.now_nanos();
        for (index, reader) in self.readers.iter_mut().enumerate() {
            if reader.next >= reader.range.to {
                continue;
            }
            if now.saturating_sub(reader.last_progress_nanos) > nanos(STUCK) {
                let Reader { range, next, .. } = reader;
                let why = format!(
                    "{} queue {} gave nothing at offset {next} of {} for 3 s",
                    range.queue.broker, range.queue.queue_id, range.to
                );
                self.consumed.incomplete.get_or_insert(why);
            }
            if reader.pulling || now < reader.again_at_nanos {
                continue;
            }
            let (queue_id, offset, out) =
                (reader.range.queue.queue_id, reader.next, link.out(reader.conn));
            let correlation = fit(index);
            match self.protocol {
                Protocol::Remoting => append_pull(
                    out,
                    correlation,
                    &PullShape {
                        group,
                        topic,
                        queue_id,
                        offset,
                        messages_max: PULL_MESSAGES,
                        wait_ms: 0,
                    },
                ),
                Protocol::Native => append_fetch(out, correlation, topic, (queue_id, offset), 0),
            }
            reader.pulling = true;
            reader.asked_nanos = now;
        }
    }

    fn on_answer(&mut self, frame: &[u8]) {
        if self.protocol == Protocol::Native {
            return self.on_fetched(frame);
        }
        let Ok(command) = CommandView::parse(frame) else {
            self.consumed.incomplete.get_or_insert("unreadable answer to a pull".into());
            return;
        };
        let index = usize::try_from(command.opaque).ok();
        let Some(index) = index.filter(|index| *index < self.readers.len()) else { return };
        if !command.is_response() {
            return;
        }
        let now = self.asked_and_answered(index);
        if command.code == 0 {
            self.take(index, command.body, now);
        } else {
            self.not_found(index, &command, now);
        }
    }

    fn asked_and_answered(&mut self, index: usize) -> u64 {
        let now = self.clock.now_nanos();
        let reader = &mut self.readers[index];
        reader.pulling = false;
        self.consumed.pull.saturating_record(now.saturating_sub(reader.asked_nanos).max(1));
        now
    }

    /// Takes an answer of the native protocol.
    fn on_fetched(&mut self, frame: &[u8]) {
        let (correlation, answer) = match answer::read(frame) {
            Ok(read) => read,
            Err(error) => {
                self.consumed
                    .incomplete
                    .get_or_insert(format!("unreadable answer to a fetch: {error}"));
                return;
            }
        };
        let index = correlation as usize;
        if index >= self.readers.len() {
            return;
        }
        let now = self.asked_and_answered(index);
        let end = match answer {
            Answer::Fetched(fetched) if fetched.status == Some(FetchStatus::Found) => {
                return self.take(index, fetched.records, now);
            }
            Answer::Fetched(fetched) if fetched.status == Some(FetchStatus::AtEnd) => None,
            Answer::Fetched(fetched) => {
                Some(format!("status {:?}, next offset {}", fetched.status, fetched.next_offset))
            }
            Answer::Refused(refusal) => Some(refusal.to_string()),
            _ => Some("another kind of frame".to_owned()),
        };
        self.found_nothing(index, now, end);
    }

    fn found_nothing(&mut self, index: usize, now: u64, end: Option<String>) {
        let reader = &mut self.readers[index];
        self.consumed.failed_pulls += 1;
        reader.again_at_nanos = now + AGAIN_NANOS;
        if let Some(said) = end {
            let why = format!(
                "{} queue {} answered a pull at offset {} with {said}",
                reader.range.queue.broker, reader.range.queue.queue_id, reader.next
            );
            self.consumed.incomplete.get_or_insert(why);
        }
    }

    fn take(&mut self, index: usize, body: &[u8], now: u64) {
        let wall_ms = self.clock.wall_ms(now);
        let reader = &mut self.readers[index];
        let before = reader.next;
        for record in records(body) {
            let Ok(record) = record else {
                self.consumed.incomplete.get_or_insert(format!(
                    "{} queue {}: a record that cannot be read at offset {}",
                    reader.range.queue.broker, reader.range.queue.queue_id, reader.next
                ));
                return;
            };
            let Ok(offset) = u64::try_from(record.queue_offset()) else {
                self.consumed.incomplete.get_or_insert(format!(
                    "{} queue {}: a record says that its queue offset is {}",
                    reader.range.queue.broker,
                    reader.range.queue.queue_id,
                    record.queue_offset()
                ));
                return;
            };
            self.checker.observe(reader.range.queue.index, offset, verify(record.body()));
            // Never back: a broker that repeats itself is reported, not followed.
            reader.next = reader.next.max(offset + 1);
            let age_ms = |since: i64| wall_ms.saturating_sub(since);
            self.consumed.born_to_consume.record(age_ms(record.born_timestamp_ms()));
            self.consumed.store_to_consume.record(age_ms(record.store_timestamp_ms()));
            self.consumed.messages += 1;
            self.consumed.bytes += record.body().len() as u64;
        }
        if reader.next > before {
            reader.last_progress_nanos = now;
        }
    }

    fn not_found(&mut self, index: usize, command: &CommandView<'_>, now: u64) {
        const PULL_NOT_FOUND: i32 = 19;
        const PULL_RETRY_IMMEDIATELY: i32 = 20;
        let is_over = ![PULL_NOT_FOUND, PULL_RETRY_IMMEDIATELY].contains(&command.code);
        self.found_nothing(
            index,
            now,
            is_over.then(|| {
                format!("code {}: {}", command.code, command.remark().unwrap_or_default())
            }),
        );
    }

    fn on_closed(&mut self, conn: usize, why: &str) {
        let open =
            self.readers.iter().find(|reader| reader.conn == conn && reader.next < reader.range.to);
        if let Some(reader) = open {
            self.consumed.incomplete.get_or_insert(format!(
                "{} closed the connection: {why}",
                reader.range.queue.broker
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_from_the_future_is_a_fault_and_not_a_millisecond() {
        let mut ages = Ages::new();
        [-5, 0, 1, 3, i64::MIN].into_iter().for_each(|age_ms| ages.record(age_ms));
        assert_eq!((ages.faults, ages.times_ms.len(), ages.times_ms.min()), (3, 2, 1));
    }
}
