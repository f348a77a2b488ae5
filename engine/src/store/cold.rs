//! The cold read: what is no longer in memory, from disk, with read-ahead.
//!
//! Units come from memory or the queue's file, records from the tail or the log's files, through
//! [`super::read_ahead`]: a consumer that catches up reads neighbouring records. A record whose
//! neighbours are far away is read alone.
//!
//! What comes from disk is checked before anybody gets it: lengths, the record's own offset and
//! queue, its checksum. A message that is damaged, or that recovery found damaged, is never served:
//! a read stops before it, and one that begins at it says MessageWasRemoving and where to go on. It
//! is in the log once, with file and offset.

use super::cold_windows::CurrentWindow;
use super::read::{
    Budget, OwnedReadRequest, QueueRange, ReadRequest, ReadSlices, ReadStatus, TagFilter,
    push_joined, status_by_range, units_looked_at_max,
};
use super::read_origin::ReadOrigins;
use super::{Inner, Store};
use crate::commitlog::scan::{NoRecord, ScanLimits, record_at};
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::dispatch::offset_in;
use crate::consumequeue::queues::place_of;
use crate::consumequeue::table::Found;
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, ReadError};
use crate::limits::{FILTER_BYTES_MAX, REPORTED_DAMAGE_MAX};
use crate::number::exact;
use crate::offset::{PhyOffset, QueueOffset};
use rt::runtime::DIRECT_ALIGN;
use rt::{BufSlice, Charge, File, MemoryUse, Runtime};
use std::rc::Rc;

/// Units fetched at once while a filter looks for matches.
const FILTER_UNITS_AT_ONCE: usize = 256;

/// What a filter that decides by records looks at in one read: the units are bounded already, their
/// records are read one after the other until the answer is full.
const LOOKED_AT: Budget = Budget { messages: usize::MAX, bytes: FILTER_BYTES_MAX };

/// Bytes read to learn a record's size and store time: most small records whole.
const HEAD_READ_BYTES: usize = 4096;

/// What a cold read found.
#[derive(Debug)]
pub struct ColdRead {
    /// How it ended; never [`ReadStatus::Cold`].
    pub status: ReadStatus,
    /// The records, adjacent ones joined.
    pub slices: Vec<BufSlice>,
    /// How many messages.
    pub messages: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Where they were: a read that begins on disk may end in the tail.
    pub origins: ReadOrigins,
    /// Where the consumer goes on.
    pub next_begin_offset: QueueOffset,
    /// The queue's range at the time.
    pub range: QueueRange,
}

impl From<ColdRead> for ReadSlices {
    /// What it found, without how it ended.
    fn from(read: ColdRead) -> Self {
        let ColdRead { status: _, slices, messages, bytes, origins, next_begin_offset, range } =
            read;
        Self { slices, messages, bytes, origins, next_begin_offset, range }
    }
}

impl ColdRead {
    /// Without a message.
    fn nothing(status: ReadStatus, next_begin_offset: QueueOffset, range: QueueRange) -> Self {
        Self {
            status,
            slices: Vec::new(),
            messages: 0,
            bytes: 0,
            origins: ReadOrigins::default(),
            next_begin_offset,
            range,
        }
    }
}

/// What walking a queue's units decided.
struct Picked {
    units: Vec<(QueueOffset, Unit)>,
    bytes: usize,
    next: QueueOffset,
    /// The status when no unit was picked.
    otherwise: ReadStatus,
    /// Where damage took the message that the read begins at.
    damaged_at: Option<PhyOffset>,
    /// The offset that the read begins at, when the queue's file has no unit for it.
    hole: Option<QueueOffset>,
}

/// The records of a read, up to the first that is damaged.
#[derive(Default)]
struct Fetched {
    slices: Vec<BufSlice>,
    messages: usize,
    bytes: usize,
    origins: ReadOrigins,
    stopped: Option<Stopped>,
    /// The message that the answer had no room for.
    full_at: Option<QueueOffset>,
}

/// Where a record was.
#[derive(Clone, Copy)]
enum Place {
    Tail { is_written: bool },
    Disk,
}

/// A unit that did not lead to its message.
struct Stopped {
    offset: QueueOffset,
    unit: Unit,
    found: String,
}

impl<R: Runtime> Store<R> {
    /// Reads from memory and disk. An error concerns this read alone; after
    /// [`ReadError::TooMuchMemory`] it may be tried again.
    pub async fn read_cold(&self, request: OwnedReadRequest) -> Result<ColdRead, ReadError> {
        let request = request.as_request();
        self.inner.undisturbed(async || self.read_cold_once(&request).await).await
    }

