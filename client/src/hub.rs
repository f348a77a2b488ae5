//! The state of a client: its shards on one ring, and the requests that callers wait for.
//!
//! A driver turns it: it passes the ring's events to [`Hub::on_event`], then calls
//! [`Hub::end_turn`], which submits sends and dials to the ring.

use crate::answer::Answer;
use crate::connection::Connection;
use crate::consumer::FetchedBatch;
use crate::error::{ClientError, Operation, Result};
use crate::lane::{Asker, Lane};
use crate::limits::SHARDS_MAX;
use crate::producer::{Completion, ProducerConfig, Ticket};
use crate::record::{Message, RecordWriter};
use crate::route::{Queue, TopicRoute};
use protocol::checked::{fit, nanos};
use protocol::native::{OffsetIs, RouteIs, Welcome};
use rt::ring::{Event, ReceiveEnd, Ring};
use slab::Slab;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The client's name for the broker's log.
    pub client_name: String,
    /// How records are gathered, and the limits of unacknowledged ones.
    pub producer: ProducerConfig,
    /// Most unanswered requests of one connection.
    pub requests_max: usize,
    /// How long an answer may take. A long poll may take its own time in addition.
    pub timeout: Duration,
}

impl Default for ClientConfig {
    /// A name with the process id, a timeout of 3 s, 512 requests.
    fn default() -> Self {
        let producer = ProducerConfig::default();
        Self {
            client_name: format!("rust-client@{}", std::process::id()),
            producer,
            requests_max: 512,
            timeout: Duration::from_secs(3),
        }
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) enum Reply {
    Fetched(FetchedBatch),
    OffsetIs(OffsetIs),
    Committed,
    RouteIs(RouteIs),
}

enum Call {
    Asked {
        topic: Box<str>,
        queue_id: i32,
    },
    Done(Result<Reply>),
    /// The caller has given up. The answer frees the place.
    Abandoned,
}

/// Unanswered requests of callers.
#[derive(Default)]
pub(crate) struct Calls(Slab<Call>);

impl Calls {
    pub(crate) fn answered(&mut self, key: usize, answer: &Answer<'_>) {
        let Some(Call::Asked { topic, queue_id }) = self.0.get(key) else {
            return self.failed_to_wait(key);
        };
        let reply = match answer {
            Answer::Fetched(fetched) => {
                Reply::Fetched(FetchedBatch::new(topic, *queue_id, fetched))
            }
            Answer::OffsetIs(is) => Reply::OffsetIs(is.clone()),
            Answer::RouteIs(is) => Reply::RouteIs(is.clone()),
            _ => Reply::Committed,
        };
        self.done(key, Ok(reply));
    }

    pub(crate) fn failed(&mut self, key: usize, error: ClientError) {
        match self.0.get(key) {
            Some(Call::Asked { .. }) => self.done(key, Err(error)),
            _ => self.failed_to_wait(key),
        }
    }

    fn done(&mut self, key: usize, reply: Result<Reply>) {
        if let Some(call) = self.0.get_mut(key) {
            *call = Call::Done(reply);
        }
    }

    fn failed_to_wait(&mut self, key: usize) {
        if matches!(self.0.get(key), Some(Call::Abandoned)) {
            self.0.remove(key);
        }
    }

    fn take(&mut self, key: usize) -> Option<Result<Reply>> {
        matches!(self.0.get(key), Some(Call::Done(_))).then(|| self.0.remove(key)).and_then(
            |call| match call {
                Call::Done(reply) => Some(reply),
                _ => None,
            },
        )
    }

    fn abandon(&mut self, key: usize) {
        match self.0.get_mut(key) {
            Some(call @ Call::Asked { .. }) => *call = Call::Abandoned,
            Some(Call::Done(_)) => drop(self.0.remove(key)),
            _ => {}
        }
    }
}

/// See the module documentation.
pub(crate) struct Hub {
    pub(crate) config: ClientConfig,
    pub(crate) lanes: Vec<Lane>,
    calls: Calls,
    topics: HashMap<String, TopicRoute>,
    writer: RecordWriter,
    started: Instant,
    wall: (Instant, i64),
    next_tick_nanos: u64,
    wakers: Vec<Waker>,
    has_news: bool,
}

/// Time between checks of timeouts.
const TICK: Duration = Duration::from_millis(10);

impl Hub {
    pub(crate) fn new(config: ClientConfig, seeds: &[SocketAddr]) -> Self {
        let lanes =
            (0_u32..).zip(seeds).map(|(index, addr)| Lane::new(&config, index, *addr)).collect();
        let born_host = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            config,
            lanes,
            calls: Calls::default(),
            topics: HashMap::new(),
            writer: RecordWriter::new(born_host, seed()),
            started: Instant::now(),
            wall: (Instant::now(), wall_ms()),
            next_tick_nanos: 0,
            wakers: Vec::new(),
            has_news: true,
        }
    }

