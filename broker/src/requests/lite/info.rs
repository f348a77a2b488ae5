//! What tools ask of lite topics: GET_BROKER_LITE_INFO 200074, GET_PARENT_TOPIC_INFO 200075,
//! GET_LITE_TOPIC_INFO 200076, GET_LITE_CLIENT_INFO 200077 (`LiteManagerProcessor`).

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::services::lite::{dispatch, groups, routes, sharding};
use crate::shard::Shard;
use engine::QueueOffset;
use protocol::bodies::{
    ClientGroup, GetBrokerLiteInfoResponseBody, GetLiteClientInfoResponseBody,
    GetLiteTopicInfoResponseBody, GetParentTopicInfoResponseBody, TopicOffset,
};
use protocol::codes::response;
use protocol::json;
use protocol::lite;
use protocol::remoting::CommandView;
use serde::Serialize;
use std::collections::HashSet;

/// Lite topics of one client in one answer.
const LISTED_MAX: i32 = 10_000;
/// How many where the request does not say it.
const LISTED: i32 = 1_000;

/// Counts as Java's ints have them.
fn count(of: usize) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

fn answered<T: Serialize>(shard: &Shard, body: &T) -> Task {
    let body = json::to_fastjson(body);
    task(&shard.cx, |_| async { Ok(Reply::ok().bytes(body)) })
}

/// 200074.
pub(crate) fn of_broker(shard: &mut Shard, _: &CommandView<'_>) -> Result<Task, Refusal> {
    let (tables, lite) = (&shard.tables, &shard.services.lite);
    let mut topics: HashSet<String> = HashSet::new();
    shard.cx.store.for_each_queue(|topic, _, _| {
        if !topics.contains(topic) {
            topics.insert(topic.to_owned());
        }
    });
    let body = GetBrokerLiteInfoResponseBody {
        cq_table_size: count(topics.len()),
        current_lmq_num: count(shard.cx.store.light_queues()),
        event_map_size: count(lite.events.clients()),
        group_meta: groups::groups_of_parents(tables),
        lite_subscription_count: count(lite.subscriptions.active()),
        max_lmq_num: shard.cx.options.process.lite.light_queues_max,
        offset_table_size: count(tables.offsets.len()),
        order_info_count: count(lite.orders.len()),
        store_type: "default".to_owned(),
        topic_meta: groups::parents(tables),
    };
    Ok(answered(shard, &body))
}

/// Refuses what is no parent topic.
fn check_parent(shard: &Shard, topic: &str) -> Result<(), Refusal> {
    if shard.tables.topics.get(topic).is_none() {
        let remark = format!("Topic [{topic}] not exist.");
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    }
    if !groups::is_parent(&shard.tables, topic) {
        let remark = format!("Topic [{topic}] type not match.");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    Ok(())
}

/// 200075.
pub(crate) fn of_parent(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let topic = command.ext.require("topic")?;
    check_parent(shard, &topic)?;
    let body = GetParentTopicInfoResponseBody {
        groups: groups::groups_of_parents(&shard.tables).remove(&*topic),
        lite_topic_count: count(dispatch::children(shard, &topic).len()),
        lmq_num: count(shard.cx.store.light_queues()),
        ttl: groups::expiration_minutes(&shard.tables, &topic),
        topic: topic.into_owned(),
    };
    Ok(answered(shard, &body))
}

/// 200076.
pub(crate) fn of_child(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let parent = command.ext.require("parentTopic")?.into_owned();
    check_parent(shard, &parent)?;
    let child = command.ext.require("liteTopic")?.into_owned();
    let queue = lite::queue(&parent, &child).unwrap_or_default();
    let subscriber = subscribers(shard, &parent, &queue);
    let range = shard.cx.store.queue_range(&queue, lite::QUEUE_ID).unwrap_or_default();
    Ok(task(&shard.cx, |cx| async move {
        let last = QueueOffset(range.max_offset.0 - 1);
        let last_ms = match range.max_offset.0 {
            0 => None,
            _ => cx.store.store_time_at(&queue, lite::QUEUE_ID, last).await?,
        };
        let brokers = sharding::brokers_of(&cx, &parent).await;
        let body = GetLiteTopicInfoResponseBody {
            sharding_to_broker: routes::is_here(&brokers, &cx.options.broker, &child),
            lite_topic: child,
            parent_topic: parent,
            subscriber,
            topic_offset: TopicOffset {
                last_update_timestamp: last_ms.unwrap_or(0),
                max_offset: range.max_offset.0,
                min_offset: range.min_offset.0,
            },
        };
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

/// Who has a queue; all clients of a group that has all children as one.
fn subscribers(shard: &Shard, parent: &str, queue: &str) -> Vec<ClientGroup> {
    let mut all = vec![];
    shard.services.lite.subscriptions.of_queue(parent, queue, &mut all);
    let name = |who: &crate::tables::lite_subscriptions::Subscriber| {
        let is_wildcard = groups::is_wildcard(&shard.tables, &who.group);
        let client_id = if is_wildcard { "*".to_owned() } else { who.client.to_string() };
        ClientGroup { client_id, group: who.group.to_string() }
    };
    let mut named: Vec<ClientGroup> = all.iter().map(name).collect();
    named.dedup();
    named
}

/// 200077.
pub(crate) fn of_client(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let parent = command.ext.require("parentTopic")?;
    check_parent(shard, &parent)?;
    let (group, client) = (command.ext.require("group")?, command.ext.require("clientId")?);
    let now_ms = shard.cx.now_ms();
    if shard.tables.groups.find_or_create(&group, now_ms).is_none() {
        let remark = format!("Group [{group}] not exist.");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if groups::bind_topic(&shard.tables, &group) != Some(&*parent) {
        let remark = format!("Subscription [{group}]-[{parent}] not match.");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let asked = command.ext.get_i32("maxCount")?.unwrap_or(LISTED).clamp(0, LISTED_MAX);
    let listed = usize::try_from(asked).expect("not negative");
    let lite = &shard.services.lite;
    let known = lite.subscriptions.client(&client);
    let body = GetLiteClientInfoResponseBody {
        group: group.into_owned(),
        last_access_time: lite.events.accessed_ms(&client).unwrap_or(-1),
        last_consume_time: 0,
        lite_topic_count: known.map_or(-1, |known| count(known.queues.len())),
        lite_topic_set: known
            .map(|known| known.queues.iter().take(listed).map(|queue| queue.to_string()).collect()),
        parent_topic: parent.into_owned(),
        client_id: client.into_owned(),
    };
    Ok(answered(shard, &body))
}
