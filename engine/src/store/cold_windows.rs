//! The windows of the log that were read from disk, shared by everybody who reads there.
//!
//! ```text
//!   log:      |    cell    |    cell    |    cell    |    cell    |        (read_ahead_bytes each)
//!   windows:      |········|············|············|- - - - - - |
//!                 ▲ first read          ▲ queue 2    ▲ on its way
//!                    ▲ queue 0   ▲ queue 1
//! ```
//!
//! A window ends where its cell ends, and no two overlap. So readers of several queues that begin
//! at different places find each other's windows after at most a cell, and a byte is read from disk
//! once for all of them, as long as they are not farther apart than the cache is large.
//!
//! What goes first when the cache is full: of what was used, what no reader still has to come to,
//! then what the next reader is farthest from; at last what was read ahead. Least recently used
//! would be wrong here: the windows that a reader behind needs next are those that the reader in
//! front used longest ago.

use crate::consumequeue::table::QueueKey;
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, BufSlice, MemoryAccount, MemoryUse};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Readers remembered; beyond it the one that was quiet for the longest is forgotten.
const READERS_MAX: usize = 256;
/// A reader that did not come while so many times the cache was read is gone.
const QUIET_CACHES_MAX: u64 = 4;
/// Cells remembered of which a single record was read.
const LONE_CELLS_MAX: usize = 64;

/// A stretch of the log that begins where its key in the map says.
enum Window {
    /// Being read, up to here.
    Coming(u64),
    Here {
        bytes: BufSlice,
        is_used: bool,
    },
}

/// Where a record is.
pub(super) enum Found {
    /// Here, in this window; with its end when it goes on from a window that was used, and more
    /// should be read ahead.
    Here { window: CurrentWindow, read_ahead_from: Option<u64> },
    /// In several windows, and put together.
    Joined(BufSlice),
    /// In several windows, and there is no memory to put them together.
    NoMemory,
    /// Its window is being read.
    OnItsWay,
    /// Not from here on.
    Nowhere(u64),
}

/// A window in a reader's hand: its next records need no search.
#[derive(Clone)]
pub(super) struct CurrentWindow {
    start: u64,
    bytes: BufSlice,
}

impl CurrentWindow {
    pub(super) fn new(start: u64, bytes: BufSlice) -> Self {
        Self { start, bytes }
    }

    /// `[at, at + len)`, if all of it is here.
    pub(super) fn record(&self, at: u64, len: usize) -> Option<BufSlice> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let upto = from.checked_add(len)?;
        (upto <= self.bytes.len()).then(|| self.bytes.part(from..upto))
    }
}

/// A place where a queue is being read. Several consumers, or several pulls of one, may read the
/// same queue at places of their own.
struct Reader {
    queue: QueueKey,
    /// Where its last record ended.
    at: u64,
    /// [`ColdWindows::came_bytes`] at that time.
    came_bytes: u64,
}

/// See the module's text.
pub(super) struct ColdWindows {
    /// By their beginnings.
    windows: BTreeMap<u64, Window>,
    readers: Vec<Reader>,
    /// Cells in which a record was read that had no neighbour.
    lone_cells: VecDeque<u64>,
    bytes: usize,
    unused_bytes: usize,
    bytes_max: usize,
    /// Of all windows that ever came.
    came_bytes: u64,
    /// Charged for every window, here and in the hands of readers, and for records put together.
    memory: MemoryAccount,
}

impl ColdWindows {
    pub(super) fn new(bytes_max: usize, memory: MemoryAccount) -> Self {
        Self {
            windows: BTreeMap::new(),
            readers: Vec::new(),
            lone_cells: VecDeque::new(),
            bytes: 0,
            unused_bytes: 0,
            bytes_max,
            came_bytes: 0,
            memory,
        }
    }

