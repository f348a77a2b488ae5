//! The queues that a pop looks into, and where its group is in each.
//!
//! The order is Apache's (`PopMessageProcessor`): one pop of five looks into the retry topic first,
//! the others last; both begin at a queue by chance.

use super::answer::wake_next;
use super::cursors::Key;
use super::order;
use crate::reads::pop_ask::PopAsk;
use crate::shard::Shard;
use engine::QueueOffset;
use protocol::pop::Retry;
use rt::Runtime as _;
use std::rc::Rc;

/// A queue to look into.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) key: Key,
    pub(super) retry: Retry,
}

/// Where a pop looks, in this order.
pub(super) fn plan(shard: &Shard, ask: &PopAsk) -> Vec<Source> {
    let options = shard.cx.options.process.pop;
    let chance = shard.cx.core.random_u64() % 100;
    let retry_first = chance < options.retry_first_percent;
    let retry = match (options.retry_v2, options.reads_v1_too && chance.is_multiple_of(2)) {
        (false, _) | (true, true) => Retry::V1,
        (true, false) => Retry::V2,
    };
    let mut sources = vec![];
    if retry_first && !ask.order {
        add(shard, ask, &mut sources, retry, chance);
    }
    add(shard, ask, &mut sources, Retry::No, chance);
    if !retry_first && !ask.order {
        add(shard, ask, &mut sources, retry, chance);
    }
    sources
}

/// All queues of a topic, from the one that chance says; the one that is asked for.
fn add(shard: &Shard, ask: &PopAsk, sources: &mut Vec<Source>, retry: Retry, chance: u64) {
    let topics = &shard.tables.topics;
    let topic = match retry {
        Retry::No => topics.get(&ask.topic),
        retry => topics.get(&retry.topic(&ask.topic, &ask.group)),
    };
    let Some(topic) = topic else { return };
    let source = |queue_id| {
        let (topic, group) = (topic.name.clone(), ask.group.clone());
        Source { key: Key { topic, group, queue_id }, retry }
    };
    if retry == Retry::No && ask.queue_id >= 0 {
        sources.push(source(ask.queue_id));
        return;
    }
    let queues = topic.config.read_queue_nums.max(0);
    let first = i32::try_from(chance).expect("below 100");
    sources.extend((0..queues).map(|nth| source((nth + first) % queues)));
}

/// Takes a queue for a pop; false when another reads it at this moment.
pub(super) fn take(shard: &mut Shard, source: &Source) -> bool {
    shard.services.pops.cursors.take(&source.key)
}

/// Gives it back. The pop that met it taken counted its messages as left: the next one is woken.
pub(super) fn give_back(shard: &mut Shard, ask: &PopAsk, source: &Source) {
    if shard.services.pops.cursors.give_back(&source.key) {
        wake_next(shard, ask);
    }
}

/// Messages that a group has not taken of a queue.
pub(super) fn left(shard: &mut Shard, key: &Key) -> i64 {
    let range = shard.cx.store.queue_range(&key.topic, key.queue_id).unwrap_or_default();
    let at = known(shard, key).unwrap_or(range.min_offset.0);
    (range.max_offset.0 - at).max(0)
}

/// Where the group is, if it ever was in this queue.
fn known(shard: &mut Shard, key: &Key) -> Option<i64> {
    let saved = shard.tables.offsets.query(&key.group, &key.topic, key.queue_id);
    saved.max(shard.services.pops.cursors.next(key))
}

/// The next message of a group in a queue; a group that was never there begins, and its place is
/// saved.
pub(super) fn next_message(shard: &mut Shard, source: &Source, begins_at_end: bool) -> i64 {
    let key = &source.key;
    let (group, topic, queue_id) = (&*key.group, &*key.topic, key.queue_id);
    if let Some(offset) = shard.tables.offsets.take_reset(group, topic, queue_id) {
        shard.services.pops.cursors.reset(key);
        shard.tables.pop_orders.clear(topic, group, queue_id);
        return offset;
    }
    if let Some(next) = known(shard, key) {
        return next;
    }
    let store = &shard.cx.store;
    let range = store.queue_range(topic, queue_id).unwrap_or_default();
    let (min, max) = (range.min_offset.0, range.max_offset.0);
    let in_memory = shard.cx.options.process.pop.begins_in_memory
        && min <= 0
        && store.is_hot(topic, queue_id, QueueOffset(0));
    let begin = match (source.retry, begins_at_end) {
        (Retry::V1 | Retry::V2, _) | (Retry::No, false) => min,
        (Retry::No, true) if in_memory => 0,
        // Apache begins at the last message, not behind it.
        (Retry::No, true) => (max - 1).max(0),
    };
    commit(shard, key, begin);
    begin
}

/// The group was where its queue has nothing: it goes on here.
pub(super) fn correct(shard: &mut Shard, key: &Key, next: i64) {
    shard.services.pops.cursors.reset(key);
    commit(shard, key, next);
}

/// Saves where the group goes on.
pub(super) fn commit(shard: &mut Shard, key: &Key, next: i64) {
    let now_ms = shard.cx.now_ms();
    shard.tables.offsets.commit(&key.group, &key.topic, key.queue_id, next, now_ms);
}

/// Whether a NOTIFICATION has news: Apache's `hasMsgFromQueue` of every queue.
pub(super) fn has_message(shard: &mut Shard, ask: &PopAsk) -> bool {
    let mut sources = vec![];
    let chance = shard.cx.core.random_u64() % 100;
    let options = shard.cx.options.process.pop;
    add(shard, ask, &mut sources, Retry::No, chance);
    add(shard, ask, &mut sources, Retry::V1, chance);
    if options.retry_v2 {
        add(shard, ask, &mut sources, Retry::V2, chance);
    }
    sources.iter().any(|source| {
        let is_blocked = ask.order && order::is_blocked(shard, ask, source.key.queue_id);
        !is_blocked && left(shard, &source.key) > 0
    })
}

/// What one may see without taking it: the first messages of a queue of this group.
pub(crate) fn peek_from(shard: &mut Shard, topic: &Rc<str>, group: &Rc<str>, queue_id: i32) -> i64 {
    let key = Key { topic: topic.clone(), group: group.clone(), queue_id };
    let range = shard.cx.store.queue_range(topic, queue_id).unwrap_or_default();
    known(shard, &key).unwrap_or(range.min_offset.0)
}
