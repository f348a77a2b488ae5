//! The recent log in memory: records are encoded straight into it, written to disk from it, and
//! read from it.
//!
//! ```text
//!   log bytes:  ... 0x2f000       0x3e7a0|0x3e7a0                        end
//!   chunk n        | records ........... |
//!   chunk n+1                       0x3e000 | copy | records ......... | free
//! ```
//!
//! A record never straddles chunks: one that does not fit the rest of a chunk begins the next one.
//! Chunks begin at a 4 KiB boundary of the log (O_DIRECT writes straight from them), so a chunk
//! begins with a copy of the previous one's partial last block: at most 4095 bytes a chunk are
//! copied twice, and every record is one slice.
//!
//! Bounds: the chunks come from a [`ChunkMemory`], which never exceeds `bytes_max`. The oldest
//! chunk goes when room is needed, and only when all of it is written. Its memory is used again
//! once no slice of it lives. While one does, the chunk is lent, and charged to the shard's
//! account: whoever watches the account finds and closes the reader ([`BufSlice::charged_bytes`]).
//!
//! With a [`TailFile`] the chunks outlive the process, and each end of an append is published there
//! ([`Tail::publish`]).

use crate::limits::BLOCK_BYTES;
use crate::number::exact;
use crate::tail_file::TailFile;
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, BufSlice, ChunkMemory, KeptMemory, KeptWord};
use std::collections::VecDeque;
use std::rc::Rc;

/// The oldest chunk is not written yet and there is no memory for another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Chunk {
    /// Log offset of the buffer's byte 0, a multiple of the block.
    start: u64,
    /// Log offset of the first byte that is not a copy from the chunk before.
    first: u64,
    buf: Rc<AppendBuf>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.buf.len() as u64
    }

    fn slice(&self, from: u64, upto: u64) -> Option<BufSlice> {
        let begin = usize::try_from(from.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(upto.checked_sub(self.start)?).ok()?;
        (end <= self.buf.len()).then(|| BufSlice::new(self.buf.clone(), begin..end))
    }
}

/// See the module's text. Belongs to one log, on one core.
pub(crate) struct Tail {
    chunks: VecDeque<Chunk>,
    /// Gives the chunks and takes them back.
    memory: ChunkMemory,
    /// Where the log ends when there is no chunk yet.
    end_before: u64,
    /// The bytes of the log's partial last block before the first chunk.
    partial_before: Vec<u8>,
    /// Bytes copied from chunk to chunk so far.
    carried_bytes: u64,
    chunk_bytes: usize,
    /// What is not written may be so much more than this, in bytes, and a chunk's rest.
    unwritten_max: u64,
    /// Where the chunks are, when they outlive the process.
    file: Option<TailFile>,
    /// There, where the end of the last chunk is published.
    line_end: Option<KeptWord>,
}

/// The beginning of the block that `offset` lies in.
pub(crate) fn block_floor(offset: u64) -> u64 {
    offset - offset % BLOCK_BYTES
}

/// Bytes between the beginning of `offset`'s block and `offset`.
fn bytes_of_block(offset: u64) -> usize {
    exact(offset % BLOCK_BYTES)
}

impl Tail {
    /// A tail after `end`, where `partial` is what the log's last block holds already. Its chunks
    /// come from `memory`, which is that of `file` if there is one.
    pub(crate) fn new(
        end: u64,
        partial: Vec<u8>,
        chunk_bytes: usize,
        memory: ChunkMemory,
        file: Option<TailFile>,
    ) -> Self {
        assert_eq!(
            partial.len() as u64,
            end % BLOCK_BYTES,
            "the partial block reaches to the end of the log"
        );
        Self {
            chunks: VecDeque::new(),
            memory,
            end_before: end,
            partial_before: partial,
            carried_bytes: 0,
            chunk_bytes,
            unwritten_max: u64::MAX,
            file,
            line_end: None,
        }
    }

    /// No further chunk while so many bytes are not written: a tail that may become large is a
    /// cache, and not a longer queue for the device.
    pub(crate) fn bound_unwritten(&mut self, bytes: usize) {
        self.unwritten_max = bytes as u64;
    }

