//! Scanned records into their queues, each at its own queue offset; what does not follow its queue
//! is looked at twice.
//!
//! | the record's queue offset | |
//! |---|---|
//! | the queue's end | put there |
//! | above it, and damage so far can have taken those between | they get places without message, then it is put |
//! | above it, only the end of a log is scanned that takes another broker's records | as above |
//! | anything else, while only the end of the log is scanned | the files and the log disagree: all is built anew from the log |
//! | anything else, while the whole log is scanned | suspect, until the queue's next record tells which of the two is right |
//!
//! A suspect whose follower goes on from it is right: the topic was deleted and began anew (what
//! the queue had from there on is forgotten), or messages are missing. One whose follower goes on
//! from the queue's end has a damaged queue offset: BODYCRC does not cover it, the record is
//! reported and never served. Damage between a suspect and its follower may have taken messages of
//! their queue: "goes on" then leaves that many out.
//!
//! Where no manifest knows of a deletion (there is none, or a crash came before the deletion was
//! written) nothing on disk says that there was one: the records stay in the log. A queue that goes
//! back to a lower offset began anew, and nothing from before is served, also where damage took its
//! first messages. Where damage took so many of the new topic's messages that the first left has an
//! offset at or above the old queue's end, the log looks just as that of one queue that lost
//! messages to damage. It is taken for that: the old messages are served, for giving up what was
//! acknowledged is the worse error of the two. The start says so (a damaged manifest: "topics
//! deleted before may be back").
//!
//! A record that can be in no queue ([`crate::consumequeue::dispatch::is_queue`]) is damage: it
//! stays in the log and is read at its place there. If a flipped bit made it so, its queue misses
//! it.

use super::damage::Damage;
use crate::commitlog::files::LogFiles;
use crate::config::StoreConfig;
use crate::consumequeue::dispatch::{QueuePosition, RecordUnits, is_lmq};
use crate::consumequeue::queues::Queues;
use crate::consumequeue::table::QueueKey;
use crate::consumequeue::unit::Unit;
use crate::limits::MISSING_UNITS_MAX;
use crate::manifest::Manifest;
use crate::offset::{PhyOffset, QueueOffset};
use protocol::record::RecordView;
use protocol::sys_flag::INNER_BATCH;
use rt::Runtime;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A record that does not follow its queue: all must be built from the log.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) at: u64,
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) expected: i64,
    pub(super) found: i64,
}

/// See the module's text.
#[derive(Clone, Copy)]
struct Suspect {
    offset: QueueOffset,
    unit: Unit,
    /// Messages that damage before it can have taken.
    damaged_before: u64,
    /// Its queue is not the record's own: the offset is a property, which is no damage when wrong.
    is_light: bool,
}

impl Suspect {
    /// Whether it is the message behind the one at `offset`, but for those that damage since
    /// `suspect` can have taken.
    fn goes_on_from(self, suspect: Self, offset: QueueOffset) -> bool {
        let taken = self.damaged_before - suspect.damaged_before;
        self.offset > offset && self.offset.since(offset.plus(1)) as u64 <= taken
    }

    /// Whether `suspect` is right. Where damage leaves both possible, a first message means a topic
    /// that began anew, and any other a damaged queue offset.
    fn proves(self, suspect: Self, next: QueueOffset) -> bool {
        let is_next = self.offset == suspect.offset.plus(1);
        let fits_old = self.offset == next || self.goes_on_from(suspect, next);
        self.goes_on_from(suspect, suspect.offset)
            && (is_next || suspect.offset == QueueOffset(0) || !fits_old)
    }
}

/// The units that the queues have from their files.
pub(super) struct Listed {
    /// All of records below this place of the log,
    pub(super) log_end: u64,
    /// but for these queues.
    pub(super) behind: HashMap<QueueKey, Behind>,
}

/// A queue of which not all units are in its files.
pub(super) struct Behind {
    /// Those of records below this place of the log are.
    pub(super) from: u64,
    /// Where the queue ends at the log end that the manifest says.
    pub(super) end: QueueOffset,
}

/// What a fill is given.
pub(super) struct FillFrom<'a, R: Runtime> {
    pub(super) config: &'a StoreConfig,
    pub(super) log: &'a LogFiles<R>,
    pub(super) queues: &'a Queues<R>,
    /// Topic to log offset below which its records are deleted.
    pub(super) deleted: &'a BTreeMap<String, u64>,
    /// The light message queues that are known: their folders were there, or the manifest lists
    /// them. A client's property alone makes none.
    pub(super) light_queues: &'a HashSet<String>,
    /// The log has another broker's records: their queue offsets are what they are, gaps too.
    pub(super) takes_gaps: bool,
    /// Which units are in their files already; `None` while the whole log is scanned.
    pub(super) listed: Option<&'a Listed>,
}

