//! What a message costs that a filter skips, by tag and by SQL92.
//!
//! ```text
//! cargo bench -p broker --bench filters -- --rounds 9 --messages 50000 --save FILE
//! ```
//!
//! One queue of a real `mqbroker` on the first core, all of it in memory; one message in 100 is
//! wanted. Each kind of filter reads the queue from its beginning to its end, in turns, through
//! pulls that look at up to 800 messages each. Counted is the CPU time of the broker's process for
//! each message skipped, the pull's own share included; so a busy machine moves it less than a
//! clock on the wall would. Without `--bench` (under `cargo test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with scale, which also asks for other things")]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::{Client, header};
use protocol::codes::request;
use protocol::headers::{PullHeader, SendHeader};
use servers::Server;

const TOPIC: &str = "Filters";
/// One message in so many is wanted.
const WANTED_IN: usize = 100;
/// Sends in flight while filling.
const DEPTH: usize = 64;

/// The expression type and the expression; all take the same messages.
const FILTERS: [(&str, &str, &str); 4] = [
    ("tag", "TAG", "Rare"),
    ("SQL92, one text", "SQL92", "TAGS = 'Rare'"),
    ("SQL92, one number", "SQL92", "level = 7"),
    (
        "SQL92, four tests",
        "SQL92",
        "level BETWEEN 5 AND 9 AND color IN ('red', 'blue') AND TAGS = 'Rare'",
    ),
];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let number = |name: &str, measuring: usize, smoke: usize| {
        option(name).map_or(if measured { measuring } else { smoke }, |v| v.parse().unwrap())
    };
    let (rounds, messages) = (number("--rounds", 9, 1), number("--messages", 50_000, 2_000));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // No spinning: the process's CPU time is then what the pulls cost.
    let settings = "flushDiskType=ASYNC_FLUSH\nenablePropertyFilter=true\nidleSpinMicros=0\n";
    let server = Server::mqbroker("mqbroker", folder.path(), settings);
    let mut client = Client::connect(&server);
    client.make_topic(TOPIC, 1);
    fill(&mut client, messages);
    let mut nanos: [Vec<f64>; FILTERS.len()] = Default::default();
    for _ in 0..rounds {
        for (nth, (_, kind, expression)) in FILTERS.into_iter().enumerate() {
            let before = server.cpu_s();
            let pulls = read_all(&mut client, kind, expression, messages);
            let spent = (server.cpu_s() - before) * 1e9;
            let skipped = messages - messages / WANTED_IN;
            nanos[nth].push(spent / skipped as f64);
            assert!(pulls <= messages.div_ceil(800), "{pulls} pulls: it was not all in memory");
        }
    }
    let mut text = format!("{:<20} {:>12} {:>12}\n", "filter", "median ns", "least ns");
    for ((name, ..), mut of) in FILTERS.into_iter().zip(nanos) {
        of.sort_by(f64::total_cmp);
        text += &format!("{name:<20} {:>12.0} {:>12.0}\n", of[of.len() / 2], of[0]);
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// `count` messages of 100 bytes to queue 0; every hundredth has the wanted tag.
fn fill(client: &mut Client, count: usize) {
    let body = [b'x'; 100];
    for first in (0..count).step_by(DEPTH) {
        let last = count.min(first + DEPTH);
        for n in first..last {
            let level = n % WANTED_IN;
            let tag = if level == 7 { "Rare" } else { "Usual" };
            let properties = format!(
                "UNIQ_KEY\u{1}7F00000100002A9F0000000000000000\u{2}WAIT\u{1}true\u{2}\
                 TAGS\u{1}{tag}\u{2}color\u{1}red\u{2}level\u{1}{level}\u{2}"
            );
            let header =
                SendHeader { topic: TOPIC, queue_id: 0, properties: &properties, ..header() };
            client.send(request::SEND_MESSAGE_V2, |w| header.write_v2(w), &body);
        }
        for _ in first..last {
            assert_eq!(client.receive().0, 0);
        }
    }
}

/// Reads the queue to its end; how many pulls that took.
fn read_all(client: &mut Client, kind: &str, expression: &str, messages: usize) -> usize {
    let (mut at, mut pulls) = (0, 0);
    while at < i64::try_from(messages).unwrap() {
        let header = PullHeader {
            consumer_group: "bench",
            topic: TOPIC,
            queue_id: 0,
            queue_offset: at,
            max_msg_nums: 32,
            sys_flag: protocol::sys_flag::pull::SUBSCRIPTION,
            expression_type: Some(kind),
            subscription: Some(expression),
            ..PullHeader::default()
        };
        client.send(request::PULL_MESSAGE, |w| header.write(w), &[]);
        at = client.receive_pull();
        pulls += 1;
    }
    pulls
}
