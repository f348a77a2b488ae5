//! What reads from disk keep in memory: stretches of the log and of ConsumeQueues, and the reads
//! that are ahead of a consumer.
//!
//! ```text
//!   log:   … | window | window | window | window | …
//!             ▲ used    ▲ here    ▲ on its way        a consumer in sequence finds the next window already here
//! ```
//!
//! A first read of a place fetches one window. When the next is needed right behind it the consumer
//! is catching up: from then on `READ_AHEAD_WINDOWS` windows are kept ahead of it while its records
//! are handed out. A record that straddles two windows is put together by a copy, one in each
//! window. What was read ahead and not used yet is at most half of the cache: beyond that further
//! consumers read window by window, and nobody's windows are pushed out before they are used.
//!
//! Every window is charged to the shard's account until its last slice is gone, from the cache and
//! from the answers of readers alike.

use super::Inner;
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::table::QueueKey;
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, ReadError};
use crate::limits::{READ_AHEAD_WINDOWS, UNIT_RUNS_MAX, UNITS_READ_AHEAD};
use crate::number::exact;
use crate::offset::QueueOffset;
use crate::tail::block_floor;
use futures_lite::future::yield_now;
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, BufSlice, MemoryAccount, MemoryUse, Priority, Runtime};
use std::collections::VecDeque;
use std::rc::Rc;

struct Window {
    start: u64,
    bytes: BufSlice,
    /// It follows another that was read before it.
    in_sequence: bool,
    is_used: bool,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn holds(&self, at: u64) -> bool {
        at >= self.start && at < self.end()
    }

    /// `[from, upto)` as far as it is here.
    fn part(&self, from: u64, upto: u64) -> BufSlice {
        let clip = |at: u64| exact(at.clamp(self.start, self.end()) - self.start);
        self.bytes.part(clip(from)..clip(upto))
    }
}

/// Where a record is.
enum Found {
    /// Here; with the end of its window when more should be read ahead of it.
    Here(BufSlice, Option<u64>),
    /// Here in parts, and there is no memory to put them together.
    NoMemory,
    /// Its window is being read.
    OnItsWay,
    /// Nowhere; whether a window ends right before it or in it.
    Nowhere { in_sequence: bool },
}

/// Windows of the log, the least recently used forgotten first.
pub(super) struct ColdCache {
    windows: VecDeque<Window>,
    /// Windows being read: start and end.
    on_their_way: Vec<(u64, u64)>,
    bytes: usize,
    bytes_max: usize,
    /// Charged for every window, here and in the hands of readers, and for records put together.
    memory: MemoryAccount,
}

impl ColdCache {
    pub(super) fn new(bytes_max: usize, memory: MemoryAccount) -> Self {
        Self { windows: VecDeque::new(), on_their_way: Vec::new(), bytes: 0, bytes_max, memory }
    }

    /// Forgets windows, the least recently used first, until `bytes` more can be charged or none
    /// is left. Those that readers hold stay charged.
    pub(super) fn give_back(&mut self, bytes: usize) {
        while self.memory.free_bytes() < bytes
            && let Some(oldest) = self.windows.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Forgets everything: the log was cut. What readers hold stays.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
        self.on_their_way.clear();
        self.bytes = 0;
    }

    fn find(&mut self, at: u64, len: usize) -> Found {
        let end = at + len as u64;
        let Some(nth) = self.windows.iter().rposition(|window| window.holds(at)) else {
            let in_sequence = self.windows.iter().any(|window| window.end() == at);
            return if self.is_coming(at) {
                Found::OnItsWay
            } else {
                Found::Nowhere { in_sequence }
            };
        };
        let Some(first_end) = self.windows.get(nth).map(Window::end) else {
            return Found::Nowhere { in_sequence: false };
        };
        if end > first_end {
            return self.straddling(at, end);
        }
        let Some(mut window) = self.windows.remove(nth) else {
            return Found::Nowhere { in_sequence: false };
        };
        let part = window.part(at, end);
        window.is_used = true;
        let ahead_of = window.in_sequence.then(|| window.end());
        self.windows.push_back(window);
        Found::Here(part, ahead_of)
    }

