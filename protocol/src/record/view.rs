//! Reads a record in place; its lengths are checked once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::crc_property;
use super::{
    BODY_CRC_AT, BORN_HOST_AT, BORN_TIMESTAMP_AT, FLAG_AT, MAGIC_AT, MAGIC_V1, MAGIC_V2,
    PHYSICAL_OFFSET_AT, QUEUE_ID_AT, QUEUE_OFFSET_AT, RECORD_BYTES_MIN, RecordError, SYS_FLAG_AT,
    TOTAL_SIZE_AT, body_crc, body_length_at, store_timestamp_at,
};
use crate::bytes::{array, i16_at, i32_at, i64_at};
use crate::sys_flag::{BORN_HOST_V6, STORE_HOST_V6};

/// Why the fields before the body are always there.
const FIXED_PART: &str = "parse checked that the record reaches its body";

/// One record, borrowed. Its parts lie where its length fields say and fill it exactly, and its
/// topic is UTF-8. Its checksum is not checked yet.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    sys_flag: i32,
    body: &'a [u8],
    topic: &'a str,
    properties: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads the record at the start of `bytes`; more may follow it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let found = bytes.len();
        let (Some(total), Some(magic)) = (i32_at(bytes, TOTAL_SIZE_AT), i32_at(bytes, MAGIC_AT))
        else {
            return Err(RecordError::TooShort { expected: RECORD_BYTES_MIN, found });
        };
        if magic != MAGIC_V1 && magic != MAGIC_V2 {
            return Err(RecordError::Magic { found: magic });
        }
        let Some(size) = usize::try_from(total).ok().filter(|size| *size >= RECORD_BYTES_MIN)
        else {
            return Err(RecordError::TotalSize { declared: total, parts: RECORD_BYTES_MIN });
        };
        let Some(bytes) = bytes.get(..size) else {
            return Err(RecordError::TooShort { expected: size, found });
        };
        Self::parts(bytes, magic, total)
    }

    fn parts(bytes: &'a [u8], magic: i32, total: i32) -> Result<Self, RecordError> {
        let sys_flag = i32_at(bytes, SYS_FLAG_AT).expect(FIXED_PART);
        let (body, after_body) = sized(bytes, body_length_at(sys_flag), 4, "BODYLENGTH")?;
        let topic_length_bytes = if magic == MAGIC_V2 { 2 } else { 1 };
        let (topic, after_topic) = sized(bytes, after_body, topic_length_bytes, "TOPICLENGTH")?;
        let (properties, end) = sized(bytes, after_topic, 2, "PROPERTIESLENGTH")?;
        if end != bytes.len() {
            return Err(RecordError::TotalSize { declared: total, parts: end });
        }
        let topic = std::str::from_utf8(topic)
            .map_err(|error| RecordError::Topic { offset: error.valid_up_to() })?;
        Ok(Self { bytes, sys_flag, body, topic, properties })
    }

    /// The whole record.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// TOTALSIZE.
    #[must_use]
    pub fn total_size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether this is a V2 record.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.i32(MAGIC_AT) == MAGIC_V2
    }

    /// BODYCRC as stored.
    #[must_use]
    pub fn body_crc(&self) -> i32 {
        self.i32(BODY_CRC_AT)
    }

    /// QUEUEID.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.i32(QUEUE_ID_AT)
    }

    /// FLAG.
    #[must_use]
    pub fn flag(&self) -> i32 {
        self.i32(FLAG_AT)
    }

    /// QUEUEOFFSET.
    #[must_use]
    pub fn queue_offset(&self) -> i64 {
        self.i64(QUEUE_OFFSET_AT)
    }

    /// PHYSICALOFFSET.
    #[must_use]
    pub fn physical_offset(&self) -> i64 {
        self.i64(PHYSICAL_OFFSET_AT)
    }

    /// SYSFLAG.
    #[must_use]
    pub fn sys_flag(&self) -> i32 {
        self.sys_flag
    }

    /// BORNTIMESTAMP.
    #[must_use]
    pub fn born_timestamp_ms(&self) -> i64 {
        self.i64(BORN_TIMESTAMP_AT)
    }

    /// BORNHOST.
    #[must_use]
    pub fn born_host(&self) -> SocketAddr {
        host(self.bytes, BORN_HOST_AT, self.sys_flag & BORN_HOST_V6 != 0)
    }

    /// STORETIMESTAMP.
    #[must_use]
    pub fn store_timestamp_ms(&self) -> i64 {
        self.i64(store_timestamp_at(self.sys_flag))
    }

    /// STOREHOST.
    #[must_use]
    pub fn store_host(&self) -> SocketAddr {
        host(self.bytes, store_timestamp_at(self.sys_flag) + 8, self.sys_flag & STORE_HOST_V6 != 0)
    }

    /// RECONSUMETIMES.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        self.i32(body_length_at(self.sys_flag) - 12)
    }

    /// PREPAREDTRANSACTIONOFFSET.
    #[must_use]
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.i64(body_length_at(self.sys_flag) - 8)
    }

    /// BODY.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// TOPIC.
    #[must_use]
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// PROPERTIES, see [`crate::properties`].
    #[must_use]
    pub fn properties(&self) -> &'a [u8] {
        self.properties
    }

    /// Fails if topic or properties contain a zero byte. A record that was stored without a
    /// checksum over all of it has none ([`super::RecordDraft::needs_crc`]), so a zero shows that
    /// a crash has torn this one.
    pub fn verify_no_zero(&self) -> Result<(), RecordError> {
        super::refuse_zero("topic", self.topic().as_bytes())?;
        super::refuse_zero("properties", self.properties())
    }

    /// Checks BODYCRC.
    pub fn verify_crc(&self) -> Result<(), RecordError> {
        let (declared, computed) = (self.body_crc(), body_crc(self.body));
        if declared == computed { Ok(()) } else { Err(RecordError::Crc { declared, computed }) }
    }

    /// Whether the record ends with a checksum over all of it (`enabledAppendPropCRC`).
    #[must_use]
    pub fn has_crc_property(&self) -> bool {
        crc_property::is_there(self.properties)
    }

    /// Checks the strongest checksum the record has: the one over all of it, or else BODYCRC.
    pub fn verify_intact(&self) -> Result<(), RecordError> {
        if self.has_crc_property() { crc_property::verify(self.bytes) } else { self.verify_crc() }
    }

    fn i32(&self, at: usize) -> i32 {
        i32_at(self.bytes, at).expect(FIXED_PART)
    }

    fn i64(&self, at: usize) -> i64 {
        i64_at(self.bytes, at).expect(FIXED_PART)
    }
}

