//! Fetch: records of one queue, as slices of the log behind a header.
//!
//! ```text
//!   Store::read ──found──► header + slices of the tail (nothing of a record is touched)
//!       │  └─cold──► task: Store::read_cold ──► the same
//!       └─at the end──► held, when the request lets it ──message or time──► read once more, answered whatever it finds
//! ```

use crate::answers::native::{NativeCaller, NativeRefusal};
use crate::limits::{
    HELD_PULL_MS_MAX, NATIVE_FETCH_BYTES_MAX, NATIVE_FETCH_MESSAGES_MAX, TAGS_PER_SUBSCRIPTION_MAX,
};
use crate::reads::filter::Filter;
use crate::shard::{HeldRequest, Shard};
use engine::{
    ColdRead, OwnedReadRequest, QueueOffset, ReadError, ReadRequest, ReadSlices, ReadStatus,
};
use netcore::{ConnId, Net};
use protocol::bodies::perm;
use protocol::native::{
    ArchivedFetch, ErrorCode, FetchStatus, Fetched, FrameView, Kind, append_frame,
};
use rt::{Priority, Runtime as _};
use std::rc::Rc;

/// A fetch that passed its checks: what is needed to run it, now or when it is woken.
#[derive(Debug)]
pub(crate) struct Fetch {
    caller: NativeCaller,
    topic: Rc<str>,
    queue_id: i32,
    offset: i64,
    messages_max: usize,
    bytes_max: usize,
    filter: Filter,
    /// How long it may be held; 0: not at all.
    hold_ms: i64,
}

impl Fetch {
    /// Whether it came over this connection.
    pub(crate) fn is_of(&self, conn: ConnId) -> bool {
        self.caller.conn == conn
    }
}

/// A fetch that arrived just now.
pub(super) fn handle(
    shard: &mut Shard,
    net: &mut Net,
    caller: NativeCaller,
    frame: &FrameView<'_>,
) -> Result<(), NativeRefusal> {
    let asked = frame.header::<ArchivedFetch>()?;
    let queue_id = asked.queue_id.to_native();
    let topic = readable(shard, &asked.topic, queue_id)?;
    if asked.tags.len() > TAGS_PER_SUBSCRIPTION_MAX {
        return Err(NativeRefusal::new(
            ErrorCode::TooLarge,
            format!("{} tags, at most {TAGS_PER_SUBSCRIPTION_MAX} are allowed", asked.tags.len()),
        ));
    }
    let filter = if asked.tags.is_empty() {
        Filter::All
    } else {
        Filter::Codes(asked.tags.iter().map(|tag| tag.to_native()).collect())
    };
    let fetch = Fetch {
        caller,
        topic,
        queue_id,
        offset: asked.offset.to_native(),
        messages_max: asked.messages_max.to_native().clamp(1, NATIVE_FETCH_MESSAGES_MAX) as usize,
        bytes_max: asked.bytes_max.to_native().min(NATIVE_FETCH_BYTES_MAX) as usize,
        filter,
        hold_ms: i64::from(asked.hold_ms.to_native()).min(HELD_PULL_MS_MAX),
    };
    run(shard, net, fetch);
    Ok(())
}

/// The name of a topic that may be read, shared.
pub(super) fn readable(shard: &Shard, name: &str, queue_id: i32) -> Result<Rc<str>, NativeRefusal> {
    let Some(topic) = shard.topics.get(name) else {
        return Err(NativeRefusal::new(ErrorCode::Topic, format!("topic {name:?} does not exist")));
    };
    if shard.options.process.permission & perm::READ == 0 || topic.config.perm & perm::READ == 0 {
        return Err(NativeRefusal::new(
            ErrorCode::Permission,
            format!("topic {name} may not be read"),
        ));
    }
    let queues = topic.config.read_queue_nums;
    if queue_id < 0 || queue_id >= queues {
        return Err(NativeRefusal::new(
            ErrorCode::Queue,
            format!("queue {queue_id} of topic {name}: it has {queues} for reading, from 0"),
        ));
    }
    Ok(topic.name.clone())
}

/// Runs a held fetch once more, and for the last time: what it finds is its answer.
pub(crate) fn wake(shard: &mut Shard, net: &mut Net, mut fetch: Fetch) {
    fetch.hold_ms = 0;
    let topic = fetch.topic.clone();
    match readable(shard, &topic, fetch.queue_id) {
        Ok(_) => run(shard, net, fetch),
        Err(refusal) => fetch.caller.refuse(net, &refusal),
    }
}

fn run(shard: &mut Shard, net: &mut Net, fetch: Fetch) {
    let mut slices = std::mem::take(&mut shard.slices);
    let request = ReadRequest {
        topic: &fetch.topic,
        queue_id: fetch.queue_id,
        offset: QueueOffset(fetch.offset),
        max_messages: fetch.messages_max,
        max_bytes: fetch.bytes_max,
        filter: fetch.filter.as_tag_filter(),
        as_asked: true,
    };
    match shard.store.read(&request, &mut slices) {
        ReadStatus::Cold => read_from_disk(shard, net, fetch),
        status => finish(shard, net, fetch, status, &mut slices),
    }
    slices.clear();
    shard.slices = slices;
}

