//! Reading from disk ahead of consumers, and what is kept of ConsumeQueues.
//!
//! ```text
//!   log:   … | window | window | window | window | …
//!             ▲ used    ▲ here    ▲ on its way        a consumer in sequence finds the next window already here
//! ```
//!
//! A first read of a place fetches the rest of its cell ([`super::cold_windows`]). Who goes on from
//! a used window to the next is catching up: from then on `READ_AHEAD_WINDOWS` windows are kept
//! ahead of it while its records are handed out. These serve every queue whose next record lies in
//! them. A record that straddles two windows is put together by a copy, one in each window.
//!
//! What was read ahead and not used yet is at most half of the cache: beyond that further consumers
//! read window by window, and nobody's windows are pushed out before they are used.
//!
//! Every window is charged to the shard's account until its last slice is gone, from the cache and
//! from the answers of readers alike.

use super::Inner;
use super::cold_windows::{CurrentWindow, Found};
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::table::QueueKey;
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, ReadError};
use crate::limits::{READ_AHEAD_WINDOWS, UNIT_RUNS_MAX, UNITS_READ_AHEAD};
use crate::number::exact;
use crate::offset::QueueOffset;
use crate::tail::block_floor;
use futures_lite::future::{poll_once, yield_now};
use rt::{BufSlice, Priority, Runtime};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;

/// Windows that one record may ask for before it is read alone: they may be forgotten while it
/// waits for the next one.
const WINDOWS_FOR_A_RECORD_MAX: usize = 4;

/// A window that is being read; when its reader goes away without an end, nobody waits for it.
struct Coming<'a, R: Runtime> {
    inner: &'a Inner<R>,
    start: u64,
    is_over: bool,
}

impl<R: Runtime> Drop for Coming<'_, R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.caches.cold.borrow_mut().will_not_come(self.start);
        }
        self.inner.caches.arrived.notify();
    }
}

impl<R: Runtime> Inner<R> {
    /// The `len` bytes of a record at `at`, from what was read ahead; reads a window when nothing
    /// was and `fetches_window`. `current` is the window that the last record of this reader was
    /// in.
    pub(super) async fn cold_record(
        self: &Rc<Self>,
        at: u64,
        len: usize,
        fetches_window: bool,
        current: &mut Option<CurrentWindow>,
    ) -> Result<BufSlice, ReadError> {
        if let Some(record) = current.as_ref().and_then(|window| window.record(at, len)) {
            return Ok(record);
        }
        if len > self.env.config.read_ahead_bytes {
            return self.read_log(at, len).await;
        }
        let mut asked = 0;
        loop {
            let seen = self.caches.arrived.seen();
            let found = self.caches.cold.borrow_mut().find(at, len);
            match found {
                Found::Here { window, read_ahead_from } => {
                    if let Some(from) = read_ahead_from {
                        self.read_on(from).await;
                    }
                    let record = window.record(at, len);
                    *current = Some(window);
                    if let Some(record) = record {
                        return Ok(record);
                    }
                    asked = WINDOWS_FOR_A_RECORD_MAX;
                }
                Found::Joined(record) => return Ok(record),
                // Makes room, or says that there is none.
                Found::NoMemory => drop(self.charge_cold(len)?),
                Found::OnItsWay => self.caches.arrived.changed_since(seen).await,
                Found::Nowhere(from)
                    if asked < WINDOWS_FOR_A_RECORD_MAX
                        && self.wants_window(from, fetches_window) =>
                {
                    asked += 1;
                    let Some(window) = self.fetch_window(from).await? else {
                        asked = WINDOWS_FOR_A_RECORD_MAX;
                        continue;
                    };
                    let record = window.record(at, len);
                    *current = Some(window);
                    if let Some(record) = record {
                        return Ok(record);
                    }
                }
                Found::Nowhere(_) => return self.read_log(at, len).await,
            }
        }
    }

    /// The beginning of the cell that `at` lies in.
    fn cell_start(&self, at: u64) -> u64 {
        at - at % self.env.config.read_ahead_bytes.max(1) as u64
    }

    /// Where a window ends at the latest that has the byte at `at`: with its cell, its file, and
    /// what is written.
    fn window_end(&self, at: u64, written: u64) -> u64 {
        let cell_end = self.cell_start(at) + self.env.config.read_ahead_bytes as u64;
        let file_end = self.writing.log.start_of(at) + self.writing.log.file_bytes();
        cell_end.min(file_end).min(written)
    }

    /// Whether what lies at `from` is worth a window: other records that are wanted are in it, as
    /// far as one can know.
    fn wants_window(&self, from: u64, has_neighbour: bool) -> bool {
        let cell_start = self.cell_start(from);
        let mut cold = self.caches.cold.borrow_mut();
        let (start, _) = cold.gap(cell_start, from, from);
        has_neighbour || cold.goes_on_at(start) || cold.is_asked_again(cell_start)
    }

