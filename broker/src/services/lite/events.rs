//! Of which lite topics with messages each client was told (`LiteEventDispatcher.ClientEventSet`):
//! its pops look there and nowhere else.
//!
//! ```text
//!   message of a queue ──► one client of each group: the queue goes to the end of its list
//!   pop ──► takes the queues from the front of its client's list
//!   list full ──► the client's queues are looked through later (`due`)
//! ```
//!
//! A queue is in a list once. Pure.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;

/// A client that leaves its events alone for so long has others told of them, in milliseconds.
const INACTIVE_MS: i64 = 10_000;
/// The same without events: a long poll takes 30 s.
const AWAY_MS: i64 = 35_000;
/// A client that left events alone is told last for so long.
const BLACKLISTED_MS: i64 = 10_000;
/// A full look is not sooner than this.
const SOONEST_MS: i64 = 50;

#[derive(Debug)]
struct OfClient {
    group: Rc<str>,
    queues: VecDeque<Rc<str>>,
    there: HashSet<Rc<str>>,
    max: usize,
    accessed_ms: i64,
}

/// Whose queues are to be looked through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FullLook {
    /// A client's.
    Client {
        /// The client.
        client: Rc<str>,
        /// Its group.
        group: Rc<str>,
    },
    /// All children of the topic of a group.
    Wildcard {
        /// The group.
        group: Rc<str>,
    },
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct LiteEvents {
    clients: HashMap<Rc<str>, OfClient>,
    blacklist: HashMap<Rc<str>, i64>,
    due: BTreeSet<(i64, FullLook)>,
    waiting: HashSet<FullLook>,
}

impl LiteEvents {
    /// Tells a client of a queue; false when its list is full. `max`: how long that may be.
    pub(super) fn offer(
        &mut self,
        client: &Rc<str>,
        (group, max): (&Rc<str>, usize),
        queue: &Rc<str>,
        now_ms: i64,
    ) -> bool {
        let of_client = self.clients.entry(client.clone()).or_insert_with(|| OfClient {
            group: group.clone(),
            queues: VecDeque::new(),
            there: HashSet::new(),
            max,
            accessed_ms: now_ms,
        });
        if of_client.queues.len() >= of_client.max {
            return false;
        }
        if of_client.there.insert(queue.clone()) {
            of_client.queues.push_back(queue.clone());
        }
        true
    }

    /// The next queue of a client.
    pub(super) fn poll(&mut self, client: &str, now_ms: i64) -> Option<Rc<str>> {
        let of_client = self.clients.get_mut(client)?;
        of_client.accessed_ms = now_ms;
        let queue = of_client.queues.pop_front()?;
        of_client.there.remove(&queue);
        Some(queue)
    }

    /// Whether a client was told of something it has not looked at.
    pub(super) fn has(&self, client: &str) -> bool {
        self.clients.get(client).is_some_and(|of_client| !of_client.queues.is_empty())
    }

    /// A client looked for events though it has none.
    pub(super) fn accessed(&mut self, client: &str, now_ms: i64) {
        if let Some(of_client) = self.clients.get_mut(client) {
            of_client.accessed_ms = now_ms;
        }
    }

    /// When a client looked last, in milliseconds since 1970.
    pub(crate) fn accessed_ms(&self, client: &str) -> Option<i64> {
        self.clients.get(client).map(|of_client| of_client.accessed_ms)
    }

