//! Append-only aligned memory: one writer at the end, any number of readers of what is written.
//!
//! ```text
//!   0                     len                 capacity
//!   | frozen: &[u8] shared | free: written once |
//! ```
//!
//! Why: the tail of the log is read by pulls, by slaves and by the kernel (O_DIRECT writes, sends)
//! while the next message is appended behind it. Bytes below `len` never change again, so handing
//! out `&[u8]` to them is sound although the buffer is still growing; bytes above `len` have never
//! been handed out.
//!
//! A buffer belongs to one core (it is neither `Send` nor `Sync`).

#![expect(unsafe_code, reason = "frozen and free part of one allocation; see the module's text")]

use crate::kept::SlotRun;
use crate::memory::Charge;
use crate::runtime::DIRECT_ALIGN;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ops::Range;
use std::ptr::NonNull;
use std::rc::Rc;

/// What [`AppendBuf::append`] has fetched ahead at most: more lines at once than a core can wait
/// for would only push out others.
#[cfg(target_arch = "x86_64")]
const FETCHED_BYTES_MAX: usize = 1_536;
#[cfg(target_arch = "x86_64")]
const CACHE_LINE_BYTES: usize = 64;

/// Append-only memory aligned for O_DIRECT. See the module's text.
pub struct AppendBuf {
    memory: Memory,
    /// The first aligned byte in it.
    start: NonNull<u8>,
    capacity: usize,
    len: Cell<usize>,
    appending: Cell<bool>,
    /// Who is charged for this memory, until it is freed or used again.
    charge: Cell<Option<Charge>>,
}

enum Memory {
    /// What the allocator gave.
    Own(NonNull<u8>),
    /// Slots of kept memory, this buffer's alone until it is dropped.
    Slots(SlotRun),
}

