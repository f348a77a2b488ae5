//! Instructions that the broker spends on one message, counted by callgrind in the real `mqbroker`,
//! beside the baseline that is kept here. More than 2 % above it ends with a non-zero status.
//!
//! ```text
//! cargo bench -p broker --bench instructions              compares with benches/instructions/baseline.txt
//! cargo bench -p broker --bench instructions -- --record  writes it anew: commit it with the change that moved it
//!     --only NAME     one path
//!     --keep FOLDER   keeps callgrind's files: `callgrind_annotate FILE` says where the instructions go
//! ```
//!
//! What is counted: the functions named in `profile.rs` and all below them, in user space: from the
//! frame in the receive buffer to the answer in the connection's queue, the end of the turn, the
//! answers that wait for the disk, and the keys that go into the index later. Two runs of different
//! length, their difference through the messages between them: what happens once does not count.
//! Instructions are no time, but they are the same on a busy machine and on a quiet one; a few in a
//! thousand come and go with hash seeds and with the number of idle turns. Counts move with the
//! compiler too: a change of toolchain records anew.
//!
//! The broker spins instead of sleeping: under valgrind a thread that sleeps in io_uring_enter
//! would keep all others from running. Without `--bench` (under `cargo test`) it is a smoke run
//! that compares nothing.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "instructions/baseline.rs"]
mod baseline;
#[path = "instructions/callgrind.rs"]
mod callgrind;
#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which measures time")]
mod client;
#[path = "instructions/profile.rs"]
mod profile;

use baseline::{Baseline, PerMessage};
use client::Lane;
use protocol::codes::request;
use protocol::remoting::{CommandHead, ExtWriter, write_command};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A path through the broker.
struct Measured {
    /// In the baseline.
    name: &'static str,
    lane: Lane,
    /// `key=value` of its own.
    settings: &'static [&'static str],
    /// Messages of 1 KiB that are stored before it begins.
    stored_first: usize,
    /// More of them for each request of the long run: it takes them.
    taken: usize,
    /// One request of it, answered with SUCCESS.
    request: fn() -> Vec<u8>,
    /// Messages of a request.
    messages: usize,
    /// Requests of the short and of the long run.
    requests: [usize; 2],
    /// How many turns go by for a message depends on the disk or on the machine's other work: the
    /// turn's end is shown and not compared.
    turns_vary: bool,
}

const SENDS: [usize; 2] = [2_000, 10_000];
/// Fewer, because each waits for the disk.
const SYNC_SENDS: [usize; 2] = [800, 4_000];
/// Fewer, because each answer has 32 KiB.
const READS: [usize; 2] = [800, 4_000];
/// Messages of one read.
const READ_MESSAGES: u16 = 32;
/// The same for the smoke run: so far apart that what a broker does beside (saving its tables) does
/// not hide them.
const SMOKE: [usize; 2] = [16, 216];
/// What it runs: each takes seconds to start under valgrind.
const SMOKED: [&str; 3] = ["remoting-send-1k", "native-batch-100x100-sync", "remoting-pop-32x1k"];

const SYNC: &[&str] = &["flushDiskType=SYNC_FLUSH"];

/// Pops take other messages each time.
const POPS: [usize; 2] = [96, 992];

const PATHS: [Measured; 9] = [
    send("remoting-send-1k", Lane::Remoting, &[], || client::send_frame(0), 1, SENDS),
    send("native-send-1k", Lane::Native, &[], || client::native_frame(0, 1, 1024), 1, SENDS),
    send(
        "native-batch-100x100",
        Lane::Native,
        &[],
        || client::native_frame(0, 100, 100),
        100,
        SENDS,
    ),
    send("remoting-send-1k-sync", Lane::Remoting, SYNC, || client::send_frame(0), 1, SYNC_SENDS),
    send(
        "native-send-1k-sync",
        Lane::Native,
        SYNC,
        || client::native_frame(0, 1, 1024),
        1,
        SYNC_SENDS,
    ),
    send(
        "native-batch-100x100-sync",
        Lane::Native,
        SYNC,
        || client::native_frame(0, 100, 100),
        100,
        SYNC_SENDS,
    ),
    read("remoting-pull-32x1k", Lane::Remoting, || client::pull_frame(READ_MESSAGES)),
    read("native-fetch-32x1k", Lane::Native, || client::fetch_frame(READ_MESSAGES.into())),
    Measured {
        taken: READ_MESSAGES as usize,
        requests: POPS,
        ..read("remoting-pop-32x1k", Lane::Remoting, pop_frame)
    },
];

