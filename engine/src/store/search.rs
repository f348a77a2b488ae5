//! Finding a message by time: a binary search over a queue, the store times read from the records.

use super::{Inner, Store};
use crate::consumequeue::disk::QueuePlace;
use crate::error::ReadError;
use crate::offset::QueueOffset;
use protocol::record::{SYS_FLAG_AT, store_timestamp_at};
use rt::Runtime;

/// Which end of the messages of a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// The first message stored at the time or later; the queue's end when all are older.
    #[default]
    Lower,
    /// The last message stored at the time or earlier; the queue's beginning when all are newer.
    Upper,
}

/// A record's store time lies within its first bytes, wherever its hosts put it.
const TIME_READ_BYTES: usize = 128;

fn store_time_in(head: &[u8]) -> Option<i64> {
    let sys_flag = i32::from_be_bytes(head.get(SYS_FLAG_AT..SYS_FLAG_AT + 4)?.try_into().ok()?);
    let at = store_timestamp_at(sys_flag);
    Some(i64::from_be_bytes(head.get(at..at + 8)?.try_into().ok()?))
}

impl<R: Runtime> Store<R> {
    /// The offset for a time, as [`Boundary`] says; 0 for a queue that is not there.
    pub async fn offset_by_time(&self, topic: &str, queue_id: i32, timestamp_ms: i64, boundary: Boundary) -> Result<QueueOffset, ReadError> {
        let Some((place, range)) = self.inner.place(topic, queue_id) else { return Ok(QueueOffset(0)) };
        let (mut low, mut high) = (range.min_offset.0, range.max_offset.0);
        // Everything below `low` is before the boundary, everything from `high` on is behind it.
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(stored_ms) = self.inner.store_time(&place, QueueOffset(middle)).await? else { break };
            let is_before = match boundary {
                Boundary::Lower => stored_ms < timestamp_ms,
                Boundary::Upper => stored_ms <= timestamp_ms,
            };
            if is_before { low = middle + 1 } else { high = middle }
        }
        Ok(match boundary {
            Boundary::Lower => QueueOffset(low),
            Boundary::Upper => QueueOffset((low - 1).max(range.min_offset.0)),
        })
    }

    /// When the message at `offset` was stored; `None` when there is none.
    pub async fn store_time_at(&self, topic: &str, queue_id: i32, offset: QueueOffset) -> Result<Option<i64>, ReadError> {
        match self.inner.place(topic, queue_id) {
            Some((place, _)) => self.inner.store_time(&place, offset).await,
            None => Ok(None),
        }
    }
}

impl<R: Runtime> Inner<R> {
    async fn store_time(&self, place: &QueuePlace, offset: QueueOffset) -> Result<Option<i64>, ReadError> {
        let units = self.units_from(place, offset, 1).await?;
        let Some(unit) = units.first().filter(|unit| unit.at.0 >= self.log.begin()) else { return Ok(None) };
        let head = self.log_bytes(unit.at.0, TIME_READ_BYTES).await?;
        Ok(store_time_in(&head))
    }
}
