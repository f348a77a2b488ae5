//! ACK_MESSAGE 200051 and CHANGE_MESSAGE_INVISIBLETIME 200053 of a message of a lite topic: with
//! the field `liteTopic` (`AckMessageProcessor.ackLite`, `processChangeInvisibleTimeForLite`).

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::services::lite::{dispatch, groups, order};
use crate::shard::Shard;
use protocol::codes::response;
use protocol::lite;
use protocol::pop::{ORDER_REVIVE_QUEUE, Receipt};

/// Which message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which<'a> {
    /// The parent topic.
    pub(crate) topic: &'a str,
    /// The child.
    pub(crate) child: &'a str,
    /// The group.
    pub(crate) group: &'a str,
    /// The queue that the request names.
    pub(crate) queue_id: i32,
    /// Its offset in the child's queue.
    pub(crate) offset: i64,
    /// With what it came, as text.
    pub(crate) receipt: &'a str,
}

fn invalid(remark: &str) -> Refusal {
    Refusal::new(response::INVALID_PARAMETER, remark)
}

fn receipt(text: &str) -> Result<Receipt<'_>, Refusal> {
    Receipt::parse(text).map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))
}

fn queue_of(shard: &Shard, which: &Which<'_>, remark: &str) -> Result<String, Refusal> {
    let queue = lite::queue(which.topic, which.child).unwrap_or_default();
    if which.offset > dispatch::end_of(shard, &queue) {
        return Err(Refusal::new(response::NO_MESSAGE, remark));
    }
    Ok(queue)
}

/// It is consumed.
pub(crate) fn ack(shard: &mut Shard, which: &Which<'_>) -> Result<(), Refusal> {
    if groups::bind_topic(&shard.tables, which.group) != Some(which.topic) {
        return Err(invalid("group type or bind topic not match."));
    }
    let queue = queue_of(shard, which, "ack offset illegal.")?;
    let receipt = receipt(which.receipt)?;
    if which.queue_id != lite::QUEUE_ID || receipt.revive_queue != ORDER_REVIVE_QUEUE {
        return Err(invalid("ack queue illegal."));
    }
    let message = (which.offset, receipt.pop_time_ms);
    order::ack(shard, &queue, which.group, message)
}

/// It comes again after another time; `suspends`: with all that came with it.
pub(crate) fn change(
    shard: &mut Shard,
    which: &Which<'_>,
    (invisible_ms, suspends): (i64, bool),
) -> Result<Reply, Refusal> {
    let queue = queue_of(shard, which, "offset illegal.")?;
    let receipt = receipt(which.receipt)?;
    let (now_ms, pop_time_ms) = (shard.cx.now_ms(), receipt.pop_time_ms);
    let at_ms = now_ms.saturating_add(invisible_ms);
    let message = (which.offset, pop_time_ms);
    let is_out = order::visible_at(shard, &queue, which.group, message, (at_ms, suspends));
    let (pop_time_ms, invisible_ms, revive_queue) = if is_out {
        (pop_time_ms, at_ms.saturating_sub(pop_time_ms), receipt.revive_queue)
    } else {
        (0, 0, 0)
    };
    let reply = Reply::ok().number("popTime", pop_time_ms).number("invisibleTime", invisible_ms);
    Ok(reply.number("reviveQid", i64::from(revive_queue)))
}
