//! A consumer that pops and acknowledges, as Java's client writes it.

use protocol::bodies::{BatchAck, BatchAckRequestBody};
use protocol::codes::{request, response};
use protocol::json::to_fastjson;
use protocol::pop::Receipt;
use protocol::remoting::{CommandHead, CommandView, ExtWriter, write_command};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(crate) const GROUP: &str = "bench";
/// Messages of one pop.
pub(crate) const POPPED: usize = 32;

/// How what was popped is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acks {
    /// ACK_MESSAGE for each message.
    Each,
    /// One BATCH_ACK_MESSAGE for a pop.
    Batch,
    /// Not at all.
    None,
}

/// One connection.
pub(crate) struct Consumer {
    stream: TcpStream,
    /// The broker's name.
    broker: String,
    pop: Vec<u8>,
    out: Vec<u8>,
    frame: Vec<u8>,
    /// Answers to acknowledgements that have not come.
    unanswered: usize,
}

/// What a pop asks.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub topic: &'a str,
    pub queue_id: i64,
    pub messages_max: usize,
    pub invisible_ms: i64,
    pub poll_ms: i64,
}

/// The frame of a pop.
pub(crate) fn pop_frame(ask: Ask<'_>) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame, request::POP_MESSAGE, &[], |ext| pop_ext(ext, ask));
    frame
}

/// The fields of a pop.
pub(crate) fn pop_ext(ext: &mut ExtWriter<'_>, ask: Ask<'_>) {
    ext.str("consumerGroup", GROUP);
    ext.str("topic", ask.topic);
    ext.int("queueId", ask.queue_id);
    ext.int("maxMsgNums", i64::try_from(ask.messages_max).unwrap());
    ext.int("invisibleTime", ask.invisible_ms);
    ext.int("pollTime", ask.poll_ms);
    ext.int("bornTime", 0);
    ext.int("initMode", 0);
    ext.str("exp", "*");
    ext.str("expType", "TAG");
    ext.bool("order", false);
}

fn write(out: &mut Vec<u8>, code: i32, body: &[u8], ext: impl FnOnce(&mut ExtWriter<'_>)) {
    let head = CommandHead { code, opaque: 1, ..CommandHead::default() };
    write_command(out, &head, ext, body);
}

impl Consumer {
    pub(crate) fn connect(server: &super::Server, ask: Ask<'_>) -> Self {
        let stream = TcpStream::connect(server.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let (broker, pop) = (server.name.clone(), pop_frame(ask));
        Self { stream, broker, pop, out: vec![], frame: vec![], unanswered: 0 }
    }

    pub(crate) fn pop(&mut self) {
        self.stream.write_all(&self.pop).unwrap();
    }

    /// Takes a pop's answer, and acknowledges what it has; how many messages that are.
    pub(crate) fn take(&mut self, acks: Acks) -> usize {
        self.take_unless_busy(acks).expect("the broker takes pops")
    }

    /// The same; `None` when the broker is busy.
    pub(crate) fn take_unless_busy(&mut self, acks: Acks) -> Option<usize> {
        self.receive();
        let answer = CommandView::parse(&self.frame).unwrap();
        let is_nothing = [response::POLLING_TIMEOUT, response::PULL_NOT_FOUND];
        if is_nothing.contains(&answer.code) {
            return Some(0);
        }
        if answer.code == response::SYSTEM_BUSY {
            return None;
        }
        assert_eq!(answer.code, 0, "{:?}", answer.remark());
        self.out.clear();
        let (messages, answers) = acknowledge(&mut self.out, &answer, &self.broker, acks);
        self.unanswered += answers;
        self.stream.write_all(&self.out).unwrap();
        Some(messages)
    }

    /// Waits until all acknowledgements are answered.
    pub(crate) fn acknowledged(&mut self) {
        while self.unanswered > 0 {
            self.receive();
            let answer = CommandView::parse(&self.frame).unwrap();
            assert_eq!(answer.code, 0, "{:?}", answer.remark());
            self.unanswered -= 1;
        }
    }

    fn receive(&mut self) {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        self.frame.resize(usize::try_from(u32::from_be_bytes(length)).unwrap(), 0);
        self.stream.read_exact(&mut self.frame).unwrap();
    }
}

/// Writes the acknowledgements of a pop's answer: how many messages it has, and how many answers
/// come.
fn acknowledge(
    out: &mut Vec<u8>,
    answer: &CommandView<'_>,
    broker: &str,
    acks: Acks,
) -> (usize, usize) {
    let number = |name| answer.ext.get_i64(name).unwrap().unwrap();
    let (pop_time_ms, invisible_ms) = (number("popTime"), number("invisibleTime"));
    let revive_queue = i32::try_from(number("reviveQid")).unwrap();
    let starts = answer.ext.get("startOffsetInfo").unwrap();
    let offsets = answer.ext.get("msgOffsetInfo").unwrap();
    let topic = "Pop";
    let (mut messages, mut entries) = (0, vec![]);
    for (start, of_queue) in starts.split(';').zip(offsets.split(';')) {
        let mut start = start.split(' ');
        let (retry, queue_id) = (start.next().unwrap(), start.next().unwrap().parse().unwrap());
        let start_offset: i64 = start.next().unwrap().parse().unwrap();
        assert_eq!(retry, "0", "a message came again");
        let of_queue = of_queue.rsplit(' ').next().unwrap().split(',');
        let of_queue: Vec<i64> = of_queue.map(|offset| offset.parse().unwrap()).collect();
        messages += of_queue.len();
        if acks == Acks::Batch {
            let place = |offset: &i64| usize::try_from(offset - start_offset).unwrap();
            entries.push(BatchAck {
                bits: BatchAck::bits_of(&of_queue.iter().map(place).collect::<Vec<_>>()),
                group: GROUP.into(),
                topic: topic.into(),
                retry: retry.into(),
                start_offset,
                queue_id,
                revive_queue,
                pop_time_ms,
                invisible_ms,
            });
            continue;
        }
        for offset in of_queue.into_iter().filter(|_| acks == Acks::Each) {
            let receipt = Receipt {
                start_offset,
                pop_time_ms,
                invisible_ms,
                revive_queue,
                retry: protocol::pop::Retry::No,
                broker,
                queue_id,
                queue_offset: Some(offset),
            };
            write(out, request::ACK_MESSAGE, &[], |ext| {
                ext.str("consumerGroup", GROUP);
                ext.str("topic", topic);
                ext.int("queueId", i64::from(queue_id));
                ext.str("extraInfo", &receipt.to_string());
                ext.int("offset", offset);
            });
        }
    }
    match acks {
        Acks::Each => (messages, messages),
        Acks::None => (messages, 0),
        Acks::Batch => {
            let body = BatchAckRequestBody { acks: entries, broker_name: Some(broker.into()) };
            write(out, request::BATCH_ACK_MESSAGE, &to_fastjson(&body), |_| {});
            (messages, 1)
        }
    }
}
