//! Closing a store: what must be finished is, what can wait for the next start is left to it when
//! time is up, and said.
//!
//! The index and the cuts get the first half of `close_deadline_ms`, so that there is time for the
//! checkpoint.
//!
//! | | when time is up, or when it fails |
//! |---|---|
//! | the log: written and flushed | closing takes as long as it takes; a failure is an error |
//! | the index | goes on after the next start where it stopped |
//! | ConsumeQueues cut behind their ends ([`super::cuts`]) | `abort` stays: the next start has them cut |
//! | ConsumeQueues durable, and a manifest that says so | `abort` stays: the next start scans the log from the last manifest on |

use super::{Inner, Phase, Store};
use crate::error::{FileError, StoreError};
use crate::offset::{PhyOffset, QueueOffset};
use rt::Runtime;

/// A ConsumeQueue that could not be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftQueue {
    /// Its topic.
    pub topic: String,
    /// The queue.
    pub queue_id: i32,
    /// Its units from here on are built from the log by the next start.
    pub from: QueueOffset,
    /// Why.
    pub reason: String,
}

/// What closing left for the next start. No message is lost with it: the log has them all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Messages from here on are still to be indexed.
    pub index_from: Option<PhyOffset>,
    /// There was no time for a checkpoint: the log is scanned from here on.
    pub scan_from: Option<PhyOffset>,
    /// ConsumeQueues that could not be made durable.
    pub queues: Vec<LeftQueue>,
    /// ConsumeQueue files are still to be cut behind their ends, or deleted topics' to be removed.
    pub cuts_are_due: bool,
}

impl LeftOver {
    /// Whether the next start finds a cleanly stopped store. The index does not count: it goes on
    /// by itself.
    #[must_use]
    pub fn is_clean_stop(&self) -> bool {
        self.scan_from.is_none() && self.queues.is_empty() && !self.cuts_are_due
    }
}

impl<R: Runtime> Store<R> {
    /// Writes and syncs everything, then says so by removing `abort`: the next open scans nothing.
    /// Appends are refused from the call on, reads go on until the last handle is dropped.
    ///
    /// Keeps `close_deadline_ms`: see the table above for what is left for the next start then.
    /// Fails only when the log itself could not be made durable or the folder not be written to.
    pub async fn close(&self) -> Result<LeftOver, StoreError> {
        let inner = &*self.inner;
        if inner.life.phase.get() != Phase::Open {
            return Ok(LeftOver::default());
        }
        inner.life.enter(Phase::Closing);
        let deadline_nanos = inner.env.config.close_deadline_ms.saturating_mul(1_000_000);
        let close_by = inner.env.rt.now_nanos().saturating_add(deadline_nanos);
        inner.life.close_by_nanos.set(close_by);
        let half = close_by - deadline_nanos.min(close_by) / 2;
        inner.life.stopping.notify();
        inner.writing.appended.notify();
        inner.derived.wake.notify();
        inner.tasks_ended().await;
        inner.finish_cuts(half).await;
        inner.finish_index(half).await;
        let turn = inner.derived.turn.take().await;
        let written = inner.write_checkpoint().await;
        drop(turn);
        inner.life.enter(Phase::Closed);
        let ended = inner.end(written).await;
        inner.env.lock.take();
        ended
    }
}

impl<R: Runtime> Inner<R> {
    /// Whether closing leaves the rest for the next start.
    pub(super) fn closing_time_is_up(&self) -> bool {
        self.life.phase.get() != Phase::Open
            && self.env.rt.now_nanos() >= self.life.close_by_nanos.get()
    }

    async fn tasks_ended(&self) {
        loop {
            let seen = self.life.task_ended.seen();
            if self.life.running_tasks.get() == 0 {
                return;
            }
            self.life.task_ended.changed_since(seen).await;
        }
    }

    async fn end(&self, written: Result<(), StoreError>) -> Result<LeftOver, StoreError> {
        let mut left = self.left_over();
        match written {
            Ok(()) => {}
            Err(StoreError::ClosingTimeIsUp) => {
                left.scan_from = Some(PhyOffset(self.derived.manifest_end.get()));
            }
            Err(error) => return Err(error),
        }
        if left != LeftOver::default() {
            // One queue for all: with many it would be a line of megabytes.
            tracing::warn!(
                index_from = ?left.index_from, scan_from = ?left.scan_from,
                cuts_are_due = left.cuts_are_due, queues = left.queues.len(),
                first_queue = ?left.queues.first(),
                "closing left work for the next start; no message is lost"
            );
        }
        if left.is_clean_stop() {
            self.remove_abort().await?;
            self.writing.remove_tail();
        }
        Ok(left)
    }

    fn left_over(&self) -> LeftOver {
        let (index, end) = (&self.derived.index, self.watermarks.appended().0);
        let is_indexed = !self.env.config.index_enabled || index.upto() >= end;
        let (ends, mut left) = ((end, self.derived.manifest_end.get()), Vec::new());
        self.derived.queues.list((0, usize::MAX), ends, |key, queue, _, behind| {
            left.extend(behind.map(|durable| LeftQueue {
                topic: queue.topic.to_string(),
                queue_id: queue.queue_id,
                from: durable.end,
                reason: self.derived.queues.failure(key),
            }));
        });
        let is_deleted_there = !self.derived.queues.files.doomed_topics().is_empty();
        LeftOver {
            index_from: (!is_indexed).then_some(PhyOffset(index.upto())),
            scan_from: None,
            queues: left,
            cuts_are_due: self.derived.cuts.is_due() || is_deleted_there,
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
