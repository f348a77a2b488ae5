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
//! of that name, and again until it works. Until then a manifest lists the new topic's queues as
//! behind. After a crash before the manifest that knows of the deletion, what the old one lists is
//! not there, or the log shows that the queues began anew: recovery then builds all queues from the
//! log.
//!
//! A manifest with a deletion waits until the log is flushed up to where the topic was deleted. One
//! that says "below X", beside a log that a power cut took back to before X, would delete the first
//! messages that come after the restart. So a deletion says too what was flushed: damage below it
//! is never taken for the torn end of the log ([`crate::manifest::Manifest::flushed_upto`]).
//!
//! Why the folder is not renamed first, so that the new topic's units need not wait: nobody waits
//! for them (they are read from memory meanwhile), and a renamed folder that a crash leaves would
//! be a topic to Apache RocketMQ.

use super::{Inner, Store};
use crate::error::StoreError;
use rt::Runtime;
use std::rc::Rc;

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
            inner.derived.queues.remove_folder(&topic).await?;
            inner.write_checkpoint().await?;
            Ok(was_there)
        }
    }
}

impl<R: Runtime> Store<R> {
    /// The same for several topics, with one write of the list of queues.
    pub fn delete_topics(
        &self,
        topics: Vec<Rc<str>>,
    ) -> impl Future<Output = Result<(), StoreError>> + use<R> {
        for topic in &topics {
            self.inner.forget_topic(topic);
        }
        let inner = self.inner.clone();
        async move {
            let _turn = inner.derived.turn.take().await;
            for topic in topics {
                inner.derived.queues.remove_folder(&topic).await?;
            }
            inner.write_checkpoint().await
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
}
