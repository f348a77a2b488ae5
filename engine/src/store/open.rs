//! Opening a store: lock, files, recovery, tasks.

use super::caches::Caches;
use super::check_files;
use super::cold_windows::ColdWindows;
use super::cuts::Cuts;
use super::damage::Known;
use super::derived::Derived;
use super::env::Env;
use super::life::Life;
use super::open_tail::{Left, new_tail, replace_abort};
use super::recover::{Recovery, ScanResult};
use super::visibility::Visibility;
use super::writing::{Room, Writing};
use super::{Inner, Store};
use crate::checkpoint::{CHECKPOINT_BYTES, Checkpoint};
use crate::commitlog::files::LogFiles;
use crate::config::{FlushPolicy, LogSource, StoreConfig};
use crate::consumequeue::disk::QueueFiles;
use crate::consumequeue::queues::Queues;
use crate::error::{FileError, OpenError};
use crate::flushed_mark::{Believed, FlushedMark, abort_content};
use crate::index::{self, Index, Shape};
use crate::manifest::{Decoded, MANIFEST_VERSION_BEHIND, Manifest};
use crate::paths::Paths;
use crate::signal::{Signal, Turn};
use crate::tail::Tail;
use crate::tail_file::{TailFile, make_tail};
use crate::watermarks::{AnswerAt, Watermarks};
use rt::runtime::DIRECT_ALIGN;
use rt::{AppendBuf, File, MemoryAccount, Runtime};
use std::cell::{Cell, RefCell};
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
    /// Bytes that the process before had appended and not written, and that were taken over from
    /// the memory that it left ([`TailMemory::Kept`]).
    pub taken_over_bytes: u64,
    /// That memory is gone, as a power cut takes it: what only it had is lost.
    pub is_kept_memory_gone: bool,
    /// Records scanned.
    pub records_scanned: u64,
    /// Damage found in the middle of the log: stretches of it that hold no readable message any
    /// more.
    pub damaged_stretches: u64,
    /// Bytes of all of them.
    pub damaged_bytes: u64,
    /// End of the log.
    pub log_end: u64,
    /// Time it took.
    pub nanos: u64,
}

impl Recovered {
    fn of(scanned: &ScanResult, was_unclean: bool, left: &Left, nanos: u64) -> Self {
        Self {
            was_unclean,
            taken_over_bytes: left.taken_over_bytes(),
            is_kept_memory_gone: left.is_gone,
            scanned_from: scanned.from,
            records_scanned: scanned.records,
            damaged_stretches: scanned.damage.stretches,
            damaged_bytes: scanned.damage.bytes,
            log_end: scanned.end,
            nanos,
        }
    }
}

impl<R: Runtime> Store<R> {
    /// Opens the store at `config.root`, made when missing, recovers it and starts its tasks.
    ///
    /// It has an account of its own, without a limit: nothing that its readers hold is refused. See
    /// [`Store::open_charging`].
    pub async fn open(rt: R, config: StoreConfig) -> Result<Self, OpenError> {
        Self::open_charging(rt, config, MemoryAccount::new(usize::MAX)).await
    }