impl AppendBuf {
    /// A buffer of `capacity` bytes, rounded up to [`DIRECT_ALIGN`]. The kernel gives the pages of
    /// a large one as they are touched.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Rc<Self> {
        let capacity = capacity.max(1).next_multiple_of(DIRECT_ALIGN);
        let layout = Self::layout(capacity);
        // SAFETY: the layout has a non-zero size.
        let allocation = unsafe { alloc_zeroed(layout) };
        let allocation = NonNull::new(allocation).unwrap_or_else(|| handle_alloc_error(layout));
        let skip = allocation.align_offset(DIRECT_ALIGN);
        assert!(skip < DIRECT_ALIGN, "bytes can be aligned to any power of two");
        // SAFETY: the layout has DIRECT_ALIGN bytes more than the capacity.
        let start = unsafe { allocation.add(skip) };
        Rc::new(Self::over(Memory::Own(allocation), start, capacity))
    }

    /// A buffer over slots of kept memory. Its free part holds what was there before.
    pub(crate) fn of_slots(slots: SlotRun) -> Rc<Self> {
        let (start, capacity) = (slots.start(), slots.bytes());
        Rc::new(Self::over(Memory::Slots(slots), start, capacity))
    }

    fn over(memory: Memory, start: NonNull<u8>, capacity: usize) -> Self {
        assert!(start.addr().get().is_multiple_of(DIRECT_ALIGN), "O_DIRECT writes from here");
        let (len, appending, charge) = (Cell::new(0), Cell::new(false), Cell::new(None));
        Self { memory, start, capacity, len, appending, charge }
    }

    /// The first of its slots, when it is over kept memory.
    #[must_use]
    pub fn slot(&self) -> Option<usize> {
        match &self.memory {
            Memory::Own(_) => None,
            Memory::Slots(slots) => Some(slots.first()),
        }
    }

    /// A full buffer with a copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> BufSlice {
        let buf = Self::with_capacity(bytes.len());
        let appended = buf.append(bytes.len(), |free| free.copy_from_slice(bytes));
        debug_assert!(appended.is_some());
        BufSlice::new(buf, 0..bytes.len())
    }

    /// Aligned by us and not by the allocator: memory of any alignment above its own it fills with
    /// zeros by hand, so that all pages of a chunk of the log's tail were touched when the chunk
    /// began.
    fn layout(capacity: usize) -> Layout {
        match capacity
            .checked_add(DIRECT_ALIGN)
            .and_then(|bytes| Layout::from_size_align(bytes, 1).ok())
        {
            Some(layout) => layout,
            None => panic!("buffer of {capacity} bytes: larger than the address space"),
        }
    }

    /// Bytes that can be held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes written so far; they never change again.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity - self.len()
    }

    /// Lets `fill` write the next `bytes` bytes (they may hold anything) and freezes them. `None`,
    /// and `fill` not called, when they do not fit. If `fill` panics nothing is appended.
    pub fn append<T>(&self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        if bytes > self.free() {
            return None;
        }
        assert!(!self.appending.replace(true), "append called from inside append");
        let reset = ResetOnDrop(&self.appending);
        let at = self.len();
        // SAFETY: [at, at + bytes) lies inside the memory (checked above), is initialised
        // (alloc_zeroed, or pages of a file), and is above `len`, so no shared slice to it exists;
        // `appending` keeps a second mutable one from being made.
        let free = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(at), bytes) };
        let value = fill(free);
        drop(reset);
        self.set_len(at + bytes);
        #[cfg(target_arch = "x86_64")]
        self.fetch_free(bytes);
        Some(value)
    }

    /// Has the processor fetch the free part that an append of `bytes` will write next. A log's
    /// tail is larger than any cache: without this each line is fetched while the append waits.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn fetch_free(&self, bytes: usize) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        let upto = bytes.min(FETCHED_BYTES_MAX).min(self.free());
        for at in (0..upto).step_by(CACHE_LINE_BYTES) {
            // SAFETY: inside the memory: below `free` behind `len`.
            let line = unsafe { self.start.as_ptr().add(self.len() + at) };
            // SAFETY: a hint to the processor, which reads and writes nothing by it.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(line.cast()) };
        }
    }

    /// Where the kernel writes byte `at` of a buffer that is still empty.
    pub(crate) fn unfilled(&self, at: usize) -> *mut u8 {
        assert!(self.is_empty() && at <= self.capacity, "byte {at} of {self:?} is not free");
        // SAFETY: inside the allocation, by the assertion.
        unsafe { self.start.as_ptr().add(at) }
    }

    /// Makes the first `bytes` bytes visible.
    ///
    /// # Safety
    /// Nothing writes to them any more.
    pub(crate) unsafe fn freeze(&self, bytes: usize) {
        assert!(self.is_empty() && bytes <= self.capacity, "freezing {bytes} bytes of {self:?}");
        self.len.set(bytes);
    }

    /// Takes the buffer back for new content: `&mut` proves that no slice of it lives
    /// (`Rc::get_mut`). The free part then holds the old bytes until they are overwritten.
    pub fn reset(&mut self) {
        self.set_len(0);
        self.charge.set(None);
    }

    #[inline]
    fn set_len(&self, len: usize) {
        self.len.set(len);
        if let Memory::Slots(slots) = &self.memory {
            slots.note_frozen(len);
        }
    }

    /// Keeps `charge` until the memory is freed or used again ([`AppendBuf::reset`]): as long as
    /// any slice of it lives. A charge kept before is given back.
    pub fn keep_charge(&self, charge: Charge) {
        self.charge.set(Some(charge));
    }

    fn charged_bytes(&self) -> usize {
        let charge = self.charge.take();
        let bytes = charge.as_ref().map_or(0, Charge::bytes);
        self.charge.set(charge);
        bytes
    }

    /// The frozen bytes of `range`. Panics when it reaches past [`AppendBuf::len`]: callers know
    /// what they appended.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "slice {range:?} past the {} bytes appended",
            self.len()
        );
        // SAFETY: the range lies below `len`: initialised and never written again while `self`
        // lives.
        unsafe {
            std::slice::from_raw_parts(
                self.start.as_ptr().add(range.start),
                range.end - range.start,
            )
        }
    }
}

struct ResetOnDrop<'a>(&'a Cell<bool>);

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Drop for AppendBuf {
    fn drop(&mut self) {
        if let Memory::Own(allocation) = self.memory {
            // SAFETY: allocated in `with_capacity` with this layout, and freed only here.
            unsafe { dealloc(allocation.as_ptr(), Self::layout(self.capacity)) }
        }
    }
}

impl std::fmt::Debug for AppendBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppendBuf({} of {} bytes)", self.len(), self.capacity)
    }
}

/// A frozen part of an [`AppendBuf`] that keeps the buffer alive. Cheap to clone; derefs to the
/// bytes.
#[derive(Clone)]
pub struct BufSlice {
    buf: Rc<AppendBuf>,
    start: usize,
    len: usize,
}

