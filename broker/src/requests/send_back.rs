//! CONSUMER_SEND_MSG_BACK 36: a consumer gives a message back that it could not handle.
//!
//! ```text
//!   group, its retry topic ─► the message, read where it lies ─► retries used up? ─┬─ yes: put into
//!                                                                                  │  %DLQ%group
//!                                                                                  └─ no: put where it waits
//!                                                                  for its delay, then into %RETRY%group
//! ```
//!
//! The answer waits until the copy is acknowledged ([`crate::sends::put`]); the message itself
//! stays where it is. Whose message it is nobody asks, as in Apache: groups give back what they got
//! from their retry topics, and the topic they subscribed to is not known here. Facts:
//! `AbstractSendMessageProcessor.consumerSendMsgBack` of Apache 5.5.0.

use super::send_target::{self, SYS_FLAG_UNIT_SUB, VERSION_WITH_MAX_RECONSUME};
use crate::answers::remoting::{Refusal, too_many_reads};
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::sends::delay::{self, Waiting};
use crate::sends::errors::PutError;
use crate::sends::message::{Message, draft_of};
use crate::sends::put::put;
use crate::shard::{Cx, Shard};
use engine::{AppendError, PhyOffset};
use protocol::bodies::{TopicConfig, perm};
use protocol::codes::response;
use protocol::headers::{Scratch, SendBackHeader};
use protocol::ids::OffsetMsgId;
use protocol::record::{RecordDraft, RecordView};
use protocol::remoting::CommandView;
use protocol::{names, properties};
use rt::{BufSlice, Runtime as _};

/// The level of a first retry whose consumer leaves it to the broker; each further one is a level
/// higher.
const FIRST_RETRY_LEVEL: i32 = 3;

/// What a consumer says of the message that it gives back.
struct GivenBack {
    offset: i64,
    group: String,
    delay_level: i32,
    /// From clients since 3.4.9.
    max_reconsume_times: Option<i32>,
    is_unit: bool,
}

impl GivenBack {
    fn read(command: &CommandView<'_>, scratch: &mut Scratch) -> Result<Self, Refusal> {
        let header = SendBackHeader::decode(&command.ext, scratch)?;
        let is_new = command.version >= VERSION_WITH_MAX_RECONSUME;
        Ok(Self {
            offset: header.offset,
            group: header.group.to_owned(),
            delay_level: header.delay_level,
            max_reconsume_times: header.max_reconsume_times.filter(|_| is_new),
            is_unit: header.unit_mode,
        })
    }
}

/// Checks what can be checked at once, in Apache's order, and gives the rest to a task.
pub(crate) fn begin(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let back = GivenBack::read(command, &mut shard.scratch.headers)?;
    let now_ms = shard.cx.now_ms();
    let Some(group) = shard.tables.groups.find_or_create(&back.group, now_ms) else {
        return Err(send_target::no_group(&back.group));
    };
    let (queues, group_max) = (group.config.retry_queue_nums, group.config.retry_max_times);
    if shard.cx.options.process.permission & perm::WRITE == 0 {
        return Err(send_target::broker_closed(shard));
    }
    if queues <= 0 {
        // Such a group wants no retries: the message is dropped, and the consumer goes on.
        return Ok(task(&shard.cx, |_| async { Ok(Reply::ok()) }));
    }
    let queue_id = retry_queue(shard, &back, queues)?;
    let max = back.max_reconsume_times.unwrap_or(group_max);
    Ok(task(&shard.cx, move |cx| async move { give_back(&cx, &back, queue_id, max).await }))
}

/// A queue of the group's retry topic, any of `queues`. The topic exists afterwards, also for a
/// dead letter, and may be written. It may have fewer queues than the group asks for by now: nobody
/// would read the others.
fn retry_queue(shard: &mut Shard, back: &GivenBack, queues: i32) -> Result<i32, Refusal> {
    let name = names::retry_topic(&back.group);
    let config = TopicConfig {
        topic_sys_flag: if back.is_unit { SYS_FLAG_UNIT_SUB } else { 0 },
        ..TopicConfig::new(&name, queues, perm::READ | perm::WRITE)
    };
    let now_ms = shard.cx.now_ms();
    let topic = shard.tables.topics.create_if_absent(config, now_ms).map_err(|error| {
        Refusal::new(response::SYSTEM_ERROR, format!("topic[{name}] not exist: {error}"))
    })?;
    if topic.config.perm & perm::WRITE == 0 {
        let remark = format!("the topic[{name}] sending message is forbidden");
        return Err(Refusal::new(response::NO_PERMISSION, remark));
    }
    let queues = queues.min(topic.config.read_queue_nums).max(1).unsigned_abs();
    if topic.config.order {
        let config = TopicConfig { order: false, ..topic.config.clone() };
        shard.tables.topics.put(config, now_ms);
    }
    let chosen = shard.cx.core.random_u64() % u64::from(queues);
    Ok(i32::try_from(chosen).expect("a queue id is below the number of queues"))
}

