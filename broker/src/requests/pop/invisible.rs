//! CHANGE_MESSAGE_INVISIBLETIME 200053: a popped message comes again sooner or later than it would.

use super::ack::{no_message, of, queue, read};
use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::requests::lite::ack::{self as lite, Which};
use crate::services::pop::gather::Ready;
use crate::services::pop::storing::check_room;
use crate::services::pop::{ack, order};
use crate::shard::Shard;
use protocol::bodies::CheckPoint;
use protocol::pop::ORDER_REVIVE_QUEUE;
use protocol::remoting::CommandView;

/// A new checkpoint of the message alone, then the acknowledgement of its old one. A kill between
/// the two brings it twice.
pub(crate) fn change(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let ext = &command.ext;
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let (queue_id, offset) = (ext.require_i32("queueId")?, ext.require_i64("offset")?);
    let (receipt, invisible_ms) = (ext.require("extraInfo")?, ext.require_i64("invisibleTime")?);
    let suspend = ext.get_bool("suspend").unwrap_or(false);
    let range = queue(shard, &topic, queue_id)?;
    if let Some(child) = ext.get("liteTopic").filter(|child| !child.trim().is_empty()) {
        let (topic, group, child) = (&*topic, &*group, &*child);
        let which = Which { topic, child, group, queue_id, offset, receipt: &receipt };
        let reply = lite::change(shard, &which, (invisible_ms, suspend))?;
        return Ok(task(&shard.cx, |_| async { Ok(reply) }));
    }
    if !(range.min_offset.0..range.max_offset.0).contains(&offset) {
        return Err(no_message(&topic, queue_id, offset, range));
    }
    let receipt = read(shard, &receipt)?;
    let revive_queue = receipt.revive_queue;
    let now_ms = shard.cx.now_ms();
    if revive_queue == ORDER_REVIVE_QUEUE {
        let (at_ms, pop_time_ms) = (now_ms.saturating_add(invisible_ms), receipt.pop_time_ms);
        let at = (&*topic, &*group, queue_id);
        let is_out = order::visible_at(shard, at, (offset, pop_time_ms), at_ms);
        return Ok(task(&shard.cx, move |_| async move {
            Ok(if is_out {
                changed(pop_time_ms, at_ms.saturating_sub(pop_time_ms), revive_queue)
            } else {
                changed(0, 0, 0)
            })
        }));
    }
    let point = CheckPoint {
        broker: Some(receipt.broker.to_owned()),
        group: Some(group.to_string()),
        topic: Some(topic.to_string()),
        diffs: vec![0],
        messages: 1,
        invisible_ms,
        pop_time_ms: now_ms,
        queue_id,
        start_offset: offset,
        suspend,
        ..CheckPoint::default()
    };
    let of = of(&receipt, (&topic, &group, queue_id));
    let origin = Ready::new(of, offset);
    check_room(shard, 2)?;
    Ok(task(&shard.cx, move |cx| async move {
        ack::check_point(&cx, &point, revive_queue).await?;
        ack::ack(&cx, &origin).await?;
        Ok(changed(now_ms, invisible_ms, revive_queue))
    }))
}

fn changed(pop_time_ms: i64, invisible_ms: i64, revive_queue: i32) -> Reply {
    let reply = Reply::ok().number("popTime", pop_time_ms).number("invisibleTime", invisible_ms);
    reply.number("reviveQid", i64::from(revive_queue))
}
