//! Receive buffers lent to the kernel.
//!
//! ```text
//!   pool:   | buffer 0 | buffer 1 | … | buffer n-1 |          n = power of two
//!   ring:   entries {address, length, buffer id}, tail       shared with the kernel, which takes from the head
//! ```
//!
//! A buffer is the kernel's from `publish` until a completion names it, ours until `give_back`.

use super::setup::{self, RingConfig, RingError};
use io_uring::{IoUring, types};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

pub(super) struct ReceiveBufs {
    pool: Pages,
    entries: Pages,
    count: u16,
    buf_bytes: usize,
    tail: u16,
}

impl ReceiveBufs {
    pub(super) const GROUP: u16 = 1;

    pub(super) fn register(uring: &IoUring, config: &RingConfig) -> Result<Self, RingError> {
        assert!(config.receive_bufs.is_power_of_two(), "receive_bufs must be a power of two");
        let buf_bytes = config.receive_buf_bytes as usize;
        let mut bufs = Self {
            pool: Pages::new(usize::from(config.receive_bufs) * buf_bytes),
            entries: Pages::new(usize::from(config.receive_bufs) * size_of::<types::BufRingEntry>()),
            count: config.receive_bufs,
            buf_bytes,
            tail: 0,
        };
        let address = bufs.entries.start.as_ptr() as u64;
        // SAFETY: `entries` is page-aligned, has `count` entries, and lives as long as the ring (both are fields of Ring,
        // and Ring waits for its operations before it is dropped).
        let registered =
            unsafe { uring.submitter().register_buf_ring_with_flags(address, config.receive_bufs, Self::GROUP, 0) };
        registered.map_err(|error| setup::explain(error, "provided buffer rings (IORING_REGISTER_PBUF_RING)"))?;
        for id in 0..bufs.count {
            bufs.give_back(id);
        }
        bufs.publish();
        Ok(bufs)
    }

    /// The first `len` bytes of the buffer that the completion named; it is ours until `give_back`.
    pub(super) fn bytes(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < self.count && len <= self.buf_bytes, "the kernel named buffer {id} with {len} bytes");
        // SAFETY: inside the pool; the kernel gave the buffer up with the completion that named it and will not write to it
        // before `give_back` and `publish`, which need `&mut self`.
        unsafe { std::slice::from_raw_parts(self.buf_start(id), len) }
    }

    fn buf_start(&self, id: u16) -> *mut u8 {
        // SAFETY: id < count, so the offset stays inside the pool.
        unsafe { self.pool.start.as_ptr().add(usize::from(id) * self.buf_bytes) }
    }

    /// Puts the buffer at the tail; the kernel sees it at the next `publish`.
    pub(super) fn give_back(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let address = self.buf_start(id) as u64;
        // SAFETY: slot < count; the kernel reads an entry only between head and the published tail, and this one is
        // beyond the tail.
        let entry = unsafe { &mut *self.entries.start.as_ptr().cast::<types::BufRingEntry>().add(slot) };
        entry.set_addr(address);
        entry.set_len(u32::try_from(self.buf_bytes).unwrap_or(u32::MAX));
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    pub(super) fn publish(&self) {
        let first = self.entries.start.as_ptr() as *const types::BufRingEntry;
        // SAFETY: `tail` gives the address of the 16-bit tail inside the shared ring, which the kernel reads with acquire.
        let tail = unsafe { &*types::BufRingEntry::tail(first).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }

    /// Never frees the memory: the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.pool.leaked = true;
        self.entries.leaked = true;
    }
}

/// Page-aligned zeroed memory.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
    leaked: bool,
}

impl Pages {
    fn new(bytes: usize) -> Self {
        let Ok(layout) = Layout::from_size_align(bytes.max(1), 4096) else {
            panic!("{bytes} bytes of receive buffers: larger than the address space")
        };
        // SAFETY: the layout has a non-zero size.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout, leaked: false }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: allocated in `new` with this layout; freed only here.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}
