//! The body of SEND_BATCH_MESSAGE: messages one after the other, without what they have in common.
//!
//! ```text
//!  0           4        8          12     16         20
//!  | TOTALSIZE | MAGIC  | BODYCRC  | FLAG | BODYLEN  | BODY … | PROPLEN i16 | PROPERTIES … |   big-endian
//!  | i32       | i32 = 0| i32 = 0  | i32  | i32      |
//! ```

use crate::bytes::{Reader, i32_at};
use crate::limits::PROPERTIES_BYTES_MAX;

/// Bytes of an entry without body and properties.
pub const ENTRY_BYTES_MIN: usize = 4 + 4 + 4 + 4 + 4 + 2;
const _: () = assert!(ENTRY_BYTES_MIN == 22);

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchEntry<'a> {
    /// The user's flag.
    pub flag: i32,
    /// The body.
    pub body: &'a [u8],
    /// The properties, see [`crate::properties`].
    pub properties: &'a [u8],
}

/// Why a batch can't be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// An entry's lengths don't fit.
    #[error("batch: the entry at byte {offset} has {field} {found}, {available} bytes are left")]
    Length {
        /// Offset of the entry.
        offset: usize,
        /// The length field.
        field: &'static str,
        /// Its value.
        found: i32,
        /// Bytes left.
        available: usize,
    },
    /// The batch ends within an entry.
    #[error(
        "batch: it ends within the entry at byte {offset}: {available} bytes, {ENTRY_BYTES_MIN} \
            or more needed"
    )]
    Truncated {
        /// Offset of the entry.
        offset: usize,
        /// Bytes left.
        available: usize,
    },
    /// Properties longer than a record can hold.
    #[error("batch: properties of {found} bytes, at most {PROPERTIES_BYTES_MAX} are possible")]
    PropertiesTooLong {
        /// Their length.
        found: usize,
    },
    /// A body longer than an entry can say.
    #[error("batch: a body of {found} bytes is more than an entry can have")]
    BodyTooLong {
        /// Its length.
        found: usize,
    },
}

/// Iterates the entries of a batch; ends after the first error.
#[must_use]
pub fn entries(body: &[u8]) -> BatchEntries<'_> {
    BatchEntries { rest: body, offset: 0 }
}

/// Checks every entry and counts them, so that walking them again can't fail.
pub fn check(body: &[u8]) -> Result<usize, BatchError> {
    entries(body).try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// See [`entries`].
#[derive(Debug, Clone)]
pub struct BatchEntries<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for BatchEntries<'a> {
    type Item = Result<BatchEntry<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let result = self.entry();
        let read = result.as_ref().map_or(self.rest.len(), |entry| {
            ENTRY_BYTES_MIN + entry.body.len() + entry.properties.len()
        });
        self.rest = self.rest.get(read..).unwrap_or_default();
        self.offset += read;
        Some(result)
    }
}

/// Why the fields before the body are always there.
const AT_LEAST_MIN: &str = "an entry has at least ENTRY_BYTES_MIN bytes";

impl<'a> BatchEntries<'a> {
    fn entry(&self) -> Result<BatchEntry<'a>, BatchError> {
        let (offset, available) = (self.offset, self.rest.len());
        let length_error = |field, found| BatchError::Length { offset, field, found, available };
        let total = i32_at(self.rest, 0).ok_or(BatchError::Truncated { offset, available })?;
        let entry = usize::try_from(total)
            .ok()
            .filter(|total| *total >= ENTRY_BYTES_MIN)
            .and_then(|total| self.rest.get(..total));
        let entry = entry.ok_or_else(|| length_error("TOTALSIZE", total))?;
        let mut reader = Reader::new(entry);
        let flag = reader.take(12).and_then(|_| reader.i32()).expect(AT_LEAST_MIN);
        let body_length = i32_at(entry, 16).expect(AT_LEAST_MIN);
        let body = reader.sized_i32().ok_or_else(|| length_error("BODYLEN", body_length))?;
        let properties = reader.sized_i16().ok_or_else(|| length_error("PROPLEN", total))?;
        if reader.remaining() > 0 {
            return Err(length_error("TOTALSIZE", total));
        }
        Ok(BatchEntry { flag, body, properties })
    }
}

/// Appends one entry to a batch, as a client does.
pub fn write(out: &mut Vec<u8>, entry: &BatchEntry<'_>) -> Result<(), BatchError> {
    let properties_bytes = i16::try_from(entry.properties.len())
        .map_err(|_| BatchError::PropertiesTooLong { found: entry.properties.len() })?;
    let total = i32::try_from(ENTRY_BYTES_MIN + entry.properties.len() + entry.body.len())
        .map_err(|_| BatchError::BodyTooLong { found: entry.body.len() })?;
    let body_bytes = i32::try_from(entry.body.len())
        .map_err(|_| BatchError::BodyTooLong { found: entry.body.len() })?;
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&[0; 8]); // MAGIC and BODYCRC: the broker makes its own
    out.extend_from_slice(&entry.flag.to_be_bytes());
    out.extend_from_slice(&body_bytes.to_be_bytes());
    out.extend_from_slice(entry.body);
    out.extend_from_slice(&properties_bytes.to_be_bytes());
    out.extend_from_slice(entry.properties);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_in_order() {
        let all = [
            BatchEntry { flag: 7, body: b"one", properties: b"TAGS\x01a\x02" },
            BatchEntry { flag: -1, body: b"", properties: b"" },
            BatchEntry { flag: 0, body: &[9; 300], properties: b"k\x01v" },
        ];
        let mut out = Vec::new();
        for entry in &all {
            write(&mut out, entry).expect("entry");
        }
        assert_eq!(check(&out), Ok(3));
        assert_eq!(entries(&out).collect::<Result<Vec<_>, _>>(), Ok(all.to_vec()));
        for cut in 1..out.len() {
            let read = entries(&out[..cut]).filter(Result::is_ok).count();
            assert!(read < 3, "cut at {cut}");
        }
    }

    #[test]
    fn lying_lengths_are_named() {
        let mut out = Vec::new();
        write(&mut out, &BatchEntry { flag: 0, body: b"body", properties: b"" }).expect("entry");
        for (at, value, field) in [
            (0, 21, "TOTALSIZE"),
            (0, -1, "TOTALSIZE"),
            (0, 27, "TOTALSIZE"),
            (16, 7, "BODYLEN"),
            (16, -1, "BODYLEN"),
        ] {
            let mut bad = out.clone();
            bad[at..at + 4].copy_from_slice(&i32::to_be_bytes(value));
            let Err(BatchError::Length { field: found, .. }) = check(&bad) else {
                panic!("{at} {value}: accepted")
            };
            assert_eq!(found, field);
        }
    }
}
