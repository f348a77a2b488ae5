//! An IndexFile's bytes: RocketMQ's, exactly.
//!
//! ```text
//!  0                40                  40 + 4 s                     40 + 4 s + 20 n
//!  | header         | s slots, u32 each | n entries, 20 bytes each; entry 0 is never used |    all big-endian
//!
//!  header  0          8        16         24       32           36
//!          | beginTime | endTime | beginPhy | endPhy | used slots | next entry |     i64 × 4, i32 × 2; next entry starts at 1
//!
//!  entry   0      4              12                    16            20
//!          | hash | log offset   | seconds after       | entry before |
//!          | u32  | u64          | beginTime  i32      | u32, 0 none  |
//! ```
//!
//! A slot holds the number of its newest entry, 0 when it has none; each entry names the one before
//! it in its slot.

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 40;
const _: () = assert!(HEADER_BYTES == 4 * 8 + 2 * 4);
/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 4;
/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: usize = 20;
const _: () = assert!(ENTRY_BYTES == 4 + 8 + 4 + 4);

/// How many slots and entries a file has: a fact of the store (`maxHashSlotNum`, `maxIndexNum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) slots: u32,
    pub(crate) entries: u32,
}

impl Shape {
    /// A file's length.
    pub(crate) fn file_bytes(self) -> u64 {
        self.entry_at(self.entries)
    }

    /// Where a slot is.
    pub(crate) fn slot_at(self, slot: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot) * SLOT_BYTES as u64
    }

    /// Where an entry is.
    pub(crate) fn entry_at(self, entry: u32) -> u64 {
        self.slot_at(self.slots) + u64::from(entry) * ENTRY_BYTES as u64
    }

    /// The slot of a hash.
    pub(crate) fn slot_of(self, hash: u32) -> u32 {
        hash % self.slots.max(1)
    }
}

/// See the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) begin_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) begin_phy: u64,
    pub(crate) end_phy: u64,
    pub(crate) used_slots: u32,
    pub(crate) next_entry: u32,
}

impl Default for Header {
    fn default() -> Self {
        Self { begin_ms: 0, end_ms: 0, begin_phy: 0, end_phy: 0, used_slots: 0, next_entry: 1 }
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&self.begin_ms.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.end_ms.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.begin_phy.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.end_phy.to_be_bytes());
        bytes[32..36].copy_from_slice(&self.used_slots.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.next_entry.to_be_bytes());
        bytes
    }

    /// The header of a file of this shape, or what is wrong with it.
    pub(crate) fn decode(bytes: &[u8], shape: Shape) -> Result<Self, String> {
        let short = || format!("a header of {} bytes, expected {HEADER_BYTES}", bytes.len());
        let long = |at| part::<8>(bytes, at).map(i64::from_be_bytes).ok_or_else(short);
        let int = |at| part::<4>(bytes, at).map(i32::from_be_bytes).ok_or_else(short);
        let (begin_phy, end_phy) = (long(16)?, long(24)?);
        let (used_slots, next_entry) = (int(32)?, int(36)?);
        let wrong = |what: &str, expected: String, found: i64| {
            Err(format!("{what} {found}, expected {expected}"))
        };
        let (Ok(begin_phy), Ok(end_phy)) = (u64::try_from(begin_phy), u64::try_from(end_phy))
        else {
            return wrong("log offset", "none below 0".to_owned(), begin_phy.min(end_phy));
        };
        // RocketMQ takes 0, a file that was made and never closed, as 1.
        let (Ok(used_slots), Ok(next_entry)) =
            (u32::try_from(used_slots), u32::try_from(next_entry.max(1)))
        else {
            return wrong("used slots", "none below 0".to_owned(), used_slots.into());
        };
        let header = Self {
            begin_ms: long(0)?,
            end_ms: long(8)?,
            begin_phy,
            end_phy,
            used_slots,
            next_entry,
        };
        if next_entry > shape.entries.max(1) {
            return wrong("next entry", format!("at most {}", shape.entries), next_entry.into());
        }
        if used_slots > shape.slots.min(next_entry - 1) {
            return wrong(
                "used slots",
                format!("at most {}", shape.slots.min(next_entry - 1)),
                used_slots.into(),
            );
        }
        // The last may lie before the first: a clock was set back.
        if header.begin_ms < 0 || header.end_ms < 0 {
            return wrong("time", "none below 0".to_owned(), header.begin_ms.min(header.end_ms));
        }
        if begin_phy > end_phy {
            return Err(format!("first log offset {begin_phy}, expected at most {end_phy}"));
        }
        Ok(header)
    }

    /// Whether a key was entered.
    pub(crate) fn has_entries(&self) -> bool {
        self.next_entry > 1
    }

    /// Whether no more entry fits.
    pub(crate) fn is_full(&self, shape: Shape) -> bool {
        self.next_entry >= shape.entries
    }

    /// Whether some message of the file may have been stored within `[begin_ms, end_ms]`.
    pub(crate) fn overlaps(&self, begin_ms: i64, end_ms: i64) -> bool {
        begin_ms <= self.end_ms && end_ms >= self.begin_ms
    }

    /// An entry's time: to the second, counted from the file's first.
    pub(crate) fn seconds_of(&self, store_ms: i64) -> i32 {
        if self.begin_ms <= 0 {
            return 0;
        }
        i32::try_from(store_ms.saturating_sub(self.begin_ms) / 1000).unwrap_or(i32::MAX).max(0)
    }

    pub(crate) fn time_of(&self, seconds: i32) -> i64 {
        self.begin_ms.saturating_add(i64::from(seconds) * 1000)
    }
}

