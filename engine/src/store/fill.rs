//! Scanned records into their queues, each at its own queue offset; what does not follow its queue
//! is looked at twice.
//!
//! | the record's queue offset | |
//! |---|---|
//! | the queue's end | put there |
//! | above it, and damage so far can have taken those between | they get places without message, then it is put |
//! | anything else, while only the end of the log is scanned | the files and the log disagree: all is built anew from the log |
//! | anything else, while the whole log is scanned | suspect, until the queue's next record tells which of the two is right |
//!
//! A suspect whose follower goes on from it is right: the topic was deleted and began anew (what
//! the queue had from there on is forgotten), or messages are missing. One whose follower goes on
//! from the queue's end has a damaged queue offset: BODYCRC does not cover it, the record is
//! reported and never served. Damage between a suspect and its follower may have taken messages of
//! their queue: "goes on" then leaves that many out.

use super::damage::Damage;
use crate::commitlog::files::LogFiles;
use crate::config::StoreConfig;
use crate::consumequeue::dispatch::{QueuePosition, is_indexed, is_lmq, lmq_offsets, tags_code_of};
use crate::consumequeue::queues::Queues;
use crate::consumequeue::table::QueueKey;
use crate::consumequeue::unit::Unit;
use crate::limits::MISSING_UNITS_MAX;
use crate::manifest::Manifest;
use crate::number::exact;
use crate::offset::{PhyOffset, QueueOffset};
use protocol::record::{RECORD_BYTES_MIN, RecordView};
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
    /// Which units are in their files already; `None` while the whole log is scanned.
    pub(super) listed: Option<&'a Manifest>,
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
        if !is_indexed(record.sys_flag()) {
            return Ok(());
        }
        let tags_code = tags_code_of(record, &self.from.config.delay_levels);
        let unit = Unit { at: PhyOffset(at), size: exact(record.total_size()), tags_code };
        let is_batch = record.sys_flag() & INNER_BATCH != 0;
        self.put_unit(QueuePosition::own(record), unit, is_batch)?;
        if self.from.config.builds_light_queues || !self.from.light_queues.is_empty() {
            for (name, offset) in lmq_offsets(record) {
                if self.from.config.builds_light_queues || self.from.light_queues.contains(name) {
                    self.put_unit(QueuePosition::lmq((name, offset)), unit, false)?;
                }
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
        // Every message before it in its queue took so many bytes of the log at least.
        if !u64::try_from(offset.0).is_ok_and(|messages| messages <= at / RECORD_BYTES_MIN as u64) {
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
    /// are behind take in what they miss.
    fn is_listed(&self, position: &QueuePosition<'_>, at: u64) -> bool {
        let QueuePosition { topic, queue_id, offset } = *position;
        self.from.listed.filter(|manifest| at < manifest.log_end).is_some_and(|manifest| {
            let key = || self.from.queues.table.borrow().key(topic, queue_id);
            manifest.lists(topic, queue_id, at) || key().is_some_and(|key| offset < self.next(key))
        })
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
        if suspect.offset.since(next) > MISSING_UNITS_MAX {
            return false;
        }
        if suspect.offset < next {
            self.from.queues.table.borrow_mut().truncate(key, suspect.offset);
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
            // A topic that began anew with one message yet.
            let is_decided = suspect.offset == QueueOffset(0) && self.accept(key, suspect);
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
