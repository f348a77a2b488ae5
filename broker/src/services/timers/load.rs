//! Takes pending timers over: what an earlier life or Apache's broker left in `timerlog` and
//! `timercheck`. The wheel is not needed: every unit of a slot that is not done waits.
//!
//! What is missing, damaged or not what the seal counts is not used; then all records of the topic
//! are looked at, and those that `timercheck` calls done are passed over.

use super::format::{Check, Found, Seal, UNIT_BYTES, Unit};
use super::pending::{Kind, Pending};
use super::state::Progress;
use super::write::{CHECK, LOG, METRICS, Place, Written};
use engine::{PhyOffset, Store};
use protocol::bodies::TimerMetrics;
use protocol::json;
use protocol::names::TIMER_TOPIC;
use protocol::record::RecordView;
use rt::{File, OpenMode, Runtime};
use std::io;
use std::path::Path;

/// Units read at once.
const UNITS_AT_ONCE: usize = 16 * 1_024;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Timers of the timer log.
    pub(super) pending: Pending,
    /// The queue offset of the first record that has to be looked at.
    pub(super) next: i64,
    /// The last record before that, if it is known.
    pub(super) last: Option<(PhyOffset, u32)>,
    /// What the lives before have done.
    pub(super) before: Progress,
    /// What the files say.
    pub(super) written: Written,
}

/// What the timer log says.
#[derive(Default)]
struct Units {
    pending: Pending,
    last: Option<(PhyOffset, u32)>,
    seal: Seal,
    /// The position behind the last unit.
    end: u64,
    /// Units that lead out of the log.
    lost: u64,
}

impl<R: Runtime> Place<'_, R> {
    /// Reads what there is. An error is one of reading `timercheck`: whoever goes on without it
    /// delivers everything again.
    pub(super) async fn load(&self, store: &Store<R>) -> io::Result<Loaded> {
        let path = self.root.join(CHECK);
        let check = match self.rt.read_file(&path).await {
            Ok(bytes) => Check::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let text = format!("read {}: {error}", path.display());
                return Err(io::Error::new(error.kind(), text));
            }
        };
        let range = store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
        let (min, max) = (range.min_offset.0, range.max_offset.0);
        let Some(check) = check else {
            return Ok(Loaded { next: min, ..Loaded::default() });
        };
        // The log may have lost its end, and these offsets have other records by now.
        let known = check.known.max(check.begin).min(max);
        let before = Progress { done_ms: check.done_ms, known };
        let written = Written { check };
        let from_topic = Loaded { next: min, before, written, ..Loaded::default() };
        if check.begin == 0 {
            return Ok(from_topic);
        }
        match self.units(store, &check).await {
            Ok(units) => {
                let next = self.next(store, &check, &units).await.clamp(min, max);
                if units.lost > 0 {
                    tracing::warn!("{} timers of {LOG} are no longer in the log", units.lost);
                }
                Ok(Loaded { pending: units.pending, next, last: units.last, ..from_topic })
            }
            Err(why) => {
                let log = self.root.join(LOG);
                tracing::warn!("{} is not used, {TIMER_TOPIC} is read: {why}", log.display());
                Ok(from_topic)
            }
        }
    }

    /// How many the file for tools counts; nothing where it can't be read.
    pub(super) async fn saved_metrics(&self) -> TimerMetrics {
        let bytes = self.rt.read_file(&self.root.join(METRICS)).await.unwrap_or_default();
        json::from_lenient(&bytes).unwrap_or_default()
    }

    /// Where Apache's broker goes on, and where this one does (`TimerMessageStore.recover`).
    async fn next(&self, store: &Store<R>, check: &Check, units: &Units) -> i64 {
        if check.seal.is_some() {
            return check.begin;
        }
        let begin = check.begin.min(check.known);
        let Some((at, _)) = units.last else { return begin };
        let record = store.message_at(at).await.ok().flatten();
        let offset = record.as_deref().and_then(|bytes| {
            let record = RecordView::parse(bytes).ok()?;
            (record.topic() == TIMER_TOPIC).then(|| record.queue_offset())
        });
        offset.map_or(begin, |offset| (offset + 1).min(check.begin))
    }

    /// All units of the timer log; else why they are not to be used.
    async fn units(&self, store: &Store<R>, check: &Check) -> Result<Units, String> {
        let folder = self.root.join(LOG);
        let listed = match self.rt.list_dir(&folder).await {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => vec![],
            Err(error) => return Err(format!("list {}: {error}", folder.display())),
        };
        let named = |name: &str| name.parse::<u64>().ok().filter(|_| name.len() == 20);
        let mut files: Vec<(u64, String)> =
            listed.into_iter().filter_map(|file| Some((named(&file.name)?, file.name))).collect();
        files.sort_unstable();
        let log = store.log_begin()..store.visible();
        let mut units = Units::default();
        let mut crc = crc32fast::Hasher::new();
        for (begin, name) in files {
            let path = folder.join(name);
            let read = self.file(&path, begin, (&mut units, &mut crc), check, &log).await;
            let goes_on = read.map_err(|error| format!("read {}: {error}", path.display()))?;
            if !goes_on {
                break;
            }
        }
        units.seal.crc = crc.finalize();
        match check.seal {
            Some(seal) if seal != units.seal => {
                Err(format!("timercheck counts {seal:?}, there are {:?}", units.seal))
            }
            None if check.log_end > 0 && units.end < check.log_end.unsigned_abs() => {
                Err(format!("it ends at {}, not at {}", units.end, check.log_end))
            }
            _ => Ok(units),
        }
    }

    /// The units of one file; whether the next one goes on.
    async fn file(
        &self,
        path: &Path,
        begin: u64,
        (units, crc): (&mut Units, &mut crc32fast::Hasher),
        check: &Check,
        log: &std::ops::Range<PhyOffset>,
    ) -> io::Result<bool> {
        let file = self.rt.open(path, OpenMode::Read).await?;
        let mut at = 0;
        loop {
            let bytes = file.read_at(at, UNITS_AT_ONCE * UNIT_BYTES).await?;
            for unit in bytes.chunks(UNIT_BYTES) {
                match Unit::decode(unit, self.options.precision_ms) {
                    Found::Unit(found) => {
                        crc.update(unit);
                        units.add(&found, check.done_ms, self.options.precision_ms, log);
                    }
                    Found::Blank => return Ok(true),
                    Found::Nothing => return Ok(false),
                }
                at += UNIT_BYTES as u64;
                units.end = begin + at;
            }
            if bytes.len() < UNITS_AT_ONCE * UNIT_BYTES {
                return Ok(true);
            }
        }
    }
}

impl Units {
    fn add(
        &mut self,
        unit: &Unit,
        done_ms: i64,
        precision_ms: i64,
        log: &std::ops::Range<PhyOffset>,
    ) {
        let mut timer = unit.timer;
        self.seal.units += 1;
        self.last = Some((timer.at, timer.size));
        let floor_ms = timer.slot_ms.div_euclid(precision_ms).saturating_mul(precision_ms);
        timer.after_ms = timer.after_ms.saturating_add(timer.slot_ms.saturating_sub(floor_ms));
        timer.slot_ms = floor_ms;
        // What was stored once more may not be there any more: whoever delivers looks.
        if timer.slot_ms < done_ms && timer.kind != Kind::Roll {
            return;
        }
        if log.contains(&timer.at) {
            self.pending.insert(&timer);
        } else {
            self.lost += 1;
        }
    }
}
