//! Bytes of the log to records: pure, so that every cut and every damage is a test of a function.
//!
//! The one definition of a valid record ([`record_at`]). A stretch of the log is a record when
//! every rule holds:
//!
//! | rule | why |
//! |---|---|
//! | magic is V1's or V2's | |
//! | TOTALSIZE is at most `record_bytes_max` and leaves 8 bytes of its file, for a blank | no allocation follows a damaged length |
//! | body, topic and properties fill it exactly, the topic is UTF-8 | ([`RecordView::parse`]) |
//! | PHYSICALOFFSET is where it lies | a record that was copied, or is an older file's, is none |
//! | its checksum agrees: the property `__CRC32#` over all of it, or else BODYCRC | |
//! | no zero byte in topic or properties, where [`ScanLimits`] is strict and there is no `__CRC32#` | BODYCRC does not cover them, and a sector that was not written reads as zeros |
//!
//! | who asks | strict | and asks besides |
//! |---|---|---|
//! | recovery's scan, and its search behind a break (`damage`) | from `Known::strict_from` on | its queue offset follows its queue (`fill`) |
//! | a lookup by offset (`cold::message_at`) | from `own_from` on | |
//! | a read through a queue (`cold::check_unit`), a search for a unit's record (`repair`) | from `own_from` on | size, queue and offset are the unit's |
//!
//! The index asks less: lengths and PHYSICALOFFSET alone. A query reads what it was led to by
//! offset, which is the second row. Whether a topic is a folder's name is no rule of a record: see
//! [`crate::consumequeue::dispatch`].

use crate::limits::BLANK_HEAD_BYTES;
use crate::number::exact;
use memchr::memmem;
use protocol::record::{BLANK_MAGIC, MAGIC_AT, MAGIC_V1, MAGIC_V2, RecordView};

/// What stands where nothing was ever written.
pub(crate) const NOTHING_WRITTEN: &str = "nothing was written";

/// What lies at the beginning of a stretch of log.
pub(crate) enum Scanned<'a> {
    /// A record, whole, with a matching checksum and, where the scan is strict, no zeros where the
    /// checksum does not reach.
    Record(RecordView<'a>),
    /// The file's rest is blank: go on at the next file.
    Blank,
    /// The stretch is too short to tell: this many bytes are needed.
    NeedsBytes(usize),
    /// The log ends here, for this reason.
    End(String),
}

/// Why there is no record at a place of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// Too few bytes to tell: so many are needed.
    Short(usize),
    /// Something else is there.
    Other(String),
    /// Magic, lengths and PHYSICALOFFSET say that a record lies here, and its bytes are not whole.
    Broken(String),
}

/// Bounds of a scan.
#[derive(Clone, Copy)]
pub(crate) struct ScanLimits {
    pub(crate) file_bytes: u64,
    pub(crate) record_bytes_max: usize,
    /// From here on a crash may have torn records: a zero byte in topic or properties means that a
    /// sector is missing, unless the record ends with a checksum over all of it, which then tells.
    /// Below, a zero is what a client of another broker sent.
    pub(crate) strict_from: u64,
    /// Records stored before this are below it as well, wherever they lie.
    pub(crate) strict_from_ms: i64,
}

impl ScanLimits {
    fn is_strict(self, at: u64, record: &RecordView<'_>) -> bool {
        at >= self.strict_from && record.store_timestamp_ms() >= self.strict_from_ms
    }
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Looks at `bytes`, which lie at log offset `at` and do not reach beyond its file.
pub(crate) fn scan_one(bytes: &[u8], at: u64, limits: ScanLimits) -> Scanned<'_> {
    let left_in_file = limits.file_bytes - at % limits.file_bytes;
    let head = exact(BLANK_HEAD_BYTES);
    let (Some(size), Some(magic)) = (i32_at(bytes, 0), i32_at(bytes, MAGIC_AT)) else {
        return if left_in_file < BLANK_HEAD_BYTES {
            Scanned::End("less than a blank is left".to_owned())
        } else {
            Scanned::NeedsBytes(head)
        };
    };
    if magic == BLANK_MAGIC {
        let is_whole = u64::try_from(size) == Ok(left_in_file);
        return if is_whole {
            Scanned::Blank
        } else {
            Scanned::End(format!(
                "a blank of {size} bytes where {left_in_file} are left of the file"
            ))
        };
    }
    if size == 0 && magic == 0 {
        return Scanned::End(NOTHING_WRITTEN.to_owned());
    }
    match record_at(bytes, at, limits) {
        Ok(record) => Scanned::Record(record),
        Err(NoRecord::Short(needed)) => Scanned::NeedsBytes(needed),
        Err(NoRecord::Other(found) | NoRecord::Broken(found)) => Scanned::End(found),
    }
}

