//! The path of a read, from its check to its answer. See the folder's text for a picture.

use super::allowed::{self, NotAllowed};
use super::long_polls::{Arrived, Look, Wait};
use super::read::{Asked, Read};
use super::state::Reads;
use super::{fetch_answer, pull_answer};
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::desk::counts::us_of;
use crate::shard::Shard;
use crate::tables::Tables;
use crate::tables::pull_offsets::Got;
use engine::{
    Arrival, ColdRead, QueueOffset, QueueRange, ReadError, ReadRequest, ReadSlices, ReadStatus,
    Store,
};
use netcore::{ConnId, Net};
use protocol::codes::response;
use protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC};
use rt::real::Core;
use rt::{Priority, Runtime as _};

/// Runs a read that passed its checks.
pub(crate) fn run(shard: &mut Shard, net: &mut Net, read: Read) -> Done {
    if let Some(offset) = take_reset(shard, &read) {
        let range = shard.cx.store.queue_range(&read.topic, read.queue_id).unwrap_or_default();
        pull_answer::reset(net, &read, offset, range);
        return Done::Answered;
    }
    let mut slices = std::mem::take(&mut shard.reads.slices);
    let status = shard.cx.store.read(&read.request(), &mut slices);
    let done = if status == ReadStatus::Cold {
        read_from_disk(shard, net, read, &slices)
    } else {
        finish(shard, net, read, (status, 0), &mut slices)
    };
    slices.clear();
    shard.reads.slices = slices;
    done
}

/// Where a tool has told the group of a pull to go on.
fn take_reset(shard: &mut Shard, read: &Read) -> Option<i64> {
    let Asked::Pull { group, .. } = &read.asked else { return None };
    shard.tables.offsets.take_reset(group, &read.topic, read.queue_id)
}

/// A task reads from disk and comes back with what it found.
fn read_from_disk(shard: &mut Shard, net: &mut Net, read: Read, at: &ReadSlices) -> Done {
    let Some(place) = shard.reads.admission.try_take() else {
        return busy(net, &read, "too many reads from disk at once", at);
    };
    let cx = shard.cx.clone();
    let began_ms = cx.monotonic_ms();
    let at = (at.next_begin_offset, at.range);
    shard.cx.core.spawn(Priority::Foreground, async move {
        let found = cx.store.read_cold(read.owned_request()).await;
        drop(place);
        let took_ms = cx.monotonic_ms().abs_diff(began_ms);
        cx.with(|shard, net| finish_cold(shard, net, read, (found, took_ms), at));
    });
    Done::Waits
}

/// Nobody is dropped and nothing piles up here: the client asks again.
fn busy(net: &mut Net, read: &Read, why: &str, at: &ReadSlices) -> Done {
    match read.asked {
        Asked::Pull { .. } => pull_answer::retry(net, read, why, at),
        Asked::Fetch => fetch_answer::busy(net, read, why),
    }
    Done::Refused
}

fn finish_cold(
    shard: &mut Shard,
    net: &mut Net,
    read: Read,
    (found, took_ms): (Result<ColdRead, ReadError>, u64),
    (next_begin_offset, range): (QueueOffset, QueueRange),
) {
    let ticket = read.ticket;
    let done = match found {
        Ok(ColdRead { status, slices, messages, bytes, origins, next_begin_offset, range }) => {
            let mut found =
                ReadSlices { slices, messages, bytes, origins, next_begin_offset, range };
            finish(shard, net, read, (status, took_ms), &mut found)
        }
        Err(error @ ReadError::TooMuchMemory { .. }) => {
            let at = ReadSlices { next_begin_offset, range, ..ReadSlices::default() };
            busy(net, &read, &error.to_string(), &at)
        }
        Err(error) => {
            let (peer, now_ms) = (net.peer(ticket.conn), shard.cx.now_ms());
            shard.peers.log.blame(peer, now_ms, &format_args!("a read failed: {error}"));
            match read.asked {
                Asked::Pull { .. } => ticket.refuse(net, &error.into(), None),
                Asked::Fetch => ticket.refuse_native(net, &fetch_answer::failed(&error)),
            }
            Done::Refused
        }
    };
    end(shard, &ticket, done, us_of(shard.cx.core.now_nanos()));
}

