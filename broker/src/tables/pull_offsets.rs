//! How far each group has pulled each queue: ahead of what it has consumed while its clients have
//! messages in their hands (`ConsumerOffsetManager.pullOffsetTable`). Tools show the difference.
//! And how much each group has got of each topic and given back of it, for rates.
//!
//! Pure, not saved. A pull of a known queue looks two names up and allocates nothing. Bounded by
//! [`PULLED_MAX`] pairs of group and topic; of further ones nothing is known. Rates are known of
//! [`COUNTED_PAIRS_MAX`].

use super::rates::{Clock, Rate, Sums, Window};
use crate::limits::{COUNTED_PAIRS_MAX, PULLED_MAX};
use foldhash::{HashMap, HashMapExt as _};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Messages, answers, bytes and milliseconds of a group in a topic; messages given back.
type OfPair = Sums<5>;

/// What is counted of a group in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Messages that it got.
    Messages = 0,
    /// Answers with messages.
    Answers = 1,
    /// Bytes that it got.
    Bytes = 2,
    /// Milliseconds between a read's beginning and its answer.
    LatencyMs = 3,
    /// Messages that it gave back.
    GivenBack = 4,
}

/// What one answer brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Got {
    /// So many messages.
    pub(crate) messages: u64,
    /// Of so many bytes.
    pub(crate) bytes: u64,
    /// It took so long to read them.
    pub(crate) took_ms: u64,
}

#[derive(Debug, Default)]
struct Pair {
    /// The offset of the next message to be pulled, by queue.
    next: BTreeMap<i32, i64>,
    sums: OfPair,
}

type ByTopic = HashMap<Rc<str>, Pair>;

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
    pub(crate) fn pulled(
        &mut self,
        (group, topic): (&Rc<str>, &Rc<str>),
        queue_id: i32,
        next: i64,
        got: Got,
    ) {
        let pair = self.groups.get_mut(group).and_then(|topics| topics.get_mut(topic));
        let pair = match pair {
            Some(pair) => pair,
            None if self.pairs < PULLED_MAX => {
                self.pairs += 1;
                let topics = self.groups.entry(group.clone()).or_default();
                topics.entry(topic.clone()).or_default()
            }
            None => return,
        };
        pair.next.insert(queue_id, next);
        if got.messages > 0 {
            pair.sums.add([got.messages, 1, got.bytes, got.took_ms, 0]);
        }
    }

    /// A group gave a message of a topic back.
    pub(crate) fn given_back(&mut self, group: &str, topic: &str) {
        let pair = self.groups.get_mut(group).and_then(|topics| topics.get_mut(topic));
        if let Some(pair) = pair {
            pair.sums.add([0, 0, 0, 0, 1]);
        } else if self.pairs < PULLED_MAX {
            self.pairs += 1;
            let topics = self.groups.entry(group.into()).or_default();
            topics.entry(topic.into()).or_default().sums.add([0, 0, 0, 0, 1]);
        }
    }

    /// Takes a sample of each pair of which something was counted, and forgets the rates of those
    /// that have rested for a day.
    pub(crate) fn sample(&mut self, window: Window) {
        let mut left = COUNTED_PAIRS_MAX;
        let pairs = || self.groups.values().flat_map(HashMap::values);
        left -= pairs().filter(|pair| pair.sums.is_sampled()).count();
        for pair in self.groups.values_mut().flat_map(HashMap::values_mut) {
            if !pair.sums.is_sampled() {
                if left == 0 || pair.sums.is_zero() {
                    continue;
                }
                left -= 1;
            }
            pair.sums.sample(window);
            if window == Window::Day && pair.sums.is_idle() {
                pair.sums = OfPair::default();
                left += 1;
            }
        }
    }

    /// What a window says of a group in a topic; `None` where nothing of the kind was counted.
    pub(crate) fn rate(
        &self,
        (group, topic): (&str, &str),
        counted: Counted,
        clock: &Clock,
        window: Window,
    ) -> Option<Rate> {
        let sums = &self.groups.get(group)?.get(topic)?.sums;
        let events = if counted == Counted::GivenBack { counted } else { Counted::Answers };
        let rate = sums.rate(clock, window, counted as usize, Some(events as usize));
        (sums.get(events as usize) > 0).then_some(rate)
    }

    /// Where a group pulls a queue next, if it has pulled it since the start.
    pub(crate) fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.groups.get(group)?.get(topic)?.next.get(&queue_id).copied()
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
            pulled.pulled((group, topic), 0, next, Got::default());
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
            let topic = Rc::from(format!("t{topic}"));
            pulled.pulled((&group, &topic), 0, 1, Got::default());
        }
        assert_eq!(pulled.pairs, PULLED_MAX);
        assert_eq!(pulled.get("g", "t0", 0), Some(1));
        assert_eq!(pulled.get("g", &format!("t{PULLED_MAX}"), 0), None);
    }

    #[test]
    fn rates_tell_what_a_group_got_and_gave_back() {
        let (mut pulled, mut clock) = (PullOffsets::default(), Clock::default());
        let (group, topic, other) = (Rc::from("g"), Rc::from("t"), Rc::from("u"));
        pulled.pulled((&group, &topic), 0, 4, Got { messages: 4, bytes: 400, took_ms: 6 });
        pulled.pulled((&group, &topic), 1, 2, Got { messages: 2, bytes: 200, took_ms: 0 });
        pulled.pulled((&group, &other), 0, 0, Got::default());
        pulled.given_back("g", "t");
        pulled.given_back("h", "t");
        for window in clock.due(10_000) {
            pulled.sample(window);
        }
        let rate = |pair, counted| {
            let rate = pulled.rate(pair, counted, &clock, Window::Minute);
            rate.map(|rate| (rate.sum, rate.per_second, rate.per_event))
        };
        assert_eq!(rate(("g", "t"), Counted::Messages), Some((6, 0.6, 3.0)));
        assert_eq!(rate(("g", "t"), Counted::Bytes), Some((600, 60.0, 300.0)));
        assert_eq!(rate(("g", "t"), Counted::LatencyMs), Some((6, 0.6, 3.0)));
        assert_eq!(rate(("g", "t"), Counted::GivenBack), Some((1, 0.1, 1.0)));
        assert_eq!(rate(("h", "t"), Counted::GivenBack), Some((1, 0.1, 1.0)));
        assert_eq!(rate(("h", "t"), Counted::Messages), None);
        assert_eq!(rate(("g", "u"), Counted::Messages), None, "it got nothing");
        let is_sampled = |topic: &str| pulled.groups["g"][topic].sums.is_sampled();
        assert!(is_sampled("t") && !is_sampled("u"));
    }

    #[test]
    fn pairs_over_the_limit_have_no_rates() {
        let mut pulled = PullOffsets::default();
        for group in 0..=COUNTED_PAIRS_MAX {
            pulled.given_back(&format!("g{group}"), "t");
        }
        for _ in 0..2 {
            pulled.sample(Window::Minute);
            let pairs = pulled.groups.values().flat_map(HashMap::values);
            assert_eq!(pairs.filter(|pair| pair.sums.is_sampled()).count(), COUNTED_PAIRS_MAX);
        }
    }
}
