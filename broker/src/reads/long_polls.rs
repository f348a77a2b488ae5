//! Held pulls: requests that found nothing and wait for a message (long polling).
//!
//! A pull waits under its topic and queue until a message that its filter wants becomes visible
//! there, or until its deadline; either way it leaves this table and the caller runs it once more,
//! without holding it again. Pure: `P` is whatever the caller needs to run the request. Bounded by
//! `HELD_PULLS_MAX`; an entry lives at most `HELD_PULL_MS_MAX`.

use crate::limits::{HELD_PULL_MS_MAX, HELD_PULLS_MAX};
use crate::reads::filter::Filter;
use std::collections::HashMap;
use std::rc::Rc;

/// One waiting request.
#[derive(Debug)]
pub struct Held<P> {
    /// The queue offset it wants: woken when the queue has more.
    pub offset: i64,
    /// Which messages it wants.
    pub filter: Filter,
    /// When it is answered with nothing.
    pub deadline_ms: i64,
    /// The request.
    pub pull: P,
}

/// The held pulls of one shard.
#[derive(Debug)]
pub struct HeldPulls<P> {
    // Queues stay in the map when their last pull leaves: the next one then allocates nothing. They
    // are bounded by the topics, and `forget_topic` removes them.
    topics: HashMap<Rc<str>, HashMap<i32, Vec<Held<P>>>>,
    held: usize,
    /// No deadline is earlier than this: most ticks need not look at all.
    earliest_ms: i64,
}

impl<P> Default for HeldPulls<P> {
    fn default() -> Self {
        Self { topics: HashMap::new(), held: 0, earliest_ms: i64::MAX }
    }
}

impl<P> HeldPulls<P> {
    /// Holds a pull of `topic`'s queue for up to `timeout_ms`; gives it back when too many are
    /// held.
    pub fn hold(
        &mut self,
        topic: &Rc<str>,
        queue_id: i32,
        want: (i64, Filter),
        timeout_ms: i64,
        now_ms: i64,
        pull: P,
    ) -> Result<(), P> {
        if self.held >= HELD_PULLS_MAX {
            return Err(pull);
        }
        let deadline_ms = now_ms.saturating_add(timeout_ms.clamp(0, HELD_PULL_MS_MAX));
        let (offset, filter) = want;
        let held = Held { offset, filter, deadline_ms, pull };
        match self.topics.get_mut(&**topic) {
            Some(queues) => queues.entry(queue_id).or_default().push(held),
            None => {
                self.topics.insert(topic.clone(), HashMap::from([(queue_id, vec![held])]));
            }
        }
        self.held += 1;
        self.earliest_ms = self.earliest_ms.min(deadline_ms);
        Ok(())
    }

    /// A message became visible, or several of unknown tags (`None`): moves the pulls they wake
    /// into `woken`.
    pub fn arrived(
        &mut self,
        topic: &str,
        queue_id: i32,
        max_offset: i64,
        tags_code: Option<i64>,
        woken: &mut Vec<P>,
    ) {
        if self.held == 0 {
            return;
        }
        let Some(queue) = self.topics.get_mut(topic).and_then(|queues| queues.get_mut(&queue_id))
        else {
            return;
        };
        let before = queue.len();
        take(queue, woken, |held| {
            max_offset > held.offset && tags_code.is_none_or(|code| held.filter.wants(code))
        });
        self.held -= before - queue.len();
    }

    /// Moves the pulls whose time is up into `due`.
    pub fn expire(&mut self, now_ms: i64, due: &mut Vec<P>) {
        if now_ms < self.earliest_ms {
            return;
        }
        self.take_where(due, |held| held.deadline_ms <= now_ms);
        let deadlines =
            self.topics.values().flat_map(HashMap::values).flatten().map(|held| held.deadline_ms);
        self.earliest_ms = deadlines.min().unwrap_or(i64::MAX);
    }

