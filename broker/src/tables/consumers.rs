//! Consumer groups: who is in them, over which connection, and what they subscribe to.
//!
//! A member is a connection (RocketMQ's channel). A group exists while it has members. Every change
//! of membership or of the set of topics is told to the members (NOTIFY_CONSUMER_IDS_CHANGED),
//! which rebalance; the methods return whether that is due. Pure: the clock comes in as `now_ms`,
//! connections are any `C`.

use crate::limits::{GROUP_MEMBERS_MAX, SUBSCRIPTIONS_PER_GROUP_MAX};
use crate::reads::filter::Filter;
use std::collections::HashMap;
use std::rc::Rc;

/// How long a member lives without a heartbeat (RocketMQ's `channelExpiredTimeout`).
pub const MEMBER_MS: i64 = 120_000;

/// One consumer of a group.
#[derive(Clone, Debug)]
pub struct Member<C> {
    /// Its connection.
    pub conn: C,
    /// What it calls itself: `ip@instance`.
    pub client_id: String,
    /// Its language's code in the remoting header.
    pub language: u8,
    /// Its version's ordinal.
    pub version: i32,
    seen_ms: i64,
}

impl<C> Member<C> {
    /// A member as its heartbeat describes it.
    pub fn new(conn: C, client_id: &str, language: u8, version: i32) -> Self {
        Self { conn, client_id: client_id.to_owned(), language, version, seen_ms: 0 }
    }
}

/// What a group wants of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// When the client made it; a later one replaces an earlier one, a pull that knows a later one
    /// is refused.
    pub version: i64,
    /// `TAG`, `SQL92` or whatever the client said; absent means TAG.
    pub expression_type: Option<String>,
    /// The expression as given.
    pub expression: String,
    /// The tags it admits.
    pub filter: Filter,
}

impl Subscription {
    /// Whether it filters by tag; everything else needs a broker with property filters.
    #[must_use]
    pub fn is_tag(&self) -> bool {
        is_tag_type(self.expression_type.as_deref())
    }
}

/// Whether an expression type means tags: absent, empty or `TAG`.
#[must_use]
pub fn is_tag_type(expression_type: Option<&str>) -> bool {
    matches!(expression_type, None | Some("" | "TAG"))
}

/// How a group shares its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// Every member gets every message; members need no news of each other.
    Broadcasting,
    /// The members share the queues.
    Clustering,
}

/// One consumer group with members.
#[derive(Debug)]
pub struct ConsumerGroup<C> {
    members: Vec<Member<C>>,
    subscriptions: HashMap<String, Subscription>,
    /// As the last heartbeat said.
    pub model: Model,
    /// Of the last heartbeat with a fingerprint; another one means that subscriptions changed.
    pub fingerprint: i32,
}

impl<C> ConsumerGroup<C> {
    /// Its members, in the order they came.
    pub fn members(&self) -> &[Member<C>] {
        &self.members
    }

    /// What it wants of `topic`.
    #[must_use]
    pub fn subscription(&self, topic: &str) -> Option<&Subscription> {
        self.subscriptions.get(topic)
    }

    /// Everything it subscribes to.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.values()
    }
}

/// A group's part of a heartbeat.
#[derive(Clone, Debug)]
pub struct GroupHeartbeat {
    /// How it shares.
    pub model: Model,
    /// What it subscribes to; `None`: as before (a heartbeat "without sub").
    pub subscriptions: Option<Vec<Subscription>>,
    /// 0 from clients that do not send one.
    pub fingerprint: i32,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The members must be told.
    pub notify: bool,
    /// The fingerprint differs from the last: the client should send its subscriptions again.
    pub subscriptions: bool,
    /// The group is full: the member was not taken in.
    pub refused: bool,
}

/// The consumer groups of one shard.
#[derive(Debug)]
pub struct ConsumerGroups<C> {
    groups: HashMap<Rc<str>, ConsumerGroup<C>>,
}

impl<C> Default for ConsumerGroups<C> {
    fn default() -> Self {
        Self { groups: HashMap::new() }
    }
}

impl<C: Copy + Eq> ConsumerGroups<C> {
    /// The group, while it has members.
    #[must_use]
    pub fn get(&self, group: &str) -> Option<&ConsumerGroup<C>> {
        self.groups.get(group)
    }

    /// All groups with members.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ConsumerGroup<C>)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// Takes a heartbeat of `member` for `group`.
    pub fn heartbeat(
        &mut self,
        group: &str,
        member: &Member<C>,
        beat: GroupHeartbeat,
        now_ms: i64,
    ) -> Changed {
        if !self.groups.contains_key(group) {
            self.groups.insert(Rc::from(group), empty_group(beat.model));
        }
        let Some(info) = self.groups.get_mut(group) else { return Changed::default() };
        let subscriptions_changed =
            beat.fingerprint != 0 && info.fingerprint != 0 && info.fingerprint != beat.fingerprint;
        info.fingerprint = beat.fingerprint;
        info.model = beat.model;
        let Some(joined) = join(&mut info.members, member, now_ms) else {
            return Changed { refused: true, ..Changed::default() };
        };
        let topics_changed = beat
            .subscriptions
            .is_some_and(|subscriptions| replace(&mut info.subscriptions, subscriptions));
        let notify = (joined || topics_changed) && beat.model == Model::Clustering;
        Changed { notify, subscriptions: subscriptions_changed, refused: false }
    }

    /// Removes the member on `conn`. True when the remaining members must be told.
    pub fn leave(&mut self, group: &str, conn: C) -> bool {
        let Some(info) = self.groups.get_mut(group) else { return false };
        let before = info.members.len();
        info.members.retain(|member| member.conn != conn);
        let notify = info.members.len() < before
            && info.model == Model::Clustering
            && !info.members.is_empty();
        if info.members.is_empty() {
            self.groups.remove(group);
        }
        notify
    }

