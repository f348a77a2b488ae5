//! A client in bytes: requests written and answers read as a stock client would.

use crate::cluster::SOON;
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use protocol::record::RecordView;
use protocol::remoting::{
    CommandHead, CommandView, ExtWriter, FLAG_ONEWAY, SerializeType, write_command,
};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A frame out of its bytes: an answer, or something the broker pushes.
#[derive(Clone, Debug)]
pub struct Frame {
    pub code: i32,
    pub opaque: i32,
    pub is_response: bool,
    pub serialize: SerializeType,
    pub version: i32,
    pub remark: String,
    pub ext: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Frame {
    /// A custom field; an error names what came instead.
    pub fn field(&self, name: &str) -> &str {
        self.ext.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn number(&self, name: &str) -> i64 {
        self.field(name).parse().unwrap()
    }

    /// The stored messages that the body of a pull holds.
    pub fn messages(&self) -> Vec<Stored> {
        let mut rest = self.body.as_slice();
        let mut messages = vec![];
        while !rest.is_empty() {
            let length =
                usize::try_from(u32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
            messages.push(Stored::parse(&rest[..length]));
            rest = &rest[length..];
        }
        messages
    }
}

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub topic: String,
    pub queue_offset: i64,
    pub physical_offset: i64,
    pub flag: i32,
    pub body: Vec<u8>,
    pub properties: BTreeMap<String, String>,
}

impl Stored {
    pub fn parse(record: &[u8]) -> Self {
        let view = RecordView::parse(record).unwrap();
        view.verify_crc().unwrap();
        let properties = std::str::from_utf8(view.properties()).unwrap();
        let pairs = properties.split('\u{2}').filter_map(|property| property.split_once('\u{1}'));
        Self {
            topic: view.topic().to_owned(),
            queue_offset: view.queue_offset(),
            physical_offset: view.physical_offset(),
            flag: view.flag(),
            body: view.body().to_vec(),
            properties: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    pub serialize: SerializeType,
    /// What came that was not waited for.
    pub others: Vec<Frame>,
    opaque: i32,
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, serialize: SerializeType::Json, others: vec![], opaque: 0 }
    }

    /// Sends one request; its number.
    pub fn send(
        &mut self,
        code: i32,
        flag: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) -> i32 {
        self.opaque += 1;
        let head = CommandHead {
            code,
            flag,
            opaque: self.opaque,
            serialize: self.serialize,
            ..CommandHead::default()
        };
        let mut frame = Vec::new();
        write_command(&mut frame, &head, ext, body);
        self.stream.write_all(&frame).unwrap();
        self.opaque
    }

    /// The next frame; `None` when none comes within `limit`.
    pub fn receive_within(&mut self, limit: Duration) -> Option<Frame> {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut length = [0; 4];
        let came = self.stream.read_exact(&mut length);
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        came.ok()?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        let view = CommandView::parse(&bytes).unwrap();
        Some(Frame {
            code: view.code,
            opaque: view.opaque,
            is_response: view.is_response(),
            serialize: view.serialize,
            version: view.version,
            remark: view.remark().unwrap_or_default().into_owned(),
            ext: view
                .ext
                .iter()
                .map(|(key, value)| (key.into_owned(), value.into_owned()))
                .collect(),
            body: view.body.to_vec(),
        })
    }

    /// The answer to a request; other frames are kept.
    pub fn answer_to(&mut self, opaque: i32) -> Frame {
        if let Some(index) =
            self.others.iter().position(|frame| frame.is_response && frame.opaque == opaque)
        {
            return self.others.remove(index);
        }
        loop {
            let frame =
                self.receive_within(SOON).unwrap_or_else(|| panic!("no answer to {opaque}"));
            if frame.is_response && frame.opaque == opaque {
                assert_eq!(frame.serialize, self.serialize, "answered as asked");
                return frame;
            }
            self.others.push(frame);
        }
    }

    /// A push with this code, from what was kept or what comes.
    pub fn push(&mut self, code: i32) -> Frame {
        loop {
            if let Some(index) =
                self.others.iter().position(|frame| !frame.is_response && frame.code == code)
            {
                return self.others.remove(index);
            }
            let frame = self.receive_within(SOON).unwrap_or_else(|| panic!("no push {code}"));
            self.others.push(frame);
        }
    }

    pub fn call_with(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Frame {
        let opaque =
            self.send(code, 0, |w| ext.iter().for_each(|(key, value)| w.str(key, value)), body);
        self.answer_to(opaque)
    }

    pub fn call(&mut self, code: i32, ext: &[(&str, &str)]) -> Frame {
        self.call_with(code, ext, &[])
    }

    /// A message as Java's client sends it.
    pub fn send_message(&mut self, header: &SendHeader<'_>, body: &[u8]) -> Frame {
        let opaque = self.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), body);
        self.answer_to(opaque)
    }

    /// Sends a text to queue 0 of `topic`, which must succeed.
    pub fn put(&mut self, topic: &str, tag: &str, text: &str) -> Frame {
        let properties = if tag.is_empty() { String::new() } else { format!("TAGS\u{1}{tag}") };
        let reply = self.send_message(
            &SendHeader { properties: &properties, ..message(topic) },
            text.as_bytes(),
        );
        assert_eq!(reply.code, 0, "{reply:?}");
        reply
    }

    pub fn start_pull(&mut self, header: &PullHeader<'_>) -> i32 {
        self.send(request::PULL_MESSAGE, 0, |w| header.write(w), &[])
    }

    pub fn pull(&mut self, header: &PullHeader<'_>) -> Frame {
        let opaque = self.start_pull(header);
        self.answer_to(opaque)
    }

    pub fn oneway(&mut self, code: i32, ext: impl FnOnce(&mut ExtWriter<'_>), body: &[u8]) {
        self.send(code, FLAG_ONEWAY, ext, body);
    }

    /// Waits until the broker closes this connection.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1024];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
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

/// A pull of everything in queue 0 from `offset` that is not held.
pub fn pull_from(topic: &str, offset: i64) -> PullHeader<'_> {
    PullHeader {
        consumer_group: "g",
        topic,
        queue_offset: offset,
        max_msg_nums: 32,
        sys_flag: protocol::sys_flag::pull::SUBSCRIPTION,
        subscription: Some("*"),
        ..PullHeader::default()
    }
}

/// The same, held for up to `ms`.
pub fn long_pull_from(topic: &str, offset: i64, ms: i64) -> PullHeader<'_> {
    let plain = pull_from(topic, offset);
    PullHeader {
        sys_flag: plain.sys_flag | protocol::sys_flag::pull::SUSPEND,
        suspend_timeout_ms: ms,
        ..plain
    }
}
