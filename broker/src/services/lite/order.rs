//! Lite topics are consumed in order: a queue gives no more to a group while its last messages are
//! out. They have no checkpoints and no retry topic; the group's saved offset stays at the first
//! that is not acknowledged, and after a restart they come again from there.

use super::dispatch;
use super::state::QueueOfGroup;
use crate::answers::remoting::Refusal;
use crate::shard::Shard;
use crate::tables::pop_orders::{Committed, OrderedPop};
use protocol::codes::response;
use protocol::lite::QUEUE_ID;
use std::rc::Rc;

/// Whether an attempt gets nothing of a queue now.
pub(super) fn is_blocked(shard: &Shard, (queue, group): &QueueOfGroup, id: Option<&str>) -> bool {
    shard.services.lite.orders.is_blocked((queue, group, QUEUE_ID), id, shard.cx.now_ms())
}

/// Messages are handed out: their queue is blocked. How often each was delivered before, one number
/// after another; `None` when no more queues can be blocked.
pub(super) fn popped(shard: &mut Shard, at: &QueueOfGroup, pop: OrderedPop<'_>) -> Option<String> {
    let now_ms = shard.cx.now_ms();
    let (queue, group) = at;
    let (mut counts, messages) = (String::new(), pop.offsets.len());
    let orders = &mut shard.services.lite.orders;
    if !orders.popped((queue, group, QUEUE_ID), pop, now_ms, &mut counts) {
        return None;
    }
    wake_when_free(shard, at);
    Some(one_for_each(&counts, messages))
}

/// `transformOrderCountInfo`: one entry for each message, without that of the whole queue at the
/// end.
fn one_for_each(counts: &str, messages: usize) -> String {
    match counts.rsplit_once(';') {
        Some((of_messages, _)) => of_messages.to_owned(),
        None => {
            let mut parts = counts.split(' ');
            let of_queue = parts.nth(2).filter(|_| parts.next().is_none()).unwrap_or("0");
            vec![of_queue; messages].join(";")
        }
    }
}

/// A message is acknowledged. One that is behind the group's place is so already; one of an earlier
/// pop counts no more.
pub(crate) fn ack(
    shard: &mut Shard,
    queue: &str,
    group: &str,
    (offset, pop_time_ms): (i64, i64),
) -> Result<(), Refusal> {
    let known = shard.tables.offsets.query(group, queue, QUEUE_ID);
    if known.is_some_and(|known| offset < known) {
        return Ok(());
    }
    match shard.services.lite.orders.ack((queue, group, QUEUE_ID), offset, pop_time_ms) {
        Committed::Old => Ok(()),
        Committed::Unknown => Err(Refusal::new(response::MESSAGE_ILLEGAL, "ack offset illegal.")),
        Committed::Next(next) => {
            let now_ms = shard.cx.now_ms();
            shard.tables.offsets.commit(group, queue, QUEUE_ID, next, now_ms);
            shard.services.pops.counts.acknowledged += 1;
            let orders = &mut shard.services.lite.orders;
            if orders.free_ms(queue, group, QUEUE_ID).is_none() {
                orders.clear(queue, group, QUEUE_ID); // all is done: nothing to remember
            }
            tell_if_free(shard, &(Rc::from(queue), Rc::from(group)));
            Ok(())
        }
    }
}

/// A message blocks its queue until `at_ms`; `suspends`: all of its pop do, and the attempt does
/// not count. False when it is acknowledged already.
pub(crate) fn visible_at(
    shard: &mut Shard,
    queue: &str,
    group: &str,
    (offset, pop_time_ms): (i64, i64),
    (at_ms, suspends): (i64, bool),
) -> bool {
    let known = shard.tables.offsets.query(group, queue, QUEUE_ID);
    if known.is_some_and(|known| offset < known) {
        return false;
    }
    let (at, orders) = ((queue, group, QUEUE_ID), &mut shard.services.lite.orders);
    if suspends {
        orders.suspend(at, pop_time_ms, at_ms);
    } else {
        orders.visible_at(at, offset, pop_time_ms, at_ms);
    }
    wake_when_free(shard, &(Rc::from(queue), Rc::from(group)));
    true
}

/// Where a group goes on was set: what is out counts no more.
pub(super) fn clear(shard: &mut Shard, queue: &str, group: &str) {
    shard.services.lite.orders.clear(queue, group, QUEUE_ID);
}

fn wake_when_free(shard: &mut Shard, at: &QueueOfGroup) {
    let free_ms = shard.services.lite.orders.free_ms(&at.0, &at.1, QUEUE_ID);
    if let Some(free_ms) = free_ms {
        shard.services.lite.free_at(free_ms, at.clone());
    }
}

/// Tells the groups whose queues are free now.
pub(super) fn tell_freed(shard: &mut Shard) {
    let now_ms = shard.cx.now_ms();
    while let Some(at) = shard.services.lite.next_free(now_ms) {
        tell_if_free(shard, &at);
    }
}

fn tell_if_free(shard: &mut Shard, at: &QueueOfGroup) {
    let (queue, group) = at;
    let saved = shard.tables.offsets.query(group, queue, QUEUE_ID);
    let is_at_end = saved.is_some_and(|saved| saved >= dispatch::end_of(shard, queue));
    if !is_at_end && !is_blocked(shard, at, None) {
        dispatch::dispatch(shard, Some(group), queue, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_one_for_each_message() {
        assert_eq!(one_for_each("0 0 0", 3), "0;0;0");
        assert_eq!(one_for_each("0 0 2", 2), "2;2");
        assert_eq!(one_for_each("", 2), "0;0");
        assert_eq!(one_for_each("0 qo0%0 1;0 qo0%1 1;0 0 1", 2), "0 qo0%0 1;0 qo0%1 1");
    }
}
