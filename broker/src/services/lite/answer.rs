//! What becomes of a pop of lite topics: its answer, or a long poll.

use super::ask::LiteAsk;
use crate::answers::remoting::Refusal;
use crate::desk::counts::us_of;
use crate::shard::Shard;
use engine::ReadSlices;
use netcore::Net;
use protocol::codes::response;
use protocol::pop::ORDER_REVIVE_QUEUE;
use protocol::remoting::ExtWriter;
use rt::{BufSlice, Runtime as _};

/// A long poll that would end so soon is not begun (Apache's `PopRequest.isTimeout`).
const SOON_MS: i64 = 50;

/// What a pop has taken so far.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// When it was popped, in milliseconds since 1970.
    pub(super) pop_time_ms: i64,
    /// How many messages.
    pub(super) messages: usize,
    slices: Vec<BufSlice>,
    bytes: usize,
    /// `orderCountInfo`.
    counts: String,
}

impl Taken {
    /// Nothing yet.
    pub(super) fn at(pop_time_ms: i64) -> Self {
        Self { pop_time_ms, ..Self::default() }
    }

    /// Adds what a queue gave. `counts`: how often each of its messages was delivered before.
    pub(super) fn add(&mut self, found: ReadSlices, counts: &str) {
        if !self.counts.is_empty() {
            self.counts.push(';');
        }
        self.counts.push_str(counts);
        self.messages += found.messages;
        self.bytes += found.bytes;
        self.slices.extend(found.slices);
    }
}

/// Answers, or lets it wait. Gives it back when it is to run once more, at once: it found nothing,
/// and its client was told of something meanwhile.
pub(super) fn finish(
    shard: &mut Shard,
    net: &mut Net,
    ask: LiteAsk,
    outcome: Result<Taken, Refusal>,
) -> Option<LiteAsk> {
    let taken = match outcome {
        Ok(taken) => taken,
        Err(refusal) => {
            ask.ticket.refuse(net, &refusal, None);
            ended(shard, &ask, false);
            return None;
        }
    };
    if taken.messages > 0 {
        end(shard, net, &ask, taken, response::SUCCESS);
        return None;
    }
    let now_ms = shard.cx.now_ms();
    let left_ms = ask.until_ms.saturating_sub(now_ms);
    let is_there = net.peer(ask.ticket.conn).is_some()
        && shard.tables.topics.get(&ask.topic).is_some()
        && !shard.is_stopping;
    if left_ms <= SOON_MS || ask.ticket.is_oneway() || !is_there {
        end(shard, net, &ask, taken, response::POLLING_TIMEOUT);
        return None;
    }
    if ask.messages_max > 0 && shard.services.lite.events.has(&ask.client) {
        return Some(ask);
    }
    shard.services.lite.events.accessed(&ask.client, now_ms);
    wait(shard, net, ask, taken, left_ms);
    None
}

fn wait(shard: &mut Shard, net: &mut Net, ask: LiteAsk, taken: Taken, left_ms: i64) {
    let (now_ms, max) = (shard.cx.monotonic_ms(), shard.cx.options.process.pop.polls_of_one);
    if let Err(ask) = shard.services.lite.wait(ask, max, now_ms, left_ms) {
        end(shard, net, &ask, taken, response::POLLING_FULL);
    }
}

/// Writes the answer; clients read the fields of every one, found or not.
fn end(shard: &mut Shard, net: &mut Net, ask: &LiteAsk, taken: Taken, code: i32) {
    let status = if taken.messages > 0 { "FOUND" } else { "NO_MESSAGE_IN_QUEUE" };
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.int("popTime", taken.pop_time_ms);
        ext.int("invisibleTime", ask.invisible_ms);
        ext.int("reviveQid", ORDER_REVIVE_QUEUE);
        ext.str("orderCountInfo", &taken.counts);
    };
    let head = ask.ticket.head(code, Some(status));
    ask.ticket.answer_slices(net, &head, ext, taken.bytes, taken.slices.into_iter());
    ended(shard, ask, true);
}

fn ended(shard: &mut Shard, ask: &LiteAsk, is_done: bool) {
    let now_us = us_of(shard.cx.core.now_nanos());
    shard.desk.ended(&ask.ticket, is_done, now_us);
}
