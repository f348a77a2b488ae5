//! Sends of 1 KiB beside Redis with an append-only file, the same client program for both.
//!
//! ```text
//! cargo bench -p broker --bench beside_redis -- --rounds 7 --seconds 2 --save FILE --pairs FILE
//!     --redis PROGRAM      another redis-server (default: the one in PATH)
//! ```
//!
//! Both keep what they acknowledged when the process is killed, and may lose the newest when the
//! machine stops: Redis with `appendfsync everysec` writes before it answers and syncs each second,
//! RingMQ under ASYNC_FLUSH. A message to Redis is `RPUSH` onto one of eight lists, which are
//! deleted after each round: the cheapest way to keep a message there, without an offset, a
//! timestamp or a consumer's place. Servers on the first core, the client on the last. Without
//! `redis-server` this says so and measures RingMQ alone; without `--bench` (under `cargo test`) it
//! is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more loads")]
mod client;
#[path = "send_vs_echo/ratios.rs"]
mod ratios;
#[path = "beside_redis/redis.rs"]
mod redis;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::{Lane, Outcome};
use redis::Redis;
use servers::Server;
use std::fmt::Write as _;

const LOADS: [(usize, usize); 3] = [(1, 1), (64, 1), (16, 8)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let is_measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if is_measured { 7 } else { 1 }, |v| v.parse().unwrap());
    let seconds: f64 =
        option("--seconds").map_or(if is_measured { 2.0 } else { 0.05 }, |v| v.parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ours =
        Server::mqbroker("RingMQ", &folder.path().join("ours"), "flushDiskType=ASYNC_FLUSH\n");
    client::make_topic(ours.addr);
    let program = option("--redis").map_or("redis-server", String::as_str);
    let redis = Redis::start(program, folder.path());
    let mut text = String::from("load   server     messages/s  CPU µs each   p50 µs\n");
    for (connections, depth) in LOADS {
        let (mut mine, mut theirs): (Vec<Outcome>, Vec<Outcome>) = (vec![], vec![]);
        // The first round warms up.
        for round in 0..=rounds {
            let found = redis.as_ref().map(|redis| {
                let found = measure(&redis.server, Lane::Resp, connections, depth, seconds);
                redis.forget();
                found
            });
            let own = measure(&ours, Lane::Remoting, connections, depth, seconds);
            if round > 0 {
                theirs.extend(found);
                mine.push(own);
            }
        }
        for (name, all) in [("Redis", &theirs), ("RingMQ", &mine)] {
            if !all.is_empty() {
                text += &row(connections, depth, name, all);
            }
        }
        let (a, b) = (theirs.iter().map(|it| it.rate), mine.iter().map(|it| it.rate));
        writeln!(text, "       RingMQ beside it: rate {}", ratios::ratio(b.clone(), a.clone()))
            .unwrap();
        testkit::pairs::keep(&format!("redis-{connections}x{depth}"), a.zip(b));
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn measure(server: &Server, lane: Lane, connections: usize, depth: usize, seconds: f64) -> Outcome {
    let before_s = server.cpu_s();
    let mut outcome = client::run(server.addr, lane, connections, depth, seconds);
    server.drain();
    outcome.cpu_us = (server.cpu_s() - before_s) * 1e6 / outcome.messages;
    assert!(outcome.errors == 0.0, "{} refused {} sends", server.name, outcome.errors);
    outcome
}

fn row(connections: usize, depth: usize, name: &str, all: &[Outcome]) -> String {
    let of = |field: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = all.iter().map(field).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let load = format!("{connections}×{depth}");
    let (rate, cpu, p50) = (of(|o| o.rate), of(|o| o.cpu_us), of(|o| o.p50_us));
    format!("{load:<6} {name:<8} {rate:>12.0} {cpu:>12.2} {p50:>8.1}\n")
}
