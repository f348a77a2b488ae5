//! What to write next: whole blocks straight from the tail, and behind them the log's partial last
//! block as a copy.
//!
//! One write is in flight at a time, or a few of the next ones together ([`next_writes`]); what is
//! appended meanwhile goes with the next. The partial block is rewritten as it fills: both versions
//! of each of its sectors hold the same bytes up to the earlier end, so a torn rewrite loses
//! nothing that was written before. The kernel is given a copy that nobody changes (filesystems
//! with checksums read it twice).

use crate::limits::{BLOCK_BYTES, WRITE_BYTES_MAX, WRITES_TOGETHER_MAX};
use crate::tail::{Tail, block_floor};
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, BufSlice};
use std::rc::Rc;

/// One write.
pub(crate) struct WriteStep {
    /// Log offset of its first byte, a multiple of the block.
    pub(crate) at: u64,
    /// Whole blocks, straight from the tail; may be empty.
    pub(crate) blocks: BufSlice,
    /// The block behind them, padded with zeros; empty when the write ends before the log does.
    pub(crate) last: BufSlice,
    /// `written` once it is done.
    pub(crate) upto: u64,
    /// The last record boundary up to there that is known.
    pub(crate) boundary: u64,
}

/// Writes of one file that go to the device together, each behind the one before. `written` moves
/// when all are done: the places between are never told.
pub(crate) type WriteSteps = [Option<WriteStep>; WRITES_TOGETHER_MAX];

/// The next writes of a log that is written up to `written`: one, and up to `max` together when
/// those behind it are large; the first is `None` when all is written.
pub(crate) fn next_writes(
    tail: &Tail,
    written: u64,
    file_bytes: u64,
    partial: &mut Rc<AppendBuf>,
    max: usize,
) -> WriteSteps {
    let mut steps = WriteSteps::default();
    let mut at = written;
    for (nth, place) in steps.iter_mut().take(max).enumerate() {
        // A little waits for more: it would write the log's partial last block once more.
        let is_large = tail.end().saturating_sub(at) >= tail.chunk_bytes() / 2;
        if nth > 0 && (at.is_multiple_of(file_bytes) || !is_large) {
            break;
        }
        let Some(step) = next_write(tail, at, file_bytes, partial) else { break };
        at = step.upto;
        *place = Some(step);
    }
    steps
}

/// The next write of a log that is written up to `written`; `None` when all is.
pub(crate) fn next_write(
    tail: &Tail,
    written: u64,
    file_bytes: u64,
    partial: &mut Rc<AppendBuf>,
) -> Option<WriteStep> {
    let (at, end) = (block_floor(written), tail.end());
    if end == written {
        return None;
    }
    let file_end = at - at % file_bytes + file_bytes;
    let blocks = tail
        .blocks(at, end.min(file_end).min(at + WRITE_BYTES_MAX))
        .unwrap_or_else(BufSlice::empty);
    let upto = at + blocks.len() as u64;
    if upto < file_end && end > upto && end - upto < BLOCK_BYTES {
        let bytes = tail.partial_block(upto)?;
        let last = padded(&bytes, partial);
        return Some(WriteStep { at, blocks, last, upto: end, boundary: end });
    }
    let boundary = tail.boundary_upto(upto);
    Some(WriteStep { at, blocks, last: BufSlice::empty(), upto, boundary })
}

impl WriteStep {
    /// The place behind its last byte, the padding included.
    pub(crate) fn device_end(&self) -> u64 {
        self.at + (self.blocks.len() + self.last.len()) as u64
    }
}

/// `bytes` and zeros up to a block, in `place` when nobody holds a slice of it any more.
fn padded(bytes: &[u8], place: &mut Rc<AppendBuf>) -> BufSlice {
    match Rc::get_mut(place) {
        Some(unshared) => unshared.reset(),
        None => *place = AppendBuf::with_capacity(DIRECT_ALIGN),
    }
    place.append(DIRECT_ALIGN, |block| {
        let (copied, zeros) = block.split_at_mut(bytes.len());
        copied.copy_from_slice(bytes);
        zeros.fill(0);
    });
    BufSlice::new(place.clone(), 0..DIRECT_ALIGN)
}

const _: () = assert!(WRITE_BYTES_MAX.is_multiple_of(BLOCK_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_that_go_together_follow_each_other_within_a_file_and_a_little_is_left_for_later() {
        let account = rt::MemoryAccount::new(usize::MAX);
        let memory = rt::ChunkMemory::private(1 << 20, 8, account);
        let mut tail = Tail::new(0, Vec::new(), 8192, memory, None);
        let mut partial = AppendBuf::with_capacity(DIRECT_ALIGN);
        for nth in 0..9 {
            tail.reserve(3000, 0).unwrap();
            tail.append(3000, |out| out.fill(nth));
        }
        let mut ends = |written, max| {
            let steps = next_writes(&tail, written, 16_384, &mut partial, max);
            let steps: Vec<_> = steps.into_iter().flatten().collect();
            assert!(steps.windows(2).all(|pair| pair[0].upto == pair[1].at));
            steps.iter().map(|step| step.upto).collect::<Vec<_>>()
        };
        assert_eq!(ends(0, 1), [4096]);
        assert_eq!(ends(0, 4), [4096, 8192, 12_288, 16_384], "up to the file's end");
        assert_eq!(ends(12_288, 4), [16_384], "and not across it");
        assert_eq!(ends(16_384, 4), [20_480, 27_000], "the last with a copy of the partial block");
        assert_eq!(ends(20_480, 4), [27_000]);
        assert_eq!(ends(24_576, 4), [27_000], "a little goes alone, too");
        assert!(ends(27_000, 4).is_empty());
    }

    #[test]
    fn writing_step_by_step_gives_the_log_and_never_crosses_a_file() {
        let account = rt::MemoryAccount::new(usize::MAX);
        let memory = rt::ChunkMemory::private(1 << 20, 8, account);
        let mut tail = Tail::new(0, Vec::new(), 8192, memory, None);
        let mut partial = AppendBuf::with_capacity(DIRECT_ALIGN);
        let (mut log, mut disk, mut written) = (Vec::new(), vec![0; 65_536], 0);
        for nth in 0..40_u8 {
            let len = 100 + usize::from(nth) * 37;
            tail.reserve(len, written).unwrap();
            tail.append(len, |out| out.fill(nth));
            log.extend(std::iter::repeat_n(nth, len));
            if nth % 3 != 0 {
                continue;
            }
            while let Some(step) = next_write(&tail, written, 16_384, &mut partial) {
                let at = usize::try_from(step.at).unwrap();
                assert_eq!(step.at / 16_384, (step.device_end() - 1) / 16_384);
                assert!(step.upto > written, "every step goes on");
                let data = [&*step.blocks, &*step.last].concat();
                disk[at..at + data.len()].copy_from_slice(&data);
                written = step.upto;
            }
            assert!(disk[..log.len()] == log, "after {nth}");
        }
    }
}
