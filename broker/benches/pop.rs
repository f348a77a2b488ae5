//! POP: what it costs to pop and acknowledge, beside Apache RocketMQ's broker in the same run.
//!
//! ```text
//! cargo bench -p broker --bench pop -- --also apache-default=127.0.0.1:20911,PID --save FILE
//!     --part rate|latency|held|memory   one part
//!     --rounds N                        rounds that take turns
//!     --messages N                      messages of a round of `rate`
//!     --unacknowledged N                messages of `memory`, popped one by one and in 32s
//!     --at-once 1|32                    only the pops of `memory` that ask for so many
//!     --pairs FILE                      keeps each round of `rate` for a campaign
//!     --set KEY=VALUE,KEY=VALUE         lines of our broker's configuration
//! ```
//!
//! `bash bench-results/peers/apache.sh FOLDER default async 0` starts Apache's broker and prints
//! its PID. The name before `=` is the broker's own: receipts have it.
//!
//! | part | what |
//! |---|---|
//! | rate | pops of 32 messages of 1 KiB from 8 queues, each acknowledged alone or together, on 4 connections; CPU to the last answer, and until everything is judged: the invisible time is over |
//! | latency | a pop of 32 that wait in memory beside a pull of the same, by turns on one connection, p50 |
//! | held | CPU of an append while 1 or 1,000 pops of another topic wait |
//! | memory | resident memory of a message that is popped and not acknowledged; ours alone |
//!
//! Servers are on the first core, the client on the last. Without `--bench` (under `cargo test`) it
//! is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with scale, which also asks for other things")]
mod client;
#[path = "pop/consumer.rs"]
mod consumer;
#[path = "pop/held.rs"]
mod held;
#[path = "pop/latency.rs"]
mod latency;
#[path = "pop/memory.rs"]
mod memory;
#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which sends")]
mod peer;
#[path = "pop/rate.rs"]
mod rate;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has an echo")]
mod servers;

use servers::Server;

/// How much of everything.
pub(crate) struct Sizes {
    /// Rounds that take turns.
    pub rounds: usize,
    /// Messages of a round of `rate`.
    pub messages: usize,
    /// For how long what `rate` pops is invisible, in milliseconds.
    pub invisible_ms: i64,
    /// Pops and pulls of a round of `latency`.
    pub pops: usize,
    /// Pops that wait.
    pub held: usize,
    /// Appends that are measured beside them.
    pub appends: usize,
    /// Messages that are not acknowledged.
    pub unacknowledged: usize,
    /// How many a pop of `memory` asks for, if only one of the two is wanted.
    pub at_once: Option<usize>,
}

type Part = fn(&[Server], &Sizes) -> String;
const PARTS: [(&str, Part); 4] =
    [("rate", rate::run), ("latency", latency::run), ("held", held::run), ("memory", memory::run)];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let is_measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measured: usize, smoke: usize| {
        option(name).map_or(if is_measured { measured } else { smoke }, |v| v.parse().unwrap())
    };
    let sizes = Sizes {
        rounds: number("--rounds", 3, 1),
        messages: number("--messages", 200_000, 640),
        invisible_ms: if is_measured { 10_000 } else { 1_000 },
        pops: number("--pops", 2_000, 20),
        held: number("--held", 1_000, 50),
        appends: number("--appends", 50_000, 500),
        unacknowledged: number("--unacknowledged", 320_000, 640),
        at_once: option("--at-once").map(|n| n.parse().unwrap()),
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let more = option("--set").map_or(String::new(), |set| set.replace(',', "\n"));
    let settings = format!("flushDiskType=ASYNC_FLUSH\n{more}");
    let mut servers = vec![Server::mqbroker("broker-a", folder.path(), &settings)];
    servers.extend(option("--also").map(|also| Server::also(also)));
    let mut text = String::new();
    for (name, part) in PARTS {
        if option("--part").is_none_or(|wanted| wanted == name) {
            let rows = part(&servers, &sizes);
            print!("{rows}");
            text += &rows;
        }
    }
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