    /// As [`Store::open`], and charges `memory` for what its readers make it hold: chunks of the
    /// tail that only their slices keep alive ([`rt::MemoryUse::LentChunks`], beyond the limit if
    /// need be) and stretches of the log read from disk ([`rt::MemoryUse::ColdWindows`], within the
    /// limit: a read that does not fit is [`crate::ReadError::TooMuchMemory`]).
    pub async fn open_charging(
        rt: R,
        config: StoreConfig,
        memory: MemoryAccount,
    ) -> Result<Self, OpenError> {
        config.check()?;
        let started = rt.now_nanos();
        let paths = Paths::new(&config.root);
        check_files::make_folders(&rt, &paths).await?;
        let lock = take_lock(&rt, &paths.lock()).await?;
        let abort = optional_file(&rt, &paths.abort()).await?;
        let was_unclean = abort.is_some();
        let mark = optional_file(&rt, &paths.flushed_mark()).await?;
        let manifest = read_manifest(&rt, &paths.manifest()).await?;
        let checkpoint = read_checkpoint(&rt, &paths.checkpoint()).await?;
        let range = check_files::log_range(&rt, &paths, &config, manifest.as_ref()).await?;
        let was_sync_flush =
            manifest.as_ref().is_some_and(|manifest| manifest.flush == FlushPolicy::Sync);
        let left =
            Left::find(&rt, &paths, &config, abort.as_deref(), &range, was_sync_flush).await?;
        // Up to here nothing was changed: a store that is refused stays as it was.
        let believed =
            Believed::of(abort.as_deref(), mark.as_deref(), range.created_upto, rt.random_u64());
        if !was_unclean {
            // What is there already names the tail that is needed until recovery is over.
            let abort = abort_content(config.process_id, believed.incarnation, None);
            replace_abort(&rt, &paths, abort).await?;
        }
        super::retain::finish_removal(&rt, &paths, &config, manifest.as_ref()).await?;
        super::truncate::finish_removal(&rt, &paths, manifest.as_ref()).await?;
        let cut_at = manifest.as_ref().and_then(|manifest| manifest.cut_at);
        let log =
            log_files(&rt, &paths, &config, (range.begin, range.created_upto), cut_at).await?;
        let taken_upto = left.take_over(&log, cut_at).await?;
        let queues = Queues::new(QueueFiles::new(rt.clone(), paths.clone(), &config));
        let mut opening = Opening {
            rt,
            config,
            paths,
            log,
            queues,
            checkpoint,
            manifest,
            believed,
            taken_upto,
            partial: Vec::new(),
            memory,
        };
        let scanned = opening.recover(was_unclean).await?;
        super::retain::correct_minima(
            &opening.queues,
            opening.log.begin(),
            opening.manifest.as_ref(),
        )
        .await?;
        let must_be_written = opening.flush_changes() || cut_at.is_some();
        let inner = Rc::new(opening.finish(&scanned, (was_unclean, started), left, lock).await?);
        if must_be_written {
            // Before the first append: the next recovery must know under which policy what it finds
            // was written, and must not cut the log once more.
            inner.write_checkpoint().await?;
        }
        inner.start();
        Ok(Self { inner })
    }
}

/// The log's files in `begin..created_upto`, the last one whole; without what lies behind a cut
/// that a crash came into.
async fn log_files<R: Runtime>(
    rt: &R,
    paths: &Paths,
    config: &StoreConfig,
    (begin, created_upto): (u64, u64),
    cut_at: Option<u64>,
) -> Result<LogFiles<R>, OpenError> {
    let log = LogFiles::new(
        rt.clone(),
        paths.clone(),
        config.backend,
        config.commitlog_file_bytes,
        begin,
        created_upto,
    );
    complete_last_file(&log).await?;
    if let Some(cut_at) = cut_at {
        log.cut(cut_at).await?;
    }
    Ok(log)
}

/// The parts of a store before it is one.
struct Opening<R: Runtime> {
    rt: R,
    config: StoreConfig,
    paths: Paths,
    log: LogFiles<R>,
    queues: Queues<R>,
    checkpoint: Checkpoint,
    manifest: Option<Manifest>,
    believed: Believed,
    /// Where the log ends with what was taken over from the tail before.
    taken_upto: Option<u64>,
    partial: Vec<u8>,
    memory: MemoryAccount,
}

impl<R: Runtime> Opening<R> {
    async fn recover(&mut self, was_unclean: bool) -> Result<ScanResult, OpenError> {
        let recovery = Recovery {
            rt: &self.rt,
            config: &self.config,
            paths: &self.paths,
            log: &self.log,
            queues: &self.queues,
            known: self.known(!was_unclean),
            manifest: self.manifest.clone(),
        };
        let scanned = recovery.run().await?;
        let is_torn = scanned.is_torn();
        if is_torn {
            let path = self.log.path_of(scanned.end);
            let in_file = scanned.end % self.log.file_bytes();
            tracing::warn!(
                path = %path.display(), offset = in_file, found = scanned.reason,
                "the log ends here; what lies behind is made zeros"
            );
        }
        // What was scanned goes into files once messages are served.
        self.queues.table.borrow_mut().trim(u64::MAX);
        let was_cut = self.manifest.as_ref().is_some_and(|manifest| manifest.cut_at.is_some());
        if was_unclean || is_torn || was_cut {
            recovery.make_durable(&scanned).await?;
        }
        self.partial = self.log.last_block(scanned.end).await?;
        Ok(scanned)
    }

