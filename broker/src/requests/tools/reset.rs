//! Where a group goes on: INVOKE_BROKER_TO_RESET_OFFSET 222.
//!
//! ```text
//!   useServerSideResetOffset (default): offsets are set here ─► the group's next pull of each queue
//!                                       is answered 21 with the new one (`tables::offsets`)
//!   without: offsets are computed here ─► RESET_CONSUMER_CLIENT_OFFSET 220 to each member, which
//!            goes on there and commits; without members 206, and tools commit for themselves
//! ```
//!
//! Long polls of the group in these queues are answered at once; in Apache they learn of it when
//! they end.

use crate::answers::remoting::Refusal;
use crate::desk::reply::Reply;
use crate::desk::row::{Task, task};
use crate::peers::asked::Request;
use crate::reads::run as reads;
use crate::shard::{Cx, Shard};
use engine::Boundary;
use protocol::bodies::{MessageQueue, ResetOffsetBody, ResetOffsetBodyForC, ResetOffsetEntry};
use protocol::codes::version::V3_0_7_SNAPSHOT;
use protocol::codes::{language, request, response};
use protocol::json;
use protocol::remoting::{CommandView, ExtWriter};
use std::collections::BTreeMap;

/// What a tool asks for.
struct Asked {
    topic: String,
    group: String,
    /// Before 1970: to the end.
    timestamp_ms: i64,
    /// One queue, or all.
    queue_id: Option<i32>,
    /// An offset in that queue, in the place of a time.
    offset: Option<i64>,
    /// Also forward.
    is_forced: bool,
    /// The tool's language decides how clients are told.
    is_cpp: bool,
}

impl Asked {
    fn read(command: &CommandView<'_>) -> Result<Self, Refusal> {
        let ext = &command.ext;
        let queue_id = ext.get_i32("queueId")?.filter(|queue_id| *queue_id >= 0);
        Ok(Self {
            topic: ext.require("topic")?.into_owned(),
            group: ext.require("group")?.into_owned(),
            timestamp_ms: ext.require_i64("timestamp")?,
            queue_id,
            offset: ext.get_i64("offset")?.filter(|offset| *offset != -1 && queue_id.is_some()),
            is_forced: ext.require("isForce")?.eq_ignore_ascii_case("true"),
            is_cpp: command.language == language::CPP,
        })
    }
}

/// Resets, in whichever way the configuration wants it.
pub(crate) fn begin(shard: &mut Shard, command: &CommandView<'_>) -> Result<Task, Refusal> {
    let asked = Asked::read(command)?;
    let is_here = shard.cx.options.process.serve.resets_here;
    let queues = queues(shard, &asked, is_here)?;
    Ok(task(&shard.cx, move |cx| async move {
        if is_here {
            reset_here(&cx, &asked, &queues).await
        } else {
            tell_clients(&cx, &asked, &queues).await
        }
    }))
}