    /// Bytes of the windows that are here.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// From now on the windows are to be at most so many bytes together.
    pub(super) fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        while self.bytes > self.bytes_max && self.forget_one() {}
    }

    /// Forgets windows until `bytes` more can be charged or none is left. Those that readers hold
    /// stay charged.
    pub(super) fn give_back(&mut self, bytes: usize) {
        while self.memory.free_bytes() < bytes && self.forget_one() {}
    }

    /// Forgets everything: the log was cut. What readers hold stays.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
        self.readers.clear();
        self.lone_cells.clear();
        (self.bytes, self.unused_bytes) = (0, 0);
    }

    /// The window that holds the byte at `at`: its beginning and its end.
    fn window_at(&self, at: u64) -> Option<(u64, u64)> {
        let (start, window) = self.windows.range(..=at).next_back()?;
        Some((*start, end_of(*start, window))).filter(|(_, end)| at < *end)
    }

    /// Where the window ends that holds the byte at `at`, when it is here or on its way.
    pub(super) fn end_at(&self, at: u64) -> Option<u64> {
        self.window_at(at).map(|(_, end)| end)
    }

    /// Whether a used window ends at `at`: then a reader has come here in sequence.
    pub(super) fn goes_on_at(&self, at: u64) -> bool {
        let before = self.windows.range(..at).next_back();
        before.is_some_and(|(start, window)| {
            matches!(window, Window::Here { is_used: true, .. }) && end_of(*start, window) == at
        })
    }

    pub(super) fn find(&mut self, at: u64, len: usize) -> Found {
        let Some((start, end)) = self.window_at(at) else {
            return Found::Nowhere(at);
        };
        if end < at + len as u64 {
            return self.join(at, at + len as u64);
        }
        let goes_on = self.goes_on_at(start);
        let Some(Window::Here { bytes, is_used }) = self.windows.get_mut(&start) else {
            return Found::OnItsWay;
        };
        if !std::mem::replace(is_used, true) {
            self.unused_bytes -= bytes.len();
        }
        let window = CurrentWindow { start, bytes: bytes.clone() };
        Found::Here { window, read_ahead_from: goes_on.then_some(end) }
    }

    /// A record over several windows, copied together when all of them are here.
    fn join(&self, at: u64, end: u64) -> Found {
        let mut whole = Vec::new();
        let mut place = at;
        while place < end {
            let Some((start, window_end)) = self.window_at(place) else {
                return Found::Nowhere(place);
            };
            let Some(Window::Here { bytes, .. }) = self.windows.get(&start) else {
                return Found::OnItsWay;
            };
            let part = CurrentWindow { start, bytes: bytes.clone() };
            let len = usize::try_from(window_end.min(end) - place);
            let Some(part) = len.ok().and_then(|len| part.record(place, len)) else {
                return Found::Nowhere(place);
            };
            whole.extend_from_slice(&part);
            place = window_end;
        }
        let bytes = whole.len().next_multiple_of(DIRECT_ALIGN);
        let Some(charge) = self.memory.try_charge(MemoryUse::ColdWindows, bytes) else {
            return Found::NoMemory;
        };
        let record = AppendBuf::copy_of(&whole);
        record.keep_charge(charge);
        Found::Joined(record)
    }

    /// Whether the byte at `at` is in memory, or will be soon.
    pub(super) fn holds(&self, at: u64) -> bool {
        self.window_at(at).is_some()
    }

    /// The part of a cell around `at` that is in no window, from `floor` on at the latest: the
    /// cell begins at `cell_start`, and nobody wants what lies behind `end`.
    pub(super) fn gap(&self, cell_start: u64, floor: u64, end: u64) -> (u64, u64) {
        let before = self.windows.range(..=floor).next_back();
        let before = before.map(|(start, window)| end_of(*start, window));
        // What is missing between two windows of a cell is read with the rest.
        let start = before.filter(|before| *before >= cell_start).unwrap_or(floor);
        let next = self.windows.range(start..).next().map_or(end, |(next, _)| *next);
        (start, end.min(next))
    }

    /// Somebody reads this now.
    pub(super) fn begin(&mut self, start: u64, end: u64) {
        self.windows.insert(start, Window::Coming(end));
    }

    /// The window at `start` came. It may be shorter than it should be.
    pub(super) fn came(&mut self, start: u64, bytes: BufSlice, is_used: bool) {
        self.forget(start);
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        self.came_bytes += bytes.len() as u64;
        if !is_used {
            self.unused_bytes += bytes.len();
        }
        self.windows.insert(start, Window::Here { bytes, is_used });
        while self.bytes > self.bytes_max && self.forget_one() {}
    }

    /// The window at `start` can't be read, or nobody reads it any more.
    pub(super) fn will_not_come(&mut self, start: u64) {
        if let Some(Window::Coming(_)) = self.windows.get(&start) {
            self.windows.remove(&start);
        }
    }

    /// Whether `bytes` more may be read ahead: what was read ahead and not used yet is at most half
    /// of the cache.
    pub(super) fn wants(&self, bytes: u64) -> bool {
        let coming = self.windows.iter().map(|(start, window)| match window {
            Window::Coming(end) => end - start,
            Window::Here { .. } => 0,
        });
        let unused = self.unused_bytes as u64 + coming.sum::<u64>();
        unused + bytes <= self.bytes_max as u64 / 2
    }

    /// A record without a neighbour is wanted from this cell; whether another was a short while
    /// ago: then several queues are being read there, and a window serves all of them.
    pub(super) fn is_asked_again(&mut self, cell: u64) -> bool {
        if self.lone_cells.contains(&cell) {
            return true;
        }
        if self.lone_cells.len() == LONE_CELLS_MAX {
            self.lone_cells.pop_front();
        }
        self.lone_cells.push_back(cell);
        false
    }

    /// A queue was read from `from` up to `at`: by the reader of this queue that was last seen
    /// nearest before `from`, or by a new one.
    pub(super) fn read_upto(&mut self, queue: QueueKey, from: u64, at: u64) {
        let came_bytes = self.came_bytes;
        let of_queue = self.readers.iter_mut().filter(|reader| reader.queue == queue);
        let before = of_queue.filter(|reader| reader.at <= from);
        if let Some(reader) = before.max_by_key(|reader| reader.at) {
            (reader.at, reader.came_bytes) = (at, came_bytes);
            return;
        }
        if self.readers.len() == READERS_MAX {
            let quietest = self.readers.iter().enumerate().min_by_key(|(_, one)| one.came_bytes);
            let quietest = quietest.map_or(0, |(nth, _)| nth);
            self.readers.swap_remove(quietest);
        }
        self.readers.push(Reader { queue, at, came_bytes });
    }

    /// Forgets one window; `false` when none is here.
    fn forget_one(&mut self) -> bool {
        let quiet_bytes = (self.bytes_max as u64).saturating_mul(QUIET_CACHES_MAX);
        let came_bytes = self.came_bytes;
        self.readers.retain(|reader| came_bytes - reader.came_bytes <= quiet_bytes);
        let mut places: Vec<u64> = self.readers.iter().map(|reader| reader.at).collect();
        places.sort_unstable();
        // How far a reader has to come to need it.
        let distance = |start: u64, end: u64| {
            let behind = places.partition_point(|place| *place < end);
            let reader = behind.checked_sub(1).and_then(|last| places.get(last));
            reader.map_or(u64::MAX, |place| start.saturating_sub(*place))
        };
        // What was read ahead and not used goes last: it would be read once more. The first of
        // equals goes: it is the oldest that everybody has passed.
        let here = self.windows.iter().filter_map(|(start, window)| match window {
            Window::Here { is_used, .. } => {
                Some((*is_used, distance(*start, end_of(*start, window)), Reverse(*start)))
            }
            Window::Coming(_) => None,
        });
        let Some((_, _, Reverse(start))) = here.max() else { return false };
        self.forget(start);
        true
    }

    fn forget(&mut self, start: u64) {
        if let Some(Window::Here { bytes, is_used }) = self.windows.remove(&start) {
            self.bytes -= bytes.len();
            if !is_used {
                self.unused_bytes -= bytes.len();
            }
        }
    }
}

