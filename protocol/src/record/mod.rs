//! One message record: the unit of the CommitLog and, byte for byte, the unit of every pull answer.
//!
//! ```text
//!  0           4       8        12       16    20           28              36       40             48
//!  | TOTALSIZE | MAGIC | BODYCRC| QUEUEID| FLAG| QUEUEOFFSET| PHYSICALOFFSET| SYSFLAG| BORNTIMESTAMP | BORNHOST …   big-endian
//!  | i32       | i32   | i32    | i32    | i32 | i64        | i64           | i32    | i64           |
//!
//!  with IPv4 hosts (8 bytes each; with IPv6 20 bytes, and what follows moves by 12 each):
//!  48        56               64         72                76                           84          88
//!  | BORNHOST| STORETIMESTAMP | STOREHOST| RECONSUMETIMES | PREPAREDTRANSACTIONOFFSET | BODYLENGTH| BODY …
//!  | ip port | i64            | ip port  | i32            | i64                       | i32       |
//!
//!  | TOPICLENGTH u8 (V1) or i16 (V2) | TOPIC … | PROPERTIESLENGTH i16 | PROPERTIES … |
//! ```
//!
//! A host is the address (4 or 16 bytes) and the port as i32; SYSFLAG says which (`BORN_HOST_V6`,
//! `STORE_HOST_V6`). V2 exists for topics longer than 127 bytes. BODYCRC covers the body only, with
//! its top bit cleared; a record may end with a property that covers everything (`crc_property`).
//!
//! Why encoding a draft fills every field at once: queue offset, physical offset and store time are
//! known when the store has decided where the record goes, before it encodes. Only records that
//! arrive in stored layout are patched, after they were copied (`store_fields`).

mod crc_property;
mod draft;
mod iter;
mod store_fields;
mod view;

pub use crc_property::CRC_PROPERTY_BYTES;
pub use draft::RecordDraft;
pub use iter::{Records, records};
pub use store_fields::StoreFields;
pub use view::RecordView;

use crate::limits::TOPIC_BYTES_MAX;

/// MAGICCODE of a record whose topic length is one byte.
pub const MAGIC_V1: i32 = -626_843_481;
/// MAGICCODE of a record whose topic length is two bytes.
pub const MAGIC_V2: i32 = -626_843_477;
/// MAGICCODE of the unused rest of a CommitLog file: `| size i32 | BLANK_MAGIC i32 |`.
pub const BLANK_MAGIC: i32 = -875_286_124;
/// Bytes of an end-of-file blank that are written.
pub const BLANK_BYTES: usize = 8;

/// Where TOTALSIZE lies.
pub const TOTAL_SIZE_AT: usize = 0;
/// Where MAGICCODE lies.
pub const MAGIC_AT: usize = 4;
/// Where BODYCRC lies.
pub const BODY_CRC_AT: usize = 8;
/// Where QUEUEID lies.
pub const QUEUE_ID_AT: usize = 12;
/// Where FLAG lies.
pub const FLAG_AT: usize = 16;
/// Where QUEUEOFFSET lies.
pub const QUEUE_OFFSET_AT: usize = 20;
/// Where PHYSICALOFFSET lies.
pub const PHYSICAL_OFFSET_AT: usize = 28;
/// Where SYSFLAG lies.
pub const SYS_FLAG_AT: usize = 36;
/// Where BORNTIMESTAMP lies.
pub const BORN_TIMESTAMP_AT: usize = 40;
/// Where BORNHOST lies; the last fixed offset, as hosts differ in length.
pub const BORN_HOST_AT: usize = 48;

/// Bytes of a host with an IPv4 address.
pub const HOST_V4_BYTES: usize = 4 + 4;
/// Bytes of a host with an IPv6 address.
pub const HOST_V6_BYTES: usize = 16 + 4;

/// Bytes between the two hosts, and between STOREHOST and the body.
const STORE_TIMESTAMP_BYTES: usize = 8;
const AFTER_HOSTS_BYTES: usize = 4 + 8 + 4;

/// Bytes of a V1 record with IPv4 hosts without body, topic and properties.
pub const RECORD_BYTES_MIN: usize = BORN_HOST_AT
    + HOST_V4_BYTES
    + STORE_TIMESTAMP_BYTES
    + HOST_V4_BYTES
    + AFTER_HOSTS_BYTES
    + 1
    + 2;

const _: () = assert!(RECORD_BYTES_MIN == 91);
const _: () = assert!(
    BORN_HOST_AT + HOST_V4_BYTES + STORE_TIMESTAMP_BYTES + HOST_V4_BYTES + AFTER_HOSTS_BYTES == 88
);
const _: () =
    assert!(MAGIC_V1.cast_unsigned() == 0xDAA3_20A7 && MAGIC_V2.cast_unsigned() == 0xDAA3_20AB);
