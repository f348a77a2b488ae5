//! What the work behind the answers does to the slowest sends: p99.9 and the longest send of 16
//! senders while the log's writer alone is at work, and with the index, checkpoints, new files and
//! retention one by one, each made to come far more often than by default.
//!
//! ```text
//! cargo bench -p broker --bench stalls -- --rounds 5 --seconds 2 --dir FOLDER --save FILE
//! ```
//!
//! One real `mqbroker` a row (ASYNC_FLUSH, `direct`) on the first core, the client on the last,
//! rounds interleaved, medians. An echo of the same frames tells what the machine itself does. What
//! a broker still writes behind its answers does not reach into another's turn: it has a second of
//! rest. Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which prints more of an outcome")]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::Outcome;
use servers::Server;
use std::time::Duration;

const SENDERS: usize = 16;

/// Nothing but the log's writer: the other work is off, or beyond the run.
const WRITER_ALONE: &str =
    "messageIndexEnable=false\nflushIntervalConsumeQueue=60000\ncleanResourceInterval=600000\n";

/// What is at work, and what is set for it behind `WRITER_ALONE`.
const ROWS: [(&str, &str); 6] = [
    ("the writer alone", ""),
    ("+ the index", "messageIndexEnable=true\n"),
    ("+ checkpoints, each 50 ms", "flushIntervalConsumeQueue=50\n"),
    ("+ fdatasync, each 20 ms", "flushIntervalCommitLog=20\n"),
    ("+ new files of 16 MiB", "mappedFileSizeCommitLog=16777216\n"),
    (
        "+ new files, retention",
        "mappedFileSizeCommitLog=16777216\ndiskMaxUsedSpaceRatio=10\ncleanResourceInterval=1000\n\
         deleteCommitLogFilesInterval=10\n",
    ),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds =
        option("--seconds").map_or(if measured { 2.0 } else { 0.05 }, |v| v.parse().unwrap());
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let start = |(nth, (name, settings)): (usize, &(&str, &str))| {
        let folder = folder.path().join(nth.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        Server::mqbroker(name, &folder, &format!("{WRITER_ALONE}{settings}"))
    };
    let mut servers = vec![Server::echo()];
    servers.extend(ROWS.iter().enumerate().map(start));
    servers.iter().skip(1).for_each(|server| client::make_topic(server.addr));
    let mut results: Vec<Vec<Outcome>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for (server, results) in servers.iter().zip(&mut results) {
            let lane = client::Lane::Remoting;
            let outcome = client::run(server.addr, lane, SENDERS, 1, seconds);
            assert!(outcome.errors < 1.0, "{}: {} sends failed", server.name, outcome.errors);
            // The first round warms up: topics, files, caches.
            if round > 0 || !measured {
                results.push(outcome);
            }
            std::thread::sleep(Duration::from_secs(u64::from(measured)));
        }
    }
    for server in &mut servers {
        server.stop();
    }
    let text = table(&results);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn table(results: &[Vec<Outcome>]) -> String {
    let mut text = format!(
        "{:<26} {:>11} {:>10} {:>10} {:>12} {:>11}\n",
        "at work, 16×1", "messages/s", "RT p50 µs", "RT p99 µs", "RT p99.9 µs", "longest µs"
    );
    let names = std::iter::once("an echo, no broker").chain(ROWS.iter().map(|(name, _)| *name));
    for (name, rounds) in names.zip(results) {
        let of = |field: fn(&Outcome) -> f64| median(rounds.iter().map(field).collect());
        text += &format!(
            "{name:<26} {:>11.0} {:>10.1} {:>10.1} {:>12.1} {:>11.1}\n",
            of(|o| o.rate),
            of(|o| o.p50_us),
            of(|o| o.p99_us),
            of(|o| o.p999_us),
            of(|o| o.max_us)
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
