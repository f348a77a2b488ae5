//! On which broker a lite topic is: one of those of its parent, by the hash of its name
//! (`LiteShardingImpl`). Clients send it there; subscriptions to those of other brokers count for
//! nothing here. Pure; [`super::sharding`] asks name servers.

use crate::limits::QUEUES_PER_TOPIC_MAX;
use protocol::bodies::{TopicRouteData, perm};
use protocol::tags::tags_code;
use std::collections::HashMap;
use std::rc::Rc;

/// A route is asked for anew after so many milliseconds, as clients do.
const KEPT_MS: i64 = 30_000;
/// Routes kept at once.
const KEPT_MAX: usize = 1_000;

/// The brokers of a topic's queues for writing, queue after queue; none: this broker alone.
pub(crate) type Brokers = Rc<[String]>;

/// The routes that are known.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    known: HashMap<Box<str>, (i64, Brokers)>,
}

impl Routes {
    /// Of a topic, where that was asked lately.
    pub(super) fn get(&self, topic: &str, now_ms: i64) -> Option<Brokers> {
        let (until_ms, brokers) = self.known.get(topic)?;
        (now_ms < *until_ms).then(|| brokers.clone())
    }

    /// Keeps what a name server said.
    pub(super) fn keep(&mut self, topic: &str, brokers: &Brokers, now_ms: i64) {
        if self.known.len() >= KEPT_MAX {
            self.known.clear();
        }
        self.known.insert(topic.into(), (now_ms.saturating_add(KEPT_MS), brokers.clone()));
    }
}

/// The brokers of a route's queues for writing, in the order of their names.
pub(super) fn writable(mut route: TopicRouteData) -> Vec<String> {
    route.queue_datas.sort_by(|one, other| one.broker_name.cmp(&other.broker_name));
    let open = route.queue_datas.into_iter().filter(|data| data.perm & perm::WRITE != 0);
    open.flat_map(|data| {
        let queues = data.write_queue_nums.clamp(0, QUEUES_PER_TOPIC_MAX);
        let queues = usize::try_from(queues).expect("not negative");
        std::iter::repeat_n(data.broker_name, queues)
    })
    .collect()
}

/// Whether a lite topic is this broker's.
pub(crate) fn is_here(brokers: &[String], here: &str, child: &str) -> bool {
    match brokers.get(bucket(tags_code(child), brokers.len())) {
        Some(broker) => broker == here,
        None => true,
    }
}

/// Guava's `Hashing.consistentHash` with its linear congruential generator, in integers: the
/// quotient that it takes of doubles rounds to the same whole number for fewer than 2^20 buckets.
fn bucket(input: i64, buckets: usize) -> usize {
    const MULTIPLIER: u64 = 2_862_933_555_777_941_757;
    let mut state = input.cast_unsigned();
    let mut candidate: usize = 0;
    loop {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(1);
        let draw = (state >> 33) + 1;
        let behind = u64::try_from(candidate).expect("a usize fits a u64") + 1;
        let jump = usize::try_from((behind << 31) / draw).unwrap_or(usize::MAX);
        // Java's int wraps at the highest draw.
        if jump >= buckets || draw == 1 << 31 {
            return candidate;
        }
        candidate = jump;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::bodies::QueueData;

    /// Of Guava 32.0.1: `Hashing.consistentHash(name.hashCode(), 8)`.
    const GOLDEN: [(&str, usize); 10] = [
        ("a", 0),
        ("b", 5),
        ("chat-1", 2),
        ("chat-2", 1),
        ("session/x", 7),
        ("user 42", 6),
        ("Ünïcode", 6),
        ("lite-topic-with-a-longer-name", 5),
        ("0", 2),
        ("zz", 3),
    ];

    #[test]
    fn a_lite_topic_is_on_the_broker_that_apache_puts_it_on() {
        for (child, of_eight) in GOLDEN {
            assert_eq!(bucket(tags_code(child), 8), of_eight, "{child}");
        }
        assert_eq!(bucket(7, 0), 0);
        assert!(is_here(&[], "b", "x"));
    }

    #[test]
    fn queues_count_in_the_order_of_their_brokers_and_only_those_for_writing() {
        let data = |broker: &str, queues, perm| QueueData {
            broker_name: broker.to_owned(),
            write_queue_nums: queues,
            perm,
            ..QueueData::default()
        };
        let datas = vec![data("b", 1, 6), data("a", 2, 6), data("c", 4, 4), data("d", -1, 6)];
        let route = TopicRouteData { queue_datas: datas, ..TopicRouteData::default() };
        assert_eq!(writable(route), ["a", "a", "b"]);
    }
}
