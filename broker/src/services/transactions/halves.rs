//! The transactions of one shard that have not ended. Pure: clock and records come in.
//!
//! ```text
//!   half queue:  … ended │ q3 open │ ended │ q5 open ┃ q6 ended │ q7 ? │ q8 ended │ q9 ? │ end
//!                        ▲ frontier                  ┃ cursor
//! ```
//!
//! A half message is looked at a moment after it was stored ([`Halves::look`]); one that has ended
//! by then never is, and costs a bit of a range. What is open then has a row: when its producers
//! are asked, and where its newest copy lies. Each question makes a copy at the queue's end, for
//! the count of questions is kept there.
//!
//! - **A transaction ends once**: one row, whichever of its copies a producer names. A row is busy
//!   while its end, or its copy, is on its way into the log.
//! - **Nothing below the frontier is open.** The frontier is saved, and a start reads on from
//!   there.

use super::facts::Facts;
use super::groups::{GroupId, Groups};
use super::ranges::Ranges;
use crate::config::TransactionOptions;
use engine::PhyOffset;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

/// How long after it was stored a half message is looked at: most transactions have ended by then.
const PATIENCE_MS_MAX: i64 = 1_000;
/// Before something is tried again that failed.
const AGAIN_MS: i64 = 1_000;
/// Half messages looked at in one go.
const LOOK_MESSAGES_MAX: i64 = 32;

/// A transaction that has not ended.
#[derive(Debug)]
struct Open {
    /// The offset that it had first, by which its copies are known.
    first: i64,
    /// Where its newest copy lies in the log.
    at: PhyOffset,
    /// When something is to be done about it, in milliseconds since 1970.
    due_ms: i64,
    /// When it is so old that its log file may be removed.
    expires_ms: i64,
    group: GroupId,
    state: State,
}

const _: () = assert!(size_of::<Open>() <= 48, "there may be a million of them");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until it is due.
    Waits,
    /// For a producer, or until it expires.
    Parked,
    /// For the log.
    Busy,
}

/// What looking at a half message did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is too fresh: look again after so many milliseconds.
    Wait(i64),
    /// It is open.
    Open,
    /// It is known already, open or ended.
    Known,
    /// It is open, or known by another copy; the half message at this offset counts no more.
    Supersedes(i64),
    /// Another copy of it is on its way into the log.
    Busy,
}

/// Whether a transaction may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayEnd {
    /// Yes. It is busy from now on.
    Yes(Current),
    /// Not now: it is busy.
    Busy,
    /// It has ended, or was given up.
    Over,
}

/// Where the newest copy of a transaction lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Current {
    /// Among the half messages.
    pub(super) offset: i64,
    /// In the log.
    pub(super) at: PhyOffset,
}

/// A transaction about which something is to be done. It is busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The offset of its newest copy.
    pub(super) offset: i64,
    /// Its producer group, and which of its producers is asked.
    pub(super) group: Option<(Rc<str>, usize)>,
    /// It is too old to be kept.
    pub(super) is_expired: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Halves {
    options: TransactionOptions,
    /// Everything below was looked at, or needs no look.
    cursor: i64,
    /// From the cursor on: what needs no look, because it has ended or is open.
    known: Ranges,
    /// By the offset of their newest copy.
    open: BTreeMap<i64, Open>,
    /// Due time and offset of those that are not busy.
    due: BTreeSet<(i64, i64)>,
    /// First offset → offset of the newest copy, of those that have copies.
    latest: HashMap<i64, i64>,
    groups: Groups,
}

impl Halves {
    /// None, and the half messages are looked at from `cursor` on.
    pub(super) fn new(options: TransactionOptions, cursor: i64) -> Self {
        Self {
            options,
            cursor,
            known: Ranges::default(),
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            latest: HashMap::new(),
            groups: Groups::default(),
        }
    }

    /// How long after it was stored a half message is looked at.
    pub(super) fn patience_ms(&self) -> i64 {
        self.options.time_out_ms.min(PATIENCE_MS_MAX)
    }

    /// An op message says that this one has ended.
    pub(super) fn ended_before(&mut self, offset: i64) {
        if offset >= self.cursor {
            self.known.insert(offset);
        }
    }

    /// The next half messages below `end` to look at: the first offset, and how many.
    pub(super) fn next_to_look(&mut self, end: i64) -> Option<(i64, i64)> {
        self.cursor = self.known.take_up_to_gap(self.cursor);
        let count = self.known.gap_at(self.cursor, LOOK_MESSAGES_MAX).min(end - self.cursor);
        (count > 0).then_some((self.cursor, count))
    }

    /// The half messages below `offset` are not there.
    pub(super) fn skip_to(&mut self, offset: i64) {
        self.cursor = self.cursor.max(offset);
        self.cursor = self.known.take_up_to_gap(self.cursor);
    }

