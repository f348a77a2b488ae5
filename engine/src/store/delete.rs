//! Deleting a topic: its queues are forgotten at once, its files removed, and a rebuild will not
//! bring it back.
//!
//! ```text
//!   delete_topic ─► queues forgotten, folder doomed ─► folder removed, durably ─► manifest
//!                     │ at once                                │
//!                     └─ a new topic takes messages: units     └─ its units may be written
//!                        in memory only
//! ```
//!
//! The folder is removed by whoever writes queues next, before anything is written for a new topic
//! of that name, and again until it works. After a crash in between, what the old manifest lists is
//! not there, or the log shows that the queues began anew: recovery then builds all queues from the
//! log.
//!
//! Why the folder is not renamed first, so that the new topic's units need not wait: nobody waits
//! for them (they are read from memory meanwhile), and a renamed folder that a crash leaves would
//! be a topic to Apache RocketMQ.

use super::{Inner, Phase, Store};
use crate::consumequeue::table::QueueKey;
use crate::error::StoreError;
use rt::Runtime;

impl<R: Runtime> Store<R> {
    /// Removes a topic's queues; its records stay in the log until their file goes. From the call
    /// on reads find no queue; when it returns the deletion survives a crash. Messages sent to the
    /// topic afterwards begin at offset 0 again. Returns whether there was such a topic.
    ///
    /// The queues are forgotten before this returns its future: a message sent right after the call
    /// is one of the new topic, and never goes down with the old one.
    pub fn delete_topic(
        &self,
        topic: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + 'static {
        let was_there = self.inner.forget_topic(topic);
        // An earlier deletion may have failed to reach the disk: whoever tries again must not be
        // told that all is well.
        let may_come_back = self.inner.derived.deleted.borrow().contains_key(topic);
        let (inner, topic) = (self.inner.clone(), topic.to_owned());
        async move {
            if !was_there && !may_come_back {
                return Ok(false);
            }
            let _turn = inner.derived.turn.take().await;
            // The folder goes first: the manifest that no longer lists the topic must not find its
            // old units under a new queue of the same name.
            if inner.derived.queues.files.is_doomed(&topic) {
                inner.remove_doomed_folder(&topic).await?;
            }
            inner.write_checkpoint().await?;
            Ok(was_there)
        }
    }
}

impl<R: Runtime> Inner<R> {
    fn forget_topic(&self, topic: &str) -> bool {
        let mut table = self.derived.queues.table.borrow_mut();
        if !table.has_topic(topic) {
            return false;
        }
        let queues = table.remove_topic(topic);
        self.derived.queues.files.doom(topic, &queues);
        self.derived.deleted.borrow_mut().insert(topic.to_owned(), self.watermarks.appended().0);
        true
    }

    /// Removes the folder of a deleted topic; what a new topic of that name has for its files is
    /// written from now on. The caller has the turn of derived files.
    async fn remove_doomed_folder(&self, topic: &str) -> Result<(), StoreError> {
        self.derived.queues.files.remove_doomed(topic).await?;
        let mut table = self.derived.queues.table.borrow_mut();
        let waiting: Vec<QueueKey> = table
            .keys_of(topic)
            .into_iter()
            .filter(|key| table.get(*key).is_some_and(|queue| queue.persisted < queue.next))
            .collect();
        table.mark_dirty(&waiting);
        Ok(())
    }

    /// Removes the folders of all deleted topics; those that can't be removed are tried again next
    /// time. The caller has the turn of derived files.
    pub(super) async fn remove_doomed_folders(&self) -> Result<(), StoreError> {
        let mut failed = Ok(());
        for topic in self.derived.queues.files.doomed_topics() {
            let removed = self.remove_doomed_folder(&topic).await;
            failed = failed.and(removed);
        }
        failed
    }

    /// As [`Inner::remove_doomed_folders`], and fails only for a folder that must be gone before a
    /// manifest is written: where a new topic of that name has units, which are in no file before,
    /// and at a clean stop, after which the folder would be a topic to Apache RocketMQ.
    pub(super) async fn make_way_for_manifest(&self) -> Result<(), StoreError> {
        let Err(error) = self.remove_doomed_folders().await else { return Ok(()) };
        let doomed = self.derived.queues.files.doomed_topics();
        let table = self.derived.queues.table.borrow();
        let is_closing = self.life.phase.get() != Phase::Open;
        if doomed.iter().any(|topic| is_closing || table.has_topic(topic)) {
            return Err(error);
        }
        tracing::warn!(%error, "the folder of a deleted topic is still there; trying again");
        Ok(())
    }
}
