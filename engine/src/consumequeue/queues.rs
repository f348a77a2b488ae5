//! The queues of a shard: the table in memory and its files together.
//!
//! Each queue fails for itself:
//!
//! - One that can't be **written** is stuck ([`super::table`]): named in the log once, tried again
//!   each round.
//! - One that can't be **synced** is not believed any more for the rest of this life: the kernel
//!   forgets pages that it could not write, and the next fdatasync succeeds without them.
//!
//! A manifest lists both with what is durable of them, and from where in the log the rest is to be
//! scanned ([`Queues::list`]). The same holds for the queues of a topic that was deleted and made
//! anew: they are in no file until the old folder is gone.

use super::disk::{Before, QueueFiles, QueuePlace};
use super::table::{Found, Queue, QueueKey, QueueTable, TakenQueues};
use super::unit::UNIT_BYTES;
use crate::error::FileError;
use crate::limits::{
    PERSIST_JOB_UNITS_MAX, PERSIST_PAUSE, PERSIST_QUEUES, PERSIST_UNITS_MAX, PERSISTS_AT_ONCE,
    PIECE_PAUSE, QUEUES_AT_ONCE, STOP_LOOK, STUCK_QUEUES_NAMED_MAX, SYNCS_AT_ONCE,
};
use crate::offset::QueueOffset;
use crate::signal::Turn;
use futures_lite::future::or;
use futures_util::stream::{self, StreamExt};
use rt::Runtime;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::io;

pub(crate) struct Queues<R: Runtime> {
    pub(crate) table: RefCell<QueueTable>,
    pub(crate) files: QueueFiles<R>,
    /// Whoever writes, cuts or removes ConsumeQueue files has it; syncs go on beside.
    pub(crate) writing: Turn,
    /// One round of writes at a time; others may have `writing` between two pieces of it.
    persisting: Turn,
    /// Why queues are not as far on disk as they should be.
    failures: RefCell<HashMap<QueueKey, Failure>>,
    /// From where in the log the manifest on disk has queues scanned again.
    behind_on_disk: RefCell<HashMap<QueueKey, u64>>,
    /// A folder's sync failed: nobody knows which files have their names, and another sync would
    /// say yes all the same.
    sync_failed: Cell<bool>,
}

/// Why a queue is not as far on disk as it should be.
#[derive(Clone)]
struct Failure {
    reason: String,
    /// Its sync failed: of its records below this place of the log all units are durable.
    unsynced_from: Option<u64>,
}

/// How a round of writes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It ends here.
    Stop,
    /// Without a pause: somebody waits for it.
    Hurry,
    /// With pauses: nobody waits, and sends must not feel it.
    Ease,
}

/// A queue that a round writes, as far as it went when its turn came: what is appended meanwhile
/// waits for the next round, or a queue that grows faster than it is written would hold it up, and
/// the checkpoint behind it, for as long as it grows.
#[derive(Clone, Copy)]
struct ToWrite {
    key: QueueKey,
    upto: QueueOffset,
}

/// Units of one queue that go into one file.
struct Batch {
    queue: ToWrite,
    place: QueuePlace,
    first: QueueOffset,
    count: usize,
    bytes: Vec<u8>,
    before: Before,
}

/// What is durable of a queue that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurableEnd {
    /// Its units below are.
    pub(crate) end: QueueOffset,
    /// Its records below this place of the log are among them.
    pub(crate) scan_from: u64,
}

pub(crate) fn place_of(key: QueueKey, queue: &Queue) -> QueuePlace {
    QueuePlace { key, topic: queue.topic.clone(), queue_id: queue.queue_id }
}

impl<R: Runtime> Queues<R> {
    pub(crate) fn new(files: QueueFiles<R>) -> Self {
        Self {
            table: RefCell::default(),
            files,
            writing: Turn::default(),
            persisting: Turn::default(),
            failures: RefCell::default(),
            behind_on_disk: RefCell::default(),
            sync_failed: Cell::new(false),
        }
    }

