//! The head of a tail's file: what it is, the watermarks, and one line for each slot.
//!
//! ```text
//!        0          8          16             24            32       40           48       56
//!      0 | "RMQTAIL" 0 | version | incarnation | slot bytes | slots  | path bytes | crc32  | namespace |
//!     64 | written  | flushed  | own from | 0 …
//!    128 | path of the store's folder, at most 3,968 bytes, zeros
//!   4096 | line of slot 0: incarnation | position | appended | slots |                        32 bytes
//!   4128 | line of slot 1 …
//!   head | slot 0 | slot 1 | …                                head: a multiple of 4096, slots as long as they say
//! ```
//!
//! Words are 64 bits, little-endian: the file never leaves the machine, and each is stored at once.
//!
//! - crc32: of the words before it, the namespace and the path. They are stored before the file
//!   has a name and never change.
//! - written, flushed: the log's watermarks. `written` is [`NOTHING`] while the file says nothing
//!   of the log: it is being cut.
//! - own from: what lies before it in a chunk's first block was read from the disk, and nobody has
//!   looked at it: no reader may get it from memory. 0 in files of before 2026-11-22.
//! - A line is valid when its incarnation is the file's. Its chunk begins at the slot, goes over
//!   `slots` of them, and holds the log from `position` (a multiple of the block) to `appended`.

use crate::limits::BLOCK_BYTES;
use crate::number::exact;
use std::path::{Path, PathBuf};

/// "RMQTAIL" and a zero byte.
const MAGIC: u64 = u64::from_le_bytes(*b"RMQTAIL\0");
/// The version this program writes, and the only one it reads.
pub(super) const VERSION: u64 = 1;
/// What `written` is while the file says nothing of the log.
pub(super) const NOTHING: u64 = u64::MAX;

/// Where the changing words are.
pub(super) const WRITTEN_AT: usize = 64;
pub(super) const FLUSHED_AT: usize = 72;
pub(super) const OWN_FROM_AT: usize = 80;
const PATH_AT: usize = 128;
/// Where the lines begin.
pub(super) const LINES_AT: usize = 4096;
const PATH_BYTES_MAX: usize = LINES_AT - PATH_AT;
/// Bytes of a line: four words.
pub(super) const LINE_BYTES: usize = 4 * 8;
const _: () = assert!(OWN_FROM_AT + 8 <= PATH_AT && PATH_BYTES_MAX == 3968);

/// More slots than any tail has: a head that says more is none.
const SLOTS_MAX: u64 = 1 << 24;
const SLOT_BYTES_MAX: u64 = 1 << 32;

/// How the names of tails end.
pub(crate) const TAIL_SUFFIX: &str = ".ringmq-tail";

/// Which tail a store has: what `abort` says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TailName {
    pub(crate) incarnation: u64,
    pub(crate) path: PathBuf,
}

impl TailName {
    /// The tail of `incarnation` in `folder`.
    pub(super) fn in_folder(folder: &Path, incarnation: u64) -> Self {
        let path = folder.join(format!("{incarnation:016x}{TAIL_SUFFIX}"));
        Self { incarnation, path }
    }
}

/// Bytes before the first slot.
pub(super) fn head_bytes(slots: usize) -> usize {
    (LINES_AT + slots * LINE_BYTES).next_multiple_of(exact(BLOCK_BYTES))
}

/// What never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) incarnation: u64,
    pub(super) slot_bytes: u64,
    pub(super) slots: u64,
    pub(super) namespace: u64,
    /// The store's folder, as its process saw it.
    pub(super) store: PathBuf,
}

/// What a file's first page is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Good(Head),
    Newer(u64),
    Bad(&'static str),
}

impl Head {
    /// The words from 0 on and the path; `None` when the path is too long.
    pub(super) fn encode(&self) -> Option<([u64; 8], Vec<u8>)> {
        let path = self.store.to_str().filter(|path| path.len() <= PATH_BYTES_MAX)?;
        let mut words = [
            MAGIC,
            VERSION,
            self.incarnation,
            self.slot_bytes,
            self.slots,
            path.len() as u64,
            0,
            self.namespace,
        ];
        words[6] = checksum(&words, path.as_bytes());
        Some((words, path.as_bytes().to_vec()))
    }

    pub(super) fn decode(page: &[u8]) -> Decoded {
        let Some(words) = words_of::<8>(page, 0) else {
            return Decoded::Bad("it is shorter than a tail's head");
        };
        let [magic, version, incarnation, slot_bytes, slots, path_bytes, crc, namespace] = words;
        if magic != MAGIC {
            return Decoded::Bad("it does not begin as a tail");
        }
        if version != VERSION {
            return Decoded::Newer(version);
        }
        let path = usize::try_from(path_bytes)
            .ok()
            .filter(|bytes| *bytes <= PATH_BYTES_MAX)
            .and_then(|bytes| page.get(PATH_AT..PATH_AT + bytes));
        let Some(path) = path.filter(|path| crc == checksum(&words, path)) else {
            return Decoded::Bad("the checksum of its head is wrong");
        };
        let is_possible = (1..=SLOTS_MAX).contains(&slots)
            && (BLOCK_BYTES..=SLOT_BYTES_MAX).contains(&slot_bytes)
            && slot_bytes.is_multiple_of(BLOCK_BYTES)
            && incarnation != 0;
        let (true, Ok(store)) = (is_possible, std::str::from_utf8(path)) else {
            return Decoded::Bad("its head says what no tail has");
        };
        let store = PathBuf::from(store);
        Decoded::Good(Self { incarnation, slot_bytes, slots, namespace, store })
    }

