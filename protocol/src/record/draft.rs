//! Encodes a message's parts as a record, in one pass that copies the body once.

use std::net::{IpAddr, SocketAddr};

use super::crc_property::{self, CRC_PROPERTY_BYTES};
use super::{BORN_HOST_AT, RecordError, body_crc, body_length_at, needs_v2};
use super::{MAGIC_V1, MAGIC_V2};
use crate::checked::fit;
use crate::limits::{PROPERTIES_BYTES_MAX, RETRY_TOPIC_BYTES_MAX};
use crate::properties::{self, PROPERTY_SEPARATOR};
use crate::sys_flag::{BORN_HOST_V6, STORE_HOST_V6};

/// A message that is about to be stored: every field of its record, borrowed.
///
/// The receive path fills what the client sent; the store fills `queue_offset`, `physical_offset`
/// and `store_timestamp_ms` when it has decided where the record goes. The host bits of `sys_flag`
/// are set from the hosts.
#[derive(Debug, Clone, Copy)]
pub struct RecordDraft<'a> {
    /// Topic name; beyond 127 bytes the record becomes V2.
    pub topic: &'a str,
    /// Queue within topic and broker.
    pub queue_id: i32,
    /// The user's flag.
    pub flag: i32,
    /// Index in the ConsumeQueue.
    pub queue_offset: i64,
    /// Offset of the record's first byte in the CommitLog.
    pub physical_offset: i64,
    /// Message bits, see [`crate::sys_flag`]; the host bits are ignored here.
    pub sys_flag: i32,
    /// When the client made the message, in milliseconds since 1970.
    pub born_timestamp_ms: i64,
    /// The client's address.
    pub born_host: SocketAddr,
    /// When the store accepted it, in milliseconds since 1970.
    pub store_timestamp_ms: i64,
    /// The broker's advertised address.
    pub store_host: SocketAddr,
    /// How often consumers have sent it back.
    pub reconsume_times: i32,
    /// Half message's offset, for committed transactional messages.
    pub prepared_transaction_offset: i64,
    /// The body as received; a compressed one stays compressed.
    pub body: &'a [u8],
    /// The properties in pieces that are written one after the other.
    pub properties: &'a [&'a [u8]],
}

