//! A pop of lite topics: takes messages of the queues that its client was told of, one queue after
//! another, until it has as many as it may (`PopLiteMessageProcessor`).
//!
//! ```text
//!   next queue of the client's list ─► taken by another, or its messages are out? ─► next queue
//!     ─► next message of the group ─► read, from memory or disk ─► the queue is blocked
//!   ─► the answer: slices of the log      nothing found ─► waits to be told
//! ```

use super::answer::{self, Taken};
use super::ask::LiteAsk;
use super::state::QueueOfGroup;
use super::{dispatch, order};
use crate::answers::remoting::Refusal;
use crate::shard::{Cx, Shard};
use crate::tables::lite_subscriptions::Subscriber;
use crate::tables::pop_orders::OrderedPop;
use engine::{OwnedReadRequest, OwnedTagFilter, QueueOffset, ReadSlices, ReadStatus};
use protocol::lite::QUEUE_ID;
use protocol::record::records;
use rt::{Priority, Runtime as _};
use std::collections::HashSet;
use std::rc::Rc;

/// Runs a pop that passed its checks, or that was woken.
pub(crate) fn begin(shard: &mut Shard, ask: LiteAsk) {
    shard.cx.core.spawn(Priority::Foreground, run(shard.cx.clone(), ask));
}

async fn run(cx: Cx, mut ask: LiteAsk) {
    loop {
        let outcome = pop(&cx, &ask).await;
        match cx.with(|shard, net| answer::finish(shard, net, ask, outcome)) {
            Some(again) => ask = again,
            None => return,
        }
    }
}

async fn pop(cx: &Cx, ask: &LiteAsk) -> Result<Taken, Refusal> {
    let mut taken = Taken::at(cx.now_ms());
    let mut listed = cx.with(|shard, _| all_of(shard, ask)).into_iter();
    let by_events = cx.options.process.lite.by_events;
    let mut seen = HashSet::new();
    while taken.messages < ask.messages_max {
        let next = if by_events {
            cx.with(|shard, _| shard.services.lite.events.poll(&ask.client, cx.now_ms()))
        } else {
            listed.next()
        };
        let Some(queue) = next else { break };
        let at = (queue, ask.group.clone());
        if !seen.insert(at.0.clone()) {
            // It was told of again meanwhile: for the next pop.
            cx.with(|shard, _| dispatch::dispatch(shard, Some(&at.1), &at.0, None));
            break;
        }
        if !cx.with(|shard, _| shard.services.lite.take(&at)) {
            continue;
        }
        let outcome = one_queue(cx, ask, &at, &mut taken).await;
        let was_met = cx.with(|shard, _| shard.services.lite.give_back(&at));
        match outcome {
            // What it has is out already; the client is told of this one again.
            Err(_) if taken.messages > 0 => {
                cx.with(|shard, _| dispatch::dispatch(shard, Some(&at.1), &at.0, None));
                break;
            }
            outcome => outcome?,
        }
        if was_met && !cx.with(|shard, _| order::is_blocked(shard, &at, None)) {
            cx.with(|shard, _| dispatch::dispatch(shard, Some(&at.1), &at.0, None));
        }
    }
    Ok(taken)
}

/// Without events: all that the client has subscribed to and that there is.
fn all_of(shard: &Shard, ask: &LiteAsk) -> Vec<Rc<str>> {
    if shard.cx.options.process.lite.by_events {
        return vec![];
    }
    let client = shard.services.lite.subscriptions.client(&ask.client);
    let queues = client.into_iter().flat_map(|client| &client.queues);
    queues.filter(|queue| dispatch::end_of(shard, queue) > 0).cloned().collect()
}

/// The next message of a group; a group that was never there begins, and its place is saved.
fn next_message(shard: &mut Shard, at: &QueueOfGroup) -> i64 {
    let (queue, group) = (&*at.0, &*at.1);
    let now_ms = shard.cx.now_ms();
    if let Some(offset) = shard.tables.offsets.take_reset(group, queue, QUEUE_ID) {
        order::clear(shard, queue, group);
        return offset;
    }
    if let Some(next) = shard.tables.offsets.query(group, queue, QUEUE_ID) {
        return next;
    }
    let store = &shard.cx.store;
    let range = store.queue_range(queue, QUEUE_ID).unwrap_or_default();
    let begins_in_memory = shard.cx.options.process.pop.begins_in_memory
        && range.min_offset.0 <= 0
        && store.is_hot(queue, QUEUE_ID, QueueOffset(0));
    // Apache begins at the last message, not behind it.
    let begin = if begins_in_memory { 0 } else { (range.max_offset.0 - 1).max(0) };
    shard.tables.offsets.commit(group, queue, QUEUE_ID, begin, now_ms);
    begin
}

