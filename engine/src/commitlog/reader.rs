//! The log's bytes in order, for a scan: the next windows are being read while this one is looked
//! at.
//!
//! ```text
//!   log:    … | window | window | window | window | …          SCAN_READ_BYTES each, never across a file's end
//!               ▲ here     ▲ asked for: on their way while `here` is scanned
//!   a record that straddles windows is put together in a buffer of its own
//! ```

use super::files::LogFiles;
use crate::error::FileError;
use crate::limits::{SCAN_READ_BYTES, SCAN_READS_AHEAD};
use crate::number::exact;
use crate::tail::block_floor;
use futures_lite::future::{poll_once, yield_now};
use rt::{BufSlice, File, Runtime};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

type Reading<'a> = Pin<Box<dyn Future<Output = Result<BufSlice, FileError>> + 'a>>;

enum Content<'a> {
    Asked(Reading<'a>),
    Here(BufSlice),
}

struct Window<'a> {
    start: u64,
    len: usize,
    content: Content<'a>,
}

impl Window<'_> {
    fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// What it holds from `at` on.
    fn from(&self, at: u64) -> &[u8] {
        let Content::Here(bytes) = &self.content else { return &[] };
        let skip = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| bytes.get(skip..)).unwrap_or_default()
    }
}

/// See the module's text. Bounded: `SCAN_READS_AHEAD` windows, and one record.
pub(crate) struct LogReader<'a, R: Runtime> {
    log: &'a LogFiles<R>,
    windows: VecDeque<Window<'a>>,
    /// Where the next window to be asked for begins.
    next: u64,
    upto: u64,
    straddling: Vec<u8>,
}

impl<'a, R: Runtime> LogReader<'a, R> {
    /// Reads nothing from `upto` on.
    pub(crate) fn new(log: &'a LogFiles<R>, upto: u64) -> Self {
        Self { log, windows: VecDeque::new(), next: 0, upto, straddling: Vec::new() }
    }

    /// The bytes at `at`: at least `needed`, fewer only where the file ends. Never beyond a file's
    /// end.
    pub(crate) async fn bytes(&mut self, at: u64, needed: usize) -> Result<&[u8], FileError> {
        let left_in_file = self.log.start_of(at) + self.log.file_bytes() - at;
        let needed = needed.min(exact(left_in_file));
        self.go_to(at);
        self.ask(at + needed as u64).await;
        self.arrive(0).await?;
        let here = self.windows.front().map_or(0, |window| window.from(at).len());
        if here < needed {
            return self.put_together(at, needed).await;
        }
        Ok(self.windows.front().map_or(&[], |window| window.from(at)))
    }

    /// Forgets what lies before `at`.
    fn go_to(&mut self, at: u64) {
        while self.windows.front().is_some_and(|window| window.end() <= at) {
            self.windows.pop_front();
        }
        if self.windows.front().is_none_or(|window| window.start > at) {
            self.windows.clear();
            self.next = block_floor(at);
        }
    }

    /// Keeps reads on their way, and those for everything below `end`. Being asked once submits a
    /// read; the turn of the loop that is yielded to sends it off.
    async fn ask(&mut self, end: u64) {
        let mut asked = false;
        while self.next < self.upto && (self.windows.len() < SCAN_READS_AHEAD || self.next < end) {
            let (start, log) = (self.next, self.log);
            let left_in_file = exact(log.start_of(start) + log.file_bytes() - start);
            let len = SCAN_READ_BYTES.min(left_in_file);
            // Opened here, once, and not by each of the reads. An error is met again where the
            // bytes are needed.
            let is_open = log.file(start).await.is_ok();
            let mut reading: Reading<'a> = Box::pin(read(log, start, len));
            let content = match if is_open { poll_once(&mut reading).await } else { None } {
                Some(Ok(bytes)) => Content::Here(bytes),
                Some(Err(_)) => Content::Asked(Box::pin(read(log, start, len))),
                None => Content::Asked(reading),
            };
            self.windows.push_back(Window { start, len, content });
            self.next = start + len as u64;
            asked = true;
        }
        if asked {
            yield_now().await;
        }
    }

    async fn arrive(&mut self, nth: usize) -> Result<(), FileError> {
        let Some(window) = self.windows.get_mut(nth) else { return Ok(()) };
        if let Content::Asked(reading) = &mut window.content {
            window.content = Content::Here(reading.await?);
        }
        Ok(())
    }

    async fn put_together(&mut self, at: u64, needed: usize) -> Result<&[u8], FileError> {
        self.straddling.clear();
        for nth in 0..self.windows.len() {
            self.arrive(nth).await?;
            let from = at + self.straddling.len() as u64;
            let part = self.windows.get(nth).map_or(&[][..], |window| window.from(from));
            self.straddling
                .extend_from_slice(part.get(..needed - self.straddling.len()).unwrap_or(part));
            if part.is_empty() || self.straddling.len() == needed {
                break;
            }
        }
        Ok(&self.straddling)
    }
}

async fn read<R: Runtime>(
    log: &LogFiles<R>,
    start: u64,
    len: usize,
) -> Result<BufSlice, FileError> {
    let (path, in_file) = (log.path_of(start), start % log.file_bytes());
    let file = log.file(start).await?;
    file.read_at(in_file, len).await.map_err(FileError::at("read", &path, in_file))
}
