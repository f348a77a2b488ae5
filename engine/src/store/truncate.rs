//! Cutting the log of an open store, and beginning an empty one elsewhere.
//!
//! ```text
//!   appends refused ─► everything written, flushed, checkpointed ─► `to` is a boundary ─► manifest: cut at `to`
//!     ─► memory: watermarks, tail, queues, caches, arrivals ─► files: log, queues, index ─► manifest: cut done ─► appends again
//! ```
//!
//! The manifest goes first: from then on nothing behind `to` is trusted, whatever a crash leaves of
//! the files; the next open finishes the cut ([`finish_removal`], `LogFiles::cut`). A crash before
//! it leaves the store as it was. So recovery ends in one of the two, and never in between.
//!
//! Reads go on. One that was under way begins again when it meets the cut
//! ([`Inner::undisturbed`]); slices that readers hold keep their memory. A failure behind the
//! manifest poisons the store, for what memory and files hold differs then: a restart finishes the
//! cut.

use super::{Inner, Phase, Store};
use crate::commitlog::reader::LogReader;
use crate::commitlog::scan::{ScanLimits, Scanned, scan_one};
use crate::config::LogSource;
use crate::consumequeue::disk::QueuePlace;
use crate::error::{FileError, OpenError, StoreError};
use crate::manifest::Manifest;
use crate::offset::{PhyOffset, QueueOffset};
use crate::paths::{Paths, parse_offset_name};
use crate::signal::Signal;
use protocol::record::RECORD_BYTES_MIN;
use rt::{Priority, Runtime};
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

/// What a cut does, found out before anything is changed.
struct Cut {
    to: u64,
    /// What the log's last block holds up to there.
    partial: Vec<u8>,
    /// Queues that end earlier.
    ends: Vec<CutQueue>,
    /// The empty log begins there instead.
    is_begin: bool,
}

/// A queue that loses its last messages.
struct CutQueue {
    place: QueuePlace,
    end: QueueOffset,
    /// It has none left and never had any: a queue of our own whose first messages have left the
    /// log goes on where they ended, a copied one where the next record says.
    is_gone: bool,
}

impl<R: Runtime> Store<R> {
    /// The log ends at `to` from now on, the beginning of a record or of a file's blank, or the
    /// log's beginning: records from there on are gone from queues, index and reads, as if they had
    /// never been. When it returns, that survives a crash.
    ///
    /// What is appended already is written and flushed first. Appends meanwhile are refused as with
    /// a full tail. It runs to its end also when nobody waits for it. After an error of a file the
    /// log is as it was, or the store is poisoned and the next open decides.
    pub async fn truncate(&self, to: PhyOffset) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.whole(async move { inner.truncate(to.0).await }).await
    }

    /// An empty log begins at `at` from now on: where another broker's log begins that is going to
    /// be copied. `at` is a file's beginning, so that Apache RocketMQ, which reads files from their
    /// beginning, finds records there. When it returns, that survives a crash.
    pub async fn begin_at(&self, at: PhyOffset) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.whole(async move { inner.begin_at(at.0).await }).await
    }

    /// Runs `change` to its end whether or not the caller waits for it: a half one would leave the
    /// log shut. Closing waits for it.
    pub(super) async fn whole(
        &self,
        change: impl Future<Output = Result<(), StoreError>> + 'static,
    ) -> Result<(), StoreError> {
        if self.inner.life.phase.get() != Phase::Open {
            return Err(StoreError::Closed);
        }
        let done = Rc::new((Signal::default(), RefCell::new(None)));
        let told = done.clone();
        self.inner.run(Priority::Foreground, async move {
            let result = change.await;
            *told.1.borrow_mut() = Some(result);
            told.0.notify();
        });
        loop {
            let seen = done.0.seen();
            if let Some(result) = done.1.borrow_mut().take() {
                return result;
            }
            done.0.changed_since(seen).await;
        }
    }
}

impl<R: Runtime> Inner<R> {
    async fn truncate(&self, to: u64) -> Result<(), StoreError> {
        let _turn = self.derived.turn.take().await;
        let (begin, end) = (self.writing.log.begin(), self.watermarks.appended().0);
        if to < begin || to > end {
            let [found, begin, end] = [to, begin, end].map(PhyOffset);
            return Err(StoreError::OutOfLog { found, begin, end });
        }
        if to == end {
            return Ok(());
        }
        let shut = self.shut();
        self.write_checkpoint().await?;
        if to > begin {
            self.check_boundary(to).await?;
        }
        let partial = self.writing.log.last_block(to).await?;
        let ends = self.ends_below(to).await?;
        let from = self.watermarks.appended().0;
        self.change_end(Cut { to, partial, ends, is_begin: false }).await?;
        tracing::info!(from, to, "the log was cut");
        drop(shut);
        Ok(())
    }