/// The bytes after a length field at `at`, and where they end.
fn sized<'a>(
    bytes: &'a [u8],
    at: usize,
    length_bytes: usize,
    field: &'static str,
) -> Result<(&'a [u8], usize), RecordError> {
    let length = match length_bytes {
        1 => bytes.get(at).copied().map(i32::from),
        2 => i16_at(bytes, at).map(i32::from),
        _ => i32_at(bytes, at),
    };
    let Some(found) = length else {
        return Err(RecordError::TooShort { expected: at + length_bytes, found: bytes.len() });
    };
    let start = at + length_bytes;
    let rest = bytes.get(start..).unwrap_or_default();
    match usize::try_from(found).ok().and_then(|length| rest.get(..length)) {
        Some(part) => Ok((part, start + part.len())),
        None => Err(RecordError::Length { field, found, available: rest.len() }),
    }
}

/// The port is stored in 32 bits. The upper 16 are ignored: a value there is no port, and Java
/// would fail on it.
fn host(bytes: &[u8], at: usize, is_v6: bool) -> SocketAddr {
    let (ip, port_at): (IpAddr, usize) = if is_v6 {
        (Ipv6Addr::from(array::<16>(bytes, at).expect(FIXED_PART)).into(), at + 16)
    } else {
        (Ipv4Addr::from(array::<4>(bytes, at).expect(FIXED_PART)).into(), at + 4)
    };
    let [_, _, high, low] = array::<4>(bytes, port_at).expect(FIXED_PART);
    SocketAddr::new(ip, u16::from_be_bytes([high, low]))
}
