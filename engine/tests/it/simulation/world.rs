//! One machine with one store: its lives, what goes on in them, and what goes wrong.

use super::breaking::{LOG, QUEUES, break_things, micros, of_an_opening};
use super::model::{Model, Promise, Queue};
use super::reading::{key_query, places_of};
use super::rot::damage_a_flushed_message;
use super::tally::Tally;
use crate::oracle::{draft, small_config};
use engine::{
    AppendError, DeleteWhen, FlushPolicy, LogBackend, OpenError, PhyOffset, QueueRange,
    RetentionConfig, Store, StoreConfig, StoreError, TailMemory, TailPlace,
};
use futures_lite::future::or;
use protocol::batch::BatchEntry;
use rt::sim::{Sim, SimConfig};
use rt::{Priority, Runtime};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

const TOPICS: [&str; 3] = ["alpha", "beta", "gamma"];
static KEPT: LazyLock<TailPlace> =
    LazyLock::new(|| TailPlace::Folder { path: "/dev/shm".into(), is_required: false });
const THREE_DAYS: Duration = Duration::from_secs(80 * 3600);

/// What outlives a crash, on the test's side.
pub(crate) struct World {
    pub(crate) model: RefCell<Model>,
    pub(crate) tally: RefCell<Tally>,
    pub(super) config: StoreConfig,
    /// Of this life.
    tail_place: RefCell<TailPlace>,
    is_direct: bool,
    /// Every fifth machine is a bad one: faults come five times as often, in lives that are three
    /// times as long.
    is_bad: bool,
    store: RefCell<Option<Store<Sim>>>,
    promise: Cell<Promise>,
    /// What the last life that served had flushed.
    flushed: Cell<PhyOffset>,
    /// Where the log began when the store was closed.
    log_begin: Cell<PhyOffset>,
    sent: Cell<u64>,
}

/// How a life ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Closed,
    TimeUp,
}

/// Every message has its own key: the number that its body begins with.
pub(super) fn key_of(body: &[u8]) -> &str {
    std::str::from_utf8(body.split(|byte| *byte == b'-').next().unwrap()).unwrap()
}

fn properties_of(body: &[u8]) -> Vec<u8> {
    format!("TAGS\u{1}red\u{2}KEYS\u{1}{}\u{2}", key_of(body)).into_bytes()
}

type Ranged = (Queue, Option<QueueRange>);

impl World {
    /// A machine as the seed has it: policy, backend and file system differ.
    pub(crate) fn new(seed: u64) -> (Rc<Self>, Sim) {
        let flush = if seed.is_multiple_of(2) { FlushPolicy::Sync } else { FlushPolicy::Async };
        let backend =
            if (seed / 2).is_multiple_of(3) { LogBackend::Mmap } else { LogBackend::Direct };
        let direct_io = !(seed / 6).is_multiple_of(4);
        let all_day: Vec<String> = (0..24).map(|hour: i32| hour.to_string()).collect();
        let delete_when = DeleteWhen::parse(&all_day.join(";")).unwrap();
        let retention = RetentionConfig {
            delete_when,
            interval_ms: 20,
            file_interval_ms: 1,
            batch_max: 3,
            ..RetentionConfig::default()
        };
        // Two in three seeds sync the whole file system, as stores with many queues do.
        let few_queues_max = [0, 2, 256][usize::try_from(seed / 7 % 3).unwrap()];
        // One in four has a checkpoint for each few messages.
        let checkpoint_bytes = if seed / 3 % 4 == 3 { 16 * 1024 } else { u64::MAX };
        let config = StoreConfig {
            flush,
            backend,
            retention,
            few_queues_max,
            checkpoint_bytes,
            ..small_config("/store")
        };
        let sim = Sim::with_config(SimConfig { direct_io, ..SimConfig::with_seed(seed) });
        let world = Self {
            model: RefCell::default(),
            tally: RefCell::default(),
            config,
            tail_place: RefCell::new(KEPT.clone()),
            is_bad: seed % 5 == 4,
            is_direct: direct_io && backend == LogBackend::Direct,
            store: RefCell::default(),
            promise: Cell::default(),
            flushed: Cell::default(),
            log_begin: Cell::default(),
            sent: Cell::new(0),
        };
        (Rc::new(world), sim)
    }

