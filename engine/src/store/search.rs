//! Finding a message by time: a binary search over a queue, the store times read from the records.

use super::{Inner, Store};
use crate::consumequeue::disk::QueuePlace;
use crate::error::ReadError;
use crate::offset::{PhyOffset, QueueOffset};
use protocol::record::{PHYSICAL_OFFSET_AT, SYS_FLAG_AT, store_timestamp_at};
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

/// Units looked at together while damaged ones are skipped; the first nearly always is none.
const UNITS_AT_ONCE: usize = 16;

/// `None` when no record lies there.
fn store_time_in(head: &[u8], at: PhyOffset) -> Option<i64> {
    let says_at =
        i64::from_be_bytes(head.get(PHYSICAL_OFFSET_AT..PHYSICAL_OFFSET_AT + 8)?.try_into().ok()?);
    if says_at != at.as_i64() {
        return None;
    }
    let sys_flag = i32::from_be_bytes(head.get(SYS_FLAG_AT..SYS_FLAG_AT + 4)?.try_into().ok()?);
    let time_at = store_timestamp_at(sys_flag);
    Some(i64::from_be_bytes(head.get(time_at..time_at + 8)?.try_into().ok()?))
}

impl<R: Runtime> Store<R> {
    /// The offset for a time, as [`Boundary`] says; 0 for a queue that is not there.
    pub async fn offset_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, ReadError> {
        let search = async || self.search_by_time(topic, queue_id, timestamp_ms, boundary).await;
        self.inner.undisturbed(search).await
    }

    async fn search_by_time(
        &self,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, ReadError> {
        let Some((place, range)) = self.inner.place(topic, queue_id) else {
            return Ok(QueueOffset(0));
        };
        let (mut low, mut high) = (range.min_offset.0, range.max_offset.0);
        // Everything below `low` is before the boundary, everything from `high` on is behind it.
        while low < high {
            let middle = low + (high - low) / 2;
            let Some((found, stored_ms)) =
                self.inner.store_time_from(&place, QueueOffset(middle), QueueOffset(high)).await?
            else {
                // From the middle on there is no message with a time: what is asked for lies
                // before, if anywhere.
                high = middle;
                continue;
            };
            let is_before = match boundary {
                Boundary::Lower => stored_ms < timestamp_ms,
                Boundary::Upper => stored_ms <= timestamp_ms,
            };
            if is_before { low = found.0 + 1 } else { high = middle }
        }
        Ok(match boundary {
            Boundary::Lower => QueueOffset(low),
            Boundary::Upper => QueueOffset((low - 1).max(range.min_offset.0)),
        })
    }

    /// When the message at `offset` was stored; `None` when there is none.
    pub async fn store_time_at(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        match self.inner.place(topic, queue_id) {
            Some((place, _)) => {
                let read = async || self.inner.store_time(&place, offset).await;
                self.inner.undisturbed(read).await
            }
            None => Ok(None),
        }
    }
}

impl<R: Runtime> Inner<R> {
    async fn store_time(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
    ) -> Result<Option<i64>, ReadError> {
        Ok(self
            .store_time_from(place, offset, offset.plus(1))
            .await?
            .map(|(_, stored_ms)| stored_ms))
    }

    /// The first message of `from..upto` that has a store time: damaged ones have none, and neither
    /// have removed ones.
    async fn store_time_from(
        &self,
        place: &QueuePlace,
        from: QueueOffset,
        upto: QueueOffset,
    ) -> Result<Option<(QueueOffset, i64)>, ReadError> {
        let mut at = from;
        while at < upto {
            let units = self.units_from(place, at, UNITS_AT_ONCE.min(upto.since(at))).await?;
            if units.is_empty() {
                at = at.plus(1); // a hole in the queue's file
                continue;
            }
            for unit in units {
                let is_there = unit.at.0 >= self.writing.log.begin() && !unit.is_missing();
                let stored_ms = if is_there {
                    store_time_in(&self.log_bytes(unit.at.0, TIME_READ_BYTES).await?, unit.at)
                } else {
                    None
                };
                if let Some(stored_ms) = stored_ms {
                    return Ok(Some((at, stored_ms)));
                }
                at = at.plus(1);
            }
        }
        Ok(None)
    }
}
