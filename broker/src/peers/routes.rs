//! Routes of topics that a name server gave, kept for a moment: every client asks who consumes what
//! of each topic every 20 s (400).
//!
//! A topic that no name server knows is asked for each time. A route that is older than
//! [`FRESH_MS`] is asked for anew. While no name server answers the old one counts, as in Apache's
//! `TopicRouteInfoManager`. A topic that changes on this broker is forgotten at once. Pure.

use crate::limits::ROUTES_MAX;
use protocol::bodies::MessageQueue;
use std::collections::HashMap;
use std::rc::Rc;

/// A route counts for so long; clients look every 30 s themselves.
const FRESH_MS: i64 = 10_000;

/// The queues of a topic that may be read, of all its brokers.
pub(crate) type Queues = Rc<[MessageQueue]>;

#[derive(Debug)]
struct Kept {
    at_ms: i64,
    queues: Queues,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_topic: HashMap<Box<str>, Kept>,
}

impl Routes {
    /// What is known of a topic, if that is fresh.
    pub(crate) fn fresh(&self, topic: &str, now_ms: i64) -> Option<Queues> {
        let kept = self.by_topic.get(topic)?;
        let age_ms = now_ms.saturating_sub(kept.at_ms);
        (0..FRESH_MS).contains(&age_ms).then(|| kept.queues.clone())
    }

    /// What was known last.
    pub(crate) fn last(&self, topic: &str) -> Option<Queues> {
        Some(self.by_topic.get(topic)?.queues.clone())
    }

    /// A name server has answered.
    pub(crate) fn keep(&mut self, topic: &str, queues: Queues, now_ms: i64) {
        if self.by_topic.len() >= ROUTES_MAX && !self.by_topic.contains_key(topic) {
            self.by_topic.retain(|_, kept| now_ms.saturating_sub(kept.at_ms) < FRESH_MS);
            if self.by_topic.len() >= ROUTES_MAX {
                return;
            }
        }
        self.by_topic.insert(topic.into(), Kept { at_ms: now_ms, queues });
    }

    /// The topic has changed.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.by_topic.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues(count: i32) -> Queues {
        let queue = |queue_id| MessageQueue { queue_id, ..MessageQueue::default() };
        (0..count).map(queue).collect()
    }

    #[test]
    fn a_route_counts_for_a_moment_and_the_last_one_stays() {
        let mut routes = Routes::default();
        assert_eq!(routes.fresh("T", 0), None);
        routes.keep("T", queues(4), 1_000);
        assert_eq!(routes.fresh("T", 10_999), Some(queues(4)));
        assert_eq!((routes.fresh("T", 11_000), routes.fresh("T", 999)), (None, None));
        assert_eq!(routes.last("T"), Some(queues(4)));
        routes.forget("T");
        assert_eq!(routes.last("T"), None);
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let mut routes = Routes::default();
        (0..=ROUTES_MAX).for_each(|nth| routes.keep(&nth.to_string(), queues(1), 1_000));
        assert_eq!(routes.by_topic.len(), ROUTES_MAX);
        routes.keep("new", queues(1), 20_000);
        assert_eq!(routes.by_topic.len(), 1, "what is old has made room");
    }
}