fn end_of(start: u64, window: &Window) -> u64 {
    match window {
        Window::Coming(end) => *end,
        Window::Here { bytes, .. } => start + bytes.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumequeue::table::QueueTable;
    use crate::offset::QueueOffset;

    const CELL: u64 = 1000;

    fn bytes(byte: u8, len: usize) -> BufSlice {
        AppendBuf::copy_of(&vec![byte; len])
    }

    fn windows(bytes_max: usize) -> ColdWindows {
        ColdWindows::new(bytes_max, MemoryAccount::new(usize::MAX))
    }

    fn here(found: Found, at: u64, len: usize) -> Option<Vec<u8>> {
        match found {
            Found::Here { window, .. } => window.record(at, len).map(|record| record.to_vec()),
            Found::Joined(record) => Some(record.to_vec()),
            _ => None,
        }
    }

    fn queues(count: i32) -> Vec<QueueKey> {
        let mut table = QueueTable::default();
        let none = QueueOffset(0);
        (0..count).map(|queue_id| table.insert("t", queue_id, none, none).unwrap()).collect()
    }

    #[test]
    fn a_record_over_two_windows_is_put_together_or_waited_for() {
        let mut windows = windows(1 << 20);
        windows.came(0, bytes(1, 1000), true);
        assert!(matches!(windows.find(990, 20), Found::Nowhere(1000)));
        windows.begin(1000, 2000);
        assert!(matches!(windows.find(990, 20), Found::OnItsWay));
        assert!(matches!(windows.find(1000, 20), Found::OnItsWay));
        windows.came(1000, bytes(2, 1000), false);
        let whole = here(windows.find(990, 20), 990, 20);
        assert_eq!(whole, Some([vec![1; 10], vec![2; 10]].concat()));
        assert!(matches!(windows.find(2000, 5), Found::Nowhere(2000)));
    }

    #[test]
    fn windows_of_a_cell_do_not_overlap_and_end_with_it() {
        let mut windows = windows(1 << 20);
        assert_eq!(windows.gap(0, 300, CELL), (300, CELL));
        windows.begin(300, CELL);
        assert_eq!(windows.gap(0, 100, CELL), (100, 300), "up to what is on its way");
        windows.came(300, bytes(1, 200), true);
        assert_eq!(windows.gap(0, 700, CELL), (500, CELL), "from the end of what is here");
        assert_eq!(windows.gap(CELL, CELL + 70, 2 * CELL), (CELL + 70, 2 * CELL));
        windows.came(500, bytes(2, 500), true);
        assert_eq!(windows.gap(CELL, CELL + 70, 2 * CELL), (CELL, 2 * CELL), "a reader goes on");
        assert!(windows.goes_on_at(CELL) && !windows.goes_on_at(CELL + 70));
    }

    #[test]
    fn what_a_reader_has_to_come_to_stays_and_what_all_have_passed_goes() {
        let mut windows = windows(4_000);
        let queues = queues(2);
        for cell in 0..4 {
            windows.came(cell * CELL, bytes(1, 1000), true);
        }
        windows.read_upto(queues[0], 3_000, 3_500);
        windows.read_upto(queues[1], 1_000, 1_200);
        windows.came(4_000, bytes(1, 1000), false);
        assert!(!windows.holds(0), "both have passed it");
        windows.came(5_000, bytes(1, 1000), false);
        let held: Vec<bool> = (1..6).map(|cell| windows.holds(cell * CELL)).collect();
        assert_eq!(held, [true, false, true, true, true], "the one that is farthest from a reader");
        assert!(windows.bytes <= 4_000);
    }

    #[test]
    fn readers_of_one_queue_at_several_places_keep_their_windows() {
        let mut windows = windows(8_000);
        let queue = queues(1)[0];
        // Four places, each read in steps of a tenth of a window, in turn.
        let starts = [0, 100_000, 200_000, 300_000];
        let mut fetched = 0;
        for step in 0..100 {
            for start in starts {
                let at = start + step * 100;
                if !windows.holds(at) {
                    windows.came(at, bytes(1, 1000), true);
                    fetched += 1;
                }
                windows.read_upto(queue, at, at + 100);
            }
        }
        assert_eq!(fetched, 40, "each window came once");
        assert!(windows.readers.len() <= 8, "{} readers", windows.readers.len());
    }

    #[test]
    fn a_reader_that_does_not_come_back_keeps_nothing() {
        let mut windows = windows(2_000);
        let queues = queues(2);
        windows.came(0, bytes(1, 1000), true);
        windows.read_upto(queues[0], 0, 10);
        for cell in 10..30 {
            windows.came(cell * CELL, bytes(1, 1000), true);
            windows.read_upto(queues[1], cell * CELL, (cell + 1) * CELL);
        }
        assert!(!windows.holds(500) && windows.readers.len() == 1);
    }

    #[test]
    fn what_is_read_ahead_and_not_used_is_at_most_half_of_the_cache() {
        let mut windows = windows(4000);
        windows.came(0, bytes(1, 1000), false);
        assert!(windows.wants(1000));
        windows.begin(1000, 2000);
        assert!(!windows.wants(1000));
        assert!(here(windows.find(0, 10), 0, 10).is_some());
        assert!(windows.wants(1000), "the first is used now");
        windows.will_not_come(1000);
        assert!(windows.wants(2000));
    }

    #[test]
    fn a_window_that_came_short_or_not_at_all_is_nowhere() {
        let mut windows = windows(4000);
        windows.begin(0, 1000);
        windows.came(0, BufSlice::empty(), false);
        assert!(matches!(windows.find(0, 1), Found::Nowhere(0)));
        windows.begin(0, 1000);
        windows.came(0, bytes(1, 10), false);
        assert!(matches!(windows.find(5, 10), Found::Nowhere(10)));
        windows.clear();
        assert!((windows.bytes, windows.unused_bytes) == (0, 0) && !windows.holds(0));
    }

    #[test]
    fn the_second_lone_record_of_a_cell_is_told_from_the_first() {
        let mut windows = windows(4000);
        assert!(!windows.is_asked_again(7) && !windows.is_asked_again(8));
        assert!(windows.is_asked_again(7));
        (100..100 + LONE_CELLS_MAX as u64).for_each(|cell| _ = windows.is_asked_again(cell));
        assert!(!windows.is_asked_again(7), "that was long ago");
    }
}
