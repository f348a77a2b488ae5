//! The property that ends a record written with RocketMQ's `enabledAppendPropCRC`: a checksum of
//! everything before it.
//!
//! ```text
//!  … BODY … TOPIC … | PROPERTIESLENGTH | properties … 0x02 | __CRC32# | 0x01 | 10 digits  | 0x02 |
//!                                                          |    8     |  1   |     10     |  1   |   20 bytes, the record's last
//!  |<──────────────── CRC-32, top bit cleared ────────────>|                   last digit first
//! ```
//!
//! PROPERTIESLENGTH includes it. BODYCRC covers the body alone; this covers lengths, offsets,
//! times, topic and properties too.

use super::RecordError;
use crate::checked::fit;
use crate::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR};

/// Bytes of the property.
pub const CRC_PROPERTY_BYTES: usize = NAME.len() + 1 + DIGITS + 1;
const _: () = assert!(CRC_PROPERTY_BYTES == 20);

/// Its name.
const NAME: &[u8] = b"__CRC32#";
const DIGITS: usize = 10;
/// The name and both separators: of these ten bytes as many must be right for it to be the
/// property, so that one whose name is damaged is not taken for none.
const FIXED_BYTES_MIN: usize = 8;

fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) & 0x7FFF_FFFF
}

/// Writes the property over the last bytes of `record`, whose other bytes are final.
pub(super) fn write(record: &mut [u8]) {
    let Some((covered, property)) = record.split_last_chunk_mut::<CRC_PROPERTY_BYTES>() else {
        return;
    };
    let mut rest = crc(covered);
    let (name, value) = property.split_at_mut(NAME.len());
    name.copy_from_slice(NAME);
    let Some((separator, digits)) = value.split_first_mut() else { return };
    *separator = NAME_VALUE_SEPARATOR;
    for digit in digits.iter_mut().take(DIGITS) {
        *digit = b'0' + fit::<u8, _>(rest % 10);
        rest /= 10;
    }
    if let Some(end) = digits.last_mut() {
        *end = PROPERTY_SEPARATOR;
    }
}

/// Whether a record ends with the property, be it a damaged one.
pub(super) fn is_there(properties: &[u8]) -> bool {
    let Some(property) = properties.last_chunk::<CRC_PROPERTY_BYTES>() else { return false };
    let (name, value) = property.split_at(NAME.len());
    let right = name.iter().zip(NAME).filter(|(found, expected)| found == expected).count();
    let separators = usize::from(value.first() == Some(&NAME_VALUE_SEPARATOR))
        + usize::from(value.last() == Some(&PROPERTY_SEPARATOR));
    right + separators >= FIXED_BYTES_MIN
}

/// Checks a record that ends with the property.
pub(super) fn verify(record: &[u8]) -> Result<(), RecordError> {
    let Some((covered, property)) = record.split_last_chunk::<CRC_PROPERTY_BYTES>() else {
        return Ok(());
    };
    let computed = crc(covered);
    let declared =
        property.iter().skip(NAME.len() + 1).take(DIGITS).rev().try_fold(0_u64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        });
    let is_whole = property.starts_with(NAME)
        && property.get(NAME.len()) == Some(&NAME_VALUE_SEPARATOR)
        && property.last() == Some(&PROPERTY_SEPARATOR);
    match declared {
        Some(declared) if is_whole && declared == u64::from(computed) => Ok(()),
        declared => {
            Err(RecordError::PropertyCrc { declared: declared.filter(|_| is_whole), computed })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::record::{RecordDraft, RecordView};

    #[test]
    fn golden_bytes_as_java_writes_them() {
        let mut record = [b"hello".as_slice(), &[0; CRC_PROPERTY_BYTES]].concat();
        write(&mut record);
        // CRC32("hello") = 907060870, last digit first, filled up with zeros.
        assert_eq!(record.as_slice(), b"hello__CRC32#\x010780607090\x02");
        verify(&record).unwrap();
    }

    fn encoded(properties: &[&[u8]]) -> Vec<u8> {
        let host = "127.0.0.1:10911".parse().unwrap();
        let draft = RecordDraft {
            topic: "T",
            queue_id: 1,
            flag: 2,
            queue_offset: 3,
            physical_offset: 4,
            sys_flag: 0,
            born_timestamp_ms: 5,
            born_host: host,
            store_timestamp_ms: 6,
            store_host: host,
            reconsume_times: 7,
            prepared_transaction_offset: 8,
            body: b"hello",
            properties,
        };
        let mut record = vec![0; draft.encoded_len_with_crc().unwrap()];
        draft.encode_with_crc_into(&mut record).unwrap();
        record
    }

    #[test]
    fn it_follows_the_other_properties_behind_a_separator() {
        for (properties, expected) in [
            (&[b"TAGS\x01a".as_slice(), b""][..], &b"TAGS\x01a\x02__CRC32#\x01"[..]),
            (&[b"TAGS\x01a\x02"], b"TAGS\x01a\x02__CRC32#\x01"),
            (&[], b"__CRC32#\x01"),
        ] {
            let record = encoded(properties);
            let view = RecordView::parse(&record).unwrap();
            assert!(view.has_crc_property() && view.properties().starts_with(expected));
            view.verify_intact().unwrap();
            view.verify_crc().unwrap();
        }
    }

    #[test]
    fn every_flipped_bit_anywhere_is_found() {
        let record = encoded(&[b"TAGS\x01a"]);
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut flipped = record.clone();
                flipped[at] ^= 1 << bit;
                let is_found =
                    RecordView::parse(&flipped).and_then(|view| view.verify_intact()).is_err();
                assert!(is_found, "bit {bit} of byte {at}");
            }
        }
    }
}
