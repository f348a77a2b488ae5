//! Questions that a client answers, by way of the broker: GET_CONSUMER_RUNNING_INFO 307,
//! CONSUME_MESSAGE_DIRECTLY 309, INVOKE_BROKER_TO_GET_CONSUMER_STATUS 223 (which asks 221).
//!
//! ```text
//!   tool ──307──► broker ──307──► client
//!        ◄─ body, as it came ─┘◄──┘            or: not online 1, no answer in time 207
//! ```
//!
//! Only fields that the request is known to have are passed on. How many clients may be asked at
//! once is bounded, for each connection too (`peers::asked`).

use crate::answers::remoting::{Refusal, too_many_reads};
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::peers::answer::{ClientAnswer, NoAnswer};
use crate::peers::asked::Request;
use crate::shard::{Cx, Shard};
use engine::PhyOffset;
use netcore::ConnId;
use protocol::bodies::GetConsumerStatusBody;
use protocol::codes::version::{V3_0_7_SNAPSHOT, V3_1_8_SNAPSHOT};
use protocol::codes::{request, response};
use protocol::ids::OffsetMsgId;
use protocol::json;
use protocol::remoting::{CommandView, ExtWriter};
use rt::BufSlice;

/// How long a client has for its answer (`Broker2Client.callClient`).
const ANSWER_MS: i64 = 10_000;
/// The same, for where it is (221).
const STATUS_ANSWER_MS: i64 = 5_000;

/// A consumer that a tool names by its group and its own name.
struct Asked {
    group: String,
    client_id: String,
    conn: ConnId,
}

impl Asked {
    fn find(shard: &Shard, command: &CommandView<'_>) -> Result<Self, Refusal> {
        let group = command.ext.require("consumerGroup")?.into_owned();
        let client_id = command.ext.get("clientId").unwrap_or_default().into_owned();
        let error = |remark: String| Err(Refusal::new(response::SYSTEM_ERROR, remark));
        let known = shard.tables.consumers.get(&group);
        let Some(member) = known.and_then(|group| group.member(&client_id)) else {
            return error(format!("The Consumer <{group}> <{client_id}> not online"));
        };
        if member.version < V3_1_8_SNAPSHOT {
            return error(format!(
                "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to \
                 V3_1_8_SNAPSHOT",
                member.version
            ));
        }
        let conn = member.conn;
        Ok(Self { group, client_id, conn })
    }

    /// Asks it, and passes its answer on.
    async fn ask(&self, cx: &Cx, request: &Request<'_>) -> Result<Reply, Refusal> {
        match ask(cx, self.conn, ANSWER_MS, request).await {
            Ok(answer) => Ok(Reply::passed_on(answer)),
            Err(why) => Err(self.no_answer(why)),
        }
    }

    /// In Apache's words.
    fn no_answer(&self, why: NoAnswer) -> Refusal {
        let Self { group, client_id, .. } = self;
        match why {
            NoAnswer::Late => Refusal::new(
                response::CONSUME_MSG_TIMEOUT,
                format!("consumer <{group}> <{client_id}> Timeout: {why} ({ANSWER_MS} ms)"),
            ),
            NoAnswer::TooMany => Refusal::new(
                response::SYSTEM_BUSY,
                format!("[OVERLOAD]consumer <{group}> <{client_id}> is not asked: {why}"),
            ),
            NoAnswer::Gone => Refusal::new(
                response::SYSTEM_ERROR,
                format!("invoke consumer <{group}> <{client_id}> Exception: {why}"),
            ),
        }
    }
}

async fn ask(
    cx: &Cx,
    conn: ConnId,
    answer_ms: i64,
    request: &Request<'_>,
) -> Result<ClientAnswer, NoAnswer> {
    let awaited = cx.with(|shard, net| {
        let deadline_ms = shard.cx.now_ms().saturating_add(answer_ms);
        shard.peers.asked.ask_client(net, conn, deadline_ms, request)
    })?;
    awaited.await
}

/// What a consumer says of itself: queues, rates, threads.
pub(crate) fn running_info(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let asked = Asked::find(shard, command)?;
    let with_threads = command.ext.get_bool("jstackEnable") == Some(true);
    Ok(task(&shard.cx, move |cx| async move {
        let ext = |ext: &mut ExtWriter<'_>| {
            ext.str("consumerGroup", &asked.group);
            ext.str("clientId", &asked.client_id);
            ext.bool("jstackEnable", with_threads);
        };
        let code = request::GET_CONSUMER_RUNNING_INFO;
        asked.ask(&cx, &Request { code, ext: &ext, body: &[] }).await
    }))
}

