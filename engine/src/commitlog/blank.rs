//! The end of a log file: when a record and 8 bytes do not fit the rest, a blank takes the rest.
//!
//! ```text
//!  0           4            8                 remaining
//!  | remaining | 0xCBD43194 | zeros ...       |   big-endian i32, i32
//! ```
//!
//! A reader that meets it goes on at the next file.

use crate::limits::BLANK_HEAD_BYTES;
use crate::number::exact;
use protocol::record::BLANK_MAGIC;

/// Bytes of blank before a record of `record_bytes` at `offset`: 0 when the record fits.
pub(crate) fn blank_before(offset: u64, record_bytes: u64, file_bytes: u64) -> u64 {
    let remaining = file_bytes - offset % file_bytes;
    if record_bytes + BLANK_HEAD_BYTES > remaining { remaining } else { 0 }
}

/// Writes a blank over all of `out`, which has at least 8 bytes: every record leaves them.
pub(crate) fn encode_blank(out: &mut [u8]) {
    let length: u32 = exact(out.len());
    let (head, rest) = out.split_at_mut(8);
    head[..4].copy_from_slice(&length.to_be_bytes());
    head[4..].copy_from_slice(&BLANK_MAGIC.to_be_bytes());
    rest.fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_leaves_room_for_the_blank_of_the_next() {
        assert_eq!(blank_before(0, 92, 100), 0);
        assert_eq!(blank_before(0, 93, 100), 100);
        assert_eq!(blank_before(492, 1, 100), 8);
        assert_eq!(blank_before(400, 92, 100), 0);
    }

    #[test]
    fn golden_bytes() {
        let mut out = [9; 10];
        encode_blank(&mut out);
        assert_eq!(out, [0, 0, 0, 10, 0xCB, 0xD4, 0x31, 0x94, 0, 0]);
    }
}
