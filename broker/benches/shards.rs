//! What shards cost each other: CPU a message with 1, 2, 4 and 8 shards over the cores there are,
//! and whether a saturated shard slows a sibling on another core.
//!
//! ```text
//! cargo bench -p broker --bench shards -- --rounds 3 --seconds 3 --save FILE
//! ```
//!
//! Each shard is kept busy by a client thread of its own; the broker does not spin, so its CPU time
//! is work. The clients need the cores too: rates say nothing here, CPU a message does. Durability:
//! ASYNC_FLUSH. Without `--bench` (under `cargo test`) it is a smoke run.

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

use client::{Lane, Peer};
use rt::real::available_cores;
use servers::Server;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHARDS: [usize; 4] = [1, 2, 4, 8];
const PORT_STEP: u16 = 10;
/// Of the client of each shard.
const CONNECTIONS: usize = 8;
/// Messages that a client sends at a time.
const DEPTH: usize = 8;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let rounds: usize =
        option("--rounds").map_or(if measured { 3 } else { 1 }, |v| v.parse().unwrap());
    let seconds: f64 =
        option("--seconds").map_or(if measured { 2.0 } else { 0.1 }, |v| v.parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut text = format!(
        "{} cores; native sends of 1 KiB over {CONNECTIONS} connections a shard, {DEPTH} at a \
            time on each\n",
        available_cores().len()
    );
    let servers: Vec<Server> = SHARDS.map(|shards| broker(folder.path(), shards)).into();
    let mut cpu: Vec<Vec<f64>> = vec![vec![]; SHARDS.len()];
    for _ in 0..rounds {
        for (nth, server) in servers.iter().enumerate() {
            cpu[nth].push(cpu_us_busy(server, SHARDS[nth], seconds));
        }
    }
    let cpu: Vec<f64> = cpu.into_iter().map(median).collect();
    for (shards, cpu_us) in SHARDS.iter().zip(&cpu) {
        let _infallible = writeln!(
            text,
            "  {shards} shards: {cpu_us:>6.2} µs of CPU a message, {:>4.0} % of one shard's",
            100.0 * cpu_us / cpu[0]
        );
    }
    drop(servers);
    text += &sibling(folder.path(), rounds, seconds);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

fn broker(folder: &std::path::Path, shards: usize) -> Server {
    let name = format!("{shards}-shards");
    let folder = folder.join(&name);
    std::fs::create_dir(&folder).unwrap();
    let cores: Vec<String> = available_cores().iter().map(ToString::to_string).collect();
    let settings = format!(
        "flushDiskType=ASYNC_FLUSH\nbrokerFastFailureEnable=false\nidleSpinMicros=0\n\
         mappedFileSizeCommitLog=67108864\nshardCount={shards}\nshardCores={}\n",
        cores.join(",")
    );
    let server = Server::mqbroker(&name, &folder, &settings);
    make_topics(&server, shards);
    server
}

fn make_topics(server: &Server, shards: usize) {
    for shard in 0..shards {
        servers::wait_until_up(address(server, shard));
        client::make_topic(address(server, shard));
    }
}

fn address(server: &Server, shard: usize) -> SocketAddr {
    SocketAddr::new(
        server.addr.ip(),
        server.addr.port() + PORT_STEP * u16::try_from(shard).unwrap(),
    )
}

/// Keeps every shard busy from a client thread of its own, which the scheduler places, and gives
/// the broker's CPU a message.
fn cpu_us_busy(server: &Server, shards: usize, seconds: f64) -> f64 {
    let (before, stop) = (server.cpu_s(), AtomicBool::new(false));
    let messages: f64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..shards)
            .map(|shard| (address(server, shard), &stop))
            .map(|(addr, stop)| scope.spawn(move || saturate(addr, stop)))
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap().0).sum()
    });
    (server.cpu_s() - before) * 1e6 / messages
}

/// The round trip of a lone sender to the shard on the last core while the shard on the first core,
/// and its client there, are saturated, beside the same while they are idle.
fn sibling(folder: &std::path::Path, rounds: usize, seconds: f64) -> String {
    let cores = available_cores();
    if cores.len() < 2 {
        return "a saturated sibling: NOT MEASURED, there is one core\n".into();
    }
    let folder = folder.join("siblings");
    std::fs::create_dir(&folder).unwrap();
    let settings = format!(
        "flushDiskType=ASYNC_FLUSH\nbrokerFastFailureEnable=false\n\
         mappedFileSizeCommitLog=67108864\nshardCount=2\nshardCores={},{}\n",
        cores[0],
        cores[cores.len() - 1]
    );
    let server = Server::mqbroker("siblings", &folder, &settings);
    make_topics(&server, 2);
    let (busy, probe) = (address(&server, 0), address(&server, 1));
    let mut medians: [Vec<f64>; 2] = [vec![], vec![]];
    let mut busy_rates = vec![];
    for _ in 0..rounds {
        medians[0].push(client::run(probe, Lane::Native, 1, 1, seconds).p50_us);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let saturating = scope.spawn(|| {
                core_affinity::set_for_current(core_affinity::CoreId { id: cores[0] });
                saturate(busy, &stop).1
            });
            medians[1].push(client::run(probe, Lane::Native, 1, 1, seconds).p50_us);
            stop.store(true, Ordering::Relaxed);
            busy_rates.push(saturating.join().unwrap());
        });
    }
    let [alone, beside] = medians.map(median);
    format!(
        "a lone sender's RT p50 on the last core: {alone:.1} µs alone, {beside:.1} µs ({:.2} ×) \
            beside a shard on the first core that takes {:.0} messages/s\n",
        beside / alone,
        median(busy_rates)
    )
}

/// Keeps a shard as busy as it gets; how many messages, and how many a second.
fn saturate(addr: SocketAddr, stop: &AtomicBool) -> (f64, f64) {
    let mut peers: Vec<Peer> = (0..CONNECTIONS)
        .map(|nth| {
            Peer::connect(addr, Lane::Native, client::native_frame(nth, 1, 1024).repeat(DEPTH))
        })
        .collect();
    peers.iter_mut().for_each(Peer::send);
    let (started, mut messages) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        for peer in &mut peers {
            peer.receive(DEPTH);
            peer.send();
            messages += DEPTH;
        }
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    peers.iter_mut().for_each(|peer| peer.receive(DEPTH));
    assert!(peers.iter().all(|peer| peer.errors == 0));
    ((messages + CONNECTIONS * DEPTH) as f64, rate)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
