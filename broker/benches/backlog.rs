//! How fast a backlog is read over remoting, and what it costs the broker: from memory, and from
//! disk by the same broker with a small cache; beside other builds and brokers in the same run.
//!
//! ```text
//! cargo bench -p broker --bench backlog -- --rounds 5 --seconds 1 --mib 256 --save FILE
//!     --only 1x1,16x4                 some of the loads: connections × pulls in flight
//!     --beside FILE                   another build's mqbroker, from memory and from disk
//!     --also NAME=HOST:PORT,PID       another broker that is running already (Apache RocketMQ)
//!     --dir FOLDER                    where the stores go
//! ```
//!
//! Each server holds `--mib` of messages of 1 KiB in four queues, sent at 40 MiB/s. A pull asks for
//! 32 messages. Each connection reads the whole backlog for itself, again and again:
//!
//! | how | with several pulls in flight |
//! |---|---|
//! | `by queue` | all of them read one queue, each a part of it; then the next queue |
//! | `at once` | each reads queues of its own; one alone takes a batch from each queue in turn |
//!
//! `echo` is netcore alone, which answers every pull with the next 32 such messages of as much
//! memory: what the sockets and the copy cost. A broker's CPU is told without its idle spin, where
//! it tells it. The servers are on the first core (another broker where it was started), the client
//! on the last.
//! Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with scale, which also asks for other things")]
mod client;
#[path = "send_vs_echo/ratios.rs"]
mod ratios;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has an echo")]
mod servers;

use client::Client;
use protocol::codes::request;
use protocol::headers::PullHeader;
use protocol::sys_flag::pull::SUBSCRIPTION;
use rt::real::available_cores;
use servers::{Fetches, Server};
use std::time::{Duration, Instant};

const TOPIC: &str = "Backlog";
const QUEUES: usize = 4;
const PULLED: i64 = 32;
const BODY_BYTES: usize = 1024;
/// What a record has beside its body, about: its fields, the topic, the two properties of a send.
const RECORD_OVERHEAD_BYTES: usize = 170;
/// As the broker's default.
const ECHO_SPIN: Duration = Duration::from_micros(20);
const LOADS: [(usize, usize); 4] = [(1, 1), (1, 4), (16, 1), (16, 4)];
/// A cache that holds a small part of any backlog worth the name.
const SMALL_CACHE: &str = "flushDiskType=ASYNC_FLUSH\ntailCacheBytes=16777216\n";
const DEFAULT_CACHE: &str = "flushDiskType=ASYNC_FLUSH\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    ByQueue,
    AtOnce,
}

/// What one pull in flight reads: batches of these queues in turn, each from `from` up to `upto`.
struct Lane {
    queues: Vec<usize>,
    from: i64,
    upto: i64,
    /// The queue it is at, and where each goes on.
    at: usize,
    next: Vec<i64>,
}

impl Lane {
    /// The lane `nth` of `depth`; `by_queue` is which queue all of them read.
    fn new(how: How, nth: usize, depth: usize, queue: usize, messages: i64) -> Self {
        let (queues, from, upto) = match how {
            How::ByQueue => {
                let part = messages / i64::try_from(depth).unwrap();
                let from = part * i64::try_from(nth).unwrap();
                (vec![queue], from, from + part)
            }
            How::AtOnce => ((nth..QUEUES).step_by(depth).collect(), 0, messages),
        };
        let next = vec![from; queues.len()];
        Self { queues, from, upto, at: 0, next }
    }

    fn pull(&self, nth: usize, client: &mut Client) {
        let pull = PullHeader {
            consumer_group: "bench",
            topic: TOPIC,
            queue_id: i32::try_from(self.queues[self.at]).unwrap(),
            queue_offset: self.next[self.at],
            max_msg_nums: i32::try_from(PULLED).unwrap(),
            sys_flag: SUBSCRIPTION,
            subscription: Some("*"),
            ..PullHeader::default()
        };
        let nth = i32::try_from(nth).unwrap();
        client.send_as(nth, request::PULL_MESSAGE, |w| pull.write(w), &[]);
    }

    /// An answer said to go on at `next`. Returns how many messages it brought.
    fn answered(&mut self, next: i64) -> i64 {
        let got = next - self.next[self.at];
        assert!((1..=PULLED).contains(&got), "a pull brought {got} messages");
        self.next[self.at] = if next >= self.upto { self.from } else { next };
        self.at = (self.at + 1) % self.queues.len();
        got
    }
}

/// A connection.
struct Consumer {
    client: Client,
    lanes: Vec<Lane>,
}

