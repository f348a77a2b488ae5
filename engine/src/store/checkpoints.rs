//! The writers of derived files: one that puts ConsumeQueue units into their files, one that makes
//! them durable and says so in a manifest. The second may take long with many queues; the first
//! goes on meanwhile, or appends would wait for the units to leave memory.
//!
//! ```text
//!   units in memory ──persist, each second──► files ──┐
//!                                                     │ checkpoint, every ten seconds or 512 MiB:
//!   log end is noted ─────────────────────────────────┤
//!     ─► log flushed up to there ─► all persisted ────┴► files synced, a few at a time
//!     ─► every queue listed with its end at the noted log end, or as far as it is durable
//!     ─► deletions of topics since ─► manifest ─► checkpoint file
//! ```
//!
//! Nothing here keeps the core for longer than a piece of [`QUEUES_AT_ONCE`] queues takes. Where a
//! queue ended at the noted log end can be told later from the units in memory, so the walk over
//! all queues may go piece by piece while messages are appended; only [`trim`](Inner::trim) has to
//! leave the units behind the noted end alone until the walk is over.

use super::{Inner, Phase};
use crate::checkpoint::Checkpoint;
use crate::config::LogSource;
use crate::consumequeue::queues::{DurableEnd, Pace};
use crate::consumequeue::table::{Queue, QueueKey};
use crate::consumequeue::unit::Unit;
use crate::error::{FileError, StoreError};
use crate::index::IndexMark;
use crate::limits::{PIECE_PAUSE, QUEUES_AT_ONCE, UNPERSISTED_UNITS_WAKE};
use crate::manifest::{
    BehindQueue, Encoding, ListedQueue, MANIFEST_VERSION, MANIFEST_VERSION_BEHIND, Manifest,
};
use crate::offset::PhyOffset;
use futures_lite::future::or;
use rt::Runtime;
use std::rc::Rc;
use std::time::Duration;

/// Units into ConsumeQueue files every `consumequeue_interval_ms`, or when there are many.
pub(super) async fn write_queues<R: Runtime>(inner: Rc<Inner<R>>) {
    let interval = Duration::from_millis(inner.env.config.consumequeue_interval_ms);
    while inner.life.phase.get() == Phase::Open {
        let seen = inner.derived.wake.seen();
        or(inner.pause(interval), inner.derived.wake.changed_since(seen)).await;
        // A queue that fails is named in the log, and tried again.
        if !inner.waits_for_checkpoint() {
            let _failed_alone = inner.derived.queues.persist_dirty(|| inner.pace_of_writes()).await;
        }
        inner.writing.tail.borrow_mut().free_returned();
        inner.trim().await;
        inner.writing.written.notify();
    }
}

/// A checkpoint every `checkpoint_interval_ms`, or when `checkpoint_bytes` are to be scanned. A
/// failure is logged and tried again: the log has everything.
pub(super) async fn write_checkpoints<R: Runtime>(inner: Rc<Inner<R>>) {
    let interval = Duration::from_millis(inner.env.config.checkpoint_interval_ms);
    // What a crash at the start has scanned, the next one would scan again.
    let mut counted_from = inner.life.recovered.scanned_from;
    loop {
        or(inner.pause(interval), inner.much_is_appended_since(counted_from)).await;
        if inner.life.phase.get() != Phase::Open {
            return;
        }
        counted_from = inner.watermarks.appended().0;
        let _turn = inner.derived.turn.take().await;
        if inner.derived.queues.sync_failed()
            || inner.derived.manifest_end.get() == inner.watermarks.appended().0
        {
            continue;
        }
        if let Err(error) = inner.write_checkpoint_at(Pace::Ease).await {
            tracing::warn!(%error, "there is no new checkpoint; trying again");
        }
    }
}

impl<R: Runtime> Inner<R> {
    /// Waits until so much was appended behind `from` that the next checkpoint is not to be waited
    /// for.
    async fn much_is_appended_since(&self, from: u64) {
        loop {
            let seen = self.writing.written.seen();
            if self.watermarks.appended().0 >= from.saturating_add(self.env.config.checkpoint_bytes)
            {
                return;
            }
            self.writing.written.changed_since(seen).await;
        }
    }

    /// Whether so many queues have a few units each that they go into files with the next
    /// checkpoint.
    fn waits_for_checkpoint(&self) -> bool {
        let table = self.derived.queues.table.borrow();
        table.dirty_count() > self.env.config.few_queues_max
            && table.unpersisted() < UNPERSISTED_UNITS_WAKE
    }