    /// How many clients have a list.
    pub(crate) fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether a client left its events alone lately.
    pub(super) fn is_blacklisted(&self, client: &str, now_ms: i64) -> bool {
        self.blacklist.get(client).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether its list is so full, or it so long away, that its queues are not looked through:
    /// whether it is away, whether the list is above the low watermark of a fifth.
    pub(super) fn holds_back(&self, client: &str, now_ms: i64) -> (bool, bool) {
        let Some(of_client) = self.clients.get(client) else { return (false, false) };
        (is_away(of_client, now_ms), of_client.queues.len() * 5 >= of_client.max)
    }

    /// Forgets a client: its group, and what it was told of.
    pub(super) fn remove(&mut self, client: &str) -> Option<(Rc<str>, VecDeque<Rc<str>>)> {
        self.clients.remove(client).map(|of_client| (of_client.group, of_client.queues))
    }

    /// Takes out the clients that do not come: others are told of what they were told of.
    pub(super) fn take_away(&mut self, now_ms: i64) -> Vec<Rc<str>> {
        self.blacklist.retain(|_, until_ms| now_ms < *until_ms);
        let away = self.clients.iter().filter(|(_, of_client)| is_away(of_client, now_ms));
        let away: Vec<Rc<str>> = away.map(|(client, _)| client.clone()).collect();
        for client in &away {
            self.blacklist.insert(client.clone(), now_ms.saturating_add(BLACKLISTED_MS));
        }
        away
    }

    /// Has queues looked through later. What waits for that already waits no longer for it.
    pub(super) fn look_later(&mut self, look: FullLook, delay_ms: i64, now_ms: i64) {
        if self.waiting.insert(look.clone()) {
            self.due.insert((now_ms.saturating_add(delay_ms.max(SOONEST_MS)), look));
        }
    }

    /// The next whose queues are to be looked through now.
    pub(super) fn next_look(&mut self, now_ms: i64) -> Option<FullLook> {
        if self.due.first()?.0 > now_ms {
            return None;
        }
        let (_, look) = self.due.pop_first()?;
        self.waiting.remove(&look);
        Some(look)
    }
}

fn is_away(of_client: &OfClient, now_ms: i64) -> bool {
    let away_ms = now_ms.saturating_sub(of_client.accessed_ms);
    away_ms > AWAY_MS || !of_client.queues.is_empty() && away_ms > INACTIVE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rc(name: &str) -> Rc<str> {
        Rc::from(name)
    }

    fn offer(events: &mut LiteEvents, client: &str, queue: &str) -> bool {
        events.offer(&rc(client), (&rc("g"), 2), &rc(queue), 1_000)
    }

    #[test]
    fn a_client_is_told_of_a_queue_once_and_of_as_many_as_it_may() {
        let mut events = LiteEvents::default();
        assert!(offer(&mut events, "c", "a") && offer(&mut events, "c", "a"));
        assert!(offer(&mut events, "c", "b") && !offer(&mut events, "c", "d"));
        assert_eq!(events.poll("c", 2_000).as_deref(), Some("a"));
        assert!(offer(&mut events, "c", "a"));
        let polled = [events.poll("c", 3_000), events.poll("c", 3_000), events.poll("c", 3_000)];
        assert_eq!(polled, [Some(rc("b")), Some(rc("a")), None]);
        assert_eq!((events.accessed_ms("c"), events.accessed_ms("x")), (Some(3_000), None));
        assert!(!events.has("c") && events.poll("x", 0).is_none());
    }

    #[test]
    fn who_does_not_come_is_taken_out_and_told_last() {
        let mut events = LiteEvents::default();
        offer(&mut events, "busy", "a");
        offer(&mut events, "idle", "a");
        events.poll("idle", 1_000);
        assert_eq!(events.take_away(1_000 + INACTIVE_MS), [] as [Rc<str>; 0]);
        let now_ms = 1_001 + INACTIVE_MS;
        assert_eq!(events.take_away(now_ms), [rc("busy")]);
        assert!(events.is_blacklisted("busy", now_ms) && !events.is_blacklisted("idle", now_ms));
        assert_eq!(events.remove("busy").unwrap().1, [rc("a")]);
        assert!(!events.is_blacklisted("busy", now_ms + BLACKLISTED_MS));
        assert_eq!(events.take_away(1_001 + AWAY_MS), [rc("idle")]);
    }

    #[test]
    fn a_look_waits_once_and_not_less_than_it_must() {
        let mut events = LiteEvents::default();
        let look = FullLook::Wildcard { group: rc("g") };
        events.look_later(look.clone(), 0, 1_000);
        events.look_later(look.clone(), 500, 1_000);
        assert_eq!(events.next_look(1_000 + SOONEST_MS - 1), None);
        assert_eq!(events.next_look(1_000 + SOONEST_MS), Some(look.clone()));
        assert_eq!(events.next_look(9_000), None);
        events.look_later(look.clone(), 500, 1_000);
        assert_eq!((events.next_look(1_499), events.next_look(1_500)), (None, Some(look)));
    }
}
