//! Offsets: QUERY_CONSUMER_OFFSET 14, UPDATE_CONSUMER_OFFSET 15, GET_MAX_OFFSET 30, GET_MIN_OFFSET
//! 31, SEARCH_OFFSET_BY_TIMESTAMP 29, GET_EARLIEST_MSG_STORETIME 32.

use crate::answers::remoting::{Caller, Refusal};
use crate::shard::Shard;
use engine::{Boundary, QueueOffset, QueueRange};
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::CommandView;
use rt::{Priority, Runtime as _};

/// Where a group is in a queue. A group that never said so starts at 0 when the queue still has its
/// first message in memory; otherwise it is told that there is nothing, and decides by its own
/// settings.
pub(super) fn query(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let group = command.ext.require("consumerGroup")?;
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    if let Some(offset) = shard.offsets.query(&group, &topic, queue_id) {
        answer_offset(net, caller, offset);
        return Ok(());
    }
    if command.ext.get_bool("setZeroIfNotFound") == Some(false) {
        return Err(Refusal::new(
            response::QUERY_NOT_FOUND,
            "Not found, do not set to zero, maybe this group boot first",
        ));
    }
    let range = shard.store.queue_range(&topic, queue_id);
    let has_its_first =
        range.is_some_and(|range| range.min_offset.0 <= 0 && range.max_offset.0 > 0);
    let from_the_start = has_its_first && shard.store.is_hot(&topic, queue_id, QueueOffset(0));
    if from_the_start {
        answer_offset(net, caller, 0);
        return Ok(());
    }
    Err(Refusal::new(
        response::QUERY_NOT_FOUND,
        "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first",
    ))
}

/// How far a group is in a queue.
pub(super) fn update(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let group = command.ext.require("consumerGroup")?;
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    let offset = command.ext.require_i64("commitOffset")?;
    if shard.groups.get(&group).is_none() {
        return Err(Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("Group {group} not exist!"),
        ));
    }
    let Some(known) = shard.topics.get(&topic) else {
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
    let now_ms = shard.now_ms();
    shard.offsets.commit(&group, &topic, queue_id, offset, now_ms);
    caller.ok(net);
    Ok(())
}

/// The offset that the next message of a queue will get.
pub(super) fn max(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let range = range(shard, command)?;
    answer_offset(net, caller, range.map_or(0, |range| range.max_offset.0));
    Ok(())
}

/// The offset of the first message of a queue; of an unknown queue 0, as Apache answers it.
pub(super) fn min(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let range = range(shard, command)?;
    answer_offset(net, caller, range.map_or(0, |range| range.min_offset.0));
    Ok(())
}

fn range(shard: &Shard, command: &CommandView<'_>) -> Result<Option<QueueRange>, Refusal> {
    let topic = command.ext.require("topic")?;
    let queue_id = command.ext.require_i32("queueId")?;
    Ok(shard.store.queue_range(&topic, queue_id))
}

/// The offset at a time. May read the disk: answered by a task.
pub(super) fn by_time(
    shard: &mut Shard,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let queue_id = command.ext.require_i32("queueId")?;
    let timestamp_ms = command.ext.require_i64("timestamp")?;
    let upper = command
        .ext
        .get("boundaryType")
        .is_some_and(|boundary| boundary.eq_ignore_ascii_case("UPPER"));
    let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
    let store = shard.store.clone();
    let Some(network) = shard.network.clone() else { return Ok(()) };
    shard.core.spawn(Priority::Foreground, async move {
        let found = store.offset_by_time(&topic, queue_id, timestamp_ms, boundary).await;
        network.with(|shard, net| match found {
            Ok(offset) => answer_offset(net, caller, offset.0),
            Err(error) => read_failed(shard, net, caller, &error),
        });
    });
    Ok(())
}

/// When the first message of a queue was stored; −1 when there is none.
pub(super) fn earliest(
    shard: &mut Shard,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let queue_id = command.ext.require_i32("queueId")?;
    let range = shard.store.queue_range(&topic, queue_id);
    let store = shard.store.clone();
    let Some(network) = shard.network.clone() else { return Ok(()) };
    shard.core.spawn(Priority::Foreground, async move {
        let found = match range {
            Some(range) => store.store_time_at(&topic, queue_id, range.min_offset).await,
            None => Ok(None),
        };
        network.with(|shard, net| match found {
            Ok(timestamp_ms) => {
                caller.answer(
                    net,
                    response::SUCCESS,
                    None,
                    |ext| ext.int("timestamp", timestamp_ms.unwrap_or(-1)),
                    &[],
                );
            }
            Err(error) => read_failed(shard, net, caller, &error),
        });
    });
    Ok(())
}

/// A read that the disk or the log's state made impossible.
pub(super) fn read_failed(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    error: &engine::ReadError,
) {
    shard.blame(net.peer(caller.conn), &format_args!("a request failed: {error}"));
    caller.refuse(net, &Refusal::new(response::SYSTEM_ERROR, error.to_string()));
}

fn answer_offset(net: &mut Net, caller: Caller, offset: i64) {
    caller.answer(net, response::SUCCESS, None, |ext| ext.int("offset", offset), &[]);
}
