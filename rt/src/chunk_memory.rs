//! Where the tail of a log gets its chunks, and what becomes of them.
//!
//! ```text
//!            take                      give_back, nobody reads it
//!   spare ─────────► the tail's chunk ─────────────────────────────► spare
//!     ▲                    └─ give_back, readers hold slices ─► lent ──┐ the last slice is gone:
//!     └── (used again by take, if it has the size) ◄──────────────────┘ used again or freed
//! ```
//!
//! Memory in use (the tail's chunks and spare ones) never exceeds `bytes_max`. A lent chunk is not
//! the tail's any more: it is charged to the account until its last slice is gone. Lending is never
//! refused, because appends must not wait for readers.
//!
//! The memory is private to the process, or kept ([`crate::kept`]): then a chunk is one slot of it,
//! and a larger one several side by side. A lent chunk keeps its slots; the log goes on in others.

use crate::buf::AppendBuf;
use crate::kept::KeptMemory;
use crate::memory::{MemoryAccount, MemoryUse};
use std::collections::VecDeque;
use std::rc::Rc;

/// See the module's text. Belongs to one tail, on one core.
pub struct ChunkMemory {
    /// Where chunks come from; `None`: from the allocator.
    kept: Option<KeptMemory>,
    /// Chunks that nobody uses.
    spare: Vec<Rc<AppendBuf>>,
    /// Chunks given back while they had readers, the newest of them: to be used again.
    lent: VecDeque<Rc<AppendBuf>>,
    lent_max: usize,
    /// Charged for every lent chunk.
    account: MemoryAccount,
    used_bytes: usize,
    bytes_max: usize,
    /// Fresh memory is reserved off the core, ahead, and not by who takes it.
    grows_ahead: bool,
}

impl ChunkMemory {
    /// Private memory, at most `bytes_max`. Of lent chunks the newest `lent_max` are remembered, to
    /// be used again; `account` is charged for all of them.
    #[must_use]
    pub fn private(bytes_max: usize, lent_max: usize, account: MemoryAccount) -> Self {
        let (spare, lent) = (Vec::new(), VecDeque::new());
        let (used_bytes, grows_ahead) = (0, false);
        Self { kept: None, spare, lent, lent_max, account, used_bytes, bytes_max, grows_ahead }
    }

    /// As [`ChunkMemory::private`], of `kept` memory.
    #[must_use]
    pub fn kept(
        kept: KeptMemory,
        bytes_max: usize,
        lent_max: usize,
        account: MemoryAccount,
    ) -> Self {
        Self { kept: Some(kept), ..Self::private(bytes_max, lent_max, account) }
    }

    /// From now on [`ChunkMemory::take`] gives no chunk whose memory is not reserved yet
    /// ([`crate::Runtime::reserve_ahead`]), and what readers give back stays reserved.
    pub fn grow_ahead(&mut self) {
        self.grows_ahead = true;
    }

    /// The kept memory that its chunks are slots of.
    #[must_use]
    pub fn kept_memory(&self) -> Option<&KeptMemory> {
        self.kept.as_ref()
    }

