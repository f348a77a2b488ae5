//! How fast one consumer catches up from disk, beside bare sequential O_DIRECT reads of the same
//! files in the same rounds.
//!
//! The budget of a read from disk (`maxTransferBytesOnMessageInDisk`, 64 KiB, and
//! `maxTransferCountOnMessageInDisk`, 8) is raised to what memory has (256 KiB, 32) and to 1 MiB:
//! with RocketMQ's own defaults every 8 messages are a pull, and what is measured is pulls. Every
//! record is checked. `cargo bench -p engine --bench cold [-- --mib 4096 --rounds 7]`; under `cargo
//! test` a small log, once.
//!
//! Then a log in which the messages of four queues lie mixed: one of them read alone, all in turn,
//! and all at the same time; and the same from memory. Beside the rate: bytes that the device gave
//! for each byte of a message (`/proc/self/io`), and CPU for each message, the kernel's part of it
//! included. `--only mixed` leaves the first part out; `--pairs FILE` keeps each round's share of
//! the four queues together for a campaign.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints its table"
)]

#[path = "common/disk.rs"]
mod disk;
#[path = "common/draft.rs"]
mod draft;
#[path = "cold/mixed.rs"]
mod mixed;

use disk::{Size, bare_read, config, fill, on_core, open, print_row, rate};
use engine::{QueueOffset, ReadRequest, ReadStatus, Store, StoreConfig, TagFilter};
use rt::real::Core;
use std::path::PathBuf;
use std::time::Instant;

/// Body, messages and bytes of one read.
const LOADS: [(usize, usize, usize); 4] =
    [(1024, 8, 64 << 10), (1024, 32, 256 << 10), (1024, 1024, 1 << 20), (16 * 1024, 64, 1 << 20)];

fn main() {
    let size = disk::size();
    let args: Vec<String> = std::env::args().collect();
    if !args.iter().any(|arg| arg == "mixed") {
        one_queue(size);
    }
    mixed::main(size);
}

fn one_queue(size: Size) {
    for (body, messages, bytes) in LOADS {
        let folder = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
            Ok(folder) => folder,
            Err(error) => panic!("{error}"),
        };
        let root = folder.path().to_owned();
        let rounds = on_core(move |core| run(core, root, size, body, (messages, bytes)));
        let (bare, cold): (Vec<f64>, Vec<f64>) = rounds.into_iter().unzip();
        print_row(&format!("{body} B, {messages} or {} KiB a pull", bytes >> 10), &bare, &cold);
    }
}

async fn run(
    core: Core,
    root: PathBuf,
    size: Size,
    body: usize,
    budget: (usize, usize),
) -> Vec<(f64, f64)> {
    let config = StoreConfig {
        cold_messages_max: budget.0,
        cold_bytes_max: budget.1,
        ..config(&root, size)
    };
    let store = open(&core, &config).await;
    fill(&store, size, body, 1).await;
    assert!(store.close().await.is_ok());
    let end = store.appended().0;
    drop(store);
    let mut rounds = Vec::new();
    for _ in 0..size.rounds {
        let bare = bare_read(&core, &root, size, end).await;
        // Opened anew: nothing of the log is in memory.
        let store = open(&core, &config).await;
        rounds.push((bare, catch_up(&store, budget).await));
        assert!(store.close().await.is_ok());
    }
    rounds
}

/// Reads the queue from its beginning to its end: bytes a second.
async fn catch_up(store: &Store<Core>, budget: (usize, usize)) -> f64 {
    let (start, mut offset, mut bytes) = (Instant::now(), QueueOffset(0), 0);
    let range = store.queue_range("bench", 0).unwrap_or_default();
    while offset < range.max_offset {
        let request = ReadRequest {
            topic: "bench",
            queue_id: 0,
            offset,
            max_messages: budget.0,
            max_bytes: budget.1,
            filter: TagFilter::All,
            as_asked: false,
        };
        let read = match store.read_cold(request.to_owned()).await {
            Ok(read) if read.status == ReadStatus::Found => read,
            other => panic!("{other:?}"),
        };
        bytes += read.bytes as u64;
        offset = read.next_begin_offset;
    }
    rate(bytes, start)
}
