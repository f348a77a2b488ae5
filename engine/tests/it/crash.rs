//! A crash at any point: the log is a prefix of what was appended, with everything that was flushed
//! (power cut) or written (SIGKILL), and the queues agree with it. Under SYNC_FLUSH what nobody was
//! told of may be missing in between: a break with records behind it is not cut there, because it
//! could be damage with acknowledged messages behind it.

use crate::oracle::{Oracle, Replay, Sent, seeds, small_config};
use engine::{FlushPolicy, LogBackend, PhyOffset, Store, StoreConfig};
use rt::Runtime;
use rt::sim::Sim;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

/// What the crashes of a test did, to show that they were not vacuous.
#[derive(Default, Debug)]
struct Tally {
    torn: usize,
    unsynced: usize,
    messages_lost: usize,
    messages_kept: usize,
    scanned: u64,
    torn_out: usize,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.torn += other.torn;
        self.unsynced += other.unsynced;
        self.messages_lost += other.messages_lost;
        self.messages_kept += other.messages_kept;
        self.scanned += other.scanned;
        self.torn_out += other.torn_out;
    }
}

/// What outlives a crash, on the test's side.
#[derive(Default)]
struct Witness {
    oracle: RefCell<Oracle>,
    store: RefCell<Option<Store<Sim>>>,
    survives: Cell<PhyOffset>,
    /// Log offsets of messages that nobody had been told of when their life ended.
    unacknowledged: RefCell<BTreeSet<PhyOffset>>,
    /// Messages before this life.
    before: Cell<usize>,
    tally: RefCell<Tally>,
}

impl Witness {
    /// One life: open, check, send until time is up.
    async fn live(&self, sim: &Sim, config: StoreConfig) {
        let is_prefix = config.flush == FlushPolicy::Async;
        let store = Store::open(sim.clone(), config).await.unwrap();
        self.store.replace(Some(store.clone()));
        self.forget_lost(&store);
        self.check(&store, is_prefix).await;
        self.before.set(self.oracle.borrow().sent.len());
        loop {
            let random = sim.random_u64();
            let queue = (
                ["alpha", "beta"][usize::try_from(random & 1).unwrap()],
                i32::try_from((random >> 1) % 3).unwrap(),
            );
            let len = usize::try_from((random >> 16) % 3000).unwrap();
            let appended = self.oracle.borrow_mut().append(&store, queue, "red", len);
            match appended {
                Ok(_) => sim.sleep(Duration::from_nanos((random >> 32) % 200_000)).await,
                Err(_) => store.wait_writable().await,
            }
        }
    }

    /// The log ends somewhere: nothing that had to survive is behind the end, and the oracle
    /// forgets the rest.
    fn forget_lost(&self, store: &Store<Sim>) {
        let (end, survives) = (store.appended(), self.survives.get());
        let mut oracle = self.oracle.borrow_mut();
        let must_stay = oracle.sent.iter().filter(|sent| sent.at.end() <= survives).count();
        let sent = oracle.sent.len();
        oracle.sent.retain(|sent| sent.at.end() <= end);
        assert!(
            oracle.sent.len() >= must_stay,
            "{} of {must_stay} are there: the log ends at {end}, {survives} had to survive",
            oracle.sent.len()
        );
        let mut tally = self.tally.borrow_mut();
        tally.messages_lost += sent - oracle.sent.len();
        tally.messages_kept += oracle.sent.len();
        tally.scanned += store.recovered().records_scanned;
    }

    /// What is left is served. Where the log need not be a prefix, what is torn out was never
    /// acknowledged.
    async fn check(&self, store: &Store<Sim>, is_prefix: bool) {
        let sent = self.oracle.borrow().sent.clone();
        let mut torn_out = BTreeSet::new();
        for sent in sent.iter().filter(|_| !is_prefix) {
            if store.message_at(sent.at.physical_offset).await.unwrap().is_none() {
                assert!(
                    self.unacknowledged.borrow().contains(&sent.at.physical_offset),
                    "{:?} was acknowledged and is gone",
                    sent.at
                );
                torn_out.insert(sent.at.physical_offset);
            }
        }
        // The last of a queue leave nothing behind: their queue offsets are free again.
        let is_free = |sent: &Sent| {
            torn_out.contains(&sent.at.physical_offset)
                && store
                    .queue_range(&sent.topic, sent.queue_id)
                    .is_none_or(|range| sent.at.queue_offset >= range.max_offset)
        };
        let kept = Oracle { sent: sent.into_iter().filter(|sent| !is_free(sent)).collect() };
        let lost: Vec<usize> = (0..kept.sent.len())
            .filter(|nth| torn_out.contains(&kept.sent[*nth].at.physical_offset))
            .collect();
        if lost.is_empty() {
            kept.check(store).await;
        }
        kept.check_but(store, &lost).await;
        self.tally.borrow_mut().torn_out += lost.len();
        self.oracle.replace(kept);
    }

    fn crash(&self, sim: &Sim, power_cut: bool) -> Sim {
        if let Some(store) = self.store.take() {
            let survives = if power_cut { store.flushed() } else { store.written() };
            self.survives.set(survives);
            let oracle = self.oracle.borrow();
            let of_this_life = oracle.sent.iter().skip(self.before.replace(usize::MAX));
            self.unacknowledged.borrow_mut().extend(
                of_this_life
                    .filter(|sent| sent.at.end() > survives)
                    .map(|sent| sent.at.physical_offset),
            );
        }
        if !power_cut {
            return sim.kill();
        }
        let (after, report) = sim.crash();
        let mut tally = self.tally.borrow_mut();
        tally.torn += report.torn_writes;
        tally.unsynced += report.unsynced_writes;
        after
    }
}

