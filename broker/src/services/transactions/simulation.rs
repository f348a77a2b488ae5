//! Transactions in a deterministic simulation: producers that commit, roll back, say nothing and
//! repeat themselves, questions, saved progress; kills, power cuts and clean stops at any moment.
//!
//! What runs is the state, the records and the start of this folder, on the engine over a simulated
//! disk. The tasks of [`super::check`] and [`super::end`] need a network; `World` has their steps.
//!
//! The oracle: after every crash each message is there at most once, what was rolled back never,
//! and under SYNC_FLUSH everything that was acknowledged holds. At the end, when all questions are
//! answered, each half message that survived has ended as its producer decided.
//!
//! ```text
//! TRANSACTION_SEEDS=2000 cargo test -p broker --release --lib transactions::simulation
//! TRANSACTION_SEED=4711 …    this one alone, as a failure says
//! ```

use super::facts::Facts;
use super::halves::{Current, Halves, Look, MayEnd};
use super::progress::{Ends, Frontier, Progress};
use super::records::{self, Op};
use super::{reading, recover};
use crate::config::{self, TransactionOptions};
use crate::sends::half::QUEUE_ID;
use crate::sends::timer::{Asked, Timer};
use crate::services::delivery::simulation::{self as frame, Campaign, host};
use engine::{
    AppendError, FlushPolicy, LogBackend, PhyOffset, Store, StoreConfig, TailMemory, TailPlace,
};
use futures_lite::future::or;
use protocol::names::{SCHEDULE_TOPIC, TIMER_TOPIC, TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC};
use protocol::properties::{self, names};
use protocol::record::{RecordDraft, RecordView, records as records_of};
use rt::sim::{Sim, SimConfig};
use rt::{Priority, Runtime as _};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const CAMPAIGN: Campaign =
    Campaign { variable: "TRANSACTION_SEED", filter: "transactions::simulation", seeds: 60 };
const LIVES: usize = 4;
const SAVED: &str = "/saved";
const OPTIONS: TransactionOptions = TransactionOptions {
    are_rejected: false,
    time_out_ms: 3,
    checks_max: i32::MAX,
    check_interval_ms: 6,
    reserved_ms: i64::MAX / 4,
};

#[derive(Clone, Copy, Debug)]
struct Tx {
    commits: bool,
    /// Its half message was acknowledged.
    is_prepared: bool,
    /// Its end was.
    is_ended: bool,
}

#[derive(Debug, Default)]
struct Tally {
    power_cuts: usize,
    kills: usize,
    stops: usize,
    asked: usize,
    repeated: usize,
    found_committed: usize,
    superseded: usize,
    revived: usize,
    skipped: usize,
    open_after_crash: usize,
    /// Committed messages that wait as timers.
    timed: usize,
}

struct World {
    config: StoreConfig,
    txs: RefCell<Vec<Tx>>,
    tally: RefCell<Tally>,
    store: RefCell<Option<Store<Sim>>>,
    /// No new transaction begins; what is open is answered.
    is_last: Cell<bool>,
    /// The last crash took nothing that was acknowledged.
    keeps_all: Cell<bool>,
}

/// One life's part of the world.
struct Life {
    world: Rc<World>,
    sim: Sim,
    store: Store<Sim>,
    halves: RefCell<Halves>,
    progress: RefCell<Progress>,
}

fn micros(sim: &Sim, max: u64) -> Duration {
    Duration::from_micros(sim.random_u64() % max)
}

fn one_in(sim: &Sim, n: u64) -> bool {
    sim.random_u64().is_multiple_of(n)
}

fn config(seed: u64) -> StoreConfig {
    let mut config = StoreConfig::new("/store");
    config.commitlog_file_bytes = 96 * 1024;
    config.consumequeue_file_units = 50;
    config.message_bytes_max = 8 * 1024;
    config.chunk_bytes = 16 * 1024;
    config.tail_bytes_max = config.tail_bytes_min();
    config.flush_interval_ms = 4;
    config.consumequeue_interval_ms = 7;
    config.checkpoint_interval_ms = 30;
    config.index_slots = 40;
    config.index_entries = 90;
    config.process_id = 1;
    config.tail_place = TailPlace::Folder { path: "/dev/shm".into(), is_required: false };
    config.flush = if seed.is_multiple_of(2) { FlushPolicy::Sync } else { FlushPolicy::Async };
    let is_mapped = (seed / 2).is_multiple_of(3);
    config.backend = if is_mapped { LogBackend::Mmap } else { LogBackend::Direct };
    config
}

