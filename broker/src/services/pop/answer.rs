//! What becomes of a pop: its answer, or a long poll.

use super::taken::Taken;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::Ticket;
use crate::desk::counts::us_of;
use crate::reads::pop_ask::{PopAsk, PopKind};
use crate::reads::pop_polls::Place;
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::response;
use protocol::remoting::ExtWriter;
use rt::Runtime as _;

/// A long poll that would end so soon is not begun (Apache's `PopRequest.isTimeout`).
const SOON_MS: i64 = 50;

/// What a pop came to.
pub(super) enum Outcome {
    /// It has taken messages, or found none.
    Popped(Taken),
    /// A NOTIFICATION looked.
    Notified {
        /// Whether there is a message.
        has_message: bool,
    },
    /// It took nothing.
    Refused(Refusal),
}

/// Answers, or lets it wait. Gives it back when it is to run once more, at once: it found nothing,
/// and a message came while it read from disk (`is_news`).
pub(super) fn finish(
    shard: &mut Shard,
    net: &mut Net,
    ask: PopAsk,
    outcome: Outcome,
    is_news: bool,
) -> Option<PopAsk> {
    let found = match &outcome {
        Outcome::Popped(taken) => taken.messages > 0,
        Outcome::Notified { has_message } => *has_message,
        Outcome::Refused(_) => true,
    };
    if found {
        end(shard, net, &ask, outcome, response::SUCCESS);
        return None;
    }
    let left_ms = ask.until_ms.saturating_sub(shard.cx.now_ms());
    let is_there = net.peer(ask.ticket.conn).is_some()
        && shard.tables.topics.get(&ask.topic).is_some()
        && !shard.is_stopping;
    if left_ms <= SOON_MS || ask.ticket.is_oneway() || !is_there {
        end(shard, net, &ask, outcome, response::POLLING_TIMEOUT);
        return None;
    }
    if is_news {
        return Some(ask);
    }
    wait(shard, net, ask, outcome, left_ms);
    None
}

fn wait(shard: &mut Shard, net: &mut Net, ask: PopAsk, outcome: Outcome, left_ms: i64) {
    let (topic, group) = (ask.topic.clone(), ask.group.clone());
    let at = Place {
        topic: &topic,
        group: &group,
        queue_id: ask.queue_id,
        conn: ask.ticket.conn,
        poll_ms: left_ms,
    };
    let (now_ms, max) = (shard.cx.monotonic_ms(), shard.cx.options.process.pop.polls_of_one);
    let polls = match ask.kind {
        PopKind::Pop { .. } => &mut shard.reads.pops,
        PopKind::Notification => &mut shard.reads.notifications,
    };
    if let Err(ask) = polls.wait(at, max, now_ms, ask) {
        end(shard, net, &ask, outcome, response::POLLING_FULL);
    }
}

/// Writes the answer: with `code` when nothing was found.
fn end(shard: &mut Shard, net: &mut Net, ask: &PopAsk, outcome: Outcome, code: i32) {
    let is_done = match outcome {
        Outcome::Popped(taken) => {
            let has_more = taken.messages > 0 && taken.rest > 0;
            popped(net, ask, taken, code);
            if has_more {
                wake_next(shard, ask);
            }
            true
        }
        Outcome::Notified { has_message } => {
            notified(net, &ask.ticket, has_message, code == response::POLLING_FULL);
            true
        }
        Outcome::Refused(refusal) => {
            ask.ticket.refuse(net, &refusal, None);
            false
        }
    };
    let now_us = us_of(shard.cx.core.now_nanos());
    shard.desk.ended(&ask.ticket, is_done, now_us);
}

/// Clients read the fields of every answer, found or not.
fn popped(net: &mut Net, ask: &PopAsk, taken: Taken, code: i32) {
    let PopKind::Pop { invisible_ms, .. } = ask.kind else { return };
    let status = if taken.messages > 0 { "FOUND" } else { "NO_MESSAGE_IN_QUEUE" };
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.int("popTime", taken.pop_time_ms);
        ext.int("invisibleTime", invisible_ms);
        ext.int("reviveQid", taken.revive_queue);
        ext.int("restNum", taken.rest);
        ext.str("startOffsetInfo", &taken.starts);
        ext.str("msgOffsetInfo", &taken.offsets);
        if ask.order {
            ext.str("orderCountInfo", &taken.order_counts);
        }
    };
    let head = ask.ticket.head(code, Some(status));
    ask.ticket.answer_slices(net, &head, ext, taken.bytes, taken.slices.into_iter());
}

fn notified(net: &mut Net, to: &Ticket, has_message: bool, is_full: bool) {
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.bool("hasMsg", has_message);
        ext.bool("pollingFull", is_full);
    };
    to.answer(net, response::SUCCESS, None, ext, &[]);
}

/// The pop that waits longest for the same runs.
pub(super) fn wake_next(shard: &mut Shard, ask: &PopAsk) {
    let reads = &mut shard.reads;
    reads.pops.wake_next((&ask.topic, &ask.group), ask.queue_id, &mut reads.woken_pops);
}
