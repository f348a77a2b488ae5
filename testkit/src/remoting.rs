//! A client of RocketMQ's protocol in bytes: requests written and answers read as a stock client
//! would.

use crate::message::Stored;
use crate::wait::SOON;
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use protocol::remoting::{
    CommandHead, CommandView, ExtWriter, FLAG_ONEWAY, FLAG_RESPONSE, SerializeType, write_command,
};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A frame out of its bytes: an answer, or something that the server pushes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Of the request or of the answer.
    pub code: i32,
    /// The request's number.
    pub opaque: i32,
    /// Whether it answers something.
    pub is_response: bool,
    /// How its header was written.
    pub serialize: SerializeType,
    /// The sender's version.
    pub version: i32,
    /// The reason of a refusal.
    pub remark: String,
    /// The custom fields.
    pub ext: BTreeMap<String, String>,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Frame {
    /// Reads what follows the length field.
    pub fn parse(bytes: &[u8]) -> Self {
        let view = CommandView::parse(bytes).unwrap();
        let ext = view.ext.iter().map(|(key, value)| (key.into_owned(), value.into_owned()));
        Self {
            code: view.code,
            opaque: view.opaque,
            is_response: view.is_response(),
            serialize: view.serialize,
            version: view.version,
            remark: view.remark().unwrap_or_default().into_owned(),
            ext: ext.collect(),
            body: view.body.to_vec(),
        }
    }

    /// A custom field; an error names what came instead.
    pub fn field(&self, name: &str) -> &str {
        self.ext.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// A custom field that is a number.
    pub fn number(&self, name: &str) -> i64 {
        self.field(name).parse().unwrap()
    }

    /// The stored messages that the body of a pull holds.
    pub fn messages(&self) -> Vec<Stored> {
        Stored::parse_all(&self.body)
    }
}

/// Writes custom fields that are texts.
pub fn fields(pairs: &[(&str, &str)]) -> impl FnOnce(&mut ExtWriter<'_>) {
    |ext| pairs.iter().for_each(|(key, value)| ext.str(key, value))
}

/// One connection. Every wait ends after [`SOON`].
pub struct Client {
    /// The socket, for bytes that are no request.
    pub stream: TcpStream,
    /// How it writes its headers.
    pub serialize: SerializeType,
    /// What came that was not waited for.
    pub others: Vec<Frame>,
    opaque: i32,
}

impl Client {
    /// Connects.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap()
    }

    /// Connects to a server that may not be there.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, serialize: SerializeType::Json, others: vec![], opaque: 0 })
    }

    /// The bytes of one request, and its number.
    pub fn frame(
        &mut self,
        code: i32,
        flag: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) -> (i32, Vec<u8>) {
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
        (self.opaque, frame)
    }

    /// Sends one request; its number.
    pub fn send(
        &mut self,
        code: i32,
        flag: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) -> i32 {
        self.try_send(code, flag, ext, body).unwrap()
    }

    /// The same to a server that may be gone.
    pub fn try_send(
        &mut self,
        code: i32,
        flag: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) -> io::Result<i32> {
        let (opaque, frame) = self.frame(code, flag, ext, body);
        self.stream.write_all(&frame)?;
        Ok(opaque)
    }

    /// The next frame; `None` when none comes within `limit` or the server closes.
    pub fn receive_within(&mut self, limit: Duration) -> Option<Frame> {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut length = [0; 4];
        let came = self.stream.read_exact(&mut length);
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        came.ok()?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut bytes).unwrap();
        Some(Frame::parse(&bytes))
    }

    /// The next frame, whatever it is.
    pub fn receive(&mut self) -> Frame {
        self.receive_within(SOON).expect("a frame")
    }

    /// The answer to a request; other frames are kept.
    pub fn answer_to(&mut self, opaque: i32) -> Frame {
        let is_it = |frame: &Frame| frame.is_response && frame.opaque == opaque;
        if let Some(index) = self.others.iter().position(is_it) {
            return self.others.remove(index);
        }
        loop {
            let frame =
                self.receive_within(SOON).unwrap_or_else(|| panic!("no answer to {opaque}"));
            if is_it(&frame) {
                assert_eq!(frame.serialize, self.serialize, "answered as asked");
                return frame;
            }
            self.others.push(frame);
        }
    }

    /// A push with this code, from what was kept or what comes.
    pub fn push(&mut self, code: i32) -> Frame {
        loop {
            let is_it = |frame: &Frame| !frame.is_response && frame.code == code;
            if let Some(index) = self.others.iter().position(is_it) {
                return self.others.remove(index);
            }
            let frame = self.receive_within(SOON).unwrap_or_else(|| panic!("no push {code}"));
            self.others.push(frame);
        }
    }

    /// Answers something that the server pushed.
    pub fn answer_push(&mut self, push: &Frame, code: i32, body: &[u8]) {
        let head = CommandHead {
            code,
            flag: FLAG_RESPONSE,
            opaque: push.opaque,
            ..CommandHead::default()
        };
        let mut frame = Vec::new();
        write_command(&mut frame, &head, |_| {}, body);
        self.stream.write_all(&frame).unwrap();
    }

    /// A request with a body, and its answer.
    pub fn call_with(&mut self, code: i32, ext: &[(&str, &str)], body: &[u8]) -> Frame {
        let opaque = self.send(code, 0, fields(ext), body);
        self.answer_to(opaque)
    }

    /// A request and its answer.
    pub fn call(&mut self, code: i32, ext: &[(&str, &str)]) -> Frame {
        self.call_with(code, ext, &[])
    }

    /// A request that is not answered.
    pub fn oneway(&mut self, code: i32, ext: impl FnOnce(&mut ExtWriter<'_>), body: &[u8]) {
        self.send(code, FLAG_ONEWAY, ext, body);
    }

    /// A message as Java's client sends it.
    pub fn send_message(&mut self, header: &SendHeader<'_>, body: &[u8]) -> Frame {
        let opaque = self.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), body);
        self.answer_to(opaque)
    }

    /// Sends a text to queue 0 of `topic`, which must succeed.
    pub fn put(&mut self, topic: &str, tag: &str, text: &str) -> Frame {
        let properties = if tag.is_empty() { String::new() } else { format!("TAGS\u{1}{tag}") };
        let header = SendHeader { properties: &properties, ..crate::message::message(topic) };
        let reply = self.send_message(&header, text.as_bytes());
        assert_eq!(reply.code, 0, "{reply:?}");
        reply
    }

    /// Sends a pull; its number.
    pub fn start_pull(&mut self, header: &PullHeader<'_>) -> i32 {
        self.send(request::PULL_MESSAGE, 0, |w| header.write(w), &[])
    }

    /// A pull and its answer.
    pub fn pull(&mut self, header: &PullHeader<'_>) -> Frame {
        let opaque = self.start_pull(header);
        self.answer_to(opaque)
    }

    /// Waits until the server closes this connection; false when it does not within [`SOON`].
    pub fn is_closed(&mut self) -> bool {
        self.is_closed_within(SOON)
    }

    /// The same with a limit of the caller's own on each silence.
    pub fn is_closed_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let mut rest = [0; 1024];
        loop {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }
}
