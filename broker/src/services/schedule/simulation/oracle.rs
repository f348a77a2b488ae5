//! What the oracle knows of each message, and what it says to what became of it.

use crate::services::delivery::simulation::Tallied;
use engine::{DelayLevels, PhyOffset};
use std::collections::BTreeMap;

/// What came so long before a kill or a power cut does not come again: progress is prepared every
/// 200 ms, goes into its file with a tick of 50 ms once the log is flushed, and a batch of copies
/// is acknowledged a few times 20 ms after it was appended.
const COUNTED_AFTER_MS: i64 = 700;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) kills: usize,
    pub(super) power_cuts: usize,
    pub(super) clean: usize,
    pub(super) failed_saves: usize,
    pub(super) with_fewer_levels: usize,
    pub(super) went_on: usize,
    pub(super) sent: usize,
    pub(super) delivered: usize,
    pub(super) again: usize,
    pub(super) maybe_lost: usize,
    pub(super) set_back: usize,
    /// Came when its delay was over, but not yet by the clock that was set back.
    pub(super) by_delay: usize,
}

impl Tallied for Tally {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.clean += other.clean;
        self.failed_saves += other.failed_saves;
        self.with_fewer_levels += other.with_fewer_levels;
        self.went_on += other.went_on;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.again += other.again;
        self.maybe_lost += other.maybe_lost;
        self.set_back += other.set_back;
        self.by_delay += other.by_delay;
    }

    fn assert_not_vacuous(&self) {
        let counts = [self.kills, self.power_cuts, self.clean, self.went_on, self.delivered];
        assert!(counts.iter().all(|count| *count > 20), "{self:?}");
        let rare = [self.failed_saves, self.with_fewer_levels, self.again, self.maybe_lost];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
        assert!(self.set_back > 0 && self.by_delay > 0, "{self:?}");
    }
}

/// A moment by two clocks, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// As the store has it: since 1970, by a clock that is set forward and back.
    pub(super) wall_ms: i64,
    /// By a clock that nobody sets.
    pub(super) true_ms: i64,
}

/// One message that was sent.
#[derive(Debug)]
struct Sent {
    level: i32,
    /// The queue of its topic that it goes to.
    queue_id: i32,
    /// Its place in its level's queue, and when it was stored.
    waits: Option<(i64, Moment)>,
    /// Where its record ends, once it is acknowledged.
    end: Option<PhyOffset>,
    maybe_lost: bool,
    /// When its last copy was stored, if this life did that.
    came_ms: Option<i64>,
    /// That copy must be counted by the file of progress.
    is_counted: bool,
}

/// Everything that was sent.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    sent: BTreeMap<usize, Sent>,
    /// By level: the place of the newest message that this life delivered.
    newest: BTreeMap<i32, i64>,
    unclean: usize,
    pub(super) tally: Tally,
}

impl Oracle {
    /// A message is about to be sent: its number.
    pub(super) fn sends(&mut self, level: i32, queue_id: i32) -> usize {
        let id = self.sent.len();
        let sent = Sent {
            level,
            queue_id,
            waits: None,
            end: None,
            maybe_lost: false,
            came_ms: None,
            is_counted: false,
        };
        self.sent.insert(id, sent);
        id
    }

    pub(super) fn stored(&mut self, id: usize, offset: i64, stored: Moment) {
        self.sent.get_mut(&id).unwrap().waits = Some((offset, stored));
    }

    pub(super) fn acknowledged(&mut self, id: usize, end: PhyOffset) {
        self.sent.get_mut(&id).unwrap().end = Some(end);
    }

    /// A copy of a message was stored in a queue of its topic. It is not early when it is due by
    /// the wall clock (which was set forward), nor when its delay is over (the clock was set back).
    pub(super) fn came(&mut self, id: usize, queue_id: i32, at: Moment, levels: &DelayLevels) {
        let sent = self.sent.get_mut(&id).expect("it was sent");
        let (offset, stored) = sent.waits.expect("it was stored");
        let due = |stored_ms| levels.due_ms(sent.level, stored_ms).unwrap();
        let is_due = at.wall_ms >= due(stored.wall_ms);
        let has_waited = at.true_ms >= due(stored.true_ms);
        assert!(is_due || has_waited, "message {id} came at {at:?}, which is early: {sent:?}");
        self.tally.by_delay += usize::from(!is_due);
        let at_ms = at.wall_ms;
        assert_eq!(queue_id, sent.queue_id, "message {id}: {sent:?}");
        assert!(!sent.is_counted, "message {id} came again at {at_ms}: {sent:?}");
        let newest = self.newest.insert(sent.level, offset).unwrap_or(-1);
        assert!(newest < offset, "message {id} came after number {newest}: {sent:?}");
        sent.came_ms = Some(at_ms);
    }

    /// A life ends, and nothing acknowledged is lost.
    pub(super) fn ended_cleanly(&mut self) {
        self.newest.clear();
        self.sent.values_mut().for_each(|sent| sent.is_counted |= sent.came_ms.take().is_some());
    }

    /// A life ends at this moment. What of the log lies behind `survives` may be gone.
    pub(super) fn ended(&mut self, now_ms: i64, survives: PhyOffset) {
        self.newest.clear();
        self.unclean += 1;
        for sent in self.sent.values_mut() {
            let is_lost = sent.end.is_some_and(|end| end > survives) && !sent.maybe_lost;
            sent.maybe_lost |= is_lost;
            self.tally.maybe_lost += usize::from(is_lost);
            sent.is_counted |= sent.came_ms.take().is_some_and(|at| at < now_ms - COUNTED_AFTER_MS);
        }
    }

    /// The highest level whose messages were sent decides how long everything takes, in
    /// milliseconds since 1970.
    pub(super) fn last_due_ms(&self, levels: &DelayLevels) -> i64 {
        let due =
            self.sent.values().filter_map(|sent| levels.due_ms(sent.level, sent.waits?.1.wall_ms));
        due.max().unwrap_or(0)
    }

    /// Everything is delivered; this is how often each message is in its topic.
    pub(super) fn compare(&mut self, found: &BTreeMap<usize, usize>) {
        for (id, sent) in &self.sent {
            let times = found.get(id).copied().unwrap_or(0);
            if sent.end.is_some() && !sent.maybe_lost {
                assert!(times > 0, "message {id} never came: {sent:?}");
            }
            assert!(times <= 1 + self.unclean, "message {id} came {times} times: {sent:?}");
            self.tally.sent += 1;
            self.tally.delivered += usize::from(times > 0);
            self.tally.again += times.saturating_sub(1);
        }
    }
}