    pub(super) fn is_sync(&self) -> bool {
        self.config.flush == FlushPolicy::Sync
    }

    /// One life and its end; the machine of the next.
    pub(crate) fn live(self: &Rc<Self>, sim: &Sim) -> Sim {
        let time = Duration::from_micros(
            500 + sim.random_u64() % if self.is_bad { 300_000 } else { 100_000 },
        );
        let ended = sim.block_on(or(self.clone().work(sim.clone()), async {
            sim.sleep(time).await;
            End::TimeUp
        }));
        self.tally.borrow_mut().add_faults(&sim.fault_counts());
        let next = match ended {
            End::Closed => {
                let next = sim.kill();
                // A close that failed leaves memory, where what is damaged on disk is whole.
                if next.kept_files().is_empty() && next.random_u64().is_multiple_of(2) {
                    self.damage_at_rest(&next);
                }
                next
            }
            End::TimeUp => self.crash_and_rot(sim),
        };
        next.set_capacity(None);
        next
    }

    fn crash_and_rot(&self, sim: &Sim) -> Sim {
        let next = self.crash(sim);
        if !self.is_sync() && next.random_u64().is_multiple_of(3) {
            let damaged = damage_a_flushed_message(&next, &mut self.model.borrow_mut());
            self.tally.borrow_mut().rotten += usize::from(damaged.is_some());
            self.tally.borrow_mut().rotten_behind_manifest += usize::from(damaged == Some(true));
        }
        next
    }

    fn crash(&self, sim: &Sim) -> Sim {
        // A failed fdatasync of a cached log leaves pages that only this system's memory has:
        // repairing the disk means a reboot.
        let needs_reboot = !self.is_direct && sim.fault_counts().sync_errors > 0;
        let is_power_cut = needs_reboot || !sim.random_u64().is_multiple_of(3);
        let mut tally = self.tally.borrow_mut();
        match self.store.take() {
            Some(store) => {
                let is_kept = matches!(store.tail_memory(), TailMemory::Kept { .. });
                let survives = match (is_power_cut, is_kept) {
                    (true, _) => store.flushed(),
                    (false, true) => store.appended(),
                    (false, false) => store.written(),
                };
                let is_unwritten = store.written() < store.appended();
                tally.kills_of_kept += usize::from(is_kept && !is_power_cut && is_unwritten);
                tally.crashes_before_flush += usize::from(store.flushed() < store.written());
                tally.crashes_before_write += usize::from(store.written() < store.appended());
                tally.poisoned += usize::from(store.poisoned().is_some());
                if self.is_sync() {
                    let seen = self.model.borrow().seen_upto;
                    assert!(
                        seen <= store.flushed().0,
                        "a consumer saw up to {seen}, {} is flushed",
                        store.flushed()
                    );
                }
                self.promise.set(Promise { survives, holes: self.is_sync() });
                self.flushed.set(store.flushed());
            }
            None => {
                tally.crashes_while_opening += 1;
                // What a kill left to the system alone, a power cut takes.
                let Promise { survives, holes } = self.promise.get();
                // Nor does it leave the mark that says that damage lies below what was flushed, if
                // no sync has covered it: the damage may be taken for the torn end then.
                let rotten = self.model.borrow().rotten.first().copied().unwrap_or(u64::MAX);
                let survives_power_cut = survives.min(self.flushed.get()).min(PhyOffset(rotten));
                self.promise.set(Promise {
                    survives: if is_power_cut { survives_power_cut } else { survives },
                    holes: holes || self.is_sync(),
                });
            }
        }
        if !is_power_cut {
            tally.kills += 1;
            return sim.kill();
        }
        let (after, report) = sim.crash();
        tally.power_cuts += 1;
        tally.torn += report.torn_writes;
        after
    }

    /// Where the tail is in this life, if it matters: mostly where it outlives the process, at
    /// times with little memory or none for it.
    fn place_tail(&self, sim: &Sim) {
        let (place, room) = match sim.random_u64() % 10 {
            0 => (TailPlace::Private, None),
            1 => (TailPlace::Nowhere { reason: "no tmpfs".to_owned() }, None),
            2 => (KEPT.clone(), Some(100_000)),
            3 | 4 => (KEPT.clone(), Some(700_000)),
            _ => (KEPT.clone(), None),
        };
        *self.tail_place.borrow_mut() = place;
        sim.set_kept_room(room);
    }