    pub(crate) fn now_nanos(&self) -> u64 {
        nanos(self.started.elapsed())
    }

    fn born_ms(&self) -> i64 {
        self.wall.1.saturating_add(fit(self.wall.0.elapsed().as_millis()))
    }

    // ---- what the ring says, what it is to do ----

    pub(crate) fn on_event(&mut self, event: Event<'_>) {
        let now_nanos = self.now_nanos();
        self.has_news = true;
        let token = match &event {
            Event::Received { token, .. }
            | Event::ReceiveEnded { token, .. }
            | Event::Sent { token, .. }
            | Event::Connected { token, .. } => *token,
            Event::Accepted { .. } | Event::AcceptEnded { .. } => return,
        };
        let index: usize = fit(token & 0xffff_ffff);
        let Some(lane) = self.lanes.get_mut(index).filter(|lane| lane.is_this(token)) else {
            return;
        };
        match event {
            Event::Connected { socket, result: Ok(()), .. } => {
                if let Ok(local) = socket.local_addr() {
                    self.writer.set_born_host(local);
                }
                lane.connected(&self.config, socket, now_nanos);
            }
            Event::Connected { result: Err(error), .. } => {
                lane.lost(format!("connecting failed: {error}").into(), &mut self.calls, now_nanos)
            }
            Event::Received { data, .. } => {
                if lane.received(data, &mut self.calls, now_nanos) {
                    self.learn(index);
                }
            }
            Event::ReceiveEnded { why, .. } => {
                let why = match why {
                    ReceiveEnd::Failed(error) => format!("receiving failed: {error}"),
                    _ => "closed by the peer".to_owned(),
                };
                lane.lost(why.into(), &mut self.calls, now_nanos);
            }
            Event::Sent { queue, result, .. } => {
                lane.sent(queue, result, &mut self.calls, now_nanos)
            }
            Event::Accepted { .. } | Event::AcceptEnded { .. } => {}
        }
    }

    /// Opens a lane to each shard that a Welcome names and that is not known yet.
    fn learn(&mut self, index: usize) {
        let Some(welcome) = self.lanes.get(index).and_then(Lane::welcome).cloned() else { return };
        if let (Some(lane), Some(own)) =
            (self.lanes.get_mut(index), welcome.shards.get(usize::from(welcome.shard)))
        {
            lane.broker_name = Some(own.broker_name.clone());
        }
        for (at, shard) in welcome.shards.iter().enumerate() {
            // A name would have to be resolved, which blocks.
            let addr: Option<SocketAddr> = shard.address.parse().ok();
            let is_known = |lane: &Lane| {
                lane.broker_name.as_deref() == Some(shard.broker_name.as_str())
                    || Some(lane.addr) == addr
            };
            if at == usize::from(welcome.shard)
                || self.lanes.iter().any(is_known)
                || self.lanes.len() >= SHARDS_MAX
            {
                continue;
            }
            if let Some(addr) = addr {
                let mut lane = Lane::new(&self.config, fit(self.lanes.len()), addr);
                lane.broker_name = Some(shard.broker_name.clone());
                self.lanes.push(lane);
            }
        }
    }

    pub(crate) fn end_turn(&mut self, ring: &mut Ring) {
        let now_nanos = self.now_nanos();
        if now_nanos >= self.next_tick_nanos {
            self.next_tick_nanos = now_nanos + nanos(TICK);
            self.wall = (Instant::now(), wall_ms());
            self.lanes.iter_mut().for_each(|lane| lane.tick(&mut self.calls, now_nanos));
            self.has_news = true;
        }
        if std::mem::take(&mut self.has_news) {
            self.wakers.drain(..).for_each(Waker::wake);
        }
        for lane in &mut self.lanes {
            if let Err(error) = lane.close_batch(now_nanos, false) {
                lane.lost(error.to_string().into(), &mut self.calls, now_nanos);
            }
            lane.submit(ring, now_nanos);
        }
    }

