//! RECALL_MESSAGE 370: a producer takes a timer message back before its time.
//!
//! ```text
//!   handle ─► checks, in Apache's order ─► a timer of the same slot that names the unique key ─► put
//! ```
//!
//! The message itself stays where it is. When its slot begins, what recalls it is read first, and
//! it is left out (`services::timers::deliver`). Facts: `RecallMessageProcessor` of Apache 5.5.0.

use super::send_timer::admit;
use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::sends::errors::PutError;
use crate::sends::message::Message;
use crate::sends::put::put;
use crate::sends::timer::{Asked, Timer};
use crate::shard::{Cx, Shard};
use protocol::bodies::perm;
use protocol::codes::response;
use protocol::headers::RecallHeader;
use protocol::ids::RecallHandle;
use protocol::properties::{self, names};
use protocol::record::RecordDraft;
use protocol::remoting::CommandView;

/// The tag and the body of what recalls a message.
const TAG: &str = "_RECALL_TAG_";
const BODY: &[u8] = b"0";

/// Checks what was asked; the task stores what recalls the message.
pub(crate) fn begin(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let mut scratch = std::mem::take(&mut shard.scratch.headers);
    let checked = RecallHeader::decode(&command.ext, &mut scratch)
        .map_err(Refusal::from)
        .and_then(|header| check(shard, &header));
    shard.scratch.headers = scratch;
    let (handle, properties) = checked?;
    Ok(task(&shard.cx, |cx| async move { recall(&cx, &handle, &properties).await }))
}

/// The message that is meant, and the properties of what recalls it.
fn check(shard: &Shard, header: &RecallHeader<'_>) -> Result<(RecallHandle, Vec<u8>), Refusal> {
    may_recall(shard)?;
    if shard.tables.topics.get(header.topic).is_none() {
        let remark = format!("recall failed, the topic[{}] not exist", header.topic);
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    }
    let illegal = |remark: &str| Refusal::new(response::ILLEGAL_OPERATION, remark);
    let handle =
        RecallHandle::parse(header.recall_handle).map_err(|error| illegal(&error.to_string()))?;
    if handle.topic != header.topic {
        return Err(illegal("recall failed, topic not match"));
    }
    if handle.broker != shard.cx.options.broker {
        return Err(illegal("recall failed, broker service not available"));
    }
    let options = &shard.cx.options.process.timers;
    let left_ms = handle.timestamp.parse::<i64>().unwrap_or(-1).saturating_sub(shard.cx.now_ms());
    if left_ms <= 0 || left_ms >= options.delay_ms_max {
        return Err(illegal("recall failed, timestamp invalid"));
    }
    let asked = Asked { deliver_ms: Some(&handle.timestamp), recalls: true, ..Asked::default() };
    let timer = admit(shard, &asked, 0).ok().flatten().ok_or_else(not_stored)?;
    let properties = properties_of(shard, header, &handle, timer);
    Ok((handle, properties))
}

fn may_recall(shard: &Shard) -> Result<(), Refusal> {
    let process = &shard.cx.options.process;
    if !process.timers.recall {
        let remark = "recall failed, operation is forbidden";
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let is_early = shard.cx.now_ms() < process.serve.accept_sends_from_ms;
    let is_closed = process.permission & perm::WRITE == 0 && !process.timers.recall_when_closed;
    if is_early || is_closed {
        let remark = "recall failed, broker service not available";
        return Err(Refusal::new(response::SERVICE_NOT_AVAILABLE, remark));
    }
    Ok(())
}

fn not_stored() -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, "recall failed, execute error")
}

fn properties_of(
    shard: &Shard,
    header: &RecallHeader<'_>,
    handle: &RecallHandle,
    timer: Timer,
) -> Vec<u8> {
    let mut out = vec![];
    let key = if shard.cx.options.process.timers.key_has_topic {
        format!("{}+{}", handle.topic, handle.unique_key)
    } else {
        handle.unique_key.clone()
    };
    properties::write(&mut out, names::TAGS, TAG);
    properties::write(&mut out, names::TIMER_DEL_UNIQKEY, &key);
    properties::write(&mut out, names::UNIQ_KEY, &handle.unique_key);
    properties::write(&mut out, names::TIMER_DELIVER_MS, &handle.timestamp);
    properties::write(&mut out, "BORN_TIMESTAMP", &shard.cx.now_ms().to_string());
    if let Some(group) = header.producer_group {
        properties::write(&mut out, names::PRODUCER_GROUP, group);
    }
    timer.write_properties(&mut out, &handle.topic, 0);
    out
}

async fn recall(cx: &Cx, handle: &RecallHandle, properties: &[u8]) -> Result<Reply, Refusal> {
    let draft = RecordDraft {
        topic: Timer::topic(),
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: cx.now_ms(),
        born_host: cx.options.store_host,
        store_timestamp_ms: 0,
        store_host: cx.options.store_host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: BODY,
        properties: &[properties],
    };
    match put(cx, &Message::One(&draft)).await {
        Ok(_) | Err(PutError::NotFlushedInTime(_)) => {
            let id = handle.unique_key.clone();
            let region = cx.options.process.serve.region.clone();
            Ok(Reply::ok().text("msgId", id).text("MSG_REGION", region))
        }
        Err(error) => {
            tracing::warn!("recall of {}: {error}", handle.unique_key);
            Err(not_stored())
        }
    }
}
