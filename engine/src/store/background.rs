//! The tasks of an open store: the log's writer, its flusher, the preparer of files, and the writer
//! of derived files.
//!
//! A failed write or flush of the log poisons the store: it takes no more messages, never tries the
//! same flush again (the kernel may have dropped the pages, a second fdatasync would lie), and asks
//! for a restart. What failed before it touched the log is waited out ([`super::space`]). Derived
//! files are tried again: the log has everything.

use super::indexing::build_index;
use super::space::LOG_RETRY;
use super::{Inner, Phase, Store, zeros};
use crate::checkpoint::Checkpoint;
use crate::commitlog::writer::{WriteStep, next_write};
use crate::config::{FlushPolicy, LogBackend, LogSource};
use crate::error::{FileError, StoreError, is_no_space};
use crate::index::IndexMark;
use crate::limits::{WRITE_GATHER, WRITE_GATHER_BYTES};
use crate::manifest::{ListedQueue, MANIFEST_VERSION, Manifest};
use crate::offset::PhyOffset;
use futures_lite::future::or;
use rt::{File, Priority, Runtime};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// An operation of the log that failed.
pub(super) struct LogFailure {
    pub(super) error: FileError,
    /// Whether nobody knows any more what the file holds: the store stops.
    pub(super) is_final: bool,
}

impl LogFailure {
    /// Nothing was written or flushed yet.
    pub(super) fn harmless(error: FileError) -> Self {
        Self { error, is_final: false }
    }

    pub(super) fn last(error: FileError) -> Self {
        Self { error, is_final: true }
    }

    /// A write that found no space may be tried again, and no other.
    pub(super) fn of_write(error: FileError) -> Self {
        Self { is_final: !is_no_space(&error.source), error }
    }
}

impl<R: Runtime> Inner<R> {
    pub(super) fn start(self: &Rc<Self>) {
        self.run(Priority::Foreground, write_log(self.clone()));
        if self.env.config.flush == FlushPolicy::Async {
            self.run(Priority::Background, flush_log(self.clone()));
        }
        self.run(Priority::Background, prepare_files(self.clone()));
        if self.env.config.flush == FlushPolicy::Sync
            && self.env.config.backend == LogBackend::Direct
        {
            self.run(Priority::Background, zeros::write_ahead(self.clone()));
        }
        self.run(Priority::Background, write_derived(self.clone()));
        self.run(Priority::Background, super::retain::retain(self.clone()));
        if self.env.config.index_enabled {
            self.run(Priority::Background, build_index(self.clone()));
        }
    }

    pub(super) fn run(
        self: &Rc<Self>,
        priority: Priority,
        task: impl Future<Output = ()> + 'static,
    ) {
        let inner = self.clone();
        self.life.task_begins();
        self.env.rt.spawn(priority, async move {
            task.await;
            inner.life.task_ends();
        });
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.life.poison.borrow().is_some()
    }

    /// Stops accepting writes for good.
    pub(super) fn poison_with(&self, error: &impl std::fmt::Display) {
        if self.is_poisoned() {
            return;
        }
        tracing::error!(%error, "the store stops accepting writes; repair the disk, then restart");
        *self.life.poison.borrow_mut() = Some(error.to_string());
        self.writing.appended.notify();
        self.writing.written.notify();
        self.visibility.acknowledged.notify();
    }

