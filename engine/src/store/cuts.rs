//! After an unclean stop: what lies behind the ends of ConsumeQueues goes, while messages are
//! served already.
//!
//! Units may be in files whose records the log has not. This program never reads behind a queue's
//! end, and writes over them as the queue grows; Apache RocketMQ takes units until it meets one of
//! size 0, and would serve them. So `abort` stays until every queue was cut, and as long as it is
//! there, each start has all of them cut again:
//!
//! ```text
//!   kill ─► start: abort is there ─► serving; queue after queue is cut ─► close: abort goes
//!                 ▲                                  │ kill, or closing has no time left
//!                 └──────────────────────────────────┘
//! ```
//!
//! The folders on disk say what to cut, not the table: a folder whose queue lost every record is
//! removed.

use super::{Inner, Phase};
use crate::consumequeue::disk::QueuePlace;
use crate::consumequeue::queues::place_of;
use crate::error::FileError;
use crate::limits::CUTS_AT_ONCE;
use crate::offset::QueueOffset;
use futures_util::future::join_all;
use rt::{File, Runtime};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// Time until a cut that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A queue that was cut, and the file that is to be synced for it.
type Cut<R> = (QueuePlace, Option<(<R as Runtime>::File, PathBuf)>);

/// Which ConsumeQueues are to be cut.
pub(super) struct Cuts {
    is_due: Cell<bool>,
    /// The last topic, by name, of which all are cut. Topics made since the start need no cut.
    cut_upto: RefCell<Option<String>>,
}

impl Cuts {
    pub(super) fn new(is_due: bool) -> Self {
        Self { is_due: Cell::new(is_due), cut_upto: RefCell::new(None) }
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_due.get()
    }

    fn is_cut(&self, topic: &str) -> bool {
        self.cut_upto.borrow().as_deref().is_some_and(|upto| topic <= upto)
    }
}

/// Cuts all that is due, until the store closes.
pub(super) async fn cut_queues<R: Runtime>(inner: Rc<Inner<R>>) {
    while inner.derived.cuts.is_due() && inner.life.phase.get() == Phase::Open {
        if let Err(error) = inner.cut_all(|| inner.life.phase.get() != Phase::Open).await {
            tracing::warn!(%error, "a ConsumeQueue could not be cut behind its end; trying again");
            inner.pause(RETRY).await;
        }
    }
}

impl<R: Runtime> Inner<R> {
    /// Cuts what is left to cut, when the store closes.
    pub(super) async fn finish_cuts(&self, until_nanos: u64) {
        if !self.derived.cuts.is_due() {
            return;
        }
        if let Err(error) = self.cut_all(|| self.env.rt.now_nanos() >= until_nanos).await {
            tracing::warn!(%error, "a ConsumeQueue could not be cut behind its end");
        }
    }

    async fn cut_all(&self, must_stop: impl Fn() -> bool) -> Result<(), FileError> {
        for topic in self.folders_in(&self.env.paths.consumequeue()).await? {
            if !self.derived.cuts.is_cut(&topic) {
                if !self.cut_topic(&topic, &must_stop).await? {
                    return Ok(());
                }
                *self.derived.cuts.cut_upto.borrow_mut() = Some(topic);
            }
        }
        self.derived.queues.files.sync_folder(&self.env.paths.consumequeue()).await?;
        self.derived.queues.files.names_are_sure();
        self.derived.cuts.is_due.set(false);
        Ok(())
    }

    /// The folders in a folder by name; none when it is gone: its topic was deleted.
    async fn folders_in(&self, folder: &std::path::Path) -> Result<Vec<String>, FileError> {
        match self.env.rt.list_dir(folder).await {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            entries => {
                let entries = entries.map_err(FileError::at("list", folder, 0))?;
                let folders = entries.into_iter().filter(|entry| entry.is_dir);
                Ok(folders.map(|entry| entry.name).collect())
            }
        }
    }

    /// False when it was stopped before all were cut.
    async fn cut_topic(
        &self,
        topic: &str,
        must_stop: impl Fn() -> bool,
    ) -> Result<bool, FileError> {
        for queues in self.folders_in(&self.env.paths.topic(topic)).await?.chunks(CUTS_AT_ONCE) {
            if must_stop() {
                return Ok(false);
            }
            let mut cut = Vec::new();
            {
                let _writing = self.derived.queues.writing.take().await;
                for queue in queues {
                    cut.extend(self.cut_or_remove(topic, queue).await?);
                }
            }
            let synced = join_all(cut.iter().map(|cut| self.sync_cut(cut))).await;
            synced.into_iter().collect::<Result<(), FileError>>()?;
        }
        self.derived.queues.files.sync_folder(&self.env.paths.topic(topic)).await?;
        Ok(true)
    }

    async fn sync_cut(&self, (place, file): &Cut<R>) -> Result<(), FileError> {
        if let Some((file, path)) = file {
            file.sync_data().await.map_err(FileError::at("fdatasync", path, 0))?;
        }
        self.derived.queues.files.sync_queue_folder(place).await
    }

    /// `None` when the queue is none of the table's: it is removed.
    async fn cut_or_remove(&self, topic: &str, queue: &str) -> Result<Option<Cut<R>>, FileError> {
        let known = queue.parse().ok().and_then(|queue_id| {
            let table = self.derived.queues.table.borrow();
            let key = table.key(topic, queue_id)?;
            table.get(key).map(|queue| (place_of(key, queue), queue.persisted))
        });
        let known: Option<(_, QueueOffset)> = known;
        if let Some((place, persisted)) = known {
            let file = self.derived.queues.files.cut(&place, persisted).await?;
            return Ok(Some((place, file)));
        }
        let folder = self.env.paths.topic(topic).join(queue);
        let removed = self.env.rt.remove_dir_all(&folder).await;
        removed.map_err(FileError::at("remove folder", &folder, 0))?;
        Ok(None)
    }
}