    /// Moves out every pull for which `which` holds: of a closed connection, or all of them at the
    /// end.
    pub fn take_where(&mut self, out: &mut Vec<P>, which: impl Fn(&Held<P>) -> bool) {
        let before = out.len();
        for queue in self.topics.values_mut().flat_map(HashMap::values_mut) {
            take(queue, out, &which);
        }
        self.held -= out.len() - before;
    }

    /// Moves out the pulls of a topic that is gone.
    pub fn forget_topic(&mut self, topic: &str, out: &mut Vec<P>) {
        for queue in self.topics.remove(topic).into_iter().flat_map(HashMap::into_values) {
            self.held -= queue.len();
            out.extend(queue.into_iter().map(|held| held.pull));
        }
    }

    /// How many are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }
}

/// Moves what `which` picks out of `queue`, without allocating when it picks nothing.
fn take<P>(queue: &mut Vec<Held<P>>, out: &mut Vec<P>, which: impl Fn(&Held<P>) -> bool) {
    out.extend(queue.extract_if(.., |held| which(held)).map(|held| held.pull));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Rc<str> {
        Rc::from("T")
    }

    fn hold(
        held: &mut HeldPulls<u32>,
        queue_id: i32,
        offset: i64,
        filter: Filter,
        timeout_ms: i64,
        pull: u32,
    ) {
        held.hold(&topic(), queue_id, (offset, filter), timeout_ms, 1_000, pull).unwrap();
    }

    #[test]
    fn a_message_wakes_the_pulls_of_its_queue_that_want_it() {
        let mut held = HeldPulls::default();
        hold(&mut held, 0, 5, Filter::All, 100, 1);
        hold(&mut held, 0, 6, Filter::All, 100, 2);
        hold(&mut held, 0, 5, Filter::from_codes(&[7]), 100, 3);
        hold(&mut held, 1, 5, Filter::All, 100, 4);
        let mut woken = vec![];
        held.arrived("T", 0, 6, Some(8), &mut woken);
        assert_eq!(woken, [1]);
        held.arrived("T", 0, 7, Some(7), &mut woken);
        assert_eq!(woken, [1, 2, 3]);
        held.arrived("U", 1, 9, None, &mut woken);
        assert_eq!(held.len(), 1);
        held.arrived("T", 1, 9, None, &mut woken);
        assert!(held.is_empty());
    }

    #[test]
    fn a_pull_waits_no_longer_than_it_asked_and_no_longer_than_the_limit() {
        let mut held = HeldPulls::default();
        hold(&mut held, 0, 0, Filter::All, 50, 1);
        hold(&mut held, 0, 0, Filter::All, i64::MAX, 2);
        let mut due = vec![];
        held.expire(1_049, &mut due);
        assert!(due.is_empty());
        held.expire(1_050, &mut due);
        assert_eq!(due, [1]);
        held.expire(1_000 + HELD_PULL_MS_MAX, &mut due);
        assert_eq!(due, [1, 2]);
        assert!(held.is_empty());
        assert_eq!(held.earliest_ms, i64::MAX);
    }

    #[test]
    fn the_pulls_of_a_deleted_topic_and_of_a_dead_peer_come_out() {
        let mut held = HeldPulls::default();
        for pull in 0..4 {
            hold(&mut held, 0, 0, Filter::All, 50, pull);
        }
        let mut out = vec![];
        held.take_where(&mut out, |held| held.pull % 2 == 0);
        assert_eq!((out.as_slice(), held.len()), ([0, 2].as_slice(), 2));
        held.forget_topic("T", &mut out);
        assert_eq!((out.as_slice(), held.len()), ([0, 2, 1, 3].as_slice(), 0));
    }

    #[test]
    fn over_the_limit_a_pull_comes_back() {
        let mut held = HeldPulls { held: HELD_PULLS_MAX, ..HeldPulls::default() };
        assert_eq!(held.hold(&topic(), 0, (0, Filter::All), 1, 0, 9), Err(9));
    }
}