    /// Looks at a half message, in the order of their offsets; with patience, not before it is old
    /// enough.
    pub(super) fn look(&mut self, facts: &Facts<'_>, now_ms: i64, is_patient: bool) -> Look {
        let offset = facts.offset;
        if offset < self.cursor || self.known.contains(offset) {
            return Look::Known;
        }
        let age_ms = now_ms.saturating_sub(facts.stored_ms);
        if is_patient && (0..self.patience_ms()).contains(&age_ms) {
            return Look::Wait(self.patience_ms() - age_ms);
        }
        let other = self.other_copy(facts);
        if let Some(other) = other
            && offset > other
        {
            if self.open[&other].state == State::Busy {
                return Look::Busy;
            }
            self.remove(other);
        }
        self.skip_to(offset + 1);
        match other {
            Some(newer) if newer > offset => Look::Supersedes(offset),
            other => {
                self.insert(facts, now_ms, State::Waits);
                other.map_or(Look::Open, Look::Supersedes)
            }
        }
    }

    /// Another open copy of the same transaction.
    fn other_copy(&self, facts: &Facts<'_>) -> Option<i64> {
        let latest = self.latest.get(&facts.first).copied();
        let first = || Some(facts.first).filter(|first| self.open.contains_key(first));
        latest.or_else(first).filter(|other| *other != facts.offset)
    }

    fn insert(&mut self, facts: &Facts<'_>, now_ms: i64, state: State) {
        let group = self.groups.enter(facts.group);
        let open = Open {
            first: facts.first,
            at: facts.at,
            due_ms: self.due_ms(facts, now_ms),
            expires_ms: facts.stored_ms.saturating_add(self.options.reserved_ms),
            group,
            state,
        };
        self.put(facts.offset, open);
    }

    fn put(&mut self, offset: i64, open: Open) {
        if open.first != offset {
            self.latest.insert(open.first, offset);
        }
        if open.state != State::Busy {
            self.due.insert((open.due_ms, offset));
        }
        self.open.insert(offset, open);
    }

    fn remove(&mut self, offset: i64) {
        let Some(open) = self.open.remove(&offset) else { return };
        self.due.remove(&(open.due_ms, offset));
        if self.latest.get(&open.first) == Some(&offset) {
            self.latest.remove(&open.first);
        }
        if open.state == State::Parked {
            self.groups.park(open.group, false);
        }
        self.groups.leave(open.group);
    }

    /// When its producers are asked: by the broker's clock, and never further away than its time
    /// out, which a clock that was set back would make it.
    fn due_ms(&self, facts: &Facts<'_>, now_ms: i64) -> i64 {
        let immunity_ms = self.immunity_ms(facts);
        let interval_ms = self.options.check_interval_ms;
        let due_ms = if facts.checks == 0 {
            facts.stored_ms.saturating_add(immunity_ms)
        } else {
            // Apache copies a half message in its immunity time too.
            let own_ms =
                facts.immunity_s.map_or(i64::MIN, |_| facts.born_ms.saturating_add(immunity_ms));
            facts.stored_ms.saturating_add(interval_ms).max(own_ms)
        };
        due_ms.min(now_ms.saturating_add(immunity_ms.max(interval_ms)))
    }

    /// How long after its beginning producers are not asked, in milliseconds. At most as long as
    /// its log file is kept: the first question then moves it to the log's end.
    pub(super) fn immunity_ms(&self, facts: &Facts<'_>) -> i64 {
        match facts.immunity_s {
            Some(seconds) if seconds >= 0 => seconds
                .saturating_mul(1_000)
                .min(self.options.reserved_ms.max(self.options.time_out_ms)),
            _ => self.options.time_out_ms,
        }
    }

    /// A producer ends the transaction of this half message, any of its copies.
    pub(super) fn begin_end(&mut self, facts: &Facts<'_>, now_ms: i64) -> MayEnd {
        let own = Some(facts.offset).filter(|offset| self.open.contains_key(offset));
        let Some(offset) = self.other_copy(facts).or(own) else {
            if facts.offset < self.cursor || self.known.contains(facts.offset) {
                return MayEnd::Over;
            }
            self.known.insert(facts.offset);
            self.insert(facts, now_ms, State::Busy);
            return MayEnd::Yes(Current { offset: facts.offset, at: facts.at });
        };
        if self.open[&offset].state == State::Busy {
            return MayEnd::Busy;
        }
        self.make_busy(offset);
        MayEnd::Yes(Current { offset, at: self.open[&offset].at })
    }

    fn make_busy(&mut self, offset: i64) {
        let open = self.open.get_mut(&offset).expect("it was looked up");
        self.due.remove(&(open.due_ms, offset));
        if open.state == State::Parked {
            self.groups.park(open.group, false);
        }
        open.state = State::Busy;
    }

