//! The client's operations. They are the same for every driver.
//!
//! Each operation is a future that ends when its answer has arrived. On a glommio core they are
//! awaited ([`crate::on_core`]); on a plain thread [`crate::ThreadClient`] turns the ring until
//! they are ready.

use crate::consumer::{FetchOptions, FetchedBatch};
use crate::error::{ClientError, Operation, Result};
use crate::hub::{Hub, Reply};
use crate::producer::{Completion, Stored, Ticket};
use crate::record::Message;
use crate::route::{Queue, TopicRoute};
use protocol::checked::{fit, nanos};
use protocol::native::{
    CommitOffset, Fetch, FetchSql, OffsetIs, QueryOffset, Route, RouteIs, Welcome,
};
use protocol::tags::java_hash;
use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// A client for one thread. A clone is another handle to the same client. The client lives as long
/// as one of its handles or its driver.
#[derive(Clone)]
pub struct Client {
    hub: Rc<RefCell<Hub>>,
    /// Wakes the driver, so that it turns the ring and queued frames go out.
    wake_up: Rc<dyn Fn()>,
}

/// Resolves `host:port` texts. Resolving a name may block, so it happens before the client is
/// driven.
pub(crate) fn resolve(seeds: &[&str]) -> Result<Vec<SocketAddr>> {
    let one = |seed: &&str| {
        let found = seed
            .to_socket_addrs()
            .map_err(|error| ClientError::local(format!("resolve {seed}"), &error))?
            .next();
        found.ok_or_else(|| {
            ClientError::local(format!("resolve {seed}"), &"the name has no address")
        })
    };
    if seeds.is_empty() {
        return Err(ClientError::local("connect", &"no address was given: host:port of a shard"));
    }
    seeds.iter().map(one).collect()
}

impl Client {
    pub(crate) fn new(hub: Rc<RefCell<Hub>>, wake_up: Rc<dyn Fn()>) -> Self {
        Self { hub, wake_up }
    }