    /// Where the records begin that are known to be ours; all of a new store's.
    fn own_from(&self) -> Option<u64> {
        let is_new = self.manifest.is_none() && self.log.created_upto() == 0;
        self.manifest.as_ref().and_then(|manifest| manifest.own_from).or(is_new.then_some(0))
    }

    fn known(&self, is_clean: bool) -> Known {
        // A rebuild of a store that had no manifest knows nothing of its log.
        let manifest = self
            .manifest
            .as_ref()
            .filter(|manifest| !manifest.is_rebuilding || manifest.log_end > self.log.begin());
        let is_foreign = self.manifest.as_ref().is_some_and(|manifest| manifest.is_foreign);
        Known {
            is_clean,
            has_manifest: manifest.is_some(),
            flushed_upto: manifest
                .map_or(0, Manifest::flushed_upto)
                .max(self.believed.flushed_upto.unwrap_or(0))
                // There was no power cut, and what was taken over is flushed.
                .max(self.taken_upto.unwrap_or(0)),
            // The times of a copied log go back when it is cut and fed anew.
            flushed_ms: if manifest.is_some() || is_foreign {
                0
            } else {
                self.checkpoint.physic_timestamp_ms
            },
            // What lies behind a break of a copied log its master has: the copy ends there and is
            // fed on.
            was_sync_flush: !is_foreign
                && self
                    .manifest
                    .as_ref()
                    .is_some_and(|manifest| manifest.flush == FlushPolicy::Sync),
            own_from: self.own_from(),
        }
    }

    async fn open_index(
        &self,
        scanned: &ScanResult,
        was_unclean: bool,
    ) -> Result<Index<R>, OpenError> {
        let shape = Shape { slots: self.config.index_slots, entries: self.config.index_entries };
        let (log_begin, log_end) = (self.log.begin(), scanned.end);
        let opened = index::Opened {
            was_unclean,
            checkpoint_ms: self.checkpoint.index_timestamp_ms,
            log_begin,
            log_end,
        };
        let mark = self.manifest.as_ref().and_then(|manifest| manifest.index.as_ref());
        Ok(Index::open(self.rt.clone(), self.paths.clone(), shape, mark, opened).await?)
    }

    async fn open_mark(&self, log_end: u64) -> Result<FlushedMark<R>, OpenError> {
        let is_kept = self.config.flush == FlushPolicy::Async;
        let mark = FlushedMark::open(&self.rt, &self.paths, self.believed, is_kept, log_end);
        Ok(mark.await?)
    }

    fn flush_changes(&self) -> bool {
        let before = self.manifest.as_ref().map_or(FlushPolicy::Async, |manifest| manifest.flush);
        before != self.config.flush
    }

    /// The store, recovered. `abort` names the tail of this life: from now on a kill is followed by
    /// taking that one over.
    async fn finish(
        self,
        scanned: &ScanResult,
        (was_unclean, started_nanos): (bool, u64),
        mut left: Left,
        lock: R::File,
    ) -> Result<Inner<R>, OpenError> {
        let nanos = self.rt.now_nanos() - started_nanos;
        let recovered = Recovered::of(scanned, was_unclean, &left, nanos);
        let index = self.open_index(scanned, was_unclean).await?;
        let mark = self.open_mark(scanned.end).await?;
        let (mut file, mut tail_memory) = make_tail(&self.rt, &self.config, scanned.end).await?;
        if file.is_none() && left.cool() {
            // There may be room for one of them.
            (file, tail_memory) = make_tail(&self.rt, &self.config, scanned.end).await?;
        }
        let name = file.as_ref().map(TailFile::name);
        let abort = abort_content(self.config.process_id, self.believed.incarnation, name);
        replace_abort(&self.rt, &self.paths, abort).await?;
        let mut tail =
            new_tail(&self.config, &self.memory, (scanned.end, self.partial.clone()), file);
        left.warm(&mut tail, &self.partial);
        left.remove(&self.rt, &self.config).await;
        let life = Life::new(recovered, tail_memory);
        Ok(self.into_inner(scanned, life, (index, mark, tail), lock))
    }

