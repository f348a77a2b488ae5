//! Who has subscribed to which lite topics (`LiteSubscriptionRegistryImpl`).
//!
//! ```text
//!   client ──► its group, the queues of its lite topics
//!   queue  ──► (group, client), sorted: those of one group stand together
//! ```
//!
//! A group with `lite.sub.wildcard` has all children of its topic; its clients stand under
//! `topic@group` in place of a queue. Clients say what they have again and again (their proxy does,
//! every 30 s); who is silent for `liteSubscriptionCheckTimeoutMills` is forgotten. Nothing is
//! saved. Bounded by `maxLiteSubscriptionCount` and by [`LITE_CLIENTS_MAX`]. Pure.

use crate::limits::LITE_CLIENTS_MAX;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

/// A client of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Subscriber {
    /// The group.
    pub(crate) group: Rc<str>,
    /// The client.
    pub(crate) client: Rc<str>,
}

/// What one client has. `C`: its connection.
#[derive(Debug)]
pub(crate) struct LiteClient<C> {
    /// Its group: that of its first subscription.
    pub(crate) group: Rc<str>,
    /// The queues of its lite topics.
    pub(crate) queues: BTreeSet<Rc<str>>,
    /// Where it spoke last.
    pub(crate) conn: Option<C>,
    updated_ms: i64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct LiteSubscriptions<C> {
    clients: HashMap<Rc<str>, LiteClient<C>>,
    of_queue: HashMap<Rc<str>, BTreeSet<Subscriber>>,
    /// The groups that have all children of a topic.
    wildcards: HashMap<Rc<str>, BTreeSet<Rc<str>>>,
    active: usize,
}

impl<C> Default for LiteSubscriptions<C> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            of_queue: HashMap::new(),
            wildcards: HashMap::new(),
            active: 0,
        }
    }
}

/// In place of a queue, for a group that has all children of a topic.
pub(crate) fn wildcard_queue(topic: &str, group: &str) -> String {
    format!("{topic}@{group}")
}

impl<C: Copy> LiteSubscriptions<C> {
    /// How many there are: one lite topic of two clients counts twice.
    pub(crate) fn active(&self) -> usize {
        self.active
    }

    /// What a client has.
    pub(crate) fn client(&self, client: &str) -> Option<&LiteClient<C>> {
        self.clients.get(client)
    }

    /// A client speaks; it is known from now on. Its name, and its group: that of its first
    /// subscription. `None` when there are too many clients.
    pub(crate) fn touch(
        &mut self,
        client: &str,
        group: &str,
        conn: Option<C>,
        now_ms: i64,
    ) -> Option<Subscriber> {
        if let Some(known) = self.clients.get_mut(client) {
            known.updated_ms = now_ms;
            known.conn = conn.or(known.conn);
            let group = known.group.clone();
            let (client, _) = self.clients.get_key_value(client)?;
            return Some(Subscriber { group, client: client.clone() });
        }
        if self.clients.len() >= LITE_CLIENTS_MAX {
            return None;
        }
        let (client, group): (Rc<str>, Rc<str>) = (Rc::from(client), Rc::from(group));
        let known =
            LiteClient { group: group.clone(), queues: BTreeSet::new(), conn, updated_ms: now_ms };
        self.clients.insert(client.clone(), known);
        Some(Subscriber { group, client })
    }

