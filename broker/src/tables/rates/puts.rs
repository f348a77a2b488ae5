//! What was stored, by topic.

use super::{Clock, Rate, Sums, Window};
use crate::limits::COUNTED_TOPICS_MAX;
use foldhash::{HashMap, HashMapExt as _};
use protocol::names::is_system_topic;

/// Messages, requests, bytes of one topic.
type OfTopic = Sums<3>;
const MESSAGES: usize = 0;
const REQUESTS: usize = 1;
const BYTES: usize = 2;

#[derive(Debug)]
struct Topic {
    sums: OfTopic,
    /// It is not the broker's own.
    is_of_users: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Puts {
    topics: HashMap<Box<str>, Topic>,
    messages: u64,
    /// Messages of topics that are not the broker's own.
    of_users: u64,
}

impl Default for Puts {
    fn default() -> Self {
        Self { topics: HashMap::new(), messages: 0, of_users: 0 }
    }
}

impl Puts {
    /// A request stored `messages` messages of `bytes` bytes in a topic. Of a known topic this is
    /// one look-up and three sums.
    pub(crate) fn count(&mut self, topic: &str, messages: usize, bytes: u64) {
        let messages = messages as u64;
        self.messages += messages;
        let more = [messages, 1, bytes];
        let is_of_users = if let Some(known) = self.topics.get_mut(topic) {
            known.sums.add(more);
            known.is_of_users
        } else {
            let is_of_users = !is_system_topic(topic);
            if self.topics.len() < COUNTED_TOPICS_MAX {
                let mut sums = OfTopic::default();
                sums.add(more);
                self.topics.insert(topic.into(), Topic { sums, is_of_users });
            }
            is_of_users
        };
        if is_of_users {
            self.of_users += messages;
        }
    }

    /// Messages stored since the start: all, and those of topics that are not the broker's own.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (self.messages, self.of_users)
    }

    /// Takes a sample of each, and forgets topics that have rested for a day.
    pub(crate) fn sample(&mut self, window: Window) {
        self.topics.values_mut().for_each(|topic| topic.sums.sample(window));
        if window == Window::Day {
            self.topics.retain(|_, topic| !topic.sums.is_idle());
        }
    }

    /// What Apache calls TOPIC_PUT_NUMS; `None` of a topic into which nothing was stored.
    pub(crate) fn nums(&self, topic: &str, clock: &Clock, window: Window) -> Option<Rate> {
        Some(self.topics.get(topic)?.sums.rate(clock, window, MESSAGES, Some(REQUESTS)))
    }

    /// The same of bytes: TOPIC_PUT_SIZE.
    pub(crate) fn size(&self, topic: &str, clock: &Clock, window: Window) -> Option<Rate> {
        Some(self.topics.get(topic)?.sums.rate(clock, window, BYTES, Some(REQUESTS)))
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.topics.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_counted_for_itself_and_the_brokers_own_are_not_users() {
        let (mut puts, mut clock) = (Puts::default(), Clock::default());
        puts.count("T", 3, 300);
        puts.count("T", 1, 100);
        puts.count("SCHEDULE_TOPIC_XXXX", 5, 1);
        for window in clock.due(10_000) {
            puts.sample(window);
        }
        let rate = |sum, per_second, per_event| Rate { sum, per_second, per_event };
        let minute = Window::Minute;
        assert_eq!(puts.nums("T", &clock, minute), Some(rate(4, 0.4, 2.0)));
        assert_eq!(puts.size("T", &clock, minute), Some(rate(400, 40.0, 200.0)));
        assert_eq!((puts.messages(), puts.nums("U", &clock, minute)), ((9, 4), None));
        puts.forget_topic("T");
        assert_eq!(puts.nums("T", &clock, minute), None);
    }

    #[test]
    fn topics_over_the_limit_count_for_the_broker_alone() {
        let mut puts = Puts::default();
        for topic in 0..=COUNTED_TOPICS_MAX {
            puts.count(&format!("t{topic}"), 1, 1);
        }
        assert_eq!(puts.topics.len(), COUNTED_TOPICS_MAX);
        assert_eq!(puts.messages(), (COUNTED_TOPICS_MAX as u64 + 1, COUNTED_TOPICS_MAX as u64 + 1));
    }
}
