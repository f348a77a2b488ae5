//! Reading the half and the op messages.

use crate::sends::half::QUEUE_ID;
use crate::services::delivery::read::{self, Found, Read};
use engine::{ReadError, Store};
use rt::Runtime;

/// Up to `messages` messages from `offset` on; `None` at the end of the queue. Where nothing was
/// there, the next read goes on beyond the place that was asked for.
pub(super) async fn read<R: Runtime>(
    store: &Store<R>,
    topic: &str,
    queue_id: i32,
    offset: i64,
    messages: usize,
) -> Result<Option<Found>, ReadError> {
    Ok(match read::read(store, (topic, queue_id), offset, messages).await? {
        Read::Found(found) => Some(found),
        Read::Gap { next } if next >= offset => {
            Some(Found { slices: vec![], next: next.max(offset + 1) })
        }
        Read::Gap { .. } | Read::End => None,
    })
}

/// Where both queues of transactions end.
pub(super) fn end<R: Runtime>(store: &Store<R>, topic: &str) -> i64 {
    store.queue_range(topic, QUEUE_ID).unwrap_or_default().max_offset.0
}
