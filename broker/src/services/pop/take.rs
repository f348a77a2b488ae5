//! A pop: takes the next messages of a group, queue after queue, until it has as many as it may.
//!
//! ```text
//!   which queues, in which order ─► of each: taken? ─► next message ─► read, from memory or disk
//!     ─► a checkpoint into the log ─► the queue's next message is behind it ─► next queue
//!   ─► all checkpoints acknowledged ─► the answer: slices of the log
//!   nothing found ─► waits for a message, and does it all again
//! ```
//!
//! The order is Apache's (`PopMessageProcessor`): one pop of five looks into the retry topic first,
//! the others last; both begin at a queue by chance.

use super::answer::{self, Outcome, wake_next};
use super::cursors::Key;
use super::order;
use super::records::ReviveRecord;
use super::retry_message;
use super::storing::{append, check_room, not_stored, not_timed, writer};
use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::reads::pop_ask::{PopAsk, PopKind};
use crate::sends::put;
use crate::shard::{Cx, Shard};
use engine::{QueueOffset, ReadRequest, ReadSlices, ReadStatus};
use protocol::bodies::CheckPoint;
use protocol::codes::response;
use protocol::pop::{ORDER_REVIVE_QUEUE, Retry, write_offsets, write_start};
use protocol::record::records;
use rt::{Priority, Runtime as _};
use std::rc::Rc;

/// A queue to look into.
#[derive(Clone, Debug)]
struct Source {
    key: Key,
    retry: Retry,
}

/// What one pop asks of each queue.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    messages_max: usize,
    invisible_ms: i64,
    begins_at_end: bool,
}

/// Runs a pop that passed its checks, or that was woken.
pub(crate) fn begin(shard: &mut Shard, ask: PopAsk) {
    shard.cx.core.spawn(Priority::Foreground, run(shard.cx.clone(), ask));
}

async fn run(cx: Cx, mut ask: PopAsk) {
    loop {
        let seen = cx.store.visible();
        let outcome = match ask.kind {
            PopKind::Pop { messages_max, invisible_ms, begins_at_end } => {
                let wanted = Wanted { messages_max, invisible_ms, begins_at_end };
                match pop(&cx, &ask, wanted).await {
                    Ok(taken) => Outcome::Popped(taken),
                    Err(refusal) => Outcome::Refused(refusal),
                }
            }
            PopKind::Notification => {
                let has_message = cx.with(|shard, _| has_message(shard, &ask));
                Outcome::Notified { has_message }
            }
        };
        let is_news = cx.store.visible() != seen;
        match cx.with(|shard, net| answer::finish(shard, net, ask, outcome, is_news)) {
            Some(again) => ask = again,
            None => return,
        }
    }
}

async fn pop(cx: &Cx, ask: &PopAsk, wanted: Wanted) -> Result<Taken, Refusal> {
    cx.with(|shard, _| check_room(shard, 1))?;
    let (mut taken, sources) = cx.with(|shard, _| plan(shard, ask));
    for source in sources {
        if !cx.with(|shard, _| take_queue(shard, &source, &mut taken)) {
            continue;
        }
        let outcome = one_queue(cx, ask, wanted, &source, &mut taken).await;
        cx.with(|shard, _| give_queue_back(shard, ask, &source));
        match outcome {
            // What it has is under checkpoints already.
            Err(_) if taken.messages > 0 => break,
            outcome => outcome?,
        }
    }
    if let Some(end) = taken.end {
        put::passed(cx, end).await.map_err(|error| not_stored(cx, &error))?;
    }
    Ok(taken)
}

/// Where it looks, in this order.
fn plan(shard: &mut Shard, ask: &PopAsk) -> (Taken, Vec<Source>) {
    let options = shard.cx.options.process.pop;
    let chance = shard.cx.core.random_u64() % 100;
    let retry_first = chance < options.retry_first_percent;
    let retry = match (options.retry_v2, options.reads_v1_too && chance.is_multiple_of(2)) {
        (false, _) | (true, true) => Retry::V1,
        (true, false) => Retry::V2,
    };
    let mut sources = vec![];
    if retry_first && !ask.order {
        add(shard, ask, &mut sources, retry, chance);
    }
    add(shard, ask, &mut sources, Retry::No, chance);
    if !retry_first && !ask.order {
        add(shard, ask, &mut sources, retry, chance);
    }
    let taken = Taken {
        pop_time_ms: shard.cx.now_ms(),
        revive_queue: if ask.order {
            ORDER_REVIVE_QUEUE
        } else {
            shard.services.pops.next_revive_queue()
        },
        ..Taken::default()
    };
    (taken, sources)
}

