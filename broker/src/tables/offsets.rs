//! How far each group has consumed each queue, and `consumerOffset.json`.
//!
//! ```text
//!   "topic@group" → queue id → offset of the next message
//! ```
//!
//! Pure. Keys are looked up through a reused buffer, so a commit of a known queue allocates
//! nothing. Bounded by topics × groups × queues, each of which has its limit: callers commit only
//! for topics, groups and queues that exist.

use protocol::bodies::{self, DataVersion};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// The version is raised once for so many commits (`consumerOffsetUpdateVersionStep`), slaves
/// compare it.
const COMMITS_PER_VERSION: u64 = 500;

/// The consumer offsets of one shard.
#[derive(Debug, Default)]
pub(crate) struct ConsumerOffsets {
    table: HashMap<String, BTreeMap<i32, i64>>,
    version: DataVersion,
    commits: u64,
    unsaved: bool,
    key: String,
}

impl ConsumerOffsets {
    /// What `consumerOffset.json` holds.
    pub(crate) fn load(saved: bodies::ConsumerOffsets) -> Self {
        Self {
            table: saved.offset_table.into_iter().collect(),
            version: saved.data_version.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Stores how far `group` is in a queue; a negative offset (ali-ons sends −1 before it
    /// consumed) means nothing.
    pub(crate) fn commit(
        &mut self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
        now_ms: i64,
    ) {
        if offset < 0 {
            return;
        }
        self.set_key(group, topic);
        match self.table.get_mut(&self.key) {
            Some(queues) => _ = queues.insert(queue_id, offset),
            None => _ = self.table.insert(self.key.clone(), BTreeMap::from([(queue_id, offset)])),
        }
        self.unsaved = true;
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_VERSION) {
            self.version = self.version.next(now_ms);
        }
    }

    /// Where `group` is in a queue, if it ever said so.
    pub(crate) fn query(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.set_key(group, topic);
        self.table.get(&self.key)?.get(&queue_id).copied()
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        let before = self.table.len();
        self.table.retain(|key, _| key.split_once('@').is_none_or(|(of, _)| of != topic));
        self.unsaved |= self.table.len() < before;
    }

    /// The table as the file has it, if anything changed since the last call.
    pub(crate) fn take_unsaved(&mut self) -> Option<bodies::ConsumerOffsets> {
        std::mem::take(&mut self.unsaved).then(|| self.wrapper())
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// The table as the file and GET_ALL_CONSUMER_OFFSET have it.
    pub(crate) fn wrapper(&self) -> bodies::ConsumerOffsets {
        let table = self.table.iter().map(|(key, queues)| (key.clone(), queues.clone()));
        bodies::ConsumerOffsets { data_version: Some(self.version), offset_table: table.collect() }
    }

    fn set_key(&mut self, group: &str, topic: &str) {
        self.key.clear();
        let _infallible = write!(self.key, "{topic}@{group}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_commit_counts_per_group_topic_and_queue() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "t", 0, 7, 1);
        offsets.commit("g", "t", 0, 5, 1);
        offsets.commit("g", "t", 1, 9, 1);
        offsets.commit("h", "t", 0, 1, 1);
        assert_eq!(
            [offsets.query("g", "t", 0), offsets.query("g", "t", 1), offsets.query("h", "t", 0)],
            [Some(5), Some(9), Some(1)]
        );
        assert_eq!(offsets.query("g", "u", 0), None);
    }

    #[test]
    fn a_negative_commit_is_no_commit() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "t", 0, -1, 1);
        assert_eq!(offsets.query("g", "t", 0), None);
        offsets.commit("g", "t", 0, 3, 1);
        offsets.commit("g", "t", 0, -1, 1);
        assert_eq!(offsets.query("g", "t", 0), Some(3));
    }

    #[test]
    fn a_restart_keeps_them_and_writes_only_what_changed() {
        let mut offsets = ConsumerOffsets::default();
        assert!(offsets.take_unsaved().is_none());
        offsets.commit("g", "t", 0, 7, 1);
        let mut after = ConsumerOffsets::load(offsets.take_unsaved().unwrap());
        assert!(offsets.take_unsaved().is_none());
        assert_eq!(after.query("g", "t", 0), Some(7));
    }

    #[test]
    fn a_deleted_topics_offsets_are_gone() {
        let mut offsets = ConsumerOffsets::default();
        offsets.commit("g", "t", 0, 7, 1);
        offsets.commit("g", "tt", 0, 8, 1);
        offsets.forget_topic("t");
        assert_eq!((offsets.query("g", "t", 0), offsets.query("g", "tt", 0)), (None, Some(8)));
    }
}