fn configured(flush: FlushPolicy, backend: LogBackend) -> StoreConfig {
    StoreConfig { flush, backend, ..small_config("/store") }
}

fn crash_often(seed: u64, power_cut: bool, config: &StoreConfig) -> Tally {
    let (mut sim, witness) = (Sim::new(seed), Witness::default());
    for _ in 0..5 {
        let time = Duration::from_micros(500 + sim.random_u64() % 60_000);
        sim.block_on(futures_lite::future::or(witness.live(&sim, config.clone()), sim.sleep(time)));
        sim = witness.crash(&sim, power_cut);
    }
    sim.block_on(async {
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        witness.forget_lost(&store);
        witness.check(&store, config.flush == FlushPolicy::Async).await;
        store.close().await.unwrap();
    });
    witness.tally.take()
}

#[test]
fn a_power_cut_loses_nothing_that_was_flushed() {
    let (mut all, seeds) = (Tally::default(), seeds(120));
    for seed in &seeds {
        let _replay = Replay(*seed, "a_power_cut_loses_nothing_that_was_flushed");
        all.add(&crash_often(*seed, true, &configured(FlushPolicy::Async, LogBackend::Direct)));
    }
    let Tally { torn, unsynced, messages_lost, messages_kept, scanned, torn_out } = all;
    assert_eq!(torn_out, 0, "under ASYNC_FLUSH the log is a prefix");
    eprintln!(
        "{unsynced} writes un-synced at the crashes, {torn} torn; messages: {messages_lost} \
            lost, {messages_kept} kept, {scanned} scanned"
    );
    if seeds.len() > 1 {
        assert!(
            torn > 20 && messages_lost > 50 && messages_kept > 1000 && scanned > 100,
            "the crashes were too tame"
        );
    }
}

#[test]
fn a_power_cut_loses_nothing_that_sync_flush_acknowledged() {
    let (mut all, seeds) = (Tally::default(), seeds(60));
    for seed in &seeds {
        let _replay = Replay(*seed, "a_power_cut_loses_nothing_that_sync_flush_acknowledged");
        for backend in [LogBackend::Direct, LogBackend::Mmap] {
            all.add(&crash_often(*seed, true, &configured(FlushPolicy::Sync, backend)));
        }
    }
    eprintln!("{all:?}");
    if seeds.len() > 1 {
        assert!(
            all.torn > 10 && all.messages_lost > 20 && all.messages_kept > 1000,
            "the crashes were too tame: {all:?}"
        );
    }
}

#[test]
fn a_killed_process_loses_nothing_that_mmap_acknowledged() {
    let (mut all, seeds) = (Tally::default(), seeds(20));
    for seed in &seeds {
        let _replay = Replay(*seed, "a_killed_process_loses_nothing_that_mmap_acknowledged");
        all.add(&crash_often(*seed, false, &configured(FlushPolicy::Async, LogBackend::Mmap)));
    }
    if seeds.len() > 1 {
        assert!(all.messages_kept > 1000, "{all:?}");
    }
}

#[test]
fn a_killed_process_loses_nothing_that_was_written() {
    let (mut all, seeds) = (Tally::default(), seeds(20));
    for seed in &seeds {
        let _replay = Replay(*seed, "a_killed_process_loses_nothing_that_was_written");
        all.add(&crash_often(*seed, false, &configured(FlushPolicy::Async, LogBackend::Direct)));
    }
    if seeds.len() > 1 {
        assert!(all.messages_kept > 1000, "{all:?}");
    }
}

#[test]
fn nothing_that_was_cut_comes_back() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "nothing_that_was_cut_comes_back");
        let sim = Sim::new(seed);
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 120).await;
            sim.sleep(Duration::from_millis(100)).await;
        });
        // The log is torn in the middle of what nobody had flushed, as far as anybody knows:
        // neither manifest, flushed mark nor checkpoint says so. What follows is cut, and must stay
        // cut when the log grows to just before it again.
        let sim = sim.kill();
        let nth = oracle.sent.iter().skip(60).position(|sent| sent.at.bytes > 200).unwrap() + 60;
        let victim = oracle.sent[nth].at;
        let path = format!(
            "/store/commitlog/{:020}",
            victim.physical_offset.0 / (96 * 1024) * (96 * 1024)
        );
        sim.damage(std::path::Path::new(&path), victim.physical_offset.0 % (96 * 1024) + 90);
        sim.block_on(async {
            sim.remove_file(std::path::Path::new("/store/consumequeue.manifest")).await.unwrap();
            sim.remove_file(std::path::Path::new("/store/checkpoint")).await.unwrap();
            sim.remove_file(std::path::Path::new("/store/commitlog.flushed")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.appended(), victim.physical_offset);
            oracle.sent.truncate(nth);
            oracle.check(&store).await;
            let filler =
                oracle.append_waiting(&store, ("alpha", 0), "red", victim.bytes - 91 - 5 - 9).await;
            assert_eq!(
                filler.end(),
                victim.end(),
                "the filler ends where the damaged record ended"
            );
            store.close().await.unwrap();
            sim.remove_file(std::path::Path::new("/store/consumequeue.manifest")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(
                store.appended(),
                filler.end(),
                "what followed the damaged record has not come back"
            );
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}
