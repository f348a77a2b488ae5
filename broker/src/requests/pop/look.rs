//! NOTIFICATION 200054, PEEK_MESSAGE 200052 and POLLING_INFO 200055: look, and take nothing.

use super::checks;
use super::message::until;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::limits::POP_MESSAGES_MAX;
use crate::reads::pop_ask::{PopAsk, PopKind};
use crate::services::pop::{sources, take};
use crate::shard::{Cx, Shard};
use engine::{QueueOffset, ReadRequest, ReadSlices, ReadStatus, TagFilter};
use netcore::Net;
use protocol::codes::response;
use protocol::pop::Retry;
use protocol::remoting::CommandView;
use rt::Runtime as _;
use std::rc::Rc;

/// NOTIFICATION: answered when there is a message, or when its time is up.
pub(crate) fn notification(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let ext = &command.ext;
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let queue_id = ext.require_i32("queueId")?;
    let (poll_ms, born_ms) = (ext.require_i64("pollTime")?, ext.require_i64("bornTime")?);
    checks::broker_is_open(shard)?;
    let allowed = checks::topic_and_group(shard, &topic, queue_id, &group)?;
    let (kind, expression) = (ext.get("expType"), ext.get("exp"));
    let filter = checks::filter(shard, kind.as_deref(), expression.as_deref())?;
    let now_ms = shard.cx.now_ms();
    let born_ms = if born_ms == 0 { now_ms } else { born_ms };
    let ask = PopAsk {
        ticket,
        topic: allowed.topic,
        group: allowed.group,
        queue_id,
        kind: PopKind::Notification,
        filter,
        until_ms: until(poll_ms, born_ms, now_ms),
        order: ext.get_bool("order").unwrap_or(false),
        attempt_id: ext.get("attemptId").map(|id| (*id).into()),
    };
    take::begin(shard, net, ask);
    Ok(Done::Waits)
}

/// POLLING_INFO: how many pops of a group wait for a queue.
pub(crate) fn polling_info(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let ext = &command.ext;
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let queue_id = ext.require_i32("queueId")?;
    checks::broker_is_open(shard)?;
    let allowed = checks::topic_and_group(shard, &topic, queue_id, &group)?;
    let waiting = shard.reads.pops.count(&allowed.topic, &allowed.group, queue_id);
    let waiting = i64::try_from(waiting).expect("LONG_POLLS_MAX is far below");
    Ok(task(&shard.cx, move |_| async move { Ok(Reply::ok().number("pollingNum", waiting)) }))
}

/// PEEK_MESSAGE: messages that stay where they are. One of five looks into the retry topic first,
/// as Apache's does.
pub(crate) fn peek(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let ext = &command.ext;
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let queue_id = ext.require_i32("queueId")?;
    let messages_max = ext.require_i32("maxMsgNums")?.clamp(0, POP_MESSAGES_MAX);
    checks::broker_is_open(shard)?;
    let allowed = checks::topic_and_group(shard, &topic, queue_id, &group)?;
    let chance = shard.cx.core.random_u64() % 100;
    let v2 = shard.cx.options.process.pop.retry_v2;
    let retry = if v2 { Retry::V2 } else { Retry::V1 };
    let retry = retry.topic(&allowed.topic, &allowed.group);
    let mut queues = queues_of(shard, &allowed.topic, queue_id, chance);
    let of_retry = queues_of(shard, &retry, -1, chance);
    let at = if chance.is_multiple_of(5) { 0 } else { queues.len() };
    queues.splice(at..at, of_retry);
    let max = usize::try_from(messages_max).expect("not negative");
    Ok(task(&shard.cx, move |cx| async move { look(&cx, &allowed.group, &queues, max).await }))
}

/// The queues of a topic, from the one that chance says; the one that is asked for.
fn queues_of(shard: &Shard, topic: &str, queue_id: i32, chance: u64) -> Vec<(Rc<str>, i32)> {
    let Some(topic) = shard.tables.topics.get(topic) else { return vec![] };
    if queue_id >= 0 {
        return vec![(topic.name.clone(), queue_id)];
    }
    let queues = topic.config.read_queue_nums.max(0);
    let first = i32::try_from(chance).expect("below 100");
    (0..queues).map(|nth| (topic.name.clone(), (nth + first) % queues)).collect()
}

async fn look(
    cx: &Cx,
    group: &Rc<str>,
    queues: &[(Rc<str>, i32)],
    max: usize,
) -> Result<Reply, Refusal> {
    let (mut slices, mut bytes, mut messages, mut rest) = (vec![], 0, 0, 0);
    for (topic, queue_id) in queues {
        let from = cx.with(|shard, _| sources::peek_from(shard, topic, group, *queue_id));
        let range = cx.store.queue_range(topic, *queue_id).unwrap_or_default();
        rest += (range.max_offset.0 - from).max(0);
        if messages >= max {
            continue;
        }
        let found =
            read(cx, (topic, *queue_id), from.max(range.min_offset.0), max - messages).await?;
        messages += found.messages;
        bytes += found.bytes;
        slices.extend(found.slices);
    }
    let (code, status) = match messages {
        0 => (response::PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE"),
        _ => (response::SUCCESS, "FOUND"),
    };
    // Nothing was popped: Apache's answer has zeros here.
    let reply = Reply::ok().with_code(code, status).number("popTime", 0);
    let reply = reply.number("invisibleTime", 0).number("reviveQid", 0).number("restNum", rest);
    Ok(reply.slices(slices, bytes))
}

async fn read(
    cx: &Cx,
    (topic, queue_id): (&str, i32),
    from: i64,
    max: usize,
) -> Result<ReadSlices, Refusal> {
    let request = ReadRequest {
        topic,
        queue_id,
        offset: QueueOffset(from),
        max_messages: max,
        max_bytes: usize::MAX,
        filter: TagFilter::All,
        as_asked: false,
    };
    let mut found = ReadSlices::default();
    if cx.store.read(&request, &mut found) != ReadStatus::Cold {
        return Ok(found);
    }
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let Some(_place) = place else { return Ok(ReadSlices::default()) };
    let cold = cx.store.read_cold(request.to_owned()).await?;
    Ok(ReadSlices {
        slices: cold.slices,
        messages: cold.messages,
        bytes: cold.bytes,
        ..ReadSlices::default()
    })
}
