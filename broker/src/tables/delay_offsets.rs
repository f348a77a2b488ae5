//! How far the messages of each delay level are delivered, and `delayOffset.json`.
//!
//! ```text
//!   advance ─► table ── snapshot(end of the log) ─► waits ── flushed(end) ─► ready ─► file
//! ```
//!
//! **The file never runs ahead of the log.** What it says is delivered is not delivered again, so a
//! copy that it counts must survive whatever comes: a snapshot of the table goes into the file only
//! once the log is flushed up to where it ended when the snapshot was made. A kill costs
//! duplicates, no message.
//!
//! Pure.

use engine::PhyOffset;
use protocol::bodies::{self, DataVersion};
use std::collections::BTreeMap;

/// The version is raised once for so many deliveries (`delayOffsetUpdateVersionStep`).
const DELIVERIES_PER_VERSION: u64 = 200;

/// The progress of one shard's delay levels.
#[derive(Debug, Default)]
pub(crate) struct DelayOffsets {
    /// Level → queue offset of the first message that is not delivered.
    table: BTreeMap<i32, i64>,
    version: DataVersion,
    deliveries: u64,
    /// The table has changed since the last snapshot.
    changed: bool,
    /// What becomes ready once the log is flushed up to this.
    waits: Option<(PhyOffset, bodies::DelayOffsets)>,
    ready: Option<bodies::DelayOffsets>,
    unsaved: bool,
}

impl DelayOffsets {
    /// What `delayOffset.json` holds.
    pub(crate) fn load(saved: bodies::DelayOffsets) -> Self {
        Self {
            table: saved.offset_table,
            version: saved.data_version.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// Takes over a master's progress. The caller has seen that this log has what it speaks of.
    pub(crate) fn follow(&mut self, master: bodies::DelayOffsets) {
        let version = master.data_version.unwrap_or_default();
        if (version, &master.offset_table) != (self.version, &self.table) {
            (self.version, self.table) = (version, master.offset_table);
            self.ready = Some(self.wrapper());
            self.unsaved = true;
        }
    }

    /// The first message of a level that is not delivered.
    pub(crate) fn get(&self, level: i32) -> i64 {
        self.table.get(&level).copied().unwrap_or(0)
    }

    /// The levels that were ever delivered from, with their progress.
    pub(crate) fn each(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.table.iter().map(|(level, offset)| (*level, *offset))
    }

    /// Everything of a level below `offset` is delivered.
    pub(crate) fn advance(&mut self, level: i32, offset: i64, now_ms: i64) {
        let before = self.table.insert(level, offset).unwrap_or(0);
        self.changed |= before != offset;
        let after = self.deliveries + (offset - before).max(0).unsigned_abs();
        if self.deliveries / DELIVERIES_PER_VERSION < after / DELIVERIES_PER_VERSION {
            self.version = self.version.next(now_ms);
        }
        self.deliveries = after;
    }

    /// Keeps what there is now until the log is flushed up to `end`, its end. Nothing while the
    /// snapshot before waits, or nothing has changed.
    pub(crate) fn snapshot(&mut self, end: PhyOffset) {
        if self.waits.is_none() && std::mem::take(&mut self.changed) {
            self.waits = Some((end, self.wrapper()));
        }
    }

    /// The log is flushed up to `upto`.
    pub(crate) fn flushed(&mut self, upto: PhyOffset) {
        if let Some((_, offsets)) = self.waits.take_if(|(end, _)| *end <= upto) {
            self.ready = Some(offsets);
            self.unsaved = true;
        }
    }

    /// The store is closed: everything is flushed.
    pub(crate) fn all_flushed(&mut self) {
        if self.waits.take().is_some() | std::mem::take(&mut self.changed) {
            self.ready = Some(self.wrapper());
            self.unsaved = true;
        }
    }

    /// What the file is to hold now, if that is news.
    pub(crate) fn take_unsaved(&mut self) -> Option<bodies::DelayOffsets> {
        if std::mem::take(&mut self.unsaved) { self.ready.clone() } else { None }
    }

    /// Writing failed: it is still to be done.
    pub(crate) fn set_unsaved(&mut self) {
        self.unsaved = true;
    }

    /// The table as GET_ALL_DELAY_OFFSET has it.
    pub(crate) fn wrapper(&self) -> bodies::DelayOffsets {
        bodies::DelayOffsets { data_version: Some(self.version), offset_table: self.table.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(offsets: &mut DelayOffsets) -> Option<BTreeMap<i32, i64>> {
        offsets.take_unsaved().map(|saved| saved.offset_table)
    }

    #[test]
    fn the_file_waits_until_the_copies_that_it_counts_are_flushed() {
        let mut offsets = DelayOffsets::default();
        offsets.snapshot(PhyOffset(5));
        offsets.flushed(PhyOffset(9));
        assert_eq!(saved(&mut offsets), None, "nothing is delivered");
        offsets.advance(3, 7, 0);
        offsets.snapshot(PhyOffset(100));
        offsets.advance(3, 8, 0);
        offsets.snapshot(PhyOffset(200));
        offsets.flushed(PhyOffset(99));
        assert_eq!(saved(&mut offsets), None);
        offsets.flushed(PhyOffset(150));
        assert_eq!(saved(&mut offsets), Some([(3, 7)].into()), "not what came later");
        assert_eq!(saved(&mut offsets), None, "once");
        offsets.set_unsaved();
        assert_eq!(saved(&mut offsets), Some([(3, 7)].into()), "it could not be written");
        offsets.snapshot(PhyOffset(200));
        offsets.flushed(PhyOffset(200));
        assert_eq!(saved(&mut offsets), Some([(3, 8)].into()));
    }

    #[test]
    fn a_restart_goes_on_and_the_version_is_raised_now_and_then() {
        let mut before = DelayOffsets::default();
        before.advance(1, 199, 5);
        assert_eq!(before.version, DataVersion::default());
        before.advance(1, 200, 5);
        assert_ne!(before.version, DataVersion::default());
        before.snapshot(PhyOffset(1));
        before.flushed(PhyOffset(1));
        let after = DelayOffsets::load(before.take_unsaved().unwrap());
        assert_eq!((after.get(1), after.get(2), after.version), (200, 0, before.version));
        assert_eq!(after.each().collect::<Vec<_>>(), [(1, 200)]);
    }
}