impl RecordDraft<'_> {
    /// SYSFLAG as it will be stored: the host bits from the hosts.
    #[must_use]
    pub fn stored_sys_flag(&self) -> i32 {
        let bits = |host: &SocketAddr, bit| if host.is_ipv6() { bit } else { 0 };
        self.sys_flag & !(BORN_HOST_V6 | STORE_HOST_V6)
            | bits(&self.born_host, BORN_HOST_V6)
            | bits(&self.store_host, STORE_HOST_V6)
    }

    /// Bytes of all properties together.
    #[must_use]
    pub fn properties_len(&self) -> usize {
        self.properties.iter().map(|piece| piece.len()).sum()
    }

    /// Bytes of the record.
    pub fn encoded_len(&self) -> Result<usize, RecordError> {
        self.len_with(self.properties_len())
    }

    /// Bytes of the record with a checksum over all of it as its last property.
    pub fn encoded_len_with_crc(&self) -> Result<usize, RecordError> {
        self.len_with(self.properties_len_with_crc())
    }

    /// Bytes of all properties and the checksum that covers the record.
    #[must_use]
    pub fn properties_len_with_crc(&self) -> usize {
        self.properties_len() + usize::from(self.needs_separator()) + CRC_PROPERTY_BYTES
    }

    /// Whether a property added at the end needs a separator before it.
    fn needs_separator(&self) -> bool {
        self.properties
            .iter()
            .rev()
            .find(|piece| !piece.is_empty())
            .is_some_and(|last| properties::needs_separator(last))
    }

    fn len_with(&self, properties: usize) -> Result<usize, RecordError> {
        if self.topic.len() > RETRY_TOPIC_BYTES_MAX {
            return Err(RecordError::TopicTooLong {
                found: self.topic.len(),
                max: RETRY_TOPIC_BYTES_MAX,
            });
        }
        if properties > PROPERTIES_BYTES_MAX {
            return Err(RecordError::PropertiesTooLong {
                found: properties,
                max: PROPERTIES_BYTES_MAX,
            });
        }
        let topic_length_bytes = if needs_v2(self.topic) { 2 } else { 1 };
        let fixed = body_length_at(self.stored_sys_flag()) + 4 + topic_length_bytes + 2;
        let found =
            fixed.saturating_add(self.body.len()).saturating_add(self.topic.len() + properties);
        i32::try_from(found).map(|_| found).map_err(|_| RecordError::TooLong { found })
    }

    /// Refuses a zero byte in the topic, where no client and no broker puts one.
    pub fn check_topic(&self) -> Result<(), RecordError> {
        super::refuse_zero("topic", self.topic.as_bytes())
    }

    /// Whether the record must end with a checksum over all of it, whatever the configuration says:
    ///
    /// - A zero byte in the properties. BODYCRC does not cover them, so a log that holds no other
    ///   zero can tell from one that a crash tore the record there: sectors that were not written
    ///   read as zeros.
    /// - Properties whose end looks like that checksum: the record would be taken for a damaged
    ///   one.
    #[must_use]
    pub fn needs_crc(&self) -> bool {
        self.properties.iter().any(|piece| memchr::memchr(0, piece).is_some())
            || self.ends_like_crc()
    }

    fn ends_like_crc(&self) -> bool {
        let last = self.properties.iter().rfind(|piece| !piece.is_empty());
        let Some(last) = last.filter(|last| last.len() < CRC_PROPERTY_BYTES) else {
            return last.is_some_and(|last| crc_property::is_there(last));
        };
        if last.is_empty() || self.properties_len() < CRC_PROPERTY_BYTES {
            return false;
        }
        let mut end = [0; CRC_PROPERTY_BYTES];
        let backwards = self.properties.iter().rev().flat_map(|piece| piece.iter().rev());
        for (place, byte) in end.iter_mut().rev().zip(backwards) {
            *place = *byte;
        }
        crc_property::is_there(&end)
    }

    /// Writes the record into `out`, which must have exactly [`RecordDraft::encoded_len`] bytes.
    pub fn encode_into(&self, out: &mut [u8]) -> Result<(), RecordError> {
        self.encode(out, self.properties_len())
    }

    /// Writes the record, with a checksum over all of it as its last property, into `out`, which
    /// must have exactly [`RecordDraft::encoded_len_with_crc`] bytes.
    pub fn encode_with_crc_into(&self, out: &mut [u8]) -> Result<(), RecordError> {
        self.encode(out, self.properties_len_with_crc())?;
        crc_property::write(out);
        Ok(())
    }

    /// `properties_len` is the length to store. If it exceeds the length of the properties, the
    /// difference is room for a checksum.
    fn encode(&self, out: &mut [u8], properties_len: usize) -> Result<(), RecordError> {
        let total = self.len_with(properties_len)?;
        if out.len() != total {
            return Err(RecordError::Place { expected: total, found: out.len() });
        }
        let mut put = Put { rest: out };
        let sys_flag = self.fixed_part(&mut put, total);
        put.host(self.born_host);
        put.i64(self.store_timestamp_ms);
        put.host(self.store_host);
        put.i32(self.reconsume_times);
        put.i64(self.prepared_transaction_offset);
        debug_assert_eq!(total - put.rest.len(), body_length_at(sys_flag));
        put.length_i32(self.body.len());
        put.bytes(self.body);
        if needs_v2(self.topic) {
            put.length_i16(self.topic.len());
        } else {
            put.bytes(&[fit(self.topic.len())]);
        }
        put.bytes(self.topic.as_bytes());
        put.length_i16(properties_len);
        for piece in self.properties {
            put.bytes(piece);
        }
        if put.rest.len() > CRC_PROPERTY_BYTES {
            put.bytes(&[PROPERTY_SEPARATOR]);
        }
        debug_assert!(matches!(put.rest.len(), 0 | CRC_PROPERTY_BYTES));
        Ok(())
    }

    /// Everything up to BORNHOST, built on the stack and copied at once.
    fn fixed_part(&self, put: &mut Put<'_>, total: usize) -> i32 {
        let sys_flag = self.stored_sys_flag();
        let mut fixed = [0; BORN_HOST_AT];
        let mut head = Put { rest: &mut fixed };
        head.length_i32(total);
        head.i32(if needs_v2(self.topic) { MAGIC_V2 } else { MAGIC_V1 });
        head.i32(body_crc(self.body));
        head.i32(self.queue_id);
        head.i32(self.flag);
        head.i64(self.queue_offset);
        head.i64(self.physical_offset);
        head.i32(sys_flag);
        head.i64(self.born_timestamp_ms);
        put.bytes(&fixed);
        sys_flag
    }
}

/// Writes forward through a slice whose size was computed beforehand; lengths were checked by
/// `encoded_len`.
struct Put<'o> {
    rest: &'o mut [u8],
}

impl Put<'_> {
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) =
            std::mem::take(&mut self.rest).split_at_mut_checked(bytes.len())
        {
            place.copy_from_slice(bytes);
            self.rest = rest;
        }
    }

    #[inline]
    fn i32(&mut self, number: i32) {
        self.bytes(&number.to_be_bytes());
    }

    #[inline]
    fn i64(&mut self, number: i64) {
        self.bytes(&number.to_be_bytes());
    }

    fn length_i32(&mut self, length: usize) {
        self.i32(fit(length));
    }

    fn length_i16(&mut self, length: usize) {
        self.bytes(&fit::<i16, _>(length).to_be_bytes());
    }

    fn host(&mut self, host: SocketAddr) {
        match host.ip() {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
        self.i32(i32::from(host.port()));
    }
}
