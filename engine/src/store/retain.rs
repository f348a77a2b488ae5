//! Removing what is too old or too much, and refusing sends while the disk is nearly full. The
//! rules are in [`crate::retention`]; here is the order of things:
//!
//! ```text
//!   which files may go ─► first message of every queue behind them (reads) ─► begin and minima move, at once
//!     ─► manifest: from here on the files are gone, whatever happens ─► log files ─► ConsumeQueue and index files
//! ```
//!
//! A read that had begun on a removed file goes on: it has the file open, or finds that it is gone,
//! which is that read's error alone. A crash before the manifest leaves the store as it was; after
//! it, the next open removes the rest.

use super::{Inner, Phase};
use crate::config::StoreConfig;
use crate::consumequeue::queues::Queues;
use crate::error::{FileError, OpenError, ReadError, StoreError, is_no_space};
use crate::manifest::{Decoded, Manifest};
use crate::offset::QueueOffset;
use crate::paths::{Paths, parse_offset_name};
use crate::retention::{Judgement, LogFile, begin_after, judge};
use futures_lite::future::or;
use rt::{DirEntry, Runtime};
use std::rc::Rc;
use std::time::Duration;

/// Looks after the space every `interval_ms`, and whenever a log file was made.
pub(super) async fn retain<R: Runtime>(inner: Rc<Inner<R>>) {
    let interval_nanos = inner.env.config.retention.interval_ms.saturating_mul(1_000_000);
    let mut due = inner.env.rt.now_nanos().saturating_add(interval_nanos);
    while inner.life.phase.get() == Phase::Open && !inner.is_poisoned() {
        let made = inner.writing.room.file_made.seen();
        let judgement = inner.look_at_space().await;
        let left = due.saturating_sub(inner.env.rt.now_nanos());
        if left > 0 {
            or(
                inner.pause(Duration::from_nanos(left)),
                inner.writing.room.file_made.changed_since(made),
            )
            .await;
            continue;
        }
        due = inner.env.rt.now_nanos().saturating_add(interval_nanos);
        inner.clean(judgement).await;
    }
}

impl<R: Runtime> Inner<R> {
    /// Asks how full the disk is and refuses sends, or takes them again.
    async fn look_at_space(&self) -> Judgement {
        let folder = self.env.paths.commitlog();
        let refused = self.writing.room.nearly_full.get();
        let used = match self.env.rt.disk_space(&folder).await {
            Ok(space) => space.used_percent(),
            Err(error) => {
                tracing::warn!(path = %folder.display(), %error, "how full the disk is can't be \
                    known; nothing is removed for space");
                return Judgement { refuse: refused.is_some(), clean: false, at_once: false };
            }
        };
        let judgement = judge(&self.env.config.retention, used, refused.is_some());
        match (refused, judgement.refuse) {
            (None, true) => tracing::error!(
                "the disk of {} is {used} % full, diskSpaceWarningLevelRatio is {}: messages are \
                    refused until no more than {} % are used",
                folder.display(),
                self.env.config.retention.warning_percent,
                self.env.config.retention.clean_forcibly_percent
            ),
            (Some(_), false) => tracing::info!(
                "the disk of {} is {used} % full: messages are taken again",
                folder.display()
            ),
            _ => {}
        }
        self.writing.room.nearly_full.set(judgement.refuse.then_some(used));
        judgement
    }

    async fn clean(&self, judgement: Judgement) {
        let retention = &self.env.config.retention;
        let is_time =
            retention.delete_when.is_now(self.env.rt.wall_ms(), self.env.rt.utc_offset_seconds());
        if !is_time && !judgement.clean {
            return;
        }
        if let Err(error) = self.remove_oldest(judgement.at_once).await {
            tracing::warn!(%error, "old files could not be removed; trying again");
        }
    }

    async fn remove_oldest(&self, at_once: bool) -> Result<(), ReadError> {
        let all = self.log_files().await?;
        let (left_over, files): (Vec<LogFile>, Vec<LogFile>) =
            all.iter().partition(|file| file.start < self.writing.log.begin());
        // A log that ends with its last file, while there is no space for the next, still begins in
        // a file that is there.
        let last_file =
            self.writing.log.created_upto().saturating_sub(self.writing.log.file_bytes());
        let keep_from = self
            .writing
            .log
            .start_of(self.watermarks.flushed().0.min(self.watermarks.visible().0))
            .min(last_file);
        let begin = begin_after(
            &self.env.config.retention,
            &files,
            self.writing.log.file_bytes(),
            keep_from,
            self.env.rt.wall_ms(),
            at_once,
        );
        let begin = begin.filter(|begin| *begin > self.writing.log.begin());
        if begin.is_none() && left_over.is_empty() {
            return Ok(());
        }
        let cuts = self.writing.log.cuts();
        let _turn = self.derived.turn.take().await;
        if self.writing.log.cuts() != cuts {
            return Ok(());
        }
        if let Some(begin) = begin {
            let begin = self.list_before(begin).await;
            if begin > self.writing.log.begin() {
                self.move_begin(begin, at_once).await?;
            }
        }
        self.remove_log_files(&all).await?;
        if self.derived.listed_end.get() < self.writing.log.begin() {
            // There is space for it now; if not, the next round says so.
            let _next_round = self.write_checkpoint().await;
        }
        let _writing = self.derived.queues.writing.take().await;
        self.derived.queues.remove_files_below_minima().await?;
        Ok(())
    }

