//! Whether a break in the log is where a crash tore its end, or damage with messages behind it.
//!
//! ```text
//!   … record | record | ?????????????? | record | …            a break, and a record behind it
//!                      ^ break          ^ found by its magic, its own offset, its checksum
//! ```
//!
//! | the break lies | | taken for |
//! |---|---|---|
//! | below what the manifest or the flushed mark says was flushed | | damage: a crash cannot tear it |
//! | above, nothing behind it | | the torn end: cut |
//! | above, a record behind it | after a clean stop, or SYNC_FLUSH | damage |
//! | | stored before the checkpoint's time (a store without manifest) | damage |
//! | | ASYNC_FLUSH after a crash | the torn end: cut, the log stays a prefix |
//!
//! Under SYNC_FLUSH that may take what a power cut tore for damage: what was acknowledged behind a
//! break must never be cut, and nobody can see from the log what was.
//!
//! Damage is reported once with file and offset; nothing of it is ever served, nothing is written
//! over it, its messages keep their places in their queues (see [`crate::consumequeue::unit`]) and
//! what follows stays readable.

use crate::commitlog::files::LogFiles;
use crate::commitlog::reader::LogReader;
use crate::commitlog::scan::{NOTHING_WRITTEN, ScanLimits, Scanned, next_candidate, scan_one};
use crate::error::FileError;
use crate::limits::SCAN_READ_BYTES;
use protocol::record::{MAGIC_AT, RECORD_BYTES_MIN};
use rt::Runtime;

/// What is known of a log before it is scanned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The store was closed when it stopped.
    pub(super) is_clean: bool,
    /// There is a manifest.
    pub(super) has_manifest: bool,
    /// A record boundary below which everything was flushed: the largest of the manifest's
    /// `log_end`, the deletions that it tells of and what [`crate::flushed_mark`] says.
    pub(super) flushed_upto: u64,
    /// Without a manifest: what was stored before this time was flushed.
    pub(super) flushed_ms: i64,
    /// The last session acknowledged nothing that was not flushed.
    pub(super) was_sync_flush: bool,
    /// Records from here on are ours, and have no zeros where no checksum reaches.
    pub(super) own_from: Option<u64>,
}

/// The next record behind a break.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub(super) at: u64,
    pub(super) store_ms: i64,
}

impl Known {
    /// Where the last crash may have torn records.
    pub(super) fn torn_from(&self) -> u64 {
        if self.is_clean { u64::MAX } else { self.flushed_upto }
    }

    /// Where zeros tell that a record was torn, by this crash or an earlier one: what was damage
    /// must stay damage.
    pub(super) fn strict_from(&self) -> u64 {
        self.torn_from().min(self.own_from.unwrap_or(u64::MAX))
    }

    /// Whether what lies behind a break makes a difference: looking for it may mean reading a file
    /// to its end.
    pub(super) fn must_look_behind(&self, at: u64, reason: &str) -> bool {
        if at < self.flushed_upto {
            return true;
        }
        let is_plain_end = self.is_clean && self.has_manifest && reason == NOTHING_WRITTEN;
        !is_plain_end && (self.is_clean || self.was_sync_flush || self.flushed_ms > 0)
    }

    /// Where a scan goes on after a break at `at`; `None` when the log ends there.
    pub(super) fn goes_on_at(&self, at: u64, behind: Option<Behind>) -> Option<u64> {
        if at < self.flushed_upto {
            return Some(
                behind.map_or(self.flushed_upto, |behind| behind.at.min(self.flushed_upto)),
            );
        }
        let is_damage = |behind: &Behind| {
            self.is_clean || self.was_sync_flush || behind.store_ms < self.flushed_ms
        };
        behind.filter(is_damage).map(|behind| behind.at)
    }
}

