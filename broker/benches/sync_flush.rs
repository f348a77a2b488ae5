//! What SYNC_FLUSH makes of the disk: the rate of N senders beside what N / (R + 1.5 F) allows, R
//! and F measured in the same run.
//!
//! ```text
//! cargo bench -p broker --bench sync_flush -- --rounds 5 --seconds 1 --dir FOLDER --save FILE
//!     --load 16x8     one load: connections, and messages in flight on each
//!     --beside FILE   another build of mqbroker takes part in every round, as "other"
//!     --direct        not the rows of `mmap`
//!     --pairs FILE    keeps each round's bound and rate for a campaign
//!     --cache BYTES   tailCacheBytes of this build's brokers (default: auto, which takes new memory
//!                     for a minute of this load, and that has its price)
//! ```
//!
//! R: mean time of a send without a flush (the same broker with ASYNC_FLUSH, the same senders). F:
//! mean time of one durable write of as many bytes as a flush carried (one in flight, from this
//! process, into zeros, when the brokers have ended; the same between the rounds is printed beside
//! it). 1.5 F because a message meets a flush half done on average and waits for the next one. The
//! kernel's workers for the broker's rings (io-wq) are counted by their wake-ups. Real `mqbroker`
//! processes on the first core, the client on the last, rounds interleaved; what a broker puts off
//! is done, and counted as its CPU, before the next one begins. Without `--bench` (under `cargo
//! test`) it is a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which prints more of an outcome")]
mod client;
#[path = "send_vs_echo/ratios.rs"]
mod ratios;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::Outcome;
use rt::real::{Core, CorePlacement, available_cores, launch};
use rt::ring::RingConfig;
use rt::{AppendBuf, BufSlice, File, OpenMode, Runtime};
use servers::Server;
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

/// Connections, and messages that each has in flight.
const LOADS: [(usize, usize); 5] = [(1, 1), (4, 1), (16, 1), (64, 1), (16, 8)];
const KINDS: [(&str, &str); 4] = [
    ("ASYNC direct", "flushDiskType=ASYNC_FLUSH\nlogBackend=direct\n"),
    ("SYNC direct", "flushDiskType=SYNC_FLUSH\nlogBackend=direct\n"),
    ("ASYNC mmap", "flushDiskType=ASYNC_FLUSH\nlogBackend=mmap\n"),
    ("SYNC mmap", "flushDiskType=SYNC_FLUSH\nlogBackend=mmap\n"),
];
/// Those that another build takes part with.
const OTHER_KINDS: [(&str, &str); 2] =
    [("ASYNC other", KINDS[ASYNC_DIRECT].1), ("SYNC other", KINDS[SYNC_DIRECT].1)];
const ASYNC_DIRECT: usize = 0;
const SYNC_DIRECT: usize = 1;