const _: () = assert!(BLANK_MAGIC.cast_unsigned() == 0xCBD4_3194);

/// Offset of BODYLENGTH for a SYSFLAG.
#[must_use]
pub const fn body_length_at(sys_flag: i32) -> usize {
    BORN_HOST_AT
        + host_bytes(sys_flag, crate::sys_flag::BORN_HOST_V6)
        + STORE_TIMESTAMP_BYTES
        + host_bytes(sys_flag, crate::sys_flag::STORE_HOST_V6)
        + AFTER_HOSTS_BYTES
        - 4
}

/// Offset of STORETIMESTAMP for a SYSFLAG.
#[must_use]
pub const fn store_timestamp_at(sys_flag: i32) -> usize {
    BORN_HOST_AT + host_bytes(sys_flag, crate::sys_flag::BORN_HOST_V6)
}

const fn host_bytes(sys_flag: i32, v6_bit: i32) -> usize {
    if sys_flag & v6_bit == 0 { HOST_V4_BYTES } else { HOST_V6_BYTES }
}

/// Whether a topic needs a V2 record.
pub(crate) fn needs_v2(topic: &str) -> bool {
    topic.len() > TOPIC_BYTES_MAX
}

/// BODYCRC: CRC-32 with the top bit cleared, as Java stores it.
#[must_use]
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7FFF_FFFF).cast_signed()
}

/// The 8 bytes that say the rest of a file is unused: its length and [`BLANK_MAGIC`].
#[must_use]
pub fn blank(rest_bytes: i32) -> [u8; BLANK_BYTES] {
    let mut out = [0; BLANK_BYTES];
    let (size, magic) = out.split_at_mut(4);
    size.copy_from_slice(&rest_bytes.to_be_bytes());
    magic.copy_from_slice(&BLANK_MAGIC.to_be_bytes());
    out
}

pub(crate) fn refuse_zero(field: &'static str, bytes: &[u8]) -> Result<(), RecordError> {
    memchr::memchr(0, bytes).map_or(Ok(()), |offset| Err(RecordError::ZeroByte { field, offset }))
}

/// Why bytes are no record, or a draft can't become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Fewer bytes than the record needs.
    #[error("record: {found} bytes are too few, {expected} needed")]
    TooShort {
        /// Bytes needed, as far as known.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// Neither V1 nor V2.
    #[error("record: magic {found:#010x} is neither V1 nor V2")]
    Magic {
        /// What stands at [`MAGIC_AT`].
        found: i32,
    },
    /// TOTALSIZE does not agree with the lengths inside.
    #[error("record: TOTALSIZE {declared} disagrees with its parts, which end at {parts}")]
    TotalSize {
        /// TOTALSIZE.
        declared: i32,
        /// Where the parts end.
        parts: usize,
    },
    /// A length inside leads out of the record.
    #[error("record: {field} {found} does not fit into {available} bytes")]
    Length {
        /// The length field.
        field: &'static str,
        /// Its value.
        found: i32,
        /// Bytes left in the record.
        available: usize,
    },
    /// A zero byte in the topic, or in the properties of a record without a checksum over all of
    /// it: this broker stores none such.
    #[error("record: a zero byte in the {field} at byte {offset}")]
    ZeroByte {
        /// `topic` or `properties`.
        field: &'static str,
        /// Offset in the field.
        offset: usize,
    },
    /// The topic is not UTF-8.
    #[error("record: the topic is not UTF-8 at byte {offset}")]
    Topic {
        /// Offset in the topic.
        offset: usize,
    },
    /// The body does not have its checksum.
    #[error("record: BODYCRC is {declared:#010x}, the body has {computed:#010x}")]
    Crc {
        /// What the record says.
        declared: i32,
        /// What the body has.
        computed: i32,
    },
    /// The record does not have the checksum that its last property says.
    #[error("record: its last property says the CRC-32 is {declared:?}, the record has {computed}")]
    PropertyCrc {
        /// What the property says; `None` when it can't be read.
        declared: Option<u64>,
        /// What the record has.
        computed: u32,
    },
    /// A draft's topic is longer than any record can hold.
    #[error("record: a topic of {found} bytes, at most {max} are possible")]
    TopicTooLong {
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A draft's properties are longer than any record can hold.
    #[error("record: properties of {found} bytes, at most {max} are possible")]
    PropertiesTooLong {
        /// Their length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A draft longer than TOTALSIZE can say.
    #[error("record: {found} bytes are more than a record can have")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// `encode_into` was given a place of another size.
    #[error("record: {expected} bytes to encode into a place of {found}")]
    Place {
        /// `encoded_len`.
        expected: usize,
        /// The place's length.
        found: usize,
    },
}