/// All queues of a topic, from the one that chance says; the one that is asked for.
fn add(shard: &Shard, ask: &PopAsk, sources: &mut Vec<Source>, retry: Retry, chance: u64) {
    let topics = &shard.tables.topics;
    let topic = match retry {
        Retry::No => topics.get(&ask.topic),
        retry => topics.get(&retry.topic(&ask.topic, &ask.group)),
    };
    let Some(topic) = topic else { return };
    let source = |queue_id| {
        let (topic, group) = (topic.name.clone(), ask.group.clone());
        Source { key: Key { topic, group, queue_id }, retry }
    };
    if retry == Retry::No && ask.queue_id >= 0 {
        sources.push(source(ask.queue_id));
        return;
    }
    let queues = topic.config.read_queue_nums.max(0);
    let first = i32::try_from(chance).expect("below 100");
    sources.extend((0..queues).map(|nth| source((nth + first) % queues)));
}

/// Takes a queue for this pop. One that another reads at this moment counts as messages that are
/// left, and its pop wakes the next one.
fn take_queue(shard: &mut Shard, source: &Source, taken: &mut Taken) -> bool {
    if shard.services.pops.cursors.take(&source.key) {
        return true;
    }
    taken.rest += left(shard, &source.key);
    false
}

fn left(shard: &mut Shard, key: &Key) -> i64 {
    let range = shard.cx.store.queue_range(&key.topic, key.queue_id).unwrap_or_default();
    let at = known(shard, key).unwrap_or(range.min_offset.0);
    (range.max_offset.0 - at).max(0)
}

fn give_queue_back(shard: &mut Shard, ask: &PopAsk, source: &Source) {
    if shard.services.pops.cursors.give_back(&source.key) {
        wake_next(shard, ask);
    }
}

/// Where the group is, if it ever was in this queue.
fn known(shard: &mut Shard, key: &Key) -> Option<i64> {
    let saved = shard.tables.offsets.query(&key.group, &key.topic, key.queue_id);
    saved.max(shard.services.pops.cursors.next(key))
}

/// The next message of a group in a queue; a group that was never there begins, and its place is
/// saved.
fn next_message(shard: &mut Shard, source: &Source, begins_at_end: bool) -> i64 {
    let key = &source.key;
    let (group, topic, queue_id) = (&*key.group, &*key.topic, key.queue_id);
    if let Some(offset) = shard.tables.offsets.take_reset(group, topic, queue_id) {
        shard.services.pops.cursors.reset(key);
        shard.tables.pop_orders.clear(topic, group, queue_id);
        return offset;
    }
    if let Some(next) = known(shard, key) {
        return next;
    }
    let store = &shard.cx.store;
    let range = store.queue_range(topic, queue_id).unwrap_or_default();
    let (min, max) = (range.min_offset.0, range.max_offset.0);
    let in_memory = shard.cx.options.process.pop.begins_in_memory
        && min <= 0
        && store.is_hot(topic, queue_id, QueueOffset(0));
    let begin = match (source.retry, begins_at_end) {
        (Retry::V1 | Retry::V2, _) | (Retry::No, false) => min,
        (Retry::No, true) if in_memory => 0,
        // Apache begins at the last message, not behind it.
        (Retry::No, true) => (max - 1).max(0),
    };
    let now_ms = shard.cx.now_ms();
    shard.tables.offsets.commit(group, topic, queue_id, begin, now_ms);
    begin
}

