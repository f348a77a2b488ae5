//! Producer groups: which connections send for them. Pure; connections are any `C`.
//!
//! Unlike a consumer group, a producer group has no settings and needs no creation: its name is
//! checked here, and a connection may be in `GROUPS_PER_CONNECTION_MAX` of them.

use crate::config::ClientLimits;
use crate::tables::members::{GroupsByConnection, Member, Members, NotTaken};
use protocol::names;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// The producer groups of one shard.
#[derive(Debug)]
pub(crate) struct ProducerGroups<C> {
    groups: HashMap<Rc<str>, Members<C>>,
    by_connection: GroupsByConnection<C>,
    /// The connection that last called itself so, of those in groups.
    by_client: HashMap<Rc<str>, C>,
    /// What each connection in groups calls itself.
    clients: HashMap<C, Rc<str>>,
    limits: ClientLimits,
}

impl<C> ProducerGroups<C> {
    /// None.
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            groups: HashMap::new(),
            by_connection: GroupsByConnection::default(),
            by_client: HashMap::new(),
            clients: HashMap::new(),
        }
    }
}

impl<C: Copy + Eq + Hash> ProducerGroups<C> {
    /// Takes a heartbeat of a producer.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        member: &Member<C>,
        now_ms: i64,
    ) -> Result<(), NotTaken> {
        if !self.groups.contains_key(group) {
            names::check_group(group)?;
            if self.groups.len() >= self.limits.groups {
                return Err(NotTaken::BrokerFull(self.limits.groups));
            }
        }
        self.by_connection.check(member, group, self.limits.clients)?;
        let name = match self.groups.get_key_value(group) {
            Some((name, _)) => name.clone(),
            None => Rc::from(group),
        };
        let members = self.groups.entry(name.clone()).or_default();
        if members.join(member, now_ms)? {
            self.by_connection.insert(member.conn, &name);
        }
        self.calls_itself(member);
        Ok(())
    }

    /// The producers of a group; `None` when there is none.
    pub(crate) fn members(&self, group: &str) -> Option<&[Member<C>]> {
        self.groups.get(group).map(Members::list)
    }

    /// All groups with their producers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &[Member<C>])> {
        self.groups.iter().map(|(group, members)| (&**group, members.list()))
    }

    /// The connection of the producer that calls itself so; the last of several.
    pub(crate) fn connection_of(&self, client_id: &str) -> Option<C> {
        self.by_client.get(client_id).copied()
    }

    fn calls_itself(&mut self, member: &Member<C>) {
        if self.clients.get(&member.conn).is_some_and(|known| **known == *member.client_id) {
            return;
        }
        self.forget_client(member.conn);
        let client_id: Rc<str> = Rc::from(member.client_id.as_str());
        self.by_client.insert(client_id.clone(), member.conn);
        self.clients.insert(member.conn, client_id);
    }

    /// A newer connection of the same name keeps it.
    fn forget_client(&mut self, conn: C) {
        let Some(client_id) = self.clients.remove(&conn) else { return };
        if self.by_client.get(&client_id) == Some(&conn) {
            self.by_client.remove(&client_id);
        }
    }

    /// Removes the producer on `conn` from one group.
    pub(crate) fn leave(&mut self, group: &str, conn: C) {
        let Some(members) = self.groups.get_mut(group) else { return };
        members.leave(conn);
        if members.is_empty() {
            self.groups.remove(group);
        }
        self.by_connection.remove(conn, group);
        if !self.by_connection.has(conn) {
            self.forget_client(conn);
        }
    }

    /// Removes `conn` from all groups: it is closed.
    pub(crate) fn close(&mut self, conn: C) {
        for group in self.by_connection.of(conn) {
            self.leave(&group, conn);
        }
    }

    /// The connections of producers that sent nothing since `before_ms`, each as often as it is in
    /// groups. RocketMQ closes them; so does the caller, and [`close`](Self::close) then forgets
    /// them.
    pub(crate) fn silent_since(&self, before_ms: i64) -> impl Iterator<Item = C> {
        self.groups.values().flat_map(move |members| members.silent_since(before_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GROUPS_PER_CONNECTION_MAX;

    fn of(groups: &ProducerGroups<u32>, group: &str) -> Vec<u32> {
        groups.members(group).unwrap_or_default().iter().map(|member| member.conn).collect()
    }

    #[test]
    fn a_producer_is_known_from_its_heartbeat_until_it_leaves_or_its_connection_ends() {
        let mut groups = ProducerGroups::new(ClientLimits::default());
        for (group, conn) in [("p", 1), ("p", 2), ("p", 2), ("q", 2)] {
            groups.heartbeat(group, &Member::new(conn, "c"), 0).unwrap();
        }
        assert_eq!(of(&groups, "p"), [1, 2]);
        groups.leave("p", 1);
        assert_eq!((of(&groups, "p"), of(&groups, "q")), (vec![2], vec![2]));
        groups.close(2);
        assert!(groups.groups.is_empty() && groups.by_connection.is_empty());
    }

    #[test]
    fn a_client_is_found_by_what_it_calls_itself_on_its_newest_connection() {
        let mut groups = ProducerGroups::new(ClientLimits::default());
        let mut beat = |conn, client| {
            groups.heartbeat("p", &Member::new(conn, client), 0).unwrap();
        };
        beat(1, "a");
        beat(2, "b");
        beat(3, "a");
        assert_eq!(groups.connection_of("a"), Some(3));
        groups.close(1);
        assert_eq!(groups.connection_of("a"), Some(3), "the old connection's end changes nothing");
        groups.heartbeat("p", &Member::new(2, "c"), 0).unwrap();
        assert_eq!((groups.connection_of("b"), groups.connection_of("c")), (None, Some(2)));
        groups.leave("p", 3);
        groups.close(2);
        assert!(groups.by_client.is_empty() && groups.clients.is_empty());
    }

    #[test]
    fn silent_producers_are_named_for_the_caller_to_close() {
        let mut groups = ProducerGroups::new(ClientLimits::default());
        groups.heartbeat("p", &Member::new(1, "c"), 0).unwrap();
        groups.heartbeat("p", &Member::new(2, "c"), 1).unwrap();
        assert_eq!(groups.silent_since(0).count(), 0);
        assert_eq!(groups.silent_since(1).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_a_connection_is_remembered_for_is_bounded_and_refusals_leave_nothing() {
        let mut groups = ProducerGroups::new(ClientLimits::default());
        let member = Member::new(1, "c");
        for name in ["", "bad name", &"x".repeat(4 << 20)] {
            assert!(matches!(groups.heartbeat(name, &member, 0), Err(NotTaken::Name(_))));
        }
        let long = Member::new(1, &"c".repeat(4 << 20));
        assert_eq!(groups.heartbeat("p", &long, 0), Err(NotTaken::ClientId(4 << 20)));
        assert!(groups.groups.is_empty() && groups.by_connection.is_empty());
        for number in 0..GROUPS_PER_CONNECTION_MAX {
            groups.heartbeat(&format!("p{number}"), &member, 0).unwrap();
        }
        for _ in 0..2 {
            assert_eq!(groups.heartbeat("one-more", &member, 0), Err(NotTaken::ConnectionFull));
        }
        assert_eq!(groups.heartbeat("p0", &member, 0), Ok(()), "a known one is renewed");
        assert_eq!(groups.groups.len(), GROUPS_PER_CONNECTION_MAX);
        groups.heartbeat("one-more", &Member::new(2, "c"), 0).unwrap();
    }
}
