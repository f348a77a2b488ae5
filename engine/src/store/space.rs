//! A full disk is waited out: no file operation that found no space stops the store, and what was refused meanwhile is taken
//! again as soon as there is room.

use super::{Inner, Phase};
use crate::error::FileError;
use rt::Runtime;
use std::io;
use std::time::Duration;

/// Time until a file that could not be made for lack of space is tried again.
const DISK_FULL_RETRY: Duration = Duration::from_secs(1);

fn found_no_space(error: &FileError) -> bool {
    matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<R: Runtime> Inner<R> {
    /// Makes the log file that begins at `start` unless it is there; waits for space while the store is open.
    pub(super) async fn ensure_file(&self, start: u64) -> Result<(), FileError> {
        loop {
            let made = self.log.ensure(start).await;
            match made {
                Err(full) if found_no_space(&full) && self.phase.get() == Phase::Open => self.wait_for_space(&full).await,
                Ok(()) => {
                    self.disk_full_at.set(None);
                    return Ok(());
                }
                failed => return failed,
            }
        }
    }

    async fn wait_for_space(&self, error: &FileError) {
        let next_file = self.log.created_upto();
        if self.disk_full_at.replace(Some(next_file)).is_none() {
            tracing::warn!(%error, "no space for the next log file: messages are refused from there on until space is free");
        }
        self.pause(DISK_FULL_RETRY).await;
    }
}
