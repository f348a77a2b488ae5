//! Messages as tests see them: what to send, what to ask for, what came back.

use protocol::headers::{PullHeader, SendHeader};
use protocol::record::{RecordDraft, RecordView};
use protocol::sys_flag::pull;
use std::collections::BTreeMap;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its topic.
    pub topic: String,
    /// Its queue.
    pub queue_id: i32,
    /// Its place in its queue.
    pub queue_offset: i64,
    /// Its place in the log.
    pub physical_offset: i64,
    /// The sender's flag.
    pub flag: i32,
    /// When it was stored, in milliseconds since 1970.
    pub store_timestamp_ms: i64,
    /// How often its group has sent it back.
    pub reconsume_times: i32,
    /// Its body.
    pub body: Vec<u8>,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
}

impl Stored {
    /// Reads a record, checksum included.
    pub fn parse(record: &[u8]) -> Self {
        let view = RecordView::parse(record).unwrap();
        view.verify_crc().unwrap();
        let properties = std::str::from_utf8(view.properties()).unwrap();
        let pairs = properties.split('\u{2}').filter_map(|property| property.split_once('\u{1}'));
        Self {
            topic: view.topic().to_owned(),
            queue_id: view.queue_id(),
            queue_offset: view.queue_offset(),
            physical_offset: view.physical_offset(),
            flag: view.flag(),
            store_timestamp_ms: view.store_timestamp_ms(),
            reconsume_times: view.reconsume_times(),
            body: view.body().to_vec(),
            properties: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// The records that lie one after another in an answer's body.
    pub fn parse_all(mut rest: &[u8]) -> Vec<Self> {
        let mut messages = vec![];
        while let Some(length) = rest.first_chunk::<4>() {
            let (record, behind) =
                rest.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
            messages.push(Self::parse(record));
            rest = behind;
        }
        assert!(rest.is_empty(), "half a record: {rest:?}");
        messages
    }

    /// Its body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A plain message to queue 0, creating its topic with four queues.
pub fn message(topic: &str) -> SendHeader<'_> {
    SendHeader {
        producer_group: "p",
        topic,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        born_timestamp_ms: 1_700_000_000_000,
        ..SendHeader::default()
    }
}

/// A pull of everything in queue 0 from `offset` that does not wait.
pub fn pull_from(topic: &str, offset: i64) -> PullHeader<'_> {
    PullHeader {
        consumer_group: "g",
        topic,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: pull::SUBSCRIPTION,
        subscription: Some("*"),
        ..PullHeader::default()
    }
}

/// The same as a long poll of up to `ms`.
pub fn long_pull_from(topic: &str, offset: i64, ms: i64) -> PullHeader<'_> {
    let plain = pull_from(topic, offset);
    PullHeader { sys_flag: plain.sys_flag | pull::SUSPEND, suspend_timeout_ms: ms, ..plain }
}

/// A record as a client of the native protocol writes it.
pub fn record(topic: &str, queue_id: i32, properties: &str, text: &str) -> Vec<u8> {
    let open = "0.0.0.0:0".parse().unwrap();
    let pieces = [properties.as_bytes()];
    let draft = RecordDraft {
        topic,
        queue_id,
        flag: 7,
        queue_offset: -1,
        physical_offset: -1,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: "10.1.2.3:4567".parse().unwrap(),
        store_timestamp_ms: -1,
        store_host: open,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: text.as_bytes(),
        properties: &pieces,
    };
    let mut bytes = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut bytes).unwrap();
    bytes
}
