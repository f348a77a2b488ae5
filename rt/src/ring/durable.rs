//! Which of two ways of a durable write is quicker on this machine now.
//!
//! | way | what the kernel does | slow when |
//! |---|---|---|
//! | RWF_DSYNC, one operation | writes; without FUA a worker *bound to the CPU that the device interrupts* flushes | anything runs on that CPU: 4 ms in place of 0.3 |
//! | a write and an fdatasync linked to it | the flush starts when the core enters the kernel again, in a worker that may run anywhere | the core is busy: about a tenth |
//!
//! Which one that is follows from the device, from where its interrupts go and from what else runs,
//! and may change at any moment. So both are measured: mostly the quicker one is taken, and now and
//! then the other one. Pure.

use std::cell::Cell;

/// One of so many writes goes the other way: 4 ms in 512 writes of 0.3 ms are under 3 %.
const OTHER_EVERY: u32 = 512;
/// Of the first writes every second one goes the other way.
const LEARNED_AFTER: u32 = 8;
/// Weight of the last time in the mean when it was slower, of which no more than twice the mean
/// counts: the device stalls at times, whichever way was taken …
const SLOWER_WEIGHT: f64 = 0.25;
/// … and when it was quicker.
const QUICKER_WEIGHT: f64 = 0.5;
/// The other way is taken when it needs less than this share of the time. Writes differ in size, so
/// a smaller difference says nothing.
const BETTER: f64 = 0.8;

/// A way; see the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// RWF_DSYNC.
    Dsync,
    /// A write with an fdatasync linked to it.
    Linked,
}

impl Way {
    fn other(self) -> Self {
        match self {
            Self::Dsync => Self::Linked,
            Self::Linked => Self::Dsync,
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Ways {
    best: Cell<Way>,
    writes: Cell<u32>,
    /// Recent times in nanoseconds, smoothed; 0 before the first.
    dsync_nanos: Cell<f64>,
    linked_nanos: Cell<f64>,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            best: Cell::new(Way::Dsync),
            writes: Cell::new(0),
            dsync_nanos: Cell::new(0.0),
            linked_nanos: Cell::new(0.0),
        }
    }
}

impl Ways {
    /// The way of the next write.
    pub(super) fn next(&self) -> Way {
        let nth = self.writes.get();
        self.writes.set(nth.wrapping_add(1));
        let is_other =
            if nth < LEARNED_AFTER { nth % 2 == 1 } else { nth.is_multiple_of(OTHER_EVERY) };
        let best = self.best.get();
        if is_other { best.other() } else { best }
    }

    /// A write that went this way took so long.
    pub(super) fn took(&self, way: Way, nanos: u64) {
        let mean = self.of(way);
        #[expect(clippy::cast_precision_loss, reason = "a duration that is compared roughly")]
        let nanos = nanos as f64;
        let before = if mean.get() > 0.0 { mean.get() } else { nanos };
        let weight = if nanos < before { QUICKER_WEIGHT } else { SLOWER_WEIGHT };
        mean.set(before + (nanos.min(before * 2.0) - before) * weight);
        let (best, other) = (self.best.get(), self.best.get().other());
        let (best_nanos, other_nanos) = (self.of(best).get(), self.of(other).get());
        if other_nanos > 0.0 && other_nanos < best_nanos * BETTER {
            self.best.set(other);
        }
    }

    fn of(&self, way: Way) -> &Cell<f64> {
        match way {
            Way::Dsync => &self.dsync_nanos,
            Way::Linked => &self.linked_nanos,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays writes: how many of the last half went by RWF_DSYNC.
    fn play(ways: &Ways, writes: u32, nanos: impl Fn(Way, u32) -> u64) -> u32 {
        let mut dsync = 0;
        for nth in 0..writes {
            let way = ways.next();
            ways.took(way, nanos(way, nth));
            dsync += u32::from(way == Way::Dsync && nth >= writes / 2);
        }
        dsync
    }

    #[test]
    fn the_quicker_way_is_taken_and_found_again_when_that_changes() {
        let ways = Ways::default();
        let neighbour = |way, _| if way == Way::Dsync { 4_000_000 } else { 300_000 };
        let dsync = play(&ways, 4_096, neighbour);
        assert!(dsync <= 4, "{dsync} of 2,048 wait for a CPU that is busy");
        let alone = |way, _| if way == Way::Dsync { 200_000 } else { 300_000 };
        let dsync = play(&ways, 16_384, alone);
        assert!(dsync >= 8_192 - 16, "{dsync} of 8,192: its CPU is idle again");
    }

    #[test]
    fn small_differences_change_nothing() {
        let ways = Ways::default();
        let dsync = play(&ways, 4_096, |way, _| if way == Way::Dsync { 110 } else { 100 });
        assert!(dsync >= 2_048 - 4, "{dsync}");
    }

    #[test]
    fn a_stall_of_the_device_does_not_lead_to_the_slower_way() {
        let ways = Ways::default();
        let times = |way, nth: u32| match (way, nth) {
            (Way::Linked, nth) if nth % 1_000 == 999 => 100_000_000,
            (Way::Dsync, _) => 4_000_000,
            (Way::Linked, _) => 300_000,
        };
        let dsync = play(&ways, 8_192, times);
        assert!(dsync <= 8, "{dsync} of 4,096");
    }

    #[test]
    fn one_slow_write_of_the_other_way_costs_it_nothing_for_ever() {
        let ways = Ways::default();
        let slow_once = |way, nth| match (way, nth) {
            (Way::Linked, 1) => 1_000_000_000,
            (Way::Dsync, _) => 4_000_000,
            (Way::Linked, _) => 300_000,
        };
        play(&ways, OTHER_EVERY * 40, slow_once);
        assert_eq!(ways.best.get(), Way::Linked);
    }
}
