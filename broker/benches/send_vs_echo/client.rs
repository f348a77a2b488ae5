//! The one client of all rows: a thread with blocking sockets that keeps `depth` sends in flight on each connection.

use protocol::codes::{request, response};
use protocol::remoting::{CommandHead, CommandView, write_command};
use rt::real::available_cores;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const TOPIC: &str = "SendVsEcho";
const BODY_BYTES: usize = 1024;
const QUEUES: usize = 8;

pub struct Outcome {
    pub messages: f64,
    pub rate: f64,
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub errors: f64,
}

/// A send as Java's client writes it: SEND_MESSAGE_V2, JSON header.
pub fn send_frame(queue_id: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    let head = CommandHead { code: request::SEND_MESSAGE_V2, opaque: 1, ..CommandHead::default() };
    let queue_id = i64::try_from(queue_id % QUEUES).unwrap();
    let properties = "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";
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
pub fn make_topic(addr: SocketAddr) {
    let mut frame = Vec::new();
    let head = CommandHead { code: request::UPDATE_AND_CREATE_TOPIC, opaque: 7, ..CommandHead::default() };
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
    let mut peer = Peer::connect(addr, frame);
    peer.send();
    peer.receive(1);
    assert_eq!(peer.errors, 0, "the topic was not created");
}

struct Peer {
    stream: TcpStream,
    requests: Vec<u8>,
    buf: Vec<u8>,
    have: usize,
    errors: usize,
    sent_at: Instant,
}

impl Peer {
    fn connect(addr: SocketAddr, requests: Vec<u8>) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream, requests, buf: vec![0; 64 * 1024], have: 0, errors: 0, sent_at: Instant::now() }
    }

    fn send(&mut self) {
        self.sent_at = Instant::now();
        self.stream.write_all(&self.requests).unwrap();
    }

    /// Waits for `count` answers.
    fn receive(&mut self, mut count: usize) {
        while count > 0 {
            let read = self.stream.read(&mut self.buf[self.have..]).unwrap();
            assert!(read > 0, "the server closed the connection");
            self.have += read;
            let mut at = 0;
            while let Some(length) = self.buf[at..self.have].first_chunk::<4>() {
                let end = at + 4 + u32::from_be_bytes(*length) as usize;
                if end > self.have {
                    break;
                }
                self.errors += usize::from(!is_success(&self.buf[at + 4..end]));
                count -= 1;
                at = end;
            }
            self.buf.copy_within(at..self.have, 0);
            self.have -= at;
        }
    }
}

/// Looks for the code in the header's text: cheaper than parsing it, and the same work for every server.
fn is_success(frame: &[u8]) -> bool {
    let head = &frame[4..frame.len().min(64)];
    let found = head.windows(9).any(|w| w == b"\"code\":0," || w == b"\"code\":0}");
    found || CommandView::parse(frame).is_ok_and(|view| view.code == response::SUCCESS || view.code == request::SEND_MESSAGE_V2 || view.code == request::UPDATE_AND_CREATE_TOPIC)
}

/// Runs one load and returns what it saw; CPU is filled in by the caller.
pub fn run(addr: SocketAddr, connections: usize, depth: usize, seconds: f64) -> Outcome {
    let core = *available_cores().last().unwrap();
    std::thread::spawn(move || on_core(core, addr, connections, depth, seconds)).join().unwrap()
}

fn on_core(core: usize, addr: SocketAddr, connections: usize, depth: usize, seconds: f64) -> Outcome {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut peers: Vec<Peer> = (0..connections).map(|i| Peer::connect(addr, send_frame(i).repeat(depth))).collect();
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
    let (p50_us, p99_us) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    Outcome { messages: all, rate: messages as f64 / elapsed, cpu_us: 0.0, p50_us, p99_us, errors }
}
