//! Consumer groups: who is in them, over which connection, and what they subscribe to.
//!
//! A group exists while it has members. Every change of membership or of the set of topics is told
//! to the members (NOTIFY_CONSUMER_IDS_CHANGED), which rebalance; the methods return whether that
//! is due. Pure: the clock comes in as `now_ms`, connections are any `C`.

use crate::config::ClientLimits;
use crate::limits::GROUPS_MAX;
use crate::reads::filter::Filter;
use crate::tables::members::{GroupsByConnection, Members};
use engine::RecordFilter;
use protocol::bodies::{ConsumeFromWhere, ConsumeType, MessageModel, SubscriptionData};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::rc::Rc;

pub(crate) use crate::tables::members::{Member, NotTaken};

/// What a group wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// As the client sent it. One of a later version replaces an earlier one, and a pull that knows
    /// a later one is refused.
    pub(crate) data: SubscriptionData,
    /// Which messages it admits.
    pub(crate) filter: Result<Filter, Unusable>,
}

/// Why the pulls of a subscription are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is a class filter.
    ClassFilter,
    /// Its expression is of no known kind or can't be read; the reason.
    Expression(String),
}

/// The expression type of SQL92, as Apache compares it.
pub(crate) const SQL92: &str = "SQL92";

/// Whether an expression type means tags: absent, empty or `TAG`.
pub(crate) fn is_tag_type(expression_type: Option<&str>) -> bool {
    matches!(expression_type, None | Some("" | "TAG"))
}

/// How a group consumes, as its last heartbeat said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Style {
    /// Who of it gets a message. In a broadcasting group everyone does: its members need no news
    /// of each other.
    pub(crate) model: MessageModel,
    /// Push or pull.
    pub(crate) consume_type: ConsumeType,
    /// Where it starts without an offset.
    pub(crate) from: ConsumeFromWhere,
}

impl Style {
    /// Whether every member gets every message.
    pub(crate) fn is_broadcasting(&self) -> bool {
        self.model == MessageModel::Broadcasting
    }
}

/// One consumer group with members.
#[derive(Debug)]
pub(crate) struct ConsumerGroup<C> {
    members: Members<C>,
    subscriptions: HashMap<String, Subscription>,
    /// As the last heartbeat said.
    pub(crate) style: Style,
}

impl<C: Copy + Eq + Hash> ConsumerGroup<C> {
    /// Its members, in no order.
    pub(crate) fn members(&self) -> &[Member<C>] {
        self.members.list()
    }

    /// The member that calls itself so. Of several connections the one that was heard of last: a
    /// client that connects anew may still have its old one open for a moment.
    pub(crate) fn member(&self, client_id: &str) -> Option<&Member<C>> {
        let so_called = self.members.list().iter().filter(|member| member.client_id == client_id);
        so_called.max_by_key(|member| member.seen_ms)
    }

    /// What it wants, of each topic.
    pub(crate) fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }

    /// What it wants of `topic`.
    pub(crate) fn subscription(&self, topic: &str) -> Option<&Subscription> {
        self.subscriptions.get(topic)
    }

    /// The topics that it has a filter of records for, with it.
    pub(crate) fn record_filters(&self) -> Vec<(Box<str>, Rc<dyn RecordFilter>)> {
        let filters = self.subscriptions.values().filter_map(|subscription| {
            let Ok(Filter::Records(filter)) = &subscription.filter else { return None };
            Some((subscription.data.topic.as_str().into(), filter.clone()))
        });
        filters.collect()
    }
}

/// A group's part of a heartbeat.
#[derive(Clone, Debug)]
pub(crate) struct GroupHeartbeat {
    /// How it consumes.
    pub(crate) style: Style,
    /// What it subscribes to; `None`: as before (a heartbeat "without sub").
    pub(crate) subscriptions: Option<Vec<Subscription>>,
    /// A hash of the client's subscriptions; 0 from clients that do not send one.
    pub(crate) fingerprint: i32,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// The members must be told.
    pub(crate) notify: bool,
    /// The fingerprint differs from the group's last: the client should send its subscriptions
    /// again.
    pub(crate) subscriptions: bool,
}

/// The consumer groups of one shard.
#[derive(Debug)]
pub(crate) struct ConsumerGroups<C> {
    groups: HashMap<Rc<str>, ConsumerGroup<C>>,
    by_connection: GroupsByConnection<C>,
    /// The fingerprint of each group's last heartbeat. As in RocketMQ it outlives the members: a
    /// consumer that comes back with other subscriptions differs.
    fingerprints: HashMap<Rc<str>, i32>,
    limits: ClientLimits,
}

impl<C> ConsumerGroups<C> {
    /// None.
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            groups: HashMap::new(),
            by_connection: GroupsByConnection::default(),
            fingerprints: HashMap::new(),
        }
    }
}

impl<C: Copy + Eq + Hash> ConsumerGroups<C> {
    /// The group, while it has members.
    pub(crate) fn get(&self, group: &str) -> Option<&ConsumerGroup<C>> {
        self.groups.get(group)
    }

