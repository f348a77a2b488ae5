//! What a send costs beyond its bytes, in both lanes: the real `mqbroker` process beside an echo of
//! the same frames on the same ring and executor, one client for all, interleaved rounds; each
//! server pinned to the first core, the client to the last.
//!
//! ```text
//! cargo bench -p broker --bench send_vs_echo -- --rounds 5 --seconds 2 --save FILE
//!     --dir FOLDER                    where the broker's store goes (default: the build's temporary folder)
//!     --only 1x1,16x8                 some of the loads
//!     --lane remoting|native          one lane
//!     --warm 30                       each broker gets 16×8 sends for so many seconds first: until its cache is full
//!     --no-spin                       also the broker with idleSpinMicros=0: its CPU without looking for work
//!     --also NAME=HOST:PORT,PID       another broker that is running already (Apache RocketMQ), same client
//! ```
//!
//! Durability: ASYNC_FLUSH, acknowledged from memory that outlives the process. What a server puts
//! off is done, and counted as its CPU, before the next one begins. Without `--bench` (under `cargo
//! test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with native, which fetches and spins")]
mod client;
#[path = "send_vs_echo/ratios.rs"]
mod ratios;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with sync_flush")]
mod servers;

use client::{Lane, Outcome};
use servers::Server;
use std::collections::BTreeMap;

const LOADS: [(usize, usize); 6] = [(1, 1), (16, 1), (64, 1), (1, 64), (16, 8), (64, 32)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds = option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds =
        option("--seconds").map_or(if measured { 1.0 } else { 0.1 }, |v| v.parse().unwrap());
    let loads = if measured { &LOADS[..] } else { &LOADS[1..2] };
    let only = option("--only").cloned();
    let wanted = |(c, d): &&(usize, usize)| {
        only.as_ref().is_none_or(|only| only.split(',').any(|o| o == format!("{c}x{d}")))
    };
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let mut servers = vec![
        Server::echo(),
        Server::mqbroker("mqbroker", folder.path(), "flushDiskType=ASYNC_FLUSH\n"),
    ];
    if args.iter().any(|arg| arg == "--no-spin") {
        let settings = "flushDiskType=ASYNC_FLUSH\nidleSpinMicros=0\n";
        servers.push(Server::mqbroker("no idle spin", &folder.path().join("no-spin"), settings));
    }
    servers.extend(option("--also").map(|also| Server::also(also)));
    let also = option("--also").and_then(|_| servers.last()).map(|server| server.name.clone());
    servers.iter().for_each(|server| client::make_topic(server.addr));
    let warm_seconds: f64 = option("--warm").map_or(0.0, |v| v.parse().unwrap());
    for server in servers.iter().skip(1).filter(|_| warm_seconds > 0.0) {
        client::run(server.addr, Lane::Remoting, 16, 8, warm_seconds);
        server.drain();
    }
    let rows = rows(&servers, option("--lane").map(String::as_str));
    let mut text = head();
    for &(connections, depth) in loads.iter().filter(wanted) {
        let mut results: BTreeMap<usize, Vec<Outcome>> = BTreeMap::new();
        for _ in 0..rounds {
            for (index, row) in rows.iter().enumerate() {
                results.entry(index).or_default().push(measure(row, connections, depth, seconds));
            }
        }
        for (index, one) in rows.iter().enumerate() {
            text += &row(connections, depth, &one.name, &results[&index], &results[&one.echo]);
        }
        // Beside the last server of the first lane: another broker, where one takes part.
        if let Some(also) = rows.iter().position(|row| Some(&row.name) == also.as_ref()) {
            for (index, one) in rows.iter().enumerate().take(also) {
                text += &beside(&one.name, &results[&index], &results[&also]);
            }
        }
    }
    for server in &servers {
        text += &format!(
            "resident after the run: {:<9} {:>7} KiB\n",
            server.name,
            server.resident_kib()
        );
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// A server in one lane.
struct Row<'s> {
    name: String,
    server: &'s Server,
    lane: Lane,
    /// The row that it is a share of.
    echo: usize,
}

/// Remoting of all servers, then the native lane of ours; each lane's first row is its echo.
fn rows<'s>(servers: &'s [Server], only: Option<&str>) -> Vec<Row<'s>> {
    let wants = |lane: &str| only.is_none_or(|only| only == lane);
    let remoting = servers.iter().map(|server| Row {
        name: server.name.clone(),
        server,
        lane: Lane::Remoting,
        echo: 0,
    });
    let mut rows: Vec<Row<'_>> = remoting.filter(|_| wants("remoting")).collect();
    let echo = rows.len();
    let native = servers.iter().take(2).map(|server| Row {
        name: format!("{} native", server.name),
        server,
        lane: Lane::Native,
        echo,
    });
    rows.extend(native.filter(|_| wants("native")));
    rows
}

fn measure(row: &Row<'_>, connections: usize, depth: usize, seconds: f64) -> Outcome {
    let before = row.server.cpu_s();
    let mut outcome = client::run(row.server.addr, row.lane, connections, depth, seconds);
    row.server.drain();
    outcome.cpu_us = (row.server.cpu_s() - before) * 1e6 / outcome.messages;
    outcome
}

fn head() -> String {
    let names = [
        "load",
        "server",
        "messages/s",
        "CPU µs/message",
        "RT p50 µs",
        "RT p99 µs",
        "errors",
        "rate vs echo",
    ];
    let [load, server, rate, cpu, p50, p99, errors, share] = names;
    format!(
        "{load:>6}  {server:<15} {rate:>11} {cpu:>15} {p50:>10} {p99:>10} {errors:>7} {share:>13}\n"
    )
}

fn row(connections: usize, depth: usize, name: &str, all: &[Outcome], echo: &[Outcome]) -> String {
    let of = |field: fn(&Outcome) -> f64| median(all.iter().map(field).collect());
    let load = format!("{connections}×{depth}");
    let share = 100.0 * of(|o| o.rate) / median(echo.iter().map(|o| o.rate).collect());
    let (rate, cpu, p50, p99) =
        (of(|o| o.rate), of(|o| o.cpu_us), of(|o| o.p50_us), of(|o| o.p99_us));
    let errors: f64 = all.iter().map(|o| o.errors).sum();
    format!(
        "{load:>6}  {name:<15} {rate:>11.0} {cpu:>15.2} {p50:>10.1} {p99:>10.1} {errors:>7.0} \
            {share:>12.0}%\n"
    )
}

fn beside(name: &str, ours: &[Outcome], theirs: &[Outcome]) -> String {
    let of = |field: fn(&Outcome) -> f64| {
        ratios::ratio(ours.iter().map(field), theirs.iter().map(field))
    };
    let (rate, cpu, p50) = (of(|o| o.rate), of(|o| o.cpu_us), of(|o| o.p50_us));
    format!("        {name} beside it: rate {rate}, CPU a message {cpu}, p50 {p50}\n")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
