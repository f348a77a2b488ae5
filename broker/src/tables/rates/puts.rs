//! What was stored, by topic.

use super::{Clock, Rate, Sums, Window};
use crate::limits::COUNTED_TOPICS_MAX;
use foldhash::HashMap;
use protocol::names::is_system_topic;

/// Messages, requests, bytes of one topic.
type OfTopic = Sums<3>;
const MESSAGES: usize = 0;
const REQUESTS: usize = 1;
const BYTES: usize = 2;

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    sums: OfTopic,
    /// It is not the broker's own.
    is_of_users: bool,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    topics: Vec<Topic>,
    /// Where a topic is among them.
    places: HashMap<Box<str>, usize>,
    /// The one that was counted last: sends come in runs of one topic, which is then not looked up.
    last: usize,
    messages: u64,
    /// Messages of topics that are not the broker's own.
    of_users: u64,
}

impl Puts {
    /// A request stored `messages` messages of `bytes` bytes in a topic. Of a known topic this is
    /// three sums, and a look-up where the last one was another.
    pub(crate) fn count(&mut self, topic: &str, messages: usize, bytes: u64) {
        let messages = messages as u64;
        self.messages += messages;
        if self.topics.get(self.last).is_none_or(|last| *last.name != *topic) {
            match self.place_of(topic) {
                Some(place) => self.last = place,
                None => {
                    self.of_users += if is_system_topic(topic) { 0 } else { messages };
                    return;
                }
            }
        }
        let counted = &mut self.topics[self.last];
        counted.sums.add([messages, 1, bytes]);
        if counted.is_of_users {
            self.of_users += messages;
        }
    }

    /// Where a topic is counted, from now on if it was not; `None` when too many are.
    fn place_of(&mut self, topic: &str) -> Option<usize> {
        if let Some(place) = self.places.get(topic) {
            return Some(*place);
        }
        let place = self.topics.len();
        if place == COUNTED_TOPICS_MAX {
            return None;
        }
        let (sums, is_of_users) = (OfTopic::default(), !is_system_topic(topic));
        self.topics.push(Topic { name: topic.into(), sums, is_of_users });
        self.places.insert(topic.into(), place);
        Some(place)
    }

    fn get(&self, topic: &str) -> Option<&OfTopic> {
        self.places.get(topic).map(|place| &self.topics[*place].sums)
    }

    fn keep(&mut self, is_kept: impl Fn(&Topic) -> bool) {
        self.topics.retain(is_kept);
        let places = self.topics.iter().enumerate();
        self.places = places.map(|(place, topic)| (topic.name.clone(), place)).collect();
    }

    /// Messages stored since the start: all, and those of topics that are not the broker's own.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (self.messages, self.of_users)
    }

    /// Takes a sample of each, and forgets topics that have rested for a day.
    pub(crate) fn sample(&mut self, window: Window) {
        self.topics.iter_mut().for_each(|topic| topic.sums.sample(window));
        if window == Window::Day {
            self.keep(|topic| !topic.sums.is_idle());
        }
    }

    /// What Apache calls TOPIC_PUT_NUMS; `None` of a topic into which nothing was stored.
    pub(crate) fn nums(&self, topic: &str, clock: &Clock, window: Window) -> Option<Rate> {
        Some(self.get(topic)?.rate(clock, window, MESSAGES, Some(REQUESTS)))
    }

    /// The same of bytes: TOPIC_PUT_SIZE.
    pub(crate) fn size(&self, topic: &str, clock: &Clock, window: Window) -> Option<Rate> {
        Some(self.get(topic)?.rate(clock, window, BYTES, Some(REQUESTS)))
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.keep(|counted| *counted.name != *topic);
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
        puts.count("U", 1, 1);
        puts.forget_topic("T");
        puts.count("U", 1, 1);
        assert_eq!(puts.nums("T", &clock, minute), None);
        assert_eq!(puts.get("U").map(|sums| sums.get(MESSAGES)), Some(2), "each its own");
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
