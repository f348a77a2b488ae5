//! The protocol of one connection, without its socket: requests, answers and timeouts.
//!
//! ```text
//!   new ── Hello ──▶                    requests ──▶ the caller's bytes ──▶ socket
//!        ◀── Welcome: limits            answers  ◀── Cutter ◀────────────── socket
//!                                         └─ by correlation: slot = correlation mod slots; answers may overtake each other
//! ```
//!
//! A connection belongs to one thread. The caller gives a `T` with each request and gets it back
//! with the answer. In steady state nothing is allocated: the slots are made once, frames are
//! written into the caller's bytes, and answers are decoded in the receive buffer.

use crate::answer::{self, Answer};
use crate::error::{ClientError, Operation, Result};
use crate::frames::Cutter;
use crate::limits::{CLIENT_NAME_BYTES_MAX, FRAME_BYTES_MAX, PING_AFTER, REQUESTS_MAX};
use protocol::checked::{fit, nanos};
use protocol::native::{
    CommitOffset, Fetch, FetchSql, Header, Hello, Kind, PREFIX_BYTES, Produce, QueryOffset, Route,
    VERSION, Welcome, append_frame,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes assumed for a header when a frame's length is checked before it is written.
const HEADER_BYTES_GUESS: usize = 64;

struct Unanswered<T> {
    correlation: u32,
    operation: Operation,
    sent_nanos: u64,
    deadline_nanos: u64,
    /// `None` for the connection's own Hello and pings.
    of: Option<T>,
}

/// Events of a connection for its owner.
#[derive(Debug)]
pub enum Told<'a, T> {
    /// The greeting is over: requests may be sent.
    Ready,
    /// An answer.
    Answer(T, Answer<'a>),
    /// The request failed: it was refused, or the answer did not come in time.
    Failed(T, ClientError),
}

/// One connection to a shard; see the module documentation.
pub struct Connection<T> {
    peer: SocketAddr,
    cutter: Cutter,
    slots: Box<[Option<Unanswered<T>>]>,
    unanswered: usize,
    next_correlation: u32,
    welcome: Option<Arc<Welcome>>,
    last_sent_nanos: u64,
    is_ping_unanswered: bool,
    timeout: Duration,
    /// Answers that came after their requests had timed out.
    pub late_answers: u64,
}

impl<T> Connection<T> {
    /// Greets the broker: appends Hello to `out`. At most `requests_max` requests are unanswered at
    /// a time.
    pub fn new(
        peer: SocketAddr,
        client: &str,
        requests_max: usize,
        timeout: Duration,
        now_nanos: u64,
        out: &mut Vec<u8>,
    ) -> Result<Self> {
        // One more for Hello and one for a ping.
        let slots = (requests_max.clamp(1, REQUESTS_MAX) + 2).next_power_of_two();
        let mut slots_made = Vec::new();
        slots_made.resize_with(slots, || None);
        let mut connection = Self {
            peer,
            cutter: Cutter::new(FRAME_BYTES_MAX),
            slots: slots_made.into_boxed_slice(),
            unanswered: 0,
            next_correlation: 1,
            welcome: None,
            last_sent_nanos: now_nanos,
            is_ping_unanswered: false,
            timeout,
            late_answers: 0,
        };
        let client = client.chars().take(CLIENT_NAME_BYTES_MAX / 4).collect();
        let hello = Hello { version_min: VERSION, version_max: VERSION, capabilities: 0, client };
        connection.ask(
            out,
            Kind::Hello,
            Operation::Connect,
            None,
            &hello,
            0,
            timeout,
            now_nanos,
        )?;
        Ok(connection)
    }

    /// The broker's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The broker's Welcome, once the greeting is over.
    #[must_use]
    pub fn welcome(&self) -> Option<&Arc<Welcome>> {
        self.welcome.as_ref()
    }

    /// Requests without an answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    fn ready(&self, operation: Operation) -> Result<&Arc<Welcome>> {
        self.welcome.as_ref().ok_or_else(|| ClientError::NotSent {
            operation,
            peer: self.peer,
            why: "the greeting is not over".into(),
        })
    }

    fn within(
        &self,
        operation: Operation,
        what: &'static str,
        found: usize,
        limit: u32,
    ) -> Result<()> {
        let limit = limit as usize;
        if found <= limit {
            Ok(())
        } else {
            Err(ClientError::TooLarge { operation, peer: self.peer, what, found, limit })
        }
    }

    /// Whether another request fits; one place is kept for a ping.
    pub fn has_room(&self, operation: Operation) -> Result<()> {
        let limit = self.slots.len() - 1;
        let error = || ClientError::Full {
            operation,
            peer: self.peer,
            what: "requests",
            found: self.unanswered + 1,
            limit: limit - 1,
        };
        if self.unanswered < limit { Ok(()) } else { Err(error()) }
    }

    /// Writes a produce frame. `fill` appends its records, which must have exactly `payload_bytes`
    /// bytes.
    pub fn produce(
        &mut self,
        out: &mut Vec<u8>,
        of: T,
        produce: &Produce,
        payload_bytes: usize,
        now_nanos: u64,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let operation = Operation::Produce;
        let welcome = self.ready(operation)?;
        let (records_max, frame_max) = (welcome.records_per_produce_max, welcome.frame_bytes_max);
        self.within(operation, "records of a frame", produce.records as usize, records_max)?;
        self.within(
            operation,
            "bytes of a frame",
            PREFIX_BYTES + HEADER_BYTES_GUESS + payload_bytes,
            frame_max,
        )?;
        self.ask(
            out,
            Kind::Produce,
            operation,
            Some(of),
            produce,
            payload_bytes,
            self.timeout,
            now_nanos,
        )?;
        let before = out.len();
        fill(out);
        debug_assert_eq!(out.len() - before, payload_bytes);
        Ok(())
    }

    /// Writes a fetch of what an expression takes; as [`Connection::fetch`].
    pub fn fetch_sql(
        &mut self,
        out: &mut Vec<u8>,
        of: T,
        fetch: &FetchSql,
        now_nanos: u64,
    ) -> Result<()> {
        let timeout = self.fetch_timeout(fetch.messages_max, fetch.hold_ms)?;
        self.ask(out, Kind::FetchSql, Operation::Fetch, Some(of), fetch, 0, timeout, now_nanos)
    }

    /// Writes a fetch. A long poll may take `hold_ms` longer than other requests.
    pub fn fetch(&mut self, out: &mut Vec<u8>, of: T, fetch: &Fetch, now_nanos: u64) -> Result<()> {
        let timeout = self.fetch_timeout(fetch.messages_max, fetch.hold_ms)?;
        self.ask(out, Kind::Fetch, Operation::Fetch, Some(of), fetch, 0, timeout, now_nanos)
    }

    /// How long a fetch with these limits may take, if the broker allows them.
    fn fetch_timeout(&mut self, messages_max: u32, hold_ms: u32) -> Result<Duration> {
        let operation = Operation::Fetch;
        let welcome = self.ready(operation)?;
        let (messages_limit, hold_limit) = (welcome.fetch_messages_max, welcome.hold_ms_max);
        self.within(operation, "messages of a fetch", messages_max as usize, messages_limit)?;
        self.within(operation, "milliseconds of holding", hold_ms as usize, hold_limit)?;
        Ok(self.timeout + Duration::from_millis(hold_ms.into()))
    }

    /// Asks for a group's committed offset.
    pub fn query_offset(
        &mut self,
        out: &mut Vec<u8>,
        of: T,
        query: &QueryOffset,
        now_nanos: u64,
    ) -> Result<()> {
        self.ready(Operation::QueryOffset)?;
        self.ask(
            out,
            Kind::QueryOffset,
            Operation::QueryOffset,
            Some(of),
            query,
            0,
            self.timeout,
            now_nanos,
        )
    }

    /// Commits a group's offset.
    pub fn commit_offset(
        &mut self,
        out: &mut Vec<u8>,
        of: T,
        commit: &CommitOffset,
        now_nanos: u64,
    ) -> Result<()> {
        self.ready(Operation::CommitOffset)?;
        self.ask(
            out,
            Kind::CommitOffset,
            Operation::CommitOffset,
            Some(of),
            commit,
            0,
            self.timeout,
            now_nanos,
        )
    }

    /// Asks for the queues of a topic.
    pub fn route(&mut self, out: &mut Vec<u8>, of: T, route: &Route, now_nanos: u64) -> Result<()> {
        self.ready(Operation::Route)?;
        self.ask(out, Kind::Route, Operation::Route, Some(of), route, 0, self.timeout, now_nanos)
    }

    #[expect(clippy::too_many_arguments, reason = "one private place for all kinds")]
    fn ask(
        &mut self,
        out: &mut Vec<u8>,
        kind: Kind,
        operation: Operation,
        of: Option<T>,
        header: &impl Header,
        payload_bytes: usize,
        timeout: Duration,
        now_nanos: u64,
    ) -> Result<()> {
        if of.is_some() {
            self.has_room(operation)?;
        }
        let slots: u32 = fit(self.slots.len());
        let slot_of = |correlation: u32| (correlation % slots) as usize;
        // A long poll keeps its slot; later requests skip it.
        let mut correlation = self.next_correlation;
        while self.slots.get(slot_of(correlation)).is_some_and(Option::is_some) {
            correlation = correlation.wrapping_add(1);
        }
        append_frame(out, kind, correlation, header, payload_bytes).map_err(|error| {
            ClientError::local(format!("write a {operation} request for {}", self.peer), &error)
        })?;
        let deadline_nanos = now_nanos.saturating_add(nanos(timeout));
        if let Some(slot) = self.slots.get_mut(slot_of(correlation)) {
            *slot = Some(Unanswered {
                correlation,
                operation,
                sent_nanos: now_nanos,
                deadline_nanos,
                of,
            });
        }
        self.unanswered += 1;
        self.next_correlation = correlation.wrapping_add(1);
        self.last_sent_nanos = now_nanos;
        Ok(())
    }

    /// Takes received bytes. After an error, close the connection, then call [`Connection::lose`].
    pub fn receive(
        &mut self,
        data: &[u8],
        told: &mut impl FnMut(Told<'_, T>),
    ) -> std::result::Result<(), Arc<str>> {
        let mut cutter = std::mem::replace(&mut self.cutter, Cutter::new(0));
        let mut fault = None;
        let cut = cutter.feed(data, |frame| {
            if fault.is_none() {
                fault = self.on_frame(frame, told).err();
            }
        });
        self.cutter = cutter;
        fault.map_or(Ok(()), Err)?;
        cut.map_err(|error| error.to_string().into())
    }

    fn on_frame(
        &mut self,
        frame: &[u8],
        told: &mut impl FnMut(Told<'_, T>),
    ) -> std::result::Result<(), Arc<str>> {
        let (correlation, answer) = answer::read(frame)
            .map_err(|error| Arc::from(format!("unreadable answer: {error}")))?;
        let Some(request) = self.take(correlation) else {
            self.late_answers += 1;
            return match answer {
                // A broker that gives up on a connection says why with the correlation of what it
                // could not read.
                Answer::Refused(refusal) if self.welcome.is_none() => {
                    Err(refusal.to_string().into())
                }
                _ => Ok(()),
            };
        };
        let operation = request.operation;
        match (request.of, answer) {
            (None, Answer::Welcome(welcome)) if operation == Operation::Connect => {
                if welcome.version != VERSION {
                    return Err(format!(
                        "the broker chose version {}, offered was {VERSION}",
                        welcome.version
                    )
                    .into());
                }
                self.welcome = Some(Arc::new(*welcome));
                told(Told::Ready);
            }
            (None, Answer::Pong) if operation == Operation::Ping => self.is_ping_unanswered = false,
            (None, Answer::Refused(refusal)) => {
                return Err(format!("{operation} refused: {refusal}").into());
            }
            (Some(of), Answer::Refused(refusal)) => {
                told(Told::Failed(of, ClientError::Refused { operation, peer: self.peer, refusal }))
            }
            (Some(of), answer) if fits(operation, &answer) => told(Told::Answer(of, answer)),
            (of, _) => {
                let why: Arc<str> =
                    format!("{operation} was answered with another kind of frame").into();
                if let Some(of) = of {
                    told(Told::Failed(
                        of,
                        ClientError::Unknown { operation, peer: self.peer, why: why.clone() },
                    ));
                }
                return Err(why);
            }
        }
        Ok(())
    }

    fn take(&mut self, correlation: u32) -> Option<Unanswered<T>> {
        let slots: u32 = fit(self.slots.len());
        let slot = self.slots.get_mut((correlation % slots) as usize)?;
        let taken = slot.take_if(|request| request.correlation == correlation)?;
        self.unanswered -= 1;
        Some(taken)
    }

    /// Fails requests whose deadline has passed, and sends a ping after a quiet time. The owner
    /// calls it every few milliseconds. An unanswered greeting or ping is an error that ends the
    /// connection.
    pub fn tick(
        &mut self,
        now_nanos: u64,
        out: &mut Vec<u8>,
        told: &mut impl FnMut(Told<'_, T>),
    ) -> std::result::Result<(), Arc<str>> {
        let mut fault = Ok(());
        let peer = self.peer;
        let slots = if self.unanswered == 0 { &mut [] } else { &mut *self.slots };
        for slot in slots {
            let Some(late) = slot.take_if(|request| request.deadline_nanos <= now_nanos) else {
                continue;
            };
            self.unanswered -= 1;
            let waited_ms = now_nanos.saturating_sub(late.sent_nanos) / 1_000_000;
            match late.of {
                Some(of) => told(Told::Failed(
                    of,
                    ClientError::TimedOut { operation: late.operation, peer, waited_ms },
                )),
                None => {
                    fault =
                        Err(format!("{} without an answer for {waited_ms} ms", late.operation)
                            .into())
                }
            }
        }
        if self.welcome.is_some()
            && !self.is_ping_unanswered
            && now_nanos.saturating_sub(self.last_sent_nanos) >= nanos(PING_AFTER)
        {
            self.is_ping_unanswered = true;
            let _own_place =
                self.ask(out, Kind::Ping, Operation::Ping, None, &(), 0, self.timeout, now_nanos);
        }
        fault
    }

    /// Ends the connection: every unanswered request fails with an unknown outcome.
    pub fn lose(self, why: &Arc<str>, told: &mut impl FnMut(Told<'_, T>)) {
        for request in self.slots.into_iter().flatten() {
            if let Some(of) = request.of {
                told(Told::Failed(
                    of,
                    ClientError::Unknown {
                        operation: request.operation,
                        peer: self.peer,
                        why: why.clone(),
                    },
                ));
            }
        }
    }
}

fn fits(operation: Operation, answer: &Answer<'_>) -> bool {
    matches!(
        (operation, answer),
        (Operation::Produce, Answer::Produced(_))
            | (Operation::Fetch, Answer::Fetched(_))
            | (Operation::QueryOffset, Answer::OffsetIs(_))
            | (Operation::CommitOffset, Answer::Committed)
            | (Operation::Route, Answer::RouteIs(_))
    )
}