/// Takes what a queue has, up to what is still wanted.
async fn one_queue(
    cx: &Cx,
    ask: &PopAsk,
    wanted: Wanted,
    source: &Source,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let mut next = cx.with(|shard, _| next_message(shard, source, wanted.begins_at_end));
    // What waits behind messages that block their queue is no news: it would wake pops in vain.
    if ask.order && cx.with(|shard, _| order::is_blocked(shard, ask, source.key.queue_id)) {
        return Ok(());
    }
    if taken.messages >= wanted.messages_max {
        taken.rest += cx.with(|shard, _| left(shard, &source.key));
        return Ok(());
    }
    let mut found = ReadSlices::default();
    let mut status = ReadStatus::NoMessageInQueue;
    for _ in 0..2 {
        let request = ReadRequest {
            topic: &source.key.topic,
            queue_id: source.key.queue_id,
            offset: QueueOffset(next),
            max_messages: wanted.messages_max - taken.messages,
            max_bytes: usize::MAX, // the store's own limits decide, as for a pull
            filter: ask.filter.as_tag_filter(),
            as_asked: false,
        };
        status = read(cx, &request, &mut found).await?;
        let is_off = matches!(
            status,
            ReadStatus::OffsetTooSmall
                | ReadStatus::OffsetOverflowBadly
                | ReadStatus::OffsetFoundNull
        );
        if !is_off {
            break;
        }
        next = found.next_begin_offset.0;
        let key = &source.key;
        cx.with(|shard, _| {
            shard.services.pops.cursors.reset(key);
            let now_ms = shard.cx.now_ms();
            let (group, topic) = (&key.group, &key.topic);
            shard.tables.offsets.commit(group, topic, key.queue_id, next, now_ms);
        });
    }
    took(cx, ask, wanted, (source, next), (status, found), taken).await
}

/// From memory, else from disk.
async fn read(
    cx: &Cx,
    request: &ReadRequest<'_>,
    found: &mut ReadSlices,
) -> Result<ReadStatus, Refusal> {
    found.clear();
    let status = cx.store.read(request, found);
    if status != ReadStatus::Cold {
        return Ok(status);
    }
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let Some(_place) = place else {
        // What is left there is popped later.
        return Ok(ReadStatus::NoMessageInQueue);
    };
    let cold = cx.store.read_cold(request.to_owned()).await?;
    *found = ReadSlices {
        slices: cold.slices,
        messages: cold.messages,
        bytes: cold.bytes,
        origins: cold.origins,
        next_begin_offset: cold.next_begin_offset,
        range: cold.range,
    };
    Ok(cold.status)
}

/// What was found is handed out: under a checkpoint that is in the log first.
async fn took(
    cx: &Cx,
    ask: &PopAsk,
    wanted: Wanted,
    (source, from): (&Source, i64),
    (status, found): (ReadStatus, ReadSlices),
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let next = found.next_begin_offset.0;
    if status == ReadStatus::Found {
        let offsets: Vec<i64> = found
            .slices
            .iter()
            .flat_map(|slice| records(slice))
            .filter_map(|record| record.ok().map(|record| record.queue_offset()))
            .collect();
        if ask.order {
            let ordered = order::Ordered { queue_id: source.key.queue_id, from, offsets: &offsets };
            if !cx.with(|shard, _| order::popped(shard, ask, ordered, wanted.invisible_ms, taken)) {
                return Ok(());
            }
        } else {
            hand_out(cx, wanted, (source, from), (&offsets, next), taken).await?;
        }
        cx.with(|shard, _| count(shard, &source.key, next, &found));
        write_start(&mut taken.starts, source.retry, source.key.queue_id, from);
        let (retry, queue_id) = (source.retry, source.key.queue_id);
        write_offsets(&mut taken.offsets, retry, queue_id, offsets.iter().copied());
        keep(cx, ask, wanted, (source, from), found, taken);
        taken.messages += offsets.len();
    } else {
        let goes_on = matches!(
            status,
            ReadStatus::NoMatchedMessage
                | ReadStatus::OffsetFoundNull
                | ReadStatus::MessageWasRemoving
        );
        if goes_on && next > from {
            cx.with(|shard, _| passed(shard, ask, source, next));
        }
    }
    taken.rest += cx.with(|shard, _| left(shard, &source.key));
    Ok(())
}

/// Messages that the group does not want are passed.
fn passed(shard: &mut Shard, ask: &PopAsk, source: &Source, next: i64) {
    let Key { topic, group, queue_id } = &source.key;
    if ask.order {
        let now_ms = shard.cx.now_ms();
        shard.tables.offsets.commit(group, topic, *queue_id, next, now_ms);
    } else {
        let end = shard.cx.store.appended();
        shard.services.pops.cursors.advance(&source.key, next, end);
    }
}

/// Puts a checkpoint into the log, and the group's next message behind it.
async fn hand_out(
    cx: &Cx,
    wanted: Wanted,
    (source, from): (&Source, i64),
    (offsets, next): (&[i64], i64),
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let record = cx.with(|shard, _| check_point(shard, source, from, offsets, wanted, taken))?;
    taken.end = Some(append(cx, &record).await?);
    let end = cx.store.appended();
    cx.with(|shard, _| shard.services.pops.cursors.advance(&source.key, next, end));
    Ok(())
}

