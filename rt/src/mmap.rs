//! Memory that others may look at once this process is gone: a shared mapping of a file, or, in
//! the simulation, memory of the test's process that stands for one.
//!
//! ```text
//!   0                    words_end                                    bytes
//!   | words of 64 bits   | slots: handed out as AppendBuf, each to one |
//!   | (atomic)           |                                             |
//! ```
//!
//! The two parts never mix: a word is read and written only here, atomically, and the memory behind
//! the words only through the [`crate::AppendBuf`] that has it.

#![expect(unsafe_code, reason = "a mapping and its words; see the module's text and each block")]

use crate::runtime::DIRECT_ALIGN;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's text. Belongs to one core: neither `Send` nor `Sync`.
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    bytes: usize,
    words_end: usize,
    is_mapping: bool,
}

impl SharedMemory {
    /// Maps the first `bytes` bytes of `file`, shared. Touching what the file does not have is
    /// SIGBUS: the caller has given it that length, and has reserved a slot before it is used.
    pub(crate) fn map(file: &File, bytes: usize, words_end: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; nothing else is there.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0)? };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at 0"))?;
        Ok(Self { start, bytes, words_end, is_mapping: true })
    }

    /// Zeroed memory of this process.
    pub(crate) fn private(bytes: usize, words_end: usize) -> Self {
        let layout = Self::layout(bytes);
        // SAFETY: the layout has a non-zero size.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, bytes, words_end, is_mapping: false }
    }

    fn layout(bytes: usize) -> Layout {
        match Layout::from_size_align(bytes.max(1), DIRECT_ALIGN) {
            Ok(layout) => layout,
            Err(_) => panic!("memory of {bytes} bytes: larger than the address space"),
        }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(
            at.is_multiple_of(8) && at + 8 <= self.words_end && self.words_end <= self.bytes,
            "{at} is no word below {}",
            self.words_end
        );
        // SAFETY: inside the memory and aligned, by the assertion and as `start` is aligned to a
        // page; words are accessed only as atomics.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(at).cast()) }
    }

    /// The word at `at`, for whoever stores it often.
    pub(crate) fn word_at(self: &Rc<Self>, at: usize) -> Word {
        let word = NonNull::from(self.word(at));
        Word { _memory: self.clone(), word }
    }

    /// Stores a word, little-endian; whatever was written before it, here or in a slot, is there
    /// for whoever finds it.
    pub(crate) fn store(&self, at: usize, value: u64) {
        self.word(at).store(value.to_le(), Ordering::Release);
    }

    /// The word at `at`.
    pub(crate) fn load(&self, at: usize) -> u64 {
        u64::from_le(self.word(at).load(Ordering::Acquire))
    }

    /// Where byte `at` lies, behind the words.
    pub(crate) fn place(&self, at: usize) -> NonNull<u8> {
        assert!(at >= self.words_end && at < self.bytes, "{at} is in no slot");
        // SAFETY: inside the memory, by the assertion.
        unsafe { self.start.add(at) }
    }

    /// Has the kernel enter `[at, at + bytes)` of a mapping into this process's page tables, and
    /// fill its new pages with zeros, on whatever thread calls it: an append then meets no page
    /// fault. What the kernel refuses is left to the appends.
    pub(crate) fn populating(&self, at: usize, bytes: usize) -> impl FnOnce() + Send + 'static {
        assert!(at + bytes <= self.bytes && self.is_mapping, "{at} and {bytes} are not mapped");
        let start = self.start.as_ptr().addr() + at;
        move || {
            let start = std::ptr::without_provenance_mut(start);
            // SAFETY: this advice changes no byte. Should the mapping be gone by then, it is an
            // error, or pages that something else there would touch itself are made ready.
            let _ = unsafe { madvise(start, bytes, Advice::LinuxPopulateWrite) };
        }
    }

    /// All of it as it is, for a simulated kill: no task runs then, so nobody is in the middle of
    /// an append.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        assert!(!self.is_mapping, "a real kill leaves the file");
        // SAFETY: initialised (alloc_zeroed); this memory belongs to one thread, which is here and
        // not inside `AppendBuf::append`, so nobody writes meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }.to_vec()
    }
}

/// One word of the memory, which it keeps.
pub(crate) struct Word {
    _memory: Rc<SharedMemory>,
    word: NonNull<AtomicU64>,
}

impl Word {
    /// As [`SharedMemory::store`].
    #[inline]
    pub(crate) fn store(&self, value: u64) {
        // SAFETY: a word of the memory that `_memory` keeps, from [`SharedMemory::word`].
        unsafe { self.word.as_ref() }.store(value.to_le(), Ordering::Release);
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        if self.is_mapping {
            // SAFETY: mapped in `map` with this length. Whoever has a slot keeps this memory.
            let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
            debug_assert!(unmapped.is_ok(), "{unmapped:?}");
        } else {
            // SAFETY: allocated in `private` with this layout, and freed only here.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_little_endian_and_stay_below_the_slots() {
        let memory = SharedMemory::private(8192, 4096);
        memory.store(8, 0x0102_0304_0506_0708);
        assert_eq!(memory.load(8), 0x0102_0304_0506_0708);
        assert_eq!(memory.snapshot()[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    #[should_panic(expected = "is no word below 4096")]
    fn a_word_in_a_slot_is_refused() {
        SharedMemory::private(8192, 4096).store(4096, 1);
    }
}
