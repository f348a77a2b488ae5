//! What many queues cost: sends while a checkpoint of all of them is written, and the start after a
//! kill.
//!
//! ```text
//! cargo bench -p engine --bench many_queues [-- --queues 50000 --rate 20000 --seconds 40
//!     --flush async|sync --rounds 1 --only-start --pairs FILE]
//! ```
//!
//! Messages go to the queues in turn, at a fixed rate; a send's latency counts from the moment it
//! was due until it may be answered, so a stalled core counts for every send that it kept waiting.
//! The same with 100 queues and with many, under ASYNC_FLUSH and under SYNC_FLUSH. Then the store
//! of 10,000 queues is left as a kill leaves it and opened again. Under `cargo test` a few queues
//! for a moment.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

#[path = "common/draft.rs"]
mod draft;

use engine::{AppendError, FlushPolicy, PhyOffset, Store, StoreConfig};
use futures_lite::future::or;
use protocol::record::RecordDraft;
use rt::Runtime;
use rt::real::{Core, CorePlacement, launch};
use rt::ring::RingConfig;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How often the sender looks what is due.
const TICK: Duration = Duration::from_micros(100);

#[derive(Clone, Copy)]
struct Plan {
    few: u64,
    many: u64,
    killed: u64,
    rate: u64,
    seconds: u64,
    rounds: u64,
    checkpoint_interval_ms: u64,
}

fn plan() -> Plan {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str, otherwise: u64| {
        let at = args.iter().position(|arg| arg == name);
        at.and_then(|at| args.get(at + 1)?.parse().ok()).unwrap_or(otherwise)
    };
    if args.iter().any(|arg| arg == "--bench") && !args.iter().any(|arg| arg == "--smoke") {
        Plan {
            few: 100,
            many: option("--queues", 50_000),
            killed: option("--killed", 10_000),
            rate: option("--rate", 20_000),
            seconds: option("--seconds", 40),
            rounds: option("--rounds", 1),
            checkpoint_interval_ms: 10_000,
        }
    } else {
        Plan {
            few: 10,
            many: 200,
            killed: 100,
            rate: 2_000,
            seconds: 1,
            rounds: 1,
            checkpoint_interval_ms: 200,
        }
    }
}

fn main() {
    let plan = plan();
    let mut args = std::env::args().skip_while(|arg| arg != "--fill");
    if let Some(root) = args.nth(1) {
        return fill_and_end(plan, root.into());
    }
    if !std::env::args().any(|arg| arg == "--only-start") {
        send_to_few_and_many(plan);
    }
    (0..plan.rounds).for_each(|_| start_after_a_kill(plan));
}

fn send_to_few_and_many(plan: Plan) {
    println!("{} messages a second, {} s", plan.rate, plan.seconds);
    let only = std::env::args().skip_while(|arg| arg != "--flush").nth(1);
    let policies = [("async", FlushPolicy::Async), ("sync", FlushPolicy::Sync)];
    for (_, flush) in
        policies.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|o| o == name))
    {
        for _ in 0..plan.rounds {
            for queues in [plan.few, plan.many] {
                let folder = folder();
                let root = folder.path().to_owned();
                let mut sent = on_core(move |core| send_and_close(core, root, plan, flush, queues));
                sent.print(flush, queues);
            }
        }
    }
}

fn folder() -> tempfile::TempDir {
    match tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")) {
        Ok(folder) => folder,
        Err(error) => panic!("{error}"),
    }
}

/// Runs `main` on a core of its own; what it started ends with it, as in a kill.
fn on_core<T: Send + 'static, F: Future<Output = T> + 'static>(
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

async fn open(core: &Core, root: PathBuf, plan: Plan, flush: FlushPolicy) -> Store<Core> {
    let config = StoreConfig {
        flush,
        commitlog_file_bytes: 256 << 20,
        index_enabled: false,
        checkpoint_interval_ms: plan.checkpoint_interval_ms,
        ..StoreConfig::new(root)
    };
    match Store::open(core.clone(), config).await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    }
}

/// What a run of sends showed.
#[derive(Default)]
struct Sent {
    latencies_nanos: Vec<u64>,
    checkpoints: u64,
    checkpoint_nanos: u64,
    close_nanos: u64,
}

impl Sent {
    fn print(&mut self, flush: FlushPolicy, queues: u64) {
        self.latencies_nanos.sort_unstable();
        let ms = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e3;
        let at = |thousandths: usize| {
            let nth = self.latencies_nanos.len() * thousandths / 1000;
            ms(self.latencies_nanos.get(nth).copied().unwrap_or(0))
        };
        println!(
            "{flush:?} {queues:>6} queues: send p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max \
                {:.2} ms; {} checkpoints, {:.0} ms each; close {:.0} ms",
            at(500),
            at(990),
            at(999),
            ms(self.latencies_nanos.last().copied().unwrap_or(0)),
            self.checkpoints,
            ms(self.checkpoint_nanos / self.checkpoints.max(1)),
            ms(self.close_nanos),
        );
    }
}

