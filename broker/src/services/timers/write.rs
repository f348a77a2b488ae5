//! Gives pending timers back: `timerwheel`, `timerlog` and `timercheck`, for Apache's broker and
//! for the next life of this one.
//!
//! What must hold at every moment, whoever has the store next: no pending timer is forgotten. So
//! `timercheck` first says that nothing is in the files (begin 0: all records are looked at), and
//! says what is in them once they are durable.

use super::format::{
    BLANK_BYTES, Check, SLOT_BYTES, Seal, Slot, UNIT_BYTES, Unit, WHEEL_BYTES, blank, slot_index,
};
use super::pending::{Kind, Timer};
use super::state::Progress;
use crate::checked;
use crate::config::TimerOptions;
use engine::PhyOffset;
use futures_lite::future::yield_now;
use protocol::bodies::TimerMetrics;
use protocol::json;
use rt::{AppendBuf, File, OpenMode, Runtime};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where the files are, below a store's root.
pub(super) const CHECK: &str = "config/timercheck";
pub(super) const LOG: &str = "timerlog";
const WHEEL: &str = "timerwheel";
/// How many wait for each topic: of use to tools only, as the timer log names no topic.
pub(super) const METRICS: &str = "config/timermetrics";
/// Bytes written at once.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// A page of the wheel: what is written of it has slots that are not empty.
const PAGE_BYTES: u64 = 4_096;

/// Timers laid out before others have their turn.
const TIMERS_AT_ONCE: usize = 4_096;

/// What waits at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    /// In the order of the log.
    pub(super) timers: Vec<Timer>,
    /// How far the timers are.
    pub(super) progress: Progress,
    /// The last record that was looked at. Apache's broker takes the record of the last unit for
    /// it, and looks at all behind it again.
    pub(super) last: Option<(PhyOffset, u32)>,
    /// How many wait for each topic.
    pub(super) metrics: TimerMetrics,
}

/// What was written, for later writes of `timercheck` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// What `timercheck` says of the other files.
    pub(super) check: Check,
}

/// Where and how files are written.
pub(super) struct Place<'a, R> {
    pub(super) rt: &'a R,
    /// The store's folder.
    pub(super) root: &'a Path,
    pub(super) options: &'a TimerOptions,
}

/// A failure names its file.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.to_owned();
    move |error| io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

impl<R: Runtime> Place<'_, R> {
    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes all files anew.
    pub(super) async fn write(&self, snapshot: &Snapshot, before: &Written) -> io::Result<Written> {
        let Progress { done_ms, known } = snapshot.progress;
        let counter = before.check.counter.wrapping_add(1);
        let seal = Some(Seal::default());
        let nothing = Check { done_ms, known, log_end: 0, begin: 0, counter, seal };
        self.write_check(&nothing).await?;
        let planned = plan(snapshot, self.rt.wall_ms(), self.options).await;
        self.write_log(&planned).await?;
        self.write_wheel(&planned.slots).await?;
        self.rt.sync_dir(self.root).await.map_err(failed("sync folder", self.root))?;
        let metrics = self.path(METRICS);
        let counts = json::to_fastjson(&snapshot.metrics);
        self.rt.replace_file(&metrics, counts, false).await.map_err(failed("write", &metrics))?;
        let seal = Some(Seal { units: planned.units, crc: planned.crc });
        let log_end = checked::to_i64(planned.end);
        let check = Check { done_ms, known, log_end, begin: known, counter, seal };
        self.write_check(&check).await?;
        Ok(Written { check })
    }

    /// Writes how far the timers are; the other files stay.
    pub(super) async fn write_progress(
        &self,
        progress: Progress,
        before: &Written,
    ) -> io::Result<Written> {
        let Progress { done_ms, known } = progress;
        let counter = before.check.counter.wrapping_add(1);
        let check = Check { done_ms, known, counter, ..before.check };
        self.write_check(&check).await?;
        Ok(Written { check })
    }

    async fn write_check(&self, check: &Check) -> io::Result<()> {
        let path = self.path(CHECK);
        if let Some(folder) = path.parent() {
            self.rt.create_dir_all(folder).await.map_err(failed("create folder", folder))?;
        }
        let bytes = check.encode(self.rt.wall_ms());
        self.rt.replace_file(&path, bytes, false).await.map_err(failed("write", &path))
    }

    async fn write_log(&self, planned: &Planned) -> io::Result<()> {
        let folder = self.path(LOG);
        match self.rt.remove_dir_all(&folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &folder)(error));
            }
            _ => {}
        }
        self.rt.create_dir_all(&folder).await.map_err(failed("create folder", &folder))?;
        let file_bytes = self.options.log_file_bytes;
        for (nth, content) in (0_u64..).zip(&planned.files) {
            let path = folder.join(format!("{:020}", nth * file_bytes));
            self.write_file(&path, file_bytes, [(0, content.as_slice())].into_iter()).await?;
        }
        self.rt.sync_dir(&folder).await.map_err(failed("sync folder", &folder))
    }

    async fn write_wheel(&self, slots: &BTreeMap<i64, Slot>) -> io::Result<()> {
        let precision_ms = self.options.precision_ms;
        let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (slot_ms, slot) in slots {
            let at = slot_index(*slot_ms, precision_ms) * SLOT_BYTES as u64;
            let empty = || vec![0; checked::to(PAGE_BYTES)];
            let page = pages.entry(at / PAGE_BYTES * PAGE_BYTES).or_insert_with(empty);
            let within: usize = checked::to(at % PAGE_BYTES);
            page[within..within + SLOT_BYTES].copy_from_slice(&slot.encode(*slot_ms, precision_ms));
        }
        let path = self.path(WHEEL);
        match self.rt.remove_file(&path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &path)(error));
            }
            _ => {}
        }
        let pages = pages.iter().map(|(at, page)| (*at, page.as_slice()));
        self.write_file(&path, WHEEL_BYTES, pages).await
    }

    /// A new file of this length with these parts; the rest of it is zeros that take no room.
    async fn write_file<'p>(
        &self,
        path: &Path,
        file_bytes: u64,
        parts: impl Iterator<Item = (u64, &'p [u8])>,
    ) -> io::Result<()> {
        let opened = self.rt.open(path, OpenMode::Buffered).await;
        let file = opened.map_err(failed("create", path))?;
        file.set_len(file_bytes).await.map_err(failed("set length of", path))?;
        for (at, part) in parts {
            let mut at = at;
            for piece in part.chunks(WRITE_BYTES_MAX) {
                let written = file.write_at(at, AppendBuf::copy_of(piece)).await;
                written.map_err(failed("write", path))?;
                at += piece.len() as u64;
            }
        }
        file.sync_data().await.map_err(failed("sync", path))
    }
}