    /// Where a slot begins in the file.
    pub(super) fn place_of(&self, slot: u64) -> u64 {
        head_bytes(exact(self.slots)) as u64 + slot * self.slot_bytes
    }
}

/// Where the head's path is stored.
pub(super) fn path_at() -> usize {
    PATH_AT
}

/// Of the words but the checksum's own, and of the path.
fn checksum(words: &[u64; 8], path: &[u8]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    for word in [&words[..6], &words[7..]].into_iter().flatten() {
        hasher.update(&word.to_le_bytes());
    }
    hasher.update(path);
    hasher.finalize().into()
}

/// `N` words at `at`.
pub(super) fn words_of<const N: usize>(bytes: &[u8], at: usize) -> Option<[u64; N]> {
    let bytes = bytes.get(at..at + N * 8)?;
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Some(words)
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its first slot.
    pub(super) slot: u64,
    /// Log offset of its first byte.
    pub(super) position: u64,
    /// Log offset behind its last byte.
    pub(super) appended: u64,
    /// How many slots it has.
    pub(super) slots: u64,
}

impl Line {
    /// The valid lines in `bytes`, which begin at [`LINES_AT`]; an error for one that is valid and
    /// impossible.
    pub(super) fn all(head: &Head, bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut lines = Vec::new();
        for slot in 0..head.slots {
            let at = exact::<_, usize>(slot) * LINE_BYTES;
            let Some([incarnation, position, appended, slots]) = words_of(bytes, at) else {
                return Err(format!("it ends before the line of slot {slot}"));
            };
            if incarnation != head.incarnation {
                continue;
            }
            let line = Self { slot, position, appended, slots };
            let is_possible = position.is_multiple_of(BLOCK_BYTES)
                && (1..=head.slots - slot).contains(&slots)
                && appended >= position
                && appended - position <= slots * head.slot_bytes;
            if !is_possible {
                return Err(format!("{line:?} is impossible"));
            }
            lines.push(line);
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            incarnation: 0x0102,
            slot_bytes: 8192,
            slots: 3,
            namespace: 9,
            store: "/data/store".into(),
        }
    }

    fn page() -> Vec<u8> {
        let (words, path) = head().encode().unwrap();
        let mut page: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        page.resize(PATH_AT, 0);
        page.extend_from_slice(&path);
        page.resize(LINES_AT, 0);
        page
    }

    #[test]
    fn roundtrip_and_golden_bytes() {
        let page = page();
        assert_eq!(Head::decode(&page), Decoded::Good(head()));
        assert_eq!(page[..24], *b"RMQTAIL\0\x01\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(page[24..40], *b"\0\x20\0\0\0\0\0\0\x03\0\0\0\0\0\0\0");
        assert_eq!(page[PATH_AT..PATH_AT + 12], *b"/data/store\0");
        assert_eq!((head_bytes(3), head_bytes(128), head_bytes(129)), (8192, 8192, 12_288));
        assert_eq!(head().place_of(2), 8192 + 2 * 8192);
        let long = Head { store: "p".repeat(PATH_BYTES_MAX + 1).into(), ..head() };
        assert_eq!(long.encode(), None);
    }

    #[test]
    fn any_bytes_are_a_head_or_none_and_a_flipped_bit_is_none() {
        let whole = page();
        for at in 0..64 {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert!(!matches!(Head::decode(&flipped), Decoded::Good(_)), "bit {bit} of {at}");
            }
        }
        for cut in [0, 7, 63, 130] {
            assert!(matches!(Head::decode(&whole[..cut]), Decoded::Bad(_)), "cut at {cut}");
        }
        let mut newer = whole;
        newer[8] = 2;
        assert_eq!(Head::decode(&newer), Decoded::Newer(2));
        assert!(matches!(Head::decode(&[0; 4096]), Decoded::Bad(_)));
    }

    #[test]
    fn lines_of_others_are_passed_over_and_impossible_ones_are_told() {
        let line = |words: [u64; 4]| words.map(u64::to_le_bytes).concat();
        let of = |lines: [[u64; 4]; 3]| Line::all(&head(), &lines.map(line).concat());
        let ours = [0x0102, 4096, 5000, 1];
        let found = of([[7, 1, 2, 3], ours, [0; 4]]).unwrap();
        assert_eq!(found, [Line { slot: 1, position: 4096, appended: 5000, slots: 1 }]);
        for wrong in [
            [0x0102, 4097, 5000, 1],
            [0x0102, 4096, 4095, 1],
            [0x0102, 4096, 4096 + 8193, 1],
            [0x0102, 4096, 5000, 0],
            [0x0102, 4096, 5000, 3],
        ] {
            assert!(of([[0; 4], wrong, [0; 4]]).is_err(), "{wrong:?}");
        }
        assert!(Line::all(&head(), &[0; 40]).is_err(), "cut short");
    }
}
