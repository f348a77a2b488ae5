//! The bytes of one file, holes not stored: a 1 GiB log file of a test costs what was written to
//! it.

use crate::convert::fits;
use crate::sim::random::Random;
use std::collections::BTreeMap;

const PAGE_BYTES: u64 = 4096;
const PAGE_LEN: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `len` bytes: fewer at the end of the file.
    pub(super) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let there = fits::<usize, _>(self.len.saturating_sub(offset)).min(len);
        let mut out = vec![0; there];
        for (page, at, range) in parts(offset, there) {
            if let Some(bytes) = self.pages.get(&page) {
                let count = range.len();
                out[range].copy_from_slice(&bytes[at..at + count]);
            }
        }
        out
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        for (page, at, range) in parts(offset, data.len()) {
            let bytes =
                self.pages.entry(page).or_insert_with(|| vec![0; PAGE_LEN].into_boxed_slice());
            bytes[at..at + range.len()].copy_from_slice(&data[range]);
        }
        self.len = self.len.max(offset + data.len() as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE_BYTES));
            if let Some(last) = self.pages.get_mut(&(len / PAGE_BYTES)) {
                last[in_page(len)..].fill(0);
            }
        }
        self.len = len;
    }
}

impl Pages {
    /// Blocks it holds when those below `reserved_bytes` are its own anyway.
    pub(super) fn allocated_bytes(&self, reserved_bytes: u64) -> u64 {
        let reserved_pages = reserved_bytes.div_ceil(PAGE_BYTES);
        (reserved_pages + self.pages.range(reserved_pages..).count() as u64) * PAGE_BYTES
    }

    /// Blocks that writing `[from, upto)` would add.
    pub(super) fn missing_bytes(&self, from: u64, upto: u64, reserved_bytes: u64) -> u64 {
        let first = (from / PAGE_BYTES).max(reserved_bytes.div_ceil(PAGE_BYTES));
        let end = upto.div_ceil(PAGE_BYTES).max(first);
        (end - first - self.pages.range(first..end).count() as u64) * PAGE_BYTES
    }

    pub(super) fn has_bytes(&self) -> bool {
        self.pages.keys().any(|page| page * PAGE_BYTES < self.len)
    }

    /// Some byte of a page that was written.
    pub(super) fn some_stored_byte(&self, random: &Random) -> Option<u64> {
        let pages: Vec<u64> =
            self.pages.keys().copied().filter(|page| page * PAGE_BYTES < self.len).collect();
        let start = pages.get(random.index_below(pages.len()))? * PAGE_BYTES;
        Some(start + random.below(PAGE_BYTES.min(self.len - start)))
    }
}

fn in_page(offset: u64) -> usize {
    fits(offset % PAGE_BYTES)
}

/// `len` bytes at `offset`, cut at pages: (page, offset in the page, range in the bytes).
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let count = (PAGE_LEN - in_page(at)).min(len - done);
        done += count;
        Some((at / PAGE_BYTES, in_page(at), done - count..done))
    })
}
