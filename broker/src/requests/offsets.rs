//! Offsets: QUERY_CONSUMER_OFFSET 14, UPDATE_CONSUMER_OFFSET 15, GET_MAX_OFFSET 30, GET_MIN_OFFSET
//! 31, SEARCH_OFFSET_BY_TIMESTAMP 29, GET_EARLIEST_MSG_STORETIME 32.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::shard::Shard;
use engine::{Boundary, QueueRange};
use netcore::Net;
use protocol::codes::response;
use protocol::lite;
use protocol::remoting::CommandView;

/// Where a group is in a queue. A group that never said so starts at 0 while the queue still has
/// its first message; otherwise it is told that there is nothing, and decides by its own settings.
///
/// Apache asks too whether that message is in memory, and on JDK 17 the answer is always yes
/// (`MappedFile.isLoaded` has nothing to go by): so a group's start depends on no restart.
pub(crate) fn query(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let group = command.ext.require("consumerGroup")?;
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    if let Some(offset) = shard.tables.offsets.query(&group, &topic, queue_id) {
        return Ok(answer_offset(net, ticket, offset));
    }
    if command.ext.get_bool("setZeroIfNotFound") == Some(false) {
        return Err(Refusal::new(
            response::QUERY_NOT_FOUND,
            "Not found, do not set to zero, maybe this group boot first",
        ));
    }
    let range = shard.cx.store.queue_range(&topic, queue_id);
    if range.is_some_and(|range| range.min_offset.0 <= 0 && range.max_offset.0 > 0) {
        return Ok(answer_offset(net, ticket, 0));
    }
    Err(Refusal::new(
        response::QUERY_NOT_FOUND,
        "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
    ))
}

/// How far a group is in a queue.
pub(crate) fn update(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let group = command.ext.require("consumerGroup")?;
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    let offset = command.ext.require_i64("commitOffset")?;
    if shard.tables.groups.get(&group).is_none() {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("Group {group} not exist!"),
        ));
    }
    let Some(known) = shard.tables.topics.get(&topic) else {
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, format!("Topic {topic} not exist!")));
    };
    // Apache takes any queue id; a table that a peer can fill without end is not kept here.
    let queues = known.config.read_queue_nums.max(known.config.write_queue_nums);
    if queue_id < 0 || queue_id >= queues {
        return Err(Refusal::new(
            response::INVALID_PARAMETER,
            format!("queueId[{queue_id}] is illegal, topic {topic} has {queues} queues"),
        ));
    }
    let now_ms = shard.cx.now_ms();
    if shard.tables.offsets.commit(&group, &topic, queue_id, offset, now_ms) {
        ticket.ok(net);
    } else {
        let remark = "Offset has been previously reset";
        ticket.answer(net, response::SUCCESS, Some(remark), |_| {}, &[]);
    }
    Ok(Done::Answered)
}

/// The offset that the next message of a queue will get.
pub(crate) fn max(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let range = range(shard, command)?;
    Ok(answer_offset(net, ticket, range.map_or(0, |range| range.max_offset.0)))
}

/// The offset of the first message of a queue; of an unknown queue 0, as Apache answers it.
pub(crate) fn min(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let range = range(shard, command)?;
    Ok(answer_offset(net, ticket, range.map_or(0, |range| range.min_offset.0)))
}

fn range(shard: &Shard, command: &CommandView<'_>) -> Result<Option<QueueRange>, Refusal> {
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    Ok(shard.cx.store.queue_range(&topic, queue_id))
}

/// The offset at a time. It may read the disk.
pub(crate) fn by_time(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let mut topic = command.ext.require("topic")?.into_owned();
    let queue_id = command.ext.require_i32("queueId")?;
    if let Some(child) = command.ext.get("liteTopic").filter(|child| !child.trim().is_empty()) {
        topic = lite::queue(&topic, &child).unwrap_or(topic);
    }
    let timestamp_ms = command.ext.require_i64("timestamp")?;
    let boundary = command.ext.get("boundaryType");
    let is_upper = boundary.is_some_and(|boundary| boundary.eq_ignore_ascii_case("UPPER"));
    let boundary = if is_upper { Boundary::Upper } else { Boundary::Lower };
    Ok(task(&shard.cx, |cx| async move {
        let found = cx.store.offset_by_time(&topic, queue_id, timestamp_ms, boundary).await?;
        Ok(Reply::ok().number("offset", found.0))
    }))
}

/// When the first message of a queue was stored; −1 when there is none.
pub(crate) fn earliest(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let queue_id = command.ext.require_i32("queueId")?;
    let range = shard.cx.store.queue_range(&topic, queue_id);
    Ok(task(&shard.cx, |cx| async move {
        let stored_ms = match range {
            Some(range) => cx.store.store_time_at(&topic, queue_id, range.min_offset).await?,
            None => None,
        };
        Ok(Reply::ok().number("timestamp", stored_ms.unwrap_or(-1)))
    }))
}

fn answer_offset(net: &mut Net, ticket: Ticket, offset: i64) -> Done {
    ticket.answer(net, response::SUCCESS, None, |ext| ext.int("offset", offset), &[]);
    Done::Answered
}
