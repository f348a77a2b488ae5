//! Frames of remoting: the generator patches sends from a template, writes pulls, and reads
//! answers.
//!
//! The headers of two sends differ only in the opaque, the born timestamp and the unique key, which
//! keep their width. So `protocol` builds the header once for each queue, and these three are
//! patched. The frame has the same form as a stock Java client's: JSON header, V2 keys, properties
//! `UNIQ_KEY` and `WAIT`.

use crate::messages::{Drawn, Messages};
use crate::payload::Stamp;
use crate::protocols::Content;
use protocol::checked::fit;
use protocol::codes::request;
use protocol::remoting::{
    CommandHead, CommandView, SerializeType, write_command, write_command_head,
};
use std::ops::Range;

/// Opaques run from here over [`OPAQUE_SPAN`]: always ten digits, so a JSON header keeps its
/// length.
const OPAQUE_BASE: i32 = 1_000_000_000;
/// How many numbers an opaque distinguishes; windows are far smaller.
pub(crate) const OPAQUE_SPAN: u64 = 1_000_000_000;

const OPAQUE_MARK: i32 = 1_876_543_210;
const BORN_MARK: i64 = 9_876_501_234_567;
/// Placeholder of the unique key in a template.
pub(crate) const KEY_MARK: &str = "0123456789ABCDEFFEDCBA9876543210";

/// The opaque of the `seq`-th request of a connection.
#[must_use]
pub(crate) fn opaque_of(seq: u64) -> i32 {
    OPAQUE_BASE + fit::<i32, _>(seq % OPAQUE_SPAN)
}

/// The low part of the request number an opaque stands for, if it is one of ours.
#[must_use]
pub(crate) fn seq_low_of(opaque: i32) -> Option<u64> {
    opaque.checked_sub(OPAQUE_BASE).and_then(|low| u64::try_from(low).ok())
}

/// The fields of a send's header that depend on the queue.
#[derive(Clone, Debug)]
pub struct SendShape<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Producer group.
    pub group: &'a str,
    /// Broker name, as 5.x clients send it (`n`).
    pub broker: &'a str,
    /// Queue.
    pub queue_id: u32,
    /// JSON (as Java clients by default) or RocketMQ's binary header.
    pub serialize: SerializeType,
}

/// Places in properties that differ from message to message. They keep their width.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    key_unique: Range<usize>,
    tag: Option<Range<usize>>,
    key: Option<Range<usize>>,
}

/// Placeholder of a tag; its digits are patched.
pub(crate) const TAG_MARK: &str = "tag753197";
const TAG_DIGITS: usize = 6;
/// Placeholder of a key; its digits are patched.
pub(crate) const KEYS_MARK: &str = "keyFEDC0123BA987654";
const KEYS_DIGITS: usize = 16;
/// Name of the property that makes messages larger.
pub(crate) const FILLER_NAME: &str = "loadgen";

/// Value of the property that makes messages larger.
pub(crate) fn filler_property(messages: &Messages) -> String {
    "p".repeat(fit(messages.property_bytes))
}

impl Marks {
    /// Finds the places in written properties.
    ///
    /// # Errors
    /// When one is missing or there twice.
    pub(crate) fn find(bytes: &[u8], messages: &Messages) -> Result<Self, String> {
        let find = |what: &str, mark: &str| {
            let found = only_place(bytes, mark.as_bytes());
            found.ok_or_else(|| format!("a message without a single {what}"))
        };
        let digits = |range: Range<usize>, count: usize| range.end - count..range.end;
        let tag = (messages.tags > 0).then(|| find("tag", TAG_MARK)).transpose()?;
        let key = (messages.keys > 0).then(|| find("key", KEYS_MARK)).transpose()?;
        Ok(Self {
            key_unique: find("unique key", KEY_MARK)?,
            tag: tag.map(|range| digits(range, TAG_DIGITS)),
            key: key.map(|range| digits(range, KEYS_DIGITS)),
        })
    }

