//! How a queue of waiting messages is read.

use engine::{
    OwnedReadRequest, OwnedTagFilter, QueueOffset, ReadError, ReadSlices, ReadStatus, Store,
};
use rt::{BufSlice, Runtime};

/// Bytes read at once: held until the copies are acknowledged.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// What a read brought.
pub(crate) struct Found {
    /// How it ended; never `Cold`.
    pub(crate) status: ReadStatus,
    /// The records.
    pub(crate) slices: Vec<BufSlice>,
    /// Where to go on.
    pub(crate) next_begin_offset: i64,
}

/// Reads from memory where the messages are there, else from disk. At most one read for each queue
/// is under way, so these need no place among the reads for clients.
pub(crate) async fn read<R: Runtime>(
    store: &Store<R>,
    (topic, queue_id): (&str, i32),
    from: i64,
    messages: usize,
) -> Result<Found, ReadError> {
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
    if status != ReadStatus::Cold {
        let next_begin_offset = hot.next_begin_offset.0;
        return Ok(Found { status, slices: hot.slices, next_begin_offset });
    }
    let cold = store.read_cold(request).await?;
    let next_begin_offset = cold.next_begin_offset.0;
    Ok(Found { status: cold.status, slices: cold.slices, next_begin_offset })
}
