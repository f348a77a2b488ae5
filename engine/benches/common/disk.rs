//! What the benches on real files share: a store full of messages, and what the disk does bare with
//! the same files.

use engine::{AppendError, Store, StoreConfig};
use futures_lite::future::{poll_once, yield_now};
use protocol::record::RecordDraft;
use rt::real::{Core, CorePlacement, launch};
use rt::ring::RingConfig;
use rt::{BufSlice, File, OpenMode, Runtime};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Instant;

/// One read of the bare loop, and how many are on their way: what the recovery scan does too.
const READ_BYTES: usize = 1 << 20;
const READS_AHEAD: usize = 4;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) log_bytes: u64,
    pub(crate) file_bytes: u64,
    pub(crate) rounds: usize,
}

/// As much as a memory does not hide under `cargo bench`, hardly anything under `cargo test`.
pub(crate) fn size() -> Size {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        args.iter()
            .position(|arg| arg == name)
            .and_then(|at| args.get(at + 1))
            .and_then(|value| value.parse().ok())
    };
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        let mebibytes: u64 = option("--mib").unwrap_or(2048);
        Size {
            log_bytes: mebibytes << 20,
            file_bytes: 256 << 20,
            rounds: option("--rounds").and_then(|rounds| usize::try_from(rounds).ok()).unwrap_or(5),
        }
    } else {
        Size { log_bytes: 20 << 20, file_bytes: 8 << 20, rounds: 1 }
    }
}

/// A store's configuration for a bench: without the index, which would read the log at the same
/// time.
pub(crate) fn config(root: &Path, size: Size) -> StoreConfig {
    StoreConfig {
        commitlog_file_bytes: size.file_bytes,
        index_enabled: false,
        ..StoreConfig::new(root)
    }
}

/// Opens the store, which must succeed.
pub(crate) async fn open(core: &Core, config: &StoreConfig) -> Store<Core> {
    match Store::open(core.clone(), config.clone()).await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    }
}

/// Runs `main` on a core of its own and hands back what it returns.
pub(crate) fn on_core<T: Send + 'static, F: Future<Output = T> + 'static>(
    main: impl FnOnce(Core) -> F + Send + Clone + 'static,
) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    let running = launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| {
        let (main, sender) = (main.clone(), sender.clone());
        async move {
            let value = main(core).await;
            sender.send(value).map_err(|_| io::Error::other("nobody waits"))
        }
    });
    let joined = running.map_err(io::Error::other).and_then(rt::real::Running::join);
    match (joined, receiver.recv()) {
        (Ok(()), Ok(value)) => value,
        (joined, _) => panic!("the bench's core: {joined:?}"),
    }
}

/// Appends messages of `body` bytes to `queues` queues in turn until the log has its size.
pub(crate) async fn fill(store: &Store<Core>, size: Size, body: usize, queues: i32) {
    let body = vec![7; body];
    let mut draft: RecordDraft<'_> = super::draft::draft(&body);
    while store.appended().0 < size.log_bytes {
        match store.append(&draft) {
            Ok(_) => draft.queue_id = (draft.queue_id + 1) % queues,
            Err(AppendError::TailFull { .. }) => store.wait_writable().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The log's files below `end`, each with the bytes of it that are used.
fn log_files(root: &Path, size: Size, end: u64) -> Vec<(PathBuf, u64)> {
    (0..end.div_ceil(size.file_bytes))
        .map(|nth| {
            let start = nth * size.file_bytes;
            (root.join(format!("commitlog/{start:020}")), size.file_bytes.min(end - start))
        })
        .collect()
}

type Reading = Pin<Box<dyn Future<Output = io::Result<BufSlice>>>>;

/// Sequential O_DIRECT reads of the log's files and nothing else: bytes a second.
pub(crate) async fn bare_read(core: &Core, root: &Path, size: Size, end: u64) -> f64 {
    let (start, mut read) = (Instant::now(), 0);
    let mut on_their_way: VecDeque<Reading> = VecDeque::new();
    for (path, used) in log_files(root, size, end) {
        let Ok(file) = core.open(&path, OpenMode::Direct).await else {
            panic!("{}: no O_DIRECT", path.display())
        };
        let mut at = 0;
        while at < used {
            if on_their_way.len() == READS_AHEAD {
                read += arrived(&mut on_their_way).await;
            }
            let (file, from) = (file.clone(), at);
            let mut reading: Reading =
                Box::pin(async move { file.read_at(from, READ_BYTES).await });
            assert!(poll_once(&mut reading).await.is_none(), "a read takes time");
            yield_now().await;
            on_their_way.push_back(reading);
            at += READ_BYTES as u64;
        }
    }
    while !on_their_way.is_empty() {
        read += arrived(&mut on_their_way).await;
    }
    rate(read, start)
}

async fn arrived(on_their_way: &mut VecDeque<Reading>) -> u64 {
    match on_their_way.pop_front() {
        Some(reading) => {
            reading.await.map_or_else(|error| panic!("{error}"), |bytes| bytes.len() as u64)
        }
        None => 0,
    }
}

/// Bytes a second since `start`.
pub(crate) fn rate(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / start.elapsed().as_secs_f64()
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// One row: what was reached, and its share of the bare rate, round by round.
pub(crate) fn print_row(name: &str, bare: &[f64], reached: &[f64]) {
    let share =
        median(bare.iter().zip(reached).map(|(bare, reached)| 100.0 * reached / bare).collect());
    let mib = |values: &[f64]| median(values.to_vec()) / f64::from(1 << 20);
    println!(
        "{name:<32} {:>8.0} MiB/s  bare {:>8.0} MiB/s  {share:>5.0} %",
        mib(reached),
        mib(bare)
    );
}
