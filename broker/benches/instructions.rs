//! Instructions that the broker spends on one message, counted by callgrind in the real `mqbroker`,
//! beside the baseline that is kept here.
//!
//! ```text
//! cargo bench -p broker --bench instructions              compares with benches/instructions/baseline.txt
//! cargo bench -p broker --bench instructions -- --record  writes it anew: commit it with the change that moved it
//!     --only NAME     one path
//!     --keep FOLDER   keeps callgrind's files: `callgrind_annotate FILE` says where the instructions go
//! ```
//!
//! What is counted: `Handler::on_frame` or `Handler::on_native_frame`, and all below it, in user
//! space, from the frame in the receive buffer to the answer in the connection's queue. Two runs of
//! different length, their difference through the messages between them: what happens once does not
//! count. Instructions are no time, but they are the same on a busy machine and on a quiet one; a
//! few in a thousand come and go with hash seeds. Counts move with the compiler too: a change of
//! toolchain records anew.
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
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use baseline::Baseline;
use client::Lane;
use std::path::{Path, PathBuf};

/// A path through the broker.
struct Measured {
    /// In the baseline.
    name: &'static str,
    lane: Lane,
    /// One request of it, answered with SUCCESS.
    request: fn() -> Vec<u8>,
    /// Messages of a request.
    messages: usize,
}

const PATHS: [Measured; 3] = [
    Measured {
        name: "remoting-send-1k",
        lane: Lane::Remoting,
        request: || client::send_frame(0),
        messages: 1,
    },
    Measured {
        name: "native-send-1k",
        lane: Lane::Native,
        request: || client::native_frame(0, 1, 1024),
        messages: 1,
    },
    Measured {
        name: "native-batch-100x100",
        lane: Lane::Native,
        request: || client::native_frame(0, 100, 100),
        messages: 100,
    },
];

/// Requests of the short and of the long run.
const MESSAGES: [usize; 2] = [2_000, 10_000];
/// The same for the smoke run.
const MESSAGES_SMOKE: [usize; 2] = [16, 32];

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let option =
        |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
    if !callgrind::is_there() {
        println!(
            "NOT MEASURED: there is no valgrind on this machine, so no instruction was counted \
                and nothing was compared. Fix: install valgrind."
        );
        return;
    }
    let measured = has("--bench");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.txt");
    let mut baseline = Baseline::load(&path);
    let keep = option("--keep").map(PathBuf::from);
    for Measured { name, lane, request, messages } in
        PATHS.iter().filter(|path| option("--only").is_none_or(|only| only == path.name))
    {
        let runs = if measured { MESSAGES } else { MESSAGES_SMOKE };
        let [short, long] = runs.map(|requests| {
            callgrind::count(
                *lane,
                &request(),
                requests,
                keep.as_deref().map(|folder| folder.join(format!("{name}-{requests}.callgrind"))),
            )
        });
        let per_message =
            long.saturating_sub(short) as f64 / ((runs[1] - runs[0]) * messages) as f64;
        assert!(
            per_message > 100.0,
            "{name}: {per_message} instructions per message: nothing was counted"
        );
        if measured {
            println!("{}", baseline.compare(name, per_message));
            baseline.set(name, per_message);
        }
    }
    if has("--record") {
        assert!(
            measured,
            "only the bench profile is recorded: cargo bench -p broker --bench instructions -- \
                --record"
        );
        baseline.save(&path);
    }
}
