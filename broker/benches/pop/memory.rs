//! What a broker holds for messages that nobody acknowledges.

use super::Sizes;
use super::client::Client;
use super::consumer::{Acks, Ask, Consumer, POPPED};
use super::peer::{self, Lane, Peer};
use super::servers::Server;
use std::time::{Duration, Instant};

/// The topic that `peer` sends to.
const TOPIC: &str = "SendVsEcho";
const CONNECTIONS: usize = 16;
/// Records of one frame.
const BATCH: usize = 1_000;
const BODY_BYTES: usize = 32;
/// Before a refused frame is sent again.
const PAUSE: Duration = Duration::from_millis(10);
const REFUSED_MAX: usize = 3_000;

pub(crate) fn run(servers: &[Server], sizes: &Sizes) -> String {
    let [server, ..] = servers else { return String::new() };
    peer::make_topic(server.addr);
    let mut text = String::new();
    for at_once in [POPPED, 1].into_iter().filter(|n| sizes.at_once.is_none_or(|only| only == *n)) {
        let before = server.anonymous_bytes();
        fill(server, sizes.unacknowledged);
        let (filled, cached) = (server.anonymous_bytes(), cache_bytes(server));
        let began = Instant::now();
        let (popped, refused) = pop(server, sizes.unacknowledged, at_once);
        let took_s = began.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_millis(if popped < 10_000 { 100 } else { 3_000 }));
        let more = server.anonymous_bytes() as f64 - filled as f64;
        let cache_more = cache_bytes(server) - cached;
        text += &format!(
            "memory, {at_once} a pop: {popped} messages are out, {:.0} a second, {refused} pops \
             refused; {:.1} bytes each, {:.1} of them in the cache's budget, {:.0} MiB more, \
             {:.0} MiB before\n",
            popped as f64 / took_s,
            more / popped as f64,
            cache_more / popped as f64,
            more / f64::from(1 << 20),
            before as f64 / f64::from(1 << 20),
        );
    }
    text
}

/// Of the log's cache what is no shared memory: windows read from disk, and ConsumeQueue units of
/// records that are in memory. `tailCacheBytes` bounds it, however many messages are out.
fn cache_bytes(server: &Server) -> f64 {
    let info = Client::connect(server).runtime_info();
    let number = |key: &str| info.table[key].parse::<f64>().unwrap();
    number("cacheColdBytes") + number("cacheUnitBytes")
}

fn fill(server: &Server, messages: usize) {
    let mut left = messages;
    let mut queue_id = 0;
    while left > 0 {
        let records = left.min(BATCH);
        let frame = peer::native_frame(queue_id, records, BODY_BYTES);
        let mut producer = Peer::connect(server.addr, Lane::Native, frame);
        let frames = (left / records).min(1_000);
        for _ in 0..frames {
            send_until_taken(&mut producer);
        }
        left -= frames * records;
        queue_id += 1;
    }
}

/// A broker whose disk is slower than this refuses as busy; what is refused is sent again.
fn send_until_taken(producer: &mut Peer) {
    let before = producer.errors;
    for refused in 0.. {
        producer.send();
        producer.receive(1);
        if producer.errors == before + refused {
            return;
        }
        assert!(
            refused < REFUSED_MAX,
            "the broker takes nothing for {REFUSED_MAX} times {PAUSE:?}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// Pops so many, or until the broker takes no more: how many, and pops that were refused.
fn pop(server: &Server, messages: usize, at_once: usize) -> (usize, usize) {
    let ask = Ask {
        topic: TOPIC,
        queue_id: -1,
        messages_max: at_once,
        invisible_ms: 3_600_000,
        poll_ms: 0,
    };
    let mut consumers: Vec<Consumer> =
        (0..CONNECTIONS).map(|_| Consumer::connect(server, ask)).collect();
    let (mut popped, mut refused) = (0, 0);
    while popped < messages && refused == 0 {
        consumers.iter_mut().for_each(Consumer::pop);
        for consumer in &mut consumers {
            match consumer.take_unless_busy(Acks::None) {
                Some(messages) => popped += messages,
                None => refused += 1,
            }
        }
    }
    (popped, refused)
}