    /// A record over several windows, copied together when all of them are here.
    fn straddling(&self, at: u64, end: u64) -> Found {
        let mut whole = Vec::new();
        let mut place = at;
        while place < end {
            let Some(window) = self.windows.iter().rfind(|window| window.holds(place)) else {
                return if self.is_coming(place) {
                    Found::OnItsWay
                } else {
                    Found::Nowhere { in_sequence: true }
                };
            };
            whole.extend_from_slice(&window.part(place, end));
            place = window.end();
        }
        let bytes = whole.len().next_multiple_of(DIRECT_ALIGN);
        let Some(charge) = self.memory.try_charge(MemoryUse::ColdWindows, bytes) else {
            return Found::NoMemory;
        };
        let record = AppendBuf::copy_of(&whole);
        record.keep_charge(charge);
        Found::Here(record, None)
    }

    fn is_coming(&self, place: u64) -> bool {
        self.on_their_way.iter().any(|(start, end)| place >= *start && place < *end)
    }

    fn insert(&mut self, start: u64, bytes: BufSlice, in_sequence: bool, is_used: bool) {
        self.bytes += bytes.len();
        self.windows.push_back(Window { start, bytes, in_sequence, is_used });
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.windows.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    fn unused_bytes(&self) -> u64 {
        let here = self
            .windows
            .iter()
            .filter(|window| !window.is_used)
            .map(|window| window.bytes.len() as u64);
        here.chain(self.on_their_way.iter().map(|(start, end)| end - start)).sum()
    }

    /// Whether the window that begins at `start` should be read now.
    fn wants(&self, start: u64, bytes: u64) -> bool {
        let is_there = self.windows.iter().any(|window| window.start == start)
            || self.on_their_way.iter().any(|(other, _)| *other == start);
        !is_there && self.unused_bytes() + bytes <= self.bytes_max as u64 / 2
    }

    /// Where the window at `start` ends, when it is here or on its way.
    fn end_of(&self, start: u64) -> Option<u64> {
        let coming =
            self.on_their_way.iter().find(|(other, _)| *other == start).map(|(_, end)| *end);
        coming.or_else(|| self.windows.iter().find(|window| window.start == start).map(Window::end))
    }
}

impl<R: Runtime> Inner<R> {
    /// The `len` bytes of a record at `at`, from what was read ahead; reads a window when nothing
    /// was and `fetches_window`.
    pub(super) async fn cold_record(
        self: &Rc<Self>,
        at: u64,
        len: usize,
        fetches_window: bool,
    ) -> Result<BufSlice, ReadError> {
        loop {
            let seen = self.caches.arrived.seen();
            let found = self.caches.cold.borrow_mut().find(at, len);
            match found {
                Found::Here(record, None) => return Ok(record),
                Found::Here(record, Some(window_end)) => {
                    self.read_on(window_end).await;
                    return Ok(record);
                }
                // Makes room, or says that there is none.
                Found::NoMemory => drop(self.charge_cold(len)?),
                Found::OnItsWay => self.caches.arrived.changed_since(seen).await,
                Found::Nowhere { in_sequence } if fetches_window || in_sequence => {
                    return self.read_window(at, len, in_sequence).await;
                }
                Found::Nowhere { .. } => return self.read_log(at, len).await,
            }
        }
    }

    async fn read_window(
        self: &Rc<Self>,
        at: u64,
        len: usize,
        in_sequence: bool,
    ) -> Result<BufSlice, ReadError> {
        let end = block_floor(at + self.env.config.read_ahead_bytes as u64).max(at + len as u64);
        if in_sequence {
            self.read_on(end).await;
        }
        let cuts = self.writing.log.cuts();
        let window = self.read_log(at, exact(end - at)).await?;
        let record = window.part(0..len.min(window.len()));
        if self.writing.log.cuts() == cuts {
            self.caches.cold.borrow_mut().insert(at, window, in_sequence, true);
        }
        Ok(record)
    }