    /// Bytes of the chunks in use and of the spare ones.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// From now on memory in use is to be at most `bytes_max`: no chunk is made beyond it. What is
    /// above it goes as chunks are given back.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Whether more memory is in use than may be.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.used_bytes > self.bytes_max
    }

    /// Frees the spare chunks that are beyond what may be in use.
    pub fn free_spare(&mut self) {
        while self.used_bytes > self.bytes_max
            && let Some(spare) = self.spare.pop()
        {
            self.used_bytes -= spare.capacity();
        }
    }

    /// The account that is charged for lent chunks.
    #[must_use]
    pub fn account(&self) -> &MemoryAccount {
        &self.account
    }

    /// A chunk of at least `capacity` bytes, empty; `None` when there is no room for it until
    /// another is given back.
    pub fn take(&mut self, capacity: usize) -> Option<Rc<AppendBuf>> {
        self.take_where(capacity, self.grows_ahead)
    }

    /// As [`ChunkMemory::take`]; reserves memory if it must, which is work of the core.
    pub fn take_now(&mut self, capacity: usize) -> Option<Rc<AppendBuf>> {
        self.take_where(capacity, false)
    }

    fn take_where(&mut self, capacity: usize, only_ready: bool) -> Option<Rc<AppendBuf>> {
        let capacity = match &self.kept {
            Some(kept) => kept.slots_for(capacity) * kept.shape().slot_bytes,
            None => capacity,
        };
        if let Some(at) = self.spare.iter().position(|spare| spare.capacity() == capacity) {
            return Some(self.spare.swap_remove(at));
        }
        loop {
            if self.used_bytes + capacity <= self.bytes_max
                && let Some(chunk) = self.fresh(capacity, only_ready)
            {
                self.used_bytes += capacity;
                return Some(chunk);
            }
            self.used_bytes -= self.spare.pop()?.capacity();
        }
    }

    /// Memory that is in no chunk.
    fn fresh(&mut self, capacity: usize, only_ready: bool) -> Option<Rc<AppendBuf>> {
        let returned = self.returned(capacity);
        returned.or_else(|| match &self.kept {
            Some(kept) if only_ready => kept.take_ready(capacity),
            Some(kept) => kept.take(capacity),
            None => Some(AppendBuf::with_capacity(capacity)),
        })
    }

    /// Puts a chunk that [`ChunkMemory::take`] gave aside for the next one who takes.
    pub fn put_aside(&mut self, chunk: Rc<AppendBuf>) {
        assert!(chunk.is_empty(), "nobody used it yet");
        self.spare.push(chunk);
    }

    /// Takes back a chunk that [`ChunkMemory::take`] gave. Slices of it stay as they are.
    pub fn give_back(&mut self, mut chunk: Rc<AppendBuf>) {
        if let Some(unshared) = Rc::get_mut(&mut chunk) {
            if self.grows_ahead && self.kept.is_some() {
                // The next chunk is in the first slots: those behind can be given back.
                self.used_bytes -= chunk.capacity();
                return;
            }
            unshared.reset();
            self.spare.push(chunk);
            return;
        }
        self.used_bytes -= chunk.capacity();
        chunk.keep_charge(self.account.charge(MemoryUse::LentChunks, chunk.capacity()));
        if self.lent.len() == self.lent_max {
            self.lent.pop_front();
        }
        self.lent.push_back(chunk);
    }

    /// Frees the lent chunks that no reader holds any more; those that are held stay.
    pub fn free_returned(&mut self) {
        self.lent.retain_mut(|lent| Rc::get_mut(lent).is_none());
        if let Some(kept) = self.kept.as_ref().filter(|_| !self.grows_ahead) {
            kept.release_free();
        }
    }

    /// A lent chunk whose readers are gone.
    fn returned(&mut self, capacity: usize) -> Option<Rc<AppendBuf>> {
        let at = self
            .lent
            .iter_mut()
            .position(|lent| lent.capacity() == capacity && Rc::get_mut(lent).is_some())?;
        let mut chunk = self.lent.remove(at)?;
        Rc::get_mut(&mut chunk)?.reset();
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::BufSlice;

    const SIZE: usize = 4096;

    #[test]
    fn memory_is_bounded_and_used_again() {
        let mut memory = ChunkMemory::private(3 * SIZE, 2, MemoryAccount::new(usize::MAX));
        let mut held: Vec<_> = (0..3).map(|_| memory.take(SIZE).unwrap()).collect();
        assert!(memory.take(SIZE).is_none());
        let first = held.remove(0);
        let address = first.slice(0..0).as_ptr();
        memory.give_back(first);
        assert_eq!(memory.used_bytes(), 3 * SIZE);
        let again = memory.take(SIZE).unwrap();
        assert_eq!(again.slice(0..0).as_ptr(), address, "the same memory");
        memory.put_aside(again);
        assert_eq!(memory.take(SIZE).unwrap().slice(0..0).as_ptr(), address);
        memory.give_back(held.remove(0));
        memory.give_back(held.remove(0));
        let larger = memory.take(2 * SIZE).unwrap();
        assert_eq!(larger.capacity(), 2 * SIZE, "smaller ones make room for a larger one");
        assert_eq!(memory.used_bytes(), 3 * SIZE);
    }

    #[test]
    fn a_lower_limit_takes_spare_chunks_at_once_and_the_others_as_they_come_back() {
        let mut memory = ChunkMemory::private(4 * SIZE, 2, MemoryAccount::new(usize::MAX));
        let mut held: Vec<_> = (0..3).map(|_| memory.take(SIZE).unwrap()).collect();
        memory.give_back(held.remove(0));
        memory.set_bytes_max(SIZE);
        memory.free_spare();
        assert_eq!(memory.used_bytes(), 2 * SIZE, "those that are in use stay");
        assert!(memory.take(SIZE).is_none());
        memory.give_back(held.remove(0));
        memory.free_spare();
        assert_eq!(memory.used_bytes(), SIZE);
        memory.set_bytes_max(2 * SIZE);
        assert!(memory.take(SIZE).is_some(), "it grows again");
    }

    #[test]
    fn a_chunk_with_readers_is_charged_and_used_again_only_without_them() {
        let mut memory = ChunkMemory::private(SIZE, 2, MemoryAccount::new(usize::MAX));
        let chunk = memory.take(SIZE).unwrap();
        chunk.append(3, |free| free.copy_from_slice(b"abc"));
        let slice = BufSlice::new(chunk.clone(), 0..3);
        memory.give_back(chunk);
        assert_eq!((memory.used_bytes(), memory.account().used_bytes()), (0, SIZE));
        let other = memory.take(SIZE).unwrap();
        assert!(other.is_empty() && &*slice == b"abc");
        drop((slice, other));
        memory.free_returned();
        assert_eq!(memory.account().used_bytes(), 0);
    }
}
