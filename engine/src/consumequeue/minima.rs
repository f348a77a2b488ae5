//! The beginnings of queues: where they are once the log begins later, and the files before them.
//! Their ends, once the log ends earlier.

use super::disk::{QueueFiles, QueuePlace};
use super::queues::{Queues, place_of};
use super::table::{Found, QueueKey};
use super::unit::Unit;
use crate::error::FileError;
use crate::offset::QueueOffset;
use rt::Runtime;
use std::io;

/// A queue that may have lost its first messages.
struct Candidate {
    place: QueuePlace,
    min: QueueOffset,
    next: QueueOffset,
}

impl<R: Runtime> Queues<R> {
    /// For each queue whose first message lies below `begin` in the log: its first message that
    /// does not. The queue's end when it has none.
    pub(crate) async fn first_units_from(
        &self,
        begin: u64,
    ) -> Result<Vec<(QueueKey, QueueOffset)>, FileError> {
        let mut minima = Vec::new();
        for queue in self.candidates() {
            let min = self.first_from(&queue, begin).await?;
            if min > queue.min {
                minima.push((queue.place.key, min));
            }
        }
        Ok(minima)
    }

    fn candidates(&self) -> Vec<Candidate> {
        let table = self.table.borrow();
        let with_messages = table.iter().filter(|(_, queue)| queue.min < queue.next);
        with_messages
            .map(|(key, queue)| Candidate {
                place: place_of(key, queue),
                min: queue.min,
                next: queue.next,
            })
            .collect()
    }

    /// The first message at or above `begin`. Places whose message damage took don't count: a
    /// rebuild would not know of them.
    async fn first_from(&self, queue: &Candidate, begin: u64) -> Result<QueueOffset, FileError> {
        let mut first = self.first_unit_from(queue, begin).await?;
        while first > queue.min
            && first < queue.next
            && self.unit(&queue.place, first).await?.is_some_and(|unit| unit.is_missing())
        {
            first = first.plus(1);
        }
        Ok(first)
    }

    /// For each queue whose last message lies at `end` in the log or behind it: where it begins,
    /// and where it ends when those are gone. Units that can't be told go with those behind them.
    pub(crate) async fn ends_below(
        &self,
        end: u64,
    ) -> Result<Vec<(QueuePlace, QueueOffset, QueueOffset)>, FileError> {
        let mut ends = Vec::new();
        for queue in self.candidates() {
            let (mut low, mut high) = (queue.min.0, queue.next.0);
            // The last one first: it mostly stays, and all of its queue with it.
            let mut probe = high - 1;
            while low < high {
                match self.first_readable(&queue.place, probe, high).await? {
                    Some((found, unit)) if unit.at.0 < end => low = found + 1,
                    _ => high = probe,
                }
                probe = low + (high - low) / 2;
            }
            if low < queue.next.0 {
                ends.push((queue.place, queue.min, QueueOffset(low)));
            }
        }
        Ok(ends)
    }

    async fn first_readable(
        &self,
        place: &QueuePlace,
        from: i64,
        upto: i64,
    ) -> Result<Option<(i64, Unit)>, FileError> {
        for offset in from..upto {
            if let Some(unit) = self.unit(place, QueueOffset(offset)).await? {
                return Ok(Some((offset, unit)));
            }
        }
        Ok(None)
    }

    /// A binary search: units of a queue ascend in the log. A unit that can't be told counts as one
    /// that stays, so that no message is ever taken for gone.
    async fn first_unit_from(
        &self,
        queue: &Candidate,
        begin: u64,
    ) -> Result<QueueOffset, FileError> {
        if !self.is_below(&queue.place, queue.min, begin).await? {
            return Ok(queue.min);
        }
        if self.is_below(&queue.place, QueueOffset(queue.next.0 - 1), begin).await? {
            return Ok(queue.next);
        }
        let (mut low, mut high) = (queue.min.0, queue.next.0 - 1);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.is_below(&queue.place, QueueOffset(middle), begin).await? {
                low = middle
            } else {
                high = middle
            }
        }
        Ok(QueueOffset(high))
    }

    async fn is_below(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
        begin: u64,
    ) -> Result<bool, FileError> {
        Ok(self.unit(place, offset).await?.is_some_and(|unit| unit.at.0 < begin))
    }

    async fn unit(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
    ) -> Result<Option<Unit>, FileError> {
        match self.unit_in_memory(place.key, offset) {
            Some(unit) => Ok(Some(unit)),
            None => Ok(self.files.read(place, offset, 1).await?.first().copied()),
        }
    }

    fn unit_in_memory(&self, key: QueueKey, offset: QueueOffset) -> Option<Unit> {
        let table = self.table.borrow();
        let queue = table.get(key).filter(|queue| offset >= queue.min && offset < queue.next)?;
        match queue.unit(offset) {
            Found::Memory(unit) => Some(unit),
            Found::File => None,
        }
    }

    /// Queues begin there from now on. Units before that are never written or synced any more: on a
    /// full disk they could not have been, and their files go.
    pub(crate) fn raise_minima(&self, minima: &[(QueueKey, QueueOffset)]) {
        let mut table = self.table.borrow_mut();
        for (key, min) in minima {
            table.persisted(*key, *min);
            if let Some(queue) = table.get_mut(*key) {
                let min = (*min).min(queue.next);
                queue.min = queue.min.max(min);
                queue.synced = queue.synced.max(min);
            }
        }
    }

    /// Removes the files that hold nothing from a queue's beginning on; the last one stays, as in
    /// RocketMQ: it tells the end of a queue without messages.
    pub(crate) async fn remove_files_below_minima(&self) -> Result<(), FileError> {
        let places: Vec<(QueuePlace, QueueOffset)> = self
            .table
            .borrow()
            .iter()
            .map(|(key, queue)| (place_of(key, queue), queue.min))
            .collect();
        for (place, min) in places.into_iter().filter(|(_, min)| min.0 > 0) {
            self.files.remove_below(&place, min).await?;
        }
        Ok(())
    }
}

impl<R: Runtime> QueueFiles<R> {
    async fn remove_below(&self, place: &QueuePlace, min: QueueOffset) -> Result<(), FileError> {
        let starts = match self.starts(place).await {
            Err(gone) if gone.source.kind() == io::ErrorKind::NotFound => return Ok(()),
            starts => starts?,
        };
        let last = starts.last().copied().unwrap_or(0);
        for start in
            starts.into_iter().filter(|start| *start < self.file_start(min) && *start != last)
        {
            self.remove(place, start).await?;
        }
        Ok(())
    }
}
