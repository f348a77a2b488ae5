//! What was sent and acknowledged, and what happened.

use crate::services::delivery::simulation::Tallied;

/// One message that a master took.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) text: String,
    pub(super) at: u64,
    pub(super) end: u64,
    /// Answered SEND_OK.
    pub(super) is_acknowledged: bool,
    /// Power cuts took it from all who had it.
    pub(super) is_lost: bool,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: usize,
    pub(super) acknowledged: usize,
    pub(super) not_there: usize,
    pub(super) transferred: usize,
    pub(super) kills: usize,
    pub(super) power_cuts: usize,
    pub(super) failed_disks: usize,
    pub(super) promotions: usize,
    pub(super) restarted_masters: usize,
    pub(super) zombies: usize,
    pub(super) broken: usize,
    pub(super) half_open: usize,
    pub(super) stalls: usize,
    pub(super) clock_steps: usize,
    pub(super) cuts: usize,
    pub(super) cut_off_in_a_cut: usize,
    pub(super) tries: usize,
    pub(super) rebuilt: usize,
    pub(super) lost_by_power_cuts: usize,
}

impl Tally {
    fn each(&mut self) -> [&mut usize; 19] {
        let Self {
            sent,
            acknowledged,
            not_there,
            transferred,
            kills,
            power_cuts,
            failed_disks,
            promotions,
            restarted_masters,
            zombies,
            broken,
            half_open,
            stalls,
            clock_steps,
            cuts,
            cut_off_in_a_cut,
            tries,
            rebuilt,
            lost_by_power_cuts,
        } = self;
        [
            sent,
            acknowledged,
            not_there,
            transferred,
            kills,
            power_cuts,
            failed_disks,
            promotions,
            restarted_masters,
            zombies,
            broken,
            half_open,
            stalls,
            clock_steps,
            cuts,
            cut_off_in_a_cut,
            tries,
            rebuilt,
            lost_by_power_cuts,
        ]
    }
}

impl Tallied for Tally {
    fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for (sum, more) in self.each().into_iter().zip(other.each()) {
            *sum += *more;
        }
    }

    fn assert_not_vacuous(&self) {
        // Power cuts need not take a message from all who had it.
        let mut all = Self { lost_by_power_cuts: 1, ..self.clone() };
        assert!(all.each().map(|count| *count).iter().all(|count| *count > 0), "{self:#?}");
        assert!(self.acknowledged > 1_000 && self.cuts > 50, "{self:#?}");
    }
}