/// The record that `bytes` begin with, which lie at log offset `at`: the definition of a valid one,
/// see the module's table.
pub(crate) fn record_at(
    bytes: &[u8],
    at: u64,
    limits: ScanLimits,
) -> Result<RecordView<'_>, NoRecord> {
    let other = |found: String| Err(NoRecord::Other(found));
    let left_in_file = limits.file_bytes - at % limits.file_bytes;
    let (Some(size), Some(magic)) = (i32_at(bytes, 0), i32_at(bytes, MAGIC_AT)) else {
        return Err(NoRecord::Short(exact(BLANK_HEAD_BYTES)));
    };
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        return other(format!("magic {magic:#010x} is neither V1 nor V2 nor a blank's"));
    }
    let Ok(size) = usize::try_from(size) else {
        return other(format!("a record of {size} bytes"));
    };
    if size > limits.record_bytes_max || size as u64 + BLANK_HEAD_BYTES > left_in_file {
        return other(format!(
            "a record of {size} bytes where {left_in_file} are left of the file"
        ));
    }
    if size > bytes.len() {
        return Err(NoRecord::Short(size));
    }
    let record = RecordView::parse(bytes).map_err(|error| NoRecord::Other(error.to_string()))?;
    if u64::try_from(record.physical_offset()) != Ok(at) {
        return other(format!("the record says that it lies at {}", record.physical_offset()));
    }
    let is_strict = limits.is_strict(at, &record) && !record.has_crc_property();
    let is_intact = record.verify_intact();
    is_intact
        .and_then(|()| if is_strict { record.verify_no_zero() } else { Ok(()) })
        .map_err(|error| NoRecord::Broken(error.to_string()))?;
    Ok(record)
}

/// Where in `bytes` the next thing with a record's magic may begin: the place of its TOTALSIZE.
/// Nothing says yet that it is one.
pub(crate) fn next_candidate(bytes: &[u8]) -> Option<usize> {
    let [a, b, c, last] = MAGIC_V1.to_be_bytes();
    let other = MAGIC_V2.to_be_bytes()[3];
    let mut from = MAGIC_AT;
    loop {
        let found = from + memmem::find(bytes.get(from..)?, &[a, b, c])?;
        let ends_right = bytes.get(found + 3).is_some_and(|byte| *byte == last || *byte == other);
        if ends_right {
            return Some(found - MAGIC_AT);
        }
        from = found + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::record::RecordDraft;

    const LIMITS: ScanLimits =
        ScanLimits { file_bytes: 8192, record_bytes_max: 5000, strict_from: 0, strict_from_ms: 0 };

    fn record_at(at: i64) -> Vec<u8> {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic: "T",
            queue_id: 1,
            flag: 0,
            queue_offset: 5,
            physical_offset: at,
            sys_flag: 0,
            born_timestamp_ms: 1,
            born_host: host,
            store_timestamp_ms: 2,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"hello world",
            properties: &[b"TAGS\x01a\x02"],
        };
        let mut bytes = vec![0; draft.encoded_len().unwrap()];
        draft.encode_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_cut_and_every_flipped_size_magic_offset_or_body_byte_ends_the_log() {
        let whole = record_at(100);
        assert!(matches!(scan_one(&whole, 100, LIMITS), Scanned::Record(_)));
        assert!(
            matches!(scan_one(&whole, 101, LIMITS), Scanned::End(_)),
            "a record of another place is none of this one"
        );
        for cut in 0..whole.len() {
            assert!(
                matches!(scan_one(&whole[..cut], 100, LIMITS), Scanned::NeedsBytes(_)),
                "cut at {cut}"
            );
            let mut zeroed = whole.clone();
            zeroed[cut..].fill(0);
            assert!(matches!(scan_one(&zeroed, 100, LIMITS), Scanned::End(_)), "zeros from {cut}");
        }
        for at in (0..12).chain(28..36).chain(88..99) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(!matches!(scan_one(&damaged, 100, LIMITS), Scanned::Record(_)), "byte {at}");
        }
    }

    #[test]
    fn a_zero_that_a_client_sent_is_damage_only_where_a_crash_may_have_torn() {
        let mut bytes = record_at(100);
        let last = bytes.len() - 1;
        bytes[last] = 0;
        assert!(matches!(scan_one(&bytes, 100, LIMITS), Scanned::End(_)));
        for limits in
            [ScanLimits { strict_from: 101, ..LIMITS }, ScanLimits { strict_from_ms: 3, ..LIMITS }]
        {
            assert!(matches!(scan_one(&bytes, 100, limits), Scanned::Record(_)));
        }
    }

    #[test]
    fn candidates_are_where_a_magic_says() {
        let mut bytes = vec![0xDA; 40];
        assert_eq!(next_candidate(&bytes), None);
        bytes[2..6].copy_from_slice(&MAGIC_V1.to_be_bytes());
        assert_eq!(next_candidate(&bytes), None, "its TOTALSIZE is not in these bytes");
        bytes[20..24].copy_from_slice(&MAGIC_V2.to_be_bytes());
        assert_eq!(next_candidate(&bytes), Some(16));
        bytes[12..15].copy_from_slice(&MAGIC_V1.to_be_bytes()[..3]);
        assert_eq!(next_candidate(&bytes), Some(16), "half a magic is none");
        assert_eq!(next_candidate(&bytes[..23]), None);
    }

    #[test]
    fn blanks_and_zeros_are_told_apart() {
        let mut blank = vec![0; 50];
        crate::commitlog::blank::encode_blank(&mut blank);
        assert!(matches!(scan_one(&blank, 8192 - 50, LIMITS), Scanned::Blank));
        assert!(
            matches!(scan_one(&blank, 8192 - 51, LIMITS), Scanned::End(_)),
            "a blank takes the rest of its file"
        );
        assert!(matches!(scan_one(&[0; 50], 0, LIMITS), Scanned::End(_)));
        assert!(matches!(scan_one(&[0; 4], 8188, LIMITS), Scanned::End(_)));
    }
}