/// Messages a second, and the server's CPU for each, in µs.
fn run(
    server: &Server,
    (connections, depth): (usize, usize),
    how: How,
    round: usize,
    (messages, seconds): (i64, f64),
) -> [f64; 2] {
    let mut consumers: Vec<Consumer> = (0..connections)
        .map(|_| Consumer {
            client: Client::connect(server),
            lanes: (0..depth)
                .map(|nth| Lane::new(how, nth, depth, round % QUEUES, messages))
                .collect(),
        })
        .collect();
    let is_echo = server.name == "echo";
    let cpu_s = || server.cpu_s() - server.idle_spin_s();
    let (cpu_before, started, mut got) = (cpu_s(), Instant::now(), 0);
    for consumer in &mut consumers {
        let lanes = consumer.lanes.iter().enumerate();
        lanes.for_each(|(nth, lane)| lane.pull(nth, &mut consumer.client));
    }
    let is_over = || started.elapsed().as_secs_f64() > seconds;
    while !is_over() {
        for Consumer { client, lanes } in &mut consumers {
            let (opaque, next) = client.receive_pull_of();
            let nth = usize::try_from(opaque).unwrap();
            // An echo answers the same each time.
            got += if is_echo { PULLED } else { lanes[nth].answered(next) };
            lanes[nth].pull(nth, client);
        }
    }
    let (took, cpu) = (started.elapsed().as_secs_f64(), cpu_s() - cpu_before);
    for Consumer { client, lanes } in &mut consumers {
        lanes.iter().for_each(|_| _ = client.receive_pull());
    }
    let got = got as f64;
    [got / took, cpu * 1e6 / got]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn servers(
    count: usize,
    option: impl Fn(&str) -> Option<String>,
) -> (Vec<Server>, tempfile::TempDir) {
    let tmp = env!("CARGO_TARGET_TMPDIR").to_owned();
    let folder = tempfile::tempdir_in(option("--dir").unwrap_or(tmp)).unwrap();
    let at = |name: &str| folder.path().join(name);
    let record_bytes = BODY_BYTES + RECORD_OVERHEAD_BYTES;
    let pulled = usize::try_from(PULLED).unwrap();
    let apart = count / pulled;
    let messages = u32::try_from(PULLED).unwrap();
    let answer = Fetches { messages, bytes: pulled * record_bytes, apart };
    let mut servers = vec![
        Server::echo_with(ECHO_SPIN, &answer),
        Server::mqbroker("memory", &at("memory"), DEFAULT_CACHE),
        Server::mqbroker("disk", &at("disk"), SMALL_CACHE),
    ];
    if let Some(other) = option("--beside") {
        // Builds before `auto` was the default are told.
        let all = "flushDiskType=ASYNC_FLUSH\ntailCacheBytes=4294967296\n";
        servers.push(Server::broker_at(&other, "other, memory", &at("other-memory"), all));
        servers.push(Server::broker_at(&other, "other, disk", &at("other-disk"), SMALL_CACHE));
    }
    servers.extend(option("--also").map(|also| Server::also(&also)));
    (servers, folder)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option =
        |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned();
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds: f64 =
        option("--seconds").map_or(if measured { 1.0 } else { 0.05 }, |v| v.parse().unwrap());
    let mib: usize =
        option("--mib").map_or(if measured { 256 } else { 24 }, |v| v.parse().unwrap());
    let only = option("--only");
    let wanted = |(c, d): &&(usize, usize)| {
        only.as_ref().is_none_or(|only| only.split(',').any(|o| o == format!("{c}x{d}")))
    };
    let count = mib * 1024 / QUEUES * QUEUES;
    let (servers, _folder) = servers(count, option);
    let messages: Vec<i64> = servers.iter().map(|server| fill(server, count, measured)).collect();
    core_affinity::set_for_current(core_affinity::CoreId {
        id: *available_cores().last().unwrap(),
    });
    // What is deferred, the index before all, is done before anything is measured.
    std::thread::sleep(Duration::from_secs(if measured { 10 } else { 1 }));
    let mut text = format!(
        "{:<6} {:<9} {:<14} {:>12} {:>11}  {:<20} {:<20}\n",
        "load", "how", "server", "messages/s", "µs CPU each", "rate by the last", "CPU by the last"
    );
    for &load in LOADS.iter().filter(wanted) {
        for how in [How::ByQueue, How::AtOnce] {
            let mut found: Vec<Vec<[f64; 2]>> = vec![vec![]; servers.len()];
            for round in 0..rounds {
                for ((server, found), messages) in servers.iter().zip(&mut found).zip(&messages) {
                    found.push(run(server, load, how, round, (*messages, seconds)));
                }
            }
            text += &rows(load, how, &servers, &found);
        }
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// Sends `count` messages over the queues; how many the shortest queue has: what is refused as busy
/// goes to the next queue.
fn fill(server: &Server, count: usize, is_measured: bool) -> i64 {
    if server.name == "echo" {
        return i64::try_from(count / QUEUES).unwrap();
    }
    let mut client = Client::connect(server);
    client.make_topic(TOPIC, QUEUES);
    // At 40 MiB/s: the cache takes new memory for a tenth of the time only.
    for begun in (0..count).step_by(8192) {
        client.fill(&[TOPIC.to_owned()], QUEUES, (count - begun).min(8192), BODY_BYTES);
        std::thread::sleep(Duration::from_millis(if is_measured { 200 } else { 0 }));
    }
    (0..QUEUES).map(|queue_id| client.max_offset(TOPIC, queue_id)).min().unwrap()
}

/// The last columns: multiples of the last server's, of rounds side by side.
fn rows(
    (connections, depth): (usize, usize),
    how: How,
    servers: &[Server],
    found: &[Vec<[f64; 2]>],
) -> String {
    let of = |found: &[[f64; 2]], what: usize| median(found.iter().map(|one| one[what]).collect());
    let how = if how == How::ByQueue { "by queue" } else { "at once" };
    let row = |(server, rounds): (&Server, &Vec<[f64; 2]>)| {
        let (rate, cpu) = (of(rounds, 0), of(rounds, 1));
        let [rates, cpus] = [0, 1].map(|what| {
            let of = |rounds: &[[f64; 2]]| -> Vec<f64> { rounds.iter().map(|r| r[what]).collect() };
            let last = found.last().map_or_else(Vec::new, |last| of(last));
            ratios::ratio(of(rounds).into_iter(), last.into_iter())
        });
        let load = format!("{connections}x{depth}");
        let name = &server.name;
        format!("{load:<6} {how:<9} {name:<14} {rate:>12.0} {cpu:>11.2}  {rates:<20} {cpus:<20}\n")
    };
    servers.iter().zip(found).map(row).collect()
}
