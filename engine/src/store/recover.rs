//! From the files of a stopped store to its state in memory. See [`crate::manifest`] for what is trusted and why.
//!
//! ```text
//!   manifest good? ──yes──► adopt its queues ──► scan the log from its log_end ─┐
//!        │ no                                                                   ├─► end of the log
//!        └──► forget all ConsumeQueues ──► scan the log from its beginning ─────┘
//!   after an unclean stop: fdatasync what was read, zeros behind the end, ConsumeQueue files cut
//! ```
//!
//! A scanned record is put at its own queue offset: one below the queue's end means that the topic was deleted and began
//! anew, so what the queue had from there on is forgotten; one above it means that units are missing, so all are rebuilt.

use super::append::{is_indexed, tags_code_of};
use crate::commitlog::files::LogFiles;
use crate::commitlog::scan::{ScanLimits, Scanned, scan_one};
use crate::config::StoreConfig;
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::queues::Queues;
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, OpenError};
use crate::limits::{SCAN_READ_BYTES, UNPERSISTED_UNITS_WAKE};
use crate::manifest::{MANIFEST_VERSION, Manifest};
use crate::offset::{PhyOffset, QueueOffset};
use crate::paths::Paths;
use protocol::record::RecordView;
use rt::{BufSlice, File, Runtime};
use std::collections::BTreeMap;
use std::io;

pub(super) struct Recovery<'a, R: Runtime> {
    pub(super) rt: &'a R,
    pub(super) config: &'a StoreConfig,
    pub(super) paths: &'a Paths,
    pub(super) log: &'a LogFiles<R>,
    pub(super) queues: &'a Queues<R>,
    pub(super) deleted: BTreeMap<String, u64>,
}

/// What a scan of the log found.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanResult {
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) records: u64,
    pub(super) last_store_ms: i64,
    /// Why the log ends there; empty when its files do.
    pub(super) reason: String,
}

/// A record that does not follow its queue.
struct Gap {
    offset: u64,
    topic: String,
    queue: i32,
    expected: i64,
    found: i64,
}

