//! What waiting timers cost: memory and CPU of a real `mqbroker` with many of them over an hour,
//! its stop and start with them, and how late some come that are due; and how late messages of a
//! delay level come. On a machine at rest the aim is a p99 of at most 100 ms.
//!
//! ```text
//! cargo bench -p broker --bench timers -- --count 1000000 --due 20000
//! ```
//!
//! Without `--bench` (under `cargo test`) it is a smoke run. Lateness on a shared machine is that
//! machine's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

use protocol::codes::request;
use protocol::headers::SendHeader;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use testkit::message::message;
use testkit::remoting::Client;
use testkit::{BrokerSetup, Process, Program};

/// Sends under way at once.
const WINDOW: usize = 500;
const HOUR_MS: u64 = 3_600_000;
/// None is due while the others are sent and measured.
const FIRST_MS: u64 = 600_000;
const BODY: [u8; 100] = [b'x'; 100];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let is_measured = args.iter().any(|a| a == "--bench");
    let number = |name, measured, smoke| {
        option(name).map_or(if is_measured { measured } else { smoke }, |v| v.parse().unwrap())
    };
    let (count, due) = (number("--count", 1_000_000, 500), number("--due", 20_000, 100));
    let setup = BrokerSetup::new(Program::at(env!("CARGO_BIN_EXE_mqbroker")), 1)
        .settings(["messageDelayLevel=3s"]);
    let mut broker = setup.start();
    let mut client = Client::connect(setup.shard_addr(0));
    println!("| {count} timers of 100 bytes over an hour | |\n|---|---|");
    waiting(&broker, &mut client, count);
    let (stop, start) = restart(&setup, &mut broker, &mut client, count);
    println!("| clean stop, start until all wait again | {stop:.2} s, {start:.2} s |");
    println!("| resident after the start | {} MiB |", broker.resident_bytes() >> 20);
    lateness(&broker, &mut client, due);
    level_lateness(&mut client, due);
    assert_eq!(broker.stop(), Some(0));
}

/// Sends them; what they cost while they wait.
fn waiting(broker: &Process, client: &mut Client, count: u64) {
    send(client, 10, |_| FIRST_MS);
    let before = broker.resident_bytes();
    let (began, cpu) = (Instant::now(), broker.cpu_time());
    send(client, count, |nth| FIRST_MS + nth * HOUR_MS / count);
    let seconds = began.elapsed().as_secs_f64();
    eventually(client, "timerOffsetBehind", "0");
    let us = (broker.cpu_time() - cpu).as_secs_f64() * 1e6 / count as f64;
    println!("| sent a second, CPU of each | {:.0}, {us:.1} µs |", count as f64 / seconds);
    std::thread::sleep(Duration::from_secs(2));
    let grown = broker.resident_bytes().saturating_sub(before);
    println!("| resident memory more (the log's tail too) | {} MiB |", grown >> 20);
    let cpu = broker.cpu_time();
    std::thread::sleep(Duration::from_secs(5));
    let cpu = (broker.cpu_time() - cpu).as_secs_f64() / 5.0;
    println!("| CPU while all wait | {:.2} % of a core |", 100.0 * cpu);
}

fn restart(
    setup: &BrokerSetup,
    broker: &mut Process,
    client: &mut Client,
    count: u64,
) -> (f64, f64) {
    let began = Instant::now();
    assert_eq!(broker.stop(), Some(0));
    let stop = began.elapsed().as_secs_f64();
    let began = Instant::now();
    *broker = setup.start();
    *client = Client::connect(setup.shard_addr(0));
    eventually(client, "timerOffsetBehind", "0");
    let waiting: u64 = info(client, "timerCongestNum").parse().unwrap();
    // Some may have come meanwhile.
    assert!((1..=count + 10).contains(&waiting), "{waiting} of {count} wait");
    (stop, began.elapsed().as_secs_f64())
}

/// So many come within ten seconds.
fn lateness(broker: &Process, client: &mut Client, due: u64) {
    let delivered = |client: &mut Client| info(client, "timerDelivered").parse::<u64>().unwrap();
    let before = delivered(client);
    send(client, due, |nth| 3_000 + nth * 10_000 / due);
    let cpu = broker.cpu_time();
    let end = Instant::now() + Duration::from_secs(60);
    while delivered(client) < before + due && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    let us = (broker.cpu_time() - cpu).as_secs_f64() * 1e6 / due as f64;
    println!("| {due} due within 10 s: late by | {} ms |", info(client, "timerLatenessMs"));
    println!("| CPU of each, delivered | {us:.1} µs |");
}

/// So many of one level, as fast as they can be sent: as fast they are due.
fn level_lateness(client: &mut Client, due: u64) {
    send_all(client, due, |_| "DELAY\u{1}1\u{2}".to_owned());
    let delivered = |client: &mut Client| info(client, "scheduleDelivered").parse::<u64>().unwrap();
    testkit::eventually("all of the level come", || delivered(client) >= due);
    println!("| {due} of a delay level: late by | {} ms |", info(client, "scheduleLatenessMs"));
}

fn send(client: &mut Client, count: u64, delay_ms: impl Fn(u64) -> u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    send_all(client, count, |nth| format!("TIMER_DELIVER_MS\u{1}{}\u{2}", now_ms + delay_ms(nth)));
}

/// Sends messages with these properties.
fn send_all(client: &mut Client, count: u64, properties: impl Fn(u64) -> String) {
    let mut under_way = std::collections::VecDeque::new();
    for nth in 0..count {
        let properties = format!("{}UNIQ_KEY\u{1}{nth:032}", properties(nth));
        let header = SendHeader { properties: &properties, ..message("T") };
        under_way.push_back(client.send(
            request::SEND_MESSAGE_V2,
            0,
            |w| header.write_v2(w),
            &BODY,
        ));
        if under_way.len() == WINDOW {
            let reply = client.answer_to(under_way.pop_front().unwrap());
            assert_eq!(reply.code, 0, "{reply:?}");
        }
    }
    for opaque in under_way {
        assert_eq!(client.answer_to(opaque).code, 0);
    }
}

fn info(client: &mut Client, key: &str) -> String {
    let reply = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
    table.table[key].clone()
}

fn eventually(client: &mut Client, key: &str, value: &str) {
    testkit::eventually(key, || info(client, key) == value);
}