    /// The groups with members that subscribe to `topic`.
    pub(crate) fn of_topic(&self, topic: &str) -> impl Iterator<Item = &str> {
        let wants = |group: &&ConsumerGroup<C>| group.subscriptions.contains_key(topic);
        let groups = self.groups.iter().filter(move |(_, group)| wants(group));
        groups.map(|(name, _)| &**name)
    }

    /// Takes a heartbeat of `member` for `group`, which the caller has found among the subscription
    /// groups.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        member: &Member<C>,
        beat: GroupHeartbeat,
        now_ms: i64,
    ) -> Result<Changed, NotTaken> {
        self.by_connection.check(member, group, self.limits.clients)?;
        let (found, max) =
            (beat.subscriptions.as_ref().map_or(0, Vec::len), self.limits.subscriptions_per_group);
        if found > max {
            return Err(NotTaken::TooManySubscriptions { found, max });
        }
        let name = match self.groups.get_key_value(group) {
            Some((name, _)) => name.clone(),
            None => Rc::from(group),
        };
        let subscriptions = self.is_new_fingerprint(&name, beat.fingerprint);
        let info = self.groups.entry(name.clone()).or_insert_with(|| empty_group(beat.style));
        info.style = beat.style;
        let joined = info.members.join(member, now_ms)?;
        let topics_changed = beat
            .subscriptions
            .is_some_and(|subscriptions| replace(&mut info.subscriptions, subscriptions));
        if joined {
            self.by_connection.insert(member.conn, &name);
        }
        let notify = (joined || topics_changed) && !beat.style.is_broadcasting();
        Ok(Changed { notify, subscriptions })
    }

    /// Keeps the fingerprint. Whether it differs from the group's last (`heartBeatV2`): a group's
    /// first differs from nothing, one after heartbeats without (0) differs, and a heartbeat
    /// without says nothing.
    fn is_new_fingerprint(&mut self, group: &Rc<str>, fingerprint: i32) -> bool {
        if let Some(last) = self.fingerprints.get_mut(group) {
            let last = std::mem::replace(last, fingerprint);
            return fingerprint != 0 && last != fingerprint;
        }
        if self.fingerprints.len() < GROUPS_MAX {
            self.fingerprints.insert(group.clone(), fingerprint);
        }
        false
    }

    /// Removes the member on `conn`. True when the remaining members must be told.
    pub(crate) fn leave(&mut self, group: &str, conn: C) -> bool {
        let Some(info) = self.groups.get_mut(group) else { return false };
        let left = info.members.leave(conn);
        let is_empty = info.members.is_empty();
        let notify = left && !info.style.is_broadcasting() && !is_empty;
        if is_empty {
            self.groups.remove(group);
        }
        self.by_connection.remove(conn, group);
        notify
    }

    /// The groups that `conn` is in: when it closes, it leaves each of them.
    pub(crate) fn groups_of(&self, conn: C) -> Vec<Rc<str>> {
        self.by_connection.of(conn)
    }

    /// The connections of members that sent nothing since `before_ms`, each as often as it is in
    /// groups. RocketMQ closes them; so does the caller, and they leave as closed ones do.
    pub(crate) fn silent_since(&self, before_ms: i64) -> impl Iterator<Item = C> {
        self.groups.values().flat_map(move |group| group.members.silent_since(before_ms))
    }
}

fn empty_group<C>(style: Style) -> ConsumerGroup<C> {
    ConsumerGroup { members: Members::default(), subscriptions: HashMap::new(), style }
}

