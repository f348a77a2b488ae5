//! Encodes a message as the record that the broker stores.
//!
//! The record is written once, in stored layout, with room for what the broker fills in: offsets,
//! store time, STOREHOST in the length that Welcome asks for, and the digits of `__CRC32#` when
//! records of that store end with it.

use crate::error::{ClientError, Result};
use protocol::ids::UniqKeys;
use protocol::native::Welcome;
use protocol::properties::{NAME_VALUE_SEPARATOR, PROPERTY_SEPARATOR, names};
use protocol::record::RecordDraft;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// When consumers get a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deliver {
    /// As soon as it is stored.
    #[default]
    AtOnce,
    /// After the delay of this level (`messageDelayLevel`), from 1; above the highest: the highest.
    Level(u16),
    /// After so many milliseconds, from the moment when the broker stores it.
    AfterMs(u64),
    /// At this time, in milliseconds since 1970; one that has passed is at once.
    AtMs(u64),
}

impl Deliver {
    /// The property that asks for it, and its value.
    fn property(self) -> Option<(&'static str, u64)> {
        match self {
            Self::AtOnce => None,
            Self::Level(level) => Some((names::DELAY_TIME_LEVEL, level.into())),
            Self::AfterMs(ms) => Some((names::TIMER_DELAY_MS, ms)),
            Self::AtMs(ms) => Some((names::TIMER_DELIVER_MS, ms)),
        }
    }
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Its tag, by which consumers filter.
    pub tag: Option<&'a str>,
    /// Keys under which it is found; none has a space.
    pub keys: &'a [&'a str],
    /// Further properties.
    pub properties: &'a [(&'a str, &'a str)],
    /// The message id that clients show; generated when it is `None`.
    pub unique_key: Option<&'a str>,
    /// RocketMQ's flag: a number for the application's use.
    pub flag: i32,
    /// When consumers get it. Of one that waits, [`crate::Stored`] has the place where it waits.
    pub deliver: Deliver,
}

impl<'a> Message<'a> {
    /// A message with nothing but a topic and a body.
    #[must_use]
    pub fn new(topic: &'a str, body: &'a [u8]) -> Self {
        Self { topic, body, ..Self::default() }
    }

    /// The same with a tag.
    #[must_use]
    pub fn with_tag(self, tag: &'a str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    /// The same with keys.
    #[must_use]
    pub fn with_keys(self, keys: &'a [&'a str]) -> Self {
        Self { keys, ..self }
    }

    /// The same, delivered later.
    #[must_use]
    pub fn delivered(self, deliver: Deliver) -> Self {
        Self { deliver, ..self }
    }
}

/// The record layout that a broker asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLayout {
    /// STOREHOST takes 20 bytes.
    pub store_host_is_v6: bool,
    /// Records end with `__CRC32#`.
    pub needs_crc_property: bool,
    /// Longest body in bytes.
    pub body_bytes_max: usize,
}

impl RecordLayout {
    /// The layout that a Welcome asks for.
    #[must_use]
    pub fn of(welcome: &Welcome) -> Self {
        Self {
            store_host_is_v6: welcome.store_host_is_v6,
            needs_crc_property: welcome.needs_crc_property,
            body_bytes_max: welcome.message_bytes_max as usize,
        }
    }
}

/// Properties that have a field in [`Message`] or belong to the broker.
const NOT_FOR_PROPERTIES: [&str; 8] = [
    names::KEYS,
    names::TAGS,
    names::UNIQ_KEY,
    names::DELAY_TIME_LEVEL,
    names::TIMER_DELAY_SEC,
    names::TIMER_DELAY_MS,
    names::TIMER_DELIVER_MS,
    "__CRC32#",
];
/// Room for the checksum over the record: the broker writes the digits.
const CRC_ROOM: &[u8] = b"__CRC32#\x010000000000\x02";
const _: () = assert!(CRC_ROOM.len() == protocol::record::CRC_PROPERTY_BYTES);