/// The content of the files.
#[derive(Default)]
struct Planned {
    files: Vec<Vec<u8>>,
    slots: BTreeMap<i64, Slot>,
    /// Where the timer log ends.
    end: u64,
    units: u64,
    crc: u32,
}

/// Lays out units and slots. What is overdue goes into the first slot that Apache's broker reads.
async fn plan(snapshot: &Snapshot, now_ms: i64, options: &TimerOptions) -> Planned {
    let mut planned = Planned::default();
    let mut crc = crc32fast::Hasher::new();
    let precision_ms = options.precision_ms;
    let written_ms = now_ms.div_euclid(precision_ms) * precision_ms;
    let done_ms = snapshot.progress.done_ms;
    for (nth, timer) in snapshot.timers.iter().enumerate() {
        if nth % TIMERS_AT_ONCE == TIMERS_AT_ONCE - 1 {
            yield_now().await;
        }
        let slot_ms = timer.slot_ms.max(done_ms).div_euclid(precision_ms) * precision_ms;
        let timer = Timer { slot_ms, ..*timer };
        let before = planned.slots.get(&slot_ms).copied();
        let prev = before.map_or(-1, |slot| slot.last);
        let at = planned.push(&Unit { timer, prev, written_ms }, options.log_file_bytes, &mut crc);
        let counts = if timer.kind == Kind::Recall { -1 } else { 1 };
        let slot = Slot {
            first: before.map_or(at, |slot| slot.first),
            last: at,
            number: before.map_or(0, |slot| slot.number).saturating_add(counts),
        };
        planned.slots.insert(slot_ms, slot);
    }
    let last_unit = snapshot.timers.last().map(|timer| timer.at);
    if let Some((at, size)) = snapshot.last.filter(|(at, _)| Some(*at) != last_unit) {
        let slot_ms = done_ms.saturating_sub(precision_ms);
        let timer = Timer { slot_ms, after_ms: 0, kind: Kind::Message, at, size };
        planned.push(&Unit { timer, prev: -1, written_ms }, options.log_file_bytes, &mut crc);
    }
    planned.crc = crc.finalize();
    planned
}

impl Planned {
    /// Appends a unit, in a new file where this one is full; its position.
    fn push(&mut self, unit: &Unit, file_bytes: u64, crc: &mut crc32fast::Hasher) -> i64 {
        let room = checked::to::<usize, _>(file_bytes);
        let is_full =
            self.files.last().is_none_or(|file| UNIT_BYTES + BLANK_BYTES > room - file.len());
        if is_full {
            if let Some(file) = self.files.last_mut() {
                file.extend(blank((room - file.len()) as u64));
            }
            self.files.push(vec![]);
        }
        let before = (self.files.len() - 1) as u64 * file_bytes;
        let file = self.files.last_mut().expect("a file was pushed");
        let at = before + file.len() as u64;
        let bytes = unit.encode();
        crc.update(&bytes);
        file.extend_from_slice(&bytes);
        self.end = at + UNIT_BYTES as u64;
        self.units += 1;
        checked::to_i64(at)
    }
}
