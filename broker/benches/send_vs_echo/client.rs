//! The one client of all rows: a thread with blocking sockets that keeps `depth` sends in flight on
//! each connection, in either lane.

use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::native::{self, Ack, Kind, Produce, append_frame};
use protocol::record::RecordDraft;
use protocol::remoting::{CommandHead, CommandView, write_command};
use rt::real::available_cores;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub(crate) const TOPIC: &str = "SendVsEcho";
pub(crate) const BODY_BYTES: usize = 1024;
const QUEUES: usize = 8;

pub(crate) struct Outcome {
    pub messages: f64,
    pub rate: f64,
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub errors: f64,
}

/// How a row speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Remoting,
    Native,
    /// Redis: a message is an `RPUSH`.
    Resp,
}

impl Lane {
    /// Bytes of the frame that begins here, once that is known.
    fn frame_bytes(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Remoting => {
                bytes.first_chunk::<4>().map(|length| 4 + u32::from_be_bytes(*length) as usize)
            }
            Self::Native => bytes
                .first_chunk::<8>()
                .map(|[_, _, _, _, length @ ..]| u32::from_le_bytes(*length) as usize),
            // All that is asked for is answered with one line.
            Self::Resp => bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1),
        }
    }

    fn is_success(self, frame: &[u8]) -> bool {
        match self {
            Self::Remoting => is_success(&frame[4..]),
            Self::Native => frame[10] & 0x80 != 0 && frame[10] != Kind::Error as u8,
            Self::Resp => frame[0] != b'-',
        }
    }

    fn send_frame(self, queue_id: usize) -> Vec<u8> {
        match self {
            Self::Remoting => send_frame(queue_id),
            Self::Native => native_frame(queue_id, 1, BODY_BYTES),
            Self::Resp => rpush(queue_id),
        }
    }
}

/// The message onto a list of Redis.
fn rpush(queue_id: usize) -> Vec<u8> {
    let head = format!("*3\r\n$5\r\nRPUSH\r\n$2\r\nq{}\r\n${BODY_BYTES}\r\n", queue_id % QUEUES);
    [head.as_bytes(), &[b'x'; BODY_BYTES], b"\r\n"].concat()
}

/// Asks a Redis server something that it answers with one line.
pub(crate) fn ask_redis(addr: SocketAddr, request: &[u8]) {
    let mut peer = Peer::connect(addr, Lane::Resp, request.to_vec());
    peer.send();
    peer.receive(1);
    assert_eq!(peer.errors, 0, "refused: {}", String::from_utf8_lossy(request));
}

/// A native produce frame of so many records.
pub(crate) fn native_frame(queue_id: usize, records: usize, body_bytes: usize) -> Vec<u8> {
    let body = vec![b'x'; body_bytes];
    let draft = RecordDraft {
        topic: TOPIC,
        queue_id: i32::try_from(queue_id % QUEUES).unwrap(),
        flag: 0,
        queue_offset: 0,
        physical_offset: 0,
        sys_flag: 0,
        born_timestamp_ms: 1_760_000_000_000,
        born_host: "127.0.0.1:1".parse().unwrap(),
        store_timestamp_ms: 0,
        store_host: "127.0.0.1:1".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &body,
        properties: &[b"UNIQ_KEY\x017F00000100002A9F0000000000000000\x02TAGS\x01TagA\x02"],
    };
    let mut record = vec![0; draft.encoded_len().unwrap()];
    draft.encode_into(&mut record).unwrap();
    let payload = record.repeat(records);
    let produce = Produce {
        records: u32::try_from(records).unwrap(),
        ack: Ack::Configured as u8,
        wants_stages: false,
    };
    let mut frame = Vec::new();
    append_frame(&mut frame, Kind::Produce, 1, &produce, payload.len()).unwrap();
    frame.extend_from_slice(&payload);
    frame
}

fn hello() -> Vec<u8> {
    let hello =
        native::Hello { version_min: 1, version_max: 1, capabilities: 0, client: "bench".into() };
    let mut frame = Vec::new();
    append_frame(&mut frame, Kind::Hello, 0, &hello, 0).unwrap();
    frame
}

