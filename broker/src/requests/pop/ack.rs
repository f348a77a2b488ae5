//! ACK_MESSAGE 200051 and BATCH_ACK_MESSAGE 200151: messages that were popped are consumed.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::limits::ACKS_PER_REQUEST_MAX;
use crate::requests::body;
use crate::requests::lite::ack::{self as lite, Which};
use crate::services::pop::gather::{Of, Places};
use crate::services::pop::order;
use crate::services::pop::spill;
use crate::services::pop::storing::check_room;
use crate::shard::Shard;
use engine::QueueRange;
use netcore::Net;
use protocol::bodies::{BatchAck, BatchAckRequestBody};
use protocol::codes::response;
use protocol::pop::{ORDER_REVIVE_QUEUE, Receipt, Retry};
use protocol::remoting::CommandView;

/// One message.
pub(crate) fn one(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let ext = &command.ext;
    let (group, topic) = (ext.require("consumerGroup")?, ext.require("topic")?);
    let (queue_id, offset) = (ext.require_i32("queueId")?, ext.require_i64("offset")?);
    let receipt = ext.require("extraInfo")?;
    let range = queue(shard, &topic, queue_id)?;
    if let Some(child) = ext.get("liteTopic").filter(|child| !child.trim().is_empty()) {
        let (topic, group, child) = (&*topic, &*group, &*child);
        let which = Which { topic, child, group, queue_id, offset, receipt: &receipt };
        lite::ack(shard, &which)?;
        ticket.ok(net);
        return Ok(Done::Answered);
    }
    if !(range.min_offset.0..=range.max_offset.0).contains(&offset) {
        return Err(no_message(&topic, queue_id, offset, range));
    }
    let receipt = read(shard, &receipt)?;
    if receipt.revive_queue == ORDER_REVIVE_QUEUE {
        order::ack(shard, (&topic, &group, queue_id), offset, receipt.pop_time_ms)?;
        ticket.ok(net);
        return Ok(Done::Answered);
    }
    let of = of(&receipt, (&topic, &group, queue_id));
    if spill::ack(shard, of, offset) {
        ticket.ok(net);
        return Ok(Done::Answered);
    }
    check_room(shard, 2)?;
    let (gathered, mut places) = (&mut shard.services.pops.gathered, Places::default());
    gathered.add(of, offset, &mut places);
    gathered.wait(ticket, places);
    Ok(Done::Waits)
}

/// Several. None of them counts unless all can be read.
pub(crate) fn batch(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let BatchAckRequestBody { acks, broker_name } =
        if command.body.is_empty() { BatchAckRequestBody::default() } else { body::read(command)? };
    if acks.is_empty() {
        return Err(Refusal::new(response::NO_MESSAGE, "no acknowledgements in the body"));
    }
    let mut left = ACKS_PER_REQUEST_MAX;
    let mut all = vec![];
    for ack in acks {
        let topic = real_topic(&ack)?;
        let offsets = offsets(shard, &ack, &topic, left)?;
        left -= offsets.len();
        if !offsets.is_empty() {
            check_revive_queue(shard, ack.revive_queue)?;
            all.push((ack, topic, offsets));
        }
    }
    check_room(shard, 2)?;
    let mut places = Places::default();
    for (ack, topic, offsets) in all {
        let at = (&*topic, &*ack.group, ack.queue_id);
        let of = Of {
            topic: &topic,
            group: &ack.group,
            queue_id: ack.queue_id,
            start_offset: ack.start_offset,
            pop_time_ms: ack.pop_time_ms,
            broker: broker_name.as_deref(),
            revive_queue: ack.revive_queue,
            due_ms: ack.pop_time_ms.saturating_add(ack.invisible_ms),
        };
        for offset in offsets {
            if ack.revive_queue == ORDER_REVIVE_QUEUE {
                order::ack(shard, at, offset, ack.pop_time_ms)?;
            } else if !spill::ack(shard, of, offset) {
                shard.services.pops.gathered.add(of, offset, &mut places);
            }
        }
    }
    if places.is_empty() {
        ticket.ok(net);
        return Ok(Done::Answered);
    }
    shard.services.pops.gathered.wait(ticket, places);
    Ok(Done::Waits)
}