/// Writes records for one thread. Its memory is reused: in steady state a record costs no
/// allocation.
#[derive(Debug)]
pub struct RecordWriter {
    born_host: SocketAddr,
    keys: UniqKeys,
    properties: Vec<u8>,
    key: String,
}

impl RecordWriter {
    /// For a client at `born_host`; `seed` tells writers of one process apart.
    #[must_use]
    pub fn new(born_host: SocketAddr, seed: u32) -> Self {
        let keys = UniqKeys::new(born_host.ip(), std::process::id(), seed);
        Self {
            born_host,
            keys,
            properties: Vec::with_capacity(256),
            key: String::with_capacity(64),
        }
    }

    /// Sets the BORNHOST of the following messages.
    pub fn set_born_host(&mut self, born_host: SocketAddr) {
        self.born_host = born_host;
    }

    /// Appends the record of `message` for a queue. On an error `out` is as it was.
    pub fn append(
        &mut self,
        out: &mut Vec<u8>,
        layout: &RecordLayout,
        queue_id: i32,
        message: &Message<'_>,
        born_timestamp_ms: i64,
    ) -> Result<()> {
        let refused = |what: String| ClientError::message(message.topic, what);
        if message.topic.is_empty() || message.topic.bytes().any(|byte| byte < 0x20) {
            return Err(refused("the topic is empty or has a control character".into()));
        }
        if message.body.len() > layout.body_bytes_max {
            return Err(refused(format!(
                "a body of {} bytes, the broker takes at most {} (maxMessageSize)",
                message.body.len(),
                layout.body_bytes_max
            )));
        }
        self.collect_properties(message, born_timestamp_ms)?;
        let crc_room = if layout.needs_crc_property { CRC_ROOM } else { &[] };
        let pieces = [self.properties.as_slice(), crc_room];
        let open: IpAddr = if layout.store_host_is_v6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        let draft = RecordDraft {
            topic: message.topic,
            queue_id,
            flag: message.flag,
            queue_offset: 0,
            physical_offset: 0,
            sys_flag: 0,
            born_timestamp_ms,
            born_host: self.born_host,
            store_timestamp_ms: 0,
            store_host: SocketAddr::new(open, 0),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: message.body,
            properties: &pieces,
        };
        let bytes = draft.encoded_len().map_err(|error| refused(error.to_string()))?;
        let start = out.len();
        out.resize(start + bytes, 0);
        let written = out.get_mut(start..).map_or(Ok(()), |place| draft.encode_into(place));
        written.map_err(|error| {
            out.truncate(start);
            refused(error.to_string())
        })
    }

    fn collect_properties(&mut self, message: &Message<'_>, born_timestamp_ms: i64) -> Result<()> {
        self.properties.clear();
        self.key.clear();
        if message.unique_key.is_none() {
            self.keys.write_next(born_timestamp_ms, &mut self.key);
        }
        let key = message.unique_key.unwrap_or(&self.key);
        push(&mut self.properties, message.topic, names::UNIQ_KEY, &[key])?;
        if !message.keys.is_empty() {
            if message.keys.iter().any(|key| key.is_empty() || key.contains(' ')) {
                return Err(ClientError::message(
                    message.topic,
                    "a key is empty or has a space, which stands between keys",
                ));
            }
            push(&mut self.properties, message.topic, names::KEYS, message.keys)?;
        }
        if let Some(tag) = message.tag {
            push(&mut self.properties, message.topic, names::TAGS, &[tag])?;
        }
        if let Some((name, value)) = message.deliver.property() {
            use std::io::Write as _;
            let written = write!(self.properties, "{name}\u{1}{value}\u{2}");
            debug_assert!(written.is_ok(), "a Vec takes every byte");
        }
        for (name, value) in message.properties {
            if NOT_FOR_PROPERTIES.contains(name) {
                return Err(ClientError::message(
                    message.topic,
                    format!("property {name} has a field of its own, or is the broker's"),
                ));
            }
            push(&mut self.properties, message.topic, name, &[value])?;
        }
        Ok(())
    }
}

