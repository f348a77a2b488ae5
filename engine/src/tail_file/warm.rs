//! What a killed process had of the written log in memory, for the tail of the next: readers find
//! the newest of it in memory after a kill, too.
//!
//! ```text
//!   lines, in the order of the log:   | c0 ....... |
//!                                           block │c1 ....... |     position of c1 = block of c0's end
//!                                                       block │c2 ... end of the log
//! ```
//!
//! Only chunks that follow each other up to the end of the log are taken: the newest, as many as
//! the next tail may have. The line of a chunk that was given back is empty, so memory that holds
//! something else, or nothing any more, is in no such chain. The first block of a life's first
//! chunk begins with what the disk had of it. Nobody has looked at that, so it is not read from
//! memory.

use super::format::Line;
use super::takeover::OldTail;
use crate::error::FileError;
use crate::number::exact;
use crate::tail::block_floor;

/// A chunk to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warm {
    pub(super) line: Line,
    /// Its first byte that is neither a copy from the chunk before nor from the disk.
    first: u64,
}

/// The newest chunks of a log that ends at `end`, in its order, in at most `slots_max` slots; what
/// they hold before `own_from` is from the disk.
pub(super) fn chain(lines: &[Line], own_from: u64, end: u64, slots_max: u64) -> Vec<Warm> {
    let mut found = Vec::new();
    let mut slots = 0;
    let ends_there = |line: &&Line| line.appended == end;
    let mut next = lines.iter().filter(ends_there).max_by_key(|line| line.position);
    while let Some(line) = next.filter(|line| slots + line.slots <= slots_max) {
        slots += line.slots;
        let is_before = |before: &&Line| {
            before.position < line.position && block_floor(before.appended) == line.position
        };
        next = lines.iter().filter(is_before).max_by_key(|before| before.appended);
        let first = next.map_or(line.position, |next| next.appended);
        found.push(Warm { line: *line, first: first.max(own_from).min(line.appended) });
    }
    found.reverse();
    found
}

/// Bytes of the log from one of its blocks on.
pub(crate) struct WarmChunk {
    /// Log offset of `bytes`, a multiple of the block.
    pub(crate) position: u64,
    /// Log offset of the first byte that the chunk before has not.
    pub(crate) first: u64,
    pub(crate) bytes: Vec<u8>,
}

impl OldTail {
    /// The chunks that are still in memory, in the order of the log; one follows the other up to
    /// the tail's end.
    pub(crate) fn warm_chunks(&self) -> impl Iterator<Item = Result<WarmChunk, FileError>> {
        self.warm().iter().map(|warm| {
            let Line { slot, position, appended, .. } = warm.line;
            let (place, len) = (self.head().place_of(slot), exact(appended - position));
            let read = self.file().read(place, len);
            let bytes = read.map_err(FileError::at("read", self.path(), place))?;
            Ok(WarmChunk { position, first: warm.first, bytes })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slot: u64, position: u64, appended: u64) -> Line {
        Line { slot, position, appended, slots: 1 }
    }

    fn warm(line: Line, first: u64) -> Warm {
        Warm { line, first }
    }

    #[test]
    fn the_newest_chunks_that_follow_each_other_are_warm() {
        let lines = [line(0, 8192, 12_000), line(1, 0, 5000), line(2, 4096, 9000)];
        let [c2, c0, c1] = lines;
        let all = [warm(c0, 0), warm(c1, 5000), warm(c2, 9000)];
        assert_eq!(chain(&lines, 0, 12_000, 3), all);
        assert_eq!(chain(&lines, 0, 12_000, 2), [warm(c1, 5000), warm(c2, 9000)]);
        assert_eq!(chain(&lines, 0, 12_000, 0), []);
        assert_eq!(chain(&lines, 0, 12_001, 3), [], "none ends where the log does");
    }

    #[test]
    fn a_chunk_that_was_given_back_ends_the_chain() {
        let lines = [line(0, 8192, 12_000), line(1, 0, 4000)];
        assert_eq!(chain(&lines, 0, 12_000, 9), [warm(lines[0], 8192)]);
    }

    #[test]
    fn a_chunk_that_was_only_begun_follows_the_one_before() {
        // The larger record that came did not fit into the second, which holds a copy only.
        let lines = [line(0, 0, 5000), line(1, 4096, 5000), line(2, 4096, 30_000)];
        assert_eq!(chain(&lines, 0, 30_000, 9), [warm(lines[0], 0), warm(lines[2], 5000)]);
        assert_eq!(chain(&lines[..2], 0, 5000, 9), [warm(lines[0], 0), warm(lines[1], 5000)]);
    }

    #[test]
    fn what_the_disk_had_of_the_first_block_is_not_warm() {
        let lines = [line(0, 4096, 9000), line(1, 8192, 12_000)];
        let [c0, c1] = lines;
        assert_eq!(chain(&lines, 5000, 12_000, 9), [warm(c0, 5000), warm(c1, 9000)]);
        assert_eq!(chain(&lines[1..], 8500, 12_000, 9), [warm(c1, 8500)], "it began in this block");
        assert_eq!(chain(&lines[..1], 9000, 9000, 9), [warm(c0, 9000)]);
        assert_eq!(chain(&lines[..1], u64::MAX, 9000, 9), [warm(c0, 9000)], "whatever it says");
    }
}