/// The checkpoint that a receipt names.
pub(super) fn of<'a>(
    receipt: &Receipt<'a>,
    (topic, group, queue_id): (&'a str, &'a str, i32),
) -> Of<'a> {
    Of {
        topic,
        group,
        queue_id,
        start_offset: receipt.start_offset,
        pop_time_ms: receipt.pop_time_ms,
        broker: Some(receipt.broker),
        revive_queue: receipt.revive_queue,
        due_ms: receipt.pop_time_ms.saturating_add(receipt.invisible_ms),
    }
}

/// The messages that an entry of a batch names, as far as their queue has them: at most `max`.
fn offsets(shard: &Shard, ack: &BatchAck, topic: &str, max: usize) -> Result<Vec<i64>, Refusal> {
    let Some(places) = ack.places(max.saturating_add(1)) else {
        return Err(Refusal::new(response::SYSTEM_ERROR, "a bit set that is no base64"));
    };
    if places.len() > max {
        let remark = format!("more than {ACKS_PER_REQUEST_MAX} acknowledgements in one request");
        return Err(Refusal::new(response::INVALID_PARAMETER, remark));
    }
    let Some(range) = shard.cx.store.queue_range(topic, ack.queue_id) else { return Ok(vec![]) };
    let queue = range.min_offset.0..=range.max_offset.0;
    let offsets = places.iter().filter_map(|place| ack.start_offset.checked_add(*place));
    Ok(offsets.filter(|offset| queue.contains(offset)).collect())
}

fn real_topic(ack: &BatchAck) -> Result<String, Refusal> {
    let retry = Retry::from_flag(&ack.retry)
        .ok_or_else(|| Refusal::new(response::SYSTEM_ERROR, "getRetry fail, format is wrong"))?;
    Ok(retry.topic(&ack.topic, &ack.group))
}

/// What a queue has, of a topic that there is.
pub(super) fn queue(shard: &Shard, topic: &str, queue_id: i32) -> Result<QueueRange, Refusal> {
    let Some(known) = shard.tables.topics.get(topic) else {
        let remark = format!("topic[{topic}] not exist, apply first please!");
        return Err(Refusal::new(response::TOPIC_NOT_EXIST, remark));
    };
    let queues = known.config.read_queue_nums;
    if !(0..queues).contains(&queue_id) {
        let remark = format!(
            "queueId[{queue_id}] is illegal, topic:[{topic}] topicConfig.readQueueNums:[{queues}]"
        );
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    Ok(shard.cx.store.queue_range(topic, queue_id).unwrap_or_default())
}

pub(super) fn no_message(topic: &str, queue_id: i32, offset: i64, range: QueueRange) -> Refusal {
    let (min, max) = (range.min_offset, range.max_offset);
    let remark =
        format!("offset is illegal, key:{topic}@{queue_id}, commit:{offset}, store:{min}~{max}");
    Refusal::new(response::NO_MESSAGE, remark)
}

/// The receipt that came with a message.
pub(super) fn read<'a>(shard: &Shard, text: &'a str) -> Result<Receipt<'a>, Refusal> {
    let receipt = Receipt::parse(text)
        .map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))?;
    check_revive_queue(shard, receipt.revive_queue)?;
    Ok(receipt)
}

/// Apache stores acknowledgements for queues that nobody reads; here such a receipt is refused.
fn check_revive_queue(shard: &Shard, revive_queue: i32) -> Result<(), Refusal> {
    let is_known = shard.services.pops.has_revive_queue(revive_queue);
    if is_known || revive_queue == ORDER_REVIVE_QUEUE {
        return Ok(());
    }
    let remark = format!("revive queue {revive_queue} of the receipt does not exist");
    Err(Refusal::new(response::MESSAGE_ILLEGAL, remark))
}