/// Appends a property whose value is `words` with spaces between.
fn push(out: &mut Vec<u8>, topic: &str, name: &str, words: &[&str]) -> Result<()> {
    let is_separator =
        |byte: u8| byte == 0 || byte == NAME_VALUE_SEPARATOR || byte == PROPERTY_SEPARATOR;
    if name.is_empty()
        || name.bytes().chain(words.iter().flat_map(|word| word.bytes())).any(is_separator)
    {
        return Err(ClientError::message(
            topic,
            format!("property {name:?}: the name is empty, or name or value has a byte 0, 1 or 2"),
        ));
    }
    out.extend_from_slice(name.as_bytes());
    out.push(NAME_VALUE_SEPARATOR);
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_bytes());
    }
    out.push(PROPERTY_SEPARATOR);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::native::records;

    fn layout(store_host_is_v6: bool, needs_crc_property: bool) -> RecordLayout {
        RecordLayout { store_host_is_v6, needs_crc_property, body_bytes_max: 100 }
    }

    fn writer() -> RecordWriter {
        RecordWriter::new("127.0.0.1:5".parse().unwrap(), 7)
    }

    #[test]
    fn what_is_written_passes_the_brokers_check_in_every_layout() {
        for (v6, crc) in [(false, false), (false, true), (true, false), (true, true)] {
            for message in [
                Message::new("T", b"body"),
                Message {
                    tag: Some("a"),
                    keys: &["k1", "k2"],
                    properties: &[("p", "v")],
                    flag: 3,
                    ..Message::new("topic", b"")
                },
            ] {
                let mut out = b"before".to_vec();
                writer()
                    .append(&mut out, &layout(v6, crc), 2, &message, 1_700_000_000_000)
                    .unwrap();
                let checked = records::check(&out[6..], v6).unwrap();
                assert_eq!(
                    (
                        checked.view.topic(),
                        checked.view.body(),
                        checked.view.queue_id(),
                        checked.view.flag()
                    ),
                    (message.topic, message.body, 2, message.flag)
                );
                assert_eq!(
                    (checked.has_crc_property, checked.tags_code),
                    (crc, message.tag.map_or(0, |_| 97))
                );
            }
        }
    }

    #[test]
    fn unique_keys_differ_and_a_given_one_is_kept() {
        let (mut writer, mut out) = (writer(), Vec::new());
        let given = Message { unique_key: Some("mine"), ..Message::new("T", b"") };
        for message in [Message::new("T", b""), Message::new("T", b""), given] {
            writer.append(&mut out, &layout(false, false), 0, &message, 5).unwrap();
        }
        let keys: Vec<String> = protocol::record::records(&out)
            .map(|record| String::from_utf8(record.unwrap().properties().to_vec()).unwrap())
            .collect();
        assert_ne!(keys[0], keys[1]);
        assert_eq!(keys[2], "UNIQ_KEY\u{1}mine\u{2}");
    }

    #[test]
    fn what_cannot_be_a_record_is_refused_and_leaves_nothing() {
        let wrong = [
            Message::new("", b""),
            Message::new("a\nb", b""),
            Message::new("T", &[0; 101]),
            Message::new("T", b"").with_tag("a\u{1}b"),
            Message::new("T", b"").with_keys(&["a b"]),
            Message { properties: &[("TAGS", "x")], ..Message::new("T", b"") },
            Message { properties: &[("TIMER_DELAY_SEC", "1")], ..Message::new("T", b"") },
            Message { properties: &[("", "x")], ..Message::new("T", b"") },
        ];
        for message in wrong {
            let mut out = Vec::new();
            let error =
                writer().append(&mut out, &layout(false, false), 0, &message, 5).unwrap_err();
            assert!(out.is_empty() && matches!(error, ClientError::Message { .. }), "{error}");
        }
    }
}
