//! The tasks of an open store: the log's writer, its flusher, the preparer of files. Those of the
//! derived files are in [`super::checkpoints`], [`super::cuts`] and [`super::indexing`].
//!
//! A failed write or flush of the log poisons the store: it takes no more messages, never tries the
//! same flush again (the kernel may have dropped the pages, a second fdatasync would lie), and asks
//! for a restart. What failed before it touched the log is waited out ([`super::space`]). Derived
//! files are tried again: the log has everything.

use super::checkpoints::{write_checkpoints, write_queues};
use super::indexing::build_index;
use super::space::LOG_RETRY;
use super::{Inner, Phase, zeros};
use crate::commitlog::writer::{WriteStep, WriteSteps, next_writes};
use crate::config::{FlushPolicy, LogBackend};
use crate::error::{FileError, StoreError, is_no_space};
use crate::limits::{
    GATHER_TURNS_MAX, KEPT_GATHER, KEPT_GATHER_BYTES, PRIVATE_GATHER, PRIVATE_GATHER_BYTES,
    WRITE_BYTES_MAX, WRITES_TOGETHER_MAX,
};
use crate::tail_file::TailMemory;
use futures_lite::future::{or, zip};
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
        self.run(Priority::Background, write_queues(self.clone()));
        self.run(Priority::Background, write_checkpoints(self.clone()));
        if self.derived.cuts.is_due() {
            self.run(Priority::Background, super::cuts::cut_queues(self.clone()));
        }
        self.run(Priority::Background, super::retain::retain(self.clone()));
        if self.env.config.tail_follows_memory {
            self.run(Priority::Background, super::budget::follow_memory(self.clone()));
        }
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

    /// Lets more messages come before a write takes what there is.
    ///
    /// Where nobody waits for the write, for a moment: a device write for each single message would
    /// cost more than the message, and stand in its way. Where producers wait for it (SYNC_FLUSH,
    /// `mmap`), only while each turn of the core's loop brings some: a lone message goes at once,
    /// which is group commit without a timer.
    async fn gather(&self) {
        let unwritten = || self.watermarks.unwritten_bytes();
        if self.life.phase.get() != Phase::Open || unwritten() == 0 {
            return;
        }
        if self.watermarks.answers_at_once() {
            let (enough_bytes, time) = match self.life.tail_memory {
                TailMemory::Kept { .. } => (KEPT_GATHER_BYTES, KEPT_GATHER),
                _ => (PRIVATE_GATHER_BYTES, PRIVATE_GATHER),
            };
            // A small tail must not fill up meanwhile: appends would wait for this sleep.
            let quarter_bytes = (self.env.config.tail_bytes_max / 4) as u64;
            if unwritten() < enough_bytes.min(quarter_bytes) {
                self.env.rt.sleep(time).await;
            }
            return;
        }
        for _ in 0..GATHER_TURNS_MAX {
            let before = unwritten();
            if before >= WRITE_BYTES_MAX {
                return;
            }
            futures_lite::future::yield_now().await;
            if unwritten() == before {
                break;
            }
        }
        self.await_group().await;
    }

    /// Waits for the senders that were answered together ([`super::group`]).
    async fn await_group(&self) {
        let (group, appended) = (&self.writing.group, &self.writing.appended);
        let Some(wait) = group.wait(appended.seen()) else { return };
        let complete = async {
            while !group.is_complete(appended.seen()) && !self.is_poisoned() {
                appended.changed_since(appended.seen()).await;
            }
        };
        or(complete, self.env.rt.sleep(wait)).await;
        group.waited(appended.seen());
    }

    fn next_steps(&self) -> WriteSteps {
        let mut partial = self.writing.partial_block.borrow_mut();
        // Who waits for a write waits for the largest of those that go with it.
        let together = match self.env.config.backend {
            LogBackend::Direct if self.watermarks.answers_at_once() => WRITES_TOGETHER_MAX,
            _ => 1,
        };
        next_writes(
            &self.writing.tail.borrow(),
            self.watermarks.written().0,
            self.writing.log.file_bytes(),
            &mut partial,
            together,
        )
    }

    /// Writes them together. `written` moves when all are done.
    async fn write_steps(&self, steps: WriteSteps) -> Result<(), LogFailure> {
        let [Some(first), ..] = &steps else { return Ok(()) };
        let last = steps.iter().flatten().last().unwrap_or(first);
        let (at, device_end) = (first.at, last.device_end());
        let (upto, boundary) = (last.upto, last.boundary);
        let own_calls = self.writing.group.begin(self.writing.appended.seen());
        let ensured = self.ensure_file(self.writing.log.start_of(at)).await;
        ensured.map_err(LogFailure::harmless)?;
        let file = self.writing.log.file(at).await.map_err(LogFailure::harmless)?;
        self.writing.zeros.begin_write(device_end).await;
        let is_sync = self.env.config.flush == FlushPolicy::Sync;
        let began_nanos = self.env.rt.now_nanos();
        let [a, b, c, d] = steps.map(|step| self.write_step(&file, step));
        let (ab, cd) = zip(zip(a, b), zip(c, d)).await;
        for done in [ab.0, ab.1, cd.0, cd.1] {
            done?;
        }
        self.can_write();
        self.writing.check(&self.watermarks);
        self.watermarks.write_to(upto);
        self.writing.publish_written(upto);
        self.writing.mark.written(boundary);
        if is_sync {
            self.watermarks.flush_to(upto);
        }
        let took = Duration::from_nanos(self.env.rt.now_nanos().saturating_sub(began_nanos));
        self.writing.group.end(own_calls, self.writing.appended.seen(), took);
        self.acknowledge();
        self.writing.check(&self.watermarks);
        self.writing.written.notify();
        Ok(())
    }

    /// Writes one of them, durably under SYNC_FLUSH, and counts it.
    async fn write_step(&self, file: &R::File, step: Option<WriteStep>) -> Result<(), LogFailure> {
        let Some(step) = step else { return Ok(()) };
        let in_file = step.at % self.writing.log.file_bytes();
        let (bytes, padded) = (step.device_end() - step.at, step.last.len() as u64);
        let is_sync = self.env.config.flush == FlushPolicy::Sync;
        let (operation, done) = if is_sync {
            ("write and flush", file.write_both_durably_at(in_file, step.blocks, step.last).await)
        } else {
            ("write", file.write_both_at(in_file, step.blocks, step.last).await)
        };
        done.map_err(self.writing.log.failed(operation, step.at)).map_err(LogFailure::of_write)?;
        self.counts.add(|counts| {
            counts.log_writes += 1;
            counts.log_bytes += bytes;
            counts.copied_again_bytes += padded;
            if self.env.config.backend == LogBackend::Mmap {
                counts.copied_again_bytes += bytes;
            }
            counts.flushes += u64::from(is_sync);
        });
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
    pub(super) async fn flush_upto(&self, end: u64) -> Result<(), StoreError> {
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
}

/// One write in flight, or a few of the next ones together; everything gathered meanwhile goes with
/// the next, and before it goes a little may gather (`Inner::gather`).
async fn write_log<R: Runtime>(inner: Rc<Inner<R>>) {
    loop {
        let seen = inner.writing.appended.seen();
        if inner.is_poisoned() {
            return;
        }
        inner.gather().await;
        let steps = inner.next_steps();
        match steps[0].as_ref().map(|first| first.at) {
            Some(at) => match inner.write_steps(steps).await {
                Ok(()) => {}
                Err(LogFailure { error, is_final: false })
                    if inner.life.phase.get() == Phase::Open =>
                {
                    inner.wait_to_write(at, &error).await;
                }
                Err(LogFailure { error, .. }) => inner.poison_with(&error),
            },
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
