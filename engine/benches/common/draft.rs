//! The message that benches send.

use protocol::record::RecordDraft;
use std::net::{Ipv4Addr, SocketAddr};

/// A message with three properties.
pub(crate) fn draft(body: &[u8]) -> RecordDraft<'_> {
    let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 10911));
    RecordDraft {
        topic: "bench",
        queue_id: 0,
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1,
        born_host: host,
        store_timestamp_ms: 0,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[
            b"UNIQ_KEY\x017F0000010001AABBCCDD0000000000\x02WAIT\x01true\x02TAGS\x01red\x02",
        ],
    }
}