    async fn ends_below(&self, to: u64) -> Result<Vec<CutQueue>, FileError> {
        let is_copy = self.writing.source.get() == LogSource::Foreign;
        let ends = self.derived.queues.ends_below(to).await?;
        let cut = |(place, min, end): (QueuePlace, QueueOffset, QueueOffset)| CutQueue {
            place,
            end,
            is_gone: end == min && (is_copy || end == QueueOffset(0)),
        };
        Ok(ends.into_iter().map(cut).collect())
    }

    async fn begin_at(&self, at: u64) -> Result<(), StoreError> {
        let _turn = self.derived.turn.take().await;
        let (begin, end) = (self.writing.log.begin(), self.watermarks.appended().0);
        let file_bytes = self.writing.log.file_bytes();
        if begin != end || at < begin || !at.is_multiple_of(file_bytes) {
            let [found, begin, end] = [at, begin, end].map(PhyOffset);
            return Err(StoreError::Begin { found, begin, end, file_bytes });
        }
        let _shut = self.shut();
        self.write_checkpoint().await?;
        self.change_end(Cut { to: at, partial: Vec::new(), ends: Vec::new(), is_begin: true }).await
    }

    /// A record or a blank begins at `at`, which is below the log's end; or, where damage begins,
    /// the records of its file lead there. Everything is written.
    async fn check_boundary(&self, at: u64) -> Result<(), StoreError> {
        let limits = ScanLimits {
            file_bytes: self.writing.log.file_bytes(),
            record_bytes_max: self.env.config.record_bytes_max(),
            strict_from: u64::MAX,
            strict_from_ms: 0,
        };
        let mut reader = LogReader::new(&self.writing.log, self.watermarks.written().0);
        let Err(found) = next_in(&mut reader, at, limits).await? else { return Ok(()) };
        let mut place = self.writing.log.start_of(at);
        while place < at {
            match next_in(&mut reader, place, limits).await? {
                Ok(bytes) => place += bytes,
                Err(_) => break,
            }
        }
        let leads_there = place == at;
        if leads_there { Ok(()) } else { Err(StoreError::NoBoundary { at: PhyOffset(at), found }) }
    }

    /// The log is at rest, and nothing of it changes meanwhile but by this.
    async fn change_end(&self, cut: Cut) -> Result<(), StoreError> {
        self.check();
        let queues = self.derived.queues.writing.take().await;
        let index = self.derived.index.turn.take().await;
        let zeros = self.writing.zeros.hold().await;
        let flushing = self.writing.flush_turn.take().await;
        let creating = self.writing.log.hold().await;
        let mut manifest = self.manifest_behind(&cut);
        // A flushed mark above the cut would make recovery take what is gone for damage. An older
        // one than need be does no harm if the manifest does not follow.
        if let Err(error) = self.writing.mark.take_back(cut.to).await {
            return Err(error.into());
        }
        // Nor may the tail say that what is going to be gone is there.
        self.writing.withdraw_tail();
        if let Err(error) = self.replace_manifest(manifest.clone().encode()).await {
            drop((queues, index, zeros, flushing, creating));
            return self.undo(error).await;
        }
        let log_begin = if cut.is_begin { cut.to } else { self.writing.log.begin() };
        self.change_memory(&cut);
        let mut done = self.change_files(&cut, log_begin).await;
        if done.is_ok() {
            manifest.cut_at = None;
            done = self.replace_manifest(manifest.encode()).await;
        }
        if done.is_ok() {
            self.writing.restore_tail(&self.watermarks);
        }
        drop((queues, index, zeros, flushing, creating));
        self.tell_all();
        if let Err(error) = done {
            self.poison_with(&error);
            return Err(error.into());
        }
        // For Apache RocketMQ's checkpoint; the manifest says it all already.
        if let Err(error) = self.write_checkpoint().await {
            tracing::warn!(%error, "the log is cut; its checkpoint will be written later");
        }
        self.check();
        Ok(())
    }

    /// Nobody knows which manifest is there after a failure: one that cuts must not meet messages
    /// that come after it.
    async fn undo(&self, error: FileError) -> Result<(), StoreError> {
        if self.write_checkpoint().await.is_err() {
            self.poison_with(&error);
        } else {
            self.writing.restore_tail(&self.watermarks);
        }
        Err(error.into())
    }

    /// What the manifest says before anything else is changed.
    fn manifest_behind(&self, cut: &Cut) -> Manifest {
        let mut manifest = self.manifest_now();
        manifest.log_end = cut.to;
        if cut.is_begin {
            manifest.log_begin = cut.to;
        } else {
            manifest.cut_at = Some(cut.to);
        }
        manifest.own_from = manifest.own_from.map(|own_from| own_from.min(cut.to));
        for CutQueue { place, end, is_gone } in &cut.ends {
            let Some(queues) = manifest.queues.get_mut(&*place.topic) else { continue };
            if *is_gone {
                queues.remove(&place.queue_id);
            } else if let Some(listed) = queues.get_mut(&place.queue_id) {
                listed.max = end.0;
            }
        }
        manifest.queues.retain(|_, queues| !queues.is_empty());
        manifest.cut_behind(cut.to);
        manifest.deleted.values_mut().for_each(|below| *below = cut.to.min(*below));
        manifest.index = self.derived.index_mark.borrow().clone();
        if let Some(mark) = &mut manifest.index {
            mark.cut(cut.to);
        }
        manifest
    }

