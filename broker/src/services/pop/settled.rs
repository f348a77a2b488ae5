//! Up to which moment nothing more comes: what was to go to the revive topic before is there.
//!
//! An acknowledgement waits as a timer until its checkpoint's time is over. It is in the revive
//! topic once the timers' task has taken its record up, which takes a moment, and once it was
//! delivered. A checkpoint is judged only when both are so for everything that was accepted before
//! its time. Pure.

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// A moment, and where the timers' topic ended then.
    probe: Option<(i64, i64)>,
    /// Everything that was stored before is taken up.
    taken_up_ms: i64,
}

/// How far the timers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimersAt {
    /// The queue offset of the next record to take up.
    pub(crate) next: i64,
    /// Where their topic ends.
    pub(crate) end: i64,
    /// Of what was taken up, everything due before this is delivered.
    pub(crate) done_ms: i64,
}

impl Settled {
    /// Up to which moment nothing more comes, in milliseconds since 1970.
    pub(super) fn upto(&mut self, now_ms: i64, at: TimersAt) -> i64 {
        let (probe_ms, end) = *self.probe.get_or_insert((now_ms, at.end));
        if at.next >= end {
            self.taken_up_ms = probe_ms;
            self.probe = (at.next < at.end).then_some((now_ms, at.end));
            if self.probe.is_none() {
                self.taken_up_ms = now_ms;
            }
        }
        self.taken_up_ms.min(at.done_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_settled_when_what_came_before_is_taken_up_and_delivered() {
        let mut settled = Settled::default();
        let mut upto =
            |now_ms, next, end, done_ms| settled.upto(now_ms, TimersAt { next, end, done_ms });
        assert_eq!(upto(1_000, 0, 0, 900), 900);
        assert_eq!(upto(2_000, 3, 10, 2_000), 1_000, "records that are not taken up");
        assert_eq!(upto(3_000, 9, 99, 3_000), 1_000);
        assert_eq!(upto(4_000, 10, 99, 4_000), 2_000, "everything of the probe is taken up");
        assert_eq!(upto(5_000, 99, 99, 4_500), 4_500);
        assert_eq!(upto(6_000, 99, 99, 5_500), 5_500);
        assert_eq!(upto(7_000, 99, 99, 7_000), 7_000);
    }
}
