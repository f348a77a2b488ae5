//! How far one shard goes: many queues, and a large store after a crash. Reports memory,
//! descriptors, files and start-up times.
//!
//! ```text
//! cargo bench -p broker --bench scale -- --queues 10000 --gib 10 --dir FOLDER --save FILE
//! ```
//!
//! A real `mqbroker` with RocketMQ's file sizes. Each start is timed from the process's start to
//! the first answer on its port. Before the starts called cold the store's pages are dropped from
//! the page cache (posix_fadvise through `dd`, no privileges needed). Without `--bench` (under
//! `cargo test`) it is a smoke run on small files.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its table"
)]

#[path = "scale/client.rs"]
#[expect(dead_code, reason = "shared with cold_reader, which pulls")]
mod client;
#[path = "send_vs_echo/servers.rs"]
#[expect(dead_code, reason = "shared with send_vs_echo, which has more servers")]
mod servers;

use client::Client;
use servers::Server;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Queues of a topic.
const QUEUES_PER_TOPIC: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1));
    let measured = args.iter().any(|a| a == "--bench");
    let queues: usize =
        option("--queues").map_or(if measured { 10_000 } else { 200 }, |v| v.parse().unwrap());
    let mebibytes: usize = option("--gib")
        .map_or(if measured { 10 << 10 } else { 20 }, |v| v.parse::<usize>().unwrap() << 10);
    let settings = if measured {
        "flushDiskType=ASYNC_FLUSH\n"
    } else {
        "flushDiskType=ASYNC_FLUSH\nmappedFileSizeCommitLog=8388608\n"
    };
    let folder =
        tempfile::tempdir_in(option("--dir").map_or(env!("CARGO_TARGET_TMPDIR"), |v| v)).unwrap();
    let mut text = many_queues(folder.path(), settings, queues);
    text += &large_store(folder.path(), settings, mebibytes);
    print!("{text}");
    if let Some(path) = option("--save") {
        std::fs::write(path, &text).unwrap();
    }
}

/// Starts a broker on `folder`'s store; how long it took until it answered.
fn start(folder: &Path, settings: &str) -> (Server, Duration) {
    let started = Instant::now();
    let server = Server::mqbroker("mqbroker", folder, settings);
    (server, started.elapsed())
}

fn many_queues(base: &Path, settings: &str, queues: usize) -> String {
    let folder = base.join("queues");
    std::fs::create_dir_all(&folder).unwrap();
    let topics: Vec<String> =
        (0..queues / QUEUES_PER_TOPIC).map(|nth| format!("Scale{nth}")).collect();
    let (server, fresh) = start(&folder, settings);
    let mut client = Client::connect(&server);
    let empty_kib = server.resident_kib();
    topics.iter().for_each(|topic| client.make_topic(topic, QUEUES_PER_TOPIC));
    let filling = Instant::now();
    client.fill(&topics, QUEUES_PER_TOPIC, 10 * queues, 1024);
    let rate = (10 * queues) as f64 / filling.elapsed().as_secs_f64();
    // Until every queue is in its file and a checkpoint has said so.
    std::thread::sleep(Duration::from_secs(if queues > 1000 { 15 } else { 2 }));
    let (kib, descriptors, files) = (
        server.resident_kib(),
        server.descriptors(),
        count_files(&folder.join("store/consumequeue")),
    );
    drop(server); // SIGKILL
    let (mut server, killed) = start(&folder, settings);
    let mut client = Client::connect(&server);
    for topic in &topics {
        for queue_id in [0, QUEUES_PER_TOPIC - 1] {
            assert_eq!(client.max_offset(topic, queue_id), 10, "{topic} {queue_id}");
        }
    }
    server.stop();
    let (_server, clean) = start(&folder, settings);
    format!(
        "{queues} queues in {} topics, 10 messages of 1 KiB each: {rate:.0} messages/s \
         while they come into being\n  \
         resident {kib} KiB ({empty_kib} before), {descriptors} descriptors, {files} \
         ConsumeQueue files\n  \
         start: new {} ms, after SIGKILL {} ms, after a clean stop {} ms\n",
        topics.len(),
        fresh.as_millis(),
        killed.as_millis(),
        clean.as_millis()
    )
}

fn large_store(base: &Path, settings: &str, mebibytes: usize) -> String {
    const MESSAGE_BYTES: usize = 60 * 1024;
    let folder = base.join("large");
    std::fs::create_dir_all(&folder).unwrap();
    let (server, _) = start(&folder, settings);
    let mut client = Client::connect(&server);
    client.make_topic("Large", 8);
    let filling = Instant::now();
    client.fill(&["Large".to_owned()], 8, (mebibytes << 20) / MESSAGE_BYTES, MESSAGE_BYTES);
    let mib_per_s = mebibytes as f64 / filling.elapsed().as_secs_f64();
    // ASYNC_FLUSH: what was acknowledged from memory is written by then, the last checkpoint is
    // seconds old.
    std::thread::sleep(Duration::from_secs(2));
    drop(server); // SIGKILL
    drop_from_page_cache(&folder.join("store"));
    let (mut server, killed) = start(&folder, settings);
    let mut client = Client::connect(&server);
    let found: i64 = (0..8).map(|queue_id| client.max_offset("Large", queue_id)).sum();
    assert_eq!(
        usize::try_from(found),
        Ok((mebibytes << 20) / MESSAGE_BYTES),
        "messages after the kill"
    );
    server.stop();
    drop_from_page_cache(&folder.join("store"));
    let (mut server, clean) = start(&folder, settings);
    server.stop();
    std::fs::remove_file(folder.join("store/consumequeue.manifest")).unwrap();
    std::fs::File::create(folder.join("store/abort")).unwrap();
    drop_from_page_cache(&folder.join("store"));
    let (mut server, all) = start(&folder, settings);
    server.stop();
    format!(
        "a store of {mebibytes} MiB, filled with 60 KiB messages at {mib_per_s:.0} MiB/s\n  \
         cold start: after SIGKILL {} ms, after a clean stop {} ms, with everything scanned \
         (manifest deleted, abort there) {} ms\n",
        killed.as_millis(),
        clean.as_millis(),
        all.as_millis()
    )
}

fn count_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

/// So that a start reads from the disk.
fn drop_from_page_cache(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            drop_from_page_cache(&path);
        } else {
            let file = format!("if={}", path.display());
            let dropped = Command::new("dd")
                .args([file.as_str(), "iflag=nocache", "count=0", "status=none"])
                .status();
            assert!(
                dropped.is_ok_and(|status| status.success()),
                "dd drops {file} from the page cache"
            );
        }
    }
}
