//! The connection to one shard: dialled, greeted, lost, dialled again.
//!
//! ```text
//!   Idle ──backoff over──▶ Dialling ──connected──▶ Open: greeting ──Welcome──▶ Open: ready
//!     ▲                       │ failed                │ lost: in flight -> unknown          │
//!     └───────────────────────┴───────────────────────┴─────────────────────────────────────┘
//!
//!   filling ──end of turn──▶ ring ──Sent──▶ spare         one send at a time; what comes meanwhile fills the next one
//! ```

use crate::answer::Answer;
use crate::connection::{Connection, Told};
use crate::error::{ClientError, Operation, Result};
use crate::hub::{Calls, ClientConfig};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, CONNECT_TIMEOUT};
use crate::producer::{InFlight, Producer};
use protocol::checked::nanos;
use protocol::native::Welcome;
use rt::ring::{Ring, SendQueue, Socket, Token, connect_socket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The caller of a request on this connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker {
    Produce(InFlight),
    Call(usize),
}

impl From<InFlight> for Asker {
    fn from(frame: InFlight) -> Self {
        Self::Produce(frame)
    }
}

enum State {
    Idle {
        dial_at_nanos: u64,
    },
    Dialling,
    Open {
        socket: Socket,
        connection: Box<Connection<Asker>>,
    },
    /// The client is gone.
    Closed,
}

/// The outgoing bytes of a lane. One send is under way at a time; frames written meanwhile gather
/// for the next one. The memory of a finished send is used again.
#[derive(Default)]
struct Outgoing {
    filling: SendQueue,
    spare: SendQueue,
    is_sending: bool,
}

impl Outgoing {
    /// The bytes to send next, if none are being sent.
    fn next(&mut self) -> Option<SendQueue> {
        if self.is_sending || self.filling.is_empty() {
            return None;
        }
        self.is_sending = true;
        Some(std::mem::replace(&mut self.filling, std::mem::take(&mut self.spare)))
    }

    /// Takes the memory of a finished send back.
    fn sent(&mut self, mut queue: SendQueue) {
        queue.clear();
        self.spare = queue;
        self.is_sending = false;
    }
}

pub(crate) struct Lane {
    pub(crate) addr: SocketAddr,
    /// The shard's broker name, known after a Welcome.
    pub(crate) broker_name: Option<String>,
    pub(crate) producer: Producer,
    /// Why there is no connection; errors quote it.
    pub(crate) fault: Arc<str>,
    /// Dials that failed or connections that were lost since the last greeting.
    pub(crate) failures: u32,
    index: u32,
    generation: u32,
    state: State,
    backoff: Duration,
    out: Outgoing,
    receive_wanted: bool,
    to_shut: Option<Socket>,
}

impl Lane {
    pub(crate) fn new(config: &ClientConfig, index: u32, addr: SocketAddr) -> Self {
        Self {
            addr,
            broker_name: None,
            producer: Producer::new(config.producer, index, addr),
            fault: "not dialled yet".into(),
            failures: 0,
            index,
            generation: 0,
            state: State::Idle { dial_at_nanos: 0 },
            backoff: BACKOFF_MIN,
            out: Outgoing::default(),
            receive_wanted: false,
            to_shut: None,
        }
    }

    /// Identifies this connection in the ring's events, as distinct from earlier ones to the shard.
    fn token(&self) -> Token {
        (u64::from(self.generation) << 32) | u64::from(self.index)
    }

    pub(crate) fn is_this(&self, token: Token) -> bool {
        self.token() == token
    }

    pub(crate) fn welcome(&self) -> Option<&Arc<Welcome>> {
        match &self.state {
            State::Open { connection, .. } => connection.welcome(),
            _ => None,
        }
    }

    /// The open connection and where its requests go.
    pub(crate) fn ask(
        &mut self,
        operation: Operation,
    ) -> Result<(&mut Connection<Asker>, &mut Vec<u8>)> {
        match &mut self.state {
            State::Open { connection, .. } if connection.welcome().is_some() => {
                Ok((connection, self.out.filling.bytes()))
            }
            _ => Err(ClientError::NotSent { operation, peer: self.addr, why: self.fault.clone() }),
        }
    }

    pub(crate) fn connected(&mut self, config: &ClientConfig, socket: Socket, now_nanos: u64) {
        self.out.filling.clear();
        let greeted = Connection::new(
            self.addr,
            &config.client_name,
            config.requests_max,
            config.timeout,
            now_nanos,
            self.out.filling.bytes(),
        );
        match greeted {
            Ok(connection) => {
                self.fault = "the greeting is not over".into();
                self.state = State::Open { socket, connection: Box::new(connection) };
                self.receive_wanted = true;
            }
            Err(error) => self.idle(error.to_string().into(), now_nanos),
        }
    }

    /// Takes received bytes. Returns true when they complete the greeting.
    pub(crate) fn received(&mut self, data: &[u8], calls: &mut Calls, now_nanos: u64) -> bool {
        let State::Open { connection, .. } = &mut self.state else { return false };
        let (producer, mut is_ready) = (&mut self.producer, false);
        let outcome = connection.receive(data, &mut |told| match told {
            Told::Ready => is_ready = true,
            Told::Answer(Asker::Produce(frame), Answer::Produced(produced)) => {
                producer.on_produced(frame, &produced)
            }
            Told::Answer(Asker::Produce(_), _) => {} // the connection lets only Produced through
            Told::Answer(Asker::Call(key), answer) => calls.answered(key, &answer),
            Told::Failed(of, error) => failed(producer, calls, of, error),
        });
        if is_ready && let Some(welcome) = connection.welcome() {
            producer.on_welcome(welcome);
            self.backoff = BACKOFF_MIN;
            self.failures = 0;
        }
        if let Err(why) = outcome {
            self.lost(why, calls, now_nanos);
            return false;
        }
        is_ready
    }

    /// Cleans up after the connection has ended, on whichever side.
    pub(crate) fn lost(&mut self, why: Arc<str>, calls: &mut Calls, now_nanos: u64) {
        // What was under way on a socket that was given up ends later, with less to say: only the
        // first reason counts.
        if matches!(self.state, State::Idle { .. } | State::Closed) {
            return;
        }
        let State::Open { socket, connection } =
            std::mem::replace(&mut self.state, State::Dialling)
        else {
            return self.idle(why, now_nanos);
        };
        let producer = &mut self.producer;
        connection.lose(&why, &mut |told| {
            if let Told::Failed(of, error) = told {
                failed(producer, calls, of, error);
            }
        });
        self.to_shut = Some(socket);
        self.idle(why, now_nanos);
    }

    /// Ends the connection for good.
    pub(crate) fn close(&mut self, calls: &mut Calls) {
        self.lost("the client is closed".into(), calls, 0);
        self.state = State::Closed;
    }

    fn idle(&mut self, why: Arc<str>, now_nanos: u64) {
        self.fault = why;
        self.failures = self.failures.saturating_add(1);
        self.state = State::Idle { dial_at_nanos: now_nanos.saturating_add(nanos(self.backoff)) };
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        self.out.filling.clear();
    }

    pub(crate) fn sent(
        &mut self,
        queue: SendQueue,
        result: std::io::Result<()>,
        calls: &mut Calls,
        now_nanos: u64,
    ) {
        self.out.sent(queue);
        if let Err(error) = result {
            self.lost(format!("sending failed: {error}").into(), calls, now_nanos);
        }
    }

    /// Checks timeouts and sends pings.
    pub(crate) fn tick(&mut self, calls: &mut Calls, now_nanos: u64) {
        self.producer.expire_open(now_nanos, &self.fault);
        let State::Open { connection, .. } = &mut self.state else { return };
        let producer = &mut self.producer;
        let outcome = connection.tick(now_nanos, self.out.filling.bytes(), &mut |told| {
            if let Told::Failed(of, error) = told {
                failed(producer, calls, of, error);
            }
        });
        if let Err(why) = outcome {
            self.lost(why, calls, now_nanos);
        }
    }

    /// Sends the open batch when it is due, or at once.
    pub(crate) fn close_batch(&mut self, now_nanos: u64, at_once: bool) -> Result<()> {
        match &mut self.state {
            State::Open { connection, .. } if connection.welcome().is_some() => {
                self.producer.close(connection, self.out.filling.bytes(), now_nanos, at_once)
            }
            _ => Ok(()),
        }
    }

    /// Submits to the ring what this turn has decided.
    pub(crate) fn submit(&mut self, ring: &mut Ring, now_nanos: u64) {
        if let Some(socket) = self.to_shut.take() {
            ring.shut(&socket);
        }
        match &self.state {
            State::Idle { dial_at_nanos } if *dial_at_nanos <= now_nanos => {
                self.dial(ring, now_nanos)
            }
            State::Open { socket, .. } => {
                let socket = socket.clone();
                if std::mem::take(&mut self.receive_wanted) {
                    ring.receive(self.token(), &socket);
                }
                if let Some(queue) = self.out.next() {
                    ring.send(self.token(), &socket, queue);
                }
            }
            _ => {}
        }
    }

    fn dial(&mut self, ring: &mut Ring, now_nanos: u64) {
        self.generation = self.generation.wrapping_add(1);
        self.out.is_sending = false;
        self.receive_wanted = false;
        match connect_socket(self.addr) {
            Ok(socket) => {
                self.state = State::Dialling;
                ring.connect(self.token(), &socket, self.addr, CONNECT_TIMEOUT);
            }
            Err(error) => self.idle(format!("no socket: {error}").into(), now_nanos),
        }
    }

    /// When the driver must turn even if no event arrives.
    pub(crate) fn wake_at_nanos(&self) -> u64 {
        match &self.state {
            State::Idle { dial_at_nanos } => *dial_at_nanos,
            State::Open { connection, .. }
                if connection.welcome().is_some() && self.producer.has_room_for_frame() =>
            {
                self.producer.due_nanos().unwrap_or(u64::MAX)
            }
            _ => u64::MAX,
        }
    }
}

fn failed(producer: &mut Producer, calls: &mut Calls, of: Asker, error: ClientError) {
    match of {
        Asker::Produce(frame) => producer.on_failed(frame, &error),
        Asker::Call(key) => calls.failed(key, error),
    }
}