    /// Removes the folders of deleted topics and writes the units that are in no file. A queue that
    /// fails keeps none of the others back; it is tried again by the next call. `pace` is asked
    /// before each piece of [`PERSIST_QUEUES`]; what it stops is left for the next call too.
    ///
    /// Returns the first failure; all of them are in the log.
    pub(crate) async fn persist_dirty(&self, pace: impl Fn() -> Pace) -> Result<(), FileError> {
        let _persisting = self.persisting.take().await;
        let writing = self.writing.take().await;
        self.remove_doomed_folders().await;
        drop(writing);
        let TakenQueues { stuck, dirty } = self.table.borrow_mut().take_dirty();
        let (mut begun, mut round) = (0, Round::default());
        for piece in stuck.chunks(PERSIST_QUEUES).chain(dirty.chunks(PERSIST_QUEUES)) {
            match pace() {
                Pace::Stop => break,
                Pace::Hurry => {}
                Pace::Ease => self.files.pause(PERSIST_PAUSE).await,
            }
            begun += piece.len();
            self.persist_piece(piece, &mut round).await;
        }
        self.table.borrow_mut().give_back(dirty, begun.saturating_sub(stuck.len()));
        round.end()
    }

    /// Removes the folders of all deleted topics; those that can't be removed are tried again next
    /// time. The caller has the turn of writing.
    async fn remove_doomed_folders(&self) {
        for topic in self.files.doomed_topics() {
            if let Err(error) = self.files.remove_doomed(&topic).await {
                tracing::warn!(%error, "the folder of a deleted topic is still there; tried again");
            }
        }
    }

    /// Removes the folder of a deleted topic, durably; what a new topic of that name has for its
    /// files is written from now on.
    pub(crate) async fn remove_folder(&self, topic: &str) -> Result<(), FileError> {
        let _writing = self.writing.take().await;
        if self.files.is_doomed(topic) { self.files.remove_doomed(topic).await } else { Ok(()) }
    }

    /// Whether a queue has to wait for the removal of an older one's files: it is stuck until then.
    fn waits(&self, key: QueueKey) -> bool {
        let mut table = self.table.borrow_mut();
        let waits = table.get(key).is_some_and(|queue| self.files.is_doomed(&queue.topic));
        if waits {
            table.stick(key);
        }
        waits
    }

    async fn persist_piece(&self, keys: &[QueueKey], round: &mut Round) {
        let _writing = self.writing.take().await;
        let ready = keys.iter().copied().filter(|key| !self.waits(*key));
        let mut left: Vec<ToWrite> = ready.filter_map(|key| self.begin_write(key)).collect();
        while !left.is_empty() {
            let failed = self.write_to_files_there(&left).await;
            left.retain(|queue| failed.iter().all(|(failed, _)| *failed != queue.key));
            left = self.write_to_new_files(left, round).await;
            failed.into_iter().for_each(|(key, error)| self.is_not_written(key, error, round));
        }
    }

    /// What is left of queues goes into files that are to be made: makes one for each, and writes
    /// its first units. Returns the queues that may have more.
    async fn write_to_new_files(&self, queues: Vec<ToWrite>, round: &mut Round) -> Vec<ToWrite> {
        let write = |queue| async move { (queue, self.write_to_new_file(queue).await) };
        let mut written = stream::iter(queues).map(write).buffer_unordered(PERSISTS_AT_ONCE);
        let mut left = Vec::new();
        while let Some((queue, outcome)) = written.next().await {
            match outcome {
                Ok(true) => left.push(queue),
                Ok(false) => self.is_written(queue.key),
                Err(error) => self.is_not_written(queue.key, error, round),
            }
        }
        left
    }

    fn begin_write(&self, key: QueueKey) -> Option<ToWrite> {
        let mut table = self.table.borrow_mut();
        table.begin_write(key);
        Some(ToWrite { key, upto: table.get(key)?.next })
    }

