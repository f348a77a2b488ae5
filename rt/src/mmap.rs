//! A file's mapping that helper threads copy into, so that no page fault happens on a core's
//! thread.
//!
//! ```text
//!   core's thread:    BufSlice ──lent──┐                      ┌──► done: the slice is given back
//!   helper thread:                     └─► memcpy into the map ┘   (the kernel has the bytes:
//!                                                                   they survive the process)
//! ```
//!
//! Durability is fdatasync of the file, on the ring: for a shared mapping it writes the same pages
//! as msync.

#![expect(
    unsafe_code,
    reason = "bytes of one thread read by another while their owner is kept; see each block"
)]

use crate::buf::BufSlice;
use memmap2::MmapRaw;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;

/// A shared, writable mapping of a whole file.
pub(crate) struct Mapping(MmapRaw);

impl Mapping {
    /// Maps `file` at its present length.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self(MmapRaw::map_raw(file)?))
    }

    /// Mapped bytes.
    pub(crate) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Copies the lent bytes to `offset`. Runs on a helper thread: it may wait for the disk.
    /// `false`, and nothing copied, when they reach past the mapping.
    pub(crate) fn copy(&self, offset: u64, bytes: &Lent) -> bool {
        let Ok(at) = usize::try_from(offset) else { return false };
        if at.checked_add(bytes.len).is_none_or(|end| end > self.0.len()) {
            return false;
        }
        // SAFETY: the target lies inside the mapping (checked above), which `self` keeps; the file
        // is never cut below its mapped length while it is mapped (the log's files keep their
        // size). The source is kept alive and unchanged by the `Lending` that made `bytes`. They
        // can't overlap: one is a file's mapping, the other heap memory.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.start, self.0.as_mut_ptr().add(at), bytes.len)
        };
        true
    }
}

/// Frozen bytes that another thread may read until their [`Lending`] ends.
pub(crate) struct Lent {
    start: *const u8,
    len: usize,
}

// SAFETY: the bytes are frozen (nobody writes to them) and their `Lending` keeps them.
unsafe impl Send for Lent {}

/// Keeps lent bytes. Dropped before [`Lending::end`] (its task was cancelled while the other thread
/// reads) it leaks them rather than free what is being read.
pub(crate) struct Lending {
    pieces: ManuallyDrop<[BufSlice; 2]>,
    ended: Cell<bool>,
}

impl Lending {
    pub(crate) fn new(pieces: [BufSlice; 2]) -> Self {
        Self { pieces: ManuallyDrop::new(pieces), ended: Cell::new(false) }
    }

    /// The bytes, for the other thread.
    pub(crate) fn lent(&self) -> [Lent; 2] {
        [0, 1].map(|nth: usize| {
            let bytes: &[u8] = &self.pieces[nth];
            Lent { start: bytes.as_ptr(), len: bytes.len() }
        })
    }

    /// The other thread is done.
    pub(crate) fn end(self) {
        self.ended.set(true);
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        if self.ended.get() {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.pieces) };
        }
    }
}
