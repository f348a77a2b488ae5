//! What a campaign did: the proof that it was not vacuous.

use super::model::Found;
use rt::sim::FaultCounts;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) power_cuts: usize,
    pub(crate) kills: usize,
    pub(crate) closes: usize,
    pub(crate) crashes_before_write: usize,
    pub(crate) crashes_before_flush: usize,
    pub(crate) crashes_while_opening: usize,
    pub(crate) failed_opens: usize,
    pub(crate) torn: usize,
    /// Kills of stores that had messages in memory alone, and openings that took some over.
    pub(crate) kills_of_kept: usize,
    pub(crate) taken_over: usize,
    pub(crate) tails_without_room: usize,
    pub(crate) poisoned: usize,
    pub(crate) write_errors: u64,
    pub(crate) sync_errors: u64,
    pub(crate) read_errors: u64,
    pub(crate) other_errors: u64,
    pub(crate) open_errors: u64,
    pub(crate) no_space: u64,
    pub(crate) short_reads: u64,
    pub(crate) slow: u64,
    pub(crate) kept: usize,
    pub(crate) lost: usize,
    pub(crate) holes: usize,
    pub(crate) refused: usize,
    pub(crate) hot_reads: usize,
    pub(crate) cold_reads: usize,
    pub(crate) failed_reads: usize,
    pub(crate) reads_of_removed_files: usize,
    pub(crate) queries: usize,
    pub(crate) deletions: usize,
    pub(crate) failed_deletions: usize,
    pub(crate) sent_while_deleting: usize,
    pub(crate) damaged: usize,
    pub(crate) damaged_first: usize,
    /// Stretches of the log that starts told as damaged: also a write that a power cut tore.
    pub(crate) damage_told: usize,
    pub(crate) removals: usize,
    pub(crate) rebuilds: usize,
    /// Messages that were damaged on disk after a crash, those of them that only the flushed mark
    /// knew to be flushed, and those that were missed then.
    pub(crate) rotten: usize,
    pub(crate) rotten_behind_manifest: usize,
    pub(crate) rotten_missed: usize,
    /// See the oracle's `Found`.
    pub(crate) torn_beginnings: usize,
}

impl Tally {
    pub(crate) fn add_faults(&mut self, counts: &FaultCounts) {
        self.write_errors += counts.write_errors;
        self.sync_errors += counts.sync_errors;
        self.read_errors += counts.read_errors;
        self.other_errors += counts.other_errors;
        self.open_errors += counts.open_errors;
        self.no_space += counts.no_space;
        self.short_reads += counts.short_reads;
        self.slow += counts.slow;
    }

    pub(crate) fn add_found(&mut self, found: &Found) {
        self.kept += found.kept;
        self.lost += found.lost;
        self.holes += found.holes;
        self.rotten_missed += found.rotten;
        self.torn_beginnings += found.torn_beginnings;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        macro_rules! sum {
            ($($field:ident)*) => { $(self.$field += other.$field;)* };
        }
        sum!(power_cuts kills closes crashes_before_write crashes_before_flush);
        sum!(crashes_while_opening failed_opens torn poisoned);
        sum!(kills_of_kept taken_over tails_without_room);
        sum!(write_errors sync_errors read_errors other_errors no_space short_reads slow);
        sum!(kept lost holes refused hot_reads cold_reads failed_reads);
        sum!(open_errors reads_of_removed_files failed_deletions sent_while_deleting);
        sum!(queries deletions removals rebuilds damaged damaged_first);
        sum!(damage_told);
        sum!(rotten rotten_behind_manifest rotten_missed torn_beginnings);
    }

    /// Everything that a campaign is about happened, in proportion to its seeds.
    pub(crate) fn assert_not_vacuous(&self, seeds: usize) {
        let floors = [
            ("power cuts", self.power_cuts, seeds),
            ("kills", self.kills, seeds / 4),
            ("clean stops", self.closes, seeds / 8),
            ("crashes between append and write", self.crashes_before_write, seeds / 2),
            ("crashes between write and flush", self.crashes_before_flush, seeds / 8),
            ("crashes while opening", self.crashes_while_opening, seeds / 16),
            ("torn writes", self.torn, seeds / 2),
            ("kills with messages in kept memory alone", self.kills_of_kept, seeds / 12),
            ("tails taken over", self.taken_over, seeds / 12),
            ("tails that found no room", self.tails_without_room, seeds / 20),
            ("poisoned stores", self.poisoned, seeds / 16),
            ("messages kept", self.kept, seeds * 50),
            ("messages lost", self.lost, seeds),
            ("hot reads", self.hot_reads, seeds * 10),
            ("cold reads", self.cold_reads, seeds * 10),
            ("failed openings", self.failed_opens, seeds / 2),
            ("failed reads", self.failed_reads, seeds / 4),
            ("messages found by key", self.queries, seeds * 5),
            ("sends refused", self.refused, seeds),
            ("topics deleted", self.deletions, seeds / 2),
            ("deletions that failed", self.failed_deletions, seeds / 4),
            ("messages sent while their topic was deleted", self.sent_while_deleting, seeds),
            ("messages damaged between lives", self.damaged, seeds / 4),
            ("queues' first messages among them", self.damaged_first, seeds / 8),
            ("rounds that removed files", self.removals, seeds / 16),
            ("rebuilds", self.rebuilds, seeds),
            ("flushed messages damaged", self.rotten, seeds / 8),
            ("of them behind the manifest", self.rotten_behind_manifest, seeds / 32),
            ("damaged messages missed", self.rotten_missed, seeds / 8),
        ];
        let faults = [
            ("failed writes", self.write_errors),
            ("failed syncs", self.sync_errors),
            ("failed reads", self.read_errors),
            ("failed allocations, creations and removals", self.other_errors),
            ("failed opens of files", self.open_errors),
            ("no space", self.no_space),
            ("short reads", self.short_reads),
            ("slow operations", self.slow),
        ];
        for (what, found, floor) in floors {
            assert!(
                found >= floor,
                "the campaign was too tame: {found} {what}, at least {floor} expected; {self:?}"
            );
        }
        for (what, found) in faults {
            assert!(
                found >= seeds as u64 / 16,
                "the campaign was too tame: {found} {what}, at least 1 in 16 seeds expected; \
                    {self:?}"
            );
        }
    }
}