    /// Writes what goes into files that are there: one job for a helper thread, however many queues
    /// they belong to. Returns the queues that failed.
    async fn write_to_files_there(&self, queues: &[ToWrite]) -> Vec<(QueueKey, FileError)> {
        let (mut left, mut failed) = (queues.to_vec(), Vec::new());
        loop {
            let each = PERSIST_JOB_UNITS_MAX / left.len().max(1);
            let batches = left.iter().filter_map(|queue| self.next_batch(*queue, each));
            let mut batches: Vec<Batch> =
                batches.filter(|batch| self.files.is_there(batch.before)).collect();
            if batches.is_empty() {
                return failed;
            }
            let to_write = |batch: &mut Batch| {
                (batch.place.clone(), batch.first, std::mem::take(&mut batch.bytes))
            };
            let writes = batches.iter_mut().map(to_write).collect();
            let outcomes = self.files.write_each(writes).await;
            left.clear();
            for (batch, outcome) in batches.into_iter().zip(outcomes) {
                let Batch { queue, first, count, .. } = batch;
                match outcome {
                    Some(Ok(())) => {
                        self.table.borrow_mut().persisted(queue.key, first.plus(count));
                        left.push(queue);
                    }
                    Some(Err(error)) => failed.push((queue.key, error)),
                    None => {}
                }
            }
        }
    }

    /// False when nothing of the queue is left to be written.
    async fn write_to_new_file(&self, queue: ToWrite) -> Result<bool, FileError> {
        let Some(batch) = self.next_batch(queue, PERSIST_UNITS_MAX) else { return Ok(false) };
        let Batch { place, first, count, bytes, before, .. } = batch;
        self.files.write(&place, first, &bytes, before).await?;
        self.table.borrow_mut().persisted(queue.key, first.plus(count));
        Ok(true)
    }

    /// What goes next into one file of a queue, `most` units at most.
    fn next_batch(&self, to_write: ToWrite, most: usize) -> Option<Batch> {
        let ToWrite { key, upto } = to_write;
        let table = self.table.borrow();
        let queue = table.get(key)?;
        let first = queue.persisted;
        let most = most.min(self.files.left_in_file(first)).min(upto.since(first));
        let mut bytes = Vec::with_capacity(most * UNIT_BYTES);
        queue.unpersisted(most).for_each(|unit| bytes.extend_from_slice(&unit.encode()));
        let count = bytes.len() / UNIT_BYTES;
        (count > 0).then(|| Batch {
            queue: to_write,
            place: place_of(key, queue),
            first,
            count,
            bytes,
            before: if queue.min < first && self.files.at_in_file(first) > 0 {
                Before::Units
            } else {
                Before::Nothing
            },
        })
    }

    /// Its failure stays noted until a manifest lists it whole: what was written now is not synced.
    fn is_written(&self, key: QueueKey) {
        if self.table.borrow().is_stuck(key) {
            self.table.borrow_mut().unstick(key);
            tracing::info!(queue = %self.name(key), "this ConsumeQueue is written again");
        }
    }

    fn is_not_written(&self, key: QueueKey, error: FileError, round: &mut Round) {
        if self.table.borrow_mut().stick(key) {
            self.note_failure(key, &error, None);
            round.name(&self.name(key), &error);
        }
        round.failed(error);
    }

    fn note_failure(&self, key: QueueKey, error: &FileError, unsynced_from: Option<u64>) {
        let mut failures = self.failures.borrow_mut();
        let before = failures.get(&key).and_then(|failure| failure.unsynced_from);
        let unsynced_from = before.or(unsynced_from);
        failures.insert(key, Failure { reason: error.to_string(), unsynced_from });
    }

    fn name(&self, key: QueueKey) -> String {
        let table = self.table.borrow();
        let queue = table.get(key).map(|queue| (queue.topic.clone(), queue.queue_id));
        queue.map_or_else(
            || "of a deleted topic".to_owned(),
            |(topic, queue_id)| format!("{topic} {queue_id}"),
        )
    }

    /// Why a queue is not as far on disk as it should be.
    pub(crate) fn failure(&self, key: QueueKey) -> String {
        if let Some(failure) = self.failures.borrow().get(&key) {
            return failure.reason.clone();
        }
        let table = self.table.borrow();
        let waits = table.get(key).is_some_and(|queue| self.files.is_doomed(&queue.topic));
        let reason = if waits {
            "the folder of a deleted topic of this name can't be removed"
        } else {
            "there was no time for it (storeCloseDeadlineMs)"
        };
        reason.to_owned()
    }

