//! The route table: which brokers are alive and which topic has queues on which of them.
//!
//! ```text
//! clusters   cluster          -> broker names
//! brokers    broker name      -> cluster, addresses by broker id (0 is the master), acting-master flag, zone
//! live       (cluster, addr)  -> broker name, last sign of life, its timeout, data version, connection, HA address
//! topics     topic            -> broker name -> queues
//! ```
//!
//! Pure: time and connections come in as arguments, so every rule of liveness is a plain test. `C`
//! is the caller's name for a connection.
//!
//! Invariants (checked by `RouteTable::check` in tests after every step):
//! - a broker name has at least one address, an address has one id under it, and the name is in
//!   exactly its own cluster;
//! - an address is under a broker name if and only if exactly one live entry says so: nothing can
//!   stay in a route for good;
//! - a cluster has at least one name, a topic has queues on at least one broker, every topic's
//!   broker is known.
//!
//! The rules are those of RocketMQ's name server, so that its brokers register here and its clients
//! look up here. It differs where the invariants require it: a refused registration leaves nothing
//! behind, a broker that changes its name or cluster leaves the old one at once, an address that
//! loses its id to another is no longer alive, and a lost connection takes down every broker
//! registered through it, not only the first.

mod admin;
mod query;
mod register;
mod remove;
#[cfg(test)]
mod tests;

pub(crate) use query::UnitFilter;
pub(crate) use register::Registration;

use foldhash::{HashMap, HashMapExt as _};
use protocol::bodies::DataVersion;
use std::collections::{BTreeMap, BTreeSet};

/// Perm bit: producers may send.
pub(crate) const PERM_WRITE: i32 = 1 << 1;
/// Perm bit: consumers may pull.
pub(crate) const PERM_READ: i32 = 1 << 2;
/// The id of a master.
pub(crate) const MASTER_ID: i64 = 0;
/// How long a broker that names no timeout may be silent.
pub(crate) const HEARTBEAT_TIMEOUT_MS: i64 = 120_000;

/// The rules that the configuration can change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RouteOptions {
    /// A full registration removes the broker's topics that are not in it.
    pub delete_topic_with_broker_registration: bool,
    /// The slave with the smallest id takes the master's place in routes when there is no master.
    pub support_acting_master: bool,
}

/// The queues of one topic on one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queues {
    /// How many queues consumers see.
    pub read: i32,
    /// How many queues producers see.
    pub write: i32,
    /// [`PERM_READ`], [`PERM_WRITE`] and RocketMQ's two others.
    pub perm: i32,
    /// Bit 0 unit, bit 1 unit subscription.
    pub sys_flag: i32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Broker {
    cluster: String,
    addrs: BTreeMap<i64, String>,
    acting_master: bool,
    zone: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct LiveKey {
    cluster: String,
    addr: String,
}

impl LiveKey {
    fn new(cluster: &str, addr: &str) -> Self {
        Self { cluster: cluster.to_owned(), addr: addr.to_owned() }
    }
}

#[derive(Debug, Clone)]
struct Live<C> {
    broker_name: String,
    last_ms: i64,
    timeout_ms: i64,
    version: DataVersion,
    conn: C,
    ha_addr: String,
    filter_servers: Vec<String>,
    /// What its last registration's body was; `None` when that has to be looked at again.
    body: Option<BodyPrint>,
}

/// Tells a registration's body from another without keeping it. The hash has a secret key:
/// nobody makes two bodies that look alike, and who could would hide only his own topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyPrint {
    /// Of its bytes.
    pub len: usize,
    /// Of its bytes.
    pub crc: u32,
    /// foldhash of its bytes and of what says how they are read.
    pub hash: u64,
}

/// The tables. One core owns it; it lives as long as the server and starts empty: brokers fill it
/// by registering.
#[derive(Debug, Clone)]
pub(crate) struct RouteTable<C> {
    options: RouteOptions,
    clusters: BTreeMap<String, BTreeSet<String>>,
    brokers: HashMap<String, Broker>,
    live: BTreeMap<LiveKey, Live<C>>,
    topics: HashMap<String, BTreeMap<String, Queues>>,
    /// Sum of the lengths of `topics`' values, for the limit.
    topic_queues: usize,
    /// Some broker has named a filter server: routes look for them only then.
    has_filter_servers: bool,
}

impl<C: Copy + Eq> RouteTable<C> {
    /// An empty table.
    pub(crate) fn new(options: RouteOptions) -> Self {
        Self {
            options,
            clusters: BTreeMap::new(),
            brokers: HashMap::new(),
            live: BTreeMap::new(),
            topics: HashMap::new(),
            topic_queues: 0,
            has_filter_servers: false,
        }
    }

    /// Changes the options of a running table and keeps its content.
    pub(crate) fn set_options(&mut self, options: RouteOptions) {
        self.options = options;
    }

    /// How many brokers (addresses) are alive.
    #[cfg(test)]
    pub(crate) fn live_brokers(&self) -> usize {
        self.live.len()
    }

    fn put_queues(&mut self, topic: &str, broker: &str, queues: Queues) {
        let of_topic = match self.topics.get_mut(topic) {
            Some(of_topic) => of_topic,
            None => self.topics.entry(topic.to_owned()).or_default(),
        };
        match of_topic.get_mut(broker) {
            Some(old) => *old = queues,
            None => {
                of_topic.insert(broker.to_owned(), queues);
                self.topic_queues += 1;
            }
        }
    }

    /// Takes queues away for every (topic, broker) that `gone` names; topics left without any go
    /// too.
    fn remove_queues(&mut self, mut gone: impl FnMut(&str, &str) -> bool) -> usize {
        let mut removed = 0;
        self.topics.retain(|topic, of_topic| {
            let before = of_topic.len();
            of_topic.retain(|broker, _| !gone(topic, broker));
            removed += before - of_topic.len();
            !of_topic.is_empty()
        });
        self.topic_queues -= removed;
        removed
    }

    /// Under which key a broker's address is alive. That is its name's cluster; where the name has
    /// changed its cluster and this replica has not said so yet, it is another one.
    fn live_key(&self, broker_name: &str, addr: &str) -> Option<LiveKey> {
        let is_it =
            |key: &LiveKey| self.live.get(key).is_some_and(|live| live.broker_name == broker_name);
        let cluster = self.brokers.get(broker_name).map(|broker| &broker.cluster);
        cluster.map(|cluster| LiveKey::new(cluster, addr)).filter(is_it).or_else(|| {
            let mut keys = self.live.keys().filter(|key| key.addr == addr);
            keys.find(|key| is_it(key)).cloned()
        })
    }

    /// The live entry of a broker's address, whatever cluster it gave.
    fn live_of(&self, broker_name: &str, addr: &str) -> Option<&Live<C>> {
        self.live_key(broker_name, addr).and_then(|key| self.live.get(&key))
    }

    /// An address is not alive under this name any more.
    fn forget_address(&mut self, broker_name: &str, addr: &str) {
        if let Some(key) = self.live_key(broker_name, addr) {
            self.live.remove(&key);
        }
    }

    fn no_master(&self, broker_name: &str) -> bool {
        self.brokers.get(broker_name).is_none_or(|broker| !broker.addrs.contains_key(&MASTER_ID))
    }
}