    /// The members that sent nothing for [`MEMBER_MS`], with their groups.
    #[must_use]
    pub fn expired(&self, now_ms: i64) -> Vec<(Rc<str>, C)> {
        let stale = |member: &&Member<C>| now_ms.saturating_sub(member.seen_ms) > MEMBER_MS;
        let of_group = |(name, group): (&Rc<str>, &ConsumerGroup<C>)| {
            group
                .members
                .iter()
                .filter(stale)
                .map(|member| (name.clone(), member.conn))
                .collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }
}

fn empty_group<C>(model: Model) -> ConsumerGroup<C> {
    ConsumerGroup { members: vec![], subscriptions: HashMap::new(), model, fingerprint: 0 }
}

/// Whether the member is new; `None` when the group is full.
fn join<C: Copy + Eq>(
    members: &mut Vec<Member<C>>,
    member: &Member<C>,
    now_ms: i64,
) -> Option<bool> {
    if let Some(known) = members.iter_mut().find(|known| known.conn == member.conn) {
        known.seen_ms = now_ms;
        if known.client_id != member.client_id {
            known.client_id.clone_from(&member.client_id);
        }
        return Some(false);
    }
    if members.len() >= GROUP_MEMBERS_MAX {
        return None;
    }
    members.push(Member { seen_ms: now_ms, ..member.clone() });
    Some(true)
}

/// Takes the subscriptions of one heartbeat: newer ones replace, missing topics go. Whether the set
/// of topics changed.
fn replace(
    table: &mut HashMap<String, Subscription>,
    mut subscriptions: Vec<Subscription>,
) -> bool {
    subscriptions.truncate(SUBSCRIPTIONS_PER_GROUP_MAX);
    let before = table.len();
    table.retain(|topic, _| subscriptions.iter().any(|subscription| subscription.topic == *topic));
    let mut changed = table.len() < before;
    for subscription in subscriptions {
        match table.get_mut(&subscription.topic) {
            Some(old) if subscription.version > old.version => *old = subscription,
            Some(_) => {}
            None => {
                changed = true;
                table.insert(subscription.topic.clone(), subscription);
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(conn: u32) -> Member<u32> {
        Member::new(conn, &format!("client-{conn}"), 0, 513)
    }

    fn beat(topics: &[(&str, i64)]) -> GroupHeartbeat {
        let subscription = |(topic, version): &(&str, i64)| Subscription {
            topic: (*topic).to_owned(),
            version: *version,
            expression_type: None,
            expression: "*".to_owned(),
            filter: Filter::All,
        };
        GroupHeartbeat {
            model: Model::Clustering,
            subscriptions: Some(topics.iter().map(subscription).collect()),
            fingerprint: 0,
        }
    }

    #[test]
    fn members_are_told_of_joins_leaves_and_new_topics_only() {
        let mut groups = ConsumerGroups::default();
        assert!(groups.heartbeat("g", &member(1), beat(&[("a", 1)]), 0).notify);
        assert!(!groups.heartbeat("g", &member(1), beat(&[("a", 2)]), 1).notify);
        assert!(groups.heartbeat("g", &member(1), beat(&[("a", 2), ("b", 1)]), 2).notify);
        assert!(groups.heartbeat("g", &member(2), beat(&[("a", 2), ("b", 1)]), 3).notify);
        assert!(groups.leave("g", 1));
        assert!(!groups.leave("g", 1));
        assert!(!groups.leave("g", 2), "nobody is left to be told");
        assert!(groups.get("g").is_none());
    }

    #[test]
    fn an_older_subscription_does_not_replace_a_newer_one() {
        let mut groups = ConsumerGroups::default();
        groups.heartbeat("g", &member(1), beat(&[("a", 5)]), 0);
        groups.heartbeat("g", &member(2), beat(&[("a", 3)]), 0);
        assert_eq!(groups.get("g").unwrap().subscription("a").unwrap().version, 5);
        groups.heartbeat("g", &member(2), beat(&[]), 0);
        assert!(groups.get("g").unwrap().subscription("a").is_none());
    }

    #[test]
    fn a_heartbeat_without_subscriptions_keeps_them() {
        let mut groups = ConsumerGroups::default();
        groups.heartbeat("g", &member(1), beat(&[("a", 5)]), 0);
        let bare = GroupHeartbeat { subscriptions: None, fingerprint: 7, ..beat(&[]) };
        assert_eq!(groups.heartbeat("g", &member(1), bare.clone(), 1), Changed::default());
        assert!(groups.get("g").unwrap().subscription("a").is_some());
        let other = GroupHeartbeat { fingerprint: 8, ..bare };
        assert!(groups.heartbeat("g", &member(1), other, 2).subscriptions);
    }

    #[test]
    fn broadcasting_members_are_not_told() {
        let mut groups = ConsumerGroups::default();
        let broadcast = GroupHeartbeat { model: Model::Broadcasting, ..beat(&[("a", 1)]) };
        assert!(!groups.heartbeat("g", &member(1), broadcast.clone(), 0).notify);
        groups.heartbeat("g", &member(2), broadcast, 0);
        assert!(!groups.leave("g", 1));
    }

    #[test]
    fn a_silent_member_expires() {
        let mut groups = ConsumerGroups::default();
        groups.heartbeat("g", &member(1), beat(&[]), 0);
        groups.heartbeat("g", &member(2), beat(&[]), 1_000);
        assert!(groups.expired(MEMBER_MS).is_empty());
        assert_eq!(groups.expired(MEMBER_MS + 1), [(Rc::from("g"), 1)]);
    }
}