pub(super) struct QueueFill<'a, R: Runtime> {
    from: FillFrom<'a, R>,
    /// Whether the whole log is scanned.
    is_whole: bool,
    suspects: HashMap<QueueKey, Suspect>,
    anew: HashSet<QueueKey>,
    pub(super) damage: Damage,
}

impl<'a, R: Runtime> QueueFill<'a, R> {
    pub(super) fn new(from: FillFrom<'a, R>, is_whole: bool) -> Self {
        Self {
            from,
            is_whole,
            suspects: HashMap::new(),
            anew: HashSet::new(),
            damage: Damage::default(),
        }
    }

    /// Puts the record at `at` into its queues.
    pub(super) fn put(&mut self, record: &RecordView<'_>, at: u64) -> Result<(), Gap> {
        let levels = &self.from.config.delay_levels;
        let Some(units) = RecordUnits::of(record, PhyOffset(at), levels) else { return Ok(()) };
        if !units.own.is_in_a_queue() {
            let found = "a record whose topic is no folder's name, or whose queue id is none";
            self.damage.report(self.from.log, at, units.unit.end(), found);
            return Ok(());
        }
        let is_batch = record.sys_flag() & INNER_BATCH != 0;
        self.put_unit(units.own, units.unit, is_batch)?;
        let (builds_all, known) = (self.from.config.builds_light_queues, self.from.light_queues);
        if builds_all || !known.is_empty() {
            for position in units.light().filter(|it| builds_all || known.contains(it.topic)) {
                self.put_unit(position, units.unit, false)?;
            }
        }
        Ok(())
    }

    fn put_unit(
        &mut self,
        position: QueuePosition<'_>,
        unit: Unit,
        is_batch: bool,
    ) -> Result<(), Gap> {
        let (at, offset) = (unit.at.0, position.offset);
        if self.from.deleted.get(position.topic).is_some_and(|below| at < *below) {
            return Ok(());
        }
        if self.is_listed(&position, at) {
            return Ok(());
        }
        let is_light = is_lmq(position.topic);
        let damaged_before = self.damage.messages_max();
        let met = Suspect { offset, unit, damaged_before, is_light };
        if !position.is_possible_at(unit.at) {
            self.report(met);
            return Ok(());
        }
        let Some(key) = self.key(position) else { return Ok(()) };
        let next = self.next(key);
        if let Some(suspect) = self.suspects.remove(&key) {
            self.decide(key, suspect, met);
        } else if offset == next {
            self.push(key, unit);
        } else if offset > next && offset.since(next) as u64 <= self.damage.messages_max() {
            self.push_missing(key, offset, self.damage.last_at);
            self.push(key, unit);
        } else if self.from.takes_gaps && !self.is_whole && offset > next && self.accept(key, met) {
            // Said and done.
        } else if self.is_whole && !is_batch {
            self.suspects.insert(key, met);
        } else {
            return Err(Gap {
                at,
                topic: position.topic.to_owned(),
                queue_id: position.queue_id,
                expected: next.0,
                found: offset.0,
            });
        }
        Ok(())
    }

    /// Whether the unit is one of those that the manifest lists: below its log end only queues that
    /// are behind take in what they miss. Which these are the log's place says, not the queue
    /// offset: that one may be of a deleted topic of the same name.
    fn is_listed(&self, position: &QueuePosition<'_>, at: u64) -> bool {
        let Some(listed) = self.from.listed.filter(|listed| at < listed.log_end) else {
            return false;
        };
        let key = self.from.queues.table.borrow().key(position.topic, position.queue_id);
        let behind = key.and_then(|key| listed.behind.get(&key));
        behind.is_none_or(|behind| at < behind.from)
    }

    /// A queue whose first message is met at `offset` begins there, unless damage took those before
    /// it.
    fn key(&self, position: QueuePosition<'_>) -> Option<QueueKey> {
        let QueuePosition { topic, queue_id, offset } = position;
        let may_be_damaged = self.from.log.begin() == 0
            && u64::try_from(offset.0).is_ok_and(|before| before <= self.damage.messages_max());
        let first = if may_be_damaged { QueueOffset(0) } else { offset };
        self.from.queues.table.borrow_mut().key_or_new(topic, queue_id, first)
    }

    fn next(&self, key: QueueKey) -> QueueOffset {
        self.from.queues.table.borrow().get(key).map_or(QueueOffset(0), |queue| queue.next)
    }

    fn push(&self, key: QueueKey, unit: Unit) {
        self.from.queues.table.borrow_mut().push(key, unit);
    }

    /// Places without message up to `upto`.
    fn push_missing(&self, key: QueueKey, upto: QueueOffset, damage_at: u64) {
        let mut table = self.from.queues.table.borrow_mut();
        let next = table.get(key).map_or(upto, |queue| queue.next);
        for _ in 0..upto.since(next) {
            table.push(key, Unit::missing(damage_at));
        }
    }

