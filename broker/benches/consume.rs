//! What a consumer gets, and what those that wait cost others, beside netcore's bare echo in the
//! same run.
//!
//! ```text
//! cargo bench -p broker --bench consume -- --rounds 5 --seconds 2 --save FILE
//! ```
//!
//! | row | what |
//! |---|---|
//! | send to receive | one message on an idle system: from the send to the long poll's answer, p50; beside the echo's round trip at 1×1 with the same pauses, after which both cores sleep |
//! | hot consume | pulls of 32 messages on one connection, remoting and native; beside an echo that answers as many bytes |
//! | held pulls | CPU of an append while 1 or 1,000 long polls wait, each on a queue of its own |
//! | neighbours | send to receive of one group, p50 and p99: alone, beside one that reads the queue from its beginning again and again, beside one that asks for all of it and never reads an answer |
//!
//! The servers are on the first core, the client on the last; both spin as they do by default.
//! Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with scale, which also asks for other things")]
mod client;
#[path = "consume/neighbours.rs"]
mod neighbours;
#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which sends")]
mod peer;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::Client;
use peer::{Lane, Peer};
use protocol::codes::request;
use protocol::headers::PullHeader;
use protocol::remoting::{CommandHead, write_command};
use protocol::sys_flag::pull::{SUBSCRIPTION, SUSPEND};
use rt::real::available_cores;
use servers::{Fetches, Server};
use std::time::{Duration, Instant};

/// As netcore's default.
const ECHO_SPIN: Duration = Duration::from_micros(20);
/// Messages of one pull.
const PULLED: u16 = 32;
/// Long polls that wait at once.
const HELD: usize = 1_000;
/// Between two messages on the idle system.
const IDLE: Duration = Duration::from_micros(300);
/// The topic that `peer` sends to.
const TOPIC: &str = "SendVsEcho";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds: f64 =
        option("--seconds").map_or(if measured { 1.0 } else { 0.05 }, |v| v.parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let broker = Server::mqbroker("mqbroker", folder.path(), "flushDiskType=ASYNC_FLUSH\n");
    peer::make_topic(broker.addr);
    let held = if measured { HELD } else { 50 };
    let mut text = String::new();
    for part in [send_to_receive, hot_consume] {
        text += &part(&broker, rounds, seconds);
    }
    text += &held_pulls(&broker, rounds, held, if measured { 20_000 } else { 500 });
    text += &neighbours::run(&broker, rounds, seconds);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A pull of `messages_max` from `offset` of queue 0; with `polls` it waits for a message.
fn pull(offset: i64, messages_max: u16, polls: bool) -> Vec<u8> {
    let pull = PullHeader {
        consumer_group: "bench",
        topic: TOPIC,
        queue_offset: offset,
        max_msg_nums: messages_max.into(),
        sys_flag: SUBSCRIPTION | if polls { SUSPEND } else { 0 },
        suspend_timeout_ms: 30_000,
        subscription: Some("*"),
        ..PullHeader::default()
    };
    let head = CommandHead { code: request::PULL_MESSAGE, opaque: 1, ..CommandHead::default() };
    let mut frame = Vec::new();
    write_command(&mut frame, &head, |w| pull.write(w), b"");
    frame
}

fn send_to_receive(broker: &Server, rounds: usize, seconds: f64) -> String {
    let echo = Server::echo_with(ECHO_SPIN, &Fetches { messages: 1, bytes: 1, apart: 1 });
    let (mut busy_echoes, mut echoes, mut ends) = (vec![], vec![], vec![]);
    for _ in 0..rounds {
        for (idle, echoes) in [(Duration::ZERO, &mut busy_echoes), (IDLE, &mut echoes)] {
            let times = peer::round_trips_spinning(echo.addr, Lane::Remoting, seconds, idle);
            echoes.push(times[times.len() / 2]);
        }
        let addr = broker.addr;
        let mut times = std::thread::spawn(move || one_by_one(addr, seconds)).join().unwrap();
        times.sort_by(f64::total_cmp);
        ends.push(times[times.len() / 2]);
    }
    let [busy_echo, echo, end] = [busy_echoes, echoes, ends].map(median);
    format!(
        "send to receive: p50 {end:.1} µs, an echo as idle {echo:.1} µs, {:.2} times it; an echo \
            without pauses {busy_echo:.1} µs\n",
        end / echo
    )
}

/// From each send to the answer of the long poll that waits for it, in µs.
fn one_by_one(addr: std::net::SocketAddr, seconds: f64) -> Vec<f64> {
    let core = *available_cores().last().unwrap();
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let mut producer = Peer::connect(addr, Lane::Remoting, peer::send_frame(0));
    let mut consumer = Peer::connect(addr, Lane::Remoting, vec![]);
    let mut next = end_of_queue(addr);
    [&producer, &consumer].into_iter().for_each(Peer::spin);
    let (started, mut times) = (Instant::now(), vec![]);
    while started.elapsed().as_secs_f64() < seconds {
        consumer.send_frames(pull(next, PULLED, true));
        peer::spin_for(IDLE);
        let sent = Instant::now();
        producer.send();
        consumer.receive(1);
        times.push(sent.elapsed().as_secs_f64() * 1e6);
        producer.receive(1);
        next += 1;
    }
    assert_eq!((producer.errors, consumer.errors), (0, 0));
    times
}

fn end_of_queue(addr: std::net::SocketAddr) -> i64 {
    let mut client = testkit::remoting::Client::connect(addr);
    let queue = [("topic", TOPIC), ("queueId", "0")];
    client.call(request::GET_MAX_OFFSET, &queue).number("offset")
}

fn hot_consume(broker: &Server, rounds: usize, seconds: f64) -> String {
    let frames = peer::send_frame(0).repeat(PULLED.into());
    let mut producer = Peer::connect(broker.addr, Lane::Remoting, frames);
    producer.send();
    producer.receive(PULLED.into());
    let answer =
        Peer::connect(broker.addr, Lane::Remoting, vec![]).exchange(&pull(0, PULLED, false));
    let fetches = Fetches { messages: PULLED.into(), bytes: answer.len(), apart: 1 };
    let echo = Server::echo_with(ECHO_SPIN, &fetches);
    let mut text = String::new();
    let run = |server: &Server, lane: Lane| {
        peer::run_frames(server.addr, lane, 1, 1, seconds, move |_| {
            if lane == Lane::Remoting {
                pull(0, PULLED, false)
            } else {
                peer::fetch_frame(PULLED.into())
            }
        })
    };
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (nth, (server, lane)) in
            [(&echo, Lane::Native), (broker, Lane::Remoting), (broker, Lane::Native)]
                .into_iter()
                .enumerate()
        {
            let outcome = run(server, lane);
            assert_eq!(outcome.errors, 0.0, "{}", server.name);
            rates[nth].push(outcome.rate * f64::from(PULLED));
        }
    }
    let [echo, remoting, native] = rates.map(median);
    for (name, rate) in [("echo", echo), ("remoting", remoting), ("native", native)] {
        let share = 100.0 * rate / echo;
        text += &format!("hot consume, {name}: {rate:.0} messages/s, {share:.0} % of the echo\n");
    }
    text + &format!("  ({} bytes an answer, {PULLED} messages)\n", answer.len())
}

