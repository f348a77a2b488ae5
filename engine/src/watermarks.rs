//! How far the log has come. The one place where the order is stated:
//!
//! ```text
//!   flushed ≤ written ≤ appended        visible ≤ dispatched ≤ appended        visible ≤ acknowledged
//! ```
//!
//! - `appended`: in memory, has its offset; survives SIGKILL where the tail does
//!   ([`crate::tail_file`]).
//! - `written`: the device, its cache or the page cache has it: survives SIGKILL.
//! - `flushed`: fdatasync has passed it: survives a power cut.
//! - `dispatched`: its ConsumeQueue unit exists (in memory).
//! - `acknowledged`: a producer is answered here. Which watermark that is follows from the
//!   configuration:
//!
//!   | flush | backend | tail | acknowledged |
//!   |---|---|---|---|
//!   | ASYNC_FLUSH | direct | outlives the process | `appended` |
//!   | ASYNC_FLUSH | direct | private, as `tailPath=` asks | `appended` |
//!   | ASYNC_FLUSH | direct | no place that outlives the process | `written` |
//!   | ASYNC_FLUSH | mmap | | `written` |
//!   | SYNC_FLUSH | either | | `flushed` |
//!
//! - `visible`: a consumer may have it: `dispatched` and `acknowledged`. A message that a consumer
//!   has seen and a crash takes back would leave its group's offset beyond a place in the queue
//!   that is then given to another message.
//!
//! The loss window of ASYNC_FLUSH: a killed process loses nothing that was acknowledged, but with a
//! private tail `written..appended` (about one device write, plus 200 µs while less than 64 KiB
//! gather, see `limits::PRIVATE_GATHER`; everything unwritten while the device stalls). A power cut
//! loses `flushed..appended` (`flush_interval_ms`, 500 ms by default, plus one fdatasync, plus what
//! gathers before a write: 2 ms, `limits::KEPT_GATHER`).
//!
//! Watermarks only go forward, except when the log is cut at rest ([`Watermarks::cut_to`]); each
//! step asserts the order, because one that lies loses messages silently.

use crate::config::{FlushPolicy, LogBackend};
use crate::offset::PhyOffset;
use crate::tail_file::TailMemory;
use std::cell::Cell;

/// The watermark at which a producer is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerAt {
    Appended,
    Written,
    Flushed,
}

impl AnswerAt {
    /// As the module's table says.
    pub(crate) fn of(flush: FlushPolicy, backend: LogBackend, tail: &TailMemory) -> Self {
        match (flush, backend, tail) {
            (FlushPolicy::Sync, ..) => Self::Flushed,
            (FlushPolicy::Async, LogBackend::Mmap, _) => Self::Written,
            (FlushPolicy::Async, LogBackend::Direct, tail) => match tail {
                TailMemory::Kept { .. } | TailMemory::Private => Self::Appended,
                TailMemory::NotKept { .. } | TailMemory::NotNeeded => Self::Written,
            },
        }
    }
}

/// The watermarks of one log.
#[derive(Debug)]
pub(crate) struct Watermarks {
    answer_at: AnswerAt,
    appended: Cell<u64>,
    dispatched: Cell<u64>,
    written: Cell<u64>,
    flushed: Cell<u64>,
}

impl Watermarks {
    /// All at `end`: a log just opened.
    pub(crate) fn at(end: u64, answer_at: AnswerAt) -> Self {
        let at_end = || Cell::new(end);
        Self {
            answer_at,
            appended: at_end(),
            dispatched: at_end(),
            written: at_end(),
            flushed: at_end(),
        }
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

    pub(crate) fn acknowledged(&self) -> PhyOffset {
        match self.answer_at {
            AnswerAt::Appended => self.appended(),
            AnswerAt::Written => self.written(),
            AnswerAt::Flushed => self.flushed(),
        }
    }

    /// Whether what is appended is acknowledged at once.
    pub(crate) fn answers_at_once(&self) -> bool {
        self.answer_at == AnswerAt::Appended
    }

    pub(crate) fn visible(&self) -> PhyOffset {
        self.dispatched().min(self.acknowledged())
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

    /// All at `end`: the log was cut there, or begins there. Everything was flushed.
    pub(crate) fn cut_to(&self, end: u64) {
        assert_eq!(
            (self.flushed.get(), self.dispatched.get()),
            (self.appended.get(), self.appended.get()),
            "only a log at rest is cut"
        );
        for watermark in [&self.appended, &self.dispatched, &self.written, &self.flushed] {
            watermark.set(end);
        }
    }

    fn assert_order(&self) {
        assert!(
            self.dispatched <= self.appended
                && self.written <= self.appended
                && self.flushed <= self.written,
            "watermarks out of order: {self:?}"
        );
    }
}

fn advance(watermark: &Cell<u64>, to: u64) {
    assert!(to >= watermark.get(), "a watermark went back from {} to {to}", watermark.get());
    watermark.set(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "watermarks out of order")]
    fn nothing_is_flushed_before_it_is_written() {
        let watermarks = Watermarks::at(10, AnswerAt::Appended);
        watermarks.append_to(20);
        watermarks.flush_to(20);
    }

    #[test]
    #[should_panic(expected = "a watermark went back")]
    fn marks_do_not_go_back() {
        Watermarks::at(10, AnswerAt::Appended).append_to(9);
    }

    #[test]
    fn what_is_not_acknowledged_is_not_visible() {
        for (answer_at, visible) in
            [(AnswerAt::Appended, 40), (AnswerAt::Written, 30), (AnswerAt::Flushed, 20)]
        {
            let watermarks = Watermarks::at(10, answer_at);
            watermarks.append_to(40);
            watermarks.dispatch_to(40);
            watermarks.write_to(30);
            watermarks.flush_to(20);
            assert_eq!(
                (watermarks.visible(), watermarks.acknowledged()),
                (PhyOffset(visible), PhyOffset(visible))
            );
        }
    }
}