    /// A client has a queue from now on. Whether that is new.
    pub(crate) fn add(&mut self, who: &Subscriber, queue: &str) -> bool {
        let name = self.of_queue.get_key_value(queue).map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| Rc::from(queue));
        if let Some(client) = self.clients.get_mut(&who.client) {
            client.queues.insert(name.clone());
        }
        let is_new = self.of_queue.entry(name).or_default().insert(who.clone());
        self.active += usize::from(is_new);
        is_new
    }

    /// A client has a queue no more. Whether it had.
    pub(crate) fn remove(&mut self, who: &Subscriber, queue: &str) -> bool {
        if let Some(client) = self.clients.get_mut(&who.client) {
            client.queues.remove(queue);
        }
        let Some(subscribers) = self.of_queue.get_mut(queue) else { return false };
        let had = subscribers.remove(who);
        self.active -= usize::from(had);
        if subscribers.is_empty() {
            self.of_queue.remove(queue);
        }
        had
    }

    /// A group has all children of a topic.
    pub(crate) fn mark_wildcard(&mut self, topic: &str, group: &Rc<str>) {
        match self.wildcards.get_mut(topic) {
            Some(groups) => _ = groups.insert(group.clone()),
            None => _ = self.wildcards.insert(Rc::from(topic), BTreeSet::from([group.clone()])),
        }
    }

    /// Forgets a client; its group, if it was known.
    pub(crate) fn remove_client(&mut self, client: &str) -> Option<Rc<str>> {
        let (name, known) = self.clients.remove_entry(client)?;
        let who = Subscriber { group: known.group.clone(), client: name };
        for queue in known.queues {
            self.remove(&who, &queue);
        }
        Some(known.group)
    }

    /// Forgets a queue that is gone.
    pub(crate) fn forget_queue(&mut self, queue: &str) {
        let subscribers = self.of_queue.remove(queue).unwrap_or_default();
        self.active -= subscribers.len();
        for who in subscribers {
            if let Some(client) = self.clients.get_mut(&who.client) {
                client.queues.remove(queue);
            }
        }
    }

    /// The name of a queue that somebody has, shared with its table.
    pub(crate) fn name(&self, queue: &str) -> Option<&Rc<str>> {
        self.of_queue.get_key_value(queue).map(|(name, _)| name)
    }

    /// Whether a group has all children of a topic.
    pub(crate) fn has_wildcards(&self, topic: &str) -> bool {
        !self.wildcards.is_empty() && self.wildcards.contains_key(topic)
    }

    /// Who has a queue, group after group: those of one group, or of all and of the groups that
    /// have all children of its topic.
    pub(crate) fn of_queue(&self, topic: &str, queue: &str, out: &mut Vec<Subscriber>) {
        if let Some(subscribers) = self.of_queue.get(queue) {
            out.extend(subscribers.iter().cloned());
        }
        for group in self.wildcards.get(topic).into_iter().flatten() {
            self.of_group(&wildcard_queue(topic, group), group, out);
        }
    }

    /// The clients of a group that have a queue.
    pub(crate) fn of_group(&self, queue: &str, group: &str, out: &mut Vec<Subscriber>) {
        let Some(subscribers) = self.of_queue.get(queue) else { return };
        let first = Subscriber { group: Rc::from(group), client: Rc::from("") };
        let of_group = subscribers.range(first..).take_while(|who| *who.group == *group);
        out.extend(of_group.cloned());
    }

    /// The clients of a group.
    pub(crate) fn clients_of(&self, group: &str) -> Vec<Rc<str>> {
        let of_group = self.clients.iter().filter(|(_, client)| *client.group == *group);
        of_group.map(|(name, _)| name.clone()).collect()
    }

    /// The clients that have said nothing since then.
    pub(crate) fn silent_since(&self, before_ms: i64) -> Vec<Rc<str>> {
        let silent = self.clients.iter().filter(|(_, client)| client.updated_ms < before_ms);
        silent.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = LiteSubscriptions<u8>;

    fn touch(table: &mut Table, client: &str, group: &str, now_ms: i64) -> Subscriber {
        table.touch(client, group, Some(1), now_ms).unwrap()
    }

    fn names(found: &[Subscriber]) -> Vec<String> {
        found.iter().map(|who| format!("{}/{}", who.group, who.client)).collect()
    }

    #[test]
    fn a_queue_knows_its_clients_group_after_group() {
        let mut table = Table::default();
        let [a, b, c] = [("a", "h"), ("b", "g"), ("c", "g")]
            .map(|(client, group)| touch(&mut table, client, group, 5));
        assert!(table.add(&a, "q") && table.add(&b, "q") && table.add(&c, "q"));
        assert!(!table.add(&a, "q") && table.add(&a, "r"));
        assert_eq!(table.active(), 4);
        let mut found = vec![];
        table.of_queue("P", "q", &mut found);
        assert_eq!(names(&found), ["g/b", "g/c", "h/a"]);
        found.clear();
        table.of_group("q", "g", &mut found);
        assert_eq!(names(&found), ["g/b", "g/c"]);
        assert!(table.remove(&b, "q") && !table.remove(&b, "q"));
        table.forget_queue("q");
        assert_eq!((table.active(), table.client("a").unwrap().queues.len()), (1, 1));
        assert_eq!(table.remove_client("a").as_deref(), Some("h"));
        assert_eq!((table.active(), table.name("r")), (0, None));
    }

    #[test]
    fn a_group_of_all_children_stands_behind_those_of_the_queue() {
        let mut table = Table::default();
        let (one, all) = (touch(&mut table, "c1", "g", 5), touch(&mut table, "c2", "all", 5));
        table.add(&one, "q");
        table.mark_wildcard("P", &all.group);
        table.add(&all, &wildcard_queue("P", "all"));
        let mut found = vec![];
        table.of_queue("P", "q", &mut found);
        table.of_queue("P", "other", &mut found);
        assert_eq!(names(&found), ["g/c1", "all/c2", "all/c2"]);
    }

    #[test]
    fn a_client_stays_in_its_first_group_and_goes_when_it_is_silent() {
        let mut table = Table::default();
        touch(&mut table, "c", "g", 5);
        assert_eq!(&*touch(&mut table, "c", "other", 9).group, "g");
        touch(&mut table, "d", "g", 7);
        assert_eq!(table.clients_of("g").len(), 2);
        assert_eq!(table.silent_since(8), [Rc::from("d")]);
    }
}
