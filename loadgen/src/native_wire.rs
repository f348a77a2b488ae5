//! Frames of the native protocol: the generator patches requests from a template and reads their
//! answers.
//!
//! ```text
//!   | prefix 16 | Produce 6 | record … BODYCRC … BORNTIMESTAMP … BODY          | TOPIC, PROPERTIES … UNIQ_KEY … |
//!     ▲ correlation           ▲ patched    ▲ patched           ▲ written anew                        ▲ patched
//! ```
//!
//! As with remoting, a request is made once for each queue and then patched. The `client` crate
//! makes it, so the generator sends the frames of the real client.

use crate::error::{Error, Result};
use crate::limits::REQUEST_TIMEOUT;
use crate::messages::Messages;
use crate::payload::Stamp;
use crate::protocols::{AnsweredSend, Content, SendOutcome};
use crate::wire::{FILLER_NAME, KEY_MARK, KEYS_MARK, Marks, TAG_MARK, filler_property};
use client::answer::{self, Answer};
use client::{Connection, Message, RecordLayout, RecordWriter, Told};
use protocol::checked::fit;
use protocol::native::{Ack, Kind, Produce, Welcome, append_frame};
use protocol::record::{BODY_CRC_AT, BORN_TIMESTAMP_AT, SYS_FLAG_AT, body_crc, body_length_at};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;

/// Correlations are 32 bits.
pub const CORRELATION_SPAN: u64 = 1 << 32;
const CORRELATION_AT: Range<usize> = 12..16;

/// Greets a broker on a new connection and returns its Welcome.
///
/// # Errors
/// When the broker does not speak the native protocol, or does not answer.
pub fn greet(stream: &mut TcpStream, peer: SocketAddr) -> Result<Arc<Welcome>> {
    let operation = "greet, over the native protocol, broker";
    let failed = |source| Error::Peer { operation, peer: peer.to_string(), source };
    let unreadable =
        |what: &str| Error::Unreadable { operation, peer: peer.to_string(), what: what.to_owned() };
    let mut hello = Vec::new();
    let mut connection: Connection<()> =
        Connection::new(peer, "loadgen", 1, REQUEST_TIMEOUT, 0, &mut hello)
            .map_err(|error| unreadable(&error.to_string()))?;
    stream
        .set_read_timeout(Some(REQUEST_TIMEOUT))
        .and_then(|()| stream.write_all(&hello))
        .map_err(failed)?;
    let mut bytes = [0; 16 * 1024];
    loop {
        if let Some(welcome) = connection.welcome() {
            return stream.set_read_timeout(None).map(|()| welcome.clone()).map_err(failed);
        }
        let count = stream.read(&mut bytes).map_err(failed)?;
        if count == 0 {
            return Err(unreadable(
                "it closed the connection: RingMQ brokers speak the native protocol, others do not",
            ));
        }
        connection
            .receive(&bytes[..count], &mut |_: Told<'_, ()>| ())
            .map_err(|why| unreadable(&why))?;
    }
}

/// A produce request to one queue, of one record or a batch of them, ready to be patched.
#[derive(Clone, Debug)]
pub struct NativeTemplate {
    /// Prefix and header of the frame.
    frame: Vec<u8>,
    /// A record up to its body.
    head: Vec<u8>,
    /// The record behind its body.
    tail: Vec<u8>,
    marks: Marks,
    records: u32,
}

/// The frame's length in its prefix, little-endian.
const FRAME_BYTES_AT: Range<usize> = 4..8;
/// Bytes of the length of a body, right before it.
const BODY_LENGTH_BYTES: usize = 4;

impl NativeTemplate {
    /// Builds the request for such messages.
    ///
    /// # Errors
    /// When the broker takes no such messages, or the record has no place to be patched.
    pub fn new(
        topic: &str,
        queue_id: u32,
        born_host: SocketAddr,
        welcome: &Welcome,
        messages: &Messages,
    ) -> std::result::Result<Self, String> {
        let body = vec![0; fit(messages.sizes.max())];
        let filler = filler_property(messages);
        let filled = [(FILLER_NAME, filler.as_str())];
        let message = Message {
            unique_key: Some(KEY_MARK),
            tag: (messages.tags > 0).then_some(TAG_MARK),
            keys: if messages.keys > 0 { &[KEYS_MARK] } else { &[] },
            properties: if filler.is_empty() { &[] } else { &filled },
            ..Message::new(topic, &body)
        };
        let queue_id = i32::try_from(queue_id).map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        RecordWriter::new(born_host, 0)
            .append(&mut head, &RecordLayout::of(welcome), queue_id, &message, 0)
            .map_err(|error| error.to_string())?;
        let sys_flag = head
            .get(SYS_FLAG_AT..SYS_FLAG_AT + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes);
        let body_at = body_length_at(sys_flag.ok_or("record without SYSFLAG")?) + BODY_LENGTH_BYTES;
        let tail = head.split_off(body_at + body.len());
        head.truncate(body_at);
        let records = messages.batch;
        let produce = Produce { records, ack: Ack::Configured as u8, wants_stages: true };
        let mut frame = Vec::new();
        append_frame(&mut frame, Kind::Produce, 0, &produce, 0)
            .map_err(|error| error.to_string())?;
        let marks = Marks::find(&tail, messages)?;
        Ok(Self { frame, head, tail, marks, records })
    }

    /// Appends one whole frame, of the message with this stamp or of a batch that begins with it.
    /// Allocates nothing once `out` has grown.
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        born_ms: i64,
        first: &Stamp,
        content: &Content<'_>,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        for nth in 0..self.records {
            self.append_record(out, born_ms, &first.nth(nth), content);
        }
        let frame_bytes: u32 = fit(out.len() - start);
        let frame = &mut out[start..];
        frame[FRAME_BYTES_AT].copy_from_slice(&frame_bytes.to_le_bytes());
        frame[CORRELATION_AT].copy_from_slice(&correlation_of(seq).to_le_bytes());
    }

    fn append_record(&self, out: &mut Vec<u8>, born_ms: i64, stamp: &Stamp, content: &Content<'_>) {
        let record_at = out.len();
        let drawn = content.drawing.message(stamp.message_id);
        out.extend_from_slice(&self.head);
        let body_at = out.len();
        content.payload.append(out, stamp, drawn.size);
        let tail_at = out.len();
        let (body_bytes, crc): (u32, _) = (fit(tail_at - body_at), body_crc(&out[body_at..]));
        out.extend_from_slice(&self.tail);
        self.marks.write(&mut out[tail_at..], stamp, &drawn);
        let record_bytes: u32 = fit(out.len() - record_at);
        let body_at = body_at - record_at;
        let record = &mut out[record_at..];
        record[..4].copy_from_slice(&record_bytes.to_be_bytes());
        record[body_at - BODY_LENGTH_BYTES..body_at].copy_from_slice(&body_bytes.to_be_bytes());
        record[BODY_CRC_AT..BODY_CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        record[BORN_TIMESTAMP_AT..BORN_TIMESTAMP_AT + 8].copy_from_slice(&born_ms.to_be_bytes());
    }
}