    /// Fills in what belongs to a message.
    pub(crate) fn write(&self, bytes: &mut [u8], stamp: &Stamp, drawn: &Drawn) {
        write_key(&mut bytes[self.key_unique.clone()], stamp);
        if let Some(tag) = &self.tag {
            write_digits(&mut bytes[tag.clone()], drawn.tag.into(), 10);
        }
        if let Some(key) = &self.key {
            write_digits(&mut bytes[key.clone()], drawn.key, 16);
        }
    }
}

/// The properties of a message, as remoting writes them.
fn properties(messages: &Messages) -> String {
    let mut text = format!("UNIQ_KEY\u{1}{KEY_MARK}\u{2}WAIT\u{1}true\u{2}");
    let mut add = |name: &str, value: &str| text.push_str(&format!("{name}\u{1}{value}\u{2}"));
    if messages.tags > 0 {
        add("TAGS", TAG_MARK);
    }
    if messages.keys > 0 {
        add("KEYS", KEYS_MARK);
    }
    if messages.property_bytes > 0 {
        add(FILLER_NAME, &filler_property(messages));
    }
    text
}

/// A send request to one queue, ready to be patched: one message, or a batch.
#[derive(Clone, Debug)]
pub struct SendTemplate {
    head: Vec<u8>,
    opaque: Range<usize>,
    born: Range<usize>,
    marks: Marks,
    binary_opaque: bool,
    /// The properties of each message of a batch.
    batch: Option<(Vec<u8>, Marks)>,
    batch_messages: u32,
}

impl SendTemplate {
    /// Builds the header for such messages.
    ///
    /// # Errors
    /// When the written header does not contain a field that must be patched: `protocol` changed
    /// its writing.
    pub fn new(shape: &SendShape<'_>, messages: &Messages) -> Result<Self, String> {
        let is_batch = messages.batch > 1;
        let properties = properties(messages);
        let head = send_head(shape, is_batch, &properties);
        let binary_opaque = shape.serialize == SerializeType::RocketMq;
        let opaque_mark = if binary_opaque {
            OPAQUE_MARK.to_be_bytes().to_vec()
        } else {
            OPAQUE_MARK.to_string().into_bytes()
        };
        let find = |what: &'static str, mark: &[u8]| {
            only_place(&head, mark).ok_or(format!("send header without a single {what}"))
        };
        let (opaque, born) = (
            find("opaque", &opaque_mark)?,
            find("born timestamp", BORN_MARK.to_string().as_bytes())?,
        );
        let marks = Marks::find(&head, messages)?;
        let of_entries = Marks::find(properties.as_bytes(), messages)?;
        let batch = is_batch.then(|| (properties.into_bytes(), of_entries));
        let batch_messages = messages.batch;
        Ok(Self { head, opaque, born, marks, binary_opaque, batch, batch_messages })
    }

    /// Appends one whole send frame, of the message with this stamp or of a batch that begins with
    /// it. Allocates nothing once `out` has grown.
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        born_ms: i64,
        first: &Stamp,
        content: &Content<'_>,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        let drawn = content.drawing.message(first.message_id);
        if let Some(head) = out.get_mut(start..start + self.head.len()) {
            let opaque = opaque_of(seq);
            if self.binary_opaque {
                head[self.opaque.clone()].copy_from_slice(&opaque.to_be_bytes());
            } else {
                write_digits(&mut head[self.opaque.clone()], fit::<u64, _>(opaque), 10);
            }
            write_digits(&mut head[self.born.clone()], fit::<u64, _>(born_ms), 10);
            self.marks.write(head, first, &drawn);
        }
        match &self.batch {
            None => content.payload.append(out, first, drawn.size),
            Some((properties, marks)) => {
                for nth in 0..self.batch_messages {
                    append_entry(out, &first.nth(nth), content, properties, marks);
                }
            }
        }
        let length: u32 = fit(out.len() - start - LENGTH_BYTES);
        out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    }
}

/// The frame's length does not count itself.
const LENGTH_BYTES: usize = 4;
/// Bytes of a batch's entry before its body: total, magic, CRC, flag, body length.
const ENTRY_HEAD_BYTES: usize = 20;