    /// Further memory is reserved ahead, off the core: until then chunks are used again.
    pub(crate) fn grow_ahead(&mut self) {
        self.memory.grow_ahead();
    }

    /// Where that is done, if the tail outlives the process.
    pub(crate) fn kept_memory(&self) -> Option<&KeptMemory> {
        self.memory.kept_memory()
    }

    /// From now on the chunks are to have at most `bytes_max` together; what is above it goes with
    /// [`Tail::give_back_oldest`], or when a chunk is needed.
    pub(crate) fn set_memory_max(&mut self, bytes_max: usize) {
        self.memory.set_bytes_max(bytes_max);
        self.memory.free_spare();
    }

    /// Forgets the oldest chunk, if all of it is written and the chunks have more memory than they
    /// may; whether it did.
    pub(crate) fn give_back_oldest(&mut self, written: u64) -> bool {
        let Some(oldest) = (self.memory.is_over()).then(|| self.pop_oldest(written)).flatten()
        else {
            return false;
        };
        self.memory.give_back(oldest);
        self.memory.free_spare();
        true
    }

    /// The last one stays: the next begins with its partial block.
    fn pop_oldest(&mut self, written: u64) -> Option<Rc<AppendBuf>> {
        let may_go = self.chunks.len() > 1
            && self.chunks.front().is_some_and(|oldest| oldest.end() <= written);
        let oldest = if may_go { self.chunks.pop_front()?.buf } else { return None };
        if let Some(file) = &self.file {
            file.forget_chunk(&oldest);
        }
        Some(oldest)
    }

    /// Puts back what the tail of the life before had of the log: `bytes` from `position` on, a
    /// block's beginning, where what comes before `first` is a copy from the chunk before, or from
    /// the disk. One follows the other up to the log's end, before the first append. Whether there
    /// was room.
    pub(crate) fn put_back(&mut self, position: u64, first: u64, bytes: &[u8]) -> bool {
        let capacity = self.chunk_bytes.max(bytes.len().next_multiple_of(DIRECT_ALIGN));
        let Some(buf) = self.memory.take(capacity) else { return false };
        let line_end = self.file.as_ref().map(|file| {
            if self.chunks.is_empty() {
                file.publish_own_from(first);
            }
            file.begin(&buf, position)
        });
        let copied = buf.append(bytes.len(), |free| free.copy_from_slice(bytes));
        assert!(copied.is_some(), "it was made as large as that");
        self.chunks.push_back(Chunk { start: position, first, buf });
        self.line_end = line_end;
        self.publish();
        true
    }

    /// The first log byte that can be read here.
    pub(crate) fn begin(&self) -> u64 {
        self.chunks.front().map_or(self.end_before, |chunk| chunk.first)
    }

    /// The end of the log.
    pub(crate) fn end(&self) -> u64 {
        self.chunks.back().map_or(self.end_before, Chunk::end)
    }

