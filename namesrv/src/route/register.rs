//! Registration of brokers and their topics.

use super::{
    BodyPrint, Broker, HEARTBEAT_TIMEOUT_MS, Live, LiveKey, MASTER_ID, PERM_WRITE, Queues,
    RouteTable,
};
use crate::limits;
use protocol::bodies::DataVersion;
use std::collections::{BTreeMap, BTreeSet};

/// The registration of a broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registration {
    /// Its cluster.
    pub cluster: String,
    /// Its name, shared with its replicas.
    pub broker_name: String,
    /// Its address for clients, `host:port`.
    pub broker_addr: String,
    /// 0 for a master.
    pub broker_id: i64,
    /// Its address for slaves.
    pub ha_addr: String,
    /// Its zone, when it has one.
    pub zone: Option<String>,
    /// How long it may be silent; if absent, [`HEARTBEAT_TIMEOUT_MS`].
    pub heartbeat_timeout_ms: Option<i64>,
    /// Whether a slave may act as master; absent from old brokers.
    pub enable_acting_master: Option<bool>,
    /// The version of its topics.
    pub version: DataVersion,
    /// All its topics, or the ones that changed.
    pub topics: Vec<(String, Queues)>,
    /// Addresses of its filter servers, which old versions had; none: not said, keep those known.
    pub filter_servers: Option<Vec<String>>,
    /// What the body was that said this.
    pub body: Option<BodyPrint>,
}

/// The answer to a registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    /// For a slave whose master is alive: the master's address for slaves.
    pub ha_addr: Option<String>,
    /// For a slave whose master is alive: the master's address for clients.
    pub master_addr: Option<String>,
    /// The registration was ignored, because another address has this broker id with a newer state
    /// version.
    pub conflict_with: Option<String>,
}

/// Why a registration was refused. A refusal changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegisterError {
    /// A body with one topic is an update, and there is nothing to update. The broker then
    /// registers in full.
    #[error("register broker failed")]
    UpdateBeforeRegistration,
    /// The table is full, or a name is too long.
    #[error("{what}: {found}, at most {max}")]
    Limit {
        /// The thing there is too much of.
        what: &'static str,
        /// The amount with this registration.
        found: usize,
        /// The limit.
        max: usize,
    },
}

fn within(what: &'static str, found: usize, max: usize) -> Result<(), RegisterError> {
    if found <= max { Ok(()) } else { Err(RegisterError::Limit { what, found, max }) }
}

impl<C: Copy + Eq> RouteTable<C> {
    /// Applies a registration that arrived on `conn`.
    pub(crate) fn register(
        &mut self,
        registration: Registration,
        conn: C,
        now_ms: i64,
    ) -> Result<Registered, RegisterError> {
        self.check_limits(&registration)?;
        let known = self
            .brokers
            .get(&registration.broker_name)
            .is_some_and(|b| b.addrs.contains_key(&registration.broker_id));
        if !known && registration.topics.len() == 1 {
            return Err(RegisterError::UpdateBeforeRegistration);
        }
        self.leave_other_names(&registration);
        if let Some(broker) = self.brokers.get_mut(&registration.broker_name) {
            // A slave that became a master registers its address under id 0: it is no slave any
            // more.
            broker.addrs.retain(|id, addr| {
                *addr != registration.broker_addr || *id == registration.broker_id
            });
        }
        if let Some(conflict) = self.newer_holder(&registration) {
            self.forget_address(&registration.broker_name, &registration.broker_addr);
            return Ok(Registered { conflict_with: Some(conflict), ..Registered::default() });
        }
        self.join(&registration);
        self.take_topics(&registration, !known);
        let answer = self.master_for(&registration);
        self.mark_alive(registration, conn, now_ms);
        Ok(answer)
    }

