//! The log as a stream of bytes, for whoever copies it: what is in memory without a copy, what is
//! not from the files.
//!
//! A piece never goes beyond the end of its log file, nor beyond what is appended. It may begin and
//! end within a record: whoever takes it puts the pieces together.

use super::Store;
use crate::error::ReadError;
use crate::offset::PhyOffset;
use rt::{BufSlice, Runtime};

impl<R: Runtime> Store<R> {
    /// Bytes of a log file (`mappedFileSizeCommitLog`).
    #[must_use]
    pub fn log_file_bytes(&self) -> u64 {
        self.inner.writing.log.file_bytes()
    }

    /// Up to `len` bytes of the log at `at`, when memory has them; `None` at the log's end, and
    /// where they have to be read: [`Store::log_part`].
    #[must_use]
    pub fn log_part_in_memory(&self, at: PhyOffset, len: usize) -> Option<BufSlice> {
        let len = self.inner.len_in_file(at, len);
        let part = self.inner.writing.tail.borrow().slice_upto(at.0, len);
        part.filter(|part| !part.is_empty())
    }

    /// Up to `len` bytes of the log at `at`, from memory or from the files; none at the log's end.
    ///
    /// # Errors
    /// The file is gone or can't be read, or readers hold too much memory already.
    pub async fn log_part(&self, at: PhyOffset, len: usize) -> Result<BufSlice, ReadError> {
        let inner = &*self.inner;
        inner.undisturbed(async || inner.log_bytes(at.0, inner.len_in_file(at, len)).await).await
    }
}

impl<R: Runtime> super::Inner<R> {
    fn len_in_file(&self, at: PhyOffset, len: usize) -> usize {
        let file_bytes = self.writing.log.file_bytes();
        let left = file_bytes - at.0 % file_bytes;
        usize::try_from(left).map_or(len, |left| len.min(left))
    }
}
