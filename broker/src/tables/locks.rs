//! Queue locks of orderly consumers: which client of a group may consume a queue.
//!
//! A lock lives [`LOCK_MS`] after its owner last asked for it (clients ask every 20 s). An
//! unexpired lock of another client refuses; only the owner unlocks. Pure: the clock comes in as
//! `now_ms`. Bounded by `LOCKS_PER_GROUP_MAX` per group and by the groups that exist (the caller
//! checks that).

use crate::limits::{CLIENT_ID_BYTES_MAX, LOCKS_PER_GROUP_MAX};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// How long a lock lives without being asked for again.
const LOCK_MS: i64 = 60_000;

struct Lock {
    /// Shared by the locks of one request.
    client_id: Rc<str>,
    asked_ms: i64,
}

impl Lock {
    fn expired(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.asked_ms) > LOCK_MS
    }
}

/// The locks of one shard, by group and queue (`Q`: a MessageQueue).
pub(crate) struct QueueLocks<Q> {
    groups: HashMap<String, HashMap<Q, Lock>>,
}

impl<Q> Default for QueueLocks<Q> {
    fn default() -> Self {
        Self { groups: HashMap::new() }
    }
}

impl<Q: Eq + Hash + Clone> QueueLocks<Q> {
    /// Locks what it can of `queues` for `client_id` and returns those; none for a client id over
    /// [`CLIENT_ID_BYTES_MAX`].
    pub(crate) fn lock(
        &mut self,
        group: &str,
        client_id: &str,
        queues: &[Q],
        now_ms: i64,
    ) -> Vec<Q> {
        if client_id.len() > CLIENT_ID_BYTES_MAX {
            return vec![];
        }
        let client_id = Rc::from(client_id);
        let locks = self.groups.entry(group.to_owned()).or_default();
        let granted = queues
            .iter()
            .filter(|queue| lock_one(locks, queue, &client_id, now_ms))
            .cloned()
            .collect();
        if locks.is_empty() {
            self.groups.remove(group);
        }
        granted
    }

    /// Gives up the locks of `queues` that `client_id` owns.
    pub(crate) fn unlock(&mut self, group: &str, client_id: &str, queues: &[Q]) {
        let Some(locks) = self.groups.get_mut(group) else { return };
        for queue in queues {
            if locks.get(queue).is_some_and(|lock| *lock.client_id == *client_id) {
                locks.remove(queue);
            }
        }
        if locks.is_empty() {
            self.groups.remove(group);
        }
    }

    /// Whether the group holds a lock that has not expired: its consumers are orderly.
    pub(crate) fn any_held(&self, group: &str, now_ms: i64) -> bool {
        self.groups.get(group).is_some_and(|locks| locks.values().any(|lock| !lock.expired(now_ms)))
    }

    /// Forgets what has expired, so that groups that went away cost nothing.
    pub(crate) fn expire(&mut self, now_ms: i64) {
        self.groups.retain(|_, locks| {
            locks.retain(|_, lock| !lock.expired(now_ms));
            !locks.is_empty()
        });
    }
}

fn lock_one<Q: Eq + Hash + Clone>(
    locks: &mut HashMap<Q, Lock>,
    queue: &Q,
    client_id: &Rc<str>,
    now_ms: i64,
) -> bool {
    let full = locks.len() >= LOCKS_PER_GROUP_MAX;
    match locks.get_mut(queue) {
        Some(lock) if lock.client_id != *client_id && !lock.expired(now_ms) => false,
        Some(lock) => {
            *lock = Lock { client_id: client_id.clone(), asked_ms: now_ms };
            true
        }
        None if full => false,
        None => {
            locks.insert(queue.clone(), Lock { client_id: client_id.clone(), asked_ms: now_ms });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_locked_by_one_client_at_a_time() {
        let mut locks = QueueLocks::default();
        assert_eq!(locks.lock("g", "a", &[0, 1], 0), [0, 1]);
        assert_eq!(locks.lock("g", "b", &[1, 2], 1), [2]);
        assert_eq!(locks.lock("other", "b", &[1], 1), [1]);
        assert_eq!(locks.lock("g", "a", &[0, 1], 2), [0, 1]);
    }

    #[test]
    fn a_client_id_without_measure_locks_nothing() {
        let mut locks = QueueLocks::default();
        let long = "c".repeat(CLIENT_ID_BYTES_MAX + 1);
        assert!(locks.lock("g", &long, &[0, 1], 0).is_empty());
        assert!(locks.groups.is_empty());
        assert_eq!(locks.lock("g", &long[1..], &[0, 1], 0), [0, 1]);
    }

    #[test]
    fn a_lock_nobody_renews_passes_to_the_next() {
        let mut locks = QueueLocks::default();
        locks.lock("g", "a", &[0], 0);
        assert!(locks.lock("g", "b", &[0], LOCK_MS).is_empty());
        assert!(locks.any_held("g", LOCK_MS));
        assert!(!locks.any_held("g", LOCK_MS + 1));
        assert_eq!(locks.lock("g", "b", &[0], LOCK_MS + 1), [0]);
        assert!(locks.lock("g", "a", &[0], LOCK_MS + 2).is_empty());
    }

    #[test]
    fn only_the_owner_unlocks() {
        let mut locks = QueueLocks::default();
        locks.lock("g", "a", &[0], 0);
        locks.unlock("g", "b", &[0]);
        assert!(locks.lock("g", "b", &[0], 1).is_empty());
        locks.unlock("g", "a", &[0]);
        assert_eq!(locks.lock("g", "b", &[0], 1), [0]);
    }

    #[test]
    fn expired_locks_leave_nothing_behind() {
        let mut locks = QueueLocks::default();
        locks.lock("g", "a", &[0], 0);
        locks.expire(LOCK_MS + 1);
        assert!(locks.groups.is_empty());
    }
}
