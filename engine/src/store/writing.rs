//! The log and its tail: the part of a store that appends, writes and flushes.
//!
//! ```text
//!   flushed ≤ written ≤ appended                      the watermarks
//!   tail.begin() ≤ written, tail.end() = appended     what is not written is in memory
//!   boundary of the mark ≤ written                    what the next flush covers, a record boundary
//!   begin ≤ own_from, begin ≤ appended ≤ created_upto + what waits for its file
//! ```
//!
//! [`Writing::check`] asserts these where a state change begins and ends. They say nothing about
//! bytes from the disk.

use super::group::Group;
use super::space::Obstacle;
use super::zeros::Zeros;
use crate::commitlog::files::LogFiles;
use crate::config::LogSource;
use crate::flushed_mark::FlushedMark;
use crate::signal::{Signal, Turn};
use crate::tail::Tail;
use crate::watermarks::Watermarks;
use rt::{AppendBuf, Runtime};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub(super) struct Writing<R: Runtime> {
    pub(super) tail: RefCell<Tail>,
    pub(super) log: LogFiles<R>,
    /// Zeros ahead of the log, and how far the log's writes go: see [`super::zeros`].
    pub(super) zeros: Zeros,
    /// Reused for the zero-padded copy of the partial last block.
    pub(super) partial_block: RefCell<Rc<AppendBuf>>,
    pub(super) room: Room,
    /// Milliseconds: store times never go back, whatever the wall clock does.
    pub(super) clock: Cell<i64>,
    /// What of the log is flushed, on disk.
    pub(super) mark: FlushedMark<R>,
    /// Records from here on are ours: see [`crate::manifest::Manifest`]. `u64::MAX` while they are
    /// another broker's.
    pub(super) own_from: Cell<u64>,
    /// Whose records the log takes.
    pub(super) source: Cell<LogSource>,
    /// Nothing is appended for now: the log is being cut, or its source changes.
    pub(super) is_shut: Cell<bool>,
    /// Reused by [`super::append_raw`].
    pub(super) raw_queues: RefCell<super::append_raw::RawQueues>,
    /// Reused by [`super::light`].
    pub(super) light_properties: RefCell<Vec<u8>>,
    pub(super) appended: Signal,
    /// Which senders the next write may expect.
    pub(super) group: Group,
    pub(super) written: Signal,
    pub(super) flush_turn: Turn,
}

/// Whether the log can go on.
#[derive(Default)]
pub(super) struct Room {
    /// The next file could not be made.
    pub(super) no_file: Obstacle,
    /// The log's writer could not open the file that is there, or found no space in it.
    pub(super) no_write: Obstacle,
    /// How full the disk is, in hundredths, while sends are refused for it.
    pub(super) nearly_full: Cell<Option<u64>>,
    pub(super) file_made: Signal,
}

impl<R: Runtime> Writing<R> {
    /// A call has appended what it had: the tail says so, and the log's writer is told.
    #[inline]
    pub(super) fn append_ended(&self) {
        self.tail.borrow().publish();
        self.appended.notify();
    }

    /// The log is written up to `written`: the tail says so before anybody is answered.
    pub(super) fn publish_written(&self, written: u64) {
        if let Some(file) = self.tail.borrow().file() {
            file.publish_written(written);
        }
    }

    /// The log is flushed up to `flushed`.
    pub(super) fn publish_flushed(&self, flushed: u64) {
        if let Some(file) = self.tail.borrow().file() {
            file.publish_flushed(flushed);
        }
    }

    /// The log is going to be cut: from now on the tail says nothing of it. It is at rest, and all
    /// of it is flushed, so that nothing is lost.
    pub(super) fn withdraw_tail(&self) {
        if let Some(file) = self.tail.borrow().file() {
            file.withdraw();
        }
    }

    /// The log is not cut any more: the tail says again how far it is.
    pub(super) fn restore_tail(&self, watermarks: &Watermarks) {
        if let Some(file) = self.tail.borrow().file() {
            file.publish_watermarks(watermarks.written().0, watermarks.flushed().0);
        }
    }

    /// The store is closed and `abort` is gone: nobody needs the tail any more.
    pub(super) fn remove_tail(&self) {
        let tail = self.tail.borrow();
        let Some(file) = tail.file() else { return };
        if let Err(error) = file.remove() {
            tracing::warn!(path = %file.name().path.display(), %error, "the tail's file stays");
        }
    }

    /// Asserts what the module's text says.
    pub(super) fn check(&self, watermarks: &Watermarks) {
        if cfg!(debug_assertions) {
            let tail = self.tail.borrow();
            let (written, appended) = (watermarks.written().0, watermarks.appended().0);
            assert!(tail.begin() <= written, "{} is not in the tail any more", written);
            assert_eq!(tail.end(), appended, "the tail ends where the log ends");
            assert!(watermarks.flushed().0 <= written && written <= appended);
            assert!(self.mark.boundary() <= written, "a boundary ahead of what is written");
            assert!(self.log.begin() <= appended, "the log begins behind its end");
        }
    }
}
