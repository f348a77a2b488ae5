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
use crate::payload::{PayloadWriter, Stamp};
use crate::protocols::{AnsweredSend, SendOutcome};
use crate::wire::{KEY_MARK, only_place, write_key};
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

/// A produce request of one record to one queue, ready to be patched.
#[derive(Clone, Debug)]
pub struct NativeTemplate {
    /// Prefix, header, record up to its body.
    head: Vec<u8>,
    /// The record behind its body.
    tail: Vec<u8>,
    record_at: usize,
    key: Range<usize>,
}

impl NativeTemplate {
    /// Builds the request for messages of `payload_bytes`.
    ///
    /// # Errors
    /// When the broker takes no such messages, or the record has no place to be patched.
    pub fn new(
        topic: &str,
        queue_id: u32,
        born_host: SocketAddr,
        welcome: &Welcome,
        payload_bytes: usize,
    ) -> std::result::Result<Self, String> {
        let body = vec![0; payload_bytes];
        let message = Message { unique_key: Some(KEY_MARK), ..Message::new(topic, &body) };
        let queue_id = i32::try_from(queue_id).map_err(|error| error.to_string())?;
        let mut record = Vec::new();
        RecordWriter::new(born_host, 0)
            .append(&mut record, &RecordLayout::of(welcome), queue_id, &message, 0)
            .map_err(|error| error.to_string())?;
        let sys_flag = record
            .get(SYS_FLAG_AT..SYS_FLAG_AT + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(i32::from_be_bytes);
        let body_at = body_length_at(sys_flag.ok_or("record without SYSFLAG")?) + 4;
        let mut head = Vec::new();
        let produce = Produce { records: 1, ack: Ack::Configured as u8, wants_stages: true };
        append_frame(&mut head, Kind::Produce, 0, &produce, record.len())
            .map_err(|error| error.to_string())?;
        let record_at = head.len();
        let tail = record.split_off(body_at + payload_bytes);
        head.extend_from_slice(record.get(..body_at).unwrap_or_default());
        let key =
            only_place(&tail, KEY_MARK.as_bytes()).ok_or("record without a single unique key")?;
        Ok(Self { head, tail, record_at, key })
    }

    /// Appends one whole frame. Allocates nothing once `out` has grown.
    pub fn append(
        &self,
        out: &mut Vec<u8>,
        seq: u64,
        born_ms: i64,
        stamp: &Stamp,
        payload: &PayloadWriter,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.head);
        let body_at = out.len();
        payload.append(out, stamp);
        let crc = body_crc(&out[body_at..]);
        let tail_at = out.len();
        out.extend_from_slice(&self.tail);
        let record = start + self.record_at;
        out[start + CORRELATION_AT.start..start + CORRELATION_AT.end]
            .copy_from_slice(&correlation_of(seq).to_le_bytes());
        out[record + BODY_CRC_AT..record + BODY_CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        out[record + BORN_TIMESTAMP_AT..record + BORN_TIMESTAMP_AT + 8]
            .copy_from_slice(&born_ms.to_be_bytes());
        write_key(&mut out[tail_at + self.key.start..tail_at + self.key.end], stamp);
    }
}

fn correlation_of(seq: u64) -> u32 {
    fit(seq % CORRELATION_SPAN)
}

/// Reads the answer to a produce of one record.
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
        Answer::Produced(produced) => match produced
            .placed()
            .next()
            .and_then(|placed| u64::try_from(placed.queue_offset).ok())
        {
            Some(queue_offset) => {
                SendOutcome::Stored { queue_offset, stages: Some(produced.stages) }
            }
            None => failed("success without a queue offset".into(), String::new()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::verify;
    use protocol::native::{FrameView, records};

    #[test]
    fn a_patched_template_is_a_record_that_the_broker_takes() {
        for (store_host_is_v6, needs_crc_property) in [(false, false), (true, true)] {
            let welcome = crate::noop::welcome(store_host_is_v6, needs_crc_property);
            let payload = PayloadWriter::new(200, 1);
            let template = NativeTemplate::new(
                "T",
                3,
                "127.0.0.1:9".parse().unwrap(),
                &welcome,
                payload.size(),
            )
            .unwrap();
            let stamp = Stamp {
                run_id: 0xABCD,
                message_id: 0x1234,
                sender: 1,
                generator: 0,
                sender_seq: 5,
                settled_below: 5,
            };
            let mut out = b"before".to_vec();
            template.append(&mut out, CORRELATION_SPAN + 77, 1_700_000_000_123, &stamp, &payload);
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
}