/// The first record that begins in `from..upto`: its magic, its own offset, its lengths and its
/// checksum all agree.
pub(super) async fn find_record<R: Runtime>(
    reader: &mut LogReader<'_, R>,
    log: &LogFiles<R>,
    limits: ScanLimits,
    from: u64,
    upto: u64,
) -> Result<Option<Behind>, FileError> {
    let mut at = from;
    while at < upto {
        let left_in_file = log.start_of(at) + log.file_bytes() - at;
        let bytes = reader.bytes(at, SCAN_READ_BYTES).await?;
        let Some(skip) = next_candidate(bytes) else {
            // A magic may straddle the end of these bytes; a file's end it never does.
            let looked_at = (bytes.len() as u64).saturating_sub(MAGIC_AT as u64 + 3);
            at += if looked_at == 0 || bytes.len() as u64 >= left_in_file {
                left_in_file
            } else {
                looked_at
            };
            continue;
        };
        let place = at + skip as u64;
        if place >= upto {
            break;
        }
        if let Some(found) = behind_at(reader, limits, place).await? {
            return Ok(Some(found));
        }
        at = place + 1;
    }
    Ok(None)
}

async fn behind_at<R: Runtime>(
    reader: &mut LogReader<'_, R>,
    limits: ScanLimits,
    at: u64,
) -> Result<Option<Behind>, FileError> {
    let mut needed = RECORD_BYTES_MIN;
    loop {
        let bytes = reader.bytes(at, needed).await?;
        match scan_one(bytes, at, limits) {
            Scanned::Record(record) => {
                return Ok(Some(Behind { at, store_ms: record.store_timestamp_ms() }));
            }
            Scanned::NeedsBytes(more) if more > bytes.len() && more > needed => needed = more,
            _ => return Ok(None),
        }
    }
}

/// What a scan met that was no message any more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    /// Stretches of the log.
    pub(super) stretches: u64,
    /// Bytes of all of them.
    pub(super) bytes: u64,
    /// Where the last one begins.
    pub(super) last_at: u64,
}

impl Damage {
    /// Counts the stretch `[at, end)` and says so.
    pub(super) fn report<R: Runtime>(&mut self, log: &LogFiles<R>, at: u64, end: u64, found: &str) {
        self.stretches += 1;
        self.bytes += end - at;
        self.last_at = at;
        let (path, in_file, bytes) = (log.path_of(at), at % log.file_bytes(), end - at);
        tracing::error!(
            path = %path.display(), offset = in_file, bytes, found,
            "damage in the log: expected a record; the messages in this stretch are lost to \
                readers, those behind it are served; restore the file from a copy to have them back"
        );
    }

    /// How many messages the damage may have taken at most.
    pub(super) fn messages_max(&self) -> u64 {
        self.bytes / RECORD_BYTES_MIN as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_50: Option<Behind> = Some(Behind { at: 50, store_ms: 7 });

    #[test]
    fn a_break_is_damage_or_the_torn_end_as_the_table_says() {
        let crashed = Known { has_manifest: true, flushed_upto: 30, ..Known::default() };
        assert_eq!(
            crashed.goes_on_at(20, AT_50),
            Some(30),
            "what was flushed is a record's beginning"
        );
        assert_eq!(crashed.goes_on_at(20, None), Some(30));
        assert_eq!(crashed.goes_on_at(20, Some(Behind { at: 25, store_ms: 7 })), Some(25));
        assert_eq!(crashed.goes_on_at(40, AT_50), None);
        assert!(!crashed.must_look_behind(40, "anything"), "it would make no difference");
        let clean = Known { is_clean: true, ..crashed };
        assert_eq!((clean.goes_on_at(40, AT_50), clean.goes_on_at(40, None)), (Some(50), None));
        assert!(
            clean.must_look_behind(40, "a torn record")
                && !clean.must_look_behind(40, NOTHING_WRITTEN)
        );
        let sync = Known { was_sync_flush: true, ..crashed };
        assert_eq!(sync.goes_on_at(40, AT_50), Some(50));
        let apache = |flushed_ms| Known { flushed_ms, ..Known::default() };
        assert_eq!(
            (apache(8).goes_on_at(40, AT_50), apache(7).goes_on_at(40, AT_50)),
            (Some(50), None)
        );
    }
}
