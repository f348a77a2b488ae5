//! Who was answered together is flushed together.
//!
//! Where answers wait for the flush, senders come back as soon as they are answered. A flush that
//! starts at once takes those alone that came while the last one ran, and senders stay in two
//! groups, each of which waits for the other's flush too:
//!
//! ```text
//!   at once:    │─ flush of 5 ─│─ flush of 11 ─│─ flush of 5 ─│     16 senders, 2 flushes
//!   together:   │ 11 are back │─ flush of 16 ─│ 16 are back │─     16 senders, 1 flush
//! ```
//!
//! So the writer waits until as many calls have appended as were answered by the last flush or
//! waited at its end: for half of the usual flush at most, and not where waiting was in vain
//! before. A lone sender is all that is expected, and waits for nothing.

use std::cell::Cell;
use std::time::Duration;

/// The wait is at most this part of what a flush takes: two groups need two flushes, one group
/// needs one and the wait.
const PART_OF_FLUSH: u32 = 2;
/// Shorter waits are not worth a timer: a write into the page cache, a very fast device.
const WAIT_MIN: Duration = Duration::from_micros(10);
/// A device that stood still for seconds says nothing of when senders come back.
const WAIT_MAX: Duration = Duration::from_millis(5);
/// After so many waits in vain, one after the other, the pause between two tries grows no longer.
const MISSES_MAX: u32 = 6;

/// Who may be expected before the next write. Calls are counted by the signal that each gives.
#[derive(Default)]
pub(super) struct Group {
    /// Calls whose messages are written or on their way.
    taken: Cell<u64>,
    /// Calls that the next write may expect.
    expected: Cell<u64>,
    /// What a write takes on average; zero before the first.
    usual: Cell<Duration>,
    /// Waits in vain, one after the other.
    misses: Cell<u32>,
    /// Writes that go at once before the next try.
    skips: Cell<u32>,
}

impl Group {
    /// A write begins with all that `calls` calls have appended: how many of them are its own.
    pub(super) fn begin(&self, calls: u64) -> u64 {
        calls - self.taken.replace(calls)
    }

    /// The write of `own` calls took `took`, and by now there were `calls`.
    pub(super) fn end(&self, own: u64, calls: u64, took: Duration) {
        self.expected.set(own + (calls - self.taken.get()));
        let usual = self.usual.get();
        self.usual.set(if usual.is_zero() { took } else { (usual * 7 + took) / 8 });
    }

    /// Whether all have come that were expected.
    pub(super) fn is_complete(&self, calls: u64) -> bool {
        calls - self.taken.get() >= self.expected.get()
    }

    /// How long to wait for the others; `None`: not at all.
    pub(super) fn wait(&self, calls: u64) -> Option<Duration> {
        let wait = (self.usual.get() / PART_OF_FLUSH).min(WAIT_MAX);
        if self.is_complete(calls) || wait < WAIT_MIN {
            return None;
        }
        if self.skips.get() > 0 {
            self.skips.set(self.skips.get() - 1);
            return None;
        }
        Some(wait)
    }

    /// The wait is over.
    pub(super) fn waited(&self, calls: u64) {
        if self.is_complete(calls) {
            self.misses.set(0);
            return;
        }
        let misses = (self.misses.get() + 1).min(MISSES_MAX);
        self.misses.set(misses);
        self.skips.set(1 << misses);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUSH: Duration = Duration::from_micros(200);

    #[test]
    fn those_who_were_answered_and_those_who_waited_are_expected() {
        let group = Group::default();
        let own = group.begin(11);
        assert_eq!((own, group.wait(11)), (11, None), "nothing is known yet");
        group.end(own, 16, FLUSH);
        assert_eq!(group.wait(16), Some(FLUSH / 2), "5 wait, 11 are answered");
        assert!(!group.is_complete(26) && group.is_complete(27));
        group.waited(27);
        assert_eq!(group.begin(27), 16);
    }

    #[test]
    fn a_lone_sender_and_a_fast_device_wait_for_nothing() {
        let group = Group::default();
        group.end(group.begin(1), 1, FLUSH);
        assert_eq!(group.wait(2), None, "it is back");
        let group = Group::default();
        group.end(group.begin(9), 9, Duration::from_micros(19));
        assert_eq!(group.wait(10), None, "half of the flush is no time");
    }

    #[test]
    fn a_device_that_stood_still_makes_nobody_wait_for_long() {
        let group = Group::default();
        group.end(group.begin(2), 2, Duration::from_secs(10));
        assert_eq!(group.wait(3), Some(WAIT_MAX));
    }

    #[test]
    fn what_was_waited_for_in_vain_is_waited_for_more_and_more_seldom() {
        let group = Group::default();
        let (mut calls, mut waits) = (2, 0);
        for _ in 0..1_000 {
            // One comes back of two.
            group.end(group.begin(calls), calls + 1, FLUSH);
            calls += 1;
            if group.wait(calls).is_some() {
                waits += 1;
                group.waited(calls);
            }
        }
        assert!((6..=24).contains(&waits), "{waits} waits in 1,000 flushes");
    }
}
