//! The file that grows: its header, slots and last entries in memory. Pure; `files` moves them to
//! disk.
//!
//! Slots are changed at random, so they are written by pages, and only when a checkpoint asks;
//! entries come in order and are written when enough have gathered. Whoever looks for an entry
//! finds it here until the file has it.

use super::layout::{ENTRY_BYTES, Entry, HEADER_BYTES, Header, SLOT_BYTES, Shape};
use crate::limits::INDEX_PENDING_ENTRIES_MAX;
use crate::number::exact;
use rt::{AppendBuf, BufSlice};

/// Slots are written by this much of the file.
const PAGE_BYTES: u64 = 4096;

/// A piece of the file to write.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) at: u64,
    pub(crate) data: BufSlice,
}

pub(crate) struct Newest {
    shape: Shape,
    pub(crate) header: Header,
    /// The slot table, taken with the first key: a broker that stores no keyed message needs none.
    slots: Vec<u32>,
    /// One bit a page of the file: its slots changed.
    dirty: Vec<u64>,
    /// Entries in no file yet, as the file will have them, from `pending_first` on.
    pending: Vec<u8>,
    pending_first: u32,
    /// Entries being written, still looked up here: number of the first, bytes.
    writing: Option<(u32, BufSlice)>,
}

impl Newest {
    /// A file without entries.
    pub(crate) fn empty(shape: Shape) -> Self {
        Self::of(shape, Header::default(), Vec::new())
    }

    /// A file with entries, whose slots are `slots`.
    pub(crate) fn of(shape: Shape, header: Header, slots: Vec<u32>) -> Self {
        Self {
            shape,
            header,
            slots,
            dirty: Vec::new(),
            pending: Vec::new(),
            pending_first: header.next_entry,
            writing: None,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.header.is_full(self.shape)
    }

    /// Whether so many keys fit, and none of them waits for entries to be written first.
    #[inline]
    pub(crate) fn has_room(&self, keys: u32) -> bool {
        self.shape.entries.saturating_sub(self.header.next_entry) >= keys && !self.should_write()
    }

    /// Enters a key; the file is not full.
    #[inline]
    pub(crate) fn put(&mut self, hash: u32, phy: u64, store_ms: i64) {
        self.take_memory();
        let (slot, number) = (self.shape.slot_of(hash), self.header.next_entry);
        let Some(newest) = self.slots.get_mut(slot as usize) else { return };
        let before = std::mem::replace(newest, number);
        let page = self.shape.slot_at(slot) / PAGE_BYTES;
        let (word, bit) = (exact::<_, usize>(page / 64), page % 64);
        if let Some(word) = self.dirty.get_mut(word) {
            *word |= 1 << bit;
        }
        if !self.header.has_entries() {
            (self.header.begin_ms, self.header.begin_phy) = (store_ms, phy);
        }
        let seconds = self.header.seconds_of(store_ms);
        self.pending.extend_from_slice(&Entry { hash, phy, seconds, before }.encode());
        self.header.used_slots += u32::from(before == 0);
        self.header.next_entry += 1;
        (self.header.end_ms, self.header.end_phy) = (store_ms, phy);
    }

    fn take_memory(&mut self) {
        if self.slots.is_empty() {
            self.slots = vec![0; self.shape.slots as usize];
        }
        if self.dirty.is_empty() {
            let pages = self.shape.slot_at(self.shape.slots).div_ceil(PAGE_BYTES);
            self.dirty = vec![0; exact(pages.div_ceil(64))];
        }
    }

    /// Whether so many entries wait that they should be written.
    pub(crate) fn should_write(&self) -> bool {
        self.pending.len() >= INDEX_PENDING_ENTRIES_MAX * ENTRY_BYTES
    }

    /// The newest entry of a slot, 0 when it has none.
    pub(crate) fn slot(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).copied().unwrap_or(0)
    }

    /// An entry that is still in memory.
    pub(crate) fn entry(&self, number: u32) -> Option<Entry> {
        let at = |first: u32| number.checked_sub(first).map(|nth| nth as usize * ENTRY_BYTES);
        let pending = at(self.pending_first).and_then(|at| Entry::decode(self.pending.get(at..)?));
        pending.or_else(|| {
            let (first, bytes) = self.writing.as_ref()?;
            at(*first).and_then(|at| Entry::decode(bytes.get(at..)?))
        })
    }

    /// The entries that wait, to be written now; they stay visible until
    /// [`Newest::entries_written`].
    pub(crate) fn entries_to_write(&mut self) -> Option<Piece> {
        if self.pending.is_empty() {
            return None;
        }
        let data = AppendBuf::copy_of(&self.pending);
        let first = self.pending_first;
        self.writing = Some((first, data.clone()));
        self.pending.clear();
        self.pending_first = self.header.next_entry;
        Some(Piece { at: self.shape.entry_at(first), data })
    }