impl<R: Runtime> Recovery<'_, R> {
    /// Finds the end of the log and fills the queues.
    pub(super) async fn run(&mut self, manifest: Option<Manifest>) -> Result<ScanResult, OpenError> {
        let mut from = self.log.begin();
        if let Some(manifest) = manifest {
            self.deleted.clone_from(&manifest.deleted);
            if self.adopt(&manifest).await? {
                from = manifest.log_end;
            }
        }
        if from == self.log.begin() {
            self.start_over().await?;
        }
        match self.scan(from).await? {
            Ok(scanned) => return Ok(scanned),
            Err(gap) => tracing::warn!(topic = gap.topic, queue = gap.queue, expected = gap.expected, found = gap.found, "ConsumeQueue units are missing: building all of them from the log"),
        }
        self.start_over().await?;
        self.scan(self.log.begin()).await?.map_err(|gap| self.gap_error(gap))
    }

    fn gap_error(&self, gap: Gap) -> OpenError {
        let Gap { offset, topic, queue, expected, found } = gap;
        OpenError::QueueGap { path: self.log.path_of(offset), offset, topic, queue, expected, found }
    }

    /// Takes over the listed queues if all of them are in their files.
    async fn adopt(&self, manifest: &Manifest) -> Result<bool, OpenError> {
        if manifest.log_end < self.log.begin() || manifest.log_end > self.log.created_upto() {
            return Ok(false);
        }
        for (topic, queues) in &manifest.queues {
            for (queue_id, listed) in queues {
                let (min, max) = (QueueOffset(listed.min), QueueOffset(listed.max));
                let Some(key) = self.queues.table.borrow_mut().insert(topic, *queue_id, min, max) else { return Ok(false) };
                let place = QueuePlace { key, topic: topic.as_str().into(), queue_id: *queue_id };
                if !self.queues.files.holds(&place, min, max, manifest.log_end).await? {
                    tracing::warn!(topic, queue_id, "ConsumeQueue files are not as they were: building all of them from the log");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Forgets every ConsumeQueue, in memory and on disk. The manifest is replaced first: one that lists queues must not
    /// meet half-built ones after a crash in the middle of a rebuild.
    async fn start_over(&self) -> Result<(), OpenError> {
        *self.queues.table.borrow_mut() = Default::default();
        // The new table gives the same keys to other queues.
        self.queues.files.forget_all();
        let none = Manifest { version: MANIFEST_VERSION, log_end: self.log.begin(), deleted: self.deleted.clone(), ..Manifest::default() };
        let (manifest, folder, root) = (self.paths.manifest(), self.paths.consumequeue(), self.paths.root());
        self.rt.replace_file(&manifest, none.encode(), false).await.map_err(FileError::at("replace", &manifest, 0))?;
        self.rt.remove_dir_all(&folder).await.map_err(FileError::at("remove folder", &folder, 0))?;
        self.rt.create_dir_all(&folder).await.map_err(FileError::at("make folder", &folder, 0))?;
        self.rt.sync_dir(root).await.map_err(FileError::at("sync folder", root, 0))?;
        Ok(())
    }

    async fn scan(&self, from: u64) -> Result<Result<ScanResult, Gap>, OpenError> {
        let limits = ScanLimits { file_bytes: self.log.file_bytes(), record_bytes_max: self.config.record_bytes_max() };
        let mut result = ScanResult { from, end: from, ..ScanResult::default() };
        let mut window = Window::default();
        let mut needed = 8;
        while result.end < self.log.created_upto() {
            if !self.fill(&mut window, result.end, needed).await? {
                result.reason = "the file ends".to_owned();
                break;
            }
            needed = 8;
            match scan_one(window.from(result.end), result.end, limits) {
                Scanned::Record(record) => {
                    if let Err(gap) = self.put(&record, result.end) {
                        return Ok(Err(gap));
                    }
                    result.count(&record);
                }
                Scanned::Blank => result.end = self.log.start_of(result.end) + self.log.file_bytes(),
                Scanned::NeedsBytes(bytes) => needed = bytes,
                Scanned::End(reason) => {
                    result.reason = reason;
                    break;
                }
            }
            self.bound_memory().await?;
        }
        Ok(Ok(result))
    }

    /// Makes the window hold `needed` bytes at `at`; `false` when the file has fewer.
    async fn fill(&self, window: &mut Window, at: u64, needed: usize) -> Result<bool, OpenError> {
        if window.from(at).len() >= needed {
            return Ok(true);
        }
        let (path, in_file) = (self.log.path_of(at), at % self.log.file_bytes());
        let left = usize::try_from(self.log.file_bytes() - in_file).unwrap_or(usize::MAX);
        let file = self.log.file(at).await?;
        let bytes = file.read_at(in_file, needed.max(SCAN_READ_BYTES).min(left)).await;
        *window = Window { start: at, bytes: Some(bytes.map_err(FileError::at("read", &path, in_file))?) };
        Ok(window.from(at).len() >= needed)
    }

    fn put(&self, record: &RecordView<'_>, at: u64) -> Result<(), Gap> {
        let is_deleted = self.deleted.get(record.topic()).is_some_and(|below| at < *below);
        if is_deleted || !is_indexed(record.sys_flag()) {
            return Ok(());
        }
        let offset = QueueOffset(record.queue_offset());
        let mut table = self.queues.table.borrow_mut();
        let Some(key) = table.key_or_new(record.topic(), record.queue_id(), offset) else { return Ok(()) };
        let next = table.get(key).map_or(offset, |queue| queue.next);
        if offset > next {
            return Err(Gap { offset: at, topic: record.topic().to_owned(), queue: record.queue_id(), expected: next.0, found: offset.0 });
        }
        if offset < next {
            table.truncate(key, offset);
        }
        let size = u32::try_from(record.total_size()).unwrap_or(0);
        table.push(key, Unit { at: PhyOffset(at), size, tags_code: tags_code_of(record.properties()) });
        Ok(())
    }

    /// A long scan must not hold every unit in memory.
    async fn bound_memory(&self) -> Result<(), OpenError> {
        if self.queues.table.borrow().unpersisted() >= UNPERSISTED_UNITS_WAKE {
            self.queues.persist_dirty().await?;
            self.queues.table.borrow_mut().trim(u64::MAX);
        }
        Ok(())
    }

    /// After an unclean stop: what was read is made durable, what may lie behind it is made zeros.
    pub(super) async fn make_durable(&self, scanned: &ScanResult) -> Result<(), OpenError> {
        let mut at = scanned.from;
        while at < scanned.end {
            let file = self.log.file(at).await?;
            file.sync_data().await.map_err(FileError::at("fdatasync", &self.log.path_of(at), 0))?;
            at = self.log.start_of(at) + self.log.file_bytes();
        }
        self.log.cut(scanned.end).await?;
        for (place, next) in self.queues.ends() {
            self.queues.files.cut(&place, next).await?;
        }
        self.remove_strange_queues().await
    }

    /// Folders of queues whose every record was lost.
    async fn remove_strange_queues(&self) -> Result<(), OpenError> {
        let folder = self.paths.consumequeue();
        let topics = self.rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
        for topic in topics.iter().filter(|topic| topic.is_dir) {
            let path = self.paths.topic(&topic.name);
            let queues = self.rt.list_dir(&path).await.map_err(FileError::at("list", &path, 0))?;
            for queue in queues.iter().filter(|queue| queue.is_dir && !self.knows(&topic.name, &queue.name)) {
                let path = path.join(&queue.name);
                self.rt.remove_dir_all(&path).await.map_err(FileError::at("remove folder", &path, 0))?;
            }
        }
        Ok(())
    }

    fn knows(&self, topic: &str, queue: &str) -> bool {
        queue.parse().is_ok_and(|queue_id| self.queues.table.borrow().key(topic, queue_id).is_some())
    }

    /// The bytes of the log's last block, up to its end.
    pub(super) async fn partial_block(&self, end: u64) -> Result<Vec<u8>, OpenError> {
        let start = crate::tail::block_floor(end);
        let Ok(len @ 1..) = usize::try_from(end - start) else { return Ok(Vec::new()) };
        let (path, in_file) = (self.log.path_of(start), start % self.log.file_bytes());
        let file = self.log.file(start).await?;
        let bytes = file.read_at(in_file, len).await.map_err(FileError::at("read", &path, in_file))?;
        if bytes.len() < len {
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, format!("expected {len} bytes, found {}", bytes.len()));
            return Err(FileError { operation: "read", path, offset: in_file, source }.into());
        }
        Ok(bytes.to_vec())
    }
}

impl ScanResult {
    fn count(&mut self, record: &RecordView<'_>) {
        self.end += record.total_size() as u64;
        self.records += 1;
        self.last_store_ms = self.last_store_ms.max(record.store_timestamp_ms());
    }
}

/// A stretch of the log in memory.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Option<BufSlice>,
}

impl Window {
    /// What it holds from `at` on.
    fn from(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.zip(self.bytes.as_ref()).and_then(|(skip, bytes)| bytes.get(skip..)).unwrap_or_default()
    }
}