/// See the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) hash: u32,
    pub(crate) phy: u64,
    pub(crate) seconds: i32,
    pub(crate) before: u32,
}

impl Entry {
    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[0..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.phy.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.before.to_be_bytes());
        bytes
    }

    /// `None` when there are not enough bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            hash: u32::from_be_bytes(part(bytes, 0)?),
            phy: u64::from_be_bytes(part(bytes, 4)?),
            seconds: i32::from_be_bytes(part(bytes, 12)?),
            before: u32::from_be_bytes(part(bytes, 16)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { slots: 10, entries: 40 };

    #[test]
    fn rocketmqs_default_file_has_its_length() {
        assert_eq!(Shape { slots: 5_000_000, entries: 20_000_000 }.file_bytes(), 420_000_040);
    }

    #[test]
    fn golden_bytes() {
        let header = Header {
            begin_ms: 1,
            end_ms: 2,
            begin_phy: 3,
            end_phy: 4,
            used_slots: 5,
            next_entry: 6,
        };
        let mut expected = [0; 40];
        [(7, 1), (15, 2), (23, 3), (31, 4), (35, 5), (39, 6)]
            .iter()
            .for_each(|(at, value): &(usize, u8)| expected[*at] = *value);
        assert_eq!(header.encode(), expected);
        assert_eq!(Header::decode(&expected, SHAPE), Ok(header));
        let entry = Entry { hash: 0x0102_0304, phy: 5, seconds: 6, before: 7 };
        let mut expected = [0; 20];
        expected[..4].copy_from_slice(&[1, 2, 3, 4]);
        [(11, 5), (15, 6), (19, 7)]
            .iter()
            .for_each(|(at, value): &(usize, u8)| expected[*at] = *value);
        assert_eq!(entry.encode(), expected);
        assert_eq!(Entry::decode(&expected), Some(entry));
        assert_eq!(Entry::decode(&expected[..19]), None);
    }

    #[test]
    fn a_header_that_contradicts_itself_is_refused_and_no_bytes_panic() {
        let good = Header {
            begin_ms: 100,
            end_ms: 200,
            begin_phy: 10,
            end_phy: 50,
            used_slots: 3,
            next_entry: 6,
        };
        let bad = [
            Header { end_ms: -1, ..good },
            Header { begin_ms: -1, ..good },
            Header { begin_phy: 51, ..good },
            Header { end_phy: u64::MAX, ..good },
            Header { used_slots: 6, ..good },
            Header { used_slots: u32::MAX, ..good },
            Header { next_entry: 41, ..good },
        ];
        assert!(bad.iter().all(|header| Header::decode(&header.encode(), SHAPE).is_err()));
        assert_eq!(
            Header::decode(&[0; 40], SHAPE),
            Ok(Header::default()),
            "a file that was made and never closed"
        );
        for cut in 0..40 {
            assert!(Header::decode(&good.encode()[..cut], SHAPE).is_err());
        }
        for bit in 0..320 {
            let mut bytes = good.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = Header::decode(&bytes, SHAPE);
        }
    }

    #[test]
    fn times_are_seconds_after_the_first_and_never_before_it() {
        let header = Header { begin_ms: 10_000, ..Header::default() };
        assert_eq!([9_000, 10_000, 10_999, 11_000].map(|ms| header.seconds_of(ms)), [0, 0, 0, 1]);
        assert_eq!(header.seconds_of(i64::MAX), i32::MAX);
        assert_eq!(Header::default().seconds_of(5_000), 0);
        assert_eq!(header.time_of(3), 13_000);
    }
}