/// Takes the subscriptions of one heartbeat: newer ones replace, missing topics go. Whether the set
/// of topics changed.
fn replace(table: &mut HashMap<String, Subscription>, subscriptions: Vec<Subscription>) -> bool {
    let before = table.len();
    let wanted: HashSet<&str> =
        subscriptions.iter().map(|subscription| subscription.data.topic.as_str()).collect();
    table.retain(|topic, _| wanted.contains(topic.as_str()));
    let mut changed = table.len() < before;
    for subscription in subscriptions {
        match table.get_mut(&subscription.data.topic) {
            Some(old) if subscription.data.sub_version > old.data.sub_version => {
                *old = subscription;
            }
            Some(_) => {}
            None => {
                changed = true;
                table.insert(subscription.data.topic.clone(), subscription);
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GROUPS_PER_CONNECTION_MAX;

    fn member(conn: u32) -> Member<u32> {
        Member::new(conn, &format!("client-{conn}"))
    }

    fn beat(topics: &[(&str, i64)]) -> GroupHeartbeat {
        let subscription = |(topic, version): &(&str, i64)| Subscription {
            data: SubscriptionData::from_tags(topic, "*", *version),
            filter: Ok(Filter::All),
        };
        GroupHeartbeat {
            style: Style::default(),
            subscriptions: Some(topics.iter().map(subscription).collect()),
            fingerprint: 0,
        }
    }

    fn take(
        groups: &mut ConsumerGroups<u32>,
        conn: u32,
        beat: GroupHeartbeat,
        now_ms: i64,
    ) -> Changed {
        groups.heartbeat("g", &member(conn), beat, now_ms).unwrap()
    }

    #[test]
    fn members_are_told_of_joins_leaves_and_new_topics_only() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        assert!(take(&mut groups, 1, beat(&[("a", 1)]), 0).notify);
        assert!(!take(&mut groups, 1, beat(&[("a", 2)]), 1).notify);
        assert!(take(&mut groups, 1, beat(&[("a", 2), ("b", 1)]), 2).notify);
        assert!(take(&mut groups, 2, beat(&[("a", 2), ("b", 1)]), 3).notify);
        assert!(groups.leave("g", 1));
        assert!(!groups.leave("g", 1));
        assert!(!groups.leave("g", 2), "nobody is left to be told");
        assert!(groups.get("g").is_none() && groups.by_connection.is_empty());
    }

    #[test]
    fn an_older_subscription_does_not_replace_a_newer_one() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        take(&mut groups, 1, beat(&[("a", 5)]), 0);
        take(&mut groups, 2, beat(&[("a", 3)]), 0);
        assert_eq!(groups.get("g").unwrap().subscription("a").unwrap().data.sub_version, 5);
        take(&mut groups, 2, beat(&[]), 0);
        assert!(groups.get("g").unwrap().subscription("a").is_none());
    }

    #[test]
    fn a_heartbeat_without_subscriptions_keeps_them() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        take(&mut groups, 1, beat(&[("a", 5)]), 0);
        let bare = GroupHeartbeat { subscriptions: None, ..beat(&[]) };
        assert_eq!(take(&mut groups, 1, bare, 1), Changed::default());
        assert!(groups.get("g").unwrap().subscription("a").is_some());
    }

    #[test]
    fn a_fingerprint_after_none_or_after_another_one_asks_for_subscriptions() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        let mut asks = |conn, fingerprint| {
            let beat = GroupHeartbeat { fingerprint, ..beat(&[("a", 1)]) };
            take(&mut groups, conn, beat, 0).subscriptions
        };
        assert!(!asks(1, 7), "a group's first fingerprint is no change");
        assert!(!asks(1, 7));
        assert!(asks(1, 8) && !asks(1, 8));
        assert!(!asks(2, 0), "an old client's heartbeat says nothing");
        assert!(asks(1, 8), "but the next fingerprint differs from it");
        assert!(groups.leave("g", 1) && !groups.leave("g", 2));
        let beat = GroupHeartbeat { fingerprint: 9, ..beat(&[("a", 1)]) };
        assert!(take(&mut groups, 3, beat, 0).subscriptions, "the group was known before");
    }

    #[test]
    fn of_a_clients_connections_the_one_that_was_heard_of_last_is_asked() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        for (conn, now_ms) in [(1, 0), (2, 5), (3, 4)] {
            groups.heartbeat("g", &Member::new(conn, "c"), beat(&[]), now_ms).unwrap();
        }
        let asked =
            |groups: &ConsumerGroups<u32>| groups.get("g").unwrap().member("c").unwrap().conn;
        assert_eq!(asked(&groups), 2);
        groups.leave("g", 2);
        assert_eq!(asked(&groups), 3);
        assert!(groups.get("g").unwrap().member("other").is_none());
    }

    #[test]
    fn broadcasting_members_are_not_told() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        let style = Style { model: MessageModel::Broadcasting, ..Style::default() };
        let broadcast = GroupHeartbeat { style, ..beat(&[("a", 1)]) };
        assert!(!take(&mut groups, 1, broadcast.clone(), 0).notify);
        take(&mut groups, 2, broadcast, 0);
        assert!(!groups.leave("g", 1));
    }

    #[test]
    fn silent_members_are_named_for_the_caller_to_close() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        take(&mut groups, 1, beat(&[]), 0);
        take(&mut groups, 2, beat(&[]), 1_000);
        assert_eq!(groups.silent_since(0).count(), 0);
        assert_eq!(groups.silent_since(1).collect::<Vec<_>>(), [1]);
        assert_eq!(groups.groups_of(1), [Rc::from("g")]);
    }

    #[test]
    fn a_connection_is_in_so_many_groups_at_most() {
        let mut groups = ConsumerGroups::new(ClientLimits::default());
        for number in 0..GROUPS_PER_CONNECTION_MAX {
            let name = format!("g{number}");
            groups.heartbeat(&name, &member(1), beat(&[]), 0).unwrap();
        }
        let more = groups.heartbeat("one-more", &member(1), beat(&[]), 0);
        assert_eq!(more, Err(NotTaken::ConnectionFull));
        assert!(groups.get("one-more").is_none());
        groups.heartbeat("g0", &member(1), beat(&[]), 0).unwrap();
    }
}