/// Appends one message of a batch; `protocol::batch` has the layout.
fn append_entry(
    out: &mut Vec<u8>,
    stamp: &Stamp,
    content: &Content<'_>,
    properties: &[u8],
    marks: &Marks,
) {
    let start = out.len();
    let drawn = content.drawing.message(stamp.message_id);
    out.extend_from_slice(&[0; ENTRY_HEAD_BYTES]);
    content.payload.append(out, stamp, drawn.size);
    let body_bytes: u32 = fit(out.len() - start - ENTRY_HEAD_BYTES);
    let properties_bytes: u16 = fit(properties.len());
    out.extend_from_slice(&properties_bytes.to_be_bytes());
    let properties_at = out.len();
    out.extend_from_slice(properties);
    marks.write(&mut out[properties_at..], stamp, &drawn);
    let total: u32 = fit(out.len() - start);
    out[start..start + 4].copy_from_slice(&total.to_be_bytes());
    out[start + 16..start + ENTRY_HEAD_BYTES].copy_from_slice(&body_bytes.to_be_bytes());
}

/// The header of a send, as a stock client writes it.
fn send_head(shape: &SendShape<'_>, is_batch: bool, properties: &str) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let command = CommandHead {
        serialize: shape.serialize,
        code: if is_batch { request::SEND_BATCH_MESSAGE } else { request::SEND_MESSAGE_V2 },
        opaque: OPAQUE_MARK,
        flag: 0,
        remark: None,
    };
    write_command_head(
        &mut head,
        &command,
        |ext| {
            ext.str("a", shape.group);
            ext.str("b", shape.topic);
            ext.str("c", "TBW102");
            ext.int("d", 4);
            ext.int("e", shape.queue_id);
            ext.int("f", 0);
            ext.int("g", BORN_MARK);
            ext.int("h", 0);
            ext.str("i", properties);
            ext.int("j", 0);
            ext.bool("k", false);
            ext.bool("m", is_batch);
            ext.str("n", shape.broker);
        },
        0,
    );
    head
}

/// Fills in a message's unique key: run and generator, then the message.
pub(crate) fn write_key(place: &mut [u8], stamp: &Stamp) {
    let (run, message) = place.split_at_mut(16);
    write_digits(run, stamp.run_id ^ (u64::from(stamp.generator) << 32), 16);
    write_digits(message, stamp.message_id, 16);
}

/// The only place of `mark` in `bytes`; `None` when it is missing or not alone.
pub(crate) fn only_place(bytes: &[u8], mark: &[u8]) -> Option<Range<usize>> {
    let mut places = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let first = places.next()?.0;
    places.next().is_none().then_some(first..first + mark.len())
}

/// Fills `field` with the lowest digits of `value`, upper-case, with leading zeros.
fn write_digits(field: &mut [u8], mut value: u64, base: u64) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for place in field.iter_mut().rev() {
        *place = DIGITS[fit::<usize, _>(value % base)];
        value /= base;
    }
}

/// The fields of a pull.
#[derive(Clone, Debug)]
pub(crate) struct PullShape<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic name.
    pub topic: &'a str,
    /// Queue.
    pub queue_id: u32,
    /// First queue offset wanted.
    pub offset: u64,
    /// Most messages in the answer.
    pub messages_max: i32,
    /// How long the broker may wait for new messages (long poll), ms.
    pub wait_ms: u32,
}

