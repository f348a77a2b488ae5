//! Opening a store: lock, files, recovery, tasks.

use super::arrivals::Arrivals;
use super::cold::ColdCache;
use super::recover::{Recovery, ScanResult};
use super::{Inner, Phase, Store};
use crate::checkpoint::Checkpoint;
use crate::commitlog::files::LogFiles;
use crate::config::{FlushPolicy, StoreConfig};
use crate::consumequeue::disk::QueueFiles;
use crate::consumequeue::queues::Queues;
use crate::error::{FileError, OpenError};
use crate::manifest::Manifest;
use crate::marks::{AnswerAt, Marks};
use crate::paths::{Paths, parse_offset_name};
use crate::signal::{Signal, Turn};
use crate::tail::Tail;
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, File, Runtime};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// What opening a store found, for the lines the broker prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The store was not closed when it stopped.
    pub was_unclean: bool,
    /// Log offset from which records were scanned.
    pub scanned_from: u64,
    /// Records scanned.
    pub records_scanned: u64,
    /// End of the log.
    pub log_end: u64,
    /// Time it took.
    pub nanos: u64,
}

/// The log's files: the first one's start and the last one's end.
struct LogRange {
    begin: u64,
    created_upto: u64,
}

impl<R: Runtime> Store<R> {
    /// Opens the store at `config.root`, made when missing, recovers it and starts its tasks.
    pub async fn open(rt: R, config: StoreConfig) -> Result<Self, OpenError> {
        config.check()?;
        let started = rt.now_nanos();
        let paths = Paths::new(&config.root);
        make_folders(&rt, &paths).await?;
        let lock = take_lock(&rt, &paths.lock()).await?;
        let was_unclean = optional_file(&rt, &paths.abort()).await?.is_some();
        let pid = config.process_id.to_string().into_bytes();
        rt.replace_file(&paths.abort(), pid, false).await.map_err(FileError::at("replace", &paths.abort(), 0))?;
        let range = log_range(&rt, &paths, &config).await?;
        let log = LogFiles::new(rt.clone(), paths.clone(), config.backend, config.commitlog_file_bytes, range.begin, range.created_upto);
        complete_last_file(&log).await?;
        let queues = Queues::new(QueueFiles::new(rt.clone(), paths.clone(), config.consumequeue_file_units));
        let mut opening = Opening { rt, config, paths, log, queues, deleted: BTreeMap::new(), partial: Vec::new(), flush_before: FlushPolicy::Async };
        let scanned = opening.recover(was_unclean).await?;
        let recovered = Recovered {
            was_unclean,
            scanned_from: scanned.from,
            records_scanned: scanned.records,
            log_end: scanned.end,
            nanos: opening.rt.now_nanos() - started,
        };
        let checkpoint = optional_file(&opening.rt, &opening.paths.checkpoint()).await?.unwrap_or_default();
        let flush_changes = opening.flush_before != opening.config.flush;
        let inner = Rc::new(opening.into_inner(&scanned, recovered, Checkpoint::decode(&checkpoint), lock));
        if flush_changes {
            // Before the first append: the next recovery must know under which policy what it finds was written.
            inner.write_checkpoint().await?;
        }
        inner.start();
        Ok(Self { inner })
    }
}

/// The parts of a store before it is one.
struct Opening<R: Runtime> {
    rt: R,
    config: StoreConfig,
    paths: Paths,
    log: LogFiles<R>,
    queues: Queues<R>,
    deleted: BTreeMap<String, u64>,
    partial: Vec<u8>,
    /// The manifest's: how the log was flushed so far.
    flush_before: FlushPolicy,
}

impl<R: Runtime> Opening<R> {
    async fn recover(&mut self, was_unclean: bool) -> Result<ScanResult, OpenError> {
        let manifest = optional_file(&self.rt, &self.paths.manifest()).await?.and_then(|bytes| Manifest::decode(&bytes));
        self.flush_before = manifest.as_ref().map_or(FlushPolicy::Async, |manifest| manifest.flush);
        let mut recovery = Recovery {
            rt: &self.rt,
            config: &self.config,
            paths: &self.paths,
            log: &self.log,
            queues: &self.queues,
            deleted: BTreeMap::new(),
        };
        let scanned = recovery.run(manifest).await?;
        let is_torn = !scanned.reason.is_empty() && scanned.reason != "nothing was written";
        if is_torn {
            let path = self.log.path_of(scanned.end);
            tracing::warn!(path = %path.display(), offset = scanned.end, found = scanned.reason, "the log ends here; what lies behind is made zeros");
        }
        self.queues.persist_dirty().await?;
        self.queues.table.borrow_mut().trim(u64::MAX);
        if was_unclean || is_torn {
            recovery.make_durable(&scanned).await?;
        }
        self.partial = recovery.partial_block(scanned.end).await?;
        self.deleted = recovery.deleted;
        Ok(scanned)
    }