    /// Where the log may begin if it is to begin at `begin`: no file goes with records that the
    /// manifest on disk does not list. Where their queues end is in the log alone, and after a
    /// crash the queues would give the same offsets out once more.
    ///
    /// But where there is no space for a manifest, one file goes all the same, or there would never
    /// be any; a manifest follows at once.
    async fn list_before(&self, begin: u64) -> u64 {
        if begin <= self.derived.listed_end.get() {
            return begin;
        }
        let Err(error) = self.write_checkpoint().await else { return begin };
        let (log, listed) = (&self.writing.log, self.derived.listed_end.get());
        let least = if needs_space(&error) { log.begin() + log.file_bytes() } else { 0 };
        tracing::warn!(%error, "log files behind the last manifest's end stay");
        begin.min(log.start_of(listed).max(log.start_of(least)))
    }

    /// From here on the log begins at `begin`, for who reads and for the next open.
    async fn move_begin(&self, begin: u64, at_once: bool) -> Result<(), ReadError> {
        let minima = self.derived.queues.first_units_from(begin).await?;
        tracing::info!(
            from = self.writing.log.begin(),
            to = begin,
            by_force = at_once,
            "the oldest log files go"
        );
        let writing = self.derived.queues.writing.take().await;
        self.writing.log.set_begin(begin);
        self.derived.queues.raise_minima(&minima);
        drop(writing);
        self.derived.deleted.borrow_mut().retain(|_, below| *below > begin);
        self.commit_begin(begin).await;
        Ok(())
    }

    /// All that are there: also those that an earlier round could not remove.
    async fn log_files(&self) -> Result<Vec<LogFile>, FileError> {
        let folder = self.env.paths.commitlog();
        let entries =
            self.env.rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
        let file = |entry: &DirEntry| {
            Some(LogFile { start: parse_offset_name(&entry.name)?, modified_ms: entry.modified_ms })
        };
        Ok(entries.iter().filter_map(file).collect())
    }

    /// Says in the manifest that the log begins at `begin`. The whole manifest anew when that is
    /// possible; when it is not (the writer itself waits for space), the old one with new
    /// beginnings. Without either the files go all the same: opening then finds the minima by
    /// itself, and the old manifest knows where the queues ended. So nothing is said of a topic
    /// that was deleted since: a crash brings it back, and nobody knows any more where its queues
    /// begin.
    async fn commit_begin(&self, begin: u64) {
        if self.write_checkpoint().await.is_ok() {
            return;
        }
        let path = self.env.paths.manifest();
        let Some(Decoded::Good(mut manifest)) =
            self.env.rt.read_file(&path).await.ok().map(|bytes| Manifest::decode(&bytes))
        else {
            return;
        };
        let deleted = self.derived.deleted.borrow().clone();
        if deleted
            .iter()
            .any(|(topic, below)| *below >= manifest.log_end && manifest.queues.contains_key(topic))
        {
            return;
        }
        manifest.begin_at(begin, |topic, queue_id| self.min_of(topic, queue_id));
        if let Err(error) = self.env.rt.replace_file(&path, manifest.encode(), false).await {
            tracing::warn!(path = %path.display(), %error, "the manifest could not be replaced");
        }
    }

    fn min_of(&self, topic: &str, queue_id: i32) -> Option<i64> {
        let table = self.derived.queues.table.borrow();
        table.key(topic, queue_id).and_then(|key| table.get(key)).map(|queue| queue.min.0)
    }

    /// The lowest first, and none after one that could not be removed: a log with a gap is refused
    /// at the next open, which may not know where the log begins.
    async fn remove_log_files(&self, all: &[LogFile]) -> Result<(), FileError> {
        let pause = Duration::from_millis(self.env.config.retention.file_interval_ms);
        for (nth, file) in
            all.iter().filter(|file| file.start < self.writing.log.begin()).enumerate()
        {
            if nth > 0 {
                self.pause(pause).await;
            }
            self.writing.log.remove(file.start).await?;
        }
        let folder = self.env.paths.commitlog();
        self.env.rt.sync_dir(&folder).await.map_err(FileError::at("sync folder", &folder, 0))
    }
}

fn needs_space(error: &StoreError) -> bool {
    match error {
        StoreError::DiskFull { .. } => true,
        StoreError::File(error) => is_no_space(&error.source),
        _ => false,
    }
}

/// Removes the log files that a manifest said are gone before a crash could remove them.
pub(super) async fn finish_removal<R: Runtime>(
    rt: &R,
    paths: &Paths,
    config: &StoreConfig,
    manifest: Option<&Manifest>,
) -> Result<(), OpenError> {
    let Some(manifest) = manifest.filter(|manifest| manifest.log_begin > 0) else { return Ok(()) };
    let folder = paths.commitlog();
    let entries = rt.list_dir(&folder).await.map_err(FileError::at("list", &folder, 0))?;
    let starts = entries.iter().filter_map(|entry| parse_offset_name(&entry.name));
    let gone: Vec<u64> = starts
        .filter(|start| start.saturating_add(config.commitlog_file_bytes) <= manifest.log_begin)
        .collect();
    for start in &gone {
        let path = paths.commitlog_file(*start);
        rt.remove_file(&path).await.map_err(FileError::at("remove", &path, 0))?;
    }
    if !gone.is_empty() {
        rt.sync_dir(&folder).await.map_err(FileError::at("sync folder", &folder, 0))?;
    }
    Ok(())
}

/// Queues whose first messages left the log without the manifest knowing: their minima, found anew.
pub(super) async fn correct_minima<R: Runtime>(
    queues: &Queues<R>,
    begin: u64,
    manifest: Option<&Manifest>,
) -> Result<(), OpenError> {
    if begin <= manifest.map_or(0, |manifest| manifest.log_begin) {
        return Ok(());
    }
    let minima: Vec<(_, QueueOffset)> = queues.first_units_from(begin).await?;
    queues.raise_minima(&minima);
    Ok(())
}