    fn life_config(&self) -> StoreConfig {
        StoreConfig { tail_place: self.tail_place.borrow().clone(), ..self.config.clone() }
    }

    /// Opens, checks, works until the store is closed (or for ever).
    async fn work(self: Rc<Self>, sim: Sim) -> End {
        self.place_tail(&sim);
        let store = self.open(&sim).await;
        tracing::info!(recovered = ?store.recovered(), "simulation: opened");
        self.reconcile(&store).await;
        self.store.replace(Some(store.clone()));
        self.spawn_workers(&sim, &store);
        if sim.random_u64().is_multiple_of(3) {
            sim.sleep(micros(&sim, 60_000)).await;
            sim.clear_faults();
            sim.set_capacity(None);
            if store.close().await.is_ok() {
                let end = store.appended();
                self.log_begin.set(store.log_begin());
                self.flushed.set(end);
                self.promise.set(Promise { survives: end, holes: false });
                self.store.take();
                self.tally.borrow_mut().closes += 1;
                return End::Closed;
            }
        }
        std::future::pending().await
    }

    fn spawn_workers(self: &Rc<Self>, sim: &Sim, store: &Store<Sim>) {
        for _ in 0..2 {
            sim.spawn(Priority::Foreground, self.clone().produce(sim.clone(), store.clone()));
            sim.spawn(Priority::Foreground, self.clone().consume(sim.clone(), store.clone()));
        }
        sim.spawn(Priority::Background, self.clone().administrate(sim.clone(), store.clone()));
        sim.spawn(
            Priority::Background,
            break_things(sim.clone(), if self.is_bad { 15_000 } else { 80_000 }),
        );
    }

    /// Opens the store; at times while the device fails, and then again when it works.
    pub(crate) async fn open(&self, sim: &Sim) -> Store<Sim> {
        while sim.random_u64().is_multiple_of(3) {
            sim.inject(of_an_opening(sim));
            let opened = Store::open(sim.clone(), self.life_config()).await;
            sim.clear_faults();
            match opened {
                Ok(store) => return store,
                Err(OpenError::File(error) | OpenError::Store(StoreError::File(error))) => {
                    let errno = error.source.raw_os_error();
                    assert!(matches!(errno, Some(5 | 24 | 28)), "{error}");
                }
                Err(error) => panic!("{error}"),
            }
            self.tally.borrow_mut().failed_opens += 1;
        }
        Store::open(sim.clone(), self.life_config()).await.unwrap()
    }

    pub(crate) async fn reconcile(&self, store: &Store<Sim>) {
        // A copy: the life may end before this does.
        let mut model = self.model.borrow().clone();
        let found = model.reconcile(store, self.promise.get()).await;
        // What is there now is durable: it was made so before anything was served.
        assert_eq!(store.flushed(), store.appended());
        self.promise.set(Promise { survives: store.flushed(), holes: self.is_sync() });
        self.flushed.set(store.flushed());
        model.seen_upto = 0;
        *self.model.borrow_mut() = model;
        let mut tally = self.tally.borrow_mut();
        tally.add_found(&found);
        tally.damage_told += usize::try_from(store.recovered().damaged_stretches).unwrap();
        tally.taken_over += usize::from(store.recovered().taken_over_bytes > 0);
        tally.tails_without_room += usize::from(matches!(
            (self.tail_place.borrow().clone(), store.tail_memory()),
            (TailPlace::Folder { .. }, TailMemory::NotKept { .. })
        ));
    }

    /// ConsumeQueues and indexes are derived: without them the store gives the same answers.
    pub(crate) async fn check_derived(mut self, sim: &Sim) -> Tally {
        // Nothing goes meanwhile.
        self.config.retention.reserved_ms = u64::MAX / 4;
        let store = self.open(sim).await;
        self.reconcile(&store).await;
        let ranges = self.model.borrow().ranges(&store);
        self.check_every_key(sim, &store).await;
        store.close().await.unwrap();
        self.promise.set(Promise { survives: store.appended(), holes: false });
        for folder in [QUEUES, "/store/index"] {
            sim.remove_dir_all(Path::new(folder)).await.unwrap();
        }
        let store = self.open(sim).await;
        self.reconcile(&store).await;
        self.compare_ranges(&ranges, &self.model.borrow().ranges(&store));
        self.check_every_key(sim, &store).await;
        store.close().await.unwrap();
        self.tally.borrow_mut().rebuilds += 1;
        self.tally.take()
    }

