//! Who is in a group, and which groups a connection is in: for consumer and producer groups alike.
//! Pure; connections are any `C`.

use crate::limits::{CLIENT_ID_BYTES_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_CONNECTION_MAX};
use protocol::names::NameError;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::rc::Rc;

/// Why a heartbeat's member is not taken into a group.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// The group's name is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What the client calls itself is too long.
    #[error("its client id has {0} bytes, {CLIENT_ID_BYTES_MAX} are possible")]
    ClientId(usize),
    /// The group has as many members as it may.
    #[error("the group has {GROUP_MEMBERS_MAX} members already")]
    GroupFull,
    /// The connection is in as many groups of this kind as it may.
    #[error("the connection is in {GROUPS_PER_CONNECTION_MAX} groups already")]
    ConnectionFull,
    /// The shard has as many groups as it may.
    #[error("the broker has {0} producer groups already (groupsMax)")]
    BrokerFull(usize),
    /// The same, of consumer groups.
    #[error("the broker has {0} consumer groups already (groupsMax)")]
    TooManyGroups(usize),
    /// The shard has as many clients of this kind as it may.
    #[error("{0} connections are in groups already (clientsMax)")]
    TooManyClients(usize),
    /// It subscribes to more topics than a group may.
    #[error(
        "it subscribes to {found} topics, at most {max} are possible \
        (subscriptionsPerGroupMax)"
    )]
    TooManySubscriptions {
        /// To how many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}

impl NotTaken {
    /// Whether the client did nothing wrong, and was refused for what there is already.
    pub(crate) fn is_limit(&self) -> bool {
        !matches!(self, Self::Name(_) | Self::ClientId(_))
    }
}

/// One member of a group. A member is a connection (RocketMQ's channel).
#[derive(Clone, Debug)]
pub(crate) struct Member<C> {
    /// Its connection.
    pub(crate) conn: C,
    /// What it calls itself: `ip@instance`.
    pub(crate) client_id: String,
    /// Its library's language (`protocol::codes::language`).
    pub(crate) language: u8,
    /// Its library's version (`protocol::codes::version`).
    pub(crate) version: i32,
    /// When it sent its last heartbeat, in milliseconds since 1970.
    pub(crate) seen_ms: i64,
}

impl<C> Member<C> {
    /// A member as its heartbeat describes it.
    pub(crate) fn new(conn: C, client_id: &str) -> Self {
        Self { conn, client_id: client_id.to_owned(), language: 0, version: 0, seen_ms: 0 }
    }

    /// The same, of a library.
    pub(crate) fn speaking(self, language: u8, version: i32) -> Self {
        Self { language, version, ..self }
    }
}

/// The members of one group, found by connection: a heartbeat and an end cost the same however
/// many there are. Bounded by [`GROUP_MEMBERS_MAX`].
#[derive(Debug)]
pub(super) struct Members<C> {
    list: Vec<Member<C>>,
    /// Where each connection's member is in the list.
    places: HashMap<C, usize>,
}

impl<C> Default for Members<C> {
    fn default() -> Self {
        Self { list: vec![], places: HashMap::new() }
    }
}

impl<C: Copy + Eq + Hash> Members<C> {
    /// In no order.
    pub(super) fn list(&self) -> &[Member<C>] {
        &self.list
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes a heartbeat. Whether the member is new.
    pub(super) fn join(&mut self, member: &Member<C>, now_ms: i64) -> Result<bool, NotTaken> {
        if let Some(place) = self.places.get(&member.conn) {
            let known = &mut self.list[*place];
            known.seen_ms = now_ms;
            if known.client_id != member.client_id {
                known.client_id.clone_from(&member.client_id);
            }
            return Ok(false);
        }
        if self.list.len() >= GROUP_MEMBERS_MAX {
            return Err(NotTaken::GroupFull);
        }
        self.places.insert(member.conn, self.list.len());
        self.list.push(Member { seen_ms: now_ms, ..member.clone() });
        Ok(true)
    }

    /// Removes the member on `conn`; false when there is none.
    pub(super) fn leave(&mut self, conn: C) -> bool {
        let Some(place) = self.places.remove(&conn) else { return false };
        self.list.swap_remove(place);
        if let Some(moved) = self.list.get(place) {
            self.places.insert(moved.conn, place);
        }
        true
    }

    /// The connections of members that sent nothing since `before_ms`.
    pub(super) fn silent_since(&self, before_ms: i64) -> impl Iterator<Item = C> {
        let stale = move |member: &&Member<C>| member.seen_ms < before_ms;
        self.list.iter().filter(stale).map(|member| member.conn)
    }
}

/// The groups that each connection is in, so that its end costs only what it took part in.
/// A connection is in [`GROUPS_PER_CONNECTION_MAX`] at most.
#[derive(Debug)]
pub(super) struct GroupsByConnection<C>(HashMap<C, HashSet<Rc<str>>>);

impl<C> Default for GroupsByConnection<C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<C: Copy + Eq + Hash> GroupsByConnection<C> {
    /// Whether `member` may come into `group`, as far as that concerns its connection: one of
    /// `clients_max`.
    pub(super) fn check(
        &self,
        member: &Member<C>,
        group: &str,
        clients_max: usize,
    ) -> Result<(), NotTaken> {
        if member.client_id.len() > CLIENT_ID_BYTES_MAX {
            return Err(NotTaken::ClientId(member.client_id.len()));
        }
        match self.0.get(&member.conn) {
            Some(of) if of.len() >= GROUPS_PER_CONNECTION_MAX && !of.contains(group) => {
                Err(NotTaken::ConnectionFull)
            }
            None if self.0.len() >= clients_max => Err(NotTaken::TooManyClients(clients_max)),
            _ => Ok(()),
        }
    }

    pub(super) fn insert(&mut self, conn: C, group: &Rc<str>) {
        self.0.entry(conn).or_default().insert(group.clone());
    }

    pub(super) fn remove(&mut self, conn: C, group: &str) {
        let Some(groups) = self.0.get_mut(&conn) else { return };
        groups.remove(group);
        if groups.is_empty() {
            self.0.remove(&conn);
        }
    }

    /// Whether `conn` is in any.
    pub(super) fn has(&self, conn: C) -> bool {
        self.0.contains_key(&conn)
    }

    /// The groups of `conn`.
    pub(super) fn of(&self, conn: C) -> Vec<Rc<str>> {
        self.0.get(&conn).into_iter().flatten().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn members_are_found_by_connection_whoever_left_before() {
        let mut members = Members::default();
        for conn in 0..10 {
            assert_eq!(members.join(&Member::new(conn, "c"), 0), Ok(true));
        }
        for conn in [0, 9, 4] {
            assert!(members.leave(conn) && !members.leave(conn));
        }
        assert_eq!(members.join(&Member::new(7, "other"), 500_000), Ok(false));
        assert_eq!(members.list().iter().filter(|member| member.client_id == "other").count(), 1);
        let silent: BTreeSet<_> = members.silent_since(500_000).collect();
        assert_eq!(silent, BTreeSet::from([1, 2, 3, 5, 6, 8]));
        silent.into_iter().chain([7]).for_each(|conn| assert!(members.leave(conn)));
        assert!(members.is_empty() && members.places.is_empty());
    }

    #[test]
    fn a_full_group_takes_nobody_in() {
        let mut members = Members::default();
        for conn in 0..GROUP_MEMBERS_MAX {
            members.join(&Member::new(conn, "c"), 0).unwrap();
        }
        assert_eq!(members.join(&Member::new(GROUP_MEMBERS_MAX, "c"), 0), Err(NotTaken::GroupFull));
        assert_eq!(members.join(&Member::new(0, "c"), 0), Ok(false), "a known one stays");
    }
}
