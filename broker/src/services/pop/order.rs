//! Ordered pops: a queue of a group is blocked while its last messages are out. They have no
//! checkpoints; [`crate::tables::pop_orders`] knows them, and the group's saved offset stays at the
//! first that is not acknowledged.

use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::reads::pop_ask::PopAsk;
use crate::shard::Shard;
use crate::tables::pop_orders::{Committed, OrderedPop};
use protocol::codes::response;

/// Messages of one queue, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ordered<'a> {
    /// The queue.
    pub(super) queue_id: i32,
    /// The queue offset that the pop began at.
    pub(super) from: i64,
    /// Their own.
    pub(super) offsets: &'a [i64],
}

/// Whether this pop gets nothing of a queue now.
pub(super) fn is_blocked(shard: &Shard, ask: &PopAsk, queue_id: i32) -> bool {
    let at = (&*ask.topic, &*ask.group, queue_id);
    shard.tables.pop_orders.is_blocked(at, ask.attempt_id.as_deref(), shard.cx.now_ms())
}

/// They are handed out: the queue is blocked. False when no more queues can be.
pub(super) fn popped(
    shard: &mut Shard,
    ask: &PopAsk,
    ordered: Ordered<'_>,
    invisible_ms: i64,
    taken: &mut Taken,
) -> bool {
    let Ordered { queue_id, from, offsets } = ordered;
    let (topic, group) = (&*ask.topic, &*ask.group);
    let now_ms = shard.cx.now_ms();
    let pop = OrderedPop {
        attempt_id: ask.attempt_id.as_deref(),
        pop_time_ms: taken.pop_time_ms,
        invisible_ms,
        offsets,
    };
    let tables = &mut shard.tables;
    let at = (topic, group, queue_id);
    if !tables.pop_orders.popped(at, pop, now_ms, &mut taken.order_counts) {
        return false;
    }
    tables.offsets.commit(group, topic, queue_id, from, now_ms);
    wake_when_free(shard, topic, group, queue_id);
    true
}

/// A message is acknowledged. One that is behind the group's place is so already; one of an earlier
/// pop counts no more.
pub(crate) fn ack(
    shard: &mut Shard,
    (topic, group, queue_id): (&str, &str, i32),
    offset: i64,
    pop_time_ms: i64,
) -> Result<(), Refusal> {
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    let known = tables.offsets.query(group, topic, queue_id);
    if known.is_some_and(|known| offset < known) {
        return Ok(());
    }
    let at = (topic, group, queue_id);
    match tables.pop_orders.ack(at, offset, pop_time_ms) {
        Committed::Old => Ok(()),
        Committed::Unknown => {
            let remark = format!(
                "offset is illegal, key:{topic}@{group}@{queue_id}, old:{known:?}, \
                 commit:{offset}, next:-1"
            );
            Err(Refusal::new(response::MESSAGE_ILLEGAL, remark))
        }
        Committed::Next(next) => {
            tables.offsets.commit(group, topic, queue_id, next, now_ms);
            shard.services.pops.counts.acknowledged += 1;
            wake_if_free(shard, at);
            Ok(())
        }
    }
}

/// A message blocks its queue until `at_ms`. False when it is acknowledged already.
pub(crate) fn visible_at(
    shard: &mut Shard,
    (topic, group, queue_id): (&str, &str, i32),
    (offset, pop_time_ms): (i64, i64),
    at_ms: i64,
) -> bool {
    let known = shard.tables.offsets.query(group, topic, queue_id);
    if known.is_some_and(|known| offset < known) {
        return false;
    }
    let at = (topic, group, queue_id);
    shard.tables.pop_orders.visible_at(at, offset, pop_time_ms, at_ms);
    wake_when_free(shard, topic, group, queue_id);
    true
}

fn wake_when_free(shard: &mut Shard, topic: &str, group: &str, queue_id: i32) {
    if let Some(free_ms) = shard.tables.pop_orders.free_ms(topic, group, queue_id) {
        shard.services.pops.blocked.wake_at(free_ms, (topic, group, queue_id));
    }
}

/// Wakes the pops that wait for queues whose time is over.
pub(super) fn wake_freed(shard: &mut Shard) {
    let now_ms = shard.cx.now_ms();
    while let Some((topic, group, queue_id)) = shard.services.pops.blocked.next(now_ms) {
        wake_if_free(shard, (&topic, &group, queue_id));
    }
}

fn wake_if_free(shard: &mut Shard, at: (&str, &str, i32)) {
    if shard.tables.pop_orders.is_blocked(at, None, shard.cx.now_ms()) {
        return;
    }
    let (topic, group, queue_id) = at;
    let reads = &mut shard.reads;
    for queue_id in [-1, queue_id] {
        reads.pops.wake_next((topic, group), queue_id, &mut reads.woken_pops);
        reads.notifications.wake_next((topic, group), queue_id, &mut reads.woken_pops);
    }
}
