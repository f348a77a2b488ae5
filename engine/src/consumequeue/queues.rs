//! The queues of a shard: the table in memory and its files together.

use super::disk::{QueueFiles, QueuePlace};
use super::table::{Queue, QueueKey, QueueTable};
use crate::error::FileError;
use crate::limits::PERSIST_UNITS_MAX;
use crate::offset::QueueOffset;
use rt::{AppendBuf, BufSlice, Runtime};
use std::cell::{Cell, RefCell};
use std::io;

pub(crate) struct Queues<R: Runtime> {
    pub(crate) table: RefCell<QueueTable>,
    pub(crate) files: QueueFiles<R>,
    /// A sync failed: nobody knows what the files hold, and another fdatasync would say yes all the
    /// same.
    sync_failed: Cell<bool>,
}

/// Units of one queue that go into one file.
struct Batch {
    place: QueuePlace,
    first: QueueOffset,
    count: usize,
    bytes: BufSlice,
}

pub(crate) fn place_of(key: QueueKey, queue: &Queue) -> QueuePlace {
    QueuePlace { key, topic: queue.topic.clone(), queue_id: queue.queue_id }
}

impl<R: Runtime> Queues<R> {
    pub(crate) fn new(files: QueueFiles<R>) -> Self {
        Self { table: RefCell::default(), files, sync_failed: Cell::new(false) }
    }

    /// Writes every unit that is in no file. One caller at a time. What a failure leaves is written
    /// by the next call.
    pub(crate) async fn persist_dirty(&self) -> Result<(), FileError> {
        let dirty = self.table.borrow_mut().take_dirty();
        for (done, key) in dirty.iter().enumerate() {
            if let Err(error) = self.persist(*key).await {
                self.table.borrow_mut().mark_dirty(&dirty[done..]);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn persist(&self, key: QueueKey) -> Result<(), FileError> {
        while let Some(batch) = self.next_batch(key) {
            self.files.write(&batch.place, batch.first, batch.bytes).await?;
            self.table.borrow_mut().persisted(key, batch.first.plus(batch.count));
        }
        Ok(())
    }

    fn next_batch(&self, key: QueueKey) -> Option<Batch> {
        let table = self.table.borrow();
        let queue = table.get(key).filter(|queue| !self.files.is_doomed(&queue.topic))?;
        let first = queue.persisted;
        let most = PERSIST_UNITS_MAX.min(self.files.left_in_file(first));
        let bytes: Vec<u8> = queue.unpersisted(most).flat_map(super::unit::Unit::encode).collect();
        let count = bytes.len() / super::unit::UNIT_BYTES;
        (count > 0).then(|| Batch {
            place: place_of(key, queue),
            first,
            count,
            bytes: AppendBuf::copy_of(&bytes),
        })
    }

    /// Makes what is in files durable, names included. One caller at a time.
    ///
    /// A failure is final: the kernel forgets pages that it could not write, and the next fdatasync
    /// succeeds without them. No manifest may list these units, so none is written any more; the
    /// next open builds them from the log.
    pub(crate) async fn sync(&self) -> Result<(), FileError> {
        if self.sync_failed.get() {
            let source = io::Error::other(
                "an earlier fdatasync of ConsumeQueue files failed; they are built anew at the \
                    next start",
            );
            return Err(FileError {
                operation: "fdatasync",
                path: self.files.root(),
                offset: 0,
                source,
            });
        }
        let synced = self.sync_all().await;
        if let Err(error) = &synced {
            self.sync_failed.set(true);
            tracing::error!(%error, "ConsumeQueue files can't be made durable: at the next start \
                they are built from the log");
        }
        synced
    }

    /// Whether nothing of these files is believed any more.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.get()
    }

    async fn sync_all(&self) -> Result<(), FileError> {
        for (place, from, upto) in self.unsynced() {
            self.files.sync(&place, from, upto).await?;
            if let Some(queue) = self.table.borrow_mut().get_mut(place.key) {
                queue.synced = queue.synced.max(upto);
            }
        }
        self.files.sync_folders().await
    }

    fn unsynced(&self) -> Vec<(QueuePlace, QueueOffset, QueueOffset)> {
        let table = self.table.borrow();
        let unsynced = table.iter().filter(|(_, queue)| queue.synced < queue.persisted);
        unsynced.map(|(key, queue)| (place_of(key, queue), queue.synced, queue.persisted)).collect()
    }

    /// Every queue and where its units end.
    pub(crate) fn ends(&self) -> Vec<(QueuePlace, QueueOffset)> {
        self.table.borrow().iter().map(|(key, queue)| (place_of(key, queue), queue.next)).collect()
    }
}
