//! Messages of a retry topic as pops hand them out: under the topic that was sent to, each with its
//! receipt. Only these are written anew; first deliveries leave as slices of the log.

use protocol::pop::{Receipt, Retry};
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView};
use rt::{AppendBuf, BufSlice};

/// The checksum of the record as it was stored.
const CRC_PROPERTY: &str = "__CRC32#";

/// What is the same for all messages that one pop takes from a retry queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handed<'a> {
    /// The topic that was sent to.
    pub(super) topic: &'a str,
    /// Which retry topic it is.
    pub(super) retry: Retry,
    /// The first queue offset of its checkpoint.
    pub(super) start_offset: i64,
    /// When it was popped.
    pub(super) pop_time_ms: i64,
    /// For how long nobody else gets it.
    pub(super) invisible_ms: i64,
    /// Where its checkpoint goes.
    pub(super) revive_queue: i32,
    /// This broker.
    pub(super) broker: &'a str,
}

impl Handed<'_> {
    /// The record as the client gets it; `None` when it would be too long to be one.
    pub(super) fn rewritten(&self, record: &RecordView<'_>) -> Option<BufSlice> {
        let mut kept = vec![];
        properties::write_without(&mut kept, record.properties(), &[CRC_PROPERTY]);
        if properties::get_bytes(&kept, names::POP_CK).is_none() {
            let receipt = Receipt {
                start_offset: self.start_offset,
                pop_time_ms: self.pop_time_ms,
                invisible_ms: self.invisible_ms,
                revive_queue: self.revive_queue,
                retry: self.retry,
                broker: self.broker,
                queue_id: record.queue_id(),
                queue_offset: Some(record.queue_offset()),
            };
            properties::write(&mut kept, names::POP_CK, &receipt.to_string());
        }
        let draft = RecordDraft {
            topic: self.topic,
            queue_id: record.queue_id(),
            flag: record.flag(),
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            sys_flag: record.sys_flag(),
            born_timestamp_ms: record.born_timestamp_ms(),
            born_host: record.born_host(),
            store_timestamp_ms: record.store_timestamp_ms(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
            body: record.body(),
            properties: &[&kept],
        };
        let length = draft.encoded_len().ok()?;
        let buf = AppendBuf::with_capacity(length);
        buf.append(length, |bytes| draft.encode_into(bytes))?.ok()?;
        Some(BufSlice::new(buf, 0..length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retried_message_has_its_first_topic_its_place_and_a_receipt() {
        let host = "127.0.0.1:10911".parse().unwrap();
        let stored = RecordDraft {
            topic: "%RETRY%g_T",
            queue_id: 0,
            flag: 3,
            queue_offset: 9,
            physical_offset: 700,
            sys_flag: 1,
            born_timestamp_ms: 11,
            born_host: host,
            store_timestamp_ms: 12,
            store_host: host,
            reconsume_times: 2,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: &[b"UNIQ_KEY\x01u\x02__CRC32#\x01123\x02"],
        };
        let mut bytes = vec![0; stored.encoded_len().unwrap()];
        stored.encode_into(&mut bytes).unwrap();
        let handed = Handed {
            topic: "T",
            retry: Retry::V1,
            start_offset: 8,
            pop_time_ms: 1_000,
            invisible_ms: 60_000,
            revive_queue: 4,
            broker: "b",
        };
        let slice = handed.rewritten(&RecordView::parse(&bytes).unwrap()).unwrap();
        let record = RecordView::parse(&slice).unwrap();
        assert_eq!((record.topic(), record.body(), record.queue_offset()), ("T", &b"body"[..], 9));
        assert_eq!(
            (record.reconsume_times(), record.physical_offset(), record.flag()),
            (2, 700, 3)
        );
        let properties = "UNIQ_KEY\x01u\x02POP_CK\x018 1000 60000 4 1 b 0 9\x02";
        assert_eq!(record.properties(), properties.as_bytes());
    }
}
