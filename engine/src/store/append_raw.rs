//! Another broker's log, taken as it is: whole records and the blanks that end files, byte for
//! byte, at exactly the log's end.
//!
//! ```text
//!   bytes ─► every record whole, in its place, of a queue it fits? ─► room for all ─► copied ─► ConsumeQueue units ─► arrivals
//!              │ no                                                    │ no
//!              └─► RawError: nothing happened                          └─► TailFull: nothing happened
//! ```
//!
//! What differs from own appends:
//!
//! - Offsets and times are the records'. A queue begins at its first record's offset; messages
//!   missing before a record get places without message. The clock goes on from the store time.
//! - A zero byte in properties is the other broker's and no sign of a torn record. A store that
//!   takes foreign records ([`LogSource`], kept in the manifest before the first is taken) has no
//!   own ones from then on; once it takes its own again, those from that moment on are strict.
//! - After an unclean stop such a log ends at the first break behind what is known to be flushed,
//!   under SYNC_FLUSH too: a copy has no holes, and the other broker has what follows.
//!
//! Light message queues take the units that recovery would give them: of every name with
//! `builds_light_queues`, else of those that are there.

use super::append::Appended;
use super::{Inner, Store};
use crate::commitlog::scan::{ScanLimits, Scanned, scan_one};
use crate::config::LogSource;
use crate::consumequeue::dispatch::{QueuePosition, RecordUnits, is_indexed};
use crate::consumequeue::table::{QueueKey, QueueTable};
use crate::consumequeue::unit::Unit;
use crate::error::{AppendError, RawError, StoreError};
use crate::limits::{MISSING_UNITS_MAX, QUEUE_ID_MAX};
use crate::number::exact;
use crate::offset::{PhyOffset, QueueOffset};
use crate::paths::is_folder_name;
use foldhash::HashMap;
use protocol::record::{RECORD_BYTES_MIN, RecordView};
use protocol::sys_flag::INNER_BATCH;
use rt::Runtime;

/// Where queues go on while records are checked that are not in them yet. Reused, so that a known
/// queue allocates nothing.
#[derive(Default)]
pub(super) struct RawQueues {
    known: HashMap<QueueKey, i64>,
    new: HashMap<(String, i32), i64>,
    /// Places without message so far.
    missing: usize,
}

impl RawQueues {
    fn clear(&mut self) {
        self.known.clear();
        self.new.clear();
        self.missing = 0;
    }
}

/// What lies at a place of the bytes.
enum Piece<'a> {
    Record(RecordView<'a>),
    Blank(&'a [u8]),
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Record(record) => record.total_size(),
            Self::Blank(bytes) => bytes.len(),
        }
    }
}

impl<R: Runtime> Store<R> {
    /// Whose records the log takes.
    #[must_use]
    pub fn source(&self) -> LogSource {
        self.inner.writing.source.get()
    }

    /// Changes whose records the log takes. When it returns the change survives a crash; it
    /// survives a restart too. Appends meanwhile are refused as with a full tail.
    pub async fn set_source(&self, source: LogSource) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.whole(async move { inner.set_source(source).await }).await
    }

    /// Appends bytes of another broker's log: whole records, and blanks that end files, as they
    /// are. `at` is where they lie there, and where this log ends. All or nothing; returns the new
    /// end. At most [`crate::StoreConfig::raw_bytes_max`] at once.
    ///
    /// After [`AppendError::TailFull`] wait for [`Store::wait_writable`] and try again.
    pub fn append_raw(&self, at: PhyOffset, whole: &[u8]) -> Result<PhyOffset, RawError> {
        let inner = &*self.inner;
        inner.check_open()?;
        if inner.writing.source.get() != LogSource::Foreign {
            return Err(RawError::NotForeign);
        }
        let end = inner.watermarks.appended();
        if at != end {
            return Err(RawError::NotAtEnd { at, end });
        }
        let limit = inner.env.config.raw_bytes_max();
        if whole.len() > limit {
            return Err(RawError::TooLarge { found: whole.len(), limit });
        }
        inner.check();
        inner.check_raw(whole)?;
        inner.make_raw_room(whole.len())?;
        let mut done = 0;
        while let Some(rest) = whole.get(done..).filter(|rest| !rest.is_empty()) {
            let piece = inner.piece_at(rest, inner.watermarks.appended().0)?;
            done += piece.len();
            match piece {
                Piece::Record(record) => inner.put_raw(&record),
                Piece::Blank(bytes) => inner.put_raw_blank(bytes),
            }
        }
        inner.check();
        inner.writing.append_ended();
        Ok(inner.watermarks.appended())
    }
}

/// Lets appends in again when dropped.
pub(super) struct Shut<'a, R: Runtime>(&'a Inner<R>);

