//! Changes by an administrator. They are in memory only: a broker that registers changed topics
//! overrides them.

use super::{PERM_READ, PERM_WRITE, Queues, RouteTable};
use crate::limits;

impl<C: Copy + Eq> RouteTable<C> {
    /// Every topic of this broker can be sent to and read again. Returns how many topics it has.
    pub(crate) fn add_write_perm(&mut self, broker_name: &str) -> usize {
        self.change_perm(broker_name, |_| PERM_READ | PERM_WRITE)
    }

    pub(super) fn change_perm(&mut self, broker_name: &str, change: impl Fn(i32) -> i32) -> usize {
        let of_broker = self.topics.values_mut().filter_map(|brokers| brokers.get_mut(broker_name));
        of_broker.map(|queues| queues.perm = change(queues.perm)).count()
    }

    /// Forgets a topic's queues, everywhere or in one cluster. Brokers that still have it bring it
    /// back when they change.
    pub(crate) fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) -> usize {
        let Some(of_topic) = self.topics.get(topic) else { return 0 };
        let names = cluster.map(|cluster| self.clusters.get(cluster).cloned().unwrap_or_default());
        let leaves = |broker: &str| names.as_ref().is_none_or(|names| names.contains(broker));
        let kept: std::collections::BTreeMap<_, _> = of_topic
            .iter()
            .filter(|(broker, _)| !leaves(broker))
            .map(|(broker, queues)| (broker.clone(), *queues))
            .collect();
        let removed = of_topic.len() - kept.len();
        self.topic_queues -= removed;
        self.read_all_again();
        if kept.is_empty() {
            self.topics.remove(topic);
        } else {
            self.topics.insert(topic.to_owned(), kept);
        }
        removed
    }

    /// Gives a topic queues on known brokers. Returns false and changes nothing if a broker is
    /// unknown or the table is full.
    pub(crate) fn register_topic(&mut self, topic: &str, queues: &[(String, Queues)]) -> bool {
        let room = self.topic_queues + queues.len() <= limits::TOPIC_QUEUES_MAX
            && self.topics.len() < limits::TOPICS_MAX
            && topic.len() <= limits::NAME_BYTES_MAX;
        if !room || queues.iter().any(|(broker, _)| !self.brokers.contains_key(broker)) {
            return false;
        }
        for (broker, queues) in queues {
            self.put_queues(topic, broker, *queues);
        }
        true
    }
}
