//! Records one after the other: the body of a pull answer, or a stretch of the CommitLog.

use super::{RecordError, RecordView};

/// Iterates the records in `bytes`; ends after the first error.
#[must_use]
pub fn records(bytes: &[u8]) -> Records<'_> {
    Records { rest: bytes }
}

/// See [`records`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The bytes that are not read yet; empty after an error.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = RecordView::parse(self.rest);
        let read = result.as_ref().map_or(self.rest.len(), RecordView::total_size);
        self.rest = self.rest.get(read..).unwrap_or_default();
        Some(result)
    }
}
