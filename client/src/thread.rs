//! The client on a plain thread. It owns its ring and turns it while the caller waits for
//! something.
//!
//! Nothing happens behind the caller's back: no thread is started, and between calls nothing is
//! sent or received. Call [`ThreadClient::turn`] now and then when there is nothing else to do, or
//! a quiet connection is closed by the broker.

use crate::client::{Client, resolve};
use crate::consumer::{FetchOptions, FetchedBatch};
use crate::error::{ClientError, Result};
use crate::hub::{ClientConfig, Hub};
use crate::producer::{Completion, Stored, Ticket};
use crate::record::Message;
use crate::route::{Queue, TopicRoute};
use protocol::native::OffsetIs;
use rt::ring::{Ring, RingConfig, Wait};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A blocking client. Not `Send`: it lives on the thread that made it.
pub struct ThreadClient {
    client: Client,
    hub: Rc<RefCell<Hub>>,
    ring: Ring,
}

impl ThreadClient {
    /// Connects to the shards at these `host:port`, and to all others that they tell of.
    pub fn connect(seeds: &[&str], config: ClientConfig) -> Result<Self> {
        let hub = Rc::new(RefCell::new(Hub::new(config, &resolve(seeds)?)));
        let ring = Ring::new(&RingConfig::default())
            .map_err(|error| ClientError::local("make a ring", &error))?;
        let mut thread = Self { client: Client::new(hub.clone(), Rc::new(|| ())), hub, ring };
        thread.wait(|client| async move { client.connect().await })?;
        Ok(thread)
    }

    /// Turns the ring until the future that `ask` makes is ready.
    pub fn wait<T, F: Future<Output = Result<T>>>(
        &mut self,
        ask: impl FnOnce(Client) -> F,
    ) -> Result<T> {
        let mut asked = pin!(ask(self.client.clone()));
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(value) = asked.as_mut().poll(&mut context) {
                return value;
            }
            let idle = self.hub.borrow().idle_for();
            self.turn(idle)?;
        }
    }

    /// Sends queued frames and takes received ones; sleeps up to `idle` if there are none.
    pub fn turn(&mut self, idle: Duration) -> Result<()> {
        self.hub.borrow_mut().end_turn(&mut self.ring);
        let hub = &self.hub;
        let wait = if idle.is_zero() { Wait::No } else { Wait::AtMost(idle) };
        let turned = self.ring.turn(wait, &mut |event| hub.borrow_mut().on_event(event));
        self.hub.borrow_mut().end_turn(&mut self.ring);
        turned.map(drop).map_err(|error| ClientError::local("turn the ring", &error))
    }

    /// The client, for operations that need no waiting.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// See [`Client::route`].
    pub fn route(&mut self, topic: &str) -> Result<TopicRoute> {
        self.wait(|client| async move { client.route(topic).await })
    }

    /// See [`Client::create_topic`].
    pub fn create_topic(&mut self, topic: &str, queues: u32) -> Result<TopicRoute> {
        self.wait(|client| async move { client.create_topic(topic, queues).await })
    }

    /// Sends one message and waits until it is stored.
    pub fn send(&mut self, message: &Message<'_>) -> Result<Stored> {
        self.wait(|client| async move { client.send(message).await })
    }

    /// Takes a message and returns a ticket; waits only while there is no room.
    pub fn submit_waiting(&mut self, message: &Message<'_>) -> Result<Ticket> {
        self.wait(|client| async move { client.submit_waiting(message).await })
    }

    /// The next completion; `None` when every message's completion has been taken.
    pub fn completion(&mut self) -> Result<Option<Completion>> {
        self.wait(|client| async move { Ok(client.completion().await) })
    }

    /// See [`Client::fetch`].
    pub fn fetch(
        &mut self,
        topic: &str,
        queue: Queue,
        offset: i64,
        options: &FetchOptions,
    ) -> Result<FetchedBatch> {
        self.wait(|client| async move { client.fetch(topic, queue, offset, options).await })
    }

    /// See [`Client::offsets`].
    pub fn offsets(&mut self, group: &str, topic: &str, queue: Queue) -> Result<OffsetIs> {
        self.wait(|client| async move { client.offsets(group, topic, queue).await })
    }

    /// See [`Client::commit`].
    pub fn commit(&mut self, group: &str, topic: &str, queue: Queue, offset: i64) -> Result<()> {
        self.wait(|client| async move { client.commit(group, topic, queue, offset).await })
    }
}