/// Puts messages into the answer. Those of a retry topic are written anew, unless clients want them
/// as they are: with the topic that was sent to, and the receipt.
fn keep(
    cx: &Cx,
    ask: &PopAsk,
    wanted: Wanted,
    (source, from): (&Source, i64),
    found: ReadSlices,
    taken: &mut Taken,
) {
    if source.retry == Retry::No || cx.options.process.pop.returns_retry_topic {
        taken.bytes += found.bytes;
        taken.slices.extend(found.slices);
        return;
    }
    let handed = retry_message::Handed {
        topic: &ask.topic,
        retry: source.retry,
        start_offset: from,
        pop_time_ms: taken.pop_time_ms,
        invisible_ms: wanted.invisible_ms,
        revive_queue: taken.revive_queue,
        broker: &cx.options.broker,
    };
    for record in found.slices.iter().flat_map(|slice| records(slice)).filter_map(Result::ok) {
        if let Some(slice) = handed.rewritten(&record) {
            taken.bytes += slice.len();
            taken.slices.push(slice);
        }
    }
}

fn count(shard: &mut Shard, key: &Key, next: i64, found: &ReadSlices) {
    let messages = u64::try_from(found.messages).expect("a usize fits a u64");
    shard.reads.messages_out += messages;
    shard.services.pops.counts.popped += messages;
    shard.reads.origins += found.origins;
    let bytes = u64::try_from(found.bytes).expect("a usize fits a u64");
    let got = crate::tables::pull_offsets::Got { messages, bytes, took_ms: 0 };
    shard.tables.pulled.pulled((&key.group, &key.topic), key.queue_id, next, got);
}

fn check_point(
    shard: &Shard,
    source: &Source,
    from: i64,
    offsets: &[i64],
    wanted: Wanted,
    taken: &Taken,
) -> Result<ReviveRecord, Refusal> {
    let diff = |offset: &i64| i32::try_from(offset - from).ok();
    let diffs: Option<Vec<i32>> = offsets.iter().map(diff).collect();
    let too_far = || {
        let remark = "messages of one pop lie further apart than a checkpoint can say";
        Refusal::new(response::SYSTEM_ERROR, remark)
    };
    let point = CheckPoint {
        broker: Some(shard.cx.options.broker.clone()),
        group: Some(source.key.group.to_string()),
        topic: Some(source.key.topic.to_string()),
        messages: i8::try_from(offsets.len()).map_err(|_| too_far())?,
        diffs: diffs.ok_or_else(too_far)?,
        invisible_ms: wanted.invisible_ms,
        pop_time_ms: taken.pop_time_ms,
        queue_id: source.key.queue_id,
        start_offset: from,
        ..CheckPoint::default()
    };
    let topic = protocol::pop::revive_topic(&shard.cx.options.process.cluster);
    let record = writer(shard, &topic).check_point(&point, taken.revive_queue);
    record.map_err(|not| not_timed(shard, not))
}

/// Whether a NOTIFICATION has news: Apache's `hasMsgFromQueue` of every queue.
fn has_message(shard: &mut Shard, ask: &PopAsk) -> bool {
    let mut sources = vec![];
    let chance = shard.cx.core.random_u64() % 100;
    let options = shard.cx.options.process.pop;
    add(shard, ask, &mut sources, Retry::No, chance);
    add(shard, ask, &mut sources, Retry::V1, chance);
    if options.retry_v2 {
        add(shard, ask, &mut sources, Retry::V2, chance);
    }
    sources.iter().any(|source| {
        let is_blocked = ask.order && order::is_blocked(shard, ask, source.key.queue_id);
        !is_blocked && left(shard, &source.key) > 0
    })
}

/// What one may see without taking it: the first messages of a queue of this group.
pub(crate) fn peek_from(shard: &mut Shard, topic: &Rc<str>, group: &Rc<str>, queue_id: i32) -> i64 {
    let key = Key { topic: topic.clone(), group: group.clone(), queue_id };
    let range = shard.cx.store.queue_range(topic, queue_id).unwrap_or_default();
    known(shard, &key).unwrap_or(range.min_offset.0)
}