    pub(crate) fn entries_written(&mut self) {
        self.writing = None;
    }

    /// Changed slots, neighbouring pages together, at most `most` pages; `None` when all are
    /// written.
    pub(crate) fn slots_to_write(&mut self, most: u64) -> Option<Piece> {
        let first = self.next_dirty(0)?;
        let mut end = first;
        while end - first < most && self.take_dirty(end) {
            end += 1;
        }
        let slots_end = self.shape.slot_at(self.shape.slots);
        let from = (first * PAGE_BYTES).max(HEADER_BYTES as u64);
        let upto = (end * PAGE_BYTES).min(slots_end);
        let slot = |at: u64| exact::<_, usize>((at - HEADER_BYTES as u64) / SLOT_BYTES as u64);
        let slots = self.slots.get(slot(from)..slot(upto))?;
        let bytes: Vec<u8> = slots.iter().flat_map(|slot| slot.to_be_bytes()).collect();
        Some(Piece { at: from, data: AppendBuf::copy_of(&bytes) })
    }

    fn next_dirty(&self, from_word: usize) -> Option<u64> {
        let (nth, word) =
            self.dirty.iter().enumerate().skip(from_word).find(|(_, word)| **word != 0)?;
        Some(nth as u64 * 64 + u64::from(word.trailing_zeros()))
    }

    fn take_dirty(&mut self, page: u64) -> bool {
        let word = usize::try_from(page / 64).ok().and_then(|word| self.dirty.get_mut(word));
        let Some(word) = word else { return false };
        let mask = 1 << (page % 64);
        let was = *word & mask != 0;
        *word &= !mask;
        was
    }

    /// The header as it is now.
    pub(crate) fn header_to_write(&self) -> Piece {
        Piece { at: 0, data: AppendBuf::copy_of(&self.header.encode()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { slots: 2000, entries: 100 };

    #[test]
    fn the_file_is_what_rocketmq_writes() {
        let shape = Shape { slots: 3, entries: 5 };
        let mut file = vec![0; usize::try_from(shape.file_bytes()).unwrap()];
        let mut newest = Newest::empty(shape);
        for (hash, phy, ms) in [(7, 100, 50_000), (1, 100, 50_000), (7, 300, 52_500)] {
            assert!(!newest.is_full());
            newest.put(hash, phy, ms);
        }
        let mut pieces = vec![newest.entries_to_write().unwrap()];
        newest.put(2, 400, 53_000);
        assert!(newest.is_full());
        assert_eq!(
            newest.entry(3).unwrap(),
            Entry { hash: 7, phy: 300, seconds: 2, before: 2 },
            "found while it is written"
        );
        newest.entries_written();
        assert!(newest.entry(3).is_none() && newest.entry(4).is_some());
        pieces.extend(newest.entries_to_write());
        pieces.extend(std::iter::from_fn(|| newest.slots_to_write(1)));
        pieces.push(newest.header_to_write());
        for piece in pieces {
            let at = usize::try_from(piece.at).unwrap();
            file[at..at + piece.data.len()].copy_from_slice(&piece.data);
        }
        let mut expected: Vec<u8> =
            [50_000i64, 53_000, 100, 400].iter().flat_map(|long| long.to_be_bytes()).collect();
        let ints =
            |ints: &[u32]| -> Vec<u8> { ints.iter().flat_map(|int| int.to_be_bytes()).collect() };
        expected.extend(ints(&[2, 5])); // two slots in use, next entry 5
        expected.extend(ints(&[0, 3, 4])); // slots
        expected.extend(ints(&[0, 0, 0, 0, 0])); // entry 0 is never used
        expected.extend(ints(&[7, 0, 100, 0, 0]));
        expected.extend(ints(&[1, 0, 100, 0, 1]));
        expected.extend(ints(&[7, 0, 300, 2, 2]));
        expected.extend(ints(&[2, 0, 400, 3, 0]));
        assert_eq!(file, expected);
    }

    #[test]
    fn every_changed_slot_is_written_once_and_pages_join() {
        let mut newest = Newest::empty(SHAPE);
        for hash in [0, 1, 1100, 1999] {
            newest.put(hash, 1, 1);
        }
        let pieces: Vec<Piece> = std::iter::from_fn(|| newest.slots_to_write(16)).collect();
        let places: Vec<(u64, usize)> =
            pieces.iter().map(|piece| (piece.at, piece.data.len())).collect();
        assert_eq!(places, [(40, 8000)], "pages 0 and 1, without header and entries");
        assert!(newest.slots_to_write(16).is_none());
        newest.put(1999, 2, 2);
        assert_eq!(newest.slots_to_write(16).unwrap().at, 4096);
    }

    #[test]
    fn no_memory_before_the_first_key() {
        let newest = Newest::empty(Shape { slots: u32::MAX, entries: 2 });
        assert_eq!((newest.slots.capacity(), newest.slot(5)), (0, 0));
    }
}
