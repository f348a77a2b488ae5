//! How far each group has pulled each queue: ahead of what it has consumed while its clients have
//! messages in their hands (`ConsumerOffsetManager.pullOffsetTable`). Tools show the difference.
//!
//! Pure, not saved. A pull of a known queue looks two names up and allocates nothing. Bounded by
//! [`PULLED_MAX`] pairs of group and topic; of further ones nothing is known.

use crate::limits::PULLED_MAX;
use foldhash::{HashMap, HashMapExt as _};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The offset of the next message to be pulled, by topic and queue.
type ByTopic = HashMap<Rc<str>, BTreeMap<i32, i64>>;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct PullOffsets {
    groups: HashMap<Rc<str>, ByTopic>,
    /// How many pairs of group and topic there are.
    pairs: usize,
}

impl Default for PullOffsets {
    fn default() -> Self {
        Self { groups: HashMap::new(), pairs: 0 }
    }
}

impl PullOffsets {
    /// A group pulled a queue: it goes on at `next`.
    pub(crate) fn pulled(&mut self, group: &Rc<str>, topic: &Rc<str>, queue_id: i32, next: i64) {
        let known = self.groups.get_mut(group).and_then(|topics| topics.get_mut(topic));
        if let Some(queues) = known {
            queues.insert(queue_id, next);
        } else if self.pairs < PULLED_MAX {
            self.pairs += 1;
            let topics = self.groups.entry(group.clone()).or_default();
            topics.insert(topic.clone(), BTreeMap::from([(queue_id, next)]));
        }
    }

    /// Where a group pulls a queue next, if it has pulled it since the start.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.groups.get(group)?.get(topic)?.get(&queue_id).copied()
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        for topics in self.groups.values_mut() {
            self.pairs -= usize::from(topics.remove(topic).is_some());
        }
        self.groups.retain(|_, topics| !topics.is_empty());
    }

    /// Forgets a deleted group.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.pairs -= self.groups.remove(group).map_or(0, |topics| topics.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pull_counts_and_deleted_names_cost_nothing() {
        let mut pulled = PullOffsets::default();
        let names = ["g", "h", "t", "u"].map(Rc::<str>::from);
        let [g, h, t, u] = &names;
        for (group, topic, next) in [(g, t, 5), (g, t, 7), (g, u, 1), (h, t, 9)] {
            pulled.pulled(group, topic, 0, next);
        }
        assert_eq!([pulled.get("g", "t", 0), pulled.get("h", "t", 0)], [Some(7), Some(9)]);
        assert_eq!((pulled.get("g", "t", 1), pulled.pairs), (None, 3));
        pulled.forget_topic("t");
        assert_eq!((pulled.get("h", "t", 0), pulled.pairs), (None, 1));
        pulled.forget_group("g");
        assert!(pulled.groups.is_empty() && pulled.pairs == 0);
    }

    #[test]
    fn pairs_over_the_limit_are_not_remembered() {
        let mut pulled = PullOffsets::default();
        let group = Rc::from("g");
        for topic in 0..=PULLED_MAX {
            pulled.pulled(&group, &Rc::from(format!("t{topic}")), 0, 1);
        }
        assert_eq!(pulled.pairs, PULLED_MAX);
        assert_eq!(pulled.get("g", "t0", 0), Some(1));
        assert_eq!(pulled.get("g", &format!("t{PULLED_MAX}"), 0), None);
    }
}
