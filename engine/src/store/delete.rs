//! Deleting a topic: its queues are forgotten at once, its files removed, and a rebuild will not
//! bring it back.

use super::{Inner, Store};
use crate::error::{FileError, StoreError};
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
        // Before the first message of the new topic can be taken.
        let removal = Removal::begin(inner.clone(), &topic);
        async move {
            if !was_there && !may_come_back {
                return Ok(false);
            }
            let _turn = inner.derived.turn.take().await;
            // The folder goes first: the manifest that no longer lists the topic must not find its
            // old units under a new queue of the same name, nor may that be written meanwhile.
            let writing = inner.derived.queues.writing.take().await;
            inner.remove_folder(&topic).await?;
            drop((removal, writing));
            inner.write_checkpoint().await?;
            Ok(was_there)
        }
    }
}

/// A topic's folder is about to be removed: nothing is written into it until this is dropped.
struct Removal<R: Runtime> {
    inner: Rc<Inner<R>>,
    topic: String,
}

impl<R: Runtime> Removal<R> {
    fn begin(inner: Rc<Inner<R>>, topic: &str) -> Self {
        inner.derived.queues.removing(topic);
        Self { inner, topic: topic.to_owned() }
    }
}

impl<R: Runtime> Drop for Removal<R> {
    fn drop(&mut self) {
        self.inner.derived.queues.removed(&self.topic);
    }
}

impl<R: Runtime> Inner<R> {
    fn forget_topic(&self, topic: &str) -> bool {
        let mut table = self.derived.queues.table.borrow_mut();
        if !table.has_topic(topic) {
            return false;
        }
        let queues = table.remove_topic(topic);
        self.derived.queues.files.forget(&queues);
        self.derived.deleted.borrow_mut().insert(topic.to_owned(), self.watermarks.appended().0);
        true
    }

    async fn remove_folder(&self, topic: &str) -> Result<(), StoreError> {
        let (folder, parent) = (self.env.paths.topic(topic), self.env.paths.consumequeue());
        self.env.rt.remove_dir_all(&folder).await.map_err(FileError::at(
            "remove folder",
            &folder,
            0,
        ))?;
        self.env.rt.sync_dir(&parent).await.map_err(FileError::at("sync folder", &parent, 0))?;
        Ok(())
    }
}