    /// Keeps windows ahead of a consumer: those behind `from`. The yield lets the reads begin while
    /// the caller goes on.
    async fn read_on(self: &Rc<Self>, mut from: u64) {
        let mut has_begun = false;
        for _ in 0..READ_AHEAD_WINDOWS {
            let file_end = self.writing.log.start_of(from) + self.writing.log.file_bytes();
            let upto = (from + self.env.config.read_ahead_bytes as u64)
                .min(file_end)
                .min(block_floor(self.watermarks.written().0));
            if upto <= from {
                break;
            }
            let fits = self.env.memory.free_bytes() as u64 >= upto - from;
            if fits && self.caches.cold.borrow().wants(from, upto - from) {
                self.caches.cold.borrow_mut().on_their_way.push((from, upto));
                let (inner, start) = (self.clone(), from);
                self.env.rt.spawn(Priority::Foreground, async move {
                    inner.fetch_ahead(start, upto).await
                });
                has_begun = true;
            }
            let end = self.caches.cold.borrow().end_of(from);
            let Some(end) = end.filter(|end| *end > from) else { break };
            from = end;
        }
        if has_begun {
            yield_now().await;
        }
    }

    async fn fetch_ahead(&self, start: u64, upto: u64) {
        let cuts = self.writing.log.cuts();
        let read = self.read_log(start, exact(upto - start)).await;
        if self.writing.log.cuts() != cuts {
            return;
        }
        let mut cache = self.caches.cold.borrow_mut();
        cache.on_their_way.retain(|(other, _)| *other != start);
        // An error is met again, and told, by the read that needs these bytes.
        if let Ok(bytes) = read {
            cache.insert(start, bytes, true, false);
        }
        drop(cache);
        self.caches.arrived.notify();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn window(byte: u8, len: usize) -> BufSlice {
        AppendBuf::copy_of(&vec![byte; len])
    }

    fn here(found: Found) -> Option<Vec<u8>> {
        if let Found::Here(bytes, _) = found { Some(bytes.to_vec()) } else { None }
    }

    #[test]
    fn the_cache_keeps_what_was_used_last_and_its_bound() {
        let mut cache = ColdCache::new(2048, MemoryAccount::new(usize::MAX));
        cache.insert(0, window(1, 1024), false, true);
        cache.insert(5000, window(2, 1024), false, true);
        assert_eq!(here(cache.find(10, 3)), Some(vec![1; 3]));
        cache.insert(9000, window(3, 1024), false, true);
        assert!(here(cache.find(5000, 1)).is_none(), "the least recently used went");
        assert!(here(cache.find(0, 1024)).is_some() && here(cache.find(0, 1025)).is_none());
        assert!(cache.bytes <= 2048);
    }

    #[test]
    fn a_record_over_two_windows_is_put_together_or_waited_for() {
        let mut cache = ColdCache::new(1 << 20, MemoryAccount::new(usize::MAX));
        cache.insert(0, window(1, 1000), true, true);
        assert!(matches!(cache.find(990, 20), Found::Nowhere { in_sequence: true }));
        cache.on_their_way.push((1000, 2000));
        assert!(
            matches!(cache.find(990, 20), Found::OnItsWay)
                && matches!(cache.find(1000, 20), Found::OnItsWay)
        );
        cache.insert(1000, window(2, 1000), true, false);
        assert_eq!(here(cache.find(990, 20)), Some([vec![1; 10], vec![2; 10]].concat()));
        assert!(
            matches!(cache.find(2000, 5), Found::Nowhere { in_sequence: true })
                && matches!(cache.find(2001, 5), Found::Nowhere { in_sequence: false })
        );
    }

    #[test]
    fn what_is_read_ahead_and_not_used_is_at_most_half_of_the_cache() {
        let mut cache = ColdCache::new(4000, MemoryAccount::new(usize::MAX));
        cache.insert(0, window(1, 1000), true, false);
        assert!(!cache.wants(0, 1000) && cache.wants(1000, 1000));
        cache.on_their_way.push((1000, 2000));
        assert!(!cache.wants(1000, 1000) && !cache.wants(2000, 1000));
        assert!(here(cache.find(0, 10)).is_some());
        assert!(cache.wants(2000, 1000), "the first is used now");
    }
}