    fn report(&mut self, suspect: Suspect) {
        let Suspect { offset, unit, .. } = suspect;
        if suspect.is_light {
            tracing::warn!(
                at = unit.at.0,
                offset = offset.0,
                "INNER_MULTI_QUEUE_OFFSET of a record does not follow its light message queue: \
                    left out there"
            );
            return;
        }
        self.damage.report(
            self.from.log,
            unit.at.0,
            unit.end(),
            &format!("a record whose queue offset {offset} does not follow its queue"),
        );
    }

    /// The queue's next record after a suspect.
    fn decide(&mut self, key: QueueKey, suspect: Suspect, follower: Suspect) {
        let next = self.next(key);
        if follower.proves(suspect, next) && self.accept(key, suspect) {
            self.push_missing(key, follower.offset, self.damage.last_at);
            self.push(key, follower.unit);
        } else if follower.goes_on_from(suspect, next) {
            let damage_at = self.damage.last_at;
            self.report(suspect);
            self.push(key, Unit::missing(suspect.unit.at.0));
            self.push_missing(key, follower.offset, damage_at);
            self.push(key, follower.unit);
        } else if follower.offset == next {
            self.report(suspect);
            self.push(key, follower.unit);
        } else {
            self.report(suspect);
            self.suspects.insert(key, follower);
        }
    }

    /// Puts a suspect at its own offset.
    fn accept(&mut self, key: QueueKey, suspect: Suspect) -> bool {
        let next = self.next(key);
        let first = if suspect.offset < next { QueueOffset(0) } else { next };
        if suspect.offset.since(first) > MISSING_UNITS_MAX {
            return false;
        }
        if suspect.offset < next {
            // Nothing of the deleted topic is left: where damage took the new one's first messages,
            // their places are without message.
            self.from.queues.table.borrow_mut().truncate(key, QueueOffset(0));
            self.push_missing(key, suspect.offset, suspect.unit.at.0);
            self.anew.insert(key);
        } else {
            let path = self.from.log.path_of(suspect.unit.at.0);
            let in_file = suspect.unit.at.0 % self.from.log.file_bytes();
            tracing::error!(
                path = %path.display(), offset = in_file, expected = next.0,
                found = suspect.offset.0, "messages of a queue are nowhere in the log"
            );
            self.push_missing(key, suspect.offset, suspect.unit.at.0);
        }
        self.push(key, suspect.unit);
        true
    }

    /// What is still undecided at the end of the log; and queues that were longer than what was
    /// found of them.
    pub(super) fn finish(&mut self, listed: Option<&Manifest>) {
        for (key, suspect) in std::mem::take(&mut self.suspects) {
            // A topic that began anew with one message yet, or a gap at the end of a copied log.
            let is_gap = self.from.takes_gaps && suspect.offset > self.next(key);
            let is_decided =
                (suspect.offset == QueueOffset(0) || is_gap) && self.accept(key, suspect);
            if !is_decided {
                self.report(suspect);
                if !suspect.is_light {
                    self.push(key, Unit::missing(suspect.unit.at.0));
                }
            }
        }
        if self.damage.bytes > 0
            && let Some(manifest) = listed
        {
            self.fill_up(manifest);
        }
        self.keep_ends(listed);
        self.fill_up_behind();
    }

    /// Damage may have taken the last messages of a queue that is behind: their places stay.
    fn fill_up_behind(&mut self) {
        let Some(listed) = self.from.listed else { return };
        for (key, Behind { end, .. }) in &listed.behind {
            let next = self.next(*key);
            if next < *end && end.since(next) as u64 <= self.damage.messages_max() {
                self.push_missing(*key, *end, self.damage.last_at);
            }
        }
    }

    /// A queue whose every message has left the log goes on where it ended: a group that stands
    /// there must not meet other messages at offsets it has passed.
    fn keep_ends(&self, listed: Option<&Manifest>) {
        let mut table = self.from.queues.table.borrow_mut();
        for (topic, queues) in listed.iter().flat_map(|manifest| &manifest.queues) {
            for (queue_id, listed) in queues {
                if table.key(topic, *queue_id).is_none() {
                    table.insert(
                        topic,
                        *queue_id,
                        QueueOffset(listed.max),
                        QueueOffset(listed.max),
                    );
                }
            }
        }
    }

    fn fill_up(&mut self, manifest: &Manifest) {
        for (topic, queues) in &manifest.queues {
            for (queue_id, listed) in queues {
                let (min, max) = (QueueOffset(listed.min), QueueOffset(listed.max));
                let known = self.from.queues.table.borrow().key(topic, *queue_id);
                let next = known.map_or(min, |key| self.next(key));
                let is_explained =
                    (1..=self.damage.messages_max()).contains(&(max.since(next) as u64));
                if !is_explained || known.is_some_and(|key| self.anew.contains(&key)) {
                    continue;
                }
                let key = self.from.queues.table.borrow_mut().key_or_new(topic, *queue_id, min);
                if let Some(key) = key {
                    self.push_missing(key, max, self.damage.last_at);
                }
            }
        }
    }
}