    /// The log may be cut meanwhile: then what this gives is thrown away.
    async fn read_cold_once(&self, request: &ReadRequest<'_>) -> Result<ColdRead, ReadError> {
        let inner = &self.inner;
        let cuts = inner.writing.log.cuts();
        let nothing = ColdRead::nothing;
        let Some((place, range)) = inner.place(request.topic, request.queue_id) else {
            return Ok(nothing(
                ReadStatus::NoMatchedLogicQueue,
                QueueOffset(0),
                QueueRange::default(),
            ));
        };
        if let Some((status, next)) = status_by_range(request.offset, range) {
            return Ok(nothing(status, next, range));
        }
        let mut repairs_left = 1;
        loop {
            let picked = inner.pick_units(&place, request, range).await?;
            if let Some(at) = picked.damaged_at {
                inner.report_damage(
                    at,
                    "a message",
                    "the damage that was found when the store was opened",
                );
            }
            let Fetched { slices, messages, bytes, origins, stopped, full_at } =
                inner.fetch(&place, &picked.units, request).await?;
            if inner.writing.log.cuts() != cuts {
                return Ok(nothing(picked.otherwise, picked.next, range));
            }
            if messages > 0 {
                let early = stopped.map(|stopped| stopped.offset).or(full_at);
                let next_begin_offset = early.unwrap_or(picked.next);
                return Ok(ColdRead {
                    status: ReadStatus::Found,
                    slices,
                    messages,
                    bytes,
                    origins,
                    next_begin_offset,
                    range,
                });
            }
            let bad = stopped.as_ref().map(|stopped| stopped.offset).or(picked.hole);
            let is_known = stopped.as_ref().is_some_and(|stopped| {
                inner.caches.reported_damage.borrow().contains(&stopped.unit.at.0)
            });
            if let Some(bad) = bad.filter(|_| repairs_left > 0 && !is_known)
                && inner.repair_unit(&place, bad).await?.is_some()
            {
                repairs_left -= 1;
                continue;
            }
            if let Some(Stopped { offset, unit, found }) = stopped {
                let expected = format_args!(
                    "message {offset} of queue {} of topic {} in {} bytes",
                    place.queue_id, place.topic, unit.size
                )
                .to_string();
                inner.report_damage(unit.at, &expected, &found);
                return Ok(nothing(ReadStatus::MessageWasRemoving, offset.plus(1), range));
            }
            return Ok(nothing(picked.otherwise, picked.next, range));
        }
    }

    /// The record that begins at `at`; `None` when none does.
    pub async fn message_at(&self, at: PhyOffset) -> Result<Option<BufSlice>, ReadError> {
        self.inner.undisturbed(async || self.message_at_once(at).await).await
    }

    async fn message_at_once(&self, at: PhyOffset) -> Result<Option<BufSlice>, ReadError> {
        let inner = &*self.inner;
        let watermarks = &inner.watermarks;
        if at.0 < inner.writing.log.begin() || at >= watermarks.visible() {
            return Ok(None);
        }
        // Nobody vouches for what lies there: recovery may have left it out for what a crash tore.
        let limits = inner.read_limits();
        let mut bytes = inner.log_bytes(at.0, HEAD_READ_BYTES).await?;
        let mut found = record_size(&bytes, at, limits);
        if let Err(NoRecord::Short(needed)) = found {
            bytes = inner.log_bytes(at.0, needed).await?;
            found = record_size(&bytes, at, limits);
        }
        match found {
            Ok(size) => Ok(Some(bytes.part(0..size))),
            Err(NoRecord::Broken(found)) => {
                inner.report_damage(at, "a record with its checksum", &found);
                Ok(None)
            }
            Err(NoRecord::Short(_) | NoRecord::Other(_)) => Ok(None),
        }
    }
}

fn record_size(bytes: &[u8], at: PhyOffset, limits: ScanLimits) -> Result<usize, NoRecord> {
    record_at(bytes, at.0, limits).map(|record| record.total_size())
}