    fn into_inner(
        self,
        scanned: &ScanResult,
        life: Life,
        (index, mark, tail): (Index<R>, FlushedMark<R>, Tail),
        lock: R::File,
    ) -> Inner<R> {
        let end = scanned.end;
        let answer_at = AnswerAt::of(self.config.flush, self.config.backend, &life.tail_memory);
        let own_from = self.own_from();
        let manifest = self.manifest.unwrap_or_default();
        let (source, own_from) = if manifest.is_foreign {
            (LogSource::Foreign, u64::MAX)
        } else {
            (LogSource::Own, own_from.unwrap_or(end))
        };
        let cuts_are_due = life.recovered.was_unclean || scanned.is_torn();
        if !cuts_are_due {
            self.queues.files.names_are_sure();
        }
        let last_store_ms = scanned
            .last_store_ms
            .max(manifest.last_store_ms)
            .max(self.checkpoint.logics_timestamp_ms);
        Inner {
            watermarks: Watermarks::at(end, answer_at),
            counts: super::Counts::default(),
            writing: Writing {
                tail: RefCell::new(tail),
                log: self.log,
                zeros: super::zeros::Zeros::at(end),
                partial_block: RefCell::new(AppendBuf::with_capacity(DIRECT_ALIGN)),
                room: Room::default(),
                clock: Cell::new(last_store_ms),
                own_from: Cell::new(own_from),
                mark,
                source: Cell::new(source),
                is_shut: Cell::new(false),
                raw_queues: RefCell::default(),
                light_properties: RefCell::default(),
                appended: Signal::default(),
                group: super::group::Group::default(),
                written: Signal::default(),
                flush_turn: Turn::default(),
            },
            derived: Derived {
                index_mark: RefCell::new(manifest.index),
                deleted: RefCell::new(manifest.deleted),
                checkpoint: Cell::new(self.checkpoint),
                listed_end: Cell::new(manifest.log_end.min(end)),
                ..Derived::new(self.queues, index, Cuts::new(cuts_are_due))
            },
            caches: Caches::new(
                ColdWindows::new(self.config.cold_cache_bytes_max, self.memory.clone()),
                self.config.tail_bytes_max,
            ),
            visibility: Visibility::default(),
            life,
            env: Env {
                rt: self.rt,
                config: self.config,
                paths: self.paths,
                lock: RefCell::new(Some(lock)),
                memory: self.memory,
            },
        }
    }
}

async fn take_lock<R: Runtime>(rt: &R, path: &Path) -> Result<R::File, OpenError> {
    match rt.lock_file(path).await {
        Err(taken) if taken.kind() == io::ErrorKind::WouldBlock => {
            Err(OpenError::Locked { path: path.to_owned() })
        }
        other => Ok(other.map_err(FileError::at("lock", path, 0))?),
    }
}

async fn optional_file<R: Runtime>(rt: &R, path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    match rt.read_file(path).await {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(other.map_err(FileError::at("read", path, 0))?)),
    }
}

/// The manifest, if there is a good one. Refuses the store of a newer program.
async fn read_manifest<R: Runtime>(rt: &R, path: &Path) -> Result<Option<Manifest>, OpenError> {
    let Some(bytes) = optional_file(rt, path).await? else { return Ok(None) };
    match Manifest::decode(&bytes) {
        Decoded::Good(manifest) => Ok(Some(manifest)),
        Decoded::Damaged(reason) => {
            tracing::error!(path = %path.display(), reason, "the manifest is damaged: building \
                all ConsumeQueues from the log; topics deleted before may be back");
            Ok(None)
        }
        Decoded::Newer(found) => {
            Err(OpenError::Newer { path: path.to_owned(), found, known: MANIFEST_VERSION_BEHIND })
        }
    }
}

async fn read_checkpoint<R: Runtime>(rt: &R, path: &Path) -> Result<Checkpoint, OpenError> {
    let Some(bytes) = optional_file(rt, path).await? else { return Ok(Checkpoint::default()) };
    let checkpoint = Checkpoint::decode(&bytes);
    if bytes.len() < CHECKPOINT_BYTES || !checkpoint.is_plausible(rt.wall_ms()) {
        tracing::warn!(
            path = %path.display(), bytes = bytes.len(), found = ?checkpoint,
            "the checkpoint is damaged: doing without it"
        );
        return Ok(Checkpoint::default());
    }
    Ok(checkpoint)
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
        log.make_whole(&file, &path, found).await?;
    }
    Ok(())
}