    /// The queues that were built anew are those that were there. The places of damaged messages at
    /// a queue's beginning may be there again, or not any more: no message is.
    fn compare_ranges(&self, before: &[Ranged], after: &[Ranged]) {
        let ends = |ranges: &[Ranged]| -> Vec<_> {
            let end = |range: &Option<QueueRange>| range.map(|range| range.max_offset);
            ranges.iter().map(|(queue, range)| (*queue, end(range))).collect()
        };
        assert_eq!(ends(before), ends(after), "after deleting what is derived");
        let model = self.model.borrow();
        for ((queue, before), (_, after)) in before.iter().zip(after) {
            let begin = |range: &Option<QueueRange>| range.map_or(0, |range| range.min_offset.0);
            let (one, other) = (begin(before), begin(after));
            let between = one.min(other)..one.max(other);
            assert!(!model.has_whole(*queue, between.clone()), "{queue:?} begins at {between:?}");
        }
        // A queue whose first message damage took begins behind it: damage that the simulation did,
        // or a write that a power cut tore and a start told of (under SYNC_FLUSH it stays).
        let (tally, is_damaged) = (self.tally.borrow(), !model.damaged.is_empty());
        if !is_damaged && tally.damaged + tally.rotten + tally.damage_told == 0 {
            assert_eq!(before, after, "after deleting what is derived");
        }
    }

    /// The index agrees with the log: every message is found by its key.
    async fn check_every_key(&self, sim: &Sim, store: &Store<Sim>) {
        while store.indexed() < store.visible() {
            sim.sleep(Duration::from_millis(5)).await;
        }
        let model = self.model.borrow().clone();
        for (at, sent) in model.messages.iter().step_by(7) {
            if model.damaged.contains(at) {
                continue;
            }
            let found = store.query(key_query(sent.queue.0, &sent.body)).await.unwrap();
            assert_eq!(places_of(&found.records), [*at], "by the key of the message at {at}");
        }
    }

    pub(super) fn some_queue(&self, sim: &Sim) -> Queue {
        let random = sim.random_u64();
        (TOPICS[usize::try_from(random % 3).unwrap()], i32::try_from((random >> 8) % 2).unwrap())
    }

    fn body(&self, len: u64) -> Vec<u8> {
        self.sent.set(self.sent.get() + 1);
        let mut body = format!("{}-", self.sent.get()).into_bytes();
        body.resize(
            usize::try_from(len).unwrap().max(body.len()),
            u8::try_from(self.sent.get() % 251).unwrap(),
        );
        body
    }