async fn send_and_close(
    core: Core,
    root: PathBuf,
    plan: Plan,
    flush: FlushPolicy,
    queues: u64,
) -> Sent {
    let store = open(&core, root, plan, flush).await;
    make_files(&core, &store, plan, queues).await;
    let before = store.write_counts();
    let mut sent = send(&core, &store, plan, queues, plan.seconds).await;
    let after = store.write_counts();
    sent.checkpoints = after.checkpoints - before.checkpoints;
    sent.checkpoint_nanos = after.checkpoint_nanos - before.checkpoint_nanos;
    let closing = core.now_nanos();
    if let Err(error) = store.close().await {
        panic!("{error}");
    }
    sent.close_nanos = core.now_nanos() - closing;
    sent
}

/// The first message of each queue, and a checkpoint: making the files is not what is measured.
async fn make_files(core: &Core, store: &Store<Core>, plan: Plan, queues: u64) {
    send(core, store, plan, queues, queues.div_ceil(plan.rate).max(1)).await;
    let before = store.write_counts().checkpoints;
    while store.write_counts().checkpoints == before {
        core.sleep(Duration::from_millis(100)).await;
        append(store, &[7; 100], 0).await;
    }
}

/// Sends for `seconds`.
async fn send(core: &Core, store: &Store<Core>, plan: Plan, queues: u64, seconds: u64) -> Sent {
    let body = [7; 100];
    let (started, total) = (core.now_nanos(), plan.rate * seconds);
    let due_at = |nth: u64| started + nth * 1_000_000_000 / plan.rate;
    let (mut sent, mut unanswered) = (Sent::default(), VecDeque::new());
    for nth in 0..total {
        while core.now_nanos() < due_at(nth) {
            or(core.sleep(TICK), acknowledged(store, &unanswered)).await;
            take_answered(core, store, &mut unanswered, &mut sent);
        }
        let end = append(store, &body, nth % queues).await;
        unanswered.push_back((end, due_at(nth)));
        take_answered(core, store, &mut unanswered, &mut sent);
    }
    while !unanswered.is_empty() {
        acknowledged(store, &unanswered).await;
        take_answered(core, store, &mut unanswered, &mut sent);
    }
    sent
}

async fn acknowledged(store: &Store<Core>, unanswered: &VecDeque<(PhyOffset, u64)>) {
    match unanswered.front() {
        Some((end, _)) => store.acknowledged_beyond(PhyOffset(end.0 - 1)).await,
        None => std::future::pending().await,
    }
}

fn take_answered(
    core: &Core,
    store: &Store<Core>,
    unanswered: &mut VecDeque<(PhyOffset, u64)>,
    sent: &mut Sent,
) {
    let (upto, now) = (store.acknowledged(), core.now_nanos());
    while let Some((_, due)) = unanswered.pop_front_if(|(end, _)| *end <= upto) {
        sent.latencies_nanos.push(now - due);
    }
}

/// Topics of eight queues each.
async fn append(store: &Store<Core>, body: &[u8], queue: u64) -> PhyOffset {
    let topic = format!("bench-{}", queue / 8);
    let queue_id = i32::try_from(queue % 8).unwrap_or(0);
    let draft: RecordDraft<'_> = RecordDraft { topic: &topic, queue_id, ..draft::draft(body) };
    loop {
        match store.append(&draft) {
            Ok(appended) => return appended.end(),
            Err(AppendError::TailFull { .. }) => store.wait_writable().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn start_after_a_kill(plan: Plan) {
    let folder = folder();
    let root = folder.path().to_owned();
    // In a process of its own, which ends without a word: as a kill, that leaves what was written.
    let program = std::env::current_exe().and_then(|program| {
        let args = std::env::args().skip(1);
        std::process::Command::new(program).args(args).arg("--fill").arg(&root).status()
    });
    assert!(program.is_ok_and(|ended| ended.code() == Some(KILLED)), "the process that fills");
    let recovered = on_core(move |core| async move {
        let store = open(&core, root, plan, FlushPolicy::Async).await;
        let recovered = store.recovered();
        if let Err(error) = store.close().await {
            panic!("{error}");
        }
        recovered
    });
    assert!(recovered.was_unclean, "{recovered:?}");
    let seconds = Duration::from_nanos(recovered.nanos).as_secs_f64();
    testkit::pairs::keep("start-10000-queues", [(1.0, seconds)]);
    println!(
        "start after a kill, {} queues: {:.0} ms, {} records scanned",
        plan.killed,
        seconds * 1e3,
        recovered.records_scanned
    );
}

/// How the process ends that fills a store.
const KILLED: i32 = 9;

fn fill_and_end(plan: Plan, root: PathBuf) {
    on_core(move |core| async move {
        let store = open(&core, root, plan, FlushPolicy::Async).await;
        make_files(&core, &store, plan, plan.killed).await;
        send(&core, &store, plan, plan.killed, plan.seconds.min(2)).await;
        core.sleep(Duration::from_secs(2)).await;
        std::process::exit(KILLED);
    });
}
