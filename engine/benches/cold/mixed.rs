//! Four queues whose messages lie mixed in one log.

use super::disk::{Size, bare_read, config, fill, median, on_core, open};
use engine::{QueueOffset, ReadRequest, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter};
use futures_util::future::join_all;
use rt::real::Core;
use std::path::PathBuf;
use std::time::Instant;

const QUEUES: i32 = 4;
const BODY_BYTES: usize = 1024;
/// Messages and bytes of one read: RocketMQ's limits for what is on disk and for what is in memory.
const BUDGETS: [(usize, usize); 2] = [(8, 64 << 10), (32, 256 << 10)];

/// Who reads.
#[derive(Clone, Copy, Debug)]
enum Reads {
    Alone,
    InTurn,
    Together,
    Memory,
}

const KINDS: [(Reads, &str); 4] = [
    (Reads::Alone, "one of 4 queues alone"),
    (Reads::InTurn, "4 queues in turn"),
    (Reads::Together, "4 queues together"),
    (Reads::Memory, "4 queues in turn, from memory"),
];

/// What one pass over the queues cost.
#[derive(Clone, Copy, Default)]
struct Pass {
    bytes: u64,
    messages: u64,
    seconds: f64,
    cpu_seconds: f64,
    device_bytes: u64,
}

impl Pass {
    /// Bytes a second.
    fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }
}

/// Prints one table for each budget.
pub(crate) fn main(size: Size) {
    for (messages, bytes) in BUDGETS {
        let folder = match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
            Ok(folder) => folder,
            Err(error) => panic!("{error}"),
        };
        let root = folder.path().to_owned();
        let rounds = on_core(move |core| run(core, root, size, (messages, bytes)));
        // Beside the lesser of the device and memory.
        testkit::pairs::keep(
            &format!("cold-together-{messages}"),
            rounds.iter().map(|(bare, passes)| (bare.min(passes[3].rate()), passes[2].rate())),
        );
        println!("{BODY_BYTES} B, {messages} or {} KiB a read:", bytes >> 10);
        let bare: Vec<f64> = rounds.iter().map(|(bare, _)| bare / f64::from(1 << 20)).collect();
        println!("{:<30} {:>6.0} MiB/s", "bare O_DIRECT", median(bare));
        for (nth, (_, name)) in KINDS.iter().enumerate() {
            print(name, &rounds.iter().map(|(_, passes)| passes[nth]).collect::<Vec<_>>());
        }
    }
}

fn print(name: &str, passes: &[Pass]) {
    let of = |figure: fn(&Pass) -> f64| median(passes.iter().map(figure).collect());
    println!(
        "{name:<30} {:>6.0} MiB/s {:>6.2} µs CPU a message {:>6.2} device bytes a byte",
        of(|pass| pass.rate() / f64::from(1 << 20)),
        of(|pass| 1e6 * pass.cpu_seconds / pass.messages as f64),
        of(|pass| pass.device_bytes as f64 / pass.bytes as f64),
    );
}

async fn run(
    core: Core,
    root: PathBuf,
    size: Size,
    budget: (usize, usize),
) -> Vec<(f64, [Pass; KINDS.len()])> {
    let config = StoreConfig {
        cold_messages_max: budget.0,
        cold_bytes_max: budget.1,
        ..config(&root, size)
    };
    let store = open(&core, &config).await;
    fill(&store, size, BODY_BYTES, QUEUES).await;
    assert!(store.close().await.is_ok());
    let end = store.appended().0;
    drop(store);
    let mut rounds = Vec::new();
    for _ in 0..size.rounds {
        let bare = bare_read(&core, &root, size, end).await;
        let mut passes = [Pass::default(); KINDS.len()];
        for (nth, (reads, _)) in KINDS.into_iter().enumerate() {
            passes[nth] = match reads {
                Reads::Memory => from_memory(&core, &root, size, budget).await,
                _ => from_disk(&core, &config, reads, budget).await,
            };
        }
        rounds.push((bare, passes));
    }
    rounds
}