    async fn produce(self: Rc<Self>, sim: Sim, store: Store<Sim>) {
        loop {
            let outcome = if sim.random_u64().is_multiple_of(8) {
                self.send_batch(&sim, &store)
            } else {
                self.send(&sim, &store)
            };
            match outcome {
                Ok(()) => sim.sleep(micros(&sim, 400)).await,
                Err(AppendError::TailFull { .. }) => {
                    or(store.wait_writable(), sim.sleep(micros(&sim, 5_000))).await
                }
                Err(AppendError::Closed) => return,
                Err(
                    AppendError::Poisoned { .. }
                    | AppendError::LogBlocked { .. }
                    | AppendError::DiskFull { .. }
                    | AppendError::DiskNearlyFull { .. },
                ) => {
                    self.tally.borrow_mut().refused += 1;
                    sim.sleep(micros(&sim, 5_000)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn send(&self, sim: &Sim, store: &Store<Sim>) -> Result<(), AppendError> {
        self.send_to(self.some_queue(sim), sim, store)
    }

    fn send_to(&self, queue: Queue, sim: &Sim, store: &Store<Sim>) -> Result<(), AppendError> {
        let body = self.body(
            sim.random_u64() % if sim.random_u64().is_multiple_of(10) { 8_000 } else { 1_500 },
        );
        let properties = properties_of(&body);
        let at = store.append(&draft(queue.0, queue.1, &body, &[&properties]))?;
        self.model.borrow_mut().appended(
            queue,
            at.physical_offset.0,
            at.end().0,
            at.queue_offset.0,
            body,
        );
        Ok(())
    }

    fn send_batch(&self, sim: &Sim, store: &Store<Sim>) -> Result<(), AppendError> {
        let queue = self.some_queue(sim);
        let bodies: Vec<Vec<u8>> =
            (0..2 + sim.random_u64() % 4).map(|_| self.body(sim.random_u64() % 800)).collect();
        let properties: Vec<Vec<u8>> = bodies.iter().map(|body| properties_of(body)).collect();
        let entries = bodies.iter().zip(&properties).map(|(body, properties)| BatchEntry {
            flag: 3,
            body,
            properties,
        });
        let batch = store.append_batch(&draft(queue.0, queue.1, &[], &[]), entries, |_| ())?;
        let mut at = batch.first.physical_offset.0;
        for (nth, body) in bodies.into_iter().enumerate() {
            let end = at + (91 + body.len() + queue.0.len() + properties[nth].len()) as u64;
            self.model.borrow_mut().appended(
                queue,
                at,
                end,
                batch.first.queue_offset.0 + i64::try_from(nth).unwrap(),
                body,
            );
            at = end;
        }
        assert_eq!(at, batch.end.0);
        Ok(())
    }

    /// Deletes topics, lets days pass.
    async fn administrate(self: Rc<Self>, sim: Sim, store: Store<Sim>) {
        loop {
            sim.sleep(micros(&sim, 40_000)).await;
            if sim.random_u64().is_multiple_of(3) {
                let begin = store.log_begin();
                sim.advance_wall(THREE_DAYS);
                sim.sleep(Duration::from_millis(30)).await;
                self.tally.borrow_mut().removals += usize::from(store.log_begin() > begin);
            } else {
                self.delete(&sim, &store);
            }
        }
    }

    /// Deletes a topic and sends to it in the same moment; the next deletion may come before this
    /// one is over.
    fn delete(self: &Rc<Self>, sim: &Sim, store: &Store<Sim>) {
        let topic = TOPICS[1 + usize::try_from(sim.random_u64() % 2).unwrap()];
        let deletion = store.delete_topic(topic);
        let epoch = self.model.borrow_mut().delete(topic);
        tracing::info!(topic, epoch, at = store.appended().0, "simulation: deletion began");
        for _ in 0..sim.random_u64() % 6 {
            let queue = (topic, i32::try_from(sim.random_u64() % 2).unwrap());
            let sent = self.send_to(queue, sim, store);
            self.tally.borrow_mut().sent_while_deleting += usize::from(sent.is_ok());
        }
        let world = self.clone();
        sim.spawn(Priority::Background, async move {
            let outcome = deletion.await;
            let mut tally = world.tally.borrow_mut();
            tracing::info!(topic, epoch, ok = outcome.is_ok(), "simulation: deletion ended");
            if outcome.is_ok() {
                world.model.borrow_mut().deleted(topic, epoch);
                tally.deletions += 1;
            } else {
                tally.failed_deletions += 1;
            }
        });
    }

    /// A byte of some record flips while the store lies closed: then the oracle knows what is
    /// durable, and that this message alone is gone. Often it is a queue's first.
    fn damage_at_rest(&self, sim: &Sim) {
        for _ in 0..1 + sim.random_u64() % 3 {
            let Some((at, is_first)) = self.model.borrow_mut().damage_one(
                self.log_begin.get(),
                sim.random_u64(),
                sim.random_u64().is_multiple_of(2),
            ) else {
                return;
            };
            let body = self.model.borrow().messages[&at].body.len() as u64;
            // Size, magic or checksum; its own offset; the body behind the head with IPv4 hosts.
            let some = |below: u64| sim.random_u64() % below;
            let byte = match some(4) {
                0 => some(12),
                1 => 28 + some(8),
                _ => 88 + some(body),
            };
            let start = at - at % self.config.commitlog_file_bytes;
            sim.damage(&Path::new(LOG).join(format!("{start:020}")), at - start + byte);
            tracing::info!(at, byte, is_first, "simulation: damage at rest");
            let mut tally = self.tally.borrow_mut();
            tally.damaged += 1;
            tally.damaged_first += usize::from(is_first);
        }
    }
}