async fn give_back(
    cx: &Cx,
    back: &GivenBack,
    retry_queue_id: i32,
    max: i32,
) -> Result<Reply, Refusal> {
    let not_found = || {
        let remark = format!("look message by offset failed, {}", back.offset);
        Refusal::new(response::SYSTEM_ERROR, remark)
    };
    let at = u64::try_from(back.offset).map_err(|_| not_found())?;
    let found = read(cx, PhyOffset(at)).await?.ok_or_else(not_found)?;
    let record = RecordView::parse(&found).map_err(|_| not_found())?;
    if record.body().is_empty() {
        return Err(Refusal::new(response::SYSTEM_ERROR, "MESSAGE_ILLEGAL"));
    }
    if record.reconsume_times() >= max || back.delay_level < 0 {
        let topic = cx.with(|shard, _| send_target::dead_letters(shard, &back.group))?;
        let reply = store(cx, &topic, 0, &record, &dead_letter_properties(&record)).await?;
        count(cx, back, &record);
        return Ok(reply);
    }
    let level = match back.delay_level {
        0 => record.reconsume_times().saturating_add(FIRST_RETRY_LEVEL).max(1),
        level => level,
    };
    let levels = &cx.options.process.store.delay_levels;
    let Some(waiting) = Waiting::of(level, record.sys_flag(), levels) else {
        let remark = "MESSAGE_ILLEGAL: half messages and roll-backs are not consumed";
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let mut properties = given_back_properties(&record, &delay::TAKEN_OUT);
    waiting.write_properties(&mut properties, &names::retry_topic(&back.group), retry_queue_id);
    let reply = store(cx, waiting.topic(), waiting.queue_id(), &record, &properties).await?;
    count(cx, back, &record);
    Ok(reply)
}

/// Counts a message that was given back, by the topic that it was sent to.
fn count(cx: &Cx, back: &GivenBack, record: &RecordView<'_>) {
    let topic = properties::get(record.properties(), "RETRY_TOPIC").unwrap_or(record.topic());
    cx.with(|shard, _| shard.tables.pulled.given_back(&back.group, topic));
}

/// The message where it lies. It has a place among the reads from disk for as long as it reads, and
/// none while the dead letter waits for room and its watermark.
async fn read(cx: &Cx, at: PhyOffset) -> Result<Option<BufSlice>, Refusal> {
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let _place = place.ok_or_else(too_many_reads)?;
    Ok(cx.store.message_at(at).await?)
}

/// Puts the message into a topic as it was stored, given back once more.
async fn store(
    cx: &Cx,
    topic: &str,
    queue_id: i32,
    record: &RecordView<'_>,
    properties: &[u8],
) -> Result<Reply, Refusal> {
    let draft = RecordDraft {
        topic,
        queue_id,
        reconsume_times: record.reconsume_times().saturating_add(1),
        properties: &[properties],
        ..draft_of(record, cx.options.store_host)
    };
    match put(cx, &Message::One(&draft)).await {
        Ok(_) => Ok(Reply::ok()),
        Err(error) => Err(not_put(&error)),
    }
}

/// Apache stores the delay of a dead letter that is given back as 0.
fn dead_letter_properties(record: &RecordView<'_>) -> Vec<u8> {
    let mut out = given_back_properties(record, &["DELAY"]);
    properties::write(&mut out, "DELAY", "0");
    out
}

/// The record's own properties but for `taken_out`, and where it came from: the topic and the id
/// that it had first.
fn given_back_properties(record: &RecordView<'_>, taken_out: &[&str]) -> Vec<u8> {
    let set = [taken_out, &["WAIT", "__CRC32#"]].concat();
    let mut out = vec![];
    properties::write_without(&mut out, record.properties(), &set);
    if properties::get_bytes(record.properties(), "RETRY_TOPIC").is_none() {
        properties::write(&mut out, "RETRY_TOPIC", record.topic());
    }
    let origin = properties::get(record.properties(), "ORIGIN_MESSAGE_ID");
    if origin.is_none_or(|origin| origin.trim().is_empty()) {
        let mut id = String::new();
        let at = (record.store_host(), record.physical_offset());
        OffsetMsgId { store_host: at.0, physical_offset: at.1 }.write(&mut id);
        properties::write(&mut out, "ORIGIN_MESSAGE_ID", &id);
    }
    properties::write(&mut out, "WAIT", "false");
    out
}

/// Why the copy is not acknowledged, as Apache tells it: SYSTEM_ERROR with the name of the
/// put's status (`PutMessageStatus`), and here the reason behind it.
fn not_put(error: &PutError) -> Refusal {
    let status = match error {
        PutError::NotFlushedInTime(_) => "FLUSH_DISK_TIMEOUT",
        PutError::NotStored(AppendError::TooLarge { .. } | AppendError::Record(_)) => {
            "MESSAGE_ILLEGAL"
        }
        PutError::Busy { .. } | PutError::BacklogFull => "OS_PAGE_CACHE_BUSY",
        PutError::NotStored(_) | PutError::Gone(_) | PutError::Poisoned { .. } => {
            "SERVICE_NOT_AVAILABLE"
        }
    };
    Refusal::new(response::SYSTEM_ERROR, format!("{status}: {error}"))
}
