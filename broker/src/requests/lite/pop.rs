//! POP_LITE_MESSAGE 200070: messages of the lite topics that a client has subscribed to.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::{LONG_POLL_MS_MAX, POP_MESSAGES_MAX};
use crate::requests::pop::message::TOO_LATE_MS;
use crate::services::lite::ask::LiteAsk;
use crate::services::lite::{groups, take};
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::perm;
use protocol::codes::response;
use protocol::remoting::{CommandView, Ext, ExtWriter};
use std::rc::Rc;

/// A pop that arrived just now.
pub(crate) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    match ask(shard, ticket, &command.ext) {
        Ok(ask) => {
            take::begin(shard, ask);
            Ok(Done::Waits)
        }
        // Java's client reads the fields of every answer without looking whether they are there.
        Err(refusal) => {
            let zeros = |ext: &mut ExtWriter<'_>| {
                for name in ["popTime", "invisibleTime", "reviveQid"] {
                    ext.int(name, 0);
                }
            };
            ticket.answer(net, refusal.code, Some(&refusal.remark), zeros, &[]);
            Ok(Done::Refused)
        }
    }
}

/// Checks in Apache's order and words.
fn ask(shard: &mut Shard, ticket: Ticket, ext: &Ext<'_>) -> Result<LiteAsk, Refusal> {
    let (client, group) = (ext.require("clientId")?, ext.require("consumerGroup")?);
    let (topic, messages_max) = (ext.require("topic")?, ext.require_i32("maxMsgNum")?);
    let (invisible_ms, poll_ms) = (ext.require_i64("invisibleTime")?, ext.require_i64("pollTime")?);
    let now_ms = shard.cx.now_ms();
    let born_ms = match ext.get("bornTime") {
        Some(_) => ext.require_i64("bornTime")?,
        None => 0,
    };
    let born_ms = if born_ms == 0 { now_ms } else { born_ms };
    let process = &shard.cx.options.process;
    let host = &process.network.advertised_host;
    if now_ms.saturating_sub(born_ms).saturating_sub(poll_ms) > TOO_LATE_MS {
        let remark = format!("the broker[{host}] pop message is timeout too much");
        return Err(Refusal::new(response::POLLING_TIMEOUT, remark));
    }
    if process.permission & perm::READ == 0 {
        let remark = format!("the broker[{host}] pop message is forbidden");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    if messages_max > POP_MESSAGES_MAX {
        let remark = format!("the broker[{host}] pop message's num is greater than 32");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let topic = topic_of(shard, &topic)?;
    let group = group_of(shard, &group, &topic, now_ms)?;
    let poll_ms = poll_ms.clamp(0, LONG_POLL_MS_MAX);
    Ok(LiteAsk {
        ticket,
        client: Rc::from(&*client),
        topic,
        group,
        messages_max: usize::try_from(messages_max).unwrap_or(0),
        invisible_ms,
        until_ms: born_ms.saturating_add(poll_ms).min(now_ms.saturating_add(poll_ms)),
        attempt_id: ext.get("attemptId").map(|id| (*id).into()),
    })
}

fn topic_of(shard: &Shard, name: &str) -> Result<Rc<str>, Refusal> {
    let Some(topic) = shard.tables.topics.get(name) else {
        let remark = format!("topic [{name}] not exist, apply first please!");
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    };
    if topic.config.perm & perm::READ == 0 {
        let remark = format!("the topic [{name}] peeking message is forbidden");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    if !groups::is_parent(&shard.tables, name) {
        let remark = format!("the topic [{name}] message type not match");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    Ok(topic.name.clone())
}

fn group_of(shard: &mut Shard, name: &str, topic: &str, now_ms: i64) -> Result<Rc<str>, Refusal> {
    let Some(group) = shard.tables.groups.find_or_create(name, now_ms) else {
        let remark = format!("subscription group [{name}] not exist");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    };
    if !group.config.consume_enable {
        let remark = format!("subscription group no permission, {name}");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let group = group.name.clone();
    if groups::bind_topic(&shard.tables, name) != Some(topic) {
        let remark = format!("subscription bind topic not match, {name}");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    Ok(group)
}
