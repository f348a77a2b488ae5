//! What a send costs beyond its bytes: the real `mqbroker` process beside an echo of the same frames on the same ring and
//! executor, one client for both, interleaved rounds; each server pinned to the first core, the client to the last.
//!
//! ```text
//! cargo bench -p broker --bench send_vs_echo -- --rounds 5 --seconds 2 --save FILE
//!     --dir FOLDER                    where the broker's store goes (default: the build's temporary folder)
//!     --only 1x1,16x8                 some of the loads
//!     --also NAME=HOST:PORT,PID       another broker that is running already (Apache RocketMQ), same client
//! ```
//!
//! Durability: ASYNC_FLUSH, acknowledged from memory. Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking and prints its table")]

#[path = "send_vs_echo/client.rs"]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with sync_flush")]
mod servers;

use client::Outcome;
use servers::Server;
use std::collections::BTreeMap;

const LOADS: [(usize, usize); 6] = [(1, 1), (16, 1), (64, 1), (1, 64), (16, 8), (64, 32)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds = option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds = option("--seconds").map_or(if measured { 1.0 } else { 0.1 }, |v| v.parse().unwrap());
    let loads = if measured { &LOADS[..] } else { &LOADS[1..2] };
    let only = option("--only").cloned();
    let wanted = |(c, d): &&(usize, usize)| only.as_ref().is_none_or(|only| only.split(',').any(|o| o == format!("{c}x{d}")));
    let folder = tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let mut servers = vec![Server::echo(), Server::mqbroker("mqbroker", folder.path(), "flushDiskType=ASYNC_FLUSH\n")];
    servers.extend(option("--also").map(|also| Server::also(also)));
    servers.iter().for_each(|server| client::make_topic(server.addr));
    let mut text = head();
    for &(connections, depth) in loads.iter().filter(wanted) {
        let mut results: BTreeMap<usize, Vec<Outcome>> = BTreeMap::new();
        for _ in 0..rounds {
            for (index, server) in servers.iter().enumerate() {
                results.entry(index).or_default().push(measure(server, connections, depth, seconds));
            }
        }
        for (index, server) in servers.iter().enumerate() {
            text += &row(connections, depth, &server.name, &results[&index], &results[&0]);
        }
    }
    for server in &servers {
        text += &format!("resident after the run: {:<9} {:>7} KiB\n", server.name, server.resident_kib());
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn measure(server: &Server, connections: usize, depth: usize, seconds: f64) -> Outcome {
    let before = server.cpu_s();
    let mut outcome = client::run(server.addr, connections, depth, seconds);
    outcome.cpu_us = (server.cpu_s() - before) * 1e6 / outcome.messages;
    outcome
}

fn head() -> String {
    let names = ["load", "server", "messages/s", "CPU µs/message", "RT p50 µs", "RT p99 µs", "errors", "rate vs echo"];
    let [load, server, rate, cpu, p50, p99, errors, share] = names;
    format!("{load:>6}  {server:<9} {rate:>11} {cpu:>15} {p50:>10} {p99:>10} {errors:>7} {share:>13}\n")
}

fn row(connections: usize, depth: usize, name: &str, all: &[Outcome], echo: &[Outcome]) -> String {
    let of = |field: fn(&Outcome) -> f64| median(all.iter().map(field).collect());
    let load = format!("{connections}×{depth}");
    let share = 100.0 * of(|o| o.rate) / median(echo.iter().map(|o| o.rate).collect());
    let (rate, cpu, p50, p99) = (of(|o| o.rate), of(|o| o.cpu_us), of(|o| o.p50_us), of(|o| o.p99_us));
    let errors: f64 = all.iter().map(|o| o.errors).sum();
    format!("{load:>6}  {name:<9} {rate:>11.0} {cpu:>15.2} {p50:>10.1} {p99:>10.1} {errors:>7.0} {share:>12.0}%\n")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
