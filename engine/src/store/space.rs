//! A full disk is waited out: no file operation that found no space stops the store, and what was
//! refused meanwhile is taken again as soon as there is room.

use super::{Inner, Phase};
use crate::error::{FileError, StoreError, is_no_space};
use crate::offset::PhyOffset;
use rt::Runtime;
use std::time::Duration;

/// Time until a file that could not be made for lack of space is tried again.
const DISK_FULL_RETRY: Duration = Duration::from_secs(1);

impl<R: Runtime> Inner<R> {
    /// Makes the log file that begins at `start` unless it is there; waits for space while the
    /// store is open.
    pub(super) async fn ensure_file(&self, start: u64) -> Result<(), FileError> {
        let before = self.writing.log.created_upto();
        loop {
            let made = self.writing.log.ensure(start).await;
            match made {
                Err(full) if is_no_space(&full.source) && self.life.phase.get() == Phase::Open => {
                    self.wait_for_space(&full).await
                }
                Ok(()) => {
                    if self.writing.log.created_upto() > before {
                        self.writing.room.disk_full_at.set(None);
                        self.writing.room.file_made.notify();
                    }
                    return Ok(());
                }
                failed => return failed,
            }
        }
    }

    async fn wait_for_space(&self, error: &FileError) {
        let next_file = self.writing.log.created_upto();
        if self.writing.room.disk_full_at.replace(Some(next_file)).is_none() {
            tracing::warn!(%error, "no space for the next log file: messages are refused from \
                there on until space is free");
        }
        // Who waits for the writer must not wait for space: what frees it may be waiting behind
        // them.
        self.writing.written.notify();
        self.pause(DISK_FULL_RETRY).await;
    }

    /// An error while the log's writer stands before a file there is no space for.
    pub(super) fn check_writer_has_space(&self) -> Result<(), StoreError> {
        match self.writing.room.disk_full_at.get() {
            Some(next_file) if self.watermarks.written().0 >= next_file => {
                Err(StoreError::DiskFull { next_file: PhyOffset(next_file) })
            }
            _ => Ok(()),
        }
    }
}
