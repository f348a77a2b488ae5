//! What lite topics keep of one shard.

use super::ask::LiteAsk;
use super::events::LiteEvents;
use super::routes::Routes;
use crate::limits::POP_ORDERS_MAX;
use crate::reads::filter::Filter;
use crate::reads::long_polls::{LongPolls, Wait};
use crate::tables::lite_subscriptions::{LiteSubscriptions, Subscriber};
use crate::tables::pop_orders::PopOrders;
use netcore::ConnId;
use protocol::lite;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

/// A lite topic's queue and a group.
pub(super) type QueueOfGroup = (Rc<str>, Rc<str>);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct LiteTopics {
    /// Who has subscribed to what.
    pub(crate) subscriptions: LiteSubscriptions<ConnId>,
    /// Of which queues each client was told.
    pub(crate) events: LiteEvents,
    /// What was handed out; not saved, as with Apache (`MemoryConsumerOrderInfoManager`).
    pub(crate) orders: PopOrders,
    /// Pops that wait to be told, by client.
    pub(super) polls: LongPolls<LiteAsk, ConnId>,
    /// The clients of such pops, until [`LiteTopics::sweep`].
    polled: HashSet<Rc<str>>,
    /// Those of them that are to run again.
    pub(super) woken: Vec<LiteAsk>,
    /// Which brokers have the queues of a parent.
    pub(super) routes: Routes,
    /// Queues that got messages in this turn.
    arrived: RefCell<Vec<Rc<str>>>,
    /// Queues that a pop reads at this moment; whether another met it there.
    reading: HashMap<QueueOfGroup, bool>,
    /// When queues are free whose messages are out.
    free: BTreeSet<(i64, QueueOfGroup)>,
    /// Reused: who may be told of a queue.
    pub(super) candidates: Vec<Subscriber>,
    /// When the looks of [`super::tick`] were last, in milliseconds since 1970.
    pub(super) looked_ms: Looked,
}

/// When periodic looks were last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    pub(super) events: i64,
    pub(super) subscriptions: i64,
    pub(super) expiry: i64,
    /// A task looks for lite topics that may go.
    pub(super) expires: bool,
}

impl LiteTopics {
    /// Nothing yet; at most `polls_max` pops may wait.
    pub(crate) fn new(polls_max: usize, now_ms: i64) -> Self {
        let looked_ms =
            Looked { events: now_ms, subscriptions: now_ms, expiry: now_ms, expires: false };
        Self {
            subscriptions: LiteSubscriptions::default(),
            events: LiteEvents::default(),
            orders: PopOrders::default(),
            polls: LongPolls::new(polls_max),
            polled: HashSet::new(),
            woken: vec![],
            routes: Routes::default(),
            arrived: RefCell::default(),
            reading: HashMap::new(),
            free: BTreeSet::new(),
            candidates: vec![],
            looked_ms,
        }
    }

    /// Something is in a topic: perhaps the queue of a lite topic that somebody has.
    pub(crate) fn arrived(&self, topic: &str) {
        if !lite::is_queue(topic) {
            return;
        }
        let name = self.subscriptions.name(topic).cloned().or_else(|| {
            let (parent, _) = lite::parts(topic)?;
            self.subscriptions.has_wildcards(parent).then(|| Rc::from(topic))
        });
        self.arrived.borrow_mut().extend(name);
    }

    /// The queues that got messages since the last call, one after the other.
    pub(super) fn next_arrived(&self) -> Option<Rc<str>> {
        self.arrived.borrow_mut().pop()
    }

    /// Lets a pop wait; gives it back when too many do, of its client (`max_of_one`) or of all.
    pub(super) fn wait(
        &mut self,
        ask: LiteAsk,
        max_of_one: usize,
        now_ms: i64,
        poll_ms: i64,
    ) -> Result<(), LiteAsk> {
        let (client, conn) = (ask.client.clone(), ask.ticket.conn);
        if self.polls.of_queue(&client, lite::QUEUE_ID) >= max_of_one {
            return Err(ask);
        }
        let wait = Wait {
            topic: &client,
            queue_id: lite::QUEUE_ID,
            offset: i64::MIN,
            filter: &Filter::All,
            poll_ms,
        };
        self.polls.wait(&wait, conn, now_ms, ask)?;
        self.polled.insert(client);
        Ok(())
    }

    /// Forgets the clients of whom nothing waits.
    pub(super) fn sweep(&mut self) {
        let Self { polls, polled, .. } = self;
        polled.retain(|client| {
            let waits = polls.of_queue(client, lite::QUEUE_ID) > 0;
            if !waits {
                polls.forget_topic(client, &mut vec![]);
            }
            waits
        });
    }

    /// Takes a queue for a pop; false when another reads it.
    pub(super) fn take(&mut self, at: &QueueOfGroup) -> bool {
        if let Some(was_met) = self.reading.get_mut(at) {
            *was_met = true;
            return false;
        }
        self.reading.insert(at.clone(), false);
        true
    }

    /// Gives it back. Whether another pop met it taken.
    pub(super) fn give_back(&mut self, at: &QueueOfGroup) -> bool {
        self.reading.remove(at).unwrap_or(false)
    }

    /// A queue is free at this time. Beyond the bound its group hears of it with the next message.
    pub(super) fn free_at(&mut self, at_ms: i64, at: QueueOfGroup) {
        if self.free.len() < POP_ORDERS_MAX {
            self.free.insert((at_ms, at));
        }
    }

    /// The next queue whose time is over.
    pub(super) fn next_free(&mut self, now_ms: i64) -> Option<QueueOfGroup> {
        if self.free.first()?.0 > now_ms {
            return None;
        }
        self.free.pop_first().map(|(_, at)| at)
    }

    /// Whether no pop reads at this moment.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.reading.is_empty()
    }
}
