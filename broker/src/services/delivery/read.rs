//! How the broker reads a queue of messages that wait: delay levels, timers and transactions.

use engine::{
    OwnedReadRequest, OwnedTagFilter, QueueOffset, ReadError, ReadSlices, ReadStatus, Store,
};
use rt::{BufSlice, Runtime};

/// Bytes read at once: held until what is made of them is acknowledged.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What a read brought.
pub(crate) enum Read {
    /// Records.
    Found(Found),
    /// The queue ends here, or there is none.
    End,
    /// Nothing is there though the queue goes on: it expired, or the queue is damaged. Logged.
    Gap {
        /// Where the queue goes on; before the place that was asked for where that lies beyond the
        /// queue's end.
        next: i64,
    },
}

/// Records that lie one after another in their queue.
pub(crate) struct Found {
    /// The records.
    pub(crate) slices: Vec<BufSlice>,
    /// Where to go on.
    pub(crate) next: i64,
}

/// Up to `messages` messages from `from` on, from memory where they are there, else from disk. At
/// most one read for each queue is under way, so these need no place among the reads for clients.
pub(crate) async fn read<R: Runtime>(
    store: &Store<R>,
    (topic, queue_id): (&str, i32),
    from: i64,
    messages: usize,
) -> Result<Read, ReadError> {
    let request = OwnedReadRequest {
        topic: topic.into(),
        queue_id,
        offset: QueueOffset(from),
        max_messages: messages,
        max_bytes: BATCH_BYTES_MAX,
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
        ReadStatus::Found => Read::Found(Found { slices, next }),
        ReadStatus::OffsetOverflowOne
        | ReadStatus::NoMessageInQueue
        | ReadStatus::NoMatchedLogicQueue => Read::End,
        ReadStatus::OffsetTooSmall
        | ReadStatus::OffsetOverflowBadly
        | ReadStatus::MessageWasRemoving
        | ReadStatus::OffsetFoundNull
        | ReadStatus::NoMatchedMessage => {
            let status = status.name();
            tracing::error!(
                "message {from} of {topic}, queue {queue_id}, is not there ({status}), going on \
                 at {next}"
            );
            Read::Gap { next }
        }
        ReadStatus::Cold => unreachable!("the disk was asked"),
    })
}
