//! The path of a read, from its check to its answer. See the folder's text for a picture.

use super::allowed;
use super::long_polls::Wait;
use super::read::{Asked, Read};
use super::{fetch_answer, pull_answer};
use crate::answers::ticket::Done;
use crate::desk::counts::us_of;
use crate::shard::Shard;
use engine::{ColdRead, ReadError, ReadSlices, ReadStatus};
use netcore::{ConnId, Net};
use rt::{Priority, Runtime as _};

/// Runs a read that passed its checks.
pub(crate) fn run(shard: &mut Shard, net: &mut Net, read: Read) -> Done {
    let mut slices = std::mem::take(&mut shard.reads.slices);
    let status = shard.cx.store.read(&read.request(), &mut slices);
    let done = if status == ReadStatus::Cold {
        read_from_disk(shard, net, read, &slices)
    } else {
        finish(shard, net, read, status, &mut slices)
    };
    slices.clear();
    shard.reads.slices = slices;
    done
}

/// A task reads from disk and comes back with what it found.
fn read_from_disk(shard: &mut Shard, net: &mut Net, read: Read, at: &ReadSlices) -> Done {
    let Some(place) = shard.reads.admission.try_take() else {
        // Nobody is dropped and nothing piles up here: the client asks again.
        let why = "too many reads from disk at once";
        match read.asked {
            Asked::Pull { .. } => pull_answer::retry(net, &read, why, at),
            Asked::Fetch => fetch_answer::busy(net, &read, why),
        }
        return Done::Answered;
    };
    let cx = shard.cx.clone();
    shard.cx.core.spawn(Priority::Foreground, async move {
        let found = cx.store.read_cold(read.owned_request()).await;
        drop(place);
        cx.with(|shard, net| finish_cold(shard, net, read, found));
    });
    Done::Waits
}

fn finish_cold(shard: &mut Shard, net: &mut Net, read: Read, found: Result<ColdRead, ReadError>) {
    let ticket = read.ticket;
    let (done, is_done) = match found {
        Ok(ColdRead { status, slices, messages, bytes, next_begin_offset, range }) => {
            let mut found = ReadSlices { slices, messages, bytes, next_begin_offset, range };
            (finish(shard, net, read, status, &mut found), true)
        }
        Err(error) => {
            let (peer, now_ms) = (net.peer(ticket.conn), shard.cx.now_ms());
            shard.peers.log.blame(peer, now_ms, &format_args!("a read failed: {error}"));
            match read.asked {
                Asked::Pull { .. } => ticket.refuse(net, &error.into(), None),
                Asked::Fetch => ticket.refuse_native(net, &fetch_answer::failed(&error)),
            }
            (Done::Answered, false)
        }
    };
    if done == Done::Answered {
        shard.desk.ended(&ticket, is_done, us_of(shard.cx.core.now_nanos()));
    }
}

fn finish(
    shard: &mut Shard,
    net: &mut Net,
    read: Read,
    status: ReadStatus,
    found: &mut ReadSlices,
) -> Done {
    let messages = u64::try_from(found.messages).expect("a usize fits a u64");
    shard.reads.messages_out += messages;
    if messages > 0 {
        shard.reads.found += 1;
    } else {
        shard.reads.missed += 1;
    }
    let is_at_end = match read.asked {
        Asked::Pull { .. } => pull_answer::is_at_end(status, read.offset),
        Asked::Fetch => fetch_answer::is_at_end(status, read.offset),
    };
    if is_at_end && read.poll_ms.is_some_and(|poll_ms| poll_ms > 0) && !read.ticket.is_oneway() {
        return poll(shard, net, read, status, found);
    }
    answer(net, &read, status, found);
    Done::Answered
}

fn answer(net: &mut Net, read: &Read, status: ReadStatus, found: &mut ReadSlices) {
    match &read.asked {
        Asked::Pull { .. } => pull_answer::write(net, read, status, found),
        Asked::Fetch => fetch_answer::write(net, read, status, found),
    }
}

/// Lets a read wait for a message; when too many do, it is answered at once with nothing.
fn poll(
    shard: &mut Shard,
    net: &mut Net,
    read: Read,
    status: ReadStatus,
    found: &mut ReadSlices,
) -> Done {
    let (topic, filter, conn) = (read.topic.clone(), read.filter.clone(), read.ticket.conn);
    let wait = Wait {
        topic: &topic,
        queue_id: read.queue_id,
        offset: read.offset,
        filter: &filter,
        poll_ms: read.poll_ms.unwrap_or(0),
    };
    match shard.reads.long_polls.wait(&wait, conn, shard.cx.now_ms(), read) {
        Ok(()) => Done::Waits,
        Err(read) => {
            answer(net, &read, status, found);
            Done::Answered
        }
    }
}

/// Runs a read once more, and for the last time: what it finds is its answer.
fn wake(shard: &mut Shard, net: &mut Net, mut read: Read) {
    read.poll_ms = None;
    let ticket = read.ticket;
    let now_ms = shard.cx.now_ms();
    let tables = &mut shard.tables;
    let group = match &read.asked {
        Asked::Pull { group, .. } => {
            let group = group.clone();
            allowed::group(&mut tables.groups, &group, now_ms).map(|_| group)
        }
        Asked::Fetch => Ok("".into()),
    };
    let still = group.and_then(|group| {
        allowed::topic(&tables.topics, &read.topic)?.queue(read.queue_id, &group)
    });
    let (done, is_done) = match still {
        Ok(()) => (run(shard, net, read), true),
        Err(not) => {
            match read.asked {
                Asked::Pull { .. } => ticket.refuse(net, &not.refusal(), None),
                Asked::Fetch => ticket.refuse_native(net, &not.native_refusal()),
            }
            (Done::Answered, false)
        }
    };
    if done == Done::Answered {
        shard.desk.ended(&ticket, is_done, us_of(shard.cx.core.now_nanos()));
    }
}

fn wake_all(shard: &mut Shard, net: &mut Net, woken: &mut Vec<Read>) {
    for read in woken.drain(..) {
        wake(shard, net, read);
    }
}

/// Wakes the long polls whose messages became visible.
pub(crate) fn wake_arrivals(shard: &mut Shard, net: &mut Net) {
    if !shard.cx.store.has_arrivals() {
        return;
    }
    let mut woken = std::mem::take(&mut shard.reads.woken);
    let polls = &mut shard.reads.long_polls;
    shard.cx.store.drain_arrivals(|arrival| {
        let (queue_id, max_offset) = (arrival.queue_id, arrival.max_offset.0);
        polls.arrived(arrival.topic, queue_id, max_offset, arrival.tags_code, &mut woken);
    });
    wake_all(shard, net, &mut woken);
    shard.reads.woken = woken;
}

/// Answers the long polls whose time is up.
pub(crate) fn expire(shard: &mut Shard, net: &mut Net) {
    let now_ms = shard.cx.now_ms();
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

/// Answers the long polls of a topic that is gone.
pub(crate) fn topic_is_gone(shard: &mut Shard, net: &mut Net, topic: &str) {
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
    if !gone.is_empty() {
        let now_us = us_of(shard.cx.core.now_nanos());
        for read in gone.drain(..) {
            shard.desk.ended(&read.ticket, false, now_us);
        }
    }
    shard.reads.woken = gone;
}
