//! Whether a consumer that reads old messages from disk is felt by those who send.
//!
//! ```text
//! cargo bench -p broker --bench cold_reader -- --rounds 9 --seconds 1 --mib 1024 --dir FOLDER --save FILE
//! ```
//!
//! One sender, 1 KiB, a message every 500 µs (open loop, from the intended time), a real `mqbroker`
//! on the first core; three kinds of rounds, interleaved: nobody reads; a consumer reads what is in
//! memory; the same consumer, at the same pace of pulls, reads what has left it (a cold pull brings
//! 8 messages, a hot one 32). The client's two threads share the last core, so what the consumer
//! costs the *client* is in both of the last two; the broker's part is the difference between them.
//! Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with pop, which also asks what the broker says of itself")]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::{Client, header};
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use rt::real::available_cores;
use servers::Server;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "ColdReader";
const EVERY: Duration = Duration::from_micros(500);
/// Between two pulls: the consumer is as fast on hot data as on cold.
const PULL_EVERY: Duration = Duration::from_micros(500);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Nothing,
    Hot,
    Cold,
}

const KINDS: [(Reads, &str); 3] =
    [(Reads::Nothing, "nobody reads"), (Reads::Hot, "hot reads"), (Reads::Cold, "cold reads")];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 9 } else { 1 }, |v| v.parse().unwrap());
    let seconds: f64 =
        option("--seconds").map_or(if measured { 1.0 } else { 0.1 }, |v| v.parse().unwrap());
    let mebibytes: usize =
        option("--mib").map_or(if measured { 1024 } else { 100 }, |v| v.parse().unwrap());
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    // Small next to what is there, so that most of it is cold.
    let server = Server::mqbroker(
        "mqbroker",
        folder.path(),
        "flushDiskType=ASYNC_FLUSH\ntailCacheBytes=33554432\n",
    );
    let mut client = Client::connect(&server);
    client.make_topic(TOPIC, 1);
    client.fill(&[TOPIC.to_owned()], 1, mebibytes << 10, 1024);
    std::thread::sleep(Duration::from_secs(if measured { 3 } else { 1 }));
    let mut p99s: [Vec<f64>; 3] = Default::default();
    let (mut p50s, mut pulled): ([Vec<f64>; 3], [u64; 3]) = Default::default();
    let mut cold_from = 0;
    for _ in 0..rounds {
        for (nth, (reads, _)) in KINDS.into_iter().enumerate() {
            let (mut times, messages) =
                round(&server, reads, seconds, &mut cold_from, mebibytes << 10);
            times.sort_by(f64::total_cmp);
            p50s[nth].push(times[times.len() / 2]);
            p99s[nth].push(times[times.len() * 99 / 100]);
            pulled[nth] += messages;
        }
    }
    let [none, hot, cold] = p99s.map(median);
    let [p50_none, p50_hot, p50_cold] = p50s.map(median);
    let mut text =
        format!("{:<13} {:>10} {:>10} {:>16}\n", "", "RT p50 µs", "RT p99 µs", "messages read/s");
    for (nth, (p50, p99)) in
        [(p50_none, none), (p50_hot, hot), (p50_cold, cold)].into_iter().enumerate()
    {
        let rate = pulled[nth] as f64 / (rounds as f64 * seconds);
        text += &format!("{:<13} {p50:>10.0} {p99:>10.0} {rate:>16.0}\n", KINDS[nth].1);
    }
    text += &format!(
        "p99 with cold reads: {:+.0} % beside hot reads, {:+.0} % beside none\n",
        100.0 * (cold / hot - 1.0),
        100.0 * (cold / none - 1.0)
    );
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// Send times in µs, and how many messages the consumer got.
fn round(
    server: &Server,
    reads: Reads,
    seconds: f64,
    cold_from: &mut i64,
    messages: usize,
) -> (Vec<f64>, u64) {
    let (stop, got) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = (reads != Reads::Nothing).then(|| {
        let mut client = Client::connect(server);
        let from =
            if reads == Reads::Hot { client.max_offset(TOPIC, 0) - 2000 } else { *cold_from };
        let (stop, got, limit) = (stop.clone(), got.clone(), i64::try_from(messages / 2).unwrap());
        std::thread::spawn(move || read(&mut client, from, reads, limit, &stop, &got))
    });
    let times = send(server, seconds);
    stop.store(true, Ordering::Relaxed);
    if let Some(end) = reader.map(|reader| reader.join().unwrap()).filter(|_| reads == Reads::Cold)
    {
        *cold_from = end;
    }
    (times, got.load(Ordering::Relaxed))
}

fn send(server: &Server, seconds: f64) -> Vec<f64> {
    core_affinity::set_for_current(core_affinity::CoreId {
        id: *available_cores().last().unwrap(),
    });
    let mut client = Client::connect(server);
    let body = [b'x'; 1024];
    let (start, mut times) = (Instant::now(), Vec::new());
    let mut due = Duration::ZERO;
    while due.as_secs_f64() < seconds {
        while start.elapsed() < due {
            std::thread::yield_now();
        }
        let header = SendHeader { topic: TOPIC, queue_id: 0, ..header() };
        client.send(request::SEND_MESSAGE_V2, |w| header.write_v2(w), &body);
        assert_eq!(client.receive().0, 0);
        times.push((start.elapsed() - due).as_secs_f64() * 1e6);
        due += EVERY;
    }
    times
}

/// Pulls 32 at a time; gives back where it ended.
fn read(
    client: &mut Client,
    from: i64,
    reads: Reads,
    limit: i64,
    stop: &AtomicBool,
    got: &AtomicU64,
) -> i64 {
    core_affinity::set_for_current(core_affinity::CoreId {
        id: *available_cores().last().unwrap(),
    });
    let mut at = from;
    while !stop.load(Ordering::Relaxed) {
        let header = PullHeader {
            consumer_group: "bench",
            topic: TOPIC,
            queue_id: 0,
            queue_offset: at,
            max_msg_nums: 32,
            sys_flag: protocol::sys_flag::pull::SUBSCRIPTION,
            subscription: Some("*"),
            ..PullHeader::default()
        };
        client.send(request::PULL_MESSAGE, |w| header.write(w), &[]);
        let next = client.receive_pull();
        got.fetch_add(u64::try_from(next - at).unwrap_or(0), Ordering::Relaxed);
        // Hot: the same stretch again. Cold: on and on, and around.
        at = match reads {
            Reads::Cold if next < limit => next,
            Reads::Cold => 0,
            _ => from,
        };
        std::thread::sleep(PULL_EVERY);
    }
    at
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