async fn from_disk(
    core: &Core,
    config: &StoreConfig,
    reads: Reads,
    budget: (usize, usize),
) -> Pass {
    // Opened anew: nothing of the log is in memory.
    let store = open(core, config).await;
    let pass = measured(async || match reads {
        Reads::Alone => catch_up(&store, &[0], budget).await,
        Reads::Together => {
            let each = (0..QUEUES).map(|queue| catch_up_one(&store, queue, budget));
            join_all(each).await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        }
        Reads::InTurn | Reads::Memory => catch_up(&store, &[0, 1, 2, 3], budget).await,
    })
    .await;
    assert!(store.close().await.is_ok());
    pass
}

async fn from_memory(
    core: &Core,
    root: &std::path::Path,
    size: Size,
    budget: (usize, usize),
) -> Pass {
    let folder = root.join("memory");
    let config = StoreConfig {
        tail_bytes_max: usize::try_from(size.log_bytes).map_or(1 << 30, |bytes| bytes + (64 << 20)),
        hot_messages_max: budget.0,
        hot_bytes_max: budget.1,
        ..config(&folder, size)
    };
    let store = open(core, &config).await;
    fill(&store, size, BODY_BYTES, QUEUES).await;
    while store.flushed() < store.appended() {
        rt::Runtime::sleep(core, std::time::Duration::from_millis(10)).await;
    }
    let pass = measured(async || catch_up(&store, &[0, 1, 2, 3], budget).await).await;
    assert!(store.close().await.is_ok());
    drop(store);
    assert!(std::fs::remove_dir_all(&folder).is_ok());
    pass
}

async fn measured(pass: impl AsyncFnOnce() -> (u64, u64)) -> Pass {
    let (start, cpu, device) = (Instant::now(), cpu_seconds(), device_bytes());
    let (messages, bytes) = pass().await;
    Pass {
        bytes,
        messages,
        seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds() - cpu,
        device_bytes: device_bytes() - device,
    }
}

/// Reads queues in turn, a read of each, to their ends: messages and bytes.
async fn catch_up(store: &Store<Core>, queues: &[i32], budget: (usize, usize)) -> (u64, u64) {
    let mut places: Vec<(i32, QueueOffset)> =
        queues.iter().map(|queue| (*queue, QueueOffset(0))).collect();
    let (mut sum, mut hot) = ((0, 0), ReadSlices::default());
    while !places.is_empty() {
        for (queue, offset) in &mut places {
            let (messages, bytes) = read(store, *queue, offset, budget, &mut hot).await;
            sum = (sum.0 + messages, sum.1 + bytes);
        }
        places.retain(|(queue, offset)| *offset < end_of(store, *queue));
    }
    sum
}

async fn catch_up_one(store: &Store<Core>, queue: i32, budget: (usize, usize)) -> (u64, u64) {
    catch_up(store, &[queue], budget).await
}

fn end_of(store: &Store<Core>, queue: i32) -> QueueOffset {
    store.queue_range("bench", queue).unwrap_or_default().max_offset
}

/// One read, as the broker does it.
async fn read(
    store: &Store<Core>,
    queue_id: i32,
    offset: &mut QueueOffset,
    budget: (usize, usize),
    hot: &mut ReadSlices,
) -> (u64, u64) {
    let request = ReadRequest {
        topic: "bench",
        queue_id,
        offset: *offset,
        max_messages: 32,
        max_bytes: budget.1.max(256 << 10),
        filter: TagFilter::All,
        as_asked: false,
    };
    if store.read(&request, hot) == ReadStatus::Found {
        *offset = hot.next_begin_offset;
        return (hot.messages as u64, hot.bytes as u64);
    }
    match store.read_cold(request.to_owned()).await {
        Ok(read) if read.status == ReadStatus::Found => {
            *offset = read.next_begin_offset;
            (read.messages as u64, read.bytes as u64)
        }
        other => panic!("{other:?}"),
    }
}

/// User and system time of all threads of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = behind_name.split(' ').skip(11).take(2);
    // USER_HZ is 100 on every platform that this runs on.
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// What this process had read from devices.
fn device_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}
