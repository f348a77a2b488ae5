//! A ConsumeQueue unit that does not lead to its message: the message is looked for in the log, and
//! the unit written anew.
//!
//! ```text
//!   units:  … good | bad | …            log:  … | message of `good` | … | the message? | …
//!              └──────────────────────────────► └── scanned from here, a bounded stretch
//! ```
//!
//! The log alone decides (design D8): a flipped bit or a hole in a derived file must not cost a
//! message that is whole. When the log does not have it either, the message is damaged.

use super::Inner;
use super::cold::check_unit;
use super::damage::find_record;
use crate::commitlog::reader::LogReader;
use crate::commitlog::scan::{Scanned, scan_one};
use crate::consumequeue::disk::{Before, QueuePlace};
use crate::consumequeue::dispatch::{RecordUnits, offset_in};
use crate::consumequeue::unit::Unit;
use crate::error::ReadError;
use crate::limits::{REPAIR_SCAN_BYTES_MAX, SCAN_READ_BYTES, SCAN_READS_AHEAD};
use crate::number::exact;
use crate::offset::{PhyOffset, QueueOffset};
use protocol::record::RecordView;
use rt::Runtime;

impl<R: Runtime> Inner<R> {
    /// Finds the message `offset` of a queue in the log and writes its unit; `None` when it is not
    /// where it would have to be.
    pub(super) async fn repair_unit(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
    ) -> Result<Option<Unit>, ReadError> {
        let cuts = self.writing.log.cuts();
        // A deleted topic of that name had such a message too.
        let deleted = self.derived.deleted.borrow().get(&*place.topic).copied().unwrap_or(0);
        let from = self.log_end_of_unit_before(place, offset).await?.max(deleted);
        let Some(unit) = self.find_message(place, offset, from).await? else { return Ok(None) };
        // The topic may have been deleted meanwhile: its folder must not be made again. Nor while
        // the queue is cut, nor behind its end.
        let _turn = self.derived.turn.take().await;
        let _writing = self.derived.queues.writing.take().await;
        let is_gone = self.derived.queues.table.borrow().get(place.key).is_none();
        if is_gone || self.writing.log.cuts() != cuts {
            return Ok(None);
        }
        let files = &self.derived.queues.files;
        let path = files.path(place, files.file_start(offset));
        tracing::error!(
            topic = &*place.topic, queue_id = place.queue_id, offset = offset.0, at = unit.at.0,
            path = %path.display(),
            "a unit of a ConsumeQueue was damaged and is written anew from the log; if there are \
                many, stop the broker and delete the consumequeue folder: it is rebuilt from the \
                log"
        );
        self.caches.units.borrow_mut().forget(place.key);
        self.derived.queues.files.write(place, offset, &unit.encode(), Before::Unknown).await?;
        Ok(Some(unit))
    }

    /// Where the message of a good unit before `offset` ends; the log's beginning when there is
    /// none.
    async fn log_end_of_unit_before(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
    ) -> Result<u64, ReadError> {
        let mut back = 1;
        while let Some(before) = offset.0.checked_sub(back).map(QueueOffset) {
            let units = self.units_from(place, before, 1).await?;
            if let Some(unit) = units.first().filter(|unit| {
                unit.at.0 >= self.writing.log.begin()
                    && unit.end() <= self.watermarks.written().0
                    && !unit.is_missing()
            }) {
                let record = self.log_bytes(unit.at.0, exact(unit.size)).await?;
                if check_unit(place, before, unit, &record, self.read_limits()).is_ok() {
                    return Ok(unit.end());
                }
            } else if units.is_empty() && self.is_before_queue(place, before) {
                break;
            }
            back *= 2;
        }
        Ok(self.writing.log.begin())
    }

    fn is_before_queue(&self, place: &QueuePlace, offset: QueueOffset) -> bool {
        self.derived.queues.table.borrow().get(place.key).is_none_or(|queue| offset < queue.min)
    }

    async fn find_message(
        &self,
        place: &QueuePlace,
        offset: QueueOffset,
        from: u64,
    ) -> Result<Option<Unit>, ReadError> {
        let upto = self.watermarks.written().0.min(from.saturating_add(REPAIR_SCAN_BYTES_MAX));
        let limits = self.read_limits();
        let _memory = self.charge_cold(SCAN_READ_BYTES * (SCAN_READS_AHEAD + 1))?;
        let mut reader = LogReader::new(&self.writing.log, upto);
        let (mut at, mut needed) = (from, 8);
        while at < upto {
            let bytes = reader.bytes(at, needed).await?;
            let is_short = bytes.len() < needed;
            needed = 8;
            match scan_one(bytes, at, limits) {
                Scanned::Record(record) => match compare(&record, place, offset) {
                    Relation::Wanted => {
                        let levels = &self.env.config.delay_levels;
                        let units = RecordUnits::of(&record, PhyOffset(at), levels);
                        return Ok(units.map(|units| units.unit));
                    }
                    Relation::Behind => return Ok(None),
                    Relation::Other => at += record.total_size() as u64,
                },
                Scanned::Blank => {
                    at = self.writing.log.start_of(at) + self.writing.log.file_bytes()
                }
                Scanned::NeedsBytes(more) if !is_short => needed = more,
                _ => match find_record(&mut reader, &self.writing.log, limits, at + 1, upto).await?
                {
                    Some(behind) => at = behind.at,
                    None => return Ok(None),
                },
            }
        }
        Ok(None)
    }
}

/// What a record is to the one that is looked for.
enum Relation {
    Wanted,
    /// A later message of the same queue.
    Behind,
    Other,
}

fn compare(record: &RecordView<'_>, place: &QueuePlace, offset: QueueOffset) -> Relation {
    let Some(found) = offset_in(record, &place.topic, place.queue_id) else {
        return Relation::Other;
    };
    match found.cmp(&offset) {
        std::cmp::Ordering::Less => Relation::Other,
        std::cmp::Ordering::Equal => Relation::Wanted,
        std::cmp::Ordering::Greater => Relation::Behind,
    }
}