    fn poison_error(&self) -> Result<(), StoreError> {
        match &*self.life.poison.borrow() {
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Sleeps, but not beyond the end of the store.
    pub(super) async fn pause(&self, duration: Duration) {
        let seen = self.life.stopping.seen();
        if self.life.phase.get() == Phase::Open {
            or(self.env.rt.sleep(duration), self.life.stopping.changed_since(seen)).await;
        }
    }

    fn next_step(&self) -> Option<WriteStep> {
        let mut partial = self.writing.partial_block.borrow_mut();
        next_write(
            &self.writing.tail.borrow(),
            self.watermarks.written().0,
            self.writing.log.file_bytes(),
            &mut partial,
        )
    }

    async fn write_step(&self, step: WriteStep) -> Result<(), LogFailure> {
        let ensured = self.ensure_file(self.writing.log.start_of(step.at)).await;
        ensured.map_err(LogFailure::harmless)?;
        let file = self.writing.log.file(step.at).await.map_err(LogFailure::harmless)?;
        let in_file = step.at % self.writing.log.file_bytes();
        self.writing.zeros.begin_write(step.device_end()).await;
        let (bytes, padded) = (step.device_end() - step.at, step.last.len() as u64);
        let is_sync = self.env.config.flush == FlushPolicy::Sync;
        let (operation, done) = if is_sync {
            ("write and flush", file.write_both_durably_at(in_file, step.blocks, step.last).await)
        } else {
            ("write", file.write_both_at(in_file, step.blocks, step.last).await)
        };
        done.map_err(self.writing.log.failed(operation, step.at)).map_err(LogFailure::of_write)?;
        self.can_write();
        self.writing.check(&self.watermarks);
        self.watermarks.write_to(step.upto);
        self.writing.publish_written(step.upto);
        self.writing.mark.written(step.boundary);
        self.counts.add(|counts| {
            counts.log_writes += 1;
            counts.log_bytes += bytes;
            counts.copied_again_bytes += padded;
            if self.env.config.backend == LogBackend::Mmap {
                counts.copied_again_bytes += bytes;
            }
            counts.flushes += u64::from(is_sync);
        });
        if is_sync {
            self.watermarks.flush_to(step.upto);
        }
        self.acknowledge();
        self.writing.check(&self.watermarks);
        self.writing.written.notify();
        Ok(())
    }

    /// Shows and tells what the watermark of acknowledgements has passed.
    fn acknowledge(&self) {
        if !self.watermarks.answers_at_once() {
            self.reveal();
            self.visibility.acknowledged.notify();
        }
    }

    /// Makes what is written now durable.
    async fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.writing.flush_turn.take().await;
        self.poison_error()?;
        let (from, upto) = (self.watermarks.flushed().0, self.watermarks.written().0);
        let boundary = self.writing.mark.boundary();
        let mut at = from;
        while at < upto {
            if let Err(failure) = self.flush_file(at).await {
                if failure.is_final {
                    self.poison_with(&failure.error);
                }
                return Err(failure.error.into());
            }
            at = self.writing.log.start_of(at) + self.writing.log.file_bytes();
        }
        self.watermarks.flush_to(upto);
        self.writing.publish_flushed(upto);
        self.writing.mark.flushed(boundary).await;
        Ok(())
    }

    async fn flush_file(&self, at: u64) -> Result<(), LogFailure> {
        let file = self.writing.log.file(at).await.map_err(LogFailure::harmless)?;
        let synced = file.sync_data().await.map_err(self.writing.log.failed("fdatasync", at));
        synced.map_err(LogFailure::last)?;
        self.counts.add(|counts| counts.flushes += 1);
        Ok(())
    }

    /// Waits until everything below `end` is written, then makes it durable.
    async fn flush_upto(&self, end: u64) -> Result<(), StoreError> {
        loop {
            let seen = self.writing.written.seen();
            self.poison_error()?;
            if self.watermarks.written().0 >= end {
                return self.flush().await;
            }
            self.check_writer_goes_on()?;
            self.writing.written.changed_since(seen).await;
        }
    }

    /// ConsumeQueues up to now into their files, durably, and a manifest that says so.
    pub(super) async fn write_checkpoint(&self) -> Result<(), StoreError> {
        self.check();
        self.make_way_for_manifest().await?;
        let mut manifest = self.manifest_now();
        self.flush_upto(manifest.log_end).await?;
        self.derived.queues.persist_dirty().await?;
        self.derived.queues.sync().await?;
        manifest.index = self.index_checkpoint().await;
        let path = self.env.paths.manifest();
        self.env
            .rt
            .replace_file(&path, manifest.encode(), false)
            .await
            .map_err(FileError::at("replace", &path, 0))?;
        self.derived.manifest_end.set(manifest.log_end);
        let checkpoint = Checkpoint {
            physic_timestamp_ms: manifest.last_store_ms,
            logics_timestamp_ms: manifest.last_store_ms,
            logics_physical_offset: PhyOffset(manifest.log_end).as_i64(),
            index_timestamp_ms: manifest.index.as_ref().map_or(0, IndexMark::last_ms),
            ..self.derived.checkpoint.get()
        };
        self.derived.checkpoint.set(checkpoint);
        let path = self.env.paths.checkpoint();
        self.env
            .rt
            .replace_file(&path, checkpoint.encode(), false)
            .await
            .map_err(FileError::at("replace", &path, 0))?;
        self.check();
        Ok(())
    }

    pub(super) fn manifest_now(&self) -> Manifest {
        let (log_begin, log_end, last_store_ms) =
            (self.writing.log.begin(), self.watermarks.appended().0, self.writing.clock.get());
        let mut manifest = Manifest {
            version: MANIFEST_VERSION,
            log_begin,
            log_end,
            last_store_ms,
            flush: self.env.config.flush,
            ..Manifest::default()
        };
        manifest.is_foreign = self.writing.source.get() == LogSource::Foreign;
        manifest.own_from = (!manifest.is_foreign).then(|| self.writing.own_from.get());
        manifest.deleted.clone_from(&self.derived.deleted.borrow());
        for (_, queue) in self.derived.queues.table.borrow().iter() {
            let listed = ListedQueue { min: queue.min.0, max: queue.next.0 };
            manifest
                .queues
                .entry(queue.topic.to_string())
                .or_default()
                .insert(queue.queue_id, listed);
        }
        manifest
    }
}

/// One write in flight; everything gathered meanwhile goes with the next. Where nobody waits for
/// the write, a little is let gather for a moment first ([`WRITE_GATHER`]): a device write for each
/// single message would cost more than the message, and stand in its way. Where producers wait for
/// it (SYNC_FLUSH, mmap) a lone message goes at once: group commit without a timer.
async fn write_log<R: Runtime>(inner: Rc<Inner<R>>) {
    loop {
        let seen = inner.writing.appended.seen();
        if inner.is_poisoned() {
            return;
        }
        if inner.watermarks.answers_at_once()
            && inner.life.phase.get() == Phase::Open
            && (1..WRITE_GATHER_BYTES).contains(&inner.watermarks.unwritten_bytes())
        {
            inner.env.rt.sleep(WRITE_GATHER).await;
        }
        match inner.next_step() {
            Some(step) => {
                let at = step.at;
                match inner.write_step(step).await {
                    Ok(()) => {}
                    Err(LogFailure { error, is_final: false })
                        if inner.life.phase.get() == Phase::Open =>
                    {
                        inner.wait_to_write(at, &error).await;
                    }
                    Err(LogFailure { error, .. }) => inner.poison_with(&error),
                }
            }
            None if inner.life.phase.get() != Phase::Open => return,
            None => inner.writing.appended.changed_since(seen).await,
        }
    }
}

/// fdatasync behind the writer, every `flush_interval_ms` while something was written.
async fn flush_log<R: Runtime>(inner: Rc<Inner<R>>) {
    let interval = Duration::from_millis(inner.env.config.flush_interval_ms);
    while inner.life.phase.get() == Phase::Open && !inner.is_poisoned() {
        let (seen, stopping) = (inner.writing.written.seen(), inner.life.stopping.seen());
        if inner.watermarks.flushed() == inner.watermarks.written() {
            or(
                inner.writing.written.changed_since(seen),
                inner.life.stopping.changed_since(stopping),
            )
            .await;
        }
        inner.pause(interval).await;
        if let Err(error) = inner.flush().await
            && !inner.is_poisoned()
        {
            tracing::warn!(%error, "the log is not flushed; trying again");
            inner.pause(LOG_RETRY).await;
        }
    }
}

/// Makes the next file when half of the last one is used, so that a writer never waits for it. A
/// failure is said once and tried again: see [`super::space`].
async fn prepare_files<R: Runtime>(inner: Rc<Inner<R>>) {
    while inner.life.phase.get() == Phase::Open && !inner.is_poisoned() {
        let (seen, stopping) = (inner.writing.written.seen(), inner.life.stopping.seen());
        let half = inner.writing.log.file_bytes() / 2;
        let next = inner.writing.log.created_upto();
        if inner.watermarks.appended().0 + half < next {
            or(
                inner.writing.written.changed_since(seen),
                inner.life.stopping.changed_since(stopping),
            )
            .await;
            continue;
        }
        if inner.try_file(next).await.is_err() {
            inner.pause(LOG_RETRY).await;
        }
    }
}

impl<R: Runtime> Inner<R> {
    /// One round of the derived files. A failure is logged and tried again: the log has everything.
    async fn derived_round(&self, due: bool) {
        let _turn = self.derived.turn.take().await;
        if let Err(error) = self.remove_doomed_folders().await {
            tracing::warn!(%error, "the folder of a deleted topic is still there; trying again");
        }
        let persisted = self.derived.queues.persist_dirty().await.map_err(StoreError::from);
        let done = match persisted {
            Ok(())
                if due
                    && !self.derived.queues.sync_failed()
                    && self.derived.manifest_end.get() != self.watermarks.appended().0 =>
            {
                self.write_checkpoint().await
            }
            other => other,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "ConsumeQueue files are behind; trying again");
        }
        self.writing.tail.borrow_mut().free_returned();
        let tail_begin = self.writing.tail.borrow().begin();
        self.derived.queues.table.borrow_mut().trim(tail_begin);
        self.writing.written.notify();
    }
}

