//! The records of a fetch, checked as they are read.

use crate::answer;
use crate::error::ClientError;
use protocol::native::FetchStatus;
use protocol::record::{RecordView, Records, records};

/// Limits of a fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Most messages to return.
    pub messages_max: u32,
    /// Most bytes to return; one message is always returned, however long.
    pub bytes_max: u32,
    /// Long poll: how long the broker may keep the request until a message arrives, in
    /// milliseconds. 0: it answers at once.
    pub hold_ms: u32,
    /// Only messages with one of these tags; empty: all.
    pub tags: Vec<String>,
    /// Only messages that this SQL92 expression takes; not together with `tags`, as an expression
    /// can ask for `TAGS` itself. The broker refuses it without `enablePropertyFilter`.
    pub expression: Option<String>,
}

impl Default for FetchOptions {
    /// 256 messages, 1 MiB, a long poll of 5 s, all of them.
    fn default() -> Self {
        Self {
            messages_max: 256,
            bytes_max: 1 << 20,
            hold_ms: 5_000,
            tags: Vec::new(),
            expression: None,
        }
    }
}

/// The records of one fetch.
#[derive(Clone, Debug)]
pub struct FetchedBatch {
    /// How the fetch ended. `None` is a status of a later version; reading goes on at
    /// `next_offset`.
    pub status: Option<FetchStatus>,
    /// The offset to fetch next.
    pub next_offset: i64,
    /// The queue's first offset.
    pub min_offset: i64,
    /// The offset that the queue's next message will have.
    pub max_offset: i64,
    topic: Box<str>,
    queue_id: i32,
    bytes: Vec<u8>,
}

impl FetchedBatch {
    /// Copies the records of an answer out of the receive buffer.
    #[must_use]
    pub fn new(topic: &str, queue_id: i32, fetched: &answer::Fetched<'_>) -> Self {
        Self {
            status: fetched.status,
            next_offset: fetched.next_offset,
            min_offset: fetched.min_offset,
            max_offset: fetched.max_offset,
            topic: topic.into(),
            queue_id,
            bytes: fetched.records.to_vec(),
        }
    }

    /// Iterates the messages and checks each: its lengths, then its strongest checksum. Ends after
    /// the first error.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        Messages { of: self, records: records(&self.bytes), is_over: false }
    }
}

/// See [`FetchedBatch::messages`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    of: &'a FetchedBatch,
    records: Records<'a>,
    is_over: bool,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<RecordView<'a>, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let checked =
            self.records.next()?.and_then(|record| record.verify_intact().map(|()| record));
        Some(checked.map_err(|error| {
            self.is_over = true;
            ClientError::Damaged {
                topic: self.of.topic.clone(),
                queue_id: self.of.queue_id,
                what: error.to_string().into(),
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Message, RecordLayout, RecordWriter};

    #[test]
    fn a_flipped_bit_in_a_body_ends_the_batch_with_an_error_that_names_the_queue() {
        let layout = RecordLayout {
            store_host_is_v6: false,
            needs_crc_property: false,
            body_bytes_max: 100,
        };
        let mut writer = RecordWriter::new("127.0.0.1:1".parse().unwrap(), 1);
        let mut bytes = Vec::new();
        let ends: Vec<usize> = [b"one", b"two", b"six"]
            .map(|body| {
                writer.append(&mut bytes, &layout, 3, &Message::new("T", body), 1).unwrap();
                bytes.len()
            })
            .into();
        let at = bytes.windows(3).position(|window| window == b"two").unwrap();
        bytes[at] ^= 1;
        assert!(at > ends[0] && at < ends[1]);
        let fetched = answer::Fetched {
            status: Some(FetchStatus::Found),
            messages: 3,
            next_offset: 3,
            min_offset: 0,
            max_offset: 3,
            records: &bytes,
        };
        let batch = FetchedBatch::new("T", 3, &fetched);
        let mut messages = batch.messages();
        assert_eq!(messages.next().unwrap().unwrap().body(), b"one");
        let error = messages.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("queue 3"), "{error}");
        assert!(messages.next().is_none());
    }
}