impl World {
    fn is_sync(&self) -> bool {
        self.config.flush == FlushPolicy::Sync
    }

    /// One life and its end; the machine of the next.
    fn live(self: &Rc<Self>, sim: &Sim) -> Sim {
        let time = Duration::from_micros(2_000 + sim.random_u64() % 60_000);
        let is_closed = sim.block_on(or(self.clone().work(sim.clone()), async {
            sim.sleep(time).await;
            false
        }));
        let mut tally = self.tally.borrow_mut();
        let store = self.store.take();
        if is_closed {
            tally.stops += 1;
            self.keeps_all.set(true);
            return sim.kill();
        }
        if one_in(sim, 2) {
            tally.kills += 1;
            let is_kept = |store: &Store<Sim>| {
                matches!(store.tail_memory(), TailMemory::Kept { .. })
                    || store.written() == store.appended()
            };
            let acknowledges_written = self.config.backend == LogBackend::Mmap;
            let kept = store.as_ref().is_none_or(is_kept) || acknowledges_written;
            self.keeps_all.set(self.keeps_all.get() && kept || self.is_sync());
            return sim.kill();
        }
        tally.power_cuts += 1;
        self.keeps_all.set(self.is_sync());
        sim.crash().0
    }

    /// Opens, checks, works until the store is closed (or for ever).
    async fn work(self: Rc<Self>, sim: Sim) -> bool {
        let life = self.open(&sim).await;
        sim.spawn(Priority::Foreground, life.clone().check());
        sim.spawn(Priority::Foreground, life.clone().save());
        for _ in 0..2 {
            sim.spawn(Priority::Foreground, life.clone().produce());
        }
        if one_in(&sim, 4) {
            sim.sleep(micros(&sim, 40_000)).await;
            if life.store.close().await.is_ok() {
                return true;
            }
        }
        std::future::pending().await
    }

    async fn open(self: &Rc<Self>, sim: &Sim) -> Rc<Life> {
        let store = Store::open(sim.clone(), self.config.clone()).await.unwrap();
        self.store.replace(Some(store.clone()));
        let saved = sim.read_file(Path::new(SAVED)).await.unwrap_or_default();
        let saved: Vec<i64> = String::from_utf8(saved)
            .unwrap()
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        for (topic, saved) in [TRANS_HALF_TOPIC, TRANS_OP_HALF_TOPIC].iter().zip(&saved) {
            let end = reading::end(&store, topic);
            assert!(
                *saved <= end,
                "what is saved runs ahead: {saved} of {topic}, which ends at {end}"
            );
        }
        let from = recover::first(&store, saved.first().copied(), saved.get(1).copied());
        let mut halves = Halves::new(OPTIONS, from.half);
        let recovered = recover::recover(&store, from, &mut halves).await.unwrap();
        let mut progress = Progress::default();
        progress.begin(from);
        {
            let mut tally = self.tally.borrow_mut();
            tally.found_committed += recovered.were_committed;
            tally.revived += recovered.to_copy.len();
            tally.superseded += recovered.without_op.len() - recovered.were_committed;
            tally.skipped += usize::try_from(from.half).unwrap();
            tally.open_after_crash += halves.each().count();
        }
        let life = Rc::new(Life {
            world: self.clone(),
            sim: sim.clone(),
            store,
            halves: RefCell::new(halves),
            progress: RefCell::new(progress),
        });
        if !recovered.without_op.is_empty() {
            let op = Op::of(&recovered.without_op);
            let pieces = op.pieces();
            life.append(&[op.draft(&pieces, sim.wall_ms(), host())]).await;
        }
        for offset in &recovered.to_copy {
            life.copy(*offset, false).await;
        }
        life.reconcile().await;
        life
    }
}