fn correlation_of(seq: u64) -> u32 {
    fit(seq % CORRELATION_SPAN)
}

/// Reads the answer to a produce.
///
/// # Errors
/// When the bytes are no answer of the native protocol.
pub fn read_answer(frame: &[u8]) -> std::result::Result<AnsweredSend, String> {
    let (correlation, answer) = answer::read(frame).map_err(|error| error.to_string())?;
    let failed = |what: String, remark: String| SendOutcome::Failed { what, remark };
    let outcome = match answer {
        Answer::Produced(produced) if produced.is_late => {
            failed("stored, but flushed later than syncFlushTimeout".into(), String::new())
        }
        Answer::Produced(produced) => match first_of(produced.placed().map(|it| it.queue_offset)) {
            Some(queue_offset) => {
                SendOutcome::Stored { queue_offset, stages: Some(produced.stages) }
            }
            None => {
                failed("success without queue offsets that follow each other".into(), String::new())
            }
        },
        Answer::Refused(refusal) => {
            let name =
                refusal.code().map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"));
            failed(
                format!("native error {} {name}", refusal.number),
                refusal.reason.chars().take(160).collect(),
            )
        }
        _ => failed("answer of another kind".into(), String::new()),
    };
    Ok(AnsweredSend { seq_low: Some(correlation.into()), outcome })
}