    /// Makes what is in files durable, names included. One caller at a time. `manifest_end`: log
    /// end of the manifest on disk, below which every unit is durable but those that it says are
    /// not. False when `must_stop` said so before all were synced.
    ///
    /// A queue that fails is behind from now on; a folder that fails is final for all: no manifest
    /// may be written any more, the next open builds what is missing from the log.
    pub(crate) async fn sync(
        &self,
        manifest_end: u64,
        must_stop: impl Fn() -> bool,
    ) -> Result<bool, FileError> {
        self.check_sync_failed()?;
        let unsynced = self.all_unsynced().await;
        if unsynced.len() > self.files.few_queues_max() {
            match self.sync_all(&unsynced, &must_stop).await {
                Ok(was_synced) => return Ok(was_synced),
                // Not those listed above: what others wrote until the sync began may be lost too,
                // and only its own fdatasync says so.
                Err(error) => tracing::warn!(%error, "each ConsumeQueue is synced by itself now"),
            }
        }
        let mut from = 0;
        while from < self.table.borrow().slots() {
            let unsynced = self.unsynced(from);
            if unsynced.is_empty() && from > 0 {
                self.files.pause(PIECE_PAUSE).await;
            }
            let syncs = stream::iter(unsynced.into_iter().take_while(|_| !must_stop()));
            let sync = |unsynced| self.sync_one(unsynced, manifest_end);
            syncs.for_each_concurrent(SYNCS_AT_ONCE, sync).await;
            if must_stop() {
                return Ok(false);
            }
            from += QUEUES_AT_ONCE;
        }
        let synced = self.files.sync_folders().await;
        if let Err(error) = &synced {
            self.sync_failed.set(true);
            tracing::error!(%error, "ConsumeQueue files can't be made durable: at the next start \
                what is missing is built from the log");
        }
        synced.map(|()| true)
    }

    /// Queues that are not synced as far as they are written, and how far that is.
    async fn all_unsynced(&self) -> Vec<(QueueKey, QueueOffset)> {
        let (mut all, mut from) = (Vec::new(), 0);
        while from < self.table.borrow().slots() {
            if from > 0 {
                self.files.pause(PIECE_PAUSE).await;
            }
            all.extend(self.unsynced(from).into_iter().map(|(place, _, upto)| (place.key, upto)));
            from += QUEUES_AT_ONCE;
        }
        all
    }

    /// Syncs the file system once for all of `unsynced`. False when it was told to stop before the
    /// end. A hanging device must not hold a stop up, so nobody waits for it then; the names it was
    /// to sync are forgotten, which nobody misses: no manifest follows in this life.
    async fn sync_all(
        &self,
        unsynced: &[(QueueKey, QueueOffset)],
        must_stop: &impl Fn() -> bool,
    ) -> Result<bool, FileError> {
        let stopped = async {
            while !must_stop() {
                self.files.pause(STOP_LOOK).await;
            }
            Ok(false)
        };
        let synced = async { self.files.sync_all().await.map(|()| true) };
        let was_synced = or(synced, stopped).await?;
        if was_synced {
            let mut table = self.table.borrow_mut();
            for (key, upto) in unsynced {
                // A topic deleted meanwhile needs no sync.
                if let Some(queue) = table.get_mut(*key) {
                    queue.synced = queue.synced.max((*upto).min(queue.persisted));
                }
            }
        }
        Ok(was_synced)
    }

    fn check_sync_failed(&self) -> Result<(), FileError> {
        if !self.sync_failed.get() {
            return Ok(());
        }
        let source = io::Error::other(
            "an earlier sync of ConsumeQueue folders failed; what is missing is built from the \
                log at the next start",
        );
        Err(FileError { operation: "fdatasync", path: self.files.root(), offset: 0, source })
    }

