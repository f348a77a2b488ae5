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
//! The memory is private to the process: it is gone when the process is. Memory that outlives it
//! (design D12) has slots of one size, by number, and is taken over by the next process: it belongs
//! behind these same calls, with `take` choosing the slot (neighbouring ones for a larger record)
//! and `give_back` emptying its line. It is the same in the simulation: a chunk is memory, and a
//! kill or power cut there drops it with the store.

use crate::buf::AppendBuf;
use crate::memory::{MemoryAccount, MemoryUse};
use std::collections::VecDeque;
use std::rc::Rc;

/// See the module's text. Belongs to one tail, on one core.
pub struct ChunkMemory {
    /// Chunks that nobody uses.
    spare: Vec<Rc<AppendBuf>>,
    /// Chunks given back while they had readers, the newest of them: to be used again.
    lent: VecDeque<Rc<AppendBuf>>,
    lent_max: usize,
    /// Charged for every lent chunk.
    account: MemoryAccount,
    used_bytes: usize,
    bytes_max: usize,
}

impl ChunkMemory {
    /// Private memory, at most `bytes_max`. Of lent chunks the newest `lent_max` are remembered, to
    /// be used again; `account` is charged for all of them.
    #[must_use]
    pub fn private(bytes_max: usize, lent_max: usize, account: MemoryAccount) -> Self {
        let (spare, lent) = (Vec::new(), VecDeque::new());
        Self { spare, lent, lent_max, account, used_bytes: 0, bytes_max }
    }

    /// Bytes of the chunks in use and of the spare ones.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// The account that is charged for lent chunks.
    #[must_use]
    pub fn account(&self) -> &MemoryAccount {
        &self.account
    }

    /// A chunk of `capacity` bytes, empty; `None` when there is no room for it until another is
    /// given back.
    pub fn take(&mut self, capacity: usize) -> Option<Rc<AppendBuf>> {
        if let Some(at) = self.spare.iter().position(|spare| spare.capacity() == capacity) {
            return Some(self.spare.swap_remove(at));
        }
        while self.used_bytes + capacity > self.bytes_max {
            self.used_bytes -= self.spare.pop()?.capacity();
        }
        self.used_bytes += capacity;
        Some(self.returned(capacity).unwrap_or_else(|| AppendBuf::with_capacity(capacity)))
    }

    /// Whether [`ChunkMemory::take`] would succeed once chunks of `given_back_bytes` together were
    /// given back.
    #[must_use]
    pub fn could_take(&self, capacity: usize, given_back_bytes: usize) -> bool {
        let spare: usize = self.spare.iter().map(|spare| spare.capacity()).sum();
        self.used_bytes - spare - given_back_bytes + capacity <= self.bytes_max
    }

    /// Takes back a chunk that [`ChunkMemory::take`] gave. Slices of it stay as they are.
    pub fn give_back(&mut self, mut chunk: Rc<AppendBuf>) {
        if let Some(unshared) = Rc::get_mut(&mut chunk) {
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
    fn memory_is_bounded_and_used_again_and_could_take_agrees_with_take() {
        let mut memory = ChunkMemory::private(3 * SIZE, 2, MemoryAccount::new(usize::MAX));
        let mut held: Vec<_> = (0..3).map(|_| memory.take(SIZE).unwrap()).collect();
        assert!(memory.take(SIZE).is_none() && !memory.could_take(SIZE, 0));
        assert!(memory.could_take(SIZE, SIZE) && !memory.could_take(2 * SIZE, SIZE));
        let first = held.remove(0);
        let address = first.slice(0..0).as_ptr();
        memory.give_back(first);
        assert!(memory.could_take(SIZE, 0) && memory.used_bytes() == 3 * SIZE);
        assert_eq!(memory.take(SIZE).unwrap().slice(0..0).as_ptr(), address, "the same memory");
        memory.give_back(held.remove(0));
        memory.give_back(held.remove(0));
        assert!(memory.could_take(2 * SIZE, 0), "smaller ones make room for a larger one");
        assert_eq!(memory.take(2 * SIZE).unwrap().capacity(), 2 * SIZE);
        assert_eq!(memory.used_bytes(), 3 * SIZE);
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