/// A task reads from disk and comes back with what it found.
fn read_from_disk(shard: &mut Shard, net: &mut Net, fetch: Fetch) {
    let Some(network) = shard.network.clone() else { return };
    if !shard.begin_cold_read() {
        return fetch.caller.refuse(
            net,
            &NativeRefusal::new(
                ErrorCode::Busy,
                "too many reads from disk at once: fetch again later",
            ),
        );
    }
    let request = OwnedReadRequest {
        topic: Box::from(&*fetch.topic),
        queue_id: fetch.queue_id,
        offset: QueueOffset(fetch.offset),
        max_messages: fetch.messages_max,
        max_bytes: fetch.bytes_max,
        filter: fetch.filter.to_owned_tag_filter(),
        as_asked: true,
    };
    let store = shard.store.clone();
    shard.core.spawn(Priority::Foreground, async move {
        let read = store.read_cold(request).await;
        network.with(|shard, net| {
            shard.cold_reads -= 1;
            finish_cold(shard, net, fetch, read);
        });
    });
}

fn finish_cold(shard: &mut Shard, net: &mut Net, fetch: Fetch, read: Result<ColdRead, ReadError>) {
    match read {
        Ok(ColdRead { status, slices, messages, bytes, next_begin_offset, range }) => {
            let mut read = ReadSlices { slices, messages, bytes, next_begin_offset, range };
            finish(shard, net, fetch, status, &mut read);
        }
        Err(error) => {
            shard.blame(net.peer(fetch.caller.conn), &format_args!("a fetch failed: {error}"));
            fetch.caller.refuse(net, &NativeRefusal::new(ErrorCode::Read, error.to_string()));
        }
    }
}

/// How an outcome is told.
fn status_of(status: ReadStatus, offset: i64) -> FetchStatus {
    match status {
        ReadStatus::Found => FetchStatus::Found,
        ReadStatus::NoMatchedMessage | ReadStatus::Cold => FetchStatus::NoMatch,
        ReadStatus::MessageWasRemoving | ReadStatus::OffsetFoundNull => FetchStatus::Removed,
        ReadStatus::OffsetOverflowBadly => FetchStatus::BeyondEnd,
        ReadStatus::OffsetOverflowOne => FetchStatus::AtEnd,
        ReadStatus::OffsetTooSmall => FetchStatus::BelowMin,
        // The queue has had no message yet: its end is 0.
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue => match offset {
            0 => FetchStatus::AtEnd,
            1.. => FetchStatus::BeyondEnd,
            _ => FetchStatus::BelowMin,
        },
    }
}

fn finish(
    shard: &mut Shard,
    net: &mut Net,
    fetch: Fetch,
    status: ReadStatus,
    read: &mut ReadSlices,
) {
    let status = status_of(status, fetch.offset);
    if status == FetchStatus::AtEnd && fetch.hold_ms > 0 {
        return hold(shard, net, fetch, read);
    }
    answer(net, &fetch, status, read);
}

fn hold(shard: &mut Shard, net: &mut Net, fetch: Fetch, read: &mut ReadSlices) {
    if let Some(peer) = shard.peers.get_mut(&fetch.caller.conn) {
        peer.pulls = true;
    }
    let now_ms = shard.now_ms();
    let (topic, queue_id, want, hold_ms) =
        (fetch.topic.clone(), fetch.queue_id, (fetch.offset, fetch.filter.clone()), fetch.hold_ms);
    if let Err(HeldRequest::Fetch(fetch)) =
        shard.held.hold(&topic, queue_id, want, hold_ms, now_ms, HeldRequest::Fetch(fetch))
    {
        answer(net, &fetch, FetchStatus::AtEnd, read); // too many are held
    }
}

fn answer(net: &mut Net, fetch: &Fetch, status: FetchStatus, read: &mut ReadSlices) {
    let Some(out) = net.out(fetch.caller.conn) else { return };
    let header = Fetched {
        status: status as u8,
        messages: u32::try_from(read.messages).unwrap_or(u32::MAX),
        next_offset: read.next_begin_offset.0,
        min_offset: read.range.min_offset.0,
        max_offset: read.range.max_offset.0,
    };
    let written =
        append_frame(out.bytes(), Kind::Fetched, fetch.caller.correlation, &header, read.bytes);
    debug_assert_eq!(written, Ok(()), "a header of fixed size fits");
    for slice in read.slices.drain(..) {
        out.slice(slice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_without_messages_ends_at_0() {
        for status in [ReadStatus::NoMatchedLogicQueue, ReadStatus::NoMessageInQueue] {
            assert_eq!(
                [-1, 0, 1].map(|offset| status_of(status, offset)),
                [FetchStatus::BelowMin, FetchStatus::AtEnd, FetchStatus::BeyondEnd]
            );
        }
    }
}