impl<R: Runtime> Drop for Shut<'_, R> {
    fn drop(&mut self) {
        self.0.writing.is_shut.set(false);
        self.0.writing.written.notify();
    }
}

impl<R: Runtime> Inner<R> {
    async fn set_source(&self, source: LogSource) -> Result<(), StoreError> {
        let _turn = self.derived.turn.take().await;
        if source == self.writing.source.get() {
            return Ok(());
        }
        let before = (self.writing.source.get(), self.writing.own_from.get());
        let shut = self.shut();
        let own_from = match source {
            LogSource::Own => self.watermarks.appended().0,
            LogSource::Foreign => u64::MAX,
        };
        self.writing.source.set(source);
        self.writing.own_from.set(own_from);
        if let Err(error) = self.write_checkpoint().await {
            self.writing.source.set(before.0);
            self.writing.own_from.set(before.1);
            // Nobody knows which manifest is there: the wrong one must not meet later records.
            if self.write_checkpoint().await.is_err() {
                self.poison_with(&error);
            }
            return Err(error);
        }
        drop(shut);
        Ok(())
    }

    /// Refuses appends, as with a full tail, until the guard is dropped. The caller has the turn of
    /// the derived files, so that there is one guard at a time.
    pub(super) fn shut(&self) -> Shut<'_, R> {
        let was_shut = self.writing.is_shut.replace(true);
        assert!(!was_shut, "one at a time shuts the log");
        Shut(self)
    }

    fn piece_at<'b>(&self, bytes: &'b [u8], at: u64) -> Result<Piece<'b>, RawError> {
        let limits = ScanLimits {
            file_bytes: self.writing.log.file_bytes(),
            record_bytes_max: self.env.config.record_bytes_max(),
            strict_from: u64::MAX,
            strict_from_ms: 0,
        };
        let wrong = |found: String| Err(RawError::Record { at: PhyOffset(at), found });
        let too_short = |needed: usize| {
            wrong(format!("{} bytes of at least {needed} that it has", bytes.len()))
        };
        match scan_one(bytes, at, limits) {
            Scanned::Record(record) => Ok(Piece::Record(record)),
            Scanned::Blank => {
                let left_in_file: usize = exact(limits.file_bytes - at % limits.file_bytes);
                bytes
                    .get(..left_in_file)
                    .map(Piece::Blank)
                    .map_or_else(|| too_short(left_in_file), Ok)
            }
            Scanned::NeedsBytes(needed) => too_short(needed),
            Scanned::End(found) => wrong(found),
        }
    }

    /// Every record is whole, in its place, and fits its queue.
    fn check_raw(&self, whole: &[u8]) -> Result<(), RawError> {
        let mut queues = self.writing.raw_queues.borrow_mut();
        queues.clear();
        let (mut at, mut rest) = (self.watermarks.appended().0, whole);
        while !rest.is_empty() {
            let piece = self.piece_at(rest, at)?;
            if let Piece::Record(record) = &piece {
                self.check_raw_record(record, PhyOffset(at), &mut queues)?;
            }
            at += piece.len() as u64;
            rest = rest.get(piece.len()..).unwrap_or_default();
        }
        Ok(())
    }

    fn check_raw_record(
        &self,
        record: &RecordView<'_>,
        at: PhyOffset,
        queues: &mut RawQueues,
    ) -> Result<(), RawError> {
        let (topic, queue_id) = (record.topic(), record.queue_id());
        if !is_folder_name(topic) {
            return Err(RawError::Topic { at, topic: topic.to_owned() });
        }
        if !(0..=QUEUE_ID_MAX).contains(&queue_id) {
            return Err(RawError::QueueId { at, found: queue_id, limit: QUEUE_ID_MAX });
        }
        if record.sys_flag() & INNER_BATCH != 0 {
            let found = "an inner batch: topics with queue.type=BatchCQ are not in this version";
            return Err(RawError::Record { at, found: found.to_owned() });
        }
        if !is_indexed(record.sys_flag()) {
            return Ok(());
        }
        let found = record.queue_offset();
        let expected = self.raw_next(topic, queue_id, queues);
        let gap = expected.and_then(|expected| usize::try_from(found.checked_sub(expected)?).ok());
        let missing = gap.or(expected.is_none().then_some(0));
        // Every message before it in its queue took so many bytes of the log at least.
        let is_possible =
            u64::try_from(found).is_ok_and(|messages| messages <= at.0 / RECORD_BYTES_MIN as u64);
        match missing.map(|missing| queues.missing + missing) {
            Some(missing) if is_possible && missing <= MISSING_UNITS_MAX => {
                queues.missing = missing;
            }
            _ => {
                return Err(RawError::QueueOffset {
                    at,
                    topic: topic.to_owned(),
                    queue_id,
                    expected: expected.unwrap_or(0),
                    found,
                    gap_max: MISSING_UNITS_MAX,
                });
            }
        }
        match self.derived.queues.table.borrow().key(topic, queue_id) {
            Some(key) => queues.known.insert(key, found + 1),
            None => queues.new.insert((topic.to_owned(), queue_id), found + 1),
        };
        Ok(())
    }

    /// The queue's next offset behind the records checked so far; `None` when they are its first.
    fn raw_next(&self, topic: &str, queue_id: i32, queues: &RawQueues) -> Option<i64> {
        let table = self.derived.queues.table.borrow();
        match table.key(topic, queue_id) {
            Some(key) => {
                queues.known.get(&key).copied().or_else(|| table.get(key).map(|queue| queue.next.0))
            }
            None if queues.new.is_empty() => None,
            None => queues.new.get(&(topic.to_owned(), queue_id)).copied(),
        }
    }

    /// Room for all of it in one piece.
    fn make_raw_room(&self, bytes: usize) -> Result<(), AppendError> {
        // The copy goes on with the next record or not at all.
        self.check_takes_records(QueueTable::a_full_queue)?;
        self.check_way_to(self.watermarks.appended().0 + bytes as u64)?;
        let mut tail = self.writing.tail.borrow_mut();
        tail.reserve(bytes, self.watermarks.written().0).map_err(|_| self.tail_full())
    }

    fn put_raw_blank(&self, bytes: &[u8]) {
        let end = self.watermarks.appended().0 + bytes.len() as u64;
        self.writing.tail.borrow_mut().append(bytes.len(), |out| out.copy_from_slice(bytes));
        self.watermarks.append_to(end);
        self.watermarks.dispatch_to(end);
    }

    /// Copies a checked record into reserved room, then dispatches it.
    fn put_raw(&self, record: &RecordView<'_>) {
        let appended = Appended {
            physical_offset: self.watermarks.appended(),
            bytes: record.total_size(),
            queue_offset: QueueOffset(record.queue_offset()),
            store_timestamp_ms: record.store_timestamp_ms(),
        };
        let bytes = record.bytes();
        self.writing.tail.borrow_mut().append(bytes.len(), |out| out.copy_from_slice(bytes));
        self.watermarks.append_to(appended.end().0);
        self.writing.clock.set(self.writing.clock.get().max(appended.store_timestamp_ms));
        self.counts.add(|counts| {
            counts.messages += 1;
            counts.record_bytes += bytes.len() as u64;
        });
        let (at, levels) = (appended.physical_offset, &self.env.config.delay_levels);
        if let Some(units) = RecordUnits::of(record, at, levels) {
            self.put_raw_unit(units.own, &appended, units.unit);
            for position in units.light().filter(|position| self.takes_light(*position, at)) {
                self.put_raw_unit(position, &appended, units.unit);
            }
        }
        self.watermarks.dispatch_to(appended.end().0);
    }

    /// Whether a light message queue takes a unit: a client's property may say anything.
    fn takes_light(&self, position: QueuePosition<'_>, at: PhyOffset) -> bool {
        let QueuePosition { topic, queue_id, offset } = position;
        let is_possible = position.is_possible_at(at);
        let table = self.derived.queues.table.borrow();
        let next =
            table.key(topic, queue_id).and_then(|key| table.get(key)).map(|queue| queue.next);
        let is_wanted = next.is_some() || self.env.config.builds_light_queues;
        let follows =
            next.is_none_or(|next| offset >= next && offset.since(next) <= MISSING_UNITS_MAX);
        if is_wanted && !(is_possible && follows) {
            tracing::warn!(
                at = at.0,
                topic,
                offset = offset.0,
                "INNER_MULTI_QUEUE_OFFSET of a record does not follow its light message queue: \
                    left out there"
            );
        }
        is_wanted && is_possible && follows
    }

    fn put_raw_unit(&self, position: QueuePosition<'_>, appended: &Appended, unit: Unit) {
        let QueuePosition { topic, queue_id, offset } = position;
        let key = {
            let mut table = self.derived.queues.table.borrow_mut();
            let Some(key) = table.key_or_new(topic, queue_id, offset) else { return };
            let next = table.get(key).map_or(offset, |queue| queue.next);
            let missing = Unit::missing(appended.physical_offset.0);
            for _ in 0..offset.since(next) {
                if self.watermarks.answers_at_once() {
                    table.push(key, missing);
                } else {
                    table.push_hidden(key, missing);
                }
            }
            key
        };
        self.dispatch(key, &Appended { queue_offset: offset, ..*appended }, unit);
    }
}