/// Appends a pull request that carries its subscription (all tags).
pub(crate) fn append_pull(out: &mut Vec<u8>, opaque: i32, pull: &PullShape<'_>) {
    const MAY_WAIT: i32 = 2;
    const SUBSCRIPTION_CARRIED: i32 = 4;
    let wait = if pull.wait_ms > 0 { MAY_WAIT } else { 0 };
    let command = CommandHead {
        serialize: SerializeType::Json,
        code: request::PULL_MESSAGE,
        opaque,
        flag: 0,
        remark: None,
    };
    write_command(
        out,
        &command,
        |ext| {
            ext.str("consumerGroup", pull.group);
            ext.str("topic", pull.topic);
            ext.int("queueId", pull.queue_id);
            ext.int("queueOffset", fit::<i64, _>(pull.offset));
            ext.int("maxMsgNums", pull.messages_max);
            ext.int("sysFlag", SUBSCRIPTION_CARRIED | wait);
            ext.int("commitOffset", 0);
            ext.int("suspendTimeoutMillis", pull.wait_ms);
            ext.str("subscription", "*");
            ext.int("subVersion", 0);
            ext.str("expressionType", "TAG");
        },
        &[],
    );
}

/// The answer to a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendAnswer {
    /// Which request it answers.
    pub opaque: i32,
    /// RocketMQ's response code; 0 is success.
    pub code: i32,
    /// The message's index in its queue, if it was stored.
    pub queue_offset: Option<u64>,
}

/// Reads the answer to a send. `None` for anything that is not an answer (a broker's own request).
///
/// # Errors
/// When the bytes are no remoting command.
pub(crate) fn read_send_answer(frame: &[u8]) -> Result<Option<SendAnswer>, String> {
    let command = CommandView::parse(frame).map_err(|error| error.to_string())?;
    if !command.is_response() {
        return Ok(None);
    }
    let queue_offset = command.ext.get_i64("queueOffset").map_err(|error| error.to_string())?;
    let queue_offset = queue_offset.and_then(|offset| u64::try_from(offset).ok());
    Ok(Some(SendAnswer { opaque: command.opaque, code: command.code, queue_offset }))
}

/// The broker's explanation of a failure, cut to a line.
#[must_use]
pub(crate) fn remark_of(frame: &[u8]) -> String {
    let remark = CommandView::parse(frame)
        .ok()
        .and_then(|command| command.remark().map(std::borrow::Cow::into_owned))
        .unwrap_or_default();
    remark.lines().next().unwrap_or_default().chars().take(160).collect()
}