    fn into_inner(self, scanned: &ScanResult, recovered: Recovered, checkpoint: Checkpoint, lock: R::File) -> Inner<R> {
        let end = scanned.end;
        let last_store_ms = scanned.last_store_ms.max(checkpoint.logics_timestamp_ms);
        Inner {
            marks: Marks::at(end, AnswerAt::of(self.config.flush, self.config.backend)),
            tail: RefCell::new(Tail::new(end, self.partial, self.config.chunk_bytes, self.config.tail_bytes_max)),
            cold_cache: RefCell::new(ColdCache::new(self.config.cold_cache_bytes_max)),
            rt: self.rt,
            config: self.config,
            paths: self.paths,
            log: self.log,
            queues: self.queues,
            arrivals: RefCell::new(Arrivals::default()),
            hidden: RefCell::default(),
            deleted: RefCell::new(self.deleted),
            phase: Cell::new(Phase::Open),
            poison: RefCell::new(None),
            disk_full_at: Cell::new(None),
            last_store_ms: Cell::new(last_store_ms),
            checkpoint: Cell::new(checkpoint),
            manifest_end: Cell::new(0),
            zeros: super::zeros::Zeros::at(end),
            partial_block: RefCell::new(AppendBuf::with_capacity(DIRECT_ALIGN)),
            appended: Signal::default(),
            written: Signal::default(),
            acknowledged: Signal::default(),
            wake_background: Signal::default(),
            stopping: Signal::default(),
            flush_turn: Turn::default(),
            derived_turn: Turn::default(),
            running_tasks: Cell::new(0),
            task_ended: Signal::default(),
            recovered,
            lock: RefCell::new(Some(lock)),
        }
    }
}

/// The store's folders, their names durable: a synced file in a folder that is gone after a crash is lost as well.
async fn make_folders<R: Runtime>(rt: &R, paths: &Paths) -> Result<(), OpenError> {
    for folder in [paths.commitlog(), paths.consumequeue()] {
        rt.create_dir_all(&folder).await.map_err(FileError::at("make folder", &folder, 0))?;
    }
    for folder in paths.root().ancestors().take(3).filter(|folder| !folder.as_os_str().is_empty()) {
        rt.sync_dir(folder).await.map_err(FileError::at("sync folder", folder, 0))?;
    }
    Ok(())
}

async fn take_lock<R: Runtime>(rt: &R, path: &Path) -> Result<R::File, OpenError> {
    match rt.lock_file(path).await {
        Err(taken) if taken.kind() == io::ErrorKind::WouldBlock => Err(OpenError::Locked { path: path.to_owned() }),
        other => Ok(other.map_err(FileError::at("lock", path, 0))?),
    }
}

async fn optional_file<R: Runtime>(rt: &R, path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match rt.read_file(path).await {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(other.map_err(FileError::at("read", path, 0))?)),
    }
}

/// Checks the log's files: no gap, all of the configured size. Only the last ones may be shorter: a crash right after they
/// were made.
async fn log_range<R: Runtime>(rt: &R, paths: &Paths, config: &StoreConfig) -> Result<LogRange, OpenError> {
    let (folder, file_bytes) = (paths.commitlog(), config.commitlog_file_bytes);
    let entries = rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
    let files: Vec<(u64, u64)> = entries.iter().filter_map(|entry| Some((parse_offset_name(&entry.name)?, entry.bytes))).collect();
    let Some((begin, _)) = files.first().copied() else { return Ok(LogRange { begin: 0, created_upto: 0 }) };
    let mut expected_start = begin;
    for (nth, (start, bytes)) in files.iter().copied().enumerate() {
        if start != expected_start {
            return Err(OpenError::MissingFile { path: paths.commitlog_file(expected_start) });
        }
        let is_last = nth + 1 == files.len();
        if bytes > file_bytes || (bytes < file_bytes && !is_last) || !start.is_multiple_of(file_bytes) {
            return Err(OpenError::FileSize { path: paths.commitlog_file(start), expected: file_bytes, found: bytes, key: "mappedFileSizeCommitLog" });
        }
        expected_start += file_bytes;
    }
    Ok(LogRange { begin, created_upto: expected_start })
}

/// A crash may have left the newest file shorter than it was made.
async fn complete_last_file<R: Runtime>(log: &LogFiles<R>) -> Result<(), OpenError> {
    if log.created_upto() == log.begin() {
        return Ok(());
    }
    let start = log.created_upto() - log.file_bytes();
    let (file, path) = (log.file(start).await?, log.path_of(start));
    let found = file.len().await.map_err(FileError::at("length", &path, 0))?;
    if found < log.file_bytes() {
        file.allocate(0, log.file_bytes()).await.map_err(FileError::at("allocate", &path, found))?;
    }
    Ok(())
}

