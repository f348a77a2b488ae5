//! The rules of the route table, one test each; `model` compares long random histories with a naive
//! second telling.

mod liveness;
mod model;
mod registration;
mod topics;

use super::{MASTER_ID, Queues, Registration, RouteTable};
use protocol::bodies::DataVersion;

type Table = RouteTable<u32>;

pub(super) fn version(state: i64, counter: i64) -> DataVersion {
    DataVersion { counter, state_version: state, timestamp: 1_700_000_000_000 }
}

pub(super) fn queues(n: i32) -> Queues {
    Queues { read: n, write: n, perm: 6, sys_flag: 0 }
}

/// A full registration of a broker in cluster `c` with two topics, `T1` and `T2`.
pub(super) fn broker(name: &str, id: i64, addr: &str) -> Registration {
    Registration {
        cluster: "c".into(),
        broker_name: name.into(),
        broker_addr: addr.into(),
        broker_id: id,
        ha_addr: format!("{addr}-ha"),
        version: version(0, 1),
        topics: vec![("T1".into(), queues(4)), ("T2".into(), queues(8))],
        ..Registration::default()
    }
}

impl Table {
    /// The invariants that the module doc states.
    pub(super) fn check(&self) {
        for (name, broker) in &self.brokers {
            assert!(!broker.addrs.is_empty(), "{name} has no address");
            let holders: Vec<_> = self
                .clusters
                .iter()
                .filter(|(_, names)| names.contains(name))
                .map(|(c, _)| c)
                .collect();
            assert_eq!(holders, [&broker.cluster], "{name} must be in its own cluster only");
            for addr in broker.addrs.values() {
                assert_eq!(
                    broker.addrs.values().filter(|other| *other == addr).count(),
                    1,
                    "{addr} has two ids"
                );
                let lives = self
                    .live
                    .iter()
                    .filter(|(key, live)| key.addr == *addr && live.broker_name == *name)
                    .count();
                assert_eq!(lives, 1, "{name} {addr} must be alive once");
            }
        }
        for (key, live) in &self.live {
            let broker = self.brokers.get(&live.broker_name).expect("a live broker is known");
            assert!(
                broker.addrs.values().any(|addr| *addr == key.addr),
                "{} is alive and under no name",
                key.addr
            );
        }
        assert!(self.clusters.values().all(|names| !names.is_empty()));
        assert!(self.clusters.values().flatten().all(|name| self.brokers.contains_key(name)));
        assert!(self.topics.values().all(|brokers| !brokers.is_empty()));
        assert!(
            self.topics
                .values()
                .flat_map(|brokers| brokers.keys())
                .all(|name| self.brokers.contains_key(name))
        );
        assert_eq!(
            self.topic_queues,
            self.topics.values().map(|brokers| brokers.len()).sum::<usize>()
        );
    }

    pub(super) fn addr_of(&self, name: &str, id: i64) -> Option<String> {
        self.member_addrs(name).remove(&id)
    }

    pub(super) fn perm(&self, topic: &str, broker: &str) -> Option<i32> {
        let route = self.route(topic)?;
        route.queue_datas.into_iter().find(|q| q.broker_name == broker).map(|q| q.perm)
    }
}

#[test]
fn an_empty_table_answers_with_nothing() {
    let table = Table::new(super::RouteOptions::default());
    assert!(table.route("T1").is_none());
    assert!(table.all_topics().is_empty() && table.topics_of_cluster("c").is_empty());
    assert_eq!(table.system_topics(), (Vec::new(), None));
    assert_eq!(table.addr_of("a", MASTER_ID), None);
}
