//! Queries of clients and administrators: routes, clusters, lists of topics.

use super::{Broker, MASTER_ID, PERM_WRITE, Queues, RouteTable};
use protocol::bodies::{BrokerData, BrokerDataView, ClusterInfo, QueueDataView, TopicRouteView};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Topics with this prefix keep brokers of one name in touch: their routes never show a stand-in as
/// master.
const SYNC_BROKER_MEMBER_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";
const UNIT_FLAG: i32 = 1;
const UNIT_SUB_FLAG: i32 = 1 << 1;

/// The topics that a list by unit contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitFilter {
    /// Those of a unit.
    Unit,
    /// Those that units subscribe to.
    UnitSub,
    /// Those that units subscribe to and that are of no unit.
    UnitSubOnly,
}

impl UnitFilter {
    fn accepts(self, sys_flag: i32) -> bool {
        let (unit, sub) = (sys_flag & UNIT_FLAG != 0, sys_flag & UNIT_SUB_FLAG != 0);
        match self {
            Self::Unit => unit,
            Self::UnitSub => sub,
            Self::UnitSubOnly => sub && !unit,
        }
    }
}

impl<C: Copy + Eq> RouteTable<C> {
    /// The route of a topic; `None` when no broker has it.
    pub(crate) fn route<'t>(&'t self, topic: &str) -> Option<TopicRouteView<'t>> {
        let of_topic = self.topics.get(topic)?;
        let mut route = TopicRouteView::default();
        for (name, queues) in of_topic {
            route.queue_datas.push(queue_data(name, queues));
            if let Some(broker) = self.brokers.get(name) {
                let mut broker_addrs = Cow::Borrowed(&broker.addrs);
                if self.options.support_acting_master
                    && !topic.starts_with(SYNC_BROKER_MEMBER_PREFIX)
                {
                    stand_in(&mut broker_addrs, broker, queues);
                }
                route.broker_datas.push(BrokerDataView {
                    broker_addrs,
                    broker_name: name,
                    cluster: &broker.cluster,
                    enable_acting_master: broker.acting_master,
                    zone_name: broker.zone.as_deref(),
                });
                self.add_filter_servers(name, broker, &mut route.filter_server_table);
            }
        }
        Some(route)
    }

    fn add_filter_servers<'t>(
        &'t self,
        name: &str,
        broker: &'t Broker,
        servers: &mut BTreeMap<&'t str, &'t [String]>,
    ) {
        if !self.has_filter_servers {
            return;
        }
        for addr in broker.addrs.values() {
            let known = self
                .live_of(name, addr)
                .map(|live| &*live.filter_servers)
                .filter(|known| !known.is_empty());
            if let Some(known) = known {
                servers.insert(addr, known);
            }
        }
    }

    /// All clusters and brokers.
    pub(crate) fn cluster_info(&self) -> ClusterInfo {
        ClusterInfo {
            broker_addr_table: self
                .brokers
                .iter()
                .map(|(name, broker)| (name.clone(), broker_data(name, broker)))
                .collect(),
            cluster_addr_table: self
                .clusters
                .iter()
                .map(|(cluster, names)| (cluster.clone(), names.iter().cloned().collect()))
                .collect(),
        }
    }

    /// The addresses under a broker name; empty when it is unknown.
    pub(crate) fn member_addrs(&self, broker_name: &str) -> BTreeMap<i64, String> {
        self.brokers.get(broker_name).map(|broker| broker.addrs.clone()).unwrap_or_default()
    }

    /// All topics, sorted.
    pub(crate) fn all_topics(&self) -> Vec<String> {
        sorted(self.topics.keys())
    }

    /// The topics with queues on a broker of this cluster.
    pub(crate) fn topics_of_cluster(&self, cluster: &str) -> Vec<String> {
        let Some(names) = self.clusters.get(cluster) else { return Vec::new() };
        let there = self
            .topics
            .iter()
            .filter(|(_, brokers)| brokers.keys().any(|broker| names.contains(broker)));
        sorted(there.map(|(topic, _)| topic))
    }

    /// The topics that exist because a cluster and a broker do (each has one of its name), and the
    /// address of some broker.
    pub(crate) fn system_topics(&self) -> (Vec<String>, Option<String>) {
        let of_clusters = self.clusters.keys().chain(self.clusters.values().flatten());
        let topics: BTreeSet<&String> = of_clusters.collect();
        let some_addr = self.brokers.values().flat_map(|broker| broker.addrs.values()).min();
        (topics.into_iter().cloned().collect(), some_addr.cloned())
    }

    /// The topics by their unit flags, as the first of their brokers has them.
    pub(crate) fn unit_topics(&self, filter: UnitFilter) -> Vec<String> {
        let accepted = |brokers: &BTreeMap<_, Queues>| {
            brokers.values().next().is_some_and(|q| filter.accepts(q.sys_flag))
        };
        let flagged = self.topics.iter().filter(|(_, brokers)| accepted(brokers));
        sorted(flagged.map(|(topic, _)| topic))
    }
}

fn sorted<'t>(topics: impl Iterator<Item = &'t String>) -> Vec<String> {
    let mut topics: Vec<String> = topics.cloned().collect();
    topics.sort_unstable();
    topics
}

/// Shows the slave with the smallest id as master, when there is none and nobody may send to it.
fn stand_in(addrs: &mut Cow<'_, BTreeMap<i64, String>>, broker: &Broker, queues: &Queues) {
    let lost_master = broker.acting_master
        && !broker.addrs.contains_key(&MASTER_ID)
        && queues.perm & PERM_WRITE == 0;
    if lost_master && let Some((_, addr)) = addrs.to_mut().pop_first() {
        addrs.to_mut().insert(MASTER_ID, addr);
    }
}

fn broker_data(name: &str, broker: &Broker) -> BrokerData {
    BrokerData {
        broker_addrs: broker.addrs.clone(),
        broker_name: name.to_owned(),
        cluster: broker.cluster.clone(),
        enable_acting_master: broker.acting_master,
        zone_name: broker.zone.clone(),
    }
}

fn queue_data<'t>(broker_name: &'t str, queues: &Queues) -> QueueDataView<'t> {
    QueueDataView {
        broker_name,
        perm: queues.perm,
        read_queue_nums: queues.read,
        topic_sys_flag: queues.sys_flag,
        write_queue_nums: queues.write,
    }
}