/// Takes what a queue has, up to what is still wanted.
async fn one_queue(
    cx: &Cx,
    ask: &LiteAsk,
    at: &QueueOfGroup,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    if cx.with(|shard, _| order::is_blocked(shard, at, ask.attempt_id.as_deref())) {
        return Ok(());
    }
    let mut next = cx.with(|shard, _| next_message(shard, at));
    for _ in 0..2 {
        let (status, found) = read(cx, at, next, ask.messages_max - taken.messages).await?;
        match status {
            ReadStatus::Found => {
                cx.with(|shard, _| took(shard, ask, at, found, taken));
                return Ok(());
            }
            ReadStatus::OffsetTooSmall
            | ReadStatus::OffsetOverflowBadly
            | ReadStatus::OffsetFoundNull
            | ReadStatus::MessageWasRemoving
            | ReadStatus::NoMatchedMessage
            | ReadStatus::NoMatchedLogicQueue => {
                next = found.next_begin_offset.0;
                let now_ms = cx.now_ms();
                cx.with(|shard, _| {
                    shard.tables.offsets.commit(&at.1, &at.0, QUEUE_ID, next, now_ms);
                });
            }
            ReadStatus::NoMessageInQueue | ReadStatus::OffsetOverflowOne | ReadStatus::Cold => {
                break;
            }
        }
    }
    Ok(())
}

/// From memory, else from disk.
async fn read(
    cx: &Cx,
    (queue, _): &QueueOfGroup,
    offset: i64,
    max_messages: usize,
) -> Result<(ReadStatus, ReadSlices), Refusal> {
    let request = OwnedReadRequest {
        topic: (&**queue).into(),
        queue_id: QUEUE_ID,
        offset: QueueOffset(offset),
        max_messages,
        max_bytes: usize::MAX, // the store's own limits decide, as for a pull
        filter: OwnedTagFilter::All,
        as_asked: false,
    };
    let mut hot = ReadSlices::default();
    let status = cx.store.read(&request.as_request(), &mut hot);
    if status != ReadStatus::Cold {
        return Ok((status, hot));
    }
    let place = cx.with(|shard, _| shard.reads.admission.try_take());
    let Some(_place) = place else {
        return Err(crate::answers::remoting::too_many_reads());
    };
    let cold = cx.store.read_cold(request).await?;
    Ok((cold.status, cold.into()))
}

/// What was found is handed out.
fn took(shard: &mut Shard, ask: &LiteAsk, at: &QueueOfGroup, found: ReadSlices, taken: &mut Taken) {
    let (queue, group) = at;
    let all = found.slices.iter().flat_map(|slice| records(slice)).filter_map(Result::ok);
    let offsets: Vec<i64> =
        all.filter_map(|record| engine::place_in(&record, queue, QUEUE_ID)).collect();
    let pop = OrderedPop {
        attempt_id: ask.attempt_id.as_deref(),
        pop_time_ms: taken.pop_time_ms,
        invisible_ms: ask.invisible_ms,
        offsets: &offsets,
    };
    let Some(counts) = order::popped(shard, at, pop) else {
        tracing::warn!("messages of too many lite topics are out: {queue} waits");
        let who = Subscriber { group: group.clone(), client: ask.client.clone() };
        return dispatch::look_later(shard, &who, false);
    };
    let messages = u64::try_from(found.messages).expect("a usize fits a u64");
    let bytes = u64::try_from(found.bytes).expect("a usize fits a u64");
    shard.reads.messages_out += messages;
    shard.services.pops.counts.popped += messages;
    shard.reads.origins += found.origins;
    let got = crate::tables::pull_offsets::Got { messages, bytes, took_ms: 0 };
    let next = found.next_begin_offset.0;
    shard.tables.pulled.pulled((group, queue), QUEUE_ID, next, got);
    taken.add(found, &counts);
}
