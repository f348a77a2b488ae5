//! Keys on their way into the newest file: those of a record that was read, and those that the
//! append handed over.

use super::files::{Index, State};
use super::handed::HandedRecord;
use super::keys::KeyProperties;
use super::layout::Shape;
use super::newest::Newest;
use crate::error::FileError;
use crate::limits::INDEX_RECORDS_AT_ONCE;
use crate::offset::PhyOffset;
use rt::Runtime;

/// How many messages of this life of the store lie below a place of the log: what is behind the
/// index is counted from there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) at: u64,
    pub(super) messages: u64,
}

impl State {
    /// Whether the keys of the record at `phy` are in a file. A full file may lack some keys of its
    /// last record, so that one is entered again: a query gives each message once.
    fn is_entered(&self, phy: u64, shape: Shape) -> bool {
        let newest = self.newest.as_ref().map(|newest| newest.header);
        let header = newest.filter(|header| header.has_entries()).or_else(|| {
            self.files.iter().rev().map(|file| file.header).find(|header| header.has_entries())
        });
        header.is_some_and(|header| {
            phy < header.end_phy || (phy == header.end_phy && !header.is_full(shape))
        })
    }
}

impl<R: Runtime> Index<R> {
    /// Enters a record's keys, unless they are there already. The caller has the turn.
    pub(crate) async fn put(
        &self,
        hashes: &[u32],
        phy: u64,
        store_ms: i64,
    ) -> Result<(), FileError> {
        if hashes.is_empty() || self.state.borrow().is_entered(phy, self.shape) {
            return Ok(());
        }
        for hash in hashes {
            while !self.try_put(*hash, phy, store_ms) {
                self.make_puttable().await?;
            }
        }
        if self.should_write() {
            self.write_entries().await?;
        }
        Ok(())
    }

    fn try_put(&self, hash: u32, phy: u64, store_ms: i64) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(newest) = state.newest.as_mut().filter(|newest| !newest.is_full()) else {
            return false;
        };
        newest.put(hash, phy, store_ms);
        true
    }

    fn should_write(&self) -> bool {
        self.state.borrow().newest.as_ref().is_some_and(Newest::should_write)
    }

    /// Takes the keys of a record from the append: `place` is its offset, its bytes and its store
    /// time. Wakes the index when much is there.
    #[inline]
    pub(crate) fn hand(
        &self,
        (phy, bytes, store_ms): (PhyOffset, usize, i64),
        record: (&str, i32),
        properties: &KeyProperties<'_>,
    ) {
        if self.handed.borrow_mut().hand((phy.0, bytes, store_ms), record, properties) {
            self.filled.notify();
        }
    }

    /// The log was cut: what was handed over may be gone.
    pub(crate) fn forget_handed(&self) {
        self.handed.borrow_mut().clear();
    }

    /// Up to where the log has to be read, at most `target`: from there on it was handed over.
    pub(crate) fn read_until(&self, target: u64) -> u64 {
        self.handed.borrow().front().map_or(target, |record| record.phy.min(target))
    }

    /// Enters what was handed over, from [`Index::upto`] on and not beyond `target`; not all at
    /// once, so that others get their turn. Returns whether there was something. The caller has the
    /// turn.
    pub(crate) async fn enter_handed(&self, target: u64) -> Result<bool, FileError> {
        self.handed.borrow_mut().pass(self.upto());
        let mut left = INDEX_RECORDS_AT_ONCE;
        while left > 0 && self.next_handed(target).is_some() {
            left = self.enter_fitting(target, left);
            if self.should_write() {
                self.write_entries().await?;
            } else if left > 0
                && let Some(record) = self.next_handed(target)
            {
                // A file has to be begun or loaded first, or is nearly full.
                let mut hashes = Vec::new();
                self.handed.borrow_mut().take(|hash| hashes.push(hash));
                self.put(&hashes, record.phy, record.store_ms).await?;
                self.passed(record.phy, record.end());
                left -= 1;
            }
        }
        Ok(left < INDEX_RECORDS_AT_ONCE)
    }

    /// The next record if it was handed over.
    fn next_handed(&self, target: u64) -> Option<HandedRecord> {
        let front = self.handed.borrow().front();
        front.filter(|record| record.phy == self.upto() && record.phy < target)
    }

    /// Enters records while all keys of each fit into the newest file's memory, at most `left`;
    /// returns how many are left.
    #[inline(never)] // counted as a function of its own by broker's benches/instructions
    fn enter_fitting(&self, target: u64, mut left: usize) -> usize {
        let (mut state, mut handed) = (self.state.borrow_mut(), self.handed.borrow_mut());
        while left > 0
            && let Some(record) = handed.front()
            && record.phy == self.upto()
            && record.phy < target
        {
            if record.keys() == 0 || state.is_entered(record.phy, self.shape) {
                handed.take(|_| ());
            } else {
                let newest = state.newest.as_mut();
                let Some(newest) = newest.filter(|newest| newest.has_room(record.keys())) else {
                    return left;
                };
                handed.take(|hash| newest.put(hash, record.phy, record.store_ms));
            }
            self.passed(record.phy, record.end());
            left -= 1;
        }
        left
    }

    /// The record at `at` is in the index, and nothing is missing up to `end`, where it ends.
    pub(crate) fn passed(&self, at: u64, end: u64) {
        self.set_upto(end);
        let counted = self.counted.get();
        if at >= counted.at {
            self.counted.set(Counted { at: end, messages: counted.messages + 1 });
        }
    }

    /// `messages` of this life of the store lie below `at`.
    pub(crate) fn count_from(&self, at: u64, messages: u64) {
        self.counted.set(Counted { at, messages });
    }

    /// How many of `messages`, all of this life of the store, are not in the index. Those that
    /// were stored earlier, and those that are entered a second time, are not counted one by one:
    /// they are as many as their bytes say, at `mean_bytes` each.
    pub(crate) fn messages_behind(&self, messages: u64, mean_bytes: u64) -> u64 {
        let counted = self.counted.get();
        let uncounted_bytes = counted.at.saturating_sub(self.upto());
        messages.saturating_sub(counted.messages) + uncounted_bytes.div_ceil(mean_bytes.max(1))
    }
}