/// Has a consumer handle one message now, whatever it is doing: the message goes with the request,
/// the verdict comes back. Nothing of it is committed.
pub(crate) fn consume_directly(
    shard: &mut Shard,
    command: &CommandView<'_>,
) -> Result<Task, Refusal> {
    let id = command.ext.get("msgId").unwrap_or_default().into_owned();
    let at = OffsetMsgId::parse(&id).map_err(|error| {
        Refusal::new(response::SYSTEM_ERROR, format!("msgId {id:?} is no offset id: {error}"))
    })?;
    let asked = Asked::find(shard, command)?;
    let topic = command.ext.get("topic");
    let topic = topic.and_then(|topic| shard.tables.topics.get(&topic));
    let topic = topic.map(|topic| (topic.name.clone(), topic.config.topic_sys_flag));
    let group = shard.tables.groups.get(&asked.group);
    let group_sys_flag = group.map(|group| group.config.group_sys_flag);
    Ok(task(&shard.cx, move |cx| async move {
        let record = message(&cx, at.physical_offset).await?;
        let broker = cx.options.broker.clone();
        let ext = |ext: &mut ExtWriter<'_>| {
            ext.str("consumerGroup", &asked.group);
            ext.str("clientId", &asked.client_id);
            ext.str("msgId", &id);
            ext.str("brokerName", &broker);
            if let Some((topic, sys_flag)) = &topic {
                ext.str("topic", topic);
                ext.int("topicSysFlag", *sys_flag);
            }
            if let Some(sys_flag) = group_sys_flag {
                ext.int("groupSysFlag", sys_flag);
            }
        };
        let code = request::CONSUME_MESSAGE_DIRECTLY;
        asked.ask(&cx, &Request { code, ext: &ext, body: &record }).await
    }))
}

/// The record at a place of the log; a place among the reads from disk while it is read.
pub(super) async fn message(cx: &Cx, offset: i64) -> Result<BufSlice, Refusal> {
    let not_found = || {
        let remark = format!("can not find message by the offset, {offset}");
        Refusal::new(response::SYSTEM_ERROR, remark)
    };
    let at = u64::try_from(offset).map_err(|_| not_found())?;
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let _place = place.ok_or_else(too_many_reads)?;
    cx.store.message_at(PhyOffset(at)).await?.ok_or_else(not_found)
}

/// Where the clients of a group are in the queues of a topic, by what they say themselves.
pub(crate) fn status(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let topic = command.ext.require("topic")?.into_owned();
    let name = command.ext.require("group")?.into_owned();
    let only = command.ext.get("clientAddr").unwrap_or_default().into_owned();
    let error = |remark: String| Err(Refusal::new(response::SYSTEM_ERROR, remark));
    let Some(group) = shard.tables.consumers.get(&name) else {
        return error(format!("No Any Consumer online in the consumer group: [{name}]"));
    };
    if let Some(old) = group.members().iter().find(|member| member.version < V3_0_7_SNAPSHOT) {
        let version = old.version;
        return error(format!("the client does not support this feature. version={version}"));
    }
    if shard.tables.topics.get(&topic).is_none() {
        return Err(Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("No topic in this broker. topic: {topic}"),
        ));
    }
    let members = group.members().iter();
    let members = members.filter(|member| only.trim().is_empty() || member.client_id == only);
    let members: Vec<_> = members.map(|member| (member.client_id.clone(), member.conn)).collect();
    Ok(task(&shard.cx, move |cx| async move {
        let mut body = GetConsumerStatusBody::default();
        for (client_id, conn) in members {
            let ext = |ext: &mut ExtWriter<'_>| {
                ext.str("topic", &topic);
                ext.str("group", &name);
            };
            let code = request::GET_CONSUMER_STATUS_FROM_CLIENT;
            let request = Request { code, ext: &ext, body: &[] };
            // A client that does not answer is left out, as Apache does.
            let Ok(answer) = ask(&cx, conn, STATUS_ANSWER_MS, &request).await else { continue };
            if answer.code != response::SUCCESS || answer.body.is_empty() {
                continue;
            }
            match json::from_lenient::<GetConsumerStatusBody>(&answer.body) {
                Ok(status) => _ = body.consumer_table.insert(client_id, status.message_queue_table),
                Err(error) => {
                    tracing::warn!("client {client_id} says where it is, unreadably: {error}");
                }
            }
        }
        Ok(Reply::ok().bytes(json::to_fastjson(&body)))
    }))
}
