//! From the files of a stopped store to its state in memory. See [`crate::manifest`] for what is
//! trusted and why.
//!
//! ```text
//!   manifest good? ──yes──► adopt its queues ──► scan the log from its log_end ─┐
//!        │ no                                                                   ├─► end of the log
//!        └──► forget all ConsumeQueues ──► scan the log from its beginning ─────┘
//!   after an unclean stop: fdatasync what was read, zeros behind the end; ConsumeQueue files are cut later
//! ```
//!
//! A scan takes record after record (magic, size, own offset, checksum). Where one is none,
//! [`super::damage`] decides whether that is the torn end of the log or damage to go around;
//! [`super::fill`] puts records into their queues.

use super::damage::{Damage, Known, find_record};
use super::fill::{Behind, FillFrom, Gap, Listed, QueueFill};
use crate::commitlog::files::LogFiles;
use crate::commitlog::reader::LogReader;
use crate::commitlog::scan::{NOTHING_WRITTEN, ScanLimits, Scanned, scan_one};
use crate::config::StoreConfig;
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::dispatch::is_lmq;
use crate::consumequeue::queues::{Pace, Queues};
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, OpenError};
use crate::limits::{OPENING_QUEUES_AT_ONCE, SCANNED_UNITS_MAX};
use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::offset::QueueOffset;
use crate::paths::Paths;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use protocol::record::RecordView;
use rt::{File, Runtime};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::pin::pin;

pub(super) struct Recovery<'a, R: Runtime> {
    pub(super) rt: &'a R,
    pub(super) config: &'a StoreConfig,
    pub(super) paths: &'a Paths,
    pub(super) log: &'a LogFiles<R>,
    pub(super) queues: &'a Queues<R>,
    pub(super) known: Known,
    pub(super) manifest: Option<Manifest>,
}

/// What a scan of the log found.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanResult {
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) records: u64,
    pub(super) last_store_ms: i64,
    pub(super) damage: Damage,
    /// Why the log ends there; empty when its files do.
    pub(super) reason: String,
}

/// Where a run of records ends.
enum Stop {
    Needs(usize),
    Blank,
    Break(String),
}

