//! The native lane where it is meant to be fast: batches, fetches of hot messages, and the round
//! trip of one sender, each beside what the host can do bare. One client for both sides,
//! interleaved rounds; servers on the first core, the client on the last.
//!
//! ```text
//! cargo bench -p broker --bench native -- --rounds 5 --seconds 2 --save FILE
//!     --dir FOLDER        where the broker's store goes (default: the build's temporary folder)
//! ```
//!
//! Durability: ASYNC_FLUSH, acknowledged from memory. Without `--bench` (under `cargo test`) it is
//! a smoke run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "send_vs_echo/client.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more loads")]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::{Lane, Outcome};
use protocol::native::records;
use servers::{Fetches, Server};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const BATCH_RECORDS: usize = 100;
const BATCH_BODY_BYTES: usize = 100;
const CONNECTIONS: usize = 16;
const FETCH_MESSAGES: u32 = 100;
const FETCH_BODY_BYTES: usize = 1024;
/// Both sides look for work for as long as a round trip takes before they sleep.
const SPIN: Duration = Duration::from_micros(200);

struct Run {
    rounds: usize,
    seconds: f64,
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let run = Run {
        rounds: option("--rounds").map_or(if measured { 5 } else { 1 }, |v| v.parse().unwrap()),
        seconds: option("--seconds")
            .map_or(if measured { 1.0 } else { 0.1 }, |v| v.parse().unwrap()),
    };
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let text = [
        batches(&run, folder.path()),
        fetches(&run, folder.path()),
        round_trips(&run, folder.path()),
    ]
    .concat();
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn broker(folder: &std::path::Path, name: &str, settings: &str) -> Server {
    let folder = folder.join(name);
    std::fs::create_dir(&folder).unwrap();
    let server = Server::mqbroker(name, &folder, &format!("flushDiskType=ASYNC_FLUSH\n{settings}"));
    client::make_topic(server.addr);
    server
}

/// Frames of many small records: what a message costs when the frame's share is small.
fn batches(run: &Run, folder: &std::path::Path) -> String {
    let server = broker(folder, "batches", "");
    let frame = client::native_frame(0, BATCH_RECORDS, BATCH_BODY_BYTES);
    let (mut rates, mut cpu, mut bare, mut refused) = (vec![], vec![], vec![], 0.0);
    for _ in 0..run.rounds {
        let before = server.cpu_s();
        let sent = client::run_frames(
            server.addr,
            Lane::Native,
            CONNECTIONS,
            1,
            run.seconds,
            move |connection| client::native_frame(connection, BATCH_RECORDS, BATCH_BODY_BYTES),
        );
        // Those that a stalled device kept waiting for longer than waitTimeMillsInSendQueue.
        refused += sent.errors;
        let messages = sent.messages * BATCH_RECORDS as f64;
        rates.push(sent.rate * BATCH_RECORDS as f64);
        cpu.push((server.cpu_s() - before) * 1e9 / messages);
        bare.push(bare_nanos(&frame, run.seconds / 10.0));
    }
    let (rate, cpu, bare) = (median(rates), median(cpu), median(bare));
    format!(
        "batches of {BATCH_RECORDS} × {BATCH_BODY_BYTES} B, {CONNECTIONS} connections\n  \
            {rate:>12.0} messages/s\n  {cpu:>12.0} ns of CPU a message, all of the broker\n  \
            {bare:>12.0} ns: memcpy of its record and CRC of its body alone\n  \
            {:>12.1} × that\n\x20 \
            {refused:>12.0} frames refused because the device stalled\n",
        cpu / bare
    )
}

/// A memcpy of each record into a buffer of 64 MiB, as large as the log's tail, and the CRC of its
/// body: nanoseconds a record.
fn bare_nanos(frame: &[u8], seconds: f64) -> f64 {
    let payload = &frame[frame.len() - frame.len() / BATCH_RECORDS * BATCH_RECORDS..];
    let record = payload.len() / BATCH_RECORDS;
    // Not zeros: those would be mapped page by page while it runs.
    let mut tail = vec![1_u8; 64 << 20];
    let (started, mut at, mut records, mut sum) = (Instant::now(), 0, 0_u64, 0_u32);
    while started.elapsed().as_secs_f64() < seconds {
        for bytes in payload.chunks_exact(record) {
            if at + record > tail.len() {
                at = 0;
            }
            sum ^= protocol::record::body_crc(&bytes[record - BATCH_BODY_BYTES..]).cast_unsigned();
            tail[at..at + record].copy_from_slice(bytes);
            at += record;
            records += 1;
        }
    }
    std::hint::black_box((sum, &tail));
    started.elapsed().as_secs_f64() * 1e9 / records as f64
}

/// Hot messages, as fast as one core gives them out, beside an echo that pushes as many bytes.
fn fetches(run: &Run, folder: &std::path::Path) -> String {
    let server = broker(folder, "fetches", "");
    let mut filler = client::Peer::connect(
        server.addr,
        Lane::Native,
        client::native_frame(0, FETCH_MESSAGES as usize, FETCH_BODY_BYTES),
    );
    filler.send();
    filler.receive(1);
    let fetch = client::fetch_frame(FETCH_MESSAGES);
    let answer = filler.exchange(&fetch);
    let mut payload = answer.as_slice();
    payload = &payload[payload.len() - FETCH_MESSAGES as usize * records_bytes()..];
    let bytes = payload.len();
    assert_eq!(
        std::iter::from_fn(|| records::next(&mut payload)).filter_map(Result::ok).count(),
        FETCH_MESSAGES as usize
    );
    let echo = Server::echo_with(
        Duration::from_micros(20),
        &Fetches { messages: FETCH_MESSAGES, bytes, apart: 1 },
    );
    let mut text =
        format!("fetches of {FETCH_MESSAGES} × {FETCH_BODY_BYTES} B, hot, MiB/s, CPU µs a fetch\n");
    for connections in [1, 4, 16] {
        let mut results: [Vec<Outcome>; 2] = [vec![], vec![]];
        for _ in 0..run.rounds {
            for (server, results) in [&echo, &server].into_iter().zip(&mut results) {
                let (fetch, before) = (fetch.clone(), server.cpu_s());
                let mut outcome = client::run_frames(
                    server.addr,
                    Lane::Native,
                    connections,
                    1,
                    run.seconds,
                    move |_| fetch.clone(),
                );
                assert_eq!(outcome.errors, 0.0);
                outcome.cpu_us = (server.cpu_s() - before) * 1e6 / outcome.messages;
                results.push(outcome);
            }
        }
        let of = |index: usize, field: fn(&Outcome) -> f64| {
            median(results[index].iter().map(field).collect())
        };
        let mib = |index| of(index, |o| o.rate) * bytes as f64 / f64::from(1 << 20);
        let _infallible = writeln!(
            text,
            "  {connections:>2} connections   echo {:>7.0} ({:>5.1})   mqbroker {:>7.0} \
                ({:>5.1})   {:>4.0} % of the echo",
            mib(0),
            of(0, |o| o.cpu_us),
            mib(1),
            of(1, |o| o.cpu_us),
            100.0 * mib(1) / mib(0)
        );
    }
    text
}

/// Bytes of one record that [`client::native_frame`] makes with [`FETCH_BODY_BYTES`].
fn records_bytes() -> usize {
    client::native_frame(0, 2, FETCH_BODY_BYTES).len()
        - client::native_frame(0, 1, FETCH_BODY_BYTES).len()
}

/// One sender, one message at a time, both sides spinning.
fn round_trips(run: &Run, folder: &std::path::Path) -> String {
    let server = broker(
        folder,
        "spinning",
        &format!("brokerFastFailureEnable=false\nidleSpinMicros={}\n", SPIN.as_micros()),
    );
    let echo = Server::echo_with(SPIN, &Fetches { messages: 1, bytes: 1, apart: 1 });
    let mut text = format!(
        "one sender, one message in flight, both sides spinning ({} µs), RT µs\n",
        SPIN.as_micros()
    );
    for lane in [Lane::Remoting, Lane::Native] {
        let mut results: [Vec<(f64, f64)>; 2] = [vec![], vec![]];
        for _ in 0..run.rounds {
            for (server, results) in [&echo, &server].into_iter().zip(&mut results) {
                let times =
                    client::round_trips_spinning(server.addr, lane, run.seconds, Duration::ZERO);
                results.push((times[times.len() / 2], times[times.len() * 99 / 100]));
            }
        }
        let [echo, broker] = results.map(|all| {
            (median(all.iter().map(|r| r.0).collect()), median(all.iter().map(|r| r.1).collect()))
        });
        let _infallible = writeln!(
            text,
            "  {:<8}  echo p50 {:>6.1} p99 {:>6.1}   mqbroker p50 {:>6.1} p99 {:>6.1}   p50 \
                {:.2} × the echo's",
            format!("{lane:?}").to_lowercase(),
            echo.0,
            echo.1,
            broker.0,
            broker.1,
            broker.0 / echo.0
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