/// RocketMQ's name for the response codes a sender meets.
#[must_use]
pub(crate) fn code_name(code: i32) -> &'static str {
    match code {
        0 => "SUCCESS",
        1 => "SYSTEM_ERROR",
        2 => "SYSTEM_BUSY",
        10 => "FLUSH_DISK_TIMEOUT",
        11 => "SLAVE_NOT_AVAILABLE",
        12 => "FLUSH_SLAVE_TIMEOUT",
        13 => "MESSAGE_ILLEGAL",
        14 => "SERVICE_NOT_AVAILABLE",
        16 => "NO_PERMISSION",
        17 => "TOPIC_NOT_EXIST",
        215 => "FLOW_CONTROL",
        1500 => "GO_AWAY",
        _ => "see RocketMQ's ResponseCode",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Drawing, Sizes};
    use crate::payload::{PayloadWriter, verify};
    use protocol::batch;

    fn shape(serialize: SerializeType) -> SendShape<'static> {
        SendShape { topic: "T", group: "g", broker: "broker-a", queue_id: 3, serialize }
    }

    fn stamp() -> Stamp {
        Stamp {
            run_id: 0xABCD,
            message_id: 0x1234,
            sender: 1,
            generator: 0,
            sender_seq: 5,
            settled_below: 5,
            due_nanos: 0,
        }
    }

    #[test]
    fn a_patched_template_is_the_request_it_stands_for() {
        for serialize in [SerializeType::Json, SerializeType::RocketMq] {
            let messages = Messages { sizes: Sizes::Fixed(100), ..Messages::default() };
            let (payload, drawing) = (PayloadWriter::new(100, 1), Drawing::new(messages, 1, 0));
            let content = Content { payload: &payload, drawing: &drawing };
            let template = SendTemplate::new(&shape(serialize), &messages).unwrap();
            let mut out = Vec::new();
            template.append(&mut out, 77, 1_700_000_000_123, &stamp(), &content);
            let length = u32::from_be_bytes(*out.first_chunk().unwrap());
            assert_eq!(usize::try_from(length).unwrap(), out.len() - 4);
            let command = CommandView::parse(&out[4..]).unwrap();
            assert_eq!((command.code, command.opaque, command.flag), (310, opaque_of(77), 0));
            assert_eq!(command.ext.get("b").as_deref(), Some("T"));
            assert_eq!(command.ext.get_i64("g").unwrap(), Some(1_700_000_000_123));
            let properties = command.ext.get("i").unwrap().into_owned();
            assert!(
                properties
                    .starts_with("UNIQ_KEY\u{1}000000000000ABCD0000000000001234\u{2}WAIT\u{1}true"),
                "{properties:?}"
            );
            assert_eq!(verify(command.body), Ok(stamp()));
        }
    }

    #[test]
    fn a_batch_has_its_messages_with_sizes_tags_and_keys_of_their_own() {
        let messages = Messages {
            sizes: Sizes::Range(60, 400),
            batch: 5,
            tags: 3,
            keys: 1_000,
            property_bytes: 30,
            ..Messages::default()
        };
        let (payload, drawing) = (PayloadWriter::new(400, 1), Drawing::new(messages, 1, 0));
        let content = Content { payload: &payload, drawing: &drawing };
        let template = SendTemplate::new(&shape(SerializeType::Json), &messages).unwrap();
        let mut out = Vec::new();
        template.append(&mut out, 0, 1_700_000_000_123, &stamp(), &content);
        let length = u32::from_be_bytes(*out.first_chunk().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), out.len() - 4);
        let command = CommandView::parse(&out[4..]).unwrap();
        assert_eq!((command.code, command.ext.get("m").as_deref()), (320, Some("true")));
        assert_eq!(batch::check(command.body), Ok(5));
        for (nth, entry) in batch::entries(command.body).enumerate() {
            let (entry, nth) = (entry.unwrap(), u32::try_from(nth).unwrap());
            let (stamp, drawn) = (stamp().nth(nth), drawing.message(0x1234 + u64::from(nth)));
            assert_eq!((verify(entry.body), entry.body.len()), (Ok(stamp), drawn.size));
            let text = String::from_utf8(entry.properties.to_vec()).unwrap();
            let unique = format!("UNIQ_KEY\u{1}000000000000ABCD{:016X}\u{2}", stamp.message_id);
            assert!(text.starts_with(&unique), "{text:?}");
            assert!(text.contains(&format!("TAGS\u{1}tag{:06}\u{2}", drawn.tag)), "{text:?}");
            assert!(text.contains(&format!("KEYS\u{1}key{:016X}\u{2}", drawn.key)), "{text:?}");
            assert!(text.contains(&format!("loadgen\u{1}{}\u{2}", "p".repeat(30))), "{text:?}");
        }
    }

    #[test]
    fn opaques_stand_for_request_numbers_and_keep_their_width() {
        for seq in [0, 5, OPAQUE_SPAN - 1, OPAQUE_SPAN, OPAQUE_SPAN + 3] {
            let opaque = opaque_of(seq);
            assert_eq!(opaque.to_string().len(), 10);
            assert_eq!(seq_low_of(opaque), Some(seq % OPAQUE_SPAN));
        }
        assert_eq!(seq_low_of(12), None);
    }

    #[test]
    fn an_answer_gives_code_and_queue_offset_and_a_push_is_none() {
        let mut out = Vec::new();
        let mut head = CommandHead {
            serialize: SerializeType::Json,
            code: 0,
            opaque: 9,
            flag: 1,
            remark: None,
        };
        write_command(&mut out, &head, |ext| ext.int("queueOffset", 7), &[]);
        assert_eq!(
            read_send_answer(&out[4..]).unwrap(),
            Some(SendAnswer { opaque: 9, code: 0, queue_offset: Some(7) })
        );
        head.flag = 0;
        out.clear();
        write_command(&mut out, &head, |_| (), &[]);
        assert_eq!(read_send_answer(&out[4..]).unwrap(), None);
        assert!(read_send_answer(&[1, 2]).is_err());
    }
}