/// The first of queue offsets that follow each other, as those of one request must.
fn first_of(offsets: impl Iterator<Item = i64>) -> Option<u64> {
    let mut first = None;
    for (nth, offset) in offsets.enumerate() {
        let first = *first.get_or_insert(offset);
        if i64::try_from(nth).ok().and_then(|nth| first.checked_add(nth)) != Some(offset) {
            return None;
        }
    }
    first.and_then(|first| u64::try_from(first).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Drawing, Sizes};
    use crate::payload::{PayloadWriter, verify};
    use protocol::native::{FrameView, records};

    #[test]
    fn a_patched_template_is_a_record_that_the_broker_takes() {
        for (store_host_is_v6, needs_crc_property) in [(false, false), (true, true)] {
            let welcome = crate::noop::welcome(store_host_is_v6, needs_crc_property);
            let messages = Messages { sizes: Sizes::Fixed(200), ..Messages::default() };
            let (payload, drawing) = (PayloadWriter::new(200, 1), Drawing::new(messages, 1, 0));
            let content = Content { payload: &payload, drawing: &drawing };
            let host = "127.0.0.1:9".parse().unwrap();
            let template = NativeTemplate::new("T", 3, host, &welcome, &messages).unwrap();
            let stamp = Stamp {
                run_id: 0xABCD,
                message_id: 0x1234,
                sender: 1,
                generator: 0,
                sender_seq: 5,
                settled_below: 5,
                due_nanos: 0,
            };
            let mut out = b"before".to_vec();
            template.append(&mut out, CORRELATION_SPAN + 77, 1_700_000_000_123, &stamp, &content);
            let frame = FrameView::parse(&out[6..]).unwrap();
            assert_eq!((frame.kind, frame.correlation), (Kind::Produce, 77));
            let checked = records::check(frame.payload, store_host_is_v6).unwrap();
            assert_eq!(
                (checked.view.topic(), checked.view.queue_id(), checked.has_crc_property),
                ("T", 3, needs_crc_property)
            );
            assert_eq!(
                (checked.view.born_timestamp_ms(), verify(checked.view.body())),
                (1_700_000_000_123, Ok(stamp))
            );
            assert!(
                checked
                    .view
                    .properties()
                    .starts_with(b"UNIQ_KEY\x01000000000000ABCD0000000000001234\x02")
            );
        }
    }

    #[test]
    fn a_batch_of_records_of_many_sizes_is_taken_record_by_record() {
        let welcome = crate::noop::welcome(false, false);
        let messages = Messages {
            sizes: Sizes::Zipf(60, 3_000),
            batch: 7,
            tags: 4,
            keys: 9,
            property_bytes: 12,
            ..Messages::default()
        };
        let (payload, drawing) = (PayloadWriter::new(3_000, 1), Drawing::new(messages, 1, 0));
        let content = Content { payload: &payload, drawing: &drawing };
        let host = "127.0.0.1:9".parse().unwrap();
        let template = NativeTemplate::new("T", 3, host, &welcome, &messages).unwrap();
        let stamp = Stamp { message_id: 50, ..verify_free() };
        let mut out = Vec::new();
        template.append(&mut out, 1, 1_700_000_000_123, &stamp, &content);
        let frame = FrameView::parse(&out).unwrap();
        let mut rest = frame.payload;
        for nth in 0..7 {
            let bytes = u32::from_be_bytes(*rest.first_chunk().unwrap());
            let (record, after) = rest.split_at(bytes.try_into().unwrap());
            let checked = records::check(record, false).unwrap();
            let drawn = drawing.message(50 + u64::from(nth));
            assert_eq!(verify(checked.view.body()), Ok(stamp.nth(nth)));
            assert_eq!(checked.view.body().len(), drawn.size);
            let text = String::from_utf8_lossy(checked.view.properties()).into_owned();
            assert!(text.contains(&format!("tag{:06}", drawn.tag)), "{text:?}");
            assert!(text.contains(&format!("key{:016X}", drawn.key)), "{text:?}");
            rest = after;
        }
        assert!(rest.is_empty());
    }

    fn verify_free() -> Stamp {
        let (run_id, message_id, sender, generator) = (1, 0, 0, 0);
        let (sender_seq, settled_below, due_nanos) = (0, 0, 0);
        Stamp { run_id, message_id, sender, generator, sender_seq, settled_below, due_nanos }
    }

    #[test]
    fn offsets_of_one_request_follow_each_other() {
        assert_eq!(first_of([4, 5, 6].into_iter()), Some(4));
        assert_eq!(first_of([4, 6].into_iter()), None);
        assert_eq!(first_of([-1].into_iter()), None);
        assert_eq!(first_of(std::iter::empty()), None);
        assert_eq!(first_of([i64::MAX, i64::MIN].into_iter()), None);
    }
}
