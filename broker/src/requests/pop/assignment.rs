//! QUERY_ASSIGNMENT 400, SET_MESSAGE_REQUEST_MODE 401, GET_ALL_MESSAGE_REQUEST_MODE 402: the broker
//! says which queues a client consumes, and how (`QueryAssignmentProcessor`).
//!
//! The queues are those of all brokers of the topic, so a name server is asked for its route, which
//! is kept for some seconds. A broker without a name server knows its own queues.

use super::allocate::{Strategy, allocate, allocate_for_pop};
use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::peers::asked::Request;
use crate::requests::body;
use crate::shard::{Cx, Shard};
use protocol::bodies::{
    MessageModel, MessageQueue, MessageQueueAssignment, MessageRequestMode,
    QueryAssignmentRequestBody, QueryAssignmentResponseBody, SetMessageRequestMode, TopicRouteData,
    perm,
};
use protocol::codes::{request, response};
use protocol::remoting::{CommandView, ExtWriter};
use protocol::{json, names};
use std::rc::Rc;

/// A name server may take so long for a route, in milliseconds.
const ROUTE_MS: i64 = 3_000;

/// 401.
pub(crate) fn set(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let mode: SetMessageRequestMode = body::read(command)?;
    if names::is_retry_topic(&mode.topic) {
        let remark = "retry topic is not allowed to set mode";
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    if shard.tables.topics.get(&mode.topic).is_none() {
        let remark = format!("topic[{}] not exist", mode.topic);
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    }
    let now_ms = shard.cx.now_ms();
    if shard.tables.groups.find_or_create(&mode.consumer_group, now_ms).is_none() {
        let remark = "subscription group does not exist";
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    if !shard.tables.request_modes.set(mode) {
        let remark = "the broker knows the modes of too many groups and topics already";
        return Err(Refusal::new(response::SYSTEM_BUSY, remark));
    }
    Ok(task(&shard.cx, |_| async { Ok(Reply::ok()) }))
}

/// 402.
pub(crate) fn all(shard: &mut Shard, _: &CommandView<'_>) -> Result<Task, Refusal> {
    let body = json::to_fastjson(shard.tables.request_modes.wrapper());
    Ok(task(&shard.cx, |_| async { Ok(Reply::ok().bytes(body)) }))
}

/// 400. An answer without assignments means that the client goes on as before.
pub(crate) fn query(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let asked: QueryAssignmentRequestBody = body::read(command)?;
    Ok(task(&shard.cx, |cx| async move {
        let queues = queues_of(&cx, &asked.topic).await;
        let assignments = cx.with(|shard, _| assign(shard, &asked, queues));
        let body = QueryAssignmentResponseBody { message_queue_assignments: assignments };
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}

fn assign(
    shard: &Shard,
    asked: &QueryAssignmentRequestBody,
    queues: Option<Vec<MessageQueue>>,
) -> Option<Vec<MessageQueueAssignment>> {
    let mut all = queues?;
    let (mode, share) = mode_of(shard, &asked.topic, &asked.consumer_group);
    let is_shared = match asked.message_model {
        MessageModel::Broadcasting => false,
        MessageModel::Clustering => shard.cx.options.process.pop.balances,
        MessageModel::LiteSelective => return None,
    };
    if is_shared {
        let group = shard.tables.consumers.get(&asked.consumer_group)?;
        let strategy = Strategy::from_name(&asked.strategy_name)?;
        let mut clients: Vec<&str> =
            group.members().iter().map(|member| member.client_id.as_str()).collect();
        clients.sort_unstable();
        clients.dedup();
        all.sort_unstable_by(|one, other| {
            (&one.broker_name, one.queue_id).cmp(&(&other.broker_name, other.queue_id))
        });
        let client = asked.client_id.as_str();
        all = match mode {
            MessageRequestMode::Pop => allocate_for_pop(strategy, client, &all, &clients, share),
            MessageRequestMode::Pull => allocate(strategy, client, &all, &clients),
        };
    }
    let assignment = |message_queue| MessageQueueAssignment { message_queue, mode };
    Some(all.into_iter().map(assignment).collect())
}

/// How a group consumes a topic; retry topics are pulled.
fn mode_of(shard: &Shard, topic: &str, group: &str) -> (MessageRequestMode, i32) {
    if let Some(said) = shard.tables.request_modes.get(topic, group) {
        return (said.mode, said.pop_share_queue_num);
    }
    let options = shard.cx.options.process.pop;
    if names::is_retry_topic(topic) {
        (MessageRequestMode::Pull, 0)
    } else {
        (options.mode, options.share_queues)
    }
}

/// The queues of a topic that may be read, of all brokers; `None` when there is no such topic.
async fn queues_of(cx: &Cx, topic: &str) -> Option<Vec<MessageQueue>> {
    let now_ms = cx.now_ms();
    if let Some(queues) = cx.with(|shard, _| shard.peers.routes.fresh(topic, now_ms)) {
        return Some(queues.to_vec());
    }
    match asked_queues(cx, topic).await {
        Some(Some(queues)) => {
            let kept = Rc::from(&*queues);
            cx.with(|shard, _| shard.peers.routes.keep(topic, kept, now_ms));
            Some(queues)
        }
        Some(None) => None,
        None => cx.with(|shard, _| match shard.peers.routes.last(topic) {
            Some(queues) => Some(queues.to_vec()),
            None => own_queues(shard, topic),
        }),
    }
}

/// What a name server says; `None` when none answers.
async fn asked_queues(cx: &Cx, topic: &str) -> Option<Option<Vec<MessageQueue>>> {
    let awaited = cx.with(|shard, net| {
        let conn = shard.peers.name_servers.registered().next()?;
        let ext = |ext: &mut ExtWriter<'_>| ext.str("topic", topic);
        let request = Request { code: request::GET_ROUTEINFO_BY_TOPIC, ext: &ext, body: &[] };
        let deadline_ms = shard.cx.now_ms().saturating_add(ROUTE_MS);
        shard.peers.asked.ask_client(net, conn, deadline_ms, &request).ok()
    });
    let answer = awaited?.await.ok()?;
    let found = answer.code == response::SUCCESS;
    let route = found.then(|| json::from_lenient::<TopicRouteData>(&answer.body).ok()).flatten();
    Some(route.map(|route| readable(topic, &route)))
}

/// This broker's alone.
fn own_queues(shard: &Shard, topic: &str) -> Option<Vec<MessageQueue>> {
    let config = &shard.tables.topics.get(topic)?.config;
    let broker = &shard.cx.options.broker;
    let is_readable = config.perm & perm::READ != 0;
    let queues = if is_readable { config.read_queue_nums } else { 0 };
    Some(numbered(topic, broker, queues))
}

fn readable(topic: &str, route: &TopicRouteData) -> Vec<MessageQueue> {
    let open = route.queue_datas.iter().filter(|data| data.perm & perm::READ != 0);
    open.flat_map(|data| numbered(topic, &data.broker_name, data.read_queue_nums)).collect()
}

fn numbered(topic: &str, broker: &str, queues: i32) -> Vec<MessageQueue> {
    let queues = queues.min(crate::limits::QUEUES_PER_TOPIC_MAX);
    let queue = |queue_id| MessageQueue {
        topic: topic.to_owned(),
        broker_name: broker.to_owned(),
        queue_id,
    };
    (0..queues).map(queue).collect()
}