/// A send as Java's client writes it: SEND_MESSAGE_V2, JSON header.
pub(crate) fn send_frame(queue_id: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let head = CommandHead { code: request::SEND_MESSAGE_V2, opaque: 1, ..CommandHead::default() };
    let queue_id = i64::try_from(queue_id % QUEUES).unwrap();
    let properties =
        "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";
    let ext = |w: &mut protocol::remoting::ExtWriter<'_>| {
        w.str("a", "bench");
        w.str("b", TOPIC);
        w.str("c", "TBW102");
        w.int("d", 8);
        w.int("e", queue_id);
        w.int("f", 0);
        w.int("g", 1_760_000_000_000_i64);
        w.int("h", 0);
        w.str("i", properties);
        w.int("j", 0);
        w.bool("k", false);
        w.bool("m", false);
    };
    write_command(&mut frame, &head, ext, &[b'x'; BODY_BYTES]);
    frame
}

/// Creates the topic with UPDATE_AND_CREATE_TOPIC; the echo only sends it back.
pub(crate) fn make_topic(addr: SocketAddr) {
    let mut frame = Vec::new();
    let head =
        CommandHead { code: request::UPDATE_AND_CREATE_TOPIC, opaque: 7, ..CommandHead::default() };
    let ext = |w: &mut protocol::remoting::ExtWriter<'_>| {
        w.str("topic", TOPIC);
        w.str("defaultTopic", "TBW102");
        w.int("readQueueNums", 8);
        w.int("writeQueueNums", 8);
        w.int("perm", 6);
        w.str("topicFilterType", "SINGLE_TAG");
        w.int("topicSysFlag", 0);
        w.bool("order", false);
    };
    write_command(&mut frame, &head, ext, b"");
    let mut peer = Peer::connect(addr, Lane::Remoting, frame);
    peer.send();
    peer.receive(1);
    assert_eq!(peer.errors, 0, "the topic was not created");
}

pub(crate) struct Peer {
    lane: Lane,
    stream: TcpStream,
    requests: Vec<u8>,
    buf: Vec<u8>,
    have: usize,
    pub errors: usize,
    sent_at: Instant,
}

impl Peer {
    pub(crate) fn connect(addr: SocketAddr, lane: Lane, requests: Vec<u8>) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut peer = Self {
            lane,
            stream,
            requests,
            buf: vec![0; 256 * 1024],
            have: 0,
            errors: 0,
            sent_at: Instant::now(),
        };
        if lane == Lane::Native {
            peer.stream.write_all(&hello()).unwrap();
            peer.receive(1);
        }
        peer
    }

    pub(crate) fn send(&mut self) {
        self.sent_at = Instant::now();
        self.stream.write_all(&self.requests).unwrap();
    }

    /// From now on it looks for answers without pause.
    pub(crate) fn spin(&self) {
        self.stream.set_nonblocking(true).unwrap();
    }

    /// Sends these instead.
    pub(crate) fn send_frames(&mut self, frames: Vec<u8>) {
        self.requests = frames;
        self.send();
    }

    /// The answer to one request, whole.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).unwrap();
        let mut answer = vec![0; 8];
        self.stream.read_exact(&mut answer).unwrap();
        let length = self.lane.frame_bytes(&answer).unwrap();
        answer.resize(length, 0);
        self.stream.read_exact(&mut answer[8..]).unwrap();
        assert!(self.lane.is_success(&answer));
        answer
    }

    /// Waits for `count` answers.
    pub(crate) fn receive(&mut self, mut count: usize) {
        while count > 0 {
            let read = match self.stream.read(&mut self.buf[self.have..]) {
                // It spins.
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                read => read.unwrap(),
            };
            assert!(read > 0, "the server closed the connection");
            self.have += read;
            let mut at = 0;
            while let Some(length) = self.lane.frame_bytes(&self.buf[at..self.have]) {
                let end = at + length;
                if end > self.have {
                    break;
                }
                self.errors += usize::from(!self.lane.is_success(&self.buf[at..end]));
                count -= 1;
                at = end;
            }
            self.buf.copy_within(at..self.have, 0);
            self.have -= at;
        }
    }
}

/// Round trips of one connection that looks for its answers without pause, in µs, sorted; `idle` is
/// the time between an answer and the next request.
pub(crate) fn round_trips_spinning(
    addr: SocketAddr,
    lane: Lane,
    seconds: f64,
    idle: Duration,
) -> Vec<f64> {
    let core = *available_cores().last().unwrap();
    let spin = move || {
        core_affinity::set_for_current(core_affinity::CoreId { id: core });
        let mut peer = Peer::connect(addr, lane, lane.send_frame(0));
        peer.spin();
        let (started, mut times) = (Instant::now(), Vec::new());
        while started.elapsed().as_secs_f64() < seconds {
            spin_for(idle);
            peer.send();
            peer.receive(1);
            times.push(peer.sent_at.elapsed().as_secs_f64() * 1e6);
        }
        assert_eq!(peer.errors, 0);
        times.sort_by(f64::total_cmp);
        times
    };
    std::thread::spawn(spin).join().unwrap()
}

