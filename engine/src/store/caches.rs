//! What was read from disk and may be asked for again: each can be emptied at any time.

use super::cold_windows::ColdWindows;
use super::read_ahead::UnitCache;
use crate::signal::Signal;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

pub(super) struct Caches {
    /// Windows of the log.
    pub(super) cold: RefCell<ColdWindows>,
    /// What the tail and the windows may use together: see [`super::budget`].
    pub(super) budget_bytes: Cell<usize>,
    /// Bytes of the log that were read from disk for readers.
    pub(super) read_bytes: Cell<u64>,
    /// Memory of ConsumeQueue units, in bytes, as of the last checkpoint.
    pub(super) unit_bytes: Cell<usize>,
    /// Units of ConsumeQueue files.
    pub(super) units: RefCell<UnitCache>,
    /// A window came, or will not come.
    pub(super) arrived: Signal,
    /// Where damage was said to be: it is said once.
    pub(super) reported_damage: RefCell<HashSet<u64>>,
}

impl Caches {
    /// The log ends at `end` now.
    pub(super) fn cut(&self, end: u64) {
        self.cold.borrow_mut().clear();
        self.units.borrow_mut().clear();
        self.reported_damage.borrow_mut().retain(|at| *at < end);
        self.arrived.notify();
    }

    pub(super) fn new(cold: ColdWindows, budget_bytes: usize) -> Self {
        Self {
            cold: RefCell::new(cold),
            budget_bytes: Cell::new(budget_bytes),
            read_bytes: Cell::default(),
            unit_bytes: Cell::default(),
            units: RefCell::default(),
            arrived: Signal::default(),
            reported_damage: RefCell::default(),
        }
    }
}