    fn pace_of_writes(&self) -> Pace {
        let is_open = self.life.phase.get() == Phase::Open;
        if is_open { self.pace_while_open() } else { Pace::Stop }
    }

    fn pace_of_checkpoint(&self, asked: Pace) -> Pace {
        if self.closing_time_is_up() {
            Pace::Stop
        } else if asked == Pace::Hurry || self.life.phase.get() != Phase::Open {
            Pace::Hurry
        } else {
            self.pace_while_open()
        }
    }

    fn pace_while_open(&self) -> Pace {
        let unpersisted = self.derived.queues.table.borrow().unpersisted();
        if self.derived.turn.is_awaited() || unpersisted >= UNPERSISTED_UNITS_WAKE {
            Pace::Hurry
        } else {
            Pace::Ease
        }
    }

    /// Frees the units that are in files and whose records have left memory.
    async fn trim(&self) {
        let (mut from, mut units) = (0, 0);
        while from < self.derived.queues.table.borrow().slots() {
            let below = self.writing.tail.borrow().begin().min(self.derived.listed_upto.get());
            units += self.derived.queues.table.borrow_mut().trim_piece(from, QUEUES_AT_ONCE, below);
            from = self.next_piece(from).await;
        }
        self.caches.unit_bytes.set(units * size_of::<Unit>());
    }

    /// The next piece of a walk over all queues, after others had their turn.
    async fn next_piece(&self, from: usize) -> usize {
        let next = from + QUEUES_AT_ONCE;
        if next < self.derived.queues.table.borrow().slots() {
            self.env.rt.sleep(PIECE_PAUSE).await;
        }
        next
    }

    /// ConsumeQueues up to now into their files, durably, and a manifest that says so. A queue that
    /// can't be written or synced is listed with what is durable of it. The caller has
    /// `derived.turn`, but while the store is opened, and waits for it.
    pub(super) async fn write_checkpoint(&self) -> Result<(), StoreError> {
        self.write_checkpoint_at(Pace::Hurry).await
    }

    /// As [`Inner::write_checkpoint`], with or without pauses.
    async fn write_checkpoint_at(&self, pace: Pace) -> Result<(), StoreError> {
        self.check();
        let started = self.env.rt.now_nanos();
        let (mut manifest, mut behind) = (self.manifest_without_queues(), Vec::new());
        let log_end = manifest.log_end;
        let listing = self.derived.list_upto(log_end);
        self.flush_upto(log_end).await?;
        self.make_queues_durable(pace).await?;
        manifest.index = self.index_checkpoint().await;
        self.list_queues(&mut manifest, &mut behind).await;
        drop(listing);
        self.flush_deletions().await?;
        self.list_deletions(&mut manifest);
        let (last_store_ms, index_ms) =
            (manifest.last_store_ms, manifest.index.as_ref().map_or(0, IndexMark::last_ms));
        let bytes = self.encode(manifest).await;
        self.replace_manifest(bytes).await?;
        self.derived.manifest_end.set(log_end);
        self.derived.listed_end.set(log_end);
        self.derived.queues.behind_is_on_disk(&behind);
        self.write_checkpoint_file(log_end, last_store_ms, index_ms, behind.is_empty()).await?;
        self.counts.add(|counts| {
            counts.checkpoints += 1;
            counts.checkpoint_nanos += self.env.rt.now_nanos() - started;
        });
        self.check();
        Ok(())
    }

    pub(super) async fn replace_manifest(&self, bytes: Vec<u8>) -> Result<(), FileError> {
        let path = self.env.paths.manifest();
        let replaced = self.env.rt.replace_file(&path, bytes, false).await;
        replaced.map_err(FileError::at("replace", &path, 0))
    }

    async fn make_queues_durable(&self, pace: Pace) -> Result<(), StoreError> {
        let time_is_up = || self.closing_time_is_up();
        let queues = &self.derived.queues;
        // A queue that fails does so alone: it is listed as far as it is durable.
        let _failed_alone = queues.persist_dirty(|| self.pace_of_checkpoint(pace)).await;
        let is_whole = queues.sync(self.derived.manifest_end.get(), time_is_up).await?;
        if is_whole && !time_is_up() { Ok(()) } else { Err(StoreError::ClosingTimeIsUp) }
    }