    /// Waits until `check` returns something. It is called again after every event of the ring.
    async fn until<T>(&self, mut check: impl FnMut(&mut Hub) -> Option<T>) -> T {
        std::future::poll_fn(|context| {
            let mut hub = self.hub.borrow_mut();
            match check(&mut hub) {
                Some(value) => Poll::Ready(value),
                None => {
                    hub.wake_at_news(context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits until every known shard has answered the greeting, those included that a shard names
    /// in its answer. When the timeout is over it succeeds if at least one shard has answered; the
    /// others are used once they answer. Fails if no shard has answered by then, or if a shard
    /// refused several dials before any answered.
    pub async fn connect(&self) -> Result<()> {
        let timeout = self.hub.borrow().config.timeout;
        let limit_nanos = self.hub.borrow().now_nanos().saturating_add(nanos(timeout));
        (self.wake_up)();
        self.until(|hub| {
            let ready = hub.lanes.iter().filter(|lane| lane.welcome().is_some()).count();
            let is_late = hub.now_nanos() >= limit_nanos;
            let fault = hub.lanes.iter().find(|lane| lane.welcome().is_none());
            match fault {
                None => Some(Ok(())),
                Some(_) if is_late && ready > 0 => Some(Ok(())),
                Some(lane) if is_late || (ready == 0 && lane.failures >= DIALS_BEFORE_ERROR) => {
                    Some(Err(ClientError::NotSent {
                        operation: Operation::Connect,
                        peer: lane.addr,
                        why: lane.fault.clone(),
                    }))
                }
                Some(_) => None,
            }
        })
        .await
    }

    /// How many shards are known; they are numbered from 0.
    #[must_use]
    pub fn shards(&self) -> u32 {
        fit(self.hub.borrow().lanes.len())
    }

    /// The Welcome of a shard; `None` while it is not connected.
    #[must_use]
    pub fn welcome(&self, shard: u32) -> Option<Arc<Welcome>> {
        self.hub.borrow().welcome(shard)
    }

    /// Asks every shard for the queues of a topic, and keeps them for [`Client::send`].
    pub async fn route(&self, topic: &str) -> Result<TopicRoute> {
        self.ask_route(topic, 0).await
    }

    /// As [`Client::route`], but creates the topic with this many queues on every shard that lacks
    /// it, if the broker's `autoCreateTopicEnable` allows it.
    pub async fn create_topic(&self, topic: &str, queues: u32) -> Result<TopicRoute> {
        self.ask_route(topic, queues).await
    }

    async fn ask_route(&self, topic: &str, create_queues: u32) -> Result<TopicRoute> {
        let mut answers = Vec::new();
        let mut refused = None;
        let route = Route { create_queues, topic: topic.to_owned() };
        for shard in 0..self.shards() {
            match self.shard_route(shard, &route).await {
                Ok(queues) => answers.push((shard, queues)),
                Err(error) => refused = Some(error),
            }
        }
        match (answers.is_empty(), refused) {
            (true, Some(error)) => Err(error),
            _ => {
                let found = TopicRoute::new(topic, &answers)?;
                self.hub.borrow_mut().set_route(topic, found.clone());
                Ok(found)
            }
        }
    }

    async fn shard_route(&self, shard: u32, route: &Route) -> Result<RouteIs> {
        let queue = Queue { shard, queue_id: 0 };
        let reply =
            self.call(queue, &route.topic, Operation::Route, |connection, out, of, now_nanos| {
                connection.route(out, of, route, now_nanos)
            });
        match reply.await? {
            Reply::RouteIs(is) => Ok(is),
            _ => Err(unexpected(Operation::Route)),
        }
    }

    /// Takes a message for the topic's next queue and returns a ticket. [`Client::completion`]
    /// later returns the outcome. The topic's route must be known. [`ClientError::Full`] is
    /// back-pressure: take completions, then submit again.
    pub fn submit(&self, message: &Message<'_>) -> Result<Ticket> {
        let mut hub = self.hub.borrow_mut();
        let queue = hub.next_queue(message.topic)?;
        let ticket = hub.submit(queue, message);
        drop(hub);
        (self.wake_up)();
        ticket
    }

    /// As [`Client::submit`], for a queue that the caller chooses.
    pub fn submit_to(&self, queue: Queue, message: &Message<'_>) -> Result<Ticket> {
        let ticket = self.hub.borrow_mut().submit(queue, message);
        (self.wake_up)();
        ticket
    }

    /// As [`Client::submit`], but waits while there is no room. Another task must take completions
    /// meanwhile: untaken ones occupy room too.
    pub async fn submit_waiting(&self, message: &Message<'_>) -> Result<Ticket> {
        loop {
            match self.submit(message) {
                Err(full) if full.is_full() => self.next_news().await,
                outcome => return outcome,
            }
        }
    }

    async fn next_news(&self) {
        let mut is_first = true;
        self.until(|_| (!std::mem::take(&mut is_first)).then_some(())).await;
    }

    /// Sends one message and waits until it is stored as durably as the broker is configured. Asks
    /// for the route first when it is not known.
    pub async fn send(&self, message: &Message<'_>) -> Result<Stored> {
        if self.hub.borrow().route(message.topic).is_none() {
            self.route(message.topic).await?;
        }
        let ticket = self.submit_waiting(message).await?;
        self.flush()?;
        self.completion_of(ticket).await
    }

    /// Waits for the outcome of one message.
    pub async fn completion_of(&self, ticket: Ticket) -> Result<Stored> {
        self.until(|hub| hub.completion_of(ticket)).await.outcome
    }

    /// Waits for the next completion that has not been taken; `None` when every message's
    /// completion has been taken.
    pub async fn completion(&self) -> Option<Completion> {
        self.until(|hub| match hub.completion() {
            Some(completion) => Some(Some(completion)),
            None => (hub.unanswered() == 0).then_some(None),
        })
        .await
    }

    /// The next completion if there is one now.
    #[must_use]
    pub fn try_completion(&self) -> Option<Completion> {
        self.hub.borrow_mut().completion()
    }

    /// Sends gathered records now.
    pub fn flush(&self) -> Result<()> {
        let flushed = self.hub.borrow_mut().flush();
        (self.wake_up)();
        flushed
    }

    /// Messages that were taken and have no completion yet.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.hub.borrow().unanswered()
    }

    /// Reads a queue from an offset on. While the queue has no message there, the broker keeps the
    /// request for up to `options.hold_ms` (a long poll).
    pub async fn fetch(
        &self,
        topic: &str,
        queue: Queue,
        offset: i64,
        options: &FetchOptions,
    ) -> Result<FetchedBatch> {
        let welcome = self.welcome(queue.shard);
        let (messages_limit, hold_limit) = welcome.map_or((u32::MAX, u32::MAX), |welcome| {
            (welcome.fetch_messages_max, welcome.hold_ms_max)
        });
        if options.expression.is_some() && !options.tags.is_empty() {
            let why = "an expression and tags at once: the expression can ask for TAGS itself";
            return Err(ClientError::local(format!("fetch of {topic}"), &why));
        }
        let fetch = Fetch {
            queue_id: queue.queue_id,
            offset,
            messages_max: options.messages_max.min(messages_limit),
            bytes_max: options.bytes_max,
            hold_ms: options.hold_ms.min(hold_limit),
            topic: topic.to_owned(),
            tags: options.tags.iter().map(|tag| java_hash(tag)).collect(),
        };
        let reply = self.call(queue, topic, Operation::Fetch, |connection, out, of, now_nanos| {
            match &options.expression {
                Some(expression) => {
                    connection.fetch_sql(out, of, &with_expression(fetch, expression), now_nanos)
                }
                None => connection.fetch(out, of, &fetch, now_nanos),
            }
        });
        match reply.await? {
            Reply::Fetched(batch) => Ok(batch),
            _ => Err(unexpected(Operation::Fetch)),
        }
    }

    /// A group's committed offset in a queue (-1: none), and the queue's first and next offsets.
    pub async fn offsets(&self, group: &str, topic: &str, queue: Queue) -> Result<OffsetIs> {
        let query = QueryOffset {
            queue_id: queue.queue_id,
            group: group.to_owned(),
            topic: topic.to_owned(),
        };
        let reply =
            self.call(queue, topic, Operation::QueryOffset, |connection, out, of, now_nanos| {
                connection.query_offset(out, of, &query, now_nanos)
            });
        match reply.await? {
            Reply::OffsetIs(is) => Ok(is),
            _ => Err(unexpected(Operation::QueryOffset)),
        }
    }

    /// Saves the next offset that a group will read.
    pub async fn commit(&self, group: &str, topic: &str, queue: Queue, offset: i64) -> Result<()> {
        let commit = CommitOffset {
            queue_id: queue.queue_id,
            offset,
            group: group.to_owned(),
            topic: topic.to_owned(),
        };
        let reply =
            self.call(queue, topic, Operation::CommitOffset, |connection, out, of, now_nanos| {
                connection.commit_offset(out, of, &commit, now_nanos)
            });
        match reply.await? {
            Reply::Committed => Ok(()),
            _ => Err(unexpected(Operation::CommitOffset)),
        }
    }

    async fn call(
        &self,
        queue: Queue,
        topic: &str,
        operation: Operation,
        write: impl FnOnce(
            &mut crate::Connection<crate::lane::Asker>,
            &mut Vec<u8>,
            crate::lane::Asker,
            u64,
        ) -> Result<()>,
    ) -> Result<Reply> {
        let key = self.hub.borrow_mut().call(queue, topic, operation, write)?;
        let call = Asked { hub: &self.hub, key };
        (self.wake_up)();
        self.until(|hub| hub.take(call.key)).await
    }
}

fn with_expression(fetch: Fetch, expression: &str) -> FetchSql {
    let Fetch { queue_id, offset, messages_max, bytes_max, hold_ms, topic, tags: _ } = fetch;
    let expression = expression.to_owned();
    FetchSql { queue_id, offset, messages_max, bytes_max, hold_ms, topic, expression }
}

/// After this many failed dials in a row, connecting gives up on a shard if no other shard answers
/// either.
const DIALS_BEFORE_ERROR: u32 = 3;

/// Frees the place of a request when its caller drops the future.
struct Asked<'a> {
    hub: &'a RefCell<Hub>,
    key: usize,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.hub.borrow_mut().abandon(self.key);
    }
}

fn unexpected(operation: Operation) -> ClientError {
    ClientError::local(
        format!("read the answer to a {operation} request"),
        &"another kind of answer",
    )
}