    /// Reads the window that has the byte at `from`. `None` when somebody else reads it, or when
    /// there is no memory for all of it.
    async fn fetch_window(self: &Rc<Self>, from: u64) -> Result<Option<CurrentWindow>, ReadError> {
        let end = self.window_end(from, self.watermarks.written().0);
        let (start, upto) =
            self.caches.cold.borrow().gap(self.cell_start(from), block_floor(from), end);
        if !(start..upto).contains(&from) {
            return Ok(None);
        }
        let is_in_sequence = self.caches.cold.borrow().goes_on_at(start);
        self.caches.cold.borrow_mut().begin(start, upto);
        let mut coming = Coming { inner: self, start, is_over: false };
        let cuts = self.writing.log.cuts();
        let mut reading = pin!(self.read_log(start, exact(upto - start)));
        // What is needed now is on its way before what may be needed next.
        let read = poll_once(&mut reading).await;
        if is_in_sequence {
            self.read_on(upto).await;
        }
        let read = match read {
            Some(read) => read,
            None => reading.await,
        };
        let window = match read {
            Err(ReadError::TooMuchMemory { .. }) => return Ok(None),
            window => window?,
        };
        if self.writing.log.cuts() == cuts {
            coming.is_over = true;
            self.caches.cold.borrow_mut().came(start, window.clone(), true);
        }
        Ok(Some(CurrentWindow::new(start, window)))
    }

    /// Keeps windows ahead of a consumer: those behind `from`. The yield lets the reads begin while
    /// the caller goes on.
    async fn read_on(self: &Rc<Self>, mut from: u64) {
        let mut has_begun = false;
        for _ in 0..READ_AHEAD_WINDOWS {
            let known = self.caches.cold.borrow().end_at(from);
            if let Some(end) = known {
                from = end;
                continue;
            }
            let end = self.window_end(from, block_floor(self.watermarks.written().0));
            let is_in_tail = from >= self.writing.tail.borrow().begin();
            if end <= from || is_in_tail {
                break;
            }
            let (start, upto) = self.caches.cold.borrow().gap(self.cell_start(from), from, end);
            let bytes = upto - start;
            let fits = self.env.memory.free_bytes() as u64 >= bytes;
            if !fits || !self.caches.cold.borrow().wants(bytes) {
                break;
            }
            self.caches.cold.borrow_mut().begin(start, upto);
            let inner = self.clone();
            self.env.rt.spawn(Priority::Foreground, async move {
                inner.fetch_ahead(start, upto).await;
            });
            has_begun = true;
            from = upto;
        }
        if has_begun {
            yield_now().await;
        }
    }

    async fn fetch_ahead(&self, start: u64, upto: u64) {
        let mut coming = Coming { inner: self, start, is_over: false };
        let cuts = self.writing.log.cuts();
        // An error is met again, and told, by the read that needs these bytes.
        if let Ok(bytes) = self.read_log(start, exact(upto - start)).await
            && self.writing.log.cuts() == cuts
        {
            coming.is_over = true;
            self.caches.cold.borrow_mut().came(start, bytes, false);
        }
    }
}

/// Units of a queue that were read together.
struct UnitRun {
    queue: QueueKey,
    first: QueueOffset,
    units: Vec<Unit>,
}

/// Runs of units from files, the least recently used forgotten first. Units in files do not change,
/// but for repairs.
#[derive(Default)]
pub(super) struct UnitCache {
    runs: VecDeque<UnitRun>,
}

impl UnitCache {
    fn get(&mut self, queue: QueueKey, from: QueueOffset, most: usize) -> Option<Vec<Unit>> {
        let holds = |run: &UnitRun| {
            run.queue == queue && from >= run.first && from.since(run.first) < run.units.len()
        };
        let nth = self.runs.iter().position(holds)?;
        let run = self.runs.remove(nth)?;
        let units = run.units.iter().skip(from.since(run.first)).take(most).copied().collect();
        self.runs.push_back(run);
        Some(units)
    }

    fn insert(&mut self, run: UnitRun) {
        if self.runs.len() >= UNIT_RUNS_MAX {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    /// Forgets everything: queues were cut.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Forgets what is known of a queue.
    pub(super) fn forget(&mut self, queue: QueueKey) {
        self.runs.retain(|run| run.queue != queue);
    }
}

impl<R: Runtime> Inner<R> {
    /// Units that are in a queue's file: `in_file` of them from `from` on. More than `most` are
    /// read, for the next reads.
    pub(super) async fn units_in_file(
        &self,
        place: &QueuePlace,
        from: QueueOffset,
        most: usize,
        in_file: usize,
    ) -> Result<Vec<Unit>, FileError> {
        let cached = self.caches.units.borrow_mut().get(place.key, from, most.min(in_file));
        if let Some(units) = cached {
            return Ok(units);
        }
        let count = UNITS_READ_AHEAD.max(most).min(in_file);
        let cuts = self.writing.log.cuts();
        let units = self.derived.queues.files.read(place, from, count).await?;
        let wanted = units.iter().take(most).copied().collect();
        if units.len() > most && self.writing.log.cuts() == cuts {
            self.caches.units.borrow_mut().insert(UnitRun { queue: place.key, first: from, units });
        }
        Ok(wanted)
    }
}