const fn send(
    name: &'static str,
    lane: Lane,
    settings: &'static [&'static str],
    request: fn() -> Vec<u8>,
    messages: usize,
    requests: [usize; 2],
) -> Measured {
    let turns_vary = !settings.is_empty();
    let (stored_first, taken) = (0, 0);
    Measured { name, lane, settings, stored_first, taken, request, messages, requests, turns_vary }
}

const fn read(name: &'static str, lane: Lane, request: fn() -> Vec<u8>) -> Measured {
    let stored_first = READ_MESSAGES as usize;
    Measured {
        name,
        lane,
        settings: &[],
        stored_first,
        taken: 0,
        request,
        messages: READ_MESSAGES as usize,
        requests: READS,
        turns_vary: true,
    }
}

/// A pop of messages that nobody acknowledges while it is measured.
fn pop_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    let head = CommandHead { code: request::POP_MESSAGE, opaque: 1, ..CommandHead::default() };
    let ext = |ext: &mut ExtWriter<'_>| {
        ext.str("consumerGroup", "bench");
        ext.str("topic", client::TOPIC);
        ext.int("queueId", 0);
        ext.int("maxMsgNums", i64::from(READ_MESSAGES));
        ext.int("invisibleTime", 600_000);
        ext.int("pollTime", 0);
        ext.int("bornTime", 0);
        ext.int("initMode", 0);
        ext.str("exp", "*");
        ext.str("expType", "TAG");
        ext.bool("order", false);
    };
    write_command(&mut frame, &head, ext, b"");
    frame
}

/// Parts that differ from run to run.
fn left_out(path: &Measured) -> Vec<&'static str> {
    let parts = [
        (path.turns_vary, profile::TURN_END),
        // Batches bring more than the index keeps up with.
        (path.messages > 1, profile::INDEX),
    ];
    parts.iter().filter(|(varies, _)| *varies).map(|(_, part)| *part).collect()
}

/// Instructions per message, by two runs of different length.
fn measure(path: &Measured, requests: [usize; 2], keep: Option<&Path>) -> PerMessage {
    let long = requests[1];
    let [short, long] = requests.map(|requests| {
        let keep = keep.map(|folder| folder.join(format!("{}-{requests}.callgrind", path.name)));
        callgrind::count(path, requests, path.stored_first + path.taken * long, keep)
    });
    let messages = ((requests[1] - requests[0]) * path.messages) as f64;
    let mut per_message = PerMessage::default();
    for (found, (long, short)) in per_message.iter_mut().zip(long.iter().zip(short)) {
        *found = (*long as f64 - short as f64) / messages;
    }
    per_message
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let option =
        |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    if !callgrind::is_there() {
        println!(
            "NOT MEASURED: there is no valgrind on this machine, so no instruction was counted \
                and nothing was compared. Fix: install valgrind."
        );
        return ExitCode::SUCCESS;
    }
    let (measured, records) = (has("--bench"), has("--record"));
    assert!(
        measured || !records,
        "only the bench profile is recorded: cargo bench -p broker --bench instructions -- --record"
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.txt");
    let mut baseline = Baseline::load(&file);
    let keep = option("--keep").map(PathBuf::from);
    keep.iter().for_each(|folder| std::fs::create_dir_all(folder).unwrap());
    let mut worse = vec![];
    let is_chosen = |path: &&Measured| match option("--only") {
        Some(only) => only == path.name,
        None => measured || SMOKED.contains(&path.name),
    };
    for path in PATHS.iter().filter(is_chosen) {
        let requests = if measured { path.requests } else { SMOKE };
        let per_message = measure(path, requests, keep.as_deref());
        let all: f64 = per_message.iter().sum();
        assert!(all > 10.0, "{}: {per_message:?} per message: nothing was counted", path.name);
        if measured {
            let (line, is_worse) = baseline.compare(path.name, &per_message, &left_out(path));
            println!("{line}");
            worse.extend(is_worse.then_some(path.name));
            baseline.set(path.name, per_message);
        }
    }
    if records {
        baseline.save(&file);
    } else if !worse.is_empty() {
        println!(
            "FAILED: more than 2 % above the baseline: {}. Fix: mend it, or record anew with the \
                reason in the commit.",
            worse.join(", ")
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
