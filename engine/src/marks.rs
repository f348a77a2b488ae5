//! How far the log has come. The one place where the order is stated:
//!
//! ```text
//!   flushed ≤ written ≤ appended        visible ≤ dispatched ≤ appended
//! ```
//!
//! - `appended`: in memory, has its offset. Under ASYNC_FLUSH a producer is answered here.
//! - `written`: the device has it (or its cache): survives SIGKILL.
//! - `flushed`: fdatasync has passed it: survives a power cut.
//! - `dispatched`: its ConsumeQueue unit exists (in memory).
//! - `visible`: a consumer may have it. Under ASYNC_FLUSH that is `dispatched`.
//!
//! The loss window of ASYNC_FLUSH: a killed process loses `written..appended` (about one device write, plus 200 µs while
//! less than 64 KiB gather, see `limits::WRITE_GATHER`; up to 2 ms more on a core that is busy without a pause), a power cut `flushed..appended` (`flush_interval_ms`, 500 ms by default, plus one fdatasync).
//!
//! Marks only go forward; each step asserts the order, because a mark that lies loses messages silently.

use crate::offset::PhyOffset;
use std::cell::Cell;

/// The marks of one log.
#[derive(Debug)]
pub(crate) struct Marks {
    appended: Cell<u64>,
    dispatched: Cell<u64>,
    written: Cell<u64>,
    flushed: Cell<u64>,
}

impl Marks {
    /// All at `end`: a log just opened.
    pub(crate) fn at(end: u64) -> Self {
        let mark = || Cell::new(end);
        Self { appended: mark(), dispatched: mark(), written: mark(), flushed: mark() }
    }

    pub(crate) fn appended(&self) -> PhyOffset {
        PhyOffset(self.appended.get())
    }

    pub(crate) fn dispatched(&self) -> PhyOffset {
        PhyOffset(self.dispatched.get())
    }

    pub(crate) fn written(&self) -> PhyOffset {
        PhyOffset(self.written.get())
    }

    pub(crate) fn flushed(&self) -> PhyOffset {
        PhyOffset(self.flushed.get())
    }

    pub(crate) fn visible(&self) -> PhyOffset {
        self.dispatched()
    }

    pub(crate) fn unwritten_bytes(&self) -> u64 {
        self.appended.get() - self.written.get()
    }

    pub(crate) fn append_to(&self, end: u64) {
        advance(&self.appended, end);
        self.assert_order();
    }

    pub(crate) fn dispatch_to(&self, end: u64) {
        advance(&self.dispatched, end);
        self.assert_order();
    }

    pub(crate) fn write_to(&self, end: u64) {
        advance(&self.written, end);
        self.assert_order();
    }

    pub(crate) fn flush_to(&self, end: u64) {
        advance(&self.flushed, end);
        self.assert_order();
    }

    fn assert_order(&self) {
        assert!(self.dispatched <= self.appended && self.written <= self.appended && self.flushed <= self.written, "marks out of order: {self:?}");
    }
}

fn advance(mark: &Cell<u64>, to: u64) {
    assert!(to >= mark.get(), "a mark went back from {} to {to}", mark.get());
    mark.set(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "marks out of order")]
    fn nothing_is_flushed_before_it_is_written() {
        let marks = Marks::at(10);
        marks.append_to(20);
        marks.flush_to(20);
    }

    #[test]
    #[should_panic(expected = "a mark went back")]
    fn marks_do_not_go_back() {
        Marks::at(10).append_to(9);
    }
}