    /// Whether nothing of these files is believed any more.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    async fn sync_one(&self, unsynced: (QueuePlace, QueueOffset, QueueOffset), manifest_end: u64) {
        let (place, from, upto) = unsynced;
        let synced = self.files.sync(&place, from, upto).await;
        let mut table = self.table.borrow_mut();
        // A topic deleted meanwhile needs no sync.
        let Some(queue) = table.get_mut(place.key) else { return };
        match synced {
            Ok(()) => queue.synced = queue.synced.max(upto.min(queue.persisted)),
            Err(error) => {
                drop(table);
                let on_disk = self.behind_on_disk.borrow().get(&place.key).copied();
                let scan_from = on_disk.unwrap_or(manifest_end);
                self.note_failure(place.key, &error, Some(scan_from));
                tracing::error!(
                    queue = %self.name(place.key), %error,
                    "this ConsumeQueue can't be made durable: at the next start what may be \
                        missing of it is built from the log"
                );
            }
        }
    }

    fn unsynced(&self, from: usize) -> Vec<(QueuePlace, QueueOffset, QueueOffset)> {
        let (table, failures) = (self.table.borrow(), self.failures.borrow());
        let is_believed = |key: &QueueKey| {
            failures.get(key).is_none_or(|failure| failure.unsynced_from.is_none())
        };
        let unsynced = table
            .piece(from, QUEUES_AT_ONCE)
            .filter(|(key, queue)| queue.synced < queue.persisted && is_believed(key));
        unsynced.map(|(key, queue)| (place_of(key, queue), queue.synced, queue.persisted)).collect()
    }

    /// For each queue of `count` slots from `from` on, after a sync: where it ended when the log
    /// ended at `log_end`, and what is durable of it if that is less. `manifest_end` as in
    /// [`Queues::sync`].
    pub(crate) fn list(
        &self,
        (from, count): (usize, usize),
        (log_end, manifest_end): (u64, u64),
        mut each: impl FnMut(QueueKey, &Queue, QueueOffset, Option<DurableEnd>),
    ) {
        for (key, queue) in self.table.borrow().piece(from, count) {
            let end = queue.end_at(log_end).max(queue.min);
            let durable = queue.synced.max(queue.min);
            let behind = (durable < end).then(|| DurableEnd {
                end: durable,
                scan_from: self.scan_from(key, queue, durable, manifest_end),
            });
            each(key, queue, end, behind);
        }
    }

    /// From where in the log the records of a queue are to be scanned of which `durable` is the
    /// first that is not.
    fn scan_from(
        &self,
        key: QueueKey,
        queue: &Queue,
        durable: QueueOffset,
        manifest_end: u64,
    ) -> u64 {
        let unsynced_from =
            self.failures.borrow().get(&key).and_then(|failure| failure.unsynced_from);
        unsynced_from.unwrap_or_else(|| match queue.unit(durable) {
            Found::Memory(unit) => unit.at.0,
            Found::File => self.behind_on_disk.borrow().get(&key).copied().unwrap_or(manifest_end),
        })
    }

    /// Forgets the failures that are over. `behind` is what a checkpoint lists as behind.
    fn forget_failures(&self, behind: &[(QueueKey, DurableEnd)]) {
        let table = self.table.borrow();
        let behind: HashSet<QueueKey> = behind.iter().map(|(key, _)| *key).collect();
        self.failures.borrow_mut().retain(|key, failure| {
            table.get(*key).is_some()
                && (behind.contains(key) || failure.unsynced_from.is_some() || table.is_stuck(*key))
        });
    }

    /// The log was cut at `to`: what is known of its places behind holds for what comes there.
    pub(crate) fn cut_failures(&self, to: u64) {
        for failure in self.failures.borrow_mut().values_mut() {
            failure.unsynced_from = failure.unsynced_from.map(|from| from.min(to));
        }
        self.behind_on_disk.borrow_mut().values_mut().for_each(|from| *from = to.min(*from));
    }

    /// A manifest that says so is on disk.
    pub(crate) fn behind_is_on_disk(&self, behind: &[(QueueKey, DurableEnd)]) {
        self.forget_failures(behind);
        *self.behind_on_disk.borrow_mut() =
            behind.iter().map(|(key, durable)| (*key, durable.scan_from)).collect();
    }
}

/// What a round of writes has to say.
#[derive(Default)]
struct Round {
    named: usize,
    first: Option<FileError>,
}

impl Round {
    fn name(&mut self, queue: &str, error: &FileError) {
        self.named += 1;
        if self.named <= STUCK_QUEUES_NAMED_MAX {
            tracing::warn!(
                queue, %error,
                "this ConsumeQueue can't be written; it is tried again, the others go on"
            );
        }
    }

    fn failed(&mut self, error: FileError) {
        self.first.get_or_insert(error);
    }

    fn end(self) -> Result<(), FileError> {
        if let Some(more) = self.named.checked_sub(STUCK_QUEUES_NAMED_MAX + 1) {
            tracing::warn!("{} more ConsumeQueues can't be written", more + 1);
        }
        self.first.map_or(Ok(()), Err)
    }
}