    fn check_limits(&self, r: &Registration) -> Result<(), RegisterError> {
        for (what, name) in [
            ("cluster name", &r.cluster),
            ("broker name", &r.broker_name),
            ("broker address", &r.broker_addr),
        ] {
            within(what, name.len(), limits::NAME_BYTES_MAX)?;
        }
        within("HA address", r.ha_addr.len(), limits::NAME_BYTES_MAX)?;
        for (topic, _) in &r.topics {
            within("topic name", topic.len(), limits::NAME_BYTES_MAX)?;
        }
        within(
            "filter servers",
            r.filter_servers.as_ref().map_or(0, Vec::len),
            limits::FILTER_SERVERS_MAX,
        )?;
        match self.brokers.get(&r.broker_name) {
            Some(broker) if broker.addrs.contains_key(&r.broker_id) => {}
            Some(broker) => {
                within("replicas of a broker", broker.addrs.len() + 1, limits::REPLICAS_MAX)?
            }
            None => within("brokers", self.brokers.len() + 1, limits::BROKERS_MAX)?,
        }
        let new_topics =
            r.topics.iter().filter(|(topic, _)| !self.topics.contains_key(topic)).count();
        within("topics", self.topics.len() + new_topics, limits::TOPICS_MAX)?;
        let has = |topic: &str| {
            self.topics.get(topic).is_some_and(|brokers| brokers.contains_key(&r.broker_name))
        };
        let new_queues = r.topics.iter().filter(|(topic, _)| !has(topic)).count();
        within("topics over all brokers", self.topic_queues + new_queues, limits::TOPIC_QUEUES_MAX)
    }

    /// The address was another broker's: that one is gone, or it would stay in routes and lead
    /// clients to this one.
    fn leave_other_names(&mut self, r: &Registration) {
        let live = self.live.get(&LiveKey::new(&r.cluster, &r.broker_addr));
        if let Some(old) =
            live.map(|live| live.broker_name.clone()).filter(|old| *old != r.broker_name)
        {
            self.unregister(&old, &r.broker_addr);
        }
    }

    /// Another address holds this id, and its state version says that it is the newer one.
    fn newer_holder(&self, r: &Registration) -> Option<String> {
        let holder = self.brokers.get(&r.broker_name)?.addrs.get(&r.broker_id)?;
        let live = self.live_of(&r.broker_name, holder)?;
        (*holder != r.broker_addr && live.version.state_version > r.version.state_version)
            .then(|| holder.clone())
    }

    /// Puts the broker into its cluster and its address under its id.
    fn join(&mut self, r: &Registration) {
        let broker = self.brokers.entry(r.broker_name.clone()).or_insert_with(|| Broker {
            cluster: r.cluster.clone(),
            addrs: BTreeMap::new(),
            acting_master: false,
            zone: None,
        });
        broker.acting_master = r.enable_acting_master.unwrap_or(false);
        broker.zone.clone_from(&r.zone);
        let displaced = broker
            .addrs
            .insert(r.broker_id, r.broker_addr.clone())
            .filter(|old| *old != r.broker_addr);
        if broker.cluster != r.cluster {
            let old = std::mem::replace(&mut broker.cluster, r.cluster.clone());
            self.leave_cluster(&old, &r.broker_name);
        }
        self.clusters.entry(r.cluster.clone()).or_default().insert(r.broker_name.clone());
        if let Some(old) = displaced {
            self.forget_address(&r.broker_name, &old);
        }
    }

    /// Topics count when the master sends them, or the slave that stands in for it.
    fn take_topics(&mut self, r: &Registration, first: bool) {
        let Some(broker) = self.brokers.get(&r.broker_name) else { return };
        let smallest = broker.addrs.keys().next().copied();
        let prime_slave = r.enable_acting_master.is_some()
            && r.broker_id != MASTER_ID
            && smallest == Some(r.broker_id);
        if r.broker_id != MASTER_ID && !prime_slave {
            return;
        }
        let read_only = prime_slave && broker.acting_master;
        if self.options.delete_topic_with_broker_registration {
            let named: BTreeSet<&str> = r.topics.iter().map(|(topic, _)| topic.as_str()).collect();
            self.remove_queues(|topic, broker| broker == r.broker_name && !named.contains(topic));
        }
        let changed = first || self.version_changed(&r.cluster, &r.broker_addr, &r.version);
        for (topic, queues) in &r.topics {
            let known =
                self.topics.get(topic).is_some_and(|brokers| brokers.contains_key(&r.broker_name));
            if changed || !known {
                let perm = if read_only { queues.perm & !PERM_WRITE } else { queues.perm };
                self.put_queues(topic, &r.broker_name, Queues { perm, ..*queues });
            }
        }
    }