    /// Bytes of a chunk, of one with a larger record apart.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes as u64
    }

    /// Bytes copied once more, from the end of a chunk to the beginning of the next.
    pub(crate) fn carried_bytes(&self) -> u64 {
        self.carried_bytes
    }

    /// Memory of the chunks in use and of the spare ones.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.used_bytes()
    }

    /// Makes room for `bytes` in one piece; what is below `written` may be forgotten for it.
    pub(crate) fn reserve(&mut self, bytes: usize, written: u64) -> Result<(), Full> {
        if self.chunks.back().is_some_and(|chunk| chunk.buf.free() >= bytes) {
            return Ok(());
        }
        let end = self.end();
        let start = block_floor(end);
        let copied = bytes_of_block(end);
        let capacity = self.capacity_for(bytes);
        let buf = self.take_chunk(capacity, written)?;
        // A blank at the end of the chunk before.
        self.publish();
        self.line_end = self.file.as_ref().map(|file| file.begin(&buf, start));
        match self.chunks.back() {
            Some(last) => last
                .slice(start, end)
                .and_then(|partial| buf.append(copied, |free| free.copy_from_slice(&partial))),
            None => buf.append(copied, |free| free.copy_from_slice(&self.partial_before)),
        };
        assert_eq!(buf.len(), copied, "the partial block was copied");
        self.carried_bytes += copied as u64;
        self.chunks.push_back(Chunk { start, first: end, buf });
        Ok(())
    }

    /// Size of a new chunk for a record of `bytes`.
    fn capacity_for(&self, bytes: usize) -> usize {
        self.chunk_bytes.max((bytes_of_block(self.end()) + bytes).next_multiple_of(DIRECT_ALIGN))
    }

    /// Whether [`Tail::reserve`] succeeds now. Takes the memory to find out, and puts it aside.
    pub(crate) fn could_reserve(&mut self, bytes: usize, written: u64) -> bool {
        if self.chunks.back().is_some_and(|chunk| chunk.buf.free() >= bytes) {
            return true;
        }
        let taken = self.take_chunk(self.capacity_for(bytes), written);
        taken.map(|chunk| self.memory.put_aside(chunk)).is_ok()
    }

    /// A chunk of `capacity`: written ones are forgotten until there is room.
    fn take_chunk(&mut self, capacity: usize, written: u64) -> Result<Rc<AppendBuf>, Full> {
        if self.end() - written > self.unwritten_max {
            return Err(Full);
        }
        loop {
            if let Some(chunk) = self.memory.take(capacity) {
                return Ok(chunk);
            }
            let Some(oldest) = self.pop_oldest(written) else {
                // Readers hold what was reserved.
                return self.memory.take_now(capacity).ok_or(Full);
            };
            self.memory.give_back(oldest);
        }
    }

    /// The log ends at `end` from now on, and `partial` is what its last block holds. What readers
    /// hold stays as it is.
    pub(crate) fn cut(&mut self, end: u64, partial: Vec<u8>) {
        assert_eq!(
            partial.len() as u64,
            end % BLOCK_BYTES,
            "the partial block reaches to the end of the log"
        );
        if let Some(file) = &self.file {
            file.forget_chunks();
            file.publish_own_from(end);
            self.line_end = None;
        }
        while let Some(chunk) = self.chunks.pop_front() {
            self.memory.give_back(chunk.buf);
        }
        (self.end_before, self.partial_before) = (end, partial);
    }

    /// Frees the lent chunks that no reader holds any more; those that are held stay.
    pub(crate) fn free_returned(&mut self) {
        self.memory.free_returned();
    }

    /// Appends `bytes` bytes that were reserved.
    pub(crate) fn append<T>(&mut self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> T) -> T {
        let appended = self.chunks.back().and_then(|chunk| chunk.buf.append(bytes, fill));
        match appended {
            Some(value) => value,
            None => panic!("append of {bytes} bytes that were not reserved"),
        }
    }

    /// What was appended is whole: from now on it outlives the process, if the tail does. Once for
    /// each append, so that a batch is there whole or not at all.
    #[inline]
    pub(crate) fn publish(&self) {
        if let Some(line_end) = &self.line_end {
            line_end.store(self.end());
        }
    }

    /// The file of a tail that outlives the process.
    pub(crate) fn file(&self) -> Option<&TailFile> {
        self.file.as_ref()
    }

    /// The bytes `[at, at + len)` of one record; `None` when they are not in memory any more.
    pub(crate) fn slice(&self, at: u64, len: usize) -> Option<BufSlice> {
        let after = self.chunks.partition_point(|chunk| chunk.first <= at);
        let chunk = self.chunks.get(after.checked_sub(1)?)?;
        chunk.slice(at, at + len as u64)
    }

    /// Up to `len` bytes at `at`, as far as its chunk goes; `None` when they are not in memory.
    pub(crate) fn slice_upto(&self, at: u64, len: usize) -> Option<BufSlice> {
        let after = self.chunks.partition_point(|chunk| chunk.first <= at);
        let chunk = self.chunks.get(after.checked_sub(1)?)?;
        chunk.slice(at, chunk.end().min(at + len as u64))
    }

    /// Whole blocks from `from` (a block's beginning) up to `upto` at most, straight from one
    /// chunk.
    pub(crate) fn blocks(&self, from: u64, upto: u64) -> Option<BufSlice> {
        let chunk = self.chunk_of_block(from)?;
        let upto = block_floor(upto.min(chunk.end()));
        (upto > from).then(|| chunk.slice(from, upto)).flatten()
    }

    /// The last place up to `upto` that is known to be a record boundary: the end of the log, or
    /// the beginning of a chunk, because no record straddles two.
    pub(crate) fn boundary_upto(&self, upto: u64) -> u64 {
        if upto >= self.end() {
            return self.end();
        }
        let after = self.chunks.partition_point(|chunk| chunk.first <= upto);
        let chunk = after.checked_sub(1).and_then(|last| self.chunks.get(last));
        chunk.map_or(0, |chunk| chunk.first)
    }

    /// The log's partial last block, from its beginning `from`.
    pub(crate) fn partial_block(&self, from: u64) -> Option<BufSlice> {
        let chunk = self.chunk_of_block(from)?;
        chunk.slice(from, self.end())
    }

    /// Whether the log's partial last block is `partial` here, too.
    pub(crate) fn has_partial(&self, partial: &[u8]) -> bool {
        self.partial_block(block_floor(self.end())).is_some_and(|block| *block == *partial)
    }

    /// The newest chunk that holds the block: a chunk that ends inside a block is continued by a
    /// copy in the next.
    fn chunk_of_block(&self, from: u64) -> Option<&Chunk> {
        let after = self.chunks.partition_point(|chunk| chunk.start <= from);
        self.chunks.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LENT_CHUNKS_MAX;
    use rt::{MemoryAccount, MemoryUse};

    fn tail(end: u64, partial: Vec<u8>, chunk_bytes: usize, bytes_max: usize) -> Tail {
        let account = MemoryAccount::new(usize::MAX);
        let memory = ChunkMemory::private(bytes_max, LENT_CHUNKS_MAX, account);
        Tail::new(end, partial, chunk_bytes, memory, None)
    }

    fn fill(tail: &mut Tail, len: usize, byte: u8, written: u64) -> Result<u64, Full> {
        tail.reserve(len, written)?;
        let at = tail.end();
        tail.append(len, |free| free.fill(byte));
        Ok(at)
    }

    #[test]
    fn every_record_is_one_slice_and_blocks_join_up_across_chunks() {
        let mut tail = tail(0, Vec::new(), 8192, 1 << 20);
        let mut oracle = Vec::new();
        for (nth, len) in [3000, 3000, 3000, 9000, 10, 8000, 1, 4096].into_iter().enumerate() {
            let byte = u8::try_from(nth).unwrap() + 1;
            let at = fill(&mut tail, len, byte, 0).unwrap();
            assert_eq!(at, oracle.len() as u64);
            oracle.extend(std::iter::repeat_n(byte, len));
            assert!(tail.slice(at, len).unwrap().iter().all(|found| *found == byte));
        }
        let mut written = Vec::new();
        while let Some(blocks) = tail.blocks(written.len() as u64, tail.end()) {
            written.extend_from_slice(&blocks);
        }
        written.extend_from_slice(&tail.partial_block(written.len() as u64).unwrap());
        assert!(written == oracle, "what is written is what was appended");
        assert_eq!(tail.boundary_upto(tail.end()), tail.end());
        let ends = [0, 3000, 6000, 9000, 18_000, 18_010, 26_010, 26_011, 30_107];
        for upto in 0..tail.end() {
            let boundary = tail.boundary_upto(upto);
            assert!(boundary <= upto && ends.contains(&boundary), "{boundary} for {upto}");
            assert!(upto - boundary <= 9000 + 8192, "no more than a chunk behind");
        }
    }

    #[test]
    fn unwritten_chunks_are_never_forgotten_and_memory_is_bounded() {
        let mut tail = tail(0, Vec::new(), 8192, 3 * 8192);
        let mut refused = 0;
        let mut written = 0;
        for _ in 0..200 {
            if fill(&mut tail, 5000, 1, written).is_err() {
                refused += 1;
                assert!(tail.begin() <= written);
                written = tail.end();
                fill(&mut tail, 5000, 1, written).unwrap();
            }
            assert!(tail.memory_bytes() <= 3 * 8192);
        }
        assert!(refused > 10);
    }

    #[test]
    fn a_lower_limit_takes_the_oldest_written_chunks_and_no_unwritten_one() {
        let mut tail = tail(0, Vec::new(), 4096, 8 * 4096);
        let places: Vec<u64> = (0..8).map(|_| fill(&mut tail, 4096, 1, 0).unwrap()).collect();
        tail.set_memory_max(2 * 4096);
        assert!(!tail.give_back_oldest(places[1] - 1), "nothing is written");
        let mut given = 0;
        while tail.give_back_oldest(places[4]) {
            given += 1;
        }
        assert_eq!((given, tail.begin(), tail.memory_bytes()), (4, places[4], 4 * 4096));
        assert_eq!(fill(&mut tail, 4096, 2, places[4]), Err(Full), "the rest is not written");
        let end = tail.end();
        while tail.give_back_oldest(end) {}
        assert_eq!(tail.memory_bytes(), 2 * 4096);
        tail.set_memory_max(4 * 4096);
        (0..4).for_each(|_| _ = fill(&mut tail, 4096, 3, end).unwrap());
        assert_eq!(tail.memory_bytes(), 4 * 4096, "it comes again");
    }

    #[test]
    fn what_is_not_written_has_a_bound_of_its_own() {
        let mut tail = tail(0, Vec::new(), 4096, 100 * 4096);
        tail.bound_unwritten(3 * 4096);
        let taken = (0..50).take_while(|_| fill(&mut tail, 4096, 1, 0).is_ok()).count();
        assert_eq!(taken, 4, "the bound, and the chunk that passes it");
        assert!(!tail.could_reserve(1, 0) && tail.could_reserve(1, 4096));
    }

    #[test]
    fn lent_chunks_are_charged_until_their_readers_are_gone() {
        let mut tail = tail(0, Vec::new(), 4096, 2 * 4096);
        let mut slices = Vec::new();
        let lent_max = LENT_CHUNKS_MAX + 4;
        for nth in 0..lent_max + 2 {
            let written = tail.end();
            let at = fill(&mut tail, 4096, 1, written).unwrap();
            slices.push(tail.slice(at, 10).unwrap());
            assert!(tail.memory_bytes() <= 2 * 4096);
            let lent = (nth + 1).saturating_sub(2);
            let account = tail.memory.account();
            assert_eq!(account.used_for(MemoryUse::LentChunks), lent * 4096);
        }
        assert_eq!((slices[0].charged_bytes(), slices[lent_max].charged_bytes()), (4096, 0));
        slices.truncate(2);
        tail.free_returned();
        assert_eq!(tail.memory.account().used_bytes(), 2 * 4096, "those that are still held");
        slices.clear();
        tail.free_returned();
        assert_eq!(tail.memory.account().used_bytes(), 0);
    }

    #[test]
    fn a_chunk_with_a_reader_is_not_used_again() {
        let mut tail = tail(0, Vec::new(), 4096, 2 * 4096);
        let at = fill(&mut tail, 4096, 7, 0).unwrap();
        let held = tail.slice(at, 4096).unwrap();
        for _ in 0..10 {
            let written = tail.end();
            fill(&mut tail, 4096, 8, written).unwrap();
        }
        assert!(tail.slice(at, 4096).is_none());
        assert!(held.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_cut_tail_goes_on_from_the_cut_and_its_readers_keep_what_they_have() {
        let mut tail = tail(0, Vec::new(), 8192, 4 * 8192);
        let at = fill(&mut tail, 5000, 7, 0).unwrap();
        let held = tail.slice(at, 5000).unwrap();
        tail.cut(4100, vec![7; 4]);
        assert_eq!((tail.begin(), tail.end()), (4100, 4100));
        assert!(tail.slice(0, 10).is_none() && held.iter().all(|byte| *byte == 7));
        assert_eq!(held.charged_bytes(), 8192, "the reader's");
        assert_eq!(fill(&mut tail, 10, 8, 4100), Ok(4100));
        assert_eq!(*tail.partial_block(4096).unwrap(), [[7; 4].as_slice(), &[8; 10]].concat());
        assert!(held.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_tail_after_a_restart_begins_with_the_partial_block() {
        let mut tail = tail(4096 + 3, b"abc".to_vec(), 8192, 1 << 20);
        fill(&mut tail, 2, b'd', 4099).unwrap();
        assert_eq!(&*tail.partial_block(4096).unwrap(), b"abcdd");
        assert!(tail.slice(4096, 3).is_none(), "what was there before is not the tail's to serve");
    }
}
