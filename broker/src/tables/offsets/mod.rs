//! How far each group has consumed each queue, and `consumerOffset.json`; where a tool has set a
//! group that goes on somewhere else.
//!
//! ```text
//!   "topic@group" → queue id → offset of the next message
//!
//!   reset ─► committed, and kept ─► the group's next pull takes it: it is told to go on there
//!                               └─► until then commits of the queue are ignored
//! ```
//!
//! Pure. Keys are looked up through a reused buffer, so a commit of a known queue allocates
//! nothing. Bounded by topics × groups × queues, each of which has its limit: callers commit only
//! for topics, groups and queues that exist.

use protocol::bodies::{self, DataVersion};
use protocol::names::LMQ_PREFIX;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

/// The version is raised once for so many commits (`consumerOffsetUpdateVersionStep`), slaves
/// compare it.
const COMMITS_PER_VERSION: u64 = 500;

/// The queue of offsets that light groups (`%LMQ%…`, of MQTT) have in a table of their own.
const LIGHT_QUEUE: i32 = 0;

/// Offsets by queue id.
pub(crate) type ByQueue = BTreeMap<i32, i64>;

/// The consumer offsets of one shard.
#[derive(Debug, Default)]
pub(crate) struct ConsumerOffsets {
    table: HashMap<String, ByQueue>,
    /// What tools set and no pull has taken yet. Not saved: `table` has it too.
    resets: HashMap<String, ByQueue>,
    version: DataVersion,
    commits: u64,
    unsaved: bool,
    /// `enableLmq`: light groups have a table of their own in the file.
    splits_light: bool,
    key: String,
}

impl ConsumerOffsets {
    /// With `enableLmq` the file is Apache's `lmqConsumerOffset.json`.
    pub(crate) fn split_light(self) -> Self {
        Self { splits_light: true, ..self }
    }

    /// What `consumerOffset.json` holds.
    pub(crate) fn load(saved: bodies::ConsumerOffsets) -> Self {
        let light = saved.lmq_offset_table.into_iter().flatten();
        let light = light.map(|(key, offset)| (key, BTreeMap::from([(LIGHT_QUEUE, offset)])));
        Self {
            table: saved.offset_table.into_iter().chain(light).collect(),
            version: saved.data_version.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Takes over a master's offsets. What is committed here alone stays, as in Apache.
    pub(crate) fn follow(&mut self, master: bodies::ConsumerOffsets) {
        let version = master.data_version.unwrap_or_default();
        for (key, queues) in master.offset_table {
            if self.table.get(&key) != Some(&queues) {
                self.table.insert(key, queues);
                self.unsaved = true;
            }
        }
        self.version = version;
    }

    /// Stores how far `group` is in a queue; a negative offset (ali-ons sends −1 before it
    /// consumed) means nothing. False while a reset waits for the group's next pull: the client
    /// does not know of it yet, and its offset is ignored.
    pub(crate) fn commit(
        &mut self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
        now_ms: i64,
    ) -> bool {
        self.set_key(group, topic);
        if !self.resets.is_empty()
            && self.resets.get(&self.key).is_some_and(|queues| queues.contains_key(&queue_id))
        {
            return false;
        }
        if offset >= 0 {
            self.store(queue_id, offset, now_ms);
        }
        true
    }

    /// Under the key that is set.
    fn store(&mut self, queue_id: i32, offset: i64, now_ms: i64) {
        match self.table.get_mut(&self.key) {
            Some(queues) => _ = queues.insert(queue_id, offset),
            None => _ = self.table.insert(self.key.clone(), BTreeMap::from([(queue_id, offset)])),
        }
        self.touch(now_ms);
    }

    fn touch(&mut self, now_ms: i64) {
        self.unsaved = true;
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_VERSION) {
            self.version = self.version.next(now_ms);
        }
    }

    /// Sets where `group` goes on in a queue: its next pull takes it.
    pub(crate) fn reset(
        &mut self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: i64,
        now_ms: i64,
    ) {
        self.set_key(group, topic);
        self.resets.entry(self.key.clone()).or_default().insert(queue_id, offset);
        self.store(queue_id, offset, now_ms);
    }

    /// Where a pull of `group` is to go on, if a tool has set that since its last pull of the
    /// queue. It is told once.
    pub(crate) fn take_reset(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        if self.resets.is_empty() {
            return None;
        }
        self.set_key(group, topic);
        let queues = self.resets.get_mut(&self.key)?;
        let offset = queues.remove(&queue_id);
        if queues.is_empty() {
            self.resets.remove(&self.key);
        }
        offset
    }

    /// Where `group` is in a queue, if it ever said so.
    pub(crate) fn query(&mut self, group: &str, topic: &str, queue_id: i32) -> Option<i64> {
        self.set_key(group, topic);
        self.table.get(&self.key)?.get(&queue_id).copied()
    }

    /// Where `group` is in the queues of a topic.
    pub(crate) fn queues(&mut self, group: &str, topic: &str) -> Option<&ByQueue> {
        self.set_key(group, topic);
        self.table.get(&self.key)
    }

    /// The topics that `group` has offsets for.
    pub(crate) fn topics_of(&self, group: &str) -> BTreeSet<String> {
        let pairs = self.pairs().filter(|(_, of, _)| *of == group);
        pairs.map(|(topic, _, _)| topic.to_owned()).collect()
    }

    /// The groups that have offsets for a topic, with these.
    pub(crate) fn groups_of<'a>(
        &'a self,
        topic: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a ByQueue)> {
        let of_topic = self.pairs().filter(move |(of, _, _)| *of == topic);
        of_topic.map(|(_, group, queues)| (group, queues))
    }