fn held_pulls(broker: &Server, rounds: usize, held: usize, appends: usize) -> String {
    let mut client = Client::connect(broker);
    client.make_topic("Held", held);
    client.make_topic("Appended", 1);
    let mut spent = [vec![], vec![]];
    for _ in 0..rounds {
        for (nth, count) in [1, held].into_iter().enumerate() {
            let _polls = hold(broker, count);
            client.fill(&["Appended".to_owned()], 1, appends / 10, 1_024); // warm
            let before = broker.cpu_s();
            client.fill(&["Appended".to_owned()], 1, appends, 1_024);
            spent[nth].push((broker.cpu_s() - before) * 1e6 / appends as f64);
        }
    }
    let [one, many] = spent.map(median);
    let more = 100.0 * (many / one - 1.0);
    format!(
        "held pulls: {one:.2} µs of CPU an append with 1, {many:.2} with {held}: {more:+.0} %\n"
    )
}

/// A connection on which so many long polls wait, each on a queue of its own.
fn hold(broker: &Server, count: usize) -> Client {
    let mut client = Client::connect(broker);
    for queue in 0..count {
        let pull = PullHeader {
            consumer_group: "bench",
            topic: "Held",
            queue_id: i32::try_from(queue).unwrap(),
            max_msg_nums: PULLED.into(),
            sys_flag: SUBSCRIPTION | SUSPEND,
            suspend_timeout_ms: 120_000,
            subscription: Some("*"),
            ..PullHeader::default()
        };
        client.send(request::PULL_MESSAGE, |w| pull.write(w), b"");
    }
    // An answer that comes behind them says that all were read.
    assert_eq!(client.max_offset("Held", 0), 0);
    client
}
