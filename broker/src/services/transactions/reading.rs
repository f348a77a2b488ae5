//! Reading the half and the op messages.

use crate::sends::half::QUEUE_ID;
use engine::{
    OwnedReadRequest, OwnedTagFilter, QueueOffset, ReadError, ReadSlices, ReadStatus, Store,
};
use rt::{BufSlice, Runtime};

/// Bytes read at once.
const BYTES_MAX: usize = 1 << 20;

/// What a read brought.
pub(super) struct Found {
    pub(super) slices: Vec<BufSlice>,
    /// Where the next read goes on; beyond the place that was asked for where nothing was there.
    pub(super) next: i64,
}

/// Up to `messages` messages from `offset` on, from memory where they are there, else from disk.
/// `None` at the end of the queue. At most one read for each shard is under way, so these need no
/// place among the reads for clients.
pub(super) async fn read<R: Runtime>(
    store: &Store<R>,
    topic: &str,
    queue_id: i32,
    offset: i64,
    messages: usize,
) -> Result<Option<Found>, ReadError> {
    let request = OwnedReadRequest {
        topic: topic.into(),
        queue_id,
        offset: QueueOffset(offset),
        max_messages: messages,
        max_bytes: BYTES_MAX,
        filter: OwnedTagFilter::All,
        as_asked: true,
    };
    let mut hot = ReadSlices::default();
    let status = store.read(&request.as_request(), &mut hot);
    let (status, slices, next) = if status == ReadStatus::Cold {
        let cold = store.read_cold(request).await?;
        (cold.status, cold.slices, cold.next_begin_offset.0)
    } else {
        (status, hot.slices, hot.next_begin_offset.0)
    };
    Ok(match status {
        ReadStatus::Found => Some(Found { slices, next }),
        ReadStatus::OffsetOverflowOne
        | ReadStatus::OffsetOverflowBadly
        | ReadStatus::NoMessageInQueue
        | ReadStatus::NoMatchedLogicQueue => None,
        ReadStatus::OffsetTooSmall
        | ReadStatus::MessageWasRemoving
        | ReadStatus::OffsetFoundNull
        | ReadStatus::NoMatchedMessage => {
            let next = next.max(offset + 1);
            tracing::error!(
                "message {offset} of {topic} is not there ({}), going on at {next}",
                status.name()
            );
            Some(Found { slices: vec![], next })
        }
        ReadStatus::Cold => unreachable!("the disk was asked"),
    })
}

/// Where both queues of transactions end.
pub(super) fn end<R: Runtime>(store: &Store<R>, topic: &str) -> i64 {
    store.queue_range(topic, QUEUE_ID).unwrap_or_default().max_offset.0
}
