//! From a draft to a stored, indexed, visible message: one copy of the body, no allocation, no
//! waiting.
//!
//! ```text
//!   draft ─► room in the tail? ─► offsets and time filled in ─► encoded into the tail ─► ConsumeQueue unit ─► arrival
//!               │ no                                                   │
//!               └─► TailFull: nothing happened                         └─► the writer task takes it from there
//! ```

use super::{Inner, Phase, Store};
use crate::commitlog::blank::{blank_before, encode_blank};
use crate::config::LogSource;
use crate::consumequeue::dispatch::{QueuePosition, RecordUnits, TagFacts, is_indexed, unit_of};
use crate::consumequeue::table::{QueueKey, QueueTable};
use crate::consumequeue::unit::Unit;
use crate::error::AppendError;
use crate::index::KeyProperties;
use crate::limits::{PROPERTY_PIECES_MAX, QUEUE_ID_MAX, UNPERSISTED_UNITS_WAKE};
use crate::offset::{PhyOffset, QueueOffset};
use crate::paths::is_folder_name;
use protocol::batch::BatchEntry;
use protocol::properties;
use protocol::record::{RecordDraft, RecordError, RecordView};
use rt::Runtime;

/// Where a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the log.
    pub physical_offset: PhyOffset,
    /// Its record's length.
    pub bytes: usize,
    /// Its place in its queue.
    pub queue_offset: QueueOffset,
    /// When it was stored.
    pub store_timestamp_ms: i64,
}

impl Appended {
    /// Where its record ends: once a watermark has passed this, what it promises holds for the
    /// message.
    #[must_use]
    pub fn end(&self) -> PhyOffset {
        PhyOffset(self.physical_offset.0 + self.bytes as u64)
    }
}

/// Where a batch went: its messages follow each other in the log and in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedBatch {
    /// The first message.
    pub first: Appended,
    /// How many there are.
    pub count: usize,
    /// Where the last record ends.
    pub end: PhyOffset,
}

impl<R: Runtime> Store<R> {
    /// Stores one message. `queue_offset`, `physical_offset` and `store_timestamp_ms` of the draft
    /// are filled in here.
    pub fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, AppendError> {
        let inner = &*self.inner;
        draft.check_topic()?;
        if inner.names_light_queues(draft) {
            return inner.append_light(draft);
        }
        let has_crc = inner.env.config.append_property_crc || draft.needs_crc();
        let bytes = encoded_len(draft, has_crc)?;
        inner.check_size(bytes)?;
        let queue = inner.queue_for(draft)?;
        inner.make_room(bytes, |table| queue.filter(|key| table.is_full(*key)))?;
        let appended = inner.put(queue, draft, (bytes, has_crc), inner.store_time_ms());
        inner.writing.append_ended();
        Ok(appended)
    }

    /// Stores the messages of a batch: all or none, in one file, at consecutive queue offsets.
    /// `common` gives everything but flag, body and properties. Its properties follow each
    /// message's own; a broker that adds none to batches, as RocketMQ 5.5.0, passes none.
    ///
    /// `each` is told where each message went, in order. Records have the lengths that the store
    /// gives them (a checksum may be added), so nobody else can know these places.
    pub fn append_batch<'e>(
        &self,
        common: &RecordDraft<'_>,
        entries: impl Iterator<Item = BatchEntry<'e>> + Clone,
        each: impl FnMut(&Appended),
    ) -> Result<AppendedBatch, AppendError> {
        let inner = &*self.inner;
        common.check_topic()?;
        let (mut total, mut any_crc) = (0, inner.env.config.append_property_crc);
        for entry in entries.clone() {
            total += with_draft(common, &entry, |draft| {
                let has_crc = inner.env.config.append_property_crc || draft.needs_crc();
                any_crc |= has_crc;
                encoded_len(draft, has_crc)
            })?;
        }
        if total == 0 {
            return Err(AppendError::EmptyBatch);
        }
        inner.check_size(total)?;
        let queue = inner.queue_for(common)?;
        inner.make_room(total, |table| queue.filter(|key| table.is_full(*key)))?;
        let batch = inner.put_all(queue, common, entries, any_crc, each)?;
        inner.writing.append_ended();
        batch.ok_or(AppendError::EmptyBatch)
    }

    /// Completes when an append that was refused with [`AppendError::TailFull`] may succeed, or
    /// will never.
    pub async fn wait_writable(&self) {
        let inner = &*self.inner;
        loop {
            let seen = inner.writing.written.seen();
            if inner.can_take_record() || inner.check_open().is_err() {
                return;
            }
            if inner.is_behind_in_queues() {
                inner.derived.wake.notify();
            }
            inner.writing.written.changed_since(seen).await;
        }
    }
}