fn finish(
    shard: &mut Shard,
    net: &mut Net,
    read: Read,
    (status, took_ms): (ReadStatus, u64),
    found: &mut ReadSlices,
) -> Done {
    let messages = u64::try_from(found.messages).expect("a usize fits a u64");
    shard.reads.messages_out += messages;
    shard.reads.origins += found.origins;
    if messages > 0 {
        shard.reads.found += 1;
    } else {
        shard.reads.missed += 1;
    }
    let is_at_end = match read.asked {
        Asked::Pull { .. } => pull_answer::is_at_end(status, read.offset),
        Asked::Fetch => fetch_answer::is_at_end(status, read.offset),
    };
    let may_wait = read.poll_ms.is_some_and(|poll_ms| poll_ms > 0) && !read.ticket.is_oneway();
    // After a read from disk the connection or the topic may be gone: nobody would end the wait.
    let is_there =
        || net.peer(read.ticket.conn).is_some() && shard.tables.topics.get(&read.topic).is_some();
    if is_at_end && matches!(read.asked, Asked::Pull { .. }) && master_is_there(shard) {
        pull_answer::ask_the_master(net, &read, found);
        return Done::Answered;
    }
    if is_at_end && may_wait && is_there() {
        return poll(shard, net, read);
    }
    if let Asked::Pull { group, .. } = &read.asked {
        let next = found.next_begin_offset.0;
        let bytes = u64::try_from(found.bytes).expect("a usize fits a u64");
        let got = Got { messages, bytes, took_ms };
        shard.tables.pulled.pulled((group, &read.topic), read.queue_id, next, got);
    }
    answer(net, &read, status, found);
    Done::Answered
}

/// Whether this is a slave whose master's log comes in. Without its master a slave lets reads wait,
/// where Apache's has clients ask again and again.
fn master_is_there(shard: &Shard) -> bool {
    shard.cx.options.process.replication.is_slave() && shard.services.replication.following.is_up()
}

fn answer(net: &mut Net, read: &Read, status: ReadStatus, found: &mut ReadSlices) {
    match &read.asked {
        Asked::Pull { .. } => pull_answer::write(net, read, status, found),
        Asked::Fetch => fetch_answer::write(net, read, status, found),
    }
}

/// Lets a read wait for a message; when too many do, it is refused.
fn poll(shard: &mut Shard, net: &mut Net, read: Read) -> Done {
    let (topic, filter, conn) = (read.topic.clone(), read.filter.clone(), read.ticket.conn);
    let wait = Wait {
        topic: &topic,
        queue_id: read.queue_id,
        offset: read.offset,
        filter: &filter,
        poll_ms: read.poll_ms.unwrap_or(0),
    };
    match shard.reads.long_polls.wait(&wait, conn, shard.cx.monotonic_ms(), read) {
        Ok(()) => Done::Waits,
        Err(read) => {
            too_many_wait(shard, net, &read);
            Done::Refused
        }
    }
}

/// A client that is told that nothing was found would ask again at once, and so would all others
/// that find no place.
fn too_many_wait(shard: &Shard, net: &mut Net, read: &Read) {
    let max = shard.cx.options.process.serve.limits.long_polls;
    let why = format!("[OVERLOAD]{max} pulls wait for messages already (longPollsMax)");
    match read.asked {
        Asked::Pull { .. } => {
            let refusal = Refusal::new(response::SYSTEM_BUSY, why);
            read.ticket.refuse(net, &refusal, None);
        }
        Asked::Fetch => fetch_answer::busy(net, read, &why),
    }
}

/// Runs a read once more, and for the last time: what it finds is its answer.
fn wake(shard: &mut Shard, net: &mut Net, mut read: Read, now_ms: i64, now_us: u32) {
    read.poll_ms = None;
    let ticket = read.ticket;
    let done = match still_allowed(&mut shard.tables, &read, now_ms) {
        Ok(()) => run(shard, net, read),
        Err(not) => {
            match read.asked {
                Asked::Pull { .. } => ticket.refuse(net, &not.refusal(), None),
                Asked::Fetch => ticket.refuse_native(net, &not.native_refusal()),
            }
            Done::Refused
        }
    };
    end(shard, &ticket, done, now_us);
}

/// What was allowed when the read came may have changed while it waited.
fn still_allowed(tables: &mut Tables, read: &Read, now_ms: i64) -> Result<(), NotAllowed> {
    let group = match &read.asked {
        Asked::Pull { group, .. } => {
            allowed::group(&mut tables.groups, group, now_ms)?;
            group
        }
        Asked::Fetch => "",
    };
    allowed::topic(&tables.topics, &read.topic)?.queue(read.queue_id, group)
}

/// Tells the desk of a read that ended after it had waited.
fn end(shard: &mut Shard, ticket: &Ticket, done: Done, now_us: u32) {
    match done {
        Done::Answered => shard.desk.ended(ticket, true, now_us),
        Done::Refused => shard.desk.ended(ticket, false, now_us),
        Done::Waits => {}
    }
}

fn wake_all(shard: &mut Shard, net: &mut Net, woken: &mut Vec<Read>) {
    if woken.is_empty() {
        return;
    }
    let (now_ms, now_us) = (shard.cx.now_ms(), us_of(shard.cx.core.now_nanos()));
    for read in woken.drain(..) {
        wake(shard, net, read, now_ms, now_us);
    }
}

