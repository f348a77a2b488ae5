//! What stops the log without having harmed it is waited out: a file that can't be made or opened
//! (no space, too many open files, a failing disk) and a write that found no space. What was
//! refused meanwhile is taken again as soon as it works.
//!
//! | what failed | while there is room before it | when the log has come to it |
//! |---|---|---|
//! | making the next file, half a file early | said once in the log, tried again | appends are refused, tried again |
//! | opening the current file | | appends are refused, tried again |
//! | a write: no space (a hole in a file that was made on a full disk) | | appends are refused, tried again |
//! | a write: anything else | | the store stops |
//! | an fdatasync, of whatever reason | | the store stops |
//!
//! Why a write without space may be tried again: it took none of its bytes or some of the first
//! ones, and the next try writes the same bytes there. Why a file whose fdatasync failed while it
//! was being made is none: it is removed, and another made in its place.

use super::{Inner, Phase};
use crate::error::{AppendError, FileError, StoreError, is_no_space};
use crate::offset::PhyOffset;
use rt::Runtime;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Time until what the log waits for is tried again.
pub(super) const LOG_RETRY: Duration = Duration::from_secs(1);

/// Something that may stand in the log's way.
pub(super) struct Obstacle {
    /// Where the log can't go on for now; `u64::MAX`: nothing is in its way.
    log_at: Cell<u64>,
    /// Why; `None`: no space.
    reason: RefCell<Option<String>>,
}

impl Default for Obstacle {
    fn default() -> Self {
        Self { log_at: Cell::new(u64::MAX), reason: RefCell::default() }
    }
}

impl Obstacle {
    /// It is there. Says so once.
    fn set(&self, log_at: u64, error: &FileError) {
        *self.reason.borrow_mut() = (!is_no_space(&error.source)).then(|| error.to_string());
        if self.log_at.replace(log_at) == u64::MAX {
            tracing::warn!(log_at, %error, "the log can't go on from there: it is tried again \
                every second, messages are refused once the log has come to it");
        }
    }

    /// It is gone. Says so if it was there.
    fn clear(&self) {
        let log_at = self.log_at.replace(u64::MAX);
        if log_at != u64::MAX {
            tracing::info!(log_at, "the log goes on");
        }
    }

    fn is_before(&self, end: u64) -> bool {
        self.log_at.get() < end
    }
}

impl<R: Runtime> Inner<R> {
    /// Makes the log file that begins at `start` unless it is there: one try.
    pub(super) async fn try_file(&self, start: u64) -> Result<(), FileError> {
        let before = self.writing.log.created_upto();
        match self.writing.log.ensure(start).await {
            Ok(()) => {
                if self.writing.log.created_upto() > before {
                    self.writing.room.no_file.clear();
                    self.writing.room.file_made.notify();
                }
                Ok(())
            }
            Err(error) => {
                self.writing.room.no_file.set(self.writing.log.created_upto(), &error);
                // Whoever waits for the writer must not wait for the file: what frees space may be
                // waiting behind them.
                self.writing.written.notify();
                Err(error)
            }
        }
    }

    /// Makes the log file that begins at `start` unless it is there; tries again while the store is
    /// open.
    pub(super) async fn ensure_file(&self, start: u64) -> Result<(), FileError> {
        loop {
            match self.try_file(start).await {
                Err(_) if self.life.phase.get() == Phase::Open => self.pause(LOG_RETRY).await,
                done => return done,
            }
        }
    }

    /// The log's writer could not write at `log_at`, and nothing of the log was harmed: waits until
    /// it may try again.
    pub(super) async fn wait_to_write(&self, log_at: u64, error: &FileError) {
        self.writing.room.no_write.set(log_at, error);
        self.writing.written.notify();
        self.pause(LOG_RETRY).await;
    }

    /// The log's writer wrote.
    pub(super) fn can_write(&self) {
        self.writing.room.no_write.clear();
    }

    /// The log ends elsewhere now: what stood in its way may not any more.
    pub(super) fn forget_obstacles(&self) {
        self.writing.room.no_file.clear();
        self.writing.room.no_write.clear();
    }

    fn obstacle_before(&self, end: u64) -> Option<(PhyOffset, Option<String>)> {
        let room = &self.writing.room;
        let obstacle = [&room.no_write, &room.no_file].into_iter().find(|it| it.is_before(end))?;
        Some((PhyOffset(obstacle.log_at.get()), obstacle.reason.borrow().clone()))
    }

    /// Refuses what would end at `end` while the log can't go so far.
    pub(super) fn check_way_to(&self, end: u64) -> Result<(), AppendError> {
        let Some((log_at, reason)) = self.obstacle_before(end) else { return Ok(()) };
        Err(match reason {
            None => AppendError::DiskFull { log_at },
            Some(reason) => AppendError::LogBlocked { log_at, reason },
        })
    }

    /// An error while the log's writer stands before an obstacle.
    pub(super) fn check_writer_goes_on(&self) -> Result<(), StoreError> {
        let written = self.watermarks.written().0;
        let Some((log_at, reason)) = self.obstacle_before(written + 1) else { return Ok(()) };
        Err(match reason {
            None => StoreError::DiskFull { log_at },
            Some(reason) => StoreError::LogBlocked { log_at, reason },
        })
    }
}
