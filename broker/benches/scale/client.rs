//! A blocking client with what these benches ask of a broker: topics, fills, offsets, pulls.

use super::servers::Server;
use protocol::bodies::KvTable;
use protocol::codes::request;
use protocol::headers::SendHeader;
use protocol::remoting::{CommandHead, CommandView, ExtWriter, write_command};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Requests in flight while filling.
const DEPTH: usize = 64;

pub(crate) struct Client {
    stream: TcpStream,
    /// The last answer, without its length; used again for the next.
    frame: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        Self { stream, frame: Vec::new() }
    }

    pub(crate) fn send(&mut self, code: i32, ext: impl FnOnce(&mut ExtWriter<'_>), body: &[u8]) {
        self.send_as(1, code, ext, body);
    }

    /// As [`Client::send`]; the answer has this number.
    pub(crate) fn send_as(
        &mut self,
        opaque: i32,
        code: i32,
        ext: impl FnOnce(&mut ExtWriter<'_>),
        body: &[u8],
    ) {
        let mut frame = Vec::new();
        write_command(
            &mut frame,
            &CommandHead { code, opaque, ..CommandHead::default() },
            ext,
            body,
        );
        self.stream.write_all(&frame).unwrap();
    }

    /// The next answer, without its length.
    fn frame(&mut self) -> &[u8] {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        self.frame.resize(u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut self.frame).unwrap();
        &self.frame
    }

    /// The next answer's code and queue offset.
    pub(crate) fn receive(&mut self) -> (i32, Option<i64>) {
        let frame = self.frame();
        let view = CommandView::parse(frame).unwrap();
        let number = |name| view.ext.get_i64(name).ok().flatten();
        (view.code, number("queueOffset").or_else(|| number("offset")))
    }

    /// Where a pull's answer says to go on.
    pub(crate) fn receive_pull(&mut self) -> i64 {
        self.receive_pull_of().1
    }

    /// As [`Client::receive_pull`], and the pull's number: answers from disk overtake each other.
    pub(crate) fn receive_pull_of(&mut self) -> (i32, i64) {
        let frame = self.frame();
        let view = CommandView::parse(frame).unwrap();
        assert_eq!(view.code, 0, "{:?}", view.remark());
        (view.opaque, view.ext.get_i64("nextBeginOffset").ok().flatten().unwrap())
    }

    /// What the broker says of itself.
    pub(crate) fn runtime_info(&mut self) -> KvTable {
        self.send(request::GET_BROKER_RUNTIME_INFO, |_| (), &[]);
        let frame = self.frame();
        let view = CommandView::parse(frame).unwrap();
        assert_eq!(view.code, 0, "{:?}", view.remark());
        protocol::json::from_lenient(view.body).unwrap()
    }

    pub(crate) fn make_topic(&mut self, topic: &str, queues: usize) {
        let queues = i64::try_from(queues).unwrap();
        let ext = |w: &mut ExtWriter<'_>| {
            w.str("topic", topic);
            w.str("defaultTopic", "TBW102");
            w.int("readQueueNums", queues);
            w.int("writeQueueNums", queues);
            w.int("perm", 6);
            w.str("topicFilterType", "SINGLE_TAG");
            w.int("topicSysFlag", 0);
            w.bool("order", false);
        };
        self.send(request::UPDATE_AND_CREATE_TOPIC, ext, &[]);
        assert_eq!(self.receive().0, 0);
    }

    /// `count` messages of `bytes` over the queues of `topics`; those that find no room are sent
    /// again.
    pub(crate) fn fill(&mut self, topics: &[String], queues: usize, count: usize, bytes: usize) {
        let body = vec![b'x'; bytes];
        let (mut sent, mut done, mut in_flight) = (0, 0, 0);
        while done < count {
            while in_flight < DEPTH && done + in_flight < count {
                let queue_id = i32::try_from(sent % queues).unwrap();
                let header = SendHeader {
                    topic: &topics[sent / queues % topics.len()],
                    queue_id,
                    ..header()
                };
                self.send(request::SEND_MESSAGE_V2, |w| header.write_v2(w), &body);
                sent += 1;
                in_flight += 1;
            }
            in_flight -= 1;
            let (code, _) = self.receive();
            assert!(code == 0 || code == 2, "a send was answered {code}");
            done += usize::from(code == 0);
        }
    }

    pub(crate) fn max_offset(&mut self, topic: &str, queue_id: usize) -> i64 {
        let queue_id = i64::try_from(queue_id).unwrap();
        let ext = |w: &mut ExtWriter<'_>| {
            w.str("topic", topic);
            w.int("queueId", queue_id);
        };
        self.send(request::GET_MAX_OFFSET, ext, &[]);
        self.receive().1.unwrap()
    }
}

pub(crate) fn header() -> SendHeader<'static> {
    SendHeader {
        producer_group: "bench",
        default_topic: "TBW102",
        default_topic_queue_nums: 8,
        born_timestamp_ms: 1_760_000_000_000,
        properties: "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}TAGS\u{1}TagA\u{2}",
        ..SendHeader::default()
    }
}