impl<R: Runtime> Inner<R> {
    /// Reads again when the log was cut meanwhile: a place may have another record by now, one that
    /// nobody may see yet.
    pub(super) async fn undisturbed<T>(
        &self,
        read: impl AsyncFn() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let cuts = self.writing.log.cuts();
            let found = read().await;
            if self.writing.log.cuts() == cuts {
                return found;
            }
        }
    }

    /// What a record must be that is read: strict where the log is ours. Nothing without a checksum
    /// over all of it has a zero byte there, so a zero is damage, be it of that checksum's name.
    pub(super) fn read_limits(&self) -> ScanLimits {
        let strict_from = self.writing.own_from.get();
        let (file_bytes, record_bytes_max) =
            (self.writing.log.file_bytes(), self.env.config.record_bytes_max());
        ScanLimits { file_bytes, record_bytes_max, strict_from, strict_from_ms: 0 }
    }

    pub(super) fn place(&self, topic: &str, queue_id: i32) -> Option<(QueuePlace, QueueRange)> {
        let table = self.derived.queues.table.borrow();
        let key = table.key(topic, queue_id)?;
        let queue = table.get(key)?;
        Some((
            place_of(key, queue),
            QueueRange { min_offset: queue.min, max_offset: queue.visible },
        ))
    }

    fn cold_budget(&self, request: &ReadRequest<'_>, first: Option<&Unit>) -> Budget {
        // What was read ahead is memory: the limits for the disk are for reads that wait for it.
        let is_hot = first.is_some_and(|unit| {
            unit.at.0 >= self.writing.tail.borrow().begin()
                || self.caches.cold.borrow().holds(unit.at.0)
        });
        let config = &self.env.config;
        let (messages, bytes) = if is_hot {
            (config.hot_messages_max, config.hot_bytes_max)
        } else {
            (config.cold_messages_max, config.cold_bytes_max)
        };
        Budget::of(request, messages, bytes)
    }

    async fn pick_units(
        &self,
        place: &QueuePlace,
        request: &ReadRequest<'_>,
        range: QueueRange,
    ) -> Result<Picked, ReadError> {
        let at_once = if matches!(request.filter, TagFilter::All) {
            request.max_messages.max(1)
        } else {
            FILTER_UNITS_AT_ONCE
        };
        let end =
            request.offset.plus(units_looked_at_max(request.max_messages)).min(range.max_offset);
        let mut picked = Picked {
            units: Vec::new(),
            bytes: 0,
            next: request.offset,
            otherwise: ReadStatus::NoMatchedMessage,
            damaged_at: None,
            hole: None,
        };
        while picked.next < end {
            let units =
                self.units_from(place, picked.next, at_once.min(end.since(picked.next))).await?;
            if units.is_empty() {
                picked.unit_is_missing(self.derived.queues.files.left_in_file(picked.next));
                picked.began_too_low(request.offset, self.range(place.key));
                break;
            }
            let first = picked.units.first().map(|(_, unit)| unit).or(units.first());
            let budget = match request.filter {
                TagFilter::Records(_) => LOOKED_AT,
                TagFilter::All | TagFilter::Codes(_) => self.cold_budget(request, first),
            };
            if !picked.take(&units, request, budget, self.writing.log.begin()) {
                break;
            }
        }
        Ok(picked)
    }

    /// Units from `at` on, at most `most`: from memory where they are there. Empty when the file
    /// has none or the queue is gone.
    pub(super) async fn units_from(
        &self,
        place: &QueuePlace,
        at: QueueOffset,
        most: usize,
    ) -> Result<Vec<Unit>, ReadError> {
        let in_file = {
            let table = self.derived.queues.table.borrow();
            let Some(queue) =
                table.get(place.key).filter(|queue| at >= queue.min && at < queue.next)
            else {
                return Ok(Vec::new());
            };
            let first_recent = queue.first_recent();
            if at >= first_recent {
                let end = at.plus(most).min(queue.next);
                let units =
                    (at.0..end.0).map_while(|offset| match queue.unit(QueueOffset(offset)) {
                        Found::Memory(unit) => Some(unit),
                        Found::File => None,
                    });
                return Ok(units.collect());
            }
            first_recent.since(at)
        };
        Ok(self.units_in_file(place, at, most, in_file).await?)
    }

    /// The records of `units` that the request wants, in their order, up to the first that is
    /// damaged or that the answer has no room for.
    async fn fetch(
        self: &Rc<Self>,
        place: &QueuePlace,
        units: &[(QueueOffset, Unit)],
        request: &ReadRequest<'_>,
    ) -> Result<Fetched, ReadError> {
        let budget = self.cold_budget(request, units.first().map(|(_, unit)| unit));
        let (mut fetched, mut current) = (Fetched::default(), None);
        for (nth, (offset, unit)) in units.iter().enumerate() {
            if fetched.messages >= budget.messages.max(1) {
                fetched.full_at = Some(*offset);
                break;
            }
            let found = match self.checked_record(place, units, nth, &mut current).await {
                // What was found before it is an answer.
                Err(ReadError::TooMuchMemory { .. }) if fetched.messages > 0 => {
                    Err("no memory for it now".to_owned())
                }
                found => found?,
            };
            match found {
                Err(found) => {
                    fetched.stopped = Some(Stopped { offset: *offset, unit: *unit, found });
                    break;
                }
                Ok((record, _)) if !request.filter.takes_record(&record) => {}
                Ok((record, _)) if !budget.takes(fetched.messages, fetched.bytes, record.len()) => {
                    fetched.full_at = Some(*offset);
                    break;
                }
                Ok((record, place)) => {
                    fetched.messages += 1;
                    fetched.bytes += record.len();
                    match place {
                        Place::Tail { is_written } => {
                            fetched.origins.add_from_tail(record.len(), is_written);
                        }
                        Place::Disk => fetched.origins.cold.add(record.len()),
                    }
                    push_joined(&mut fetched.slices, record);
                }
            }
        }
        let read = units.iter().take_while(|(offset, _)| Some(*offset) != fetched.full_at);
        if let (Some((_, first)), Some((_, last))) = (units.first(), read.last()) {
            self.caches.cold.borrow_mut().read_upto(place.key, first.at.0, last.end());
        }
        Ok(fetched)
    }

    /// The record of the unit `nth`, from the tail or from disk; what was found instead where it is
    /// damaged.
    async fn checked_record(
        self: &Rc<Self>,
        place: &QueuePlace,
        units: &[(QueueOffset, Unit)],
        nth: usize,
        current: &mut Option<CurrentWindow>,
    ) -> Result<Result<(BufSlice, Place), String>, ReadError> {
        let (offset, unit) = units[nth];
        let size = exact(unit.size);
        if let Some(record) = self.writing.tail.borrow().slice(unit.at.0, size) {
            let is_written = unit.end() <= self.watermarks.written().0;
            return Ok(Ok((record, Place::Tail { is_written })));
        }
        let is_possible =
            size <= self.env.config.record_bytes_max() && unit.end() <= self.watermarks.written().0;
        let record = if is_possible {
            let has_neighbour = self.has_neighbour(units, nth);
            self.cold_record(unit.at.0, size, has_neighbour, current).await?
        } else {
            BufSlice::empty()
        };
        Ok(check_unit(place, offset, &unit, &record, self.read_limits())
            .map(|()| (record, Place::Disk)))
    }

    /// Whether the message before or after in the queue lies in the same window of the log.
    fn has_neighbour(&self, units: &[(QueueOffset, Unit)], nth: usize) -> bool {
        let window = self.env.config.read_ahead_bytes as u64;
        let near = |a: Option<&(QueueOffset, Unit)>, b: Option<&(QueueOffset, Unit)>| {
            a.zip(b).is_some_and(|((_, a), (_, b))| b.end().saturating_sub(a.at.0) <= window)
        };
        near(units.get(nth), units.get(nth + 1))
            || (nth > 0 && near(units.get(nth - 1), units.get(nth)))
    }

    /// Up to `len` bytes at `at` from the file, fewer at its end and at the end of what is written;
    /// charged to the account for as long as any slice of them lives.
    pub(super) async fn read_log(&self, at: u64, len: usize) -> Result<BufSlice, ReadError> {
        let mut charge = self.charge_cold(len)?;
        let bytes = self.read_uncharged(at, len).await?;
        let read_bytes = &self.caches.read_bytes;
        read_bytes.set(read_bytes.get() + bytes.pinned_bytes() as u64);
        if !bytes.is_empty() {
            charge.set(bytes.pinned_bytes());
            bytes.keep_charge(charge);
        }
        Ok(bytes)
    }

    /// Memory for a read of `len` bytes from disk. When the account is full, what nobody needs
    /// right now is given back first.
    pub(super) fn charge_cold(&self, len: usize) -> Result<Charge, ReadError> {
        // An aligned read may begin and end in the middle of a block.
        let wanted_bytes = (len + DIRECT_ALIGN).next_multiple_of(DIRECT_ALIGN);
        if self.env.memory.free_bytes() < wanted_bytes {
            self.writing.tail.borrow_mut().free_returned();
            self.caches.cold.borrow_mut().give_back(wanted_bytes);
        }
        self.env.memory.try_charge(MemoryUse::ColdWindows, wanted_bytes).ok_or_else(|| {
            ReadError::TooMuchMemory {
                wanted_bytes,
                used_bytes: self.env.memory.used_bytes(),
                limit_bytes: self.env.memory.limit_bytes(),
            }
        })
    }

    /// As [`Inner::read_log`], for the store's own use: not charged.
    async fn read_uncharged(&self, at: u64, len: usize) -> Result<BufSlice, FileError> {
        let (path, in_file) = (self.writing.log.path_of(at), at % self.writing.log.file_bytes());
        let readable = (self.writing.log.file_bytes() - in_file)
            .min(self.watermarks.written().0.saturating_sub(at));
        let len = len.min(exact(readable));
        let file = self.writing.log.file(at).await?;
        file.read_at(in_file, len).await.map_err(FileError::at("read", &path, in_file))
    }

    /// As [`Inner::log_bytes`], for the one task that reads for the index: not charged.
    pub(super) async fn log_bytes_uncharged(
        &self,
        at: u64,
        len: usize,
    ) -> Result<BufSlice, FileError> {
        let in_tail = self.writing.tail.borrow().slice_upto(at, len);
        match in_tail {
            Some(bytes) => Ok(bytes),
            None => self.read_uncharged(at, len).await,
        }
    }

    /// Up to `len` bytes at `at`, from the tail or the file.
    pub(super) async fn log_bytes(&self, at: u64, len: usize) -> Result<BufSlice, ReadError> {
        let in_tail = self.writing.tail.borrow().slice_upto(at, len);
        match in_tail {
            Some(bytes) => Ok(bytes),
            None => self.read_log(at, len).await,
        }
    }

    /// Says once what is damaged where: a consumer that asks again must not fill the log.
    pub(super) fn report_damage(&self, at: PhyOffset, expected: &str, found: &str) {
        let mut reported = self.caches.reported_damage.borrow_mut();
        if reported.len() >= REPORTED_DAMAGE_MAX {
            reported.clear();
        }
        if reported.insert(at.0) {
            let (path, in_file) =
                (self.writing.log.path_of(at.0), at.0 % self.writing.log.file_bytes());
            tracing::error!(
                path = %path.display(), offset = in_file, expected, found,
                "a damaged message is not served, consumers go on behind it; restore the file \
                    from a copy to have it back"
            );
        }
    }
}

