//! Where records begin, for whoever has to cut the log between two of them.

use super::Store;
use crate::commitlog::reader::LogReader;
use crate::commitlog::scan::ScanLimits;
use crate::error::FileError;
use crate::offset::PhyOffset;
use rt::Runtime;

impl<R: Runtime> Store<R> {
    /// Where records and blanks begin in `[from, upto]`, in one log file, that of `from`: the first
    /// and from then on those at least `apart` bytes behind the one before. `upto` itself is among
    /// them when what lies before it ends there.
    ///
    /// The file is read from its beginning, for only there a record is known to begin: once for
    /// each call. It ends early where no record can be read, and where the log is not written yet.
    ///
    /// # Errors
    /// The file is gone or can't be read.
    pub async fn record_begins(
        &self,
        from: PhyOffset,
        upto: PhyOffset,
        apart: u64,
    ) -> Result<Vec<PhyOffset>, FileError> {
        let inner = &*self.inner;
        let log = &inner.writing.log;
        let limits = ScanLimits {
            file_bytes: log.file_bytes(),
            record_bytes_max: inner.env.config.record_bytes_max(),
            strict_from: u64::MAX,
            strict_from_ms: 0,
        };
        let (begin, written) = (log.begin(), inner.watermarks.written().0);
        let mut at = log.start_of(from.0).max(begin);
        let last = upto.0.min(written).min(log.start_of(from.0) + log.file_bytes());
        let mut reader = LogReader::new(log, written);
        let mut found = Vec::new();
        let mut wanted = from.0;
        while at <= last {
            if at >= wanted {
                found.push(PhyOffset(at));
                wanted = at.saturating_add(apart.max(1));
            }
            if at == last {
                break;
            }
            match super::truncate::next_in(&mut reader, at, limits).await? {
                Ok(bytes) => at += bytes,
                Err(_) => break,
            }
        }
        Ok(found)
    }
}
