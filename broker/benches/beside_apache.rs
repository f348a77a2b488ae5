//! What delays, timers, transactions and filters cost, beside Apache RocketMQ's broker in the same
//! run, with the same client, messages and settings.
//!
//! ```text
//! cargo bench -p broker --bench beside_apache -- --apache target/conformance/apache
//! ```
//!
//! `cargo run -p conformance -- --against apache --only send` collects the jars that `--apache`
//! names; without it RingMQ is alone. `--part levels|timers|committed|open|filters|start` chooses,
//! `--count`, `--open`, `--span-s`, `--log-gib` and `--starts` say how much; `--java` names the
//! program, `--save FILE` keeps the table, `--pairs FILE` one line of each figure for a campaign.
//! Each broker gets a quarter of `--count` plain messages first, so that Java has compiled what it
//! runs.
//!
//! | part | what |
//! |---|---|
//! | levels, timers | so many messages wait and come over the span, on 18 delay levels or at any time |
//! | committed | so many transactions begin, and are committed |
//! | open | so many do not end, and are asked about three times each |
//! | filters | CPU of a message that a pull's filter skips, 1 in 100 being wanted |
//! | start | seconds from the start to the first message, after a kill with `--log-gib` in the log |
//!
//! CPU is that of the broker's process. One broker runs at a time, but for `filters`, whose rounds
//! take turns. Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "beside_apache/brokers.rs"]
mod brokers;
#[path = "beside_apache/filters.rs"]
mod filters;
#[path = "beside_apache/load.rs"]
mod load;
#[path = "beside_apache/restart.rs"]
mod restart;
#[path = "beside_apache/table.rs"]
mod table;
#[path = "beside_apache/transactions.rs"]
mod transactions;
#[path = "beside_apache/waiting.rs"]
mod waiting;

use brokers::Brokers;
use table::Table;

/// How much of everything.
pub(crate) struct Sizes {
    /// Messages that wait, and transactions that are committed.
    pub count: u64,
    /// Transactions that do not end.
    pub open: u64,
    /// Seconds until the first of those that wait is due.
    pub first_s: u64,
    /// Seconds over which they are due.
    pub span_s: u64,
    /// Messages that filters look at.
    pub filtered: u64,
    /// Rounds of the filters.
    pub rounds: usize,
    /// Bytes in the log before a start.
    pub log_bytes: u64,
    /// Kills and starts.
    pub starts: u64,
}

type Part = fn(&Brokers, &Sizes, &mut Table);
const PARTS: [(&str, Part); 6] = [
    ("levels", waiting::levels),
    ("timers", waiting::timers),
    ("committed", transactions::committed),
    ("open", transactions::open),
    ("filters", filters::run),
    ("start", restart::restart),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let is_measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measured: u64, smoke: u64| {
        option(name).map_or(if is_measured { measured } else { smoke }, |v| v.parse().unwrap())
    };
    let brokers = Brokers {
        apache_jars: option("--apache").map(Into::into),
        java: option("--java").map_or("java", String::as_str).to_owned(),
    };
    let sizes = Sizes {
        count: number("--count", 1_000_000, 300),
        open: number("--open", 100_000, 200),
        first_s: number("--first-s", 90, 2),
        span_s: number("--span-s", 72, 0),
        filtered: number("--filtered", 100_000, 2_000),
        rounds: usize::try_from(number("--rounds", 9, 1)).unwrap(),
        log_bytes: number("--log-gib", 10, 0) << 30,
        starts: number("--starts", 5, 1),
    };
    let wanted = option("--part");
    assert!(
        wanted.is_none_or(|wanted| PARTS.iter().any(|(name, _)| name == wanted)),
        "no part is called {wanted:?}"
    );
    let mut text = String::new();
    for (name, part) in PARTS {
        if wanted.is_none_or(|wanted| wanted == name) {
            let mut table = Table::default();
            part(&brokers, &sizes, &mut table);
            let part_text = format!("{name}\n\n{table}\n");
            print!("{part_text}");
            text += &part_text;
        }
    }
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}