/// Whether `bytes` are a valid record, and the one that the queue says: its place, its length, its
/// queue.
pub(super) fn check_unit(
    place: &QueuePlace,
    offset: QueueOffset,
    unit: &Unit,
    bytes: &BufSlice,
    limits: ScanLimits,
) -> Result<(), String> {
    let record = record_at(bytes, unit.at.0, limits).map_err(|no_record| match no_record {
        NoRecord::Short(needed) => format!("{} bytes of {needed}", bytes.len()),
        NoRecord::Other(found) | NoRecord::Broken(found) => found,
    })?;
    if record.total_size() != exact::<_, usize>(unit.size) {
        return Err(format!("a record of {} bytes", record.total_size()));
    }
    if offset_in(&record, &place.topic, place.queue_id) != Some(offset) {
        return Err(format!(
            "message {} of queue {} of topic {}",
            record.queue_offset(),
            record.queue_id(),
            record.topic()
        ));
    }
    Ok(())
}

impl Picked {
    /// RocketMQ goes on at the queue's next file.
    fn unit_is_missing(&mut self, left_in_file: usize) {
        if self.units.is_empty() {
            self.otherwise = ReadStatus::OffsetFoundNull;
            self.hole = Some(self.next);
            self.next = self.next.plus(left_in_file);
        }
    }