    /// The end of a busy transaction is in the log.
    pub(super) fn ended(&mut self, offset: i64) {
        self.remove(offset);
    }

    /// Nothing became of what made it busy; it is due again a little later.
    pub(super) fn failed(&mut self, offset: i64, now_ms: i64) {
        self.wait(offset, State::Waits, now_ms.saturating_add(AGAIN_MS));
    }

    /// What made it busy is put off; it is due at once.
    pub(super) fn put_back(&mut self, offset: i64, now_ms: i64) {
        self.wait(offset, State::Waits, now_ms);
    }

    /// It has no producer: it waits for one, or until it expires.
    pub(super) fn park(&mut self, offset: i64, now_ms: i64) {
        let Some(open) = self.open.get(&offset) else { return };
        let soonest_ms = now_ms.saturating_add(self.options.check_interval_ms);
        let due_ms = open.expires_ms.max(soonest_ms);
        self.groups.park(open.group, true);
        self.wait(offset, State::Parked, due_ms);
    }

    fn wait(&mut self, offset: i64, state: State, due_ms: i64) {
        let Some(open) = self.open.get_mut(&offset) else { return };
        (open.state, open.due_ms) = (state, due_ms);
        self.due.insert((due_ms, offset));
    }

    /// A copy of it, at this place since this time, counts instead. Its producers were asked, or it
    /// only had to be copied.
    pub(super) fn renewed(&mut self, offset: i64, copy: Current, stored_ms: i64) {
        let Some(mut open) = self.open.remove(&offset) else { return };
        self.due.remove(&(open.due_ms, offset));
        if open.state == State::Parked {
            self.groups.park(open.group, false);
        }
        self.known.insert(copy.offset);
        (open.at, open.state) = (copy.at, State::Waits);
        open.expires_ms = stored_ms.saturating_add(self.options.reserved_ms);
        open.due_ms = stored_ms.saturating_add(self.options.check_interval_ms);
        self.put(copy.offset, open);
    }

    /// The next about which something is to be done by now.
    pub(super) fn take_due(&mut self, now_ms: i64) -> Option<Due> {
        let (due_ms, offset) = *self.due.first()?;
        if due_ms > now_ms {
            return None;
        }
        self.make_busy(offset);
        let open = &self.open[&offset];
        let is_expired = open.expires_ms <= now_ms;
        Some(Due { offset, group: self.groups.next_turn(open.group), is_expired })
    }

    /// When something is to be done next, in milliseconds since 1970.
    pub(super) fn next_due_ms(&self) -> Option<i64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// A producer of a group is there: those that waited for one are due. Whether there are any.
    pub(super) fn producer_came(&mut self, group: &str, now_ms: i64) -> bool {
        let Some(id) = self.groups.parked(group) else { return false };
        let parked = self
            .open
            .iter()
            .filter(|(_, open)| open.group == Some(id) && open.state == State::Parked);
        for offset in parked.map(|(offset, _)| *offset).collect::<Vec<_>>() {
            self.make_busy(offset);
            self.wait(offset, State::Waits, now_ms);
        }
        true
    }

    /// Nothing below is open.
    pub(super) fn frontier(&self) -> i64 {
        self.open.first_key_value().map_or(self.cursor, |(first, _)| self.cursor.min(*first))
    }

    /// How many transactions have not ended, of half messages below `end`.
    pub(super) fn count(&self, end: i64) -> usize {
        let not_looked_at = (end - self.cursor).saturating_sub(self.known.len()).max(0);
        self.open.len() + usize::try_from(not_looked_at).expect("it is not negative")
    }

