//! How far a store's life is, and what ends it.
//!
//! ```text
//!   Open ──close──► Closing ──its tasks have ended, a last checkpoint──► Closed
//!     └─ poisoned: takes no messages any more, is closed all the same
//! ```

use super::open::Recovered;
use crate::signal::Signal;
use crate::tail_file::TailMemory;
use std::cell::{Cell, RefCell};

/// How far a store's life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    Closing,
    Closed,
}

pub(super) struct Life {
    pub(super) phase: Cell<Phase>,
    /// Why the store stopped accepting writes.
    pub(super) poison: RefCell<Option<String>>,
    pub(super) running_tasks: Cell<usize>,
    pub(super) task_ended: Signal,
    pub(super) stopping: Signal,
    /// Until then closing finishes what may be left to the next start, in the runtime's
    /// nanoseconds. Never while the store is open.
    pub(super) close_by_nanos: Cell<u64>,
    pub(super) recovered: Recovered,
    pub(super) tail_memory: TailMemory,
}

impl Life {
    pub(super) fn new(recovered: Recovered, tail_memory: TailMemory) -> Self {
        Self {
            phase: Cell::new(Phase::Open),
            poison: RefCell::new(None),
            running_tasks: Cell::new(0),
            task_ended: Signal::default(),
            stopping: Signal::default(),
            close_by_nanos: Cell::new(u64::MAX),
            recovered,
            tail_memory,
        }
    }

    /// The next phase begins.
    pub(super) fn enter(&self, next: Phase) {
        let before = self.phase.replace(next);
        let follows = matches!(
            (before, next),
            (Phase::Open, Phase::Closing) | (Phase::Closing, Phase::Closed)
        );
        assert!(follows, "a store is {before:?} and would be {next:?}");
        assert!(next != Phase::Closed || self.running_tasks.get() == 0, "its tasks have ended");
    }

    pub(super) fn task_begins(&self) {
        self.running_tasks.set(self.running_tasks.get() + 1);
    }

    pub(super) fn task_ends(&self) {
        let left = self.running_tasks.get().checked_sub(1);
        self.running_tasks.set(left.expect("no more tasks end than began"));
        self.task_ended.notify();
    }
}