    /// The queue's first messages went while they were looked for.
    fn began_too_low(&mut self, offset: QueueOffset, range: Option<QueueRange>) {
        if let Some(range) =
            range.filter(|range| self.units.is_empty() && offset < range.min_offset)
        {
            (self.otherwise, self.next) = (ReadStatus::OffsetTooSmall, range.min_offset);
        }
    }

    /// Looks at units in order; `false` when the answer is full.
    fn take(
        &mut self,
        units: &[Unit],
        request: &ReadRequest<'_>,
        budget: Budget,
        log_begin: u64,
    ) -> bool {
        for unit in units {
            // What is damaged is an answer of its own: what was found before goes out first, what
            // lies behind comes next.
            if self.units.len() >= budget.messages.max(1)
                || (unit.is_missing() && !self.units.is_empty())
                || (self.damaged_at.is_some() && !unit.is_missing())
            {
                return false;
            }
            let size = exact(unit.size);
            if unit.at.0 < log_begin {
                self.otherwise = ReadStatus::MessageWasRemoving;
            } else if unit.is_missing() {
                self.otherwise = ReadStatus::MessageWasRemoving;
                self.damaged_at = Some(unit.at);
            } else if request.filter.takes(unit.tags_code) {
                if !budget.takes(self.units.len(), self.bytes, size) {
                    return false;
                }
                self.units.push((self.next, *unit));
                self.bytes += size;
            }
            self.next = self.next.plus(1);
        }
        true
    }
}