impl<R: Runtime> Recovery<'_, R> {
    /// Finds the end of the log and fills the queues.
    pub(super) async fn run(&self) -> Result<ScanResult, OpenError> {
        let begin = self.log.begin();
        let light_queues = self.light_queues().await?;
        if let Some(manifest) = self.manifest.as_ref().filter(|manifest| !manifest.is_rebuilding)
            && manifest.log_end > begin
            && self.adopt(manifest).await?
        {
            // Below `log_end` only for queues that are behind.
            let from = manifest.scan_from().max(begin);
            let listed = self.listed(manifest).await?;
            match self.scan(from, Some(&listed), &light_queues).await? {
                Ok(scanned) => return Ok(scanned),
                Err(Gap { topic, queue_id, expected, found, .. }) => {
                    tracing::warn!(
                        topic,
                        queue_id,
                        expected,
                        found,
                        "ConsumeQueue units are missing: building all of them from the log"
                    );
                }
            }
        }
        self.start_over(&light_queues).await?;
        let scanned = self.scan(begin, None, &light_queues).await?;
        scanned.map_err(|gap| {
            let Gap { at, topic, queue_id, expected, found } = gap;
            OpenError::QueueGap {
                path: self.log.path_of(at),
                offset: at % self.log.file_bytes(),
                topic,
                queue: queue_id,
                expected,
                found,
            }
        })
    }

    /// Takes over the listed queues if all of them are in their files.
    async fn adopt(&self, manifest: &Manifest) -> Result<bool, OpenError> {
        let mut listed = Vec::new();
        for (topic, queues) in &manifest.queues {
            for (queue_id, range) in queues {
                let durable = manifest.durable(topic, *queue_id, *range).durable;
                let (min, max) = (QueueOffset(range.min), QueueOffset(durable));
                let Some(key) = self.queues.table.borrow_mut().insert(topic, *queue_id, min, max)
                else {
                    return Ok(false);
                };
                listed.push((
                    QueuePlace { key, topic: topic.as_str().into(), queue_id: *queue_id },
                    min,
                    max,
                ));
            }
        }
        let check = |(place, min, max): (QueuePlace, QueueOffset, QueueOffset)| async move {
            let holds = self.queues.files.holds(&place, min, max, manifest.log_end).await;
            holds.map(|holds| (!holds).then_some(place))
        };
        let checks = stream::iter(listed).map(check).buffer_unordered(OPENING_QUEUES_AT_ONCE);
        let mut strange = pin!(checks.try_filter_map(|place| std::future::ready(Ok(place))));
        let Some(QueuePlace { topic, queue_id, .. }) = strange.try_next().await? else {
            return Ok(true);
        };
        tracing::warn!(%topic, queue_id, "ConsumeQueue files are not as they were: building all \
            of them from the log");
        Ok(false)
    }

    /// Which units the adopted queues have.
    async fn listed(&self, manifest: &Manifest) -> Result<Listed, FileError> {
        let mut behind = HashMap::new();
        for (topic, queue_id, queue) in manifest.behind.iter().flat_map(|(topic, queues)| {
            queues.iter().map(move |(queue_id, behind)| (topic, *queue_id, *behind))
        }) {
            let listed = manifest.queues.get(topic).and_then(|queues| queues.get(&queue_id));
            let key = self.queues.table.borrow().key(topic, queue_id);
            let (Some(listed), Some(key)) = (listed, key) else { continue };
            let mut from = queue.scan_from;
            if listed.min < queue.durable {
                let place = QueuePlace { key, topic: topic.as_str().into(), queue_id };
                let last = QueueOffset(queue.durable - 1);
                let last = self.queues.files.read(&place, last, 1).await?;
                from = last.first().map_or(from, Unit::end);
            }
            behind.insert(key, Behind { from, end: QueueOffset(listed.max) });
        }
        Ok(Listed { log_end: manifest.log_end, behind })
    }

    /// The light message queues there are: by their folders (Apache RocketMQ made them), or by the
    /// manifest.
    async fn light_queues(&self) -> Result<HashSet<String>, OpenError> {
        let listed = self.manifest.iter().flat_map(|manifest| manifest.queues.keys().cloned());
        let folders = self.folders_in(&self.paths.consumequeue()).await?;
        Ok(folders.into_iter().chain(listed).filter(|topic| is_lmq(topic)).collect())
    }

    async fn folders_in(&self, folder: &Path) -> Result<Vec<String>, FileError> {
        let entries = self.rt.list_dir(folder).await.map_err(FileError::at("list", folder, 0))?;
        Ok(entries.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name).collect())
    }

    /// Forgets every ConsumeQueue, in memory and on disk. The manifest is replaced first: one that
    /// lists queues must not meet half-built ones after a crash in the middle of a rebuild. What it
    /// knows of the log stays, and so do the empty folders of light message queues: they alone may
    /// say that there are such queues.
    async fn start_over(&self, light_queues: &HashSet<String>) -> Result<(), OpenError> {
        *self.queues.table.borrow_mut() = Default::default();
        // The new table gives the same keys to other queues.
        self.queues.files.forget_all();
        let known = self
            .manifest
            .clone()
            .unwrap_or_else(|| Manifest { log_end: self.log.begin(), ..Manifest::default() });
        let rebuilding = Manifest {
            version: MANIFEST_VERSION,
            is_rebuilding: true,
            behind: BTreeMap::new(),
            ..known
        };
        let (manifest, folder, root) =
            (self.paths.manifest(), self.paths.consumequeue(), self.paths.root());
        self.rt
            .replace_file(&manifest, rebuilding.encode(), false)
            .await
            .map_err(FileError::at("replace", &manifest, 0))?;
        if light_queues.is_empty() {
            self.remove_folder(&folder).await?;
        } else {
            self.remove_all_but_light_folders(&folder).await?;
        }
        self.rt.create_dir_all(&folder).await.map_err(FileError::at("make folder", &folder, 0))?;
        self.rt.sync_dir(root).await.map_err(FileError::at("sync folder", root, 0))?;
        Ok(())
    }

    async fn remove_folder(&self, folder: &Path) -> Result<(), FileError> {
        let removed = self.rt.remove_dir_all(folder).await;
        removed.map_err(FileError::at("remove folder", folder, 0))
    }

    async fn remove_all_but_light_folders(&self, folder: &Path) -> Result<(), FileError> {
        for topic in self.folders_in(folder).await? {
            let path = folder.join(&topic);
            if !is_lmq(&topic) {
                self.remove_folder(&path).await?;
                continue;
            }
            for queue in self.folders_in(&path).await? {
                self.remove_folder(&path.join(queue)).await?;
            }
            self.rt.sync_dir(&path).await.map_err(FileError::at("sync folder", &path, 0))?;
        }
        Ok(())
    }

    async fn scan(
        &self,
        from: u64,
        listed: Option<&Listed>,
        light_queues: &HashSet<String>,
    ) -> Result<Result<ScanResult, Gap>, OpenError> {
        let none_deleted = BTreeMap::new();
        let deleted = self.manifest.as_ref().map_or(&none_deleted, |manifest| &manifest.deleted);
        let fill_from = FillFrom {
            config: self.config,
            log: self.log,
            queues: self.queues,
            deleted,
            light_queues,
            takes_gaps: self.manifest.as_ref().is_some_and(|manifest| manifest.is_foreign),
            listed,
        };
        let is_whole = listed.is_none();
        let mut fill = QueueFill::new(fill_from, is_whole);
        let mut reader = LogReader::new(self.log, self.log.created_upto());
        let mut result = ScanResult { from, end: from, ..ScanResult::default() };
        let mut needed = 8;
        while result.end < self.log.created_upto() {
            let bytes = reader.bytes(result.end, needed).await?;
            let is_short = bytes.len() < needed;
            let stop = match self.take_records(bytes, &mut result, &mut fill) {
                Ok(stop) => stop,
                Err(gap) => return Ok(Err(gap)),
            };
            needed = 8;
            let reason = match stop {
                Stop::Needs(more) if !is_short => {
                    needed = more;
                    None
                }
                Stop::Needs(_) => Some("the file ends".to_owned()),
                Stop::Blank => {
                    result.end = self.log.start_of(result.end) + self.log.file_bytes();
                    None
                }
                Stop::Break(reason) => Some(reason),
            };
            if let Some(reason) = reason
                && !self.go_around(&mut reader, &mut result, &mut fill.damage, reason).await?
            {
                break;
            }
            self.bound_memory().await?;
        }
        fill.finish(self.manifest.as_ref().filter(|_| is_whole));
        result.damage = fill.damage;
        Ok(Ok(result))
    }

    fn limits(&self) -> ScanLimits {
        ScanLimits {
            file_bytes: self.log.file_bytes(),
            record_bytes_max: self.config.record_bytes_max(),
            strict_from: self.known.strict_from(),
            strict_from_ms: self.known.flushed_ms,
        }
    }

    /// Takes the records at the beginning of `bytes`, which lie at `result.end`.
    fn take_records(
        &self,
        bytes: &[u8],
        result: &mut ScanResult,
        fill: &mut QueueFill<'_, R>,
    ) -> Result<Stop, Gap> {
        let (limits, mut rest) = (self.limits(), bytes);
        loop {
            match scan_one(rest, result.end, limits) {
                Scanned::Record(record) => {
                    fill.put(&record, result.end)?;
                    result.count(&record);
                    rest = rest.get(record.total_size()..).unwrap_or_default();
                }
                Scanned::NeedsBytes(more) => return Ok(Stop::Needs(more)),
                Scanned::Blank => return Ok(Stop::Blank),
                Scanned::End(reason) => return Ok(Stop::Break(reason)),
            }
        }
    }

    /// Whether the log goes on behind a break, and from where.
    async fn go_around(
        &self,
        reader: &mut LogReader<'_, R>,
        result: &mut ScanResult,
        damage: &mut Damage,
        reason: String,
    ) -> Result<bool, OpenError> {
        let (known, at) = (&self.known, result.end);
        let behind = if known.must_look_behind(at, &reason) {
            let upto =
                if at < known.flushed_upto { known.flushed_upto } else { self.log.created_upto() };
            find_record(reader, self.log, self.limits(), at + 1, upto).await?
        } else {
            None
        };
        let Some(goes_on_at) = known.goes_on_at(at, behind) else {
            result.reason = reason;
            return Ok(false);
        };
        let may_be_torn = at >= known.torn_from();
        let found = if may_be_torn {
            format!("{reason} (damage, or what the crash tore before it was acknowledged)")
        } else {
            reason
        };
        damage.report(self.log, at, goes_on_at, &found);
        result.end = goes_on_at;
        Ok(true)
    }

    /// A long scan must not hold every unit in memory.
    async fn bound_memory(&self) -> Result<(), OpenError> {
        if self.queues.table.borrow().unpersisted() >= SCANNED_UNITS_MAX {
            self.queues.persist_dirty(|| Pace::Hurry).await?;
            self.queues.table.borrow_mut().trim(u64::MAX);
        }
        Ok(())
    }

    /// After an unclean stop: what was read is made durable, what may lie behind it in the log is
    /// made zeros. What lies behind the ends of ConsumeQueues waits: see [`super::cuts`].
    pub(super) async fn make_durable(&self, scanned: &ScanResult) -> Result<(), OpenError> {
        let mut at = scanned.from;
        while at < scanned.end {
            let file = self.log.file(at).await?;
            file.sync_data().await.map_err(FileError::at("fdatasync", &self.log.path_of(at), 0))?;
            at = self.log.start_of(at) + self.log.file_bytes();
        }
        Ok(self.log.cut(scanned.end).await?)
    }
}

impl ScanResult {
    /// Whether something lies behind the end that is no record.
    pub(super) fn is_torn(&self) -> bool {
        !self.reason.is_empty() && self.reason != NOTHING_WRITTEN
    }

    fn count(&mut self, record: &RecordView<'_>) {
        self.end += record.total_size() as u64;
        self.records += 1;
        self.last_store_ms = self.last_store_ms.max(record.store_timestamp_ms());
    }
}