/// ConsumeQueue files every `consumequeue_interval_ms`, a checkpoint every
/// `checkpoint_interval_ms`.
async fn write_derived<R: Runtime>(inner: Rc<Inner<R>>) {
    let interval = Duration::from_millis(inner.env.config.consumequeue_interval_ms);
    let checkpoint_nanos = inner.env.config.checkpoint_interval_ms.saturating_mul(1_000_000);
    let mut last_checkpoint = inner.env.rt.now_nanos();
    while inner.life.phase.get() == Phase::Open {
        let seen = inner.derived.wake.seen();
        or(inner.pause(interval), inner.derived.wake.changed_since(seen)).await;
        let due = inner.env.rt.now_nanos() - last_checkpoint >= checkpoint_nanos;
        if due {
            last_checkpoint = inner.env.rt.now_nanos();
        }
        inner.derived_round(due).await;
    }
}

impl<R: Runtime> Store<R> {
    /// Writes and syncs everything, then says so by removing `abort`: the next open scans nothing.
    /// Appends are refused from the call on, reads go on until the last handle is dropped.
    pub async fn close(&self) -> Result<(), StoreError> {
        let inner = &*self.inner;
        if inner.life.phase.get() != Phase::Open {
            return Ok(());
        }
        inner.life.enter(Phase::Closing);
        inner.life.stopping.notify();
        inner.writing.appended.notify();
        inner.derived.wake.notify();
        inner.tasks_ended().await;
        inner.finish_index().await;
        let turn = inner.derived.turn.take().await;
        let written = inner.write_checkpoint().await;
        drop(turn);
        inner.life.enter(Phase::Closed);
        let removed = match written {
            Ok(()) => inner.remove_abort().await,
            Err(error) => Err(error),
        };
        if removed.is_ok() {
            inner.writing.remove_tail();
        }
        inner.env.lock.take();
        removed
    }
}

impl<R: Runtime> Inner<R> {
    async fn tasks_ended(&self) {
        loop {
            let seen = self.life.task_ended.seen();
            if self.life.running_tasks.get() == 0 {
                return;
            }
            self.life.task_ended.changed_since(seen).await;
        }
    }

    async fn remove_abort(&self) -> Result<(), StoreError> {
        let path = self.env.paths.abort();
        self.env.rt.remove_file(&path).await.map_err(FileError::at("remove", &path, 0))?;
        let root = self.env.paths.root();
        self.env.rt.sync_dir(root).await.map_err(FileError::at("sync folder", root, 0))?;
        Ok(())
    }
}