/// Wakes the long polls whose messages became visible, the delay levels, timers and transactions.
pub(crate) fn wake_arrivals(shard: &mut Shard, net: &mut Net) {
    if !shard.cx.store.has_arrivals() {
        return;
    }
    let mut woken = std::mem::take(&mut shard.reads.woken);
    let Reads { long_polls: polls, slices, pops, notifications, woken_pops, .. } = &mut shard.reads;
    let (store, services) = (&shard.cx.store, &shard.services);
    let nobody_waits = polls.len() == 0 && pops.len() == 0 && notifications.len() == 0;
    store.drain_arrivals(|arrival| {
        match arrival.topic {
            SCHEDULE_TOPIC => services.schedule.arrived(arrival.queue_id),
            TIMER_TOPIC => services.timers.arrived.notify(),
            TRANS_HALF_TOPIC => services.transactions.half_arrived(),
            topic => {
                services.pops.arrived(topic, arrival.queue_id);
                services.lite.arrived(topic);
            }
        }
        if nobody_waits {
            return;
        }
        let Arrival { topic, queue_id, max_offset: QueueOffset(max_offset), tags_code } = arrival;
        let arrived = Arrived { topic, queue_id, max_offset, tags_code };
        polls.arrived(arrived, |read| look(store, read, slices), &mut woken);
        for waiting in [&mut *pops, &mut *notifications] {
            waiting.arrived(topic, queue_id, tags_code, woken_pops);
        }
    });
    wake_all(shard, net, &mut woken);
    shard.reads.woken = woken;
}

/// Looks for a message that a long poll wants whose filter needs records. It goes on behind those
/// that it does not want: nobody is answered for them, as Apache answers nobody.
fn look(store: &Store<Core>, read: &mut Read, slices: &mut ReadSlices) -> Look {
    let status = store.read(&ReadRequest { max_messages: 1, ..read.request() }, slices);
    let (next, end) = (slices.next_begin_offset, slices.range.max_offset);
    slices.clear();
    if status != ReadStatus::NoMatchedMessage || next < end {
        return Look::Wakes;
    }
    read.offset = next.0;
    Look::WaitsFrom(next.0)
}

/// Answers the long polls whose time is up.
pub(crate) fn expire(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.monotonic_ms();
    let Reads { pops, notifications, woken_pops, .. } = &mut shard.reads;
    pops.expire(now_ms, woken_pops);
    notifications.expire(now_ms, woken_pops);
    with_woken(shard, net, |shard, due| shard.reads.long_polls.expire(now_ms, due));
}

/// Answers the long polls whose queues have messages that they don't want: their consumers learn
/// how far they may go on (Apache looks every 5 s, `PullRequestHoldService`).
pub(crate) fn look_again(shard: &mut Shard, net: &mut Net) {
    with_woken(shard, net, |shard, woken| {
        let store = &shard.cx.store;
        let end = |topic: &str, queue_id: i32| {
            store.queue_range(topic, queue_id).map_or(0, |range| range.max_offset.0)
        };
        shard.reads.long_polls.look_again(end, woken);
    });
}

/// A tool has told a group where to go on in a queue: its long polls there hear of it now.
pub(crate) fn is_reset(shard: &mut Shard, net: &mut Net, group: &str, topic: &str, queue_id: i32) {
    let is_of_group =
        |read: &Read| matches!(&read.asked, Asked::Pull { group: asked, .. } if **asked == *group);
    with_woken(shard, net, |shard, woken| {
        shard.reads.long_polls.take_from(topic, queue_id, is_of_group, woken);
    });
}

/// Answers the long polls of a topic that is gone.
pub(crate) fn topic_is_gone(shard: &mut Shard, net: &mut Net, topic: &str) {
    let Reads { pops, notifications, woken_pops, .. } = &mut shard.reads;
    pops.forget_topic(topic, woken_pops);
    notifications.forget_topic(topic, woken_pops);
    with_woken(shard, net, |shard, woken| shard.reads.long_polls.forget_topic(topic, woken));
}

fn with_woken(shard: &mut Shard, net: &mut Net, take: impl FnOnce(&mut Shard, &mut Vec<Read>)) {
    let mut woken = std::mem::take(&mut shard.reads.woken);
    take(shard, &mut woken);
    wake_all(shard, net, &mut woken);
    shard.reads.woken = woken;
}

/// A connection is gone, and its long polls with it.
pub(crate) fn closed(shard: &mut Shard, conn: ConnId) {
    let mut gone = std::mem::take(&mut shard.reads.woken);
    shard.reads.long_polls.closed(conn, &mut gone);
    let mut pops = vec![];
    shard.reads.pops.closed(conn, &mut pops);
    shard.reads.notifications.closed(conn, &mut pops);
    if !gone.is_empty() || !pops.is_empty() {
        let now_us = us_of(shard.cx.core.now_nanos());
        for ask in pops {
            shard.desk.ended(&ask.ticket, false, now_us);
        }
        for read in gone.drain(..) {
            shard.desk.ended(&read.ticket, false, now_us);
        }
    }
    shard.reads.woken = gone;
}
