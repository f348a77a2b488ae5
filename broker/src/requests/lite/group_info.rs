//! What tools ask of a group of lite topics: GET_LITE_GROUP_INFO 200078, how far it is behind;
//! TRIGGER_LITE_DISPATCH 200079, to look for its messages now.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::services::lite::{dispatch, groups};
use crate::shard::{Cx, Shard};
use engine::QueueOffset;
use futures_lite::future::yield_now;
use protocol::bodies::{GetLiteGroupInfoResponseBody, LiteLagInfo, OffsetWrapper};
use protocol::codes::response;
use protocol::json;
use protocol::lite;
use protocol::remoting::CommandView;
use std::cmp::Reverse;

/// Store times read before others run.
const TIMES_AT_ONCE: usize = 64;
/// Entries of one answer.
const TOP_MAX: i32 = 10_000;

/// The parent of a group; refuses a group of none.
fn parent_of(shard: &mut Shard, group: &str) -> Result<String, Refusal> {
    let now_ms = shard.cx.now_ms();
    if shard.tables.groups.find_or_create(group, now_ms).is_none() {
        let remark = format!("Group [{group}] not exist.");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let parent = groups::bind_topic(&shard.tables, group).filter(|parent| !parent.is_empty());
    parent.map(str::to_owned).ok_or_else(|| {
        let remark = format!("Group [{group}] is not a LITE group.");
        Refusal::new(response::INVALID_PARAMETER, remark)
    })
}

/// 200079.
pub(crate) fn trigger(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let group = command.ext.require("group")?;
    parent_of(shard, &group)?;
    match command.ext.get("clientId").filter(|client| !client.is_empty()) {
        Some(client) => dispatch::of_client(shard, &client, &group),
        None => dispatch::of_group(shard, &group),
    }
    Ok(task(&shard.cx, |_| async { Ok(Reply::ok()) }))
}

/// 200078: of one child, or of those where the group is behind most.
pub(crate) fn of_group(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let group = command.ext.require("group")?.into_owned();
    let parent = parent_of(shard, &group)?;
    let child = command.ext.get("liteTopic").filter(|child| !child.is_empty());
    let mut body = GetLiteGroupInfoResponseBody {
        earliest_unconsumed_timestamp: -1,
        parent_topic: parent.clone(),
        lite_topic: command.ext.get("liteTopic").map(|child| child.into_owned()),
        ..GetLiteGroupInfoResponseBody::default()
    };
    if let Some(child) = child {
        let queue = lite::queue(&parent, &child).unwrap_or_default();
        let end = dispatch::end_of(shard, &queue);
        let at = shard.tables.offsets.query(&group, &queue, lite::QUEUE_ID);
        body.group = group;
        return Ok(task(&shard.cx, move |cx| async move {
            of_child(&cx, &queue, (end, at), &mut body).await?;
            Ok(Reply::ok().bytes(json::to_fastjson(&body)))
        }));
    }
    let top = command.ext.get_i32("topK")?.unwrap_or(0);
    if top < 1 {
        // Java's queue of the first K refuses it with an exception.
        let remark = "java.lang.IllegalArgumentException: topK is at least 1";
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    let top = usize::try_from(top.min(TOP_MAX)).expect("at least 1");
    let mut behind = behind(shard, &group);
    body.group = group;
    body.total_lag_count = behind.iter().map(|(_, lag, _)| lag).sum();
    behind.sort_by_key(|(_, lag, _)| Reverse(*lag));
    behind.truncate(top);
    Ok(task(&shard.cx, move |cx| async move {
        let mut lags = vec![];
        for (nth, (queue, lag, at)) in behind.into_iter().enumerate() {
            if nth % TIMES_AT_ONCE == TIMES_AT_ONCE - 1 {
                yield_now().await;
            }
            lags.push(LiteLagInfo {
                earliest_unconsumed_timestamp: stored_ms(&cx, &queue, at).await?.unwrap_or(-1),
                lag_count: lag,
                lite_topic: lite::parts(&queue).map_or("", |(_, child)| child).to_owned(),
            });
        }
        body.lag_count_top_k = Some(lags);
        body.lag_timestamp_top_k = Some(vec![]); // filled with liteLagLatencyCollectEnable alone
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

/// The lite topics that a group is behind in: by how much, and where it is.
fn behind(shard: &Shard, group: &str) -> Vec<(String, i64, i64)> {
    let all = shard.tables.offsets.of_group(group);
    let all = all.filter(|(topic, _)| lite::is_queue(topic)).filter_map(|(topic, queues)| {
        let at = *queues.get(&lite::QUEUE_ID)?;
        let lag = dispatch::end_of(shard, topic) - at;
        (at >= 0 && lag > 0).then(|| (topic.to_owned(), lag, at))
    });
    all.collect()
}

async fn stored_ms(cx: &Cx, queue: &str, offset: i64) -> Result<Option<i64>, Refusal> {
    Ok(cx.store.store_time_at(queue, lite::QUEUE_ID, QueueOffset(offset)).await?)
}

async fn of_child(
    cx: &Cx,
    queue: &str,
    (end, at): (i64, Option<i64>),
    body: &mut GetLiteGroupInfoResponseBody,
) -> Result<(), Refusal> {
    if end <= 0 {
        body.total_lag_count = -1;
        return Ok(());
    }
    let Some(at) = at else { return Ok(()) };
    body.total_lag_count = end - at;
    body.earliest_unconsumed_timestamp = stored_ms(cx, queue, at).await?.unwrap_or(-1);
    let last_ms = if at > 0 { stored_ms(cx, queue, at - 1).await? } else { None };
    body.lite_topic_offset_wrapper = Some(OffsetWrapper {
        broker_offset: end,
        consumer_offset: at,
        last_timestamp: last_ms.unwrap_or(0),
        pull_offset: 0,
    });
    Ok(())
}