impl BufSlice {
    /// The bytes `range` of `buf`. Panics when they are not written yet.
    #[must_use]
    pub fn new(buf: Rc<AppendBuf>, range: Range<usize>) -> Self {
        let len = buf.slice(range.clone()).len();
        Self { buf, start: range.start, len }
    }

    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        thread_local!(static NOTHING: Rc<AppendBuf> = AppendBuf::with_capacity(1));
        Self { buf: NOTHING.with(Rc::clone), start: 0, len: 0 }
    }

    /// The part `range` of this slice, sharing the buffer.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        assert!(range.end <= self.len, "part {range:?} of {} bytes", self.len);
        Self::new(self.buf.clone(), self.start + range.start..self.start + range.end)
    }

    /// Bytes of memory that this slice keeps alive: those of its whole buffer.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// Bytes charged to an account for that memory ([`AppendBuf::keep_charge`]); 0 when nobody is
    /// charged, as for a chunk that the log's tail still has. Slices of one buffer all say the same
    /// bytes: they are charged once.
    #[must_use]
    pub fn charged_bytes(&self) -> usize {
        self.buf.charged_bytes()
    }

    /// As [`AppendBuf::keep_charge`], for the buffer of this slice.
    pub fn keep_charge(&self, charge: Charge) {
        self.buf.keep_charge(charge);
    }

    /// Both as one, when `next` begins in the same buffer where this ends.
    #[must_use]
    pub fn joined(&self, next: &Self) -> Option<Self> {
        let adjacent = Rc::ptr_eq(&self.buf, &next.buf) && self.start + self.len == next.start;
        adjacent.then(|| Self {
            buf: self.buf.clone(),
            start: self.start,
            len: self.len + next.len,
        })
    }
}

impl std::ops::Deref for BufSlice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buf.slice(self.start..self.start + self.len)
    }
}

impl std::fmt::Debug for BufSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BufSlice({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryAccount, MemoryUse};

    #[test]
    fn appended_bytes_stay_while_the_buffer_grows() {
        let buf = AppendBuf::with_capacity(8192);
        buf.append(3, |free| free.copy_from_slice(b"abc"));
        let first = BufSlice::new(buf.clone(), 0..3);
        buf.append(3, |free| free.copy_from_slice(b"def"));
        assert_eq!(&*first, b"abc");
        assert_eq!(buf.slice(0..6), b"abcdef");
        let second = BufSlice::new(buf.clone(), 3..6);
        assert_eq!(&*first.joined(&second).unwrap(), b"abcdef");
        assert!(second.joined(&first).is_none());
    }

    #[test]
    fn a_charge_lives_as_long_as_the_last_slice() {
        let account = MemoryAccount::new(10_000);
        let whole = AppendBuf::copy_of(&[7; 5000]);
        assert_eq!((whole.pinned_bytes(), whole.charged_bytes()), (8192, 0));
        whole.keep_charge(account.charge(MemoryUse::ColdWindows, whole.pinned_bytes()));
        let part = whole.part(10..20);
        drop(whole);
        assert_eq!((account.used_bytes(), part.charged_bytes()), (8192, 8192));
        drop(part);
        assert_eq!(account.used_bytes(), 0);
        let mut again = AppendBuf::with_capacity(1);
        again.keep_charge(account.charge(MemoryUse::LentChunks, 4096));
        Rc::get_mut(&mut again).unwrap().reset();
        assert_eq!(account.used_bytes(), 0, "memory that is used again is nobody's debt");
    }

    #[test]
    fn a_full_buffer_refuses() {
        let buf = AppendBuf::with_capacity(1);
        assert_eq!(buf.capacity(), DIRECT_ALIGN);
        assert!(buf.append(DIRECT_ALIGN + 1, |_| ()).is_none());
        assert!(buf.append(DIRECT_ALIGN, |_| ()).is_some());
        assert!(buf.append(1, |_| ()).is_none());
    }

    #[test]
    #[should_panic(expected = "append called from inside append")]
    fn append_inside_append_is_refused() {
        let buf = AppendBuf::with_capacity(16);
        buf.append(1, |_| buf.append(1, |_| ()));
    }

    #[test]
    #[should_panic(expected = "past the 2 bytes appended")]
    fn unwritten_bytes_cannot_be_seen() {
        let buf = AppendBuf::with_capacity(16);
        buf.append(2, |_| ());
        let _ = buf.slice(0..3);
    }
}