    fn mark_alive(&mut self, r: Registration, conn: C, now_ms: i64) {
        let known_filters =
            self.live_of(&r.broker_name, &r.broker_addr).map(|live| live.filter_servers.clone());
        self.forget_address(&r.broker_name, &r.broker_addr);
        let timeout_ms = r
            .heartbeat_timeout_ms
            .unwrap_or(HEARTBEAT_TIMEOUT_MS)
            .clamp(0, limits::HEARTBEAT_TIMEOUT_MS_MAX);
        let filter_servers = r.filter_servers.or(known_filters).unwrap_or_default();
        self.has_filter_servers |= !filter_servers.is_empty();
        let (broker_name, version, ha_addr) = (r.broker_name, r.version, r.ha_addr);
        let live = Live {
            broker_name,
            last_ms: now_ms,
            timeout_ms,
            version,
            conn,
            ha_addr,
            filter_servers,
            body: r.body,
        };
        self.live.insert(LiveKey { cluster: r.cluster, addr: r.broker_addr }, live);
    }

    fn master_for(&self, r: &Registration) -> Registered {
        let master = || {
            let addr = self.brokers.get(&r.broker_name)?.addrs.get(&MASTER_ID)?;
            let live = self.live_of(&r.broker_name, addr)?;
            Some(Registered {
                ha_addr: Some(live.ha_addr.clone()),
                master_addr: Some(addr.clone()),
                conflict_with: None,
            })
        };
        if r.broker_id == MASTER_ID { Registered::default() } else { master().unwrap_or_default() }
    }

    /// Whether a broker's topics are of another version than the ones known here (also: not known
    /// at all).
    pub(crate) fn version_changed(&self, cluster: &str, addr: &str, version: &DataVersion) -> bool {
        self.known_version(cluster, addr) != Some(version)
    }

    /// The version of a live broker's topics as known here.
    pub(crate) fn known_version(&self, cluster: &str, addr: &str) -> Option<&DataVersion> {
        self.live.get(&LiveKey::new(cluster, addr)).map(|live| &live.version)
    }

    /// The version of a master that said this with its last registration, word for word: there is
    /// nothing to be taken from it again, because what it said still stands. A slave's topics may
    /// count later and not now, and with `deleteTopicWithBrokerRegistration` another replica may
    /// have taken topics away: those are read each time.
    pub(crate) fn version_if_unchanged(
        &self,
        (cluster, broker_name, addr): (&str, &str, &str),
        broker_id: i64,
        body: BodyPrint,
    ) -> Option<DataVersion> {
        let live = self.live.get(&LiveKey::new(cluster, addr))?;
        let holder = self.brokers.get(broker_name)?.addrs.get(&broker_id)?;
        let is_unchanged = broker_id == MASTER_ID
            && !self.options.delete_topic_with_broker_registration
            && live.body == Some(body)
            && live.broker_name == broker_name
            && holder == addr;
        is_unchanged.then_some(live.version)
    }

    /// What brokers say next is read, even if they said the same before.
    pub(crate) fn read_all_again(&mut self) {
        self.live.values_mut().for_each(|live| live.body = None);
    }

    /// Takes a heartbeat of a broker. Returns false if the broker is not registered, which it then
    /// stays.
    pub(crate) fn heartbeat(&mut self, cluster: &str, addr: &str, now_ms: i64) -> bool {
        let live = self.live.get_mut(&LiveKey::new(cluster, addr));
        live.map(|live| live.last_ms = now_ms).is_some()
    }
}