/// Keeps the CPU for so long.
pub(crate) fn spin_for(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// A native fetch from the beginning of queue 0.
pub(crate) fn fetch_frame(messages_max: u32) -> Vec<u8> {
    let fetch = native::Fetch {
        queue_id: 0,
        offset: 0,
        messages_max,
        bytes_max: 1 << 20,
        hold_ms: 0,
        topic: TOPIC.into(),
        tags: vec![],
    };
    let mut frame = Vec::new();
    append_frame(&mut frame, Kind::Fetch, 1, &fetch, 0).unwrap();
    frame
}

/// A pull from the beginning of queue 0, as Java's client writes it.
pub(crate) fn pull_frame(messages_max: u16) -> Vec<u8> {
    let pull = PullHeader {
        consumer_group: "bench",
        topic: TOPIC,
        max_msg_nums: messages_max.into(),
        sys_flag: protocol::sys_flag::pull::SUBSCRIPTION,
        subscription: Some("*"),
        ..PullHeader::default()
    };
    let mut frame = Vec::new();
    let head = CommandHead { code: request::PULL_MESSAGE, opaque: 1, ..CommandHead::default() };
    write_command(&mut frame, &head, |w| pull.write(w), b"");
    frame
}

/// Looks for the code in the header's text: cheaper than parsing it, and the same work for every
/// server.
fn is_success(frame: &[u8]) -> bool {
    let head = &frame[4..frame.len().min(64)];
    let found = head.windows(9).any(|w| w == b"\"code\":0," || w == b"\"code\":0}");
    found
        || CommandView::parse(frame).is_ok_and(|view| {
            view.code == response::SUCCESS
                || view.code == request::SEND_MESSAGE_V2
                || view.code == request::UPDATE_AND_CREATE_TOPIC
        })
}

/// Runs one load and returns what it saw; CPU is filled in by the caller.
pub(crate) fn run(
    addr: SocketAddr,
    lane: Lane,
    connections: usize,
    depth: usize,
    seconds: f64,
) -> Outcome {
    run_frames(addr, lane, connections, depth, seconds, move |connection| {
        lane.send_frame(connection)
    })
}

/// The same with frames of the caller's own; `frame` gets the connection's number.
pub(crate) fn run_frames(
    addr: SocketAddr,
    lane: Lane,
    connections: usize,
    depth: usize,
    seconds: f64,
    frame: impl Fn(usize) -> Vec<u8> + Send + 'static,
) -> Outcome {
    let core = *available_cores().last().unwrap();
    std::thread::spawn(move || on_core(core, addr, lane, connections, depth, seconds, &frame))
        .join()
        .unwrap()
}

fn on_core(
    core: usize,
    addr: SocketAddr,
    lane: Lane,
    connections: usize,
    depth: usize,
    seconds: f64,
    frame: &dyn Fn(usize) -> Vec<u8>,
) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut peers: Vec<Peer> =
        (0..connections).map(|i| Peer::connect(addr, lane, frame(i).repeat(depth))).collect();
    peers.iter_mut().for_each(Peer::send);
    let (started, mut messages, mut times) = (Instant::now(), 0, Vec::new());
    while started.elapsed().as_secs_f64() < seconds {
        for peer in &mut peers {
            peer.receive(depth);
            times.push(peer.sent_at.elapsed().as_secs_f64() * 1e6);
            messages += depth;
            peer.send();
        }
    }
    let elapsed = started.elapsed().as_secs_f64();
    peers.iter_mut().for_each(|peer| peer.receive(depth));
    let all = (messages + connections * depth) as f64;
    times.sort_by(f64::total_cmp);
    let errors = peers.iter().map(|peer| peer.errors).sum::<usize>() as f64;
    let at = |per_mille: usize| times[(times.len() * per_mille / 1000).min(times.len() - 1)];
    Outcome {
        messages: all,
        rate: messages as f64 / elapsed,
        cpu_us: 0.0,
        p50_us: at(500),
        p99_us: at(990),
        p999_us: at(999),
        max_us: at(1000),
        errors,
    }
}
