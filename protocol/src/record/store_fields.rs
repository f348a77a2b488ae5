//! The fields that a broker fills in a record that arrived in stored layout.
//!
//! ```text
//!   … QUEUEOFFSET @20 | PHYSICALOFFSET @28 | SYSFLAG | BORNTIMESTAMP | BORNHOST | STORETIMESTAMP | STOREHOST | … | __CRC32# |
//!     i64               i64                                                      i64              ip, port i32     20 bytes, if there
//! ```

use super::{PHYSICAL_OFFSET_AT, QUEUE_OFFSET_AT, crc_property, store_timestamp_at};
use std::net::{IpAddr, SocketAddr};

/// The broker's fields of a record.
#[derive(Debug, Clone, Copy)]
pub struct StoreFields {
    /// Index in the ConsumeQueue.
    pub queue_offset: i64,
    /// Offset of the record's first byte in the CommitLog.
    pub physical_offset: i64,
    /// When the store took it.
    pub store_timestamp_ms: i64,
    /// The broker's advertised address, of the family that the record's SYSFLAG says.
    pub store_host: SocketAddr,
}

impl StoreFields {
    /// Writes them over those of `record`, whose SYSFLAG is `sys_flag`; the checksum over the
    /// record last, if it has one.
    pub fn write(&self, record: &mut [u8], sys_flag: i32, has_crc_property: bool) {
        put(record, QUEUE_OFFSET_AT, &self.queue_offset.to_be_bytes());
        put(record, PHYSICAL_OFFSET_AT, &self.physical_offset.to_be_bytes());
        let at = store_timestamp_at(sys_flag);
        put(record, at, &self.store_timestamp_ms.to_be_bytes());
        let port_at = match self.store_host.ip() {
            IpAddr::V4(ip) => put(record, at + 8, &ip.octets()),
            IpAddr::V6(ip) => put(record, at + 8, &ip.octets()),
        };
        put(record, port_at, &i32::from(self.store_host.port()).to_be_bytes());
        if has_crc_property {
            crc_property::write(record);
        }
    }
}

/// Writes `bytes` at `at` and returns the offset behind them.
fn put(record: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    if let Some(place) = record.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{RecordDraft, RecordView};

    #[test]
    fn a_filled_in_record_is_the_one_that_an_encoder_that_knew_would_have_written() {
        for (born_host, store_host) in [
            ("1.2.3.4:5", "10.0.0.1:10911"),
            ("[::1]:5", "10.0.0.1:10911"),
            ("1.2.3.4:5", "[2001:db8::7]:65535"),
        ] {
            let mut draft = RecordDraft {
                topic: "TopicTest",
                queue_id: 1,
                flag: 2,
                queue_offset: 0,
                physical_offset: 0,
                sys_flag: 1,
                born_timestamp_ms: 5,
                born_host: born_host.parse().unwrap(),
                store_timestamp_ms: 0,
                store_host: if store_host.starts_with('[') {
                    "[::]:0".parse().unwrap()
                } else {
                    "0.0.0.0:0".parse().unwrap()
                },
                reconsume_times: 3,
                prepared_transaction_offset: 0,
                body: b"the body",
                properties: &[b"TAGS\x01a\x02"],
            };
            let fields = StoreFields {
                queue_offset: 77,
                physical_offset: 1 << 40,
                store_timestamp_ms: 1_700_000_000_000,
                store_host: store_host.parse().unwrap(),
            };
            for has_crc in [false, true] {
                let encode = |draft: &RecordDraft<'_>| {
                    let mut bytes = vec![
                        0;
                        if has_crc {
                            draft.encoded_len_with_crc()
                        } else {
                            draft.encoded_len()
                        }
                        .unwrap()
                    ];
                    if has_crc {
                        draft.encode_with_crc_into(&mut bytes)
                    } else {
                        draft.encode_into(&mut bytes)
                    }
                    .unwrap();
                    bytes
                };
                let mut record = encode(&draft);
                let sys_flag = RecordView::parse(&record).unwrap().sys_flag();
                fields.write(&mut record, sys_flag, has_crc);
                let open = draft;
                draft = RecordDraft {
                    queue_offset: 77,
                    physical_offset: 1 << 40,
                    store_timestamp_ms: 1_700_000_000_000,
                    store_host: fields.store_host,
                    ..draft
                };
                assert_eq!(record, encode(&draft), "{born_host} {store_host} {has_crc}");
                draft = open;
            }
        }
    }
}