/// One kind's rounds with N senders.
#[derive(Default)]
struct Results {
    rounds: Vec<Outcome>,
    worker_wakeups: Vec<f64>,
    messages_per_flush: f64,
    bytes_per_write: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap());
    let seconds =
        option("--seconds").map_or(if measured { 1.0 } else { 0.1 }, |v| v.parse().unwrap());
    let all = if measured { &LOADS[..] } else { &LOADS[2..3] };
    let only = option("--load").map(|text| text.split_once('x').unwrap());
    let only = only.map(|(conns, depth)| [(conns.parse().unwrap(), depth.parse().unwrap())]);
    let loads = only.as_ref().map_or(all, |load| &load[..]);
    let other = option("--beside").map(String::as_str);
    let kinds = if args.iter().any(|arg| arg == "--direct") { &KINDS[..2] } else { &KINDS[..] };
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let mut text = head();
    let cache = option("--cache").map_or(String::new(), |v| format!("tailCacheBytes={v}\n"));
    for &load in loads {
        let measured = measure(folder.path(), (other, kinds, &cache), load, rounds, seconds);
        keep_shares(load, &measured);
        text += &rows(load, &measured);
    }
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// All kinds under a load.
struct Measured {
    kinds: Vec<(&'static str, Results)>,
    /// F in µs for the bytes that SYNC direct wrote at once: at rest, and beside idle brokers.
    flush_us: [f64; 2],
}

fn measure(
    folder: &Path,
    (other, kinds, cache): (Option<&str>, &[(&str, &str)], &str),
    (connections, depth): (usize, usize),
    rounds: usize,
    seconds: f64,
) -> Measured {
    let count = connections * depth;
    let folder_of = |kind: usize| {
        let folder = folder.join(format!("{connections}-{depth}-{kind}"));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let ours = kinds.iter().map(|kind| (env!("CARGO_BIN_EXE_mqbroker"), kind, cache));
    let others = other.into_iter().flat_map(|path| OTHER_KINDS.iter().map(move |k| (path, k, "")));
    let start = |(nth, (path, (name, settings), more)): (usize, (&str, &(&str, &str), &str))| {
        Server::broker_at(path, name, &folder_of(nth), &format!("{settings}{more}"))
    };
    let mut servers: Vec<Server> = ours.chain(others).enumerate().map(start).collect();
    servers.iter().for_each(|server| client::make_topic(server.addr));
    let mut results: Vec<Results> = servers.iter().map(|_| Results::default()).collect();
    let mut flushes = Vec::new();
    // As large as the flushes are where half of all messages in flight go with each.
    let gathered = (count * 1400 / 2).max(1).next_multiple_of(4096);
    for round in 0..=rounds {
        for (server, result) in servers.iter().zip(&mut results) {
            let (before_s, woken_before) = (server.cpu_s(), server.worker_wakeups());
            let lane = client::Lane::Remoting;
            let mut outcome = client::run(server.addr, lane, connections, depth, seconds);
            server.drain();
            outcome.cpu_us = (server.cpu_s() - before_s) * 1e6 / outcome.messages;
            // The first round warms up: topics, files, caches.
            if round > 0 {
                let woken = server.worker_wakeups() - woken_before;
                result.worker_wakeups.push(woken.max(0.0) * 1e3 / outcome.messages);
                result.rounds.push(outcome);
            }
        }
        flushes.push(durable_write_us(&folder_of(SYNC_DIRECT), gathered));
    }
    for (server, result) in servers.iter_mut().zip(&mut results) {
        let said = server.stop();
        let errors: f64 = result.rounds.iter().map(|round| round.errors).sum();
        assert!(errors < 1.0, "{}: {errors} sends failed:\n{said}", server.name);
        let number = |name: &str| {
            said.rsplit(&format!("{name}="))
                .next()
                .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
                .unwrap()
        };
        result.messages_per_flush = number("messages") / number("flushes").max(1.0);
        result.bytes_per_write = number("log_bytes") / number("log_writes").max(1.0);
    }
    let names: Vec<_> = servers.iter().map(|server| server.name.clone()).collect();
    drop(servers);
    let alone = |_| durable_write_us(&folder_of(SYNC_DIRECT), gathered);
    let at_rest = median((0..flushes.len()).map(alone).collect());
    let name = |name: &String| {
        let mut all = KINDS.iter().chain(&OTHER_KINDS).map(|(name, _)| *name);
        all.find(|known| known == name).unwrap()
    };
    let kinds = names.iter().map(name).zip(results).collect();
    Measured { kinds, flush_us: [at_rest, median(flushes)] }
}

/// The mean time of durable writes of `bytes` into zeros, one in flight.
fn durable_write_us(folder: &Path, bytes: usize) -> f64 {
    let (path, (done, result)) = (folder.join("durable"), mpsc::channel());
    let run = launch(
        &[CorePlacement::Pinned(available_cores()[0])],
        RingConfig::default(),
        move |core, _| {
            let (path, done) = (path.clone(), done.clone());
            async move {
                let micros = time_durable_writes(&core, &path, bytes).await?;
                done.send(micros).map_err(io::Error::other)
            }
        },
    );
    run.unwrap().join().unwrap();
    result.recv().unwrap()
}

async fn time_durable_writes(core: &Core, path: &Path, bytes: usize) -> io::Result<f64> {
    const WRITES: usize = 200;
    let file = core.open(path, OpenMode::Direct).await?;
    file.allocate(0, (bytes * WRITES) as u64).await?;
    let zeros = AppendBuf::copy_of(&vec![0; bytes * WRITES]);
    file.write_at(0, zeros).await?;
    file.sync_data().await?;
    let data = AppendBuf::copy_of(&vec![7; bytes]);
    let start = Instant::now();
    for nth in 0..WRITES {
        file.write_both_durably_at((nth * bytes) as u64, data.clone(), BufSlice::empty()).await?;
    }
    let micros =
        start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(WRITES).unwrap_or(1));
    core.remove_file(path).await?;
    Ok(micros)
}

fn head() -> String {
    let names = [
        "senders",
        "kind",
        "messages/s",
        "RT p50 µs",
        "RT p99 µs",
        "CPU µs/msg",
        "msgs/flush",
        "KiB/write",
        "io-wq/1000",
        "N/(R+1.5F)",
        "share",
    ];
    let [senders, kind, rate, p50, p99, cpu, per_flush, per_write, woken, bound, share] = names;
    format!(
        "{senders:>7}  {kind:<13} {rate:>11} {p50:>10} {p99:>10} {cpu:>11} {per_flush:>11} \
            {per_write:>10} {woken:>10} {bound:>11} {share:>6}\n"
    )
}

/// Each round's bound, with its R, and what was reached: for a campaign.
fn keep_shares((connections, depth): (usize, usize), measured: &Measured) {
    let [(_, without_flush), (_, flushed), ..] = &*measured.kinds else { return };
    let senders = (connections * depth) as f64;
    let bound = |rate: f64| senders / (senders / rate + 1.5 * measured.flush_us[0] / 1e6);
    let rounds = without_flush.rounds.iter().zip(&flushed.rounds);
    testkit::pairs::keep(
        &format!("sync-bound-{connections}x{depth}"),
        rounds.map(|(r, reached)| (bound(r.rate), reached.rate)),
    );
}

fn rows((connections, depth): (usize, usize), measured: &Measured) -> String {
    let load = format!("{connections}×{depth}");
    let of = |result: &Results, field: fn(&Outcome) -> f64| {
        median(result.rounds.iter().map(field).collect())
    };
    let senders = (connections * depth) as f64;
    let [flush_us, flush_between_us] = measured.flush_us;
    let round_trip_us = senders / of(&measured.kinds[ASYNC_DIRECT].1, |o| o.rate) * 1e6;
    let bound = senders / (round_trip_us + 1.5 * flush_us) * 1e6;
    let mut text = String::new();
    for (name, result) in &measured.kinds {
        let (rate, p50, p99) =
            (of(result, |o| o.rate), of(result, |o| o.p50_us), of(result, |o| o.p99_us));
        let (cpu, woken) = (of(result, |o| o.cpu_us), median(result.worker_wakeups.clone()));
        let (per_flush, per_write) = (result.messages_per_flush, result.bytes_per_write / 1024.0);
        let is_sync_direct = name.starts_with("SYNC") && !name.ends_with("mmap");
        let share =
            if is_sync_direct { format!("{:.0}%", 100.0 * rate / bound) } else { String::new() };
        let bound = if is_sync_direct { format!("{bound:.0}") } else { String::new() };
        text += &format!(
            "{load:>7}  {name:<13} {rate:>11.0} {p50:>10.1} {p99:>10.1} {cpu:>11.2} \
                {per_flush:>11.1} {per_write:>10.1} {woken:>10.2} {bound:>11} {share:>6}\n"
        );
    }
    let rounds = |nth: usize| measured.kinds.get(nth).map(|(_, result)| &result.rounds);
    let others = measured.kinds.len().saturating_sub(OTHER_KINDS.len());
    for (ours, name) in [(ASYNC_DIRECT, "ASYNC"), (SYNC_DIRECT, "SYNC")] {
        let has_others = measured.kinds.last().is_some_and(|(name, _)| name.ends_with("other"));
        let (Some(ours), Some(theirs)) = (rounds(ours), rounds(others + ours)) else { continue };
        if has_others {
            let of = |field: fn(&Outcome) -> f64| {
                ratios::ratio(ours.iter().map(field), theirs.iter().map(field))
            };
            let (rate, cpu) = (of(|o| o.rate), of(|o| o.cpu_us));
            text += &format!("         {name} direct by other: rate {rate}, CPU {cpu}\n");
        }
    }
    text + &format!(
        "         R = {round_trip_us:.0} µs, F = {flush_us:.0} µs, {flush_between_us:.0} beside \
         idle brokers\n"
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