    /// All of it at once: no reader meets a half.
    fn change_memory(&self, cut: &Cut) {
        let (writing, derived) = (&self.writing, &self.derived);
        writing.log.note_cut();
        self.watermarks.cut_to(cut.to);
        writing.tail.borrow_mut().cut(cut.to, cut.partial.clone());
        writing.zeros.cut(cut.to);
        self.forget_obstacles();
        if writing.source.get() == LogSource::Own {
            writing.own_from.set(writing.own_from.get().min(cut.to));
        }
        {
            let mut table = derived.queues.table.borrow_mut();
            for CutQueue { place, end, is_gone } in &cut.ends {
                derived.queues.files.forget(&[place.key]);
                if *is_gone {
                    table.remove_queue(place.key);
                } else {
                    table.truncate(place.key, *end);
                }
            }
        }
        derived.deleted.borrow_mut().values_mut().for_each(|below| *below = cut.to.min(*below));
        derived.manifest_end.set(cut.to);
        derived.listed_end.set(derived.listed_end.get().min(cut.to));
        derived.queues.cut_failures(cut.to);
        if let Some(mark) = &mut *derived.index_mark.borrow_mut() {
            mark.cut(cut.to);
        }
        derived.index.forget_handed();
        derived.index.count_from(cut.to, self.counts.0.get().messages);
        self.caches.cut(cut.to);
        self.cut_arrivals();
    }

    async fn change_files(&self, cut: &Cut, log_begin: u64) -> Result<(), FileError> {
        if cut.is_begin {
            self.writing.log.begin_anew(cut.to).await?;
        } else {
            self.writing.log.cut(cut.to).await?;
        }
        let index_cut = self.derived.index.cut(cut.to, log_begin).await;
        if cut.is_begin {
            self.derived.index.set_upto(cut.to);
        }
        if let Err(error) = index_cut {
            tracing::warn!(%error, "an index file that leads behind the log's end stays; it is \
                found out by queries");
        }
        for queue in &cut.ends {
            self.cut_queue_files(queue).await?;
        }
        self.derived.queues.files.sync_folders().await
    }

    async fn cut_queue_files(&self, queue: &CutQueue) -> Result<(), FileError> {
        let (files, place) = (&self.derived.queues.files, &queue.place);
        if queue.is_gone {
            files.remove_queue(place).await
        } else {
            files.cut_and_sync(place, queue.end).await
        }
    }

    /// Whoever waits for the log looks again.
    fn tell_all(&self) {
        self.writing.appended.notify();
        self.writing.written.notify();
        self.visibility.acknowledged.notify();
        self.derived.wake.notify();
    }
}

/// The length of the record or blank at `at`, or what lies there instead.
pub(super) async fn next_in<R: Runtime>(
    reader: &mut LogReader<'_, R>,
    at: u64,
    limits: ScanLimits,
) -> Result<Result<u64, String>, FileError> {
    let mut needed = RECORD_BYTES_MIN;
    loop {
        let bytes = reader.bytes(at, needed).await?;
        match scan_one(bytes, at, limits) {
            Scanned::Record(record) => return Ok(Ok(record.total_size() as u64)),
            Scanned::Blank => return Ok(Ok(limits.file_bytes - at % limits.file_bytes)),
            Scanned::NeedsBytes(more) if more > needed => needed = more,
            Scanned::NeedsBytes(_) => return Ok(Err("the file's end".to_owned())),
            Scanned::End(found) => return Ok(Err(found)),
        }
    }
}

/// Removes the log files behind a cut that a crash came into; what the last one holds behind it is
/// made zeros by [`crate::commitlog::files::LogFiles::cut`].
pub(super) async fn finish_removal<R: Runtime>(
    rt: &R,
    paths: &Paths,
    manifest: Option<&Manifest>,
) -> Result<(), OpenError> {
    let Some(cut_at) = manifest.and_then(|manifest| manifest.cut_at) else { return Ok(()) };
    let folder = paths.commitlog();
    let entries = rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
    let starts = entries.iter().filter_map(|entry| parse_offset_name(&entry.name));
    for start in starts.filter(|start| *start >= cut_at) {
        let path = paths.commitlog_file(start);
        rt.remove_file(&path).await.map_err(FileError::at("remove", &path, 0))?;
    }
    Ok(())
}
