//! A topic's queues on all shards, and the choice of the next one.
//!
//! A queue is a shard's: (topic, shard, queue id). Messages go round over all writable queues,
//! neighbouring turns to different shards; shards that cannot be reached are left out as long as
//! another one can.

use crate::error::{ClientError, Result};
use crate::limits::QUEUES_PER_SHARD_MAX;
use protocol::checked::fit;
use protocol::native::RouteIs;
use protocol::tags::java_hash;

const READ: u32 = 4;
const WRITE: u32 = 2;

/// A queue of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Queue {
    /// The shard's number in the client.
    pub shard: u32,
    /// The queue's id at that shard.
    pub queue_id: i32,
}

/// The queues of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRoute {
    writable: Vec<Queue>,
    readable: Vec<Queue>,
    next: usize,
}

impl TopicRoute {
    /// Makes a route from the answers of the shards.
    ///
    /// # Errors
    /// When no queue may be read or written, or a shard claims more queues than a topic can have.
    pub fn new(topic: &str, shards: &[(u32, RouteIs)]) -> Result<Self> {
        let claimed = shards.iter().map(|(_, route)| route.write_queues.max(route.read_queues));
        if let Some(count) = claimed.max().filter(|count| *count > QUEUES_PER_SHARD_MAX) {
            return Err(ClientError::no_queue(
                topic,
                format!("a shard claims {count} queues, {QUEUES_PER_SHARD_MAX} are possible"),
            ));
        }
        let queues = |count: fn(&RouteIs) -> u32, permission: u32| {
            let of = |(shard, route): &(u32, RouteIs)| {
                (*shard, if route.permission & permission == 0 { 0 } else { count(route) })
            };
            spread(shards.iter().map(of))
        };
        let route = Self {
            writable: queues(|route| route.write_queues, WRITE),
            readable: queues(|route| route.read_queues, READ),
            next: 0,
        };
        if route.writable.is_empty() && route.readable.is_empty() {
            return Err(ClientError::no_queue(
                topic,
                "no shard has a queue of it that may be read or written",
            ));
        }
        Ok(route)
    }

    /// The queues that may be written.
    #[must_use]
    pub fn writable(&self) -> &[Queue] {
        &self.writable
    }

    /// The queues that may be read.
    #[must_use]
    pub fn readable(&self) -> &[Queue] {
        &self.readable
    }

    /// The next queue in turn. Queues of unreachable shards are skipped as long as another shard is
    /// reachable.
    pub fn next(&mut self, topic: &str, is_reachable: impl Fn(u32) -> bool) -> Result<Queue> {
        let count = self.writable.len();
        let at = |turn: usize| self.writable.get(turn % count.max(1)).copied();
        let found = (self.next..self.next + count)
            .find(|turn| at(*turn).is_some_and(|queue| is_reachable(queue.shard)));
        let turn = found.unwrap_or(self.next);
        let queue =
            at(turn).ok_or_else(|| ClientError::no_queue(topic, "it may not be written"))?;
        self.next = (turn + 1) % count;
        Ok(queue)
    }

    /// The queue for all messages with this key, for messages whose order matters. It changes when
    /// the number of queues does.
    pub fn of_key(&self, topic: &str, key: &str) -> Result<Queue> {
        let hash = java_hash(key).unsigned_abs() as usize;
        let queue = self.writable.get(hash % self.writable.len().max(1));
        queue.copied().ok_or_else(|| ClientError::no_queue(topic, "it may not be written"))
    }
}

/// All queues, with neighbours on different shards as far as possible.
fn spread(counts: impl Iterator<Item = (u32, u32)>) -> Vec<Queue> {
    let mut queues: Vec<Queue> = counts
        .flat_map(|(shard, count)| (0..fit(count)).map(move |queue_id| Queue { shard, queue_id }))
        .collect();
    queues.sort_by_key(|queue| (queue.queue_id, queue.shard));
    queues
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(queues: u32, permission: u32) -> RouteIs {
        RouteIs { read_queues: queues, write_queues: queues, permission }
    }

    #[test]
    fn turns_go_round_over_all_queues_and_neighbours_are_on_different_shards() {
        let mut topic = TopicRoute::new("T", &[(0, route(2, 6)), (1, route(2, 6))]).unwrap();
        let turns: Vec<Queue> = (0..8).map(|_| topic.next("T", |_| true).unwrap()).collect();
        assert!(turns.windows(2).all(|pair| pair[0].shard != pair[1].shard));
        assert_eq!(turns[..4], turns[4..]);
        assert_eq!(turns[..4].iter().collect::<std::collections::HashSet<_>>().len(), 4);
    }

    #[test]
    fn a_shard_that_cannot_be_reached_is_passed_over_while_another_can() {
        let mut topic = TopicRoute::new("T", &[(0, route(2, 6)), (1, route(2, 6))]).unwrap();
        assert!((0..9).all(|_| topic.next("T", |shard| shard == 1).unwrap().shard == 1));
        topic.next("T", |_| false).unwrap();
    }

    #[test]
    fn permissions_decide_what_may_be_read_and_written() {
        let mut read_only = TopicRoute::new("T", &[(0, route(3, READ))]).unwrap();
        assert_eq!((read_only.readable().len(), read_only.writable().len()), (3, 0));
        assert!(
            read_only.next("T", |_| true).unwrap_err().to_string().contains("may not be written")
        );
        assert!(TopicRoute::new("T", &[(0, route(3, 0))]).is_err());
        assert!(TopicRoute::new("T", &[]).is_err());
    }

    #[test]
    fn a_shard_that_claims_absurdly_many_queues_is_not_believed() {
        assert!(TopicRoute::new("T", &[(0, route(QUEUES_PER_SHARD_MAX, 6))]).is_ok());
        for count in [QUEUES_PER_SHARD_MAX + 1, u32::MAX] {
            let error = TopicRoute::new("T", &[(0, route(1, 6)), (1, route(count, 6))]);
            assert!(error.unwrap_err().to_string().contains(&count.to_string()));
        }
    }

    #[test]
    fn a_key_always_has_the_same_queue() {
        let topic = TopicRoute::new("T", &[(0, route(4, 6))]).unwrap();
        assert_eq!(topic.of_key("T", "order-17").unwrap(), topic.of_key("T", "order-17").unwrap());
    }
}