    /// Ends every connection: the application is done with the client.
    pub(crate) fn close(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.close(&mut self.calls));
    }

    /// How long the loop may sleep when nothing comes.
    pub(crate) fn idle_for(&self) -> Duration {
        let at_nanos = self.lanes.iter().map(Lane::wake_at_nanos).min().unwrap_or(u64::MAX);
        Duration::from_nanos(at_nanos.saturating_sub(self.now_nanos())).min(TICK)
    }

    /// The longest time that records may gather.
    pub(crate) fn linger(&self) -> Duration {
        self.config.producer.linger
    }

    /// Wakes the task after the next event.
    pub(crate) fn wake_at_news(&mut self, waker: &Waker) {
        if !self.wakers.iter().any(|known| known.will_wake(waker)) {
            self.wakers.push(waker.clone());
        }
    }

    // ---- what callers want ----

    pub(crate) fn lane(&mut self, shard: u32) -> Result<&mut Lane> {
        let known = self.lanes.len();
        let lane = self.lanes.get_mut(shard as usize);
        lane.ok_or_else(|| {
            ClientError::local(
                format!("use shard {shard}"),
                &format!("{known} shards are known, numbered from 0"),
            )
        })
    }

    pub(crate) fn welcome(&self, shard: u32) -> Option<Arc<Welcome>> {
        self.lanes.get(shard as usize).and_then(Lane::welcome).cloned()
    }

    pub(crate) fn set_route(&mut self, topic: &str, route: TopicRoute) {
        self.topics.insert(topic.to_owned(), route);
    }

    pub(crate) fn route(&self, topic: &str) -> Option<&TopicRoute> {
        self.topics.get(topic)
    }

    /// The topic's next queue.
    pub(crate) fn next_queue(&mut self, topic: &str) -> Result<Queue> {
        let lanes = &self.lanes;
        let Some(route) = self.topics.get_mut(topic) else {
            return Err(ClientError::no_queue(
                topic,
                "its route is not known: ask for it first (route or create_topic)",
            ));
        };
        route.next(topic, |shard| {
            lanes.get(shard as usize).is_some_and(|lane| lane.welcome().is_some())
        })
    }

    /// Takes a message for a queue. It goes out at the end of the turn at the earliest.
    pub(crate) fn submit(&mut self, queue: Queue, message: &Message<'_>) -> Result<Ticket> {
        let (now_nanos, born_ms) = (self.now_nanos(), self.born_ms());
        let Some(lane) = self.lanes.get_mut(queue.shard as usize) else {
            return Err(ClientError::no_queue(message.topic, "its shard is not known"));
        };
        if lane.producer.is_batch_full() {
            lane.close_batch(now_nanos, true)?;
        }
        lane.producer.add(&mut self.writer, queue.queue_id, message, now_nanos, born_ms)
    }

    /// Sends every open batch, whatever its age.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let now_nanos = self.now_nanos();
        self.lanes.iter_mut().try_for_each(|lane| lane.close_batch(now_nanos, true))
    }

    pub(crate) fn completion(&mut self) -> Option<Completion> {
        self.lanes.iter_mut().find_map(|lane| lane.producer.next_completion())
    }

    pub(crate) fn completion_of(&mut self, ticket: Ticket) -> Option<Completion> {
        self.lanes.get_mut(ticket.shard as usize)?.producer.take_completion(ticket.number)
    }

    pub(crate) fn unanswered(&self) -> usize {
        self.lanes.iter().map(|lane| lane.producer.unanswered()).sum()
    }

    /// Sends a request whose reply [`Hub::take`] will give. `write` puts it on the connection.
    pub(crate) fn call(
        &mut self,
        queue: Queue,
        topic: &str,
        operation: Operation,
        write: impl FnOnce(&mut Connection<Asker>, &mut Vec<u8>, Asker, u64) -> Result<()>,
    ) -> Result<usize> {
        let now_nanos = self.now_nanos();
        let key =
            self.calls.0.insert(Call::Asked { topic: topic.into(), queue_id: queue.queue_id });
        let asked = self
            .lane(queue.shard)
            .and_then(|lane| lane.ask(operation))
            .and_then(|(connection, out)| write(connection, out, Asker::Call(key), now_nanos));
        asked.map(|()| key).inspect_err(|_| drop(self.calls.0.remove(key)))
    }

    pub(crate) fn take(&mut self, key: usize) -> Option<Result<Reply>> {
        self.calls.take(key)
    }

    pub(crate) fn abandon(&mut self, key: usize) {
        self.calls.abandon(key);
    }
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| fit(since.as_millis()))
}

/// A number that differs between the clients of one process, for unique keys.
fn seed() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let nanos =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    nanos ^ number.rotate_left(24)
}
