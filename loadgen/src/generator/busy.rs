//! How much of its time a generator works. CPU time can't tell: a spinning thread uses all of it.

/// One round of the generator's loop, on the run's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// When it began.
    pub began_nanos: u64,
    /// When it turned to the ring, after sending.
    pub turned_nanos: u64,
    /// Whether it was allowed to sleep there.
    pub may_sleep: bool,
    /// Whether it sent something.
    pub sent: bool,
    /// When the first answer of the round was there.
    pub first_answer_nanos: Option<u64>,
}

/// Adds up the working time of rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BusyMeter {
    busy_nanos: u64,
}

impl BusyMeter {
    /// Counts a round that ended at `ended_nanos`. A round that polls and finds nothing to do is
    /// idle; the time of a sleep is idle too.
    pub(super) fn add(&mut self, round: &Round, ended_nanos: u64) {
        let since = |start: u64| ended_nanos.saturating_sub(start);
        self.busy_nanos += match (round.may_sleep, round.sent, round.first_answer_nanos) {
            (false, false, None) => 0,
            (false, ..) => since(round.began_nanos),
            (true, sent, answer) => {
                let sending = round.turned_nanos.saturating_sub(round.began_nanos);
                (if sent { sending } else { 0 }) + answer.map_or(0, since)
            }
        };
    }

    /// The share of `wall_nanos` that was work.
    pub(super) fn share(&self, wall_nanos: u64) -> f64 {
        self.busy_nanos as f64 / wall_nanos.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(may_sleep: bool, sent: bool, first_answer_nanos: Option<u64>) -> Round {
        Round { began_nanos: 100, turned_nanos: 110, may_sleep, sent, first_answer_nanos }
    }

    fn busy(round: Round) -> u64 {
        let mut meter = BusyMeter::default();
        meter.add(&round, 200);
        meter.busy_nanos
    }

    #[test]
    fn a_spin_without_work_is_idle_and_one_with_work_is_not() {
        assert_eq!(busy(round(false, false, None)), 0);
        assert_eq!(busy(round(false, true, None)), 100);
        assert_eq!(busy(round(false, false, Some(150))), 100);
    }

    #[test]
    fn a_sleep_is_idle_and_the_work_around_it_is_not() {
        assert_eq!(busy(round(true, false, None)), 0);
        assert_eq!(busy(round(true, true, None)), 10);
        assert_eq!(busy(round(true, true, Some(180))), 30);
        let mut meter = BusyMeter::default();
        meter.add(&round(true, true, Some(180)), 200);
        assert!((meter.share(60) - 0.5).abs() < 1e-9);
    }
}