    /// The open ones: offset, and place in the log.
    pub(super) fn each(&self) -> impl Iterator<Item = Current> + '_ {
        self.open.iter().map(|(offset, open)| Current { offset: *offset, at: open.at })
    }

    /// Whether the newest copy of an open transaction has this offset.
    pub(super) fn is_open(&self, offset: i64) -> bool {
        self.open.contains_key(&offset)
    }

    /// May it be asked once more?
    pub(super) fn checks_max(&self) -> i32 {
        self.options.checks_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: TransactionOptions = TransactionOptions {
        are_rejected: false,
        time_out_ms: 6_000,
        checks_max: 3,
        check_interval_ms: 30_000,
        reserved_ms: 72 * 3_600_000,
    };

    fn facts(offset: i64, stored_ms: i64) -> Facts<'static> {
        let at = PhyOffset(offset.unsigned_abs() * 100);
        Facts {
            offset,
            at,
            first: offset,
            checks: 0,
            stored_ms,
            born_ms: stored_ms,
            immunity_s: None,
            group: "p",
        }
    }

    fn current(offset: i64) -> Current {
        Current { offset, at: PhyOffset(offset.unsigned_abs() * 100) }
    }

    /// Looks at everything below `end`, all stored at 0.
    fn look_at_all(halves: &mut Halves, end: i64, now_ms: i64) {
        while let Some((at, _)) = halves.next_to_look(end) {
            assert_eq!(halves.look(&facts(at, 0), now_ms, true), Look::Open);
        }
    }

    #[test]
    fn what_ended_before_it_was_looked_at_is_never_looked_at() {
        let mut halves = Halves::new(OPTIONS, 0);
        for offset in [2, 0, 1] {
            assert_eq!(halves.begin_end(&facts(offset, 0), 5), MayEnd::Yes(current(offset)));
            halves.ended(offset);
        }
        assert_eq!((halves.next_to_look(3), halves.frontier(), halves.count(3)), (None, 3, 0));
        assert!(halves.groups.is_empty() && halves.known.len() == 0);
        assert_eq!(halves.next_to_look(4), Some((3, 1)));
        assert_eq!(halves.look(&facts(3, 0), 400, true), Look::Wait(600));
        assert_eq!(halves.look(&facts(3, 0), 1_000, true), Look::Open);
        assert_eq!((halves.next_due_ms(), halves.frontier()), (Some(6_000), 3));
    }

    #[test]
    fn a_transaction_ends_once_by_whatever_copy() {
        let mut halves = Halves::new(OPTIONS, 0);
        look_at_all(&mut halves, 2, 1_000);
        assert_eq!(halves.take_due(5_999), None);
        assert_eq!(halves.take_due(6_000).unwrap().offset, 0);
        assert_eq!(halves.begin_end(&facts(0, 0), 6_000), MayEnd::Busy);
        halves.renewed(0, current(2), 6_000);
        assert_eq!(halves.next_to_look(3), None, "the copy is known");
        let copy = Facts { first: 0, checks: 1, ..facts(2, 6_000) };
        assert_eq!(halves.begin_end(&facts(0, 0), 7_000), MayEnd::Yes(current(2)));
        assert_eq!(halves.begin_end(&copy, 7_000), MayEnd::Busy);
        halves.failed(2, 7_000);
        assert_eq!(halves.begin_end(&copy, 7_000), MayEnd::Yes(current(2)));
        halves.ended(2);
        for old in [facts(0, 0), copy] {
            assert_eq!(halves.begin_end(&old, 8_000), MayEnd::Over);
        }
        assert_eq!((halves.frontier(), halves.count(3)), (1, 1));
        assert!(halves.latest.is_empty());
    }

    #[test]
    fn of_two_copies_the_newer_counts() {
        let mut halves = Halves::new(OPTIONS, 0);
        look_at_all(&mut halves, 1, 1_000);
        let copy = Facts { first: 0, checks: 1, ..facts(1, 6_000) };
        assert_eq!(halves.look(&copy, 8_000, true), Look::Supersedes(0));
        assert_eq!(halves.begin_end(&facts(0, 0), 8_000), MayEnd::Yes(current(1)));
        halves.ended(1);
        assert_eq!((halves.count(2), halves.frontier()), (0, 2));
    }

    #[test]
    fn without_a_producer_a_transaction_waits_until_one_comes_or_it_expires() {
        let mut halves = Halves::new(OPTIONS, 0);
        look_at_all(&mut halves, 2, 1_000);
        for offset in [0, 1] {
            assert_eq!(halves.take_due(7_000).unwrap().offset, offset);
            halves.park(offset, 7_000);
        }
        assert_eq!(halves.next_due_ms(), Some(OPTIONS.reserved_ms));
        assert!(!halves.producer_came("q", 8_000));
        assert_eq!(halves.begin_end(&facts(1, 0), 8_000), MayEnd::Yes(current(1)));
        halves.ended(1);
        assert!(halves.producer_came("p", 8_000) && !halves.producer_came("p", 8_000));
        assert_eq!(halves.take_due(8_000).map(|due| due.offset), Some(0));
        halves.park(0, 8_000);
        assert!(halves.take_due(OPTIONS.reserved_ms).unwrap().is_expired);
        halves.ended(0);
        assert!(halves.groups.is_empty() && halves.due.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer_than_once_more() {
        let mut halves = Halves::new(OPTIONS, 0);
        assert_eq!(halves.look(&facts(0, 1_000_000), 5_000, true), Look::Open);
        assert_eq!(halves.next_due_ms(), Some(35_000));
    }

    #[test]
    fn what_is_open_is_counted_whether_it_was_looked_at_or_not() {
        let mut halves = Halves::new(OPTIONS, 10);
        look_at_all(&mut halves, 15, 1_000);
        assert_eq!(halves.begin_end(&facts(20, 0), 0), MayEnd::Yes(current(20)));
        assert_eq!(halves.count(100), 90);
        halves.ended(20);
        assert_eq!(halves.count(100), 89);
    }
}
