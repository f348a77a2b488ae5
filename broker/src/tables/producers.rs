//! Producer groups: which connections send for them. Transactions ask one of them, request-reply
//! finds a client by id; both come in later issues, `producerConnection` reads it now. Pure.

use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX};
use crate::tables::consumers::{MEMBER_MS, Member};
use std::collections::HashMap;

/// The producer groups of one shard.
#[derive(Debug)]
pub struct ProducerGroups<C> {
    groups: HashMap<String, Vec<(Member<C>, i64)>>,
}

impl<C> Default for ProducerGroups<C> {
    fn default() -> Self {
        Self { groups: HashMap::new() }
    }
}

impl<C: Copy + Eq> ProducerGroups<C> {
    /// Takes a heartbeat of a producer.
    pub fn heartbeat(&mut self, group: &str, member: &Member<C>, now_ms: i64) {
        if !self.groups.contains_key(group) {
            if self.groups.len() >= GROUPS_MAX {
                return;
            }
            self.groups.insert(group.to_owned(), vec![]);
        }
        let Some(members) = self.groups.get_mut(group) else { return };
        let full = members.len() >= GROUP_MEMBERS_MAX;
        match members.iter_mut().find(|(known, _)| known.conn == member.conn) {
            Some((_, seen_ms)) => *seen_ms = now_ms,
            None if full => {}
            None => members.push((member.clone(), now_ms)),
        }
    }

    /// Removes the producer on `conn`.
    pub fn leave(&mut self, group: &str, conn: C) {
        let Some(members) = self.groups.get_mut(group) else { return };
        members.retain(|(member, _)| member.conn != conn);
        if members.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Forgets producers that sent nothing for two minutes.
    pub fn expire(&mut self, now_ms: i64) {
        self.groups.retain(|_, members| {
            members.retain(|(_, seen_ms)| now_ms.saturating_sub(*seen_ms) <= MEMBER_MS);
            !members.is_empty()
        });
    }

    /// The producers of a group.
    pub fn members(&self, group: &str) -> impl Iterator<Item = &Member<C>> {
        self.groups.get(group).into_iter().flatten().map(|(member, _)| member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_known_from_its_heartbeat_until_it_leaves_or_falls_silent() {
        let mut groups = ProducerGroups::default();
        for conn in [1, 2, 2] {
            groups.heartbeat("p", &Member::new(conn, "c", 0, 1), 0);
        }
        assert_eq!(groups.members("p").count(), 2);
        groups.leave("p", 1);
        assert_eq!(groups.members("p").map(|member| member.conn).collect::<Vec<_>>(), [2]);
        groups.expire(MEMBER_MS + 1);
        assert_eq!(groups.members("p").count(), 0);
        assert!(groups.groups.is_empty());
    }
}
