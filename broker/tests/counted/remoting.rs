//! The remoting lane: SEND_MESSAGE_V2 and PULL_MESSAGE, as Java clients write them.

use crate::lane::Lane;
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, PullResponseHeader, SendHeader};
use protocol::record::records;
use protocol::remoting::{CommandHead, CommandView, ExtWriter, write_command};
use protocol::sys_flag::pull::SUBSCRIPTION;
use std::io::{Read, Write};
use std::net::TcpStream;

const TOPIC: &str = "Counted";
const BODY_BYTES: usize = 4000;
/// Messages asked for by one pull: RocketMQ's `pullBatchSize`.
const PULL_MESSAGES: usize = 32;

pub(crate) struct Remoting {
    stream: TcpStream,
    received: Vec<u8>,
    sent_messages: usize,
}

impl Remoting {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new(), sent_messages: 0 }
    }

    /// The next answer, without its length field.
    fn answer(&mut self) -> Vec<u8> {
        loop {
            if let Some(length) = self.received.first_chunk::<4>() {
                let end = 4 + u32::from_be_bytes(*length) as usize;
                if end <= self.received.len() {
                    let rest = self.received.split_off(end);
                    return std::mem::replace(&mut self.received, rest).split_off(4);
                }
            }
            let mut more = [0; 64 * 1024];
            let read = self.stream.read(&mut more).unwrap();
            assert!(read > 0, "the broker closed the connection");
            self.received.extend_from_slice(&more[..read]);
        }
    }

    /// Pulls at `offset`; how many messages came.
    fn pull_at(&mut self, offset: usize, messages: usize) -> usize {
        let header = PullHeader {
            consumer_group: "counting",
            topic: TOPIC,
            queue_offset: i64::try_from(offset).unwrap(),
            max_msg_nums: i32::try_from(messages).unwrap(),
            sys_flag: SUBSCRIPTION,
            subscription: Some("*"),
            ..PullHeader::default()
        };
        let mut frame = Vec::new();
        let head = CommandHead { code: request::PULL_MESSAGE, opaque: 1, ..CommandHead::default() };
        write_command(&mut frame, &head, |ext| header.write(ext), b"");
        self.stream.write_all(&frame).unwrap();
        let answer = self.answer();
        let view = CommandView::parse(&answer).unwrap();
        assert_eq!(
            (view.code, view.remark().as_deref()),
            (response::SUCCESS, Some("FOUND")),
            "pull at {offset}"
        );
        assert!(view.body.len() >= messages * BODY_BYTES);
        let next = PullResponseHeader::decode(&view.ext).unwrap().next_begin_offset;
        usize::try_from(next).unwrap() - offset
    }
}

impl Remoting {
    /// Pops once and acknowledges nothing; how many messages came.
    pub(crate) fn pop(&mut self, group: &str, invisible_ms: i64) -> usize {
        let mut frame = Vec::new();
        let head = CommandHead { code: request::POP_MESSAGE, opaque: 1, ..CommandHead::default() };
        let fields = |ext: &mut ExtWriter<'_>| {
            ext.str("consumerGroup", group);
            ext.str("topic", TOPIC);
            ext.int("queueId", 0);
            ext.int("maxMsgNums", i64::try_from(PULL_MESSAGES).unwrap());
            ext.int("invisibleTime", invisible_ms);
            ext.int("pollTime", 0);
            ext.int("bornTime", 0);
            ext.int("initMode", 0);
            ext.str("exp", "*");
            ext.str("expType", "TAG");
            ext.bool("order", false);
        };
        write_command(&mut frame, &head, fields, b"");
        self.stream.write_all(&frame).unwrap();
        let answer = self.answer();
        let view = CommandView::parse(&answer).unwrap();
        if [response::POLLING_TIMEOUT, response::PULL_NOT_FOUND].contains(&view.code) {
            return 0;
        }
        assert_eq!(view.code, response::SUCCESS, "{:?}", view.remark());
        records(view.body).count()
    }
}

fn send_frame() -> Vec<u8> {
    let header = SendHeader {
        producer_group: "p",
        topic: TOPIC,
        default_topic: "TBW102",
        default_topic_queue_nums: 4,
        born_timestamp_ms: 1_700_000_000_000,
        properties: "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}\
                     TAGS\u{1}TagA\u{2}WAIT\u{1}true",
        ..SendHeader::default()
    };
    let mut frame = Vec::new();
    let head = CommandHead { code: request::SEND_MESSAGE_V2, opaque: 1, ..CommandHead::default() };
    write_command(&mut frame, &head, |ext| header.write_v2(ext), &[b'x'; BODY_BYTES]);
    frame
}

impl Lane for Remoting {
    fn name(&self) -> &'static str {
        "remoting"
    }

    fn body_bytes(&self) -> usize {
        BODY_BYTES
    }

    fn send(&mut self, messages: usize, in_flight: usize) {
        let frames = send_frame().repeat(in_flight);
        for _ in 0..messages / in_flight {
            self.stream.write_all(&frames).unwrap();
            for _ in 0..in_flight {
                let answer = self.answer();
                assert_eq!(CommandView::parse(&answer).unwrap().code, response::SUCCESS);
            }
        }
        self.sent_messages += messages;
    }

    fn pull(&mut self, messages: usize) {
        let from = self.sent_messages - PULL_MESSAGES;
        let mut pulled = 0;
        while pulled < messages {
            pulled += self.pull_at(from, PULL_MESSAGES);
        }
    }
}
