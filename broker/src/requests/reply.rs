//! SEND_REPLY_MESSAGE 324 and SEND_REPLY_MESSAGE_V2 325: the answer to a request that another
//! client sent as a message (Java's `request()`).
//!
//! ```text
//!   consumer ──325──► broker ──326──► the producer that REPLY_TO_CLIENT names
//!            ◄─ 0, or 1 and why ─┘◄──┘
//!                        └─► <cluster>_REPLY_TOPIC (storeReplyMessageEnable)
//! ```
//!
//! The producer is asked first; while it answers the reply is stored. What the answer says is
//! whether the producer took it. Facts: `ReplyMessageProcessor` of Apache 5.5.0, which stores when
//! the producer has answered; a reply's body would lie in memory for up to 10 s.

use super::send::check_size;
use super::send_target;
use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Caller, Task, task};
use crate::peers::answer::{Awaited, NoAnswer};
use crate::peers::asked::Request;
use crate::sends::message::Message;
use crate::sends::properties::{self, Change};
use crate::sends::put::put;
use crate::shard::{Cx, Shard};
use engine::Appended;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::OffsetMsgId;
use protocol::limits::PROPERTIES_BYTES_MAX;
use protocol::record::RecordDraft;
use protocol::remoting::{CommandView, ExtWriter};
use std::net::SocketAddr;

/// How long the producer has to take a reply (`Broker2Client.callClient`).
const ANSWER_MS: i64 = 10_000;
/// Bytes of a name that is passed on unread; longer ones are nobody's.
const NAME_BYTES_MAX: usize = 255;

/// A reply that passed its checks, owned.
struct Replied {
    producer_group: String,
    topic: String,
    default_topic: String,
    default_topic_queue_nums: i32,
    asked_queue_id: i32,
    queue_id: i32,
    sys_flag: i32,
    born_timestamp_ms: i64,
    flag: i32,
    /// As they are stored.
    properties: Vec<u8>,
    reconsume_times: i32,
    unit_mode: bool,
    born_host: SocketAddr,
    body: Vec<u8>,
    /// Whom it is for.
    to: Option<String>,
}

/// Checks a reply as a send is checked; a task brings it to the producer.
pub(crate) fn begin(
    shard: &mut Shard,
    Caller { addr: peer, .. }: Caller,
    command: &CommandView<'_>,
) -> Result<Task, Refusal> {
    let mut scratch = std::mem::take(&mut shard.scratch.headers);
    let replied = match SendHeader::decode(&command.ext, &mut scratch) {
        Ok(header) => check(shard, peer, command, &header),
        Err(error) => Err(error.into()),
    };
    shard.scratch.headers = scratch;
    let replied = replied?;
    Ok(task(&shard.cx, |cx| async move { bring(&cx, replied).await }))
}