impl Life {
    /// Appends, with patience; where each went. Completes when that is acknowledged.
    async fn append(&self, drafts: &[RecordDraft<'_>]) -> Vec<engine::Appended> {
        let mut places = vec![];
        loop {
            match self.store.append_all(drafts, |place| places.push(*place)) {
                Ok(end) => {
                    frame::passed(&self.store, end).await.expect("the disk works");
                    return places;
                }
                Err(AppendError::TailFull { .. }) => self.store.wait_writable().await,
                Err(AppendError::Closed) => std::future::pending().await,
                Err(error) => panic!("{error}"),
            }
            self.sim.sleep(Duration::from_micros(50)).await;
        }
    }

    /// What the log has is what the oracle allows.
    async fn reconcile(&self) {
        let (counted, halves) = (self.messages().await, self.keys_of_halves().await);
        let mut is_open = HashMap::new();
        let open: Vec<Current> = self.halves.borrow().each().collect();
        for Current { at, .. } in open {
            let half = self.store.message_at(at).await.unwrap().expect("an open half message");
            is_open.insert(key_of(&RecordView::parse(&half).unwrap()), ());
        }
        let keeps_all = self.world.keeps_all.get();
        let mut txs = self.world.txs.borrow_mut();
        for (key, tx) in txs.iter_mut().enumerate() {
            let times = counted.get(&key).copied().unwrap_or(0);
            assert!(times <= usize::from(tx.commits), "{key} came {times} times: {tx:?}");
            let survived = halves.contains_key(&key);
            if keeps_all {
                assert!(survived || !tx.is_prepared, "half message {key} is gone");
                assert!(!tx.is_ended || !is_open.contains_key(&key), "{key} is open again");
                assert!(!tx.is_ended || times == usize::from(tx.commits), "{key}: {tx:?}");
            }
            if survived && !is_open.contains_key(&key) {
                assert_eq!(times, usize::from(tx.commits), "{key} is neither open nor done");
            }
            tx.is_prepared &= survived;
            tx.is_ended &= survived && !is_open.contains_key(&key);
        }
    }

    /// How often each message is in its topic, or waits for its delay or time.
    async fn messages(&self) -> HashMap<usize, usize> {
        let mut counted = HashMap::new();
        for (topic, queue_id) in [("T", 0), ("T", 1), (SCHEDULE_TOPIC, 0), (TIMER_TOPIC, 0)] {
            for key in self.keys(topic, queue_id).await {
                *counted.entry(key).or_default() += 1;
            }
        }
        counted
    }

    async fn keys_of_halves(&self) -> HashMap<usize, ()> {
        self.keys(TRANS_HALF_TOPIC, QUEUE_ID).await.into_iter().map(|key| (key, ())).collect()
    }

    async fn keys(&self, topic: &str, queue_id: i32) -> Vec<usize> {
        let (mut at, mut keys) = (0, vec![]);
        while let Some(found) = reading::read(&self.store, topic, queue_id, at, 32).await.unwrap() {
            let all = found.slices.iter().flat_map(|slice| records_of(slice));
            keys.extend(all.map(|record| key_of(&record.unwrap())));
            at = found.next;
        }
        keys
    }

    async fn produce(self: Rc<Self>) {
        while !self.world.is_last.get() {
            self.sim.sleep(micros(&self.sim, 1_500)).await;
            let commits = !one_in(&self.sim, 3);
            let key = {
                let mut txs = self.world.txs.borrow_mut();
                txs.push(Tx { commits, is_prepared: false, is_ended: false });
                txs.len() - 1
            };
            let delay = match self.sim.random_u64() % 6 {
                0 => "DELAY\u{1}1\u{2}",
                1 => "TIMER_DELAY_SEC\u{1}3600\u{2}",
                _ => "",
            };
            let queue = self.sim.random_u64() % 2;
            let properties = format!(
                "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}UNIQ_KEY\u{1}{key}\u{2}{delay}\
                 REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}{queue}\u{2}"
            );
            let pieces = [properties.as_bytes()];
            let now_ms = self.sim.wall_ms();
            let body = vec![7; usize::try_from(self.sim.random_u64() % 700).unwrap()];
            let half = RecordDraft {
                topic: TRANS_HALF_TOPIC,
                body: &body,
                properties: &pieces,
                ..Op::of(&[]).draft(&[&[]], now_ms, host())
            };
            let place = self.append(&[half]).await[0];
            self.world.txs.borrow_mut()[key].is_prepared = true;
            if one_in(&self.sim, 4) {
                continue; // it waits to be asked
            }
            self.sim.sleep(micros(&self.sim, 6_000)).await;
            let times = if one_in(&self.sim, 4) { 3 } else { 1 };
            for _ in 0..times {
                self.sim.spawn(
                    Priority::Foreground,
                    self.clone().end(key, place.physical_offset, commits),
                );
            }
            self.world.tally.borrow_mut().repeated += times - 1;
        }
    }

    /// As [`super::end`].
    async fn end(self: Rc<Self>, key: usize, at: PhyOffset, commits: bool) {
        let Ok(Some(half)) = self.store.message_at(at).await else { return };
        let record = RecordView::parse(&half).unwrap();
        let facts = Facts::of(&record).unwrap();
        let current = loop {
            let may = self.halves.borrow_mut().begin_end(&facts, self.sim.wall_ms());
            match may {
                MayEnd::Yes(current) => break current,
                MayEnd::Busy => self.sim.sleep(Duration::from_micros(100)).await,
                MayEnd::Over => return,
            }
        };
        let now_ms = self.sim.wall_ms();
        if commits {
            let queue = properties::get(record.properties(), names::REAL_QUEUE_ID).unwrap();
            let to = ("T", queue.parse().unwrap());
            let levels = &self.world.config.delay_levels;
            let asked = Asked::of(record.properties());
            let timer = Timer::of(&asked, 0, now_ms, &config::options(&[]).timers).unwrap();
            self.world.tally.borrow_mut().timed += usize::from(timer.is_some());
            let copy = records::committed(&record, to, current.at, (levels, timer));
            let pieces = copy.pieces();
            let message = copy.draft(&record, &pieces, host());
            let op = Op::behind(self.store.record_bytes(&message).unwrap(), current.offset);
            self.append(&[message, op.draft(&op.pieces(), now_ms, host())]).await;
        } else {
            let op = Op::of(&[current.offset]);
            self.append(&[op.draft(&op.pieces(), now_ms, host())]).await;
        }
        self.halves.borrow_mut().ended(current.offset);
        self.world.txs.borrow_mut()[key].is_ended = true;
    }

    /// As [`super::check`].
    async fn check(self: Rc<Self>) {
        loop {
            self.look().await;
            let due = self.halves.borrow_mut().take_due(self.sim.wall_ms());
            match due {
                Some(due) => self.ask(due.offset).await,
                None => self.sim.sleep(Duration::from_micros(500)).await,
            }
        }
    }

    async fn look(&self) {
        loop {
            let end = reading::end(&self.store, TRANS_HALF_TOPIC);
            let Some((at, count)) = self.halves.borrow_mut().next_to_look(end) else { return };
            let count = usize::try_from(count).unwrap();
            let read = reading::read(&self.store, TRANS_HALF_TOPIC, QUEUE_ID, at, count).await;
            let Ok(Some(found)) = read else { return };
            for half in found.slices.iter().flat_map(|slice| records_of(slice)) {
                let facts = Facts::of(&half.unwrap()).unwrap();
                let looked = self.halves.borrow_mut().look(&facts, self.sim.wall_ms(), true);
                match looked {
                    Look::Open | Look::Known => {}
                    Look::Wait(_) => return,
                    other => panic!("{facts:?}: {other:?}"),
                }
            }
        }
    }

    async fn ask(self: &Rc<Self>, offset: i64) {
        let (key, at) = self.copy(offset, true).await;
        let tx = self.world.txs.borrow()[key];
        assert!(!tx.is_ended, "asked about {key}, which has ended: {tx:?}");
        self.world.tally.borrow_mut().asked += 1;
        if self.world.is_last.get() || !one_in(&self.sim, 3) {
            self.sim.spawn(Priority::Foreground, self.clone().end(key, at, tx.commits));
        }
    }

    /// A copy of an open half message, for a question or not: its key and place.
    async fn copy(&self, offset: i64, is_question: bool) -> (usize, PhyOffset) {
        let read = reading::read(&self.store, TRANS_HALF_TOPIC, QUEUE_ID, offset, 1).await;
        let found = read.unwrap().expect("an open half message is there");
        let record = RecordView::parse(&found.slices[0]).unwrap();
        let facts = Facts::of(&record).unwrap();
        let copy = records::asked(&record, facts.checks + i32::from(is_question), facts.first);
        let pieces = copy.pieces();
        let message = copy.draft(&record, &pieces, host());
        let op = Op::behind(self.store.record_bytes(&message).unwrap(), offset);
        let op_pieces = op.pieces();
        let both = [message, op.draft(&op_pieces, self.sim.wall_ms(), host())];
        let place = self.append(&both).await[0];
        let current = Current { offset: place.queue_offset.0, at: place.physical_offset };
        self.halves.borrow_mut().renewed(offset, current, place.store_timestamp_ms);
        (key_of(&record), current.at)
    }

    /// As the tick and the file of offsets.
    async fn save(self: Rc<Self>) {
        loop {
            self.sim.sleep(micros(&self.sim, 4_000)).await;
            let ends = Ends {
                half: reading::end(&self.store, TRANS_HALF_TOPIC),
                op: reading::end(&self.store, TRANS_OP_HALF_TOPIC),
            };
            let frontier = self.halves.borrow().frontier();
            let news = {
                let mut progress = self.progress.borrow_mut();
                progress.snapshot(frontier, ends, self.store.appended(), false);
                progress.flushed(self.store.flushed())
            };
            if let Some(Frontier { half, op }) = news {
                let text = format!("{half} {op}").into_bytes();
                self.sim.replace_file(Path::new(SAVED), text, true).await.unwrap();
            }
        }
    }

    fn is_done(&self) -> bool {
        let end = reading::end(&self.store, TRANS_HALF_TOPIC);
        self.halves.borrow().count(end) == 0
    }
}

fn key_of(record: &RecordView<'_>) -> usize {
    properties::get(record.properties(), names::UNIQ_KEY).unwrap().parse().unwrap()
}

fn run(seed: u64, all: &mut Tally) {
    let mut sim = Sim::with_config(SimConfig::with_seed(seed));
    let world = Rc::new(World {
        config: config(seed),
        txs: RefCell::default(),
        tally: RefCell::default(),
        store: RefCell::default(),
        is_last: Cell::new(false),
        keeps_all: Cell::new(true),
    });
    for _ in 0..LIVES {
        sim = world.live(&sim);
    }
    world.is_last.set(true);
    sim.block_on(async {
        let life = world.open(&sim).await;
        sim.spawn(Priority::Foreground, life.clone().check());
        let mut waits = 0;
        while !life.is_done() {
            sim.sleep(Duration::from_millis(1)).await;
            waits += 1;
            assert!(waits < 10_000, "some transactions never end");
        }
        life.reconcile().await;
    });
    sim.end();
    let tally = world.tally.borrow();
    for (sum, one) in [
        (&mut all.power_cuts, tally.power_cuts),
        (&mut all.kills, tally.kills),
        (&mut all.stops, tally.stops),
        (&mut all.asked, tally.asked),
        (&mut all.repeated, tally.repeated),
        (&mut all.found_committed, tally.found_committed),
        (&mut all.superseded, tally.superseded),
        (&mut all.revived, tally.revived),
        (&mut all.skipped, tally.skipped),
        (&mut all.open_after_crash, tally.open_after_crash),
        (&mut all.timed, tally.timed),
    ] {
        *sum += one;
    }
}

#[test]
fn simulation_of_transactions_over_kills_and_power_cuts() {
    let seeds = CAMPAIGN.seeds();
    let (is_whole, mut all) = (CAMPAIGN.is_whole(&seeds), Tally::default());
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let _replay = CAMPAIGN.replay(seed);
        run(seed, &mut all);
    }
    eprintln!("{count} seeds: {all:#?}");
    if is_whole {
        let at_least = [
            (all.power_cuts, 60),
            (all.kills, 60),
            (all.stops, 5),
            (all.asked, 1_000),
            (all.repeated, 200),
            (all.skipped, 1_000),
            (all.open_after_crash, 200),
            (all.timed, 100),
        ];
        assert!(at_least.iter().all(|(found, least)| found >= least), "a tame campaign: {all:?}");
    }
    if count >= 2_000 {
        let torn = [all.found_committed, all.superseded, all.revived];
        assert!(torn.iter().all(|found| *found > 0), "no pair was torn: {all:?}");
    }
}
