//! Bytes that a helper thread writes while their core goes on.
//!
//! ```text
//!   core's thread:    BufSlice ──lent──┐                         ┌──► done: the slice is given back
//!   helper thread:                     └─► pwrite (page cache) ──┘     (the kernel has the bytes: they survive the process)
//! ```

#![expect(
    unsafe_code,
    reason = "bytes of one thread read by another while their owner is kept; see each block"
)]

use crate::buf::BufSlice;
use std::cell::Cell;
use std::mem::ManuallyDrop;

/// Frozen bytes that another thread may read until their [`Lending`] ends.
pub(crate) struct Lent {
    start: *const u8,
    len: usize,
}

// SAFETY: the bytes are frozen (nobody writes to them) and their `Lending` keeps them.
unsafe impl Send for Lent {}

impl Lent {
    /// The bytes; to be used only until the work that they were lent for is done.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: frozen bytes of an `AppendBuf`, which the `Lending` that made this keeps until
        // the other thread is done, or for ever.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

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
