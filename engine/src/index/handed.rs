//! What the append hands to the index: the hashes of each record's keys and its place, so that no
//! record is read again for them. Pure, and only a short cut: what is missing here is read from the
//! log.
//!
//! ```text
//!   log:       ───────[ read again )[ here: record after record )[ read again )───────► end
//!                     ▲ upto        ▲ front                       ▲ shut, until it is empty
//! ```
//!
//! Nothing is handed over by a start, by copied bytes ([`crate::Store::append_raw`]) or while this
//! is full. Once full it stays shut until the index has taken everything: so what is read again is
//! one piece of the log, and not every other record.

use super::keys::KeyProperties;
use crate::limits::{INDEX_HANDED_KEYS_MAX, INDEX_HANDED_RECORDS_MAX, INDEX_HANDED_WAKE};
use crate::number::exact;
use std::collections::VecDeque;

/// A record of the log. Its keys' hashes are the next `keys` ones of [`Handed::hashes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandedRecord {
    pub(super) phy: u64,
    pub(super) store_ms: i64,
    bytes: u32,
    keys: u32,
}

impl HandedRecord {
    pub(super) fn end(&self) -> u64 {
        self.phy + u64::from(self.bytes)
    }

    pub(super) fn keys(&self) -> u32 {
        self.keys
    }
}

/// See the module's text. It has its room from the beginning, so that no append allocates; the
/// system gives pages to what is used.
pub(crate) struct Handed {
    /// In the log's order, not always next to each other.
    records: VecDeque<HandedRecord>,
    hashes: VecDeque<u32>,
    is_shut: bool,
}

impl Handed {
    pub(super) fn new() -> Self {
        Self {
            records: VecDeque::with_capacity(INDEX_HANDED_RECORDS_MAX),
            hashes: VecDeque::with_capacity(INDEX_HANDED_KEYS_MAX),
            is_shut: false,
        }
    }

    /// Hands over a record of `bytes` bytes that was stored at `phy`. Returns whether the index
    /// should be woken.
    #[inline]
    pub(crate) fn hand(
        &mut self,
        (phy, bytes, store_ms): (u64, usize, i64),
        (topic, sys_flag): (&str, i32),
        properties: &KeyProperties<'_>,
    ) -> bool {
        if self.is_shut {
            return false;
        }
        let before = self.hashes.len();
        let mut has_room = self.records.len() < INDEX_HANDED_RECORDS_MAX;
        properties.for_each_hash(topic, sys_flag, |hash| {
            has_room &= self.hashes.len() < INDEX_HANDED_KEYS_MAX;
            if has_room {
                self.hashes.push_back(hash);
            }
        });
        if !has_room {
            self.hashes.truncate(before);
            self.is_shut = !self.records.is_empty();
            return true;
        }
        let keys = exact(self.hashes.len() - before);
        self.records.push_back(HandedRecord { phy, store_ms, bytes: exact(bytes), keys });
        self.records.len() == INDEX_HANDED_WAKE
    }

    /// Forgets records below `at`, and opens again when nothing is left.
    pub(super) fn pass(&mut self, at: u64) {
        while self.records.front().is_some_and(|record| record.phy < at) {
            self.take(|_| ());
        }
        self.is_shut &= !self.records.is_empty();
    }

    /// Where its next record lies.
    pub(super) fn front(&self) -> Option<HandedRecord> {
        self.records.front().copied()
    }

    /// Takes the next record out; `each` gets the hashes of its keys.
    pub(super) fn take(&mut self, each: impl FnMut(u32)) {
        let keys = self.records.pop_front().map_or(0, |record| record.keys as usize);
        self.hashes.drain(..keys).for_each(each);
    }

    /// The log was cut: other records will lie at these places.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.hashes.clear();
        self.is_shut = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(handed: &mut Handed, phy: u64, properties: &[u8]) -> bool {
        handed.hand((phy, 100, 7), ("t", 0), &KeyProperties::of(properties))
    }

    fn taken(handed: &mut Handed) -> (u64, usize) {
        let (record, mut keys) = (handed.front().unwrap(), 0);
        handed.take(|_| keys += 1);
        assert_eq!(record.end(), record.phy + 100);
        (record.phy, keys)
    }

    #[test]
    fn records_come_out_with_their_keys_in_the_order_of_the_log() {
        let mut handed = Handed::new();
        hand(&mut handed, 0, b"UNIQ_KEY\x01u\x02KEYS\x01a b\x02TAGS\x01t\x02");
        hand(&mut handed, 100, b"");
        hand(&mut handed, 500, b"TAGS\x01t\x02");
        assert_eq!([(); 3].map(|()| taken(&mut handed)), [(0, 4), (100, 0), (500, 1)]);
        assert!(handed.front().is_none() && handed.hashes.is_empty());
    }

    #[test]
    fn what_is_passed_is_forgotten_with_its_keys() {
        let mut handed = Handed::new();
        for nth in 0..5 {
            hand(&mut handed, nth * 100, b"KEYS\x01a b\x02");
        }
        handed.pass(201);
        assert_eq!((taken(&mut handed), handed.hashes.len()), ((300, 2), 2));
        handed.clear();
        assert!(handed.front().is_none() && handed.hashes.is_empty());
    }

    #[test]
    fn it_never_takes_more_memory_than_it_began_with() {
        let mut handed = Handed::new();
        let room = |handed: &Handed| (handed.records.capacity(), handed.hashes.capacity());
        let began_with = room(&handed);
        let many = [b"KEYS\x01".to_vec(), b"k ".repeat(INDEX_HANDED_KEYS_MAX / 3)].concat();
        (0..5).for_each(|nth| _ = hand(&mut handed, nth * 100, &many));
        handed.clear();
        (0..20_000).for_each(|nth| _ = hand(&mut handed, nth * 100, b"UNIQ_KEY\x01u\x02"));
        assert_eq!(room(&handed), began_with);
    }

    #[test]
    fn once_full_it_is_shut_until_it_is_empty() {
        let mut handed = Handed::new();
        let max = INDEX_HANDED_RECORDS_MAX as u64;
        let woken = (0..max).filter(|nth| hand(&mut handed, nth * 100, b"TAGS\x01t\x02")).count();
        assert_eq!(woken, 1, "once, before it is full");
        assert!(hand(&mut handed, max * 100, b"TAGS\x01t\x02"), "the first that finds no room");
        handed.pass(max * 100 - 100);
        hand(&mut handed, max * 100 + 100, b"");
        assert_eq!(taken(&mut handed), (max * 100 - 100, 1), "the last that found room");
        assert!(handed.front().is_none());
        handed.pass(max * 100);
        hand(&mut handed, max * 100 + 200, b"");
        assert_eq!(taken(&mut handed), (max * 100 + 200, 0));
    }

    #[test]
    fn a_record_with_more_keys_than_there_is_room_for_is_left_out_whole() {
        let mut handed = Handed::new();
        let many = [b"KEYS\x01".to_vec(), b"k ".repeat(INDEX_HANDED_KEYS_MAX + 1)].concat();
        assert!(hand(&mut handed, 0, &many));
        assert!(handed.front().is_none() && handed.hashes.is_empty());
        hand(&mut handed, 100, b"KEYS\x01k\x02");
        assert_eq!(taken(&mut handed), (100, 1), "an empty one is never shut");
    }
}
