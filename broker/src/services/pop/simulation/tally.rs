//! What happened in a run, or in many.

use crate::services::delivery::simulation::Tallied;

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) kills: usize,
    pub(super) power_cuts: usize,
    pub(super) clean_stops: usize,
    /// The wall clock leapt forward.
    pub(super) leaps: usize,
    pub(super) sent: usize,
    pub(super) popped: usize,
    /// Checkpoints that were kept in memory.
    pub(super) kept: usize,
    /// Of these, whose messages were all acknowledged: they were never written.
    pub(super) merged_away: usize,
    /// Of these, that were written later.
    pub(super) spilled: usize,
    /// Deliveries whose checkpoint an end of a life took.
    pub(super) void: usize,
    pub(super) acknowledged: usize,
    pub(super) revived: usize,
    pub(super) again: usize,
    pub(super) done: usize,
    /// Acknowledgements that an end of a life may have taken.
    pub(super) maybe_lost: usize,
}

impl Tallied for Tally {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.clean_stops += other.clean_stops;
        self.leaps += other.leaps;
        self.sent += other.sent;
        self.popped += other.popped;
        self.kept += other.kept;
        self.merged_away += other.merged_away;
        self.spilled += other.spilled;
        self.void += other.void;
        self.acknowledged += other.acknowledged;
        self.revived += other.revived;
        self.again += other.again;
        self.done += other.done;
        self.maybe_lost += other.maybe_lost;
    }

    fn assert_not_vacuous(&self) {
        let ends = [self.kills, self.power_cuts, self.clean_stops, self.leaps];
        let counts = [self.sent, self.popped, self.acknowledged];
        let buffer = [self.kept, self.merged_away, self.spilled, self.void];
        let often = ends.iter().chain(&counts).chain(&buffer);
        assert!(often.copied().all(|count| count > 20), "{self:?}");
        let rare = [self.revived, self.again, self.done, self.maybe_lost];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
    }
}