/// The queues that are reset.
fn queues(shard: &Shard, asked: &Asked, is_here: bool) -> Result<Vec<i32>, Refusal> {
    let Asked { topic, group, .. } = asked;
    let Some(config) = shard.tables.topics.get(topic).map(|topic| &topic.config) else {
        let remark = format!("Topic {topic} does not exist");
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    };
    if !is_here {
        return Ok((0..config.write_queue_nums).collect());
    }
    if shard.tables.groups.get(group).is_none() {
        let remark = format!("Group {group} does not exist");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let queues = config.read_queue_nums;
    match asked.queue_id {
        // Apache takes any: a table that a peer can fill without end is not kept here.
        Some(queue_id) if queue_id >= queues.max(config.write_queue_nums) => Err(Refusal::new(
            response::INVALID_PARAMETER,
            format!("queueId[{queue_id}] is illegal, topic {topic} has {queues} queues"),
        )),
        Some(queue_id) => Ok(vec![queue_id]),
        None if queues == 0 => Err(Refusal::new(response::SYSTEM_ERROR, "No queues to reset.")),
        None => Ok((0..queues).collect()),
    }
}

/// The offset of a time; of one before 1970 the end.
async fn offset_of(cx: &Cx, asked: &Asked, queue_id: i32) -> Result<i64, Refusal> {
    let topic = &asked.topic;
    let range = cx.store.queue_range(topic, queue_id).unwrap_or_default();
    if asked.timestamp_ms < 0 {
        return Ok(range.max_offset.0);
    }
    let boundary = Boundary::Lower;
    let found = cx.store.offset_by_time(topic, queue_id, asked.timestamp_ms, boundary).await?;
    Ok(found.0)
}

async fn reset_here(cx: &Cx, asked: &Asked, queues: &[i32]) -> Result<Reply, Refusal> {
    let mut offsets = vec![];
    for queue_id in queues {
        let offset = match asked.offset {
            Some(offset) => within_queue(cx, asked, *queue_id, offset)?,
            None => offset_of(cx, asked, *queue_id).await?,
        };
        offsets.push((*queue_id, offset));
    }
    let Asked { topic, group, .. } = asked;
    cx.with(|shard, net| {
        let now_ms = shard.cx.now_ms();
        for (queue_id, offset) in &offsets {
            shard.tables.offsets.reset(group, topic, *queue_id, *offset, now_ms);
        }
        for (queue_id, _) in &offsets {
            reads::is_reset(shard, net, group, topic, *queue_id);
        }
    });
    tracing::info!("consumer group {group} goes on elsewhere in {topic}, by request: {offsets:?}");
    Ok(Reply::ok().bytes(body(cx, topic, offsets)))
}

/// Apache allows one more than the end.
fn within_queue(cx: &Cx, asked: &Asked, queue_id: i32, offset: i64) -> Result<i64, Refusal> {
    let range = cx.store.queue_range(&asked.topic, queue_id).unwrap_or_default();
    let (min, max) = (range.min_offset.0, range.max_offset.0);
    if (min..=max + 1).contains(&offset) {
        return Ok(offset);
    }
    let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
    Err(Refusal::new(response::SYSTEM_ERROR, remark))
}

fn table(cx: &Cx, topic: &str, offsets: Vec<(i32, i64)>) -> BTreeMap<MessageQueue, i64> {
    let queue = |queue_id| MessageQueue {
        broker_name: cx.options.broker.clone(),
        queue_id,
        topic: topic.to_owned(),
    };
    offsets.into_iter().map(|(queue_id, offset)| (queue(queue_id), offset)).collect()
}

fn body(cx: &Cx, topic: &str, offsets: Vec<(i32, i64)>) -> Vec<u8> {
    json::to_fastjson(&ResetOffsetBody { offset_table: table(cx, topic, offsets) })
}

/// `useServerSideResetOffset=false`: as brokers before 5.0 did it.
async fn tell_clients(cx: &Cx, asked: &Asked, queues: &[i32]) -> Result<Reply, Refusal> {
    let Asked { topic, group, .. } = asked;
    let mut offsets = vec![];
    for queue_id in queues {
        let at = cx.with(|shard, _| shard.tables.offsets.query(group, topic, *queue_id));
        let Some(at) = at else {
            let remark = format!("THe consumer group <{group}> not exist");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        };
        let wanted = offset_of(cx, asked, *queue_id).await?;
        let is_taken = asked.is_forced || wanted < at;
        offsets.push((*queue_id, if is_taken { wanted } else { at }));
    }
    let told = if asked.is_cpp {
        let table = table(cx, topic, offsets.clone()).into_iter();
        let entry = |(queue, offset): (MessageQueue, i64)| ResetOffsetEntry {
            broker_name: queue.broker_name,
            offset,
            queue_id: queue.queue_id,
            topic: queue.topic,
        };
        json::to_fastjson(&ResetOffsetBodyForC { offset_table: table.map(entry).collect() })
    } else {
        body(cx, topic, offsets.clone())
    };
    cx.with(|shard, net| {
        let Some(members) = shard.tables.consumers.get(group).map(|group| group.members()) else {
            let ms = asked.timestamp_ms;
            let remark = format!(
                "Consumer not online, so can not reset offset, Group: {group} Topic: {topic} \
                 Timestamp: {ms}"
            );
            return Err(Refusal::new(response::CONSUMER_NOT_ONLINE, remark));
        };
        if let Some(old) = members.iter().find(|member| member.version < V3_0_7_SNAPSHOT) {
            let version = old.version;
            let remark = format!("the client does not support this feature. version={version}");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        let ext = |ext: &mut ExtWriter<'_>| {
            ext.str("topic", topic);
            ext.str("group", group);
            ext.int("timestamp", asked.timestamp_ms);
            ext.bool("isForce", false);
            ext.int("queueId", -1);
        };
        let code = request::RESET_CONSUMER_CLIENT_OFFSET;
        let news = Request { code, ext: &ext, body: &told };
        for member in members {
            shard.peers.asked.tell(net, member.conn, &news);
        }
        Ok(())
    })?;
    Ok(Reply::ok().bytes(body(cx, topic, offsets)))
}