fn check(
    shard: &mut Shard,
    peer: SocketAddr,
    command: &CommandView<'_>,
    header: &SendHeader<'_>,
) -> Result<Replied, Refusal> {
    let target = send_target::check(shard, header, command.version, peer)?;
    check_size(shard, command.body.len())?;
    if header.producer_group.len() > NAME_BYTES_MAX || header.default_topic.len() > NAME_BYTES_MAX {
        let remark = format!("a name of more than {NAME_BYTES_MAX} bytes");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let illegal = |remark: &str| Refusal::new(response::MESSAGE_ILLEGAL, remark);
    let common = shard.sends.properties.clone();
    let stored = properties::pieces((header.properties, false), Change::default(), &[], &common)
        .ok_or_else(|| illegal("the message has too many properties that only brokers set"))?;
    let stored = stored.as_slice().concat();
    if stored.len() > PROPERTIES_BYTES_MAX {
        return Err(illegal("the message's properties are longer than 32 KiB"));
    }
    let to = protocol::properties::get(header.properties.as_bytes(), "REPLY_TO_CLIENT");
    Ok(Replied {
        to: to.map(|to| to.to_string()),
        producer_group: header.producer_group.to_owned(),
        topic: header.topic.to_owned(),
        default_topic: header.default_topic.to_owned(),
        default_topic_queue_nums: header.default_topic_queue_nums,
        asked_queue_id: header.queue_id,
        queue_id: target.answered_queue_id,
        sys_flag: header.sys_flag,
        born_timestamp_ms: header.born_timestamp_ms,
        flag: header.flag,
        properties: stored,
        reconsume_times: header.reconsume_times,
        unit_mode: header.unit_mode,
        born_host: peer,
        body: command.body.to_vec(),
    })
}

async fn bring(cx: &Cx, replied: Replied) -> Result<Reply, Refusal> {
    let pushed = push(cx, &replied);
    let Replied { queue_id, born_host, .. } = replied;
    let is_stored = cx.options.process.serve.store_replies;
    let stored = if is_stored { store(cx, &replied).await } else { None };
    let to = replied.to.clone().unwrap_or_default();
    drop(replied); // its body is not kept for as long as the producer takes
    let failed =
        || Refusal::new(response::SYSTEM_ERROR, format!("push reply message to {to}fail."));
    let answer = pushed?.await.map_err(|why| {
        cx.with(|shard, _| {
            let what = format_args!("a reply does not come to {to}: {why}");
            shard.peers.log.blame(Some(born_host), shard.cx.now_ms(), &what);
        });
        failed()
    })?;
    if answer.code != response::SUCCESS {
        return Err(failed());
    }
    let serve = &cx.options.process.serve;
    let physical_offset = |at: &Appended| at.physical_offset.as_i64();
    let id = stored.map(|at| {
        let id = OffsetMsgId {
            store_host: cx.options.store_host,
            physical_offset: physical_offset(&at),
        };
        id.to_string()
    });
    Ok(Reply::ok()
        .text("msgId", id.unwrap_or_else(|| "0".to_owned()))
        .number("queueId", queue_id.into())
        .number("queueOffset", stored.map_or(0, |at| at.queue_offset.0))
        .text("MSG_REGION", serve.region.clone())
        .text("TRACE_ON", serve.trace_on.to_string()))
}

/// Asks the producer to take the reply.
fn push(cx: &Cx, replied: &Replied) -> Result<Awaited, Refusal> {
    let error = |remark: String| Refusal::new(response::SYSTEM_ERROR, remark);
    let Some(to) = &replied.to else {
        return Err(error("reply message properties[REPLY_TO_CLIENT] is null".to_owned()));
    };
    cx.with(|shard, net| {
        let Some(conn) = shard.tables.producers.connection_of(to) else {
            let remark = format!("push reply message fail, channel of <{to}> not found.");
            return Err(error(remark));
        };
        let now_ms = shard.cx.now_ms();
        let store_host = shard.cx.options.store_host;
        let mut properties = String::from_utf8_lossy(&replied.properties).into_owned();
        properties.push_str(&format!("\u{2}PUSH_REPLY_TIME\u{1}{now_ms}\u{2}"));
        let ext = |ext: &mut ExtWriter<'_>| {
            ext.str("producerGroup", &replied.producer_group);
            ext.str("topic", &replied.topic);
            ext.str("defaultTopic", &replied.default_topic);
            ext.int("defaultTopicQueueNums", replied.default_topic_queue_nums);
            ext.int("queueId", replied.asked_queue_id);
            ext.int("sysFlag", replied.sys_flag);
            ext.int("bornTimestamp", replied.born_timestamp_ms);
            ext.int("flag", replied.flag);
            ext.str("properties", &properties);
            ext.int("reconsumeTimes", replied.reconsume_times);
            ext.bool("unitMode", replied.unit_mode);
            ext.str("bornHost", &host(replied.born_host));
            ext.str("storeHost", &host(store_host));
            ext.int("storeTimestamp", now_ms);
        };
        let code = request::PUSH_REPLY_MESSAGE_TO_CLIENT;
        let request = Request { code, ext: &ext, body: &replied.body };
        let deadline_ms = now_ms.saturating_add(ANSWER_MS);
        let asked = shard.peers.asked.ask_client(net, conn, deadline_ms, &request);
        asked.map_err(|why| match why {
            NoAnswer::TooMany => Refusal::new(
                response::SYSTEM_BUSY,
                format!("[OVERLOAD]push reply message to {to}fail: {why}"),
            ),
            NoAnswer::Gone | NoAnswer::Late => error(format!("push reply message to {to}fail.")),
        })
    })
}

/// As Java writes an address: without brackets.
fn host(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

/// A reply that can't be stored is brought all the same.
async fn store(cx: &Cx, replied: &Replied) -> Option<Appended> {
    let draft = RecordDraft {
        topic: &replied.topic,
        queue_id: replied.queue_id,
        flag: replied.flag,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0, // as Apache: what the sender's flag says of its body is lost
        born_timestamp_ms: replied.born_timestamp_ms,
        born_host: replied.born_host,
        store_timestamp_ms: 0,
        store_host: cx.options.store_host,
        reconsume_times: replied.reconsume_times,
        prepared_transaction_offset: 0,
        body: &replied.body,
        properties: &[&replied.properties],
    };
    let error = match put(cx, &Message::One(&draft)).await {
        Ok(at) => return Some(at),
        Err(error) => error,
    };
    cx.with(|shard, _| {
        let what = format_args!("a reply is not stored: {error}");
        shard.peers.log.blame(Some(replied.born_host), shard.cx.now_ms(), &what);
    });
    None
}