    /// The topics that a group has offsets for, with these.
    pub(crate) fn of_group<'a>(
        &'a self,
        group: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a ByQueue)> {
        let of_group = self.pairs().filter(move |(_, of, _)| *of == group);
        of_group.map(|(topic, _, queues)| (topic, queues))
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str, &ByQueue)> {
        self.table.iter().filter_map(|(key, queues)| {
            let (topic, group) = key.split_once('@')?;
            Some((topic, group, queues))
        })
    }

    /// Sets `to` in a topic to where `from` is; false when `from` has no offsets there.
    pub(crate) fn copy(&mut self, from: &str, to: &str, topic: &str, now_ms: i64) -> bool {
        let Some(queues) = self.queues(from, topic).cloned() else { return false };
        self.set_key(to, topic);
        self.table.insert(self.key.clone(), queues);
        self.touch(now_ms);
        true
    }

    /// Forgets a deleted topic.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.forget(|key| key.split_once('@').is_some_and(|(of, _)| of == topic));
    }

    /// Forgets where a group is in one topic.
    pub(crate) fn forget_one(&mut self, group: &str, topic: &str) {
        self.set_key(group, topic);
        self.resets.remove(&self.key);
        self.unsaved |= self.table.remove(&self.key).is_some();
    }

    /// Pairs of topic and group.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Forgets a deleted group.
    pub(crate) fn forget_group(&mut self, group: &str) {
        self.forget(|key| key.split_once('@').is_some_and(|(_, of)| of == group));
    }

    fn forget(&mut self, which: impl Fn(&str) -> bool) {
        let before = self.table.len();
        self.table.retain(|key, _| !which(key));
        self.resets.retain(|key, _| !which(key));
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
        let is_light = |key: &str| {
            let group = key.split_once('@').map_or("", |(_, group)| group);
            self.splits_light && group.starts_with(LMQ_PREFIX)
        };
        let (light, own): (Vec<_>, Vec<_>) = self.table.iter().partition(|(key, _)| is_light(key));
        let light = light.into_iter().filter_map(|(key, queues)| {
            queues.get(&LIGHT_QUEUE).map(|offset| (key.clone(), *offset))
        });
        let own = own.into_iter().map(|(key, queues)| (key.clone(), queues.clone()));
        bodies::ConsumerOffsets {
            data_version: Some(self.version),
            lmq_offset_table: self.splits_light.then(|| light.collect()),
            offset_table: own.collect(),
        }
    }

    fn set_key(&mut self, group: &str, topic: &str) {
        self.key.clear();
        let _infallible = write!(self.key, "{topic}@{group}");
    }
}

#[cfg(test)]
mod tests;