/// The draft of one message of a batch, its properties before the common ones.
fn with_draft<T>(
    common: &RecordDraft<'_>,
    entry: &BatchEntry<'_>,
    run: impl FnOnce(&RecordDraft<'_>) -> T,
) -> T {
    let mut pieces: [&[u8]; PROPERTY_PIECES_MAX] = [&[]; PROPERTY_PIECES_MAX];
    assert!(
        common.properties.len() + 2 <= PROPERTY_PIECES_MAX,
        "a batch's common properties come in {} pieces",
        common.properties.len()
    );
    let common_is_empty = common.properties.iter().all(|piece| piece.is_empty());
    pieces[0] = entry.properties;
    pieces[1] = if !common_is_empty && properties::needs_separator(entry.properties) {
        &[properties::PROPERTY_SEPARATOR]
    } else {
        &[]
    };
    pieces[2..2 + common.properties.len()].copy_from_slice(common.properties);
    let used = pieces.get(..2 + common.properties.len()).unwrap_or_default();
    run(&RecordDraft { flag: entry.flag, body: entry.body, properties: used, ..*common })
}

pub(super) fn encoded_len(draft: &RecordDraft<'_>, has_crc: bool) -> Result<usize, RecordError> {
    if has_crc { draft.encoded_len_with_crc() } else { draft.encoded_len() }
}

/// Why there is no such queue.
pub(super) fn no_queue(topic: &str, queue_id: i32) -> AppendError {
    if is_folder_name(topic) {
        AppendError::QueueId { found: queue_id, limit: QUEUE_ID_MAX }
    } else {
        AppendError::TopicName
    }
}

impl<R: Runtime> Inner<R> {
    pub(super) fn check_open(&self) -> Result<(), AppendError> {
        if let Some(reason) = &*self.life.poison.borrow() {
            return Err(AppendError::Poisoned { reason: reason.clone() });
        }
        if self.life.phase.get() == Phase::Open { Ok(()) } else { Err(AppendError::Closed) }
    }

    pub(super) fn check_size(&self, bytes: usize) -> Result<(), AppendError> {
        let limit = self.env.config.record_bytes_max();
        if bytes > limit { Err(AppendError::TooLarge { found: bytes, limit }) } else { Ok(()) }
    }

    /// The message's queue; `None` when it goes into no queue.
    pub(super) fn queue_for(
        &self,
        draft: &RecordDraft<'_>,
    ) -> Result<Option<QueueKey>, AppendError> {
        let wrong = || no_queue(draft.topic, draft.queue_id);
        if draft.queue_id < 0 || draft.queue_id > QUEUE_ID_MAX {
            return Err(wrong());
        }
        if !is_indexed(draft.sys_flag) {
            return Ok(None);
        }
        let key = self.derived.queues.table.borrow_mut().key_or_new(
            draft.topic,
            draft.queue_id,
            QueueOffset(0),
        );
        key.map(Some).ok_or_else(wrong)
    }

    /// Makes the next `bytes` appendable in one piece and one file, with a blank before them if the
    /// file is at its end. `full_queue` as in [`Inner::check_takes_records`].
    pub(super) fn make_room(
        &self,
        bytes: usize,
        full_queue: impl FnOnce(&QueueTable) -> Option<QueueKey>,
    ) -> Result<(), AppendError> {
        self.check_open()?;
        if self.writing.source.get() != LogSource::Own {
            return Err(AppendError::Foreign);
        }
        self.check_takes_records(full_queue)?;
        let full = || self.tail_full();
        let (end, written) = (self.watermarks.appended().0, self.watermarks.written().0);
        let blank = blank_before(end, bytes as u64, self.writing.log.file_bytes());
        self.check_way_to(end + blank + bytes as u64)?;
        let mut tail = self.writing.tail.borrow_mut();
        if blank > 0 {
            let blank_bytes = usize::try_from(blank).map_err(|_| full())?;
            tail.reserve(blank_bytes, written).map_err(|_| full())?;
            tail.append(blank_bytes, encode_blank);
            self.watermarks.append_to(end + blank);
            self.watermarks.dispatch_to(end + blank);
        }
        tail.reserve(bytes, written).map_err(|_| full())
    }

    /// What own and copied records are refused for alike, before there is room for them.
    /// `full_queue` gives a queue of theirs that takes no more ([`QueueTable::is_full`]), if there
    /// is one; it is asked only where there may be one.
    #[inline]
    pub(super) fn check_takes_records(
        &self,
        full_queue: impl FnOnce(&QueueTable) -> Option<QueueKey>,
    ) -> Result<(), AppendError> {
        if let Some(used_percent) = self.writing.room.nearly_full.get() {
            return Err(AppendError::DiskNearlyFull {
                used_percent,
                resumes_percent: self.env.config.retention.clean_forcibly_percent,
            });
        }
        if self.writing.is_shut.get() {
            return Err(self.tail_full());
        }
        if self.derived.queues.table.borrow().must_look_closer() {
            self.check_queues(full_queue)?;
        }
        Ok(())
    }

    pub(super) fn tail_full(&self) -> AppendError {
        AppendError::TailFull { unwritten_bytes: self.watermarks.unwritten_bytes() }
    }

    fn is_behind_in_queues(&self) -> bool {
        self.derived.queues.table.borrow().is_behind()
    }

    /// Refuses what would have more units wait for their files than may.
    fn check_queues(
        &self,
        full_queue: impl FnOnce(&QueueTable) -> Option<QueueKey>,
    ) -> Result<(), AppendError> {
        let table = self.derived.queues.table.borrow();
        if table.is_behind() {
            return Err(self.tail_full());
        }
        let Some(key) = full_queue(&table) else { return Ok(()) };
        let Some(queue) = table.get(key) else { return Ok(()) };
        Err(AppendError::QueueStuck {
            topic: queue.topic.to_string(),
            queue_id: queue.queue_id,
            reason: self.derived.queues.failure(key),
        })
    }

    fn can_take_record(&self) -> bool {
        !self.writing.is_shut.get()
            && !self.is_behind_in_queues()
            && self
                .writing
                .tail
                .borrow_mut()
                .could_reserve(self.env.config.raw_bytes_max(), self.watermarks.written().0)
    }

    pub(super) fn store_time_ms(&self) -> i64 {
        let now = self.env.rt.wall_ms().max(self.writing.clock.get());
        self.writing.clock.set(now);
        now
    }

    /// `any_crc`: one of the records at least ends with a checksum over all of it.
    fn put_all<'e>(
        &self,
        queue: Option<QueueKey>,
        common: &RecordDraft<'_>,
        entries: impl Iterator<Item = BatchEntry<'e>>,
        any_crc: bool,
        mut each: impl FnMut(&Appended),
    ) -> Result<Option<AppendedBatch>, AppendError> {
        let now = self.store_time_ms();
        let mut batch: Option<AppendedBatch> = None;
        for entry in entries {
            let appended = with_draft(common, &entry, |draft| {
                let has_crc = any_crc && (self.env.config.append_property_crc || draft.needs_crc());
                encoded_len(draft, has_crc)
                    .map(|bytes| self.put(queue, draft, (bytes, has_crc), now))
            })?;
            each(&appended);
            let end = appended.end();
            batch =
                Some(batch.map_or(AppendedBatch { first: appended, count: 1, end }, |so_far| {
                    AppendedBatch { count: so_far.count + 1, end, ..so_far }
                }));
        }
        Ok(batch)
    }

    /// Encodes into reserved room, then dispatches. `has_crc`: the record ends with a checksum over
    /// all of it, counted in `bytes`.
    pub(super) fn put(
        &self,
        queue: Option<QueueKey>,
        draft: &RecordDraft<'_>,
        (bytes, has_crc): (usize, bool),
        now_ms: i64,
    ) -> Appended {
        self.put_with(queue, bytes, now_ms, |out, at, queue_offset| {
            let filled = RecordDraft {
                queue_offset: queue_offset.0,
                physical_offset: at.as_i64(),
                store_timestamp_ms: now_ms,
                ..*draft
            };
            let properties_bytes =
                if has_crc { filled.properties_len_with_crc() } else { filled.properties_len() };
            let encoded =
                if has_crc { filled.encode_with_crc_into(out) } else { filled.encode_into(out) };
            assert_eq!(encoded, Ok(()), "a draft whose length was taken encodes to that length");
            let properties = out.get(bytes - properties_bytes..).unwrap_or_default();
            let keys = KeyProperties::of_pieces(draft.properties)
                .unwrap_or_else(|| KeyProperties::of(properties));
            self.hand_to_index((at, bytes, now_ms), (draft.topic, draft.sys_flag), &keys);
            let (topic, tag, store_timestamp_ms) = (draft.topic, keys.tag, now_ms);
            let facts = TagFacts::Record { topic, properties, tag, store_timestamp_ms };
            unit_of(at, bytes, facts, &self.env.config.delay_levels)
        })
    }

    /// Has `fill` write a record of `bytes` into reserved room, then dispatches it. `fill` gets the
    /// room and the record's places in log and queue, and gives its unit.
    pub(super) fn put_with(
        &self,
        queue: Option<QueueKey>,
        bytes: usize,
        now_ms: i64,
        fill: impl FnOnce(&mut [u8], PhyOffset, QueueOffset) -> Unit,
    ) -> Appended {
        self.writing.check(&self.watermarks);
        let at = self.watermarks.appended();
        let next = queue
            .and_then(|key| self.derived.queues.table.borrow().get(key).map(|queue| queue.next));
        let queue_offset = next.unwrap_or_default();
        let unit = self.writing.tail.borrow_mut().append(bytes, |out| fill(out, at, queue_offset));
        let appended =
            Appended { physical_offset: at, bytes, queue_offset, store_timestamp_ms: now_ms };
        self.watermarks.append_to(appended.end().0);
        self.counts.add(|counts| {
            counts.messages += 1;
            counts.record_bytes += bytes as u64;
        });
        if let Some(key) = queue {
            self.dispatch(key, &appended, unit);
            if self.may_be_in_light_queues() {
                self.dispatch_light(&appended);
            }
        }
        self.watermarks.dispatch_to(appended.end().0);
        self.writing.check(&self.watermarks);
        appended
    }

    fn may_be_in_light_queues(&self) -> bool {
        self.env.config.builds_light_queues || self.derived.queues.table.borrow().has_light_queues()
    }

    /// Puts a record that names light message queues and its places there into those that it
    /// follows, as a rebuild would.
    #[cold]
    fn dispatch_light(&self, appended: &Appended) {
        let at = appended.physical_offset;
        let bytes = self.writing.tail.borrow().slice(at.0, appended.bytes);
        let record = bytes.as_ref().and_then(|bytes| RecordView::parse(bytes).ok());
        let levels = &self.env.config.delay_levels;
        let Some(units) = record.and_then(|record| RecordUnits::of(&record, at, levels)) else {
            return;
        };
        for position in units.light().filter(|position| position.is_possible_at(at)) {
            let key = self.light_queue(position);
            if let Some(key) = key {
                let there = Appended { queue_offset: position.offset, ..*appended };
                self.dispatch(key, &there, units.unit);
            }
        }
    }

    /// The light message queue whose next message is at `position`.
    fn light_queue(&self, position: QueuePosition<'_>) -> Option<QueueKey> {
        let mut table = self.derived.queues.table.borrow_mut();
        if !self.env.config.builds_light_queues && !table.has_topic(position.topic) {
            return None;
        }
        let key = table.key_or_new(position.topic, position.queue_id, position.offset);
        key.filter(|key| table.get(*key).is_some_and(|queue| queue.next == position.offset))
    }

    pub(super) fn dispatch(&self, key: QueueKey, appended: &Appended, unit: Unit) {
        let tags_code = unit.tags_code;
        let mut table = self.derived.queues.table.borrow_mut();
        let max_offset = appended.queue_offset.plus(1);
        if self.watermarks.answers_at_once() {
            table.push(key, unit);
            self.visibility.arrivals.borrow_mut().push(key, max_offset, tags_code);
        } else {
            table.push_hidden(key, unit);
            self.hide(appended.end().0, key, max_offset, tags_code);
        }
        if table.unpersisted() == UNPERSISTED_UNITS_WAKE {
            self.derived.wake.notify();
        }
    }
}