    /// RocketMQ's file. While queues are behind it does not say that they are not.
    async fn write_checkpoint_file(
        &self,
        log_end: u64,
        last_store_ms: i64,
        index_ms: i64,
        queues_are_whole: bool,
    ) -> Result<(), StoreError> {
        let before = self.derived.checkpoint.get();
        let mut checkpoint = Checkpoint {
            physic_timestamp_ms: last_store_ms,
            index_timestamp_ms: index_ms,
            ..before
        };
        if queues_are_whole {
            checkpoint.logics_timestamp_ms = last_store_ms;
            checkpoint.logics_physical_offset = PhyOffset(log_end).as_i64();
        }
        self.derived.checkpoint.set(checkpoint);
        let path = self.env.paths.checkpoint();
        let replaced = self.env.rt.replace_file(&path, checkpoint.encode(), false).await;
        Ok(replaced.map_err(FileError::at("replace", &path, 0))?)
    }

    /// A manifest of the log as it is now.
    fn manifest_without_queues(&self) -> Manifest {
        let is_foreign = self.writing.source.get() == LogSource::Foreign;
        Manifest {
            version: MANIFEST_VERSION,
            log_begin: self.writing.log.begin(),
            log_end: self.watermarks.appended().0,
            last_store_ms: self.writing.clock.get(),
            flush: self.env.config.flush,
            is_foreign,
            own_from: (!is_foreign).then(|| self.writing.own_from.get()),
            ..Manifest::default()
        }
    }

    /// A manifest of the store as it is now, after a checkpoint of it and nothing since.
    pub(super) fn manifest_now(&self) -> Manifest {
        let mut manifest = self.manifest_without_queues();
        self.list_piece(&mut manifest, &mut Vec::new(), (0, usize::MAX));
        self.list_deletions(&mut manifest);
        manifest
    }

    /// Every queue, and where it ended when the log ended where the manifest says; what is synced
    /// of it if that is less.
    async fn list_queues(&self, manifest: &mut Manifest, behind: &mut Vec<(QueueKey, DurableEnd)>) {
        let mut from = 0;
        while from < self.derived.queues.table.borrow().slots() {
            self.list_piece(manifest, behind, (from, QUEUES_AT_ONCE));
            from = self.next_piece(from).await;
        }
    }

    fn list_piece(
        &self,
        manifest: &mut Manifest,
        behind: &mut Vec<(QueueKey, DurableEnd)>,
        slots: (usize, usize),
    ) {
        let ends = (manifest.log_end, self.derived.manifest_end.get());
        self.derived.queues.list(slots, ends, |key, queue, end, durable| {
            list(manifest, queue, ListedQueue { min: queue.min.0, max: end.0 });
            if let Some(durable) = durable {
                manifest.version = MANIFEST_VERSION_BEHIND;
                let queues = manifest.behind.entry(queue.topic.to_string()).or_default();
                let DurableEnd { end, scan_from } = durable;
                queues.insert(queue.queue_id, BehindQueue { durable: end.0, scan_from });
                behind.push((key, durable));
            }
        });
    }

    /// The log is flushed up to where the last topic was deleted.
    async fn flush_deletions(&self) -> Result<(), StoreError> {
        loop {
            let upto = self.derived.deleted.borrow().values().copied().max().unwrap_or(0);
            if upto <= self.watermarks.flushed().0 {
                return Ok(());
            }
            self.flush_upto(upto).await?;
        }
    }

    /// What only the end of a checkpoint tells: topics that were deleted meanwhile. Whatever such a
    /// topic has now lies behind the manifest's `log_end`.
    fn list_deletions(&self, manifest: &mut Manifest) {
        manifest.deleted.clone_from(&self.derived.deleted.borrow());
        for topic in manifest.deleted.iter().filter(|(_, below)| **below >= manifest.log_end) {
            manifest.queues.remove(topic.0);
            manifest.behind.remove(topic.0);
        }
    }

    async fn encode(&self, manifest: Manifest) -> Vec<u8> {
        let mut encoding = Encoding::begin(manifest);
        while encoding.encode_queues(QUEUES_AT_ONCE) {
            self.env.rt.sleep(PIECE_PAUSE).await;
        }
        encoding.end()
    }
}

fn list(manifest: &mut Manifest, queue: &Queue, listed: ListedQueue) {
    if let Some(queues) = manifest.queues.get_mut(&*queue.topic) {
        queues.insert(queue.queue_id, listed);
    } else {
        let first = [(queue.queue_id, listed)];
        manifest.queues.insert(queue.topic.to_string(), first.into());
    }
}
