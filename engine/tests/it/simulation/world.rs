//! One machine with one store: its lives, what goes on in them, and what goes wrong.

use super::breaking::{LOG, QUEUES, break_things, micros, of_an_opening};
use super::model::{Model, Promise, Queue};
use super::tally::Tally;
use crate::oracle::{draft, request, small_config, split};
use engine::{
    AppendError, DeleteWhen, FlushPolicy, KeyQuery, LogBackend, OpenError, PhyOffset, QueueRange,
    ReadError, ReadSlices, ReadStatus, RetentionConfig, Store, StoreConfig, StoreError, TagFilter,
};
use futures_lite::future::or;
use protocol::batch::BatchEntry;
use rt::sim::{Sim, SimConfig};
use rt::{BufSlice, Priority, Runtime};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const TOPICS: [&str; 3] = ["alpha", "beta", "gamma"];
const THREE_DAYS: Duration = Duration::from_secs(80 * 3600);

/// What outlives a crash, on the test's side.
pub(crate) struct World {
    pub(crate) model: RefCell<Model>,
    pub(crate) tally: RefCell<Tally>,
    config: StoreConfig,
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
fn key_of(body: &[u8]) -> &str {
    std::str::from_utf8(body.split(|byte| *byte == b'-').next().unwrap()).unwrap()
}

fn properties_of(body: &[u8]) -> Vec<u8> {
    format!("TAGS\u{1}red\u{2}KEYS\u{1}{}\u{2}", key_of(body)).into_bytes()
}

fn key_query(topic: &str, body: &[u8]) -> KeyQuery {
    KeyQuery {
        topic: topic.into(),
        key: key_of(body).into(),
        by_tag: false,
        max_messages: 32,
        begin_ms: 0,
        end_ms: i64::MAX,
    }
}

fn places_of(records: &[BufSlice]) -> Vec<u64> {
    records
        .iter()
        .map(|record| {
            u64::try_from(protocol::record::RecordView::parse(record).unwrap().physical_offset())
                .unwrap()
        })
        .collect()
}

type Ranged = (Queue, Option<QueueRange>);

/// What a read was asked for, to judge its failure by.
struct Asked {
    /// The queue's topic and its epoch when the read began.
    of: Option<(Queue, u32)>,
    log_begin: PhyOffset,
}

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
        let config = StoreConfig { flush, backend, retention, ..small_config("/store") };
        let sim = Sim::with_config(SimConfig { direct_io, ..SimConfig::with_seed(seed) });
        let world = Self {
            model: RefCell::default(),
            tally: RefCell::default(),
            config,
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

    fn is_sync(&self) -> bool {
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
                if next.random_u64().is_multiple_of(2) {
                    self.damage_at_rest(&next);
                }
                next
            }
            End::TimeUp => self.crash(sim),
        };
        next.set_capacity(None);
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
                let survives = if is_power_cut { store.flushed() } else { store.written() };
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
                self.promise.set(Promise {
                    survives: if is_power_cut {
                        survives.min(self.flushed.get())
                    } else {
                        survives
                    },
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

    /// Opens, checks, works until the store is closed (or for ever).
    async fn work(self: Rc<Self>, sim: Sim) -> End {
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
            let opened = Store::open(sim.clone(), self.config.clone()).await;
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
        Store::open(sim.clone(), self.config.clone()).await.unwrap()
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
        self.tally.borrow_mut().add_found(&found);
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
        if self.model.borrow().damaged.is_empty() && self.tally.borrow().damaged == 0 {
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

    fn some_queue(&self, sim: &Sim) -> Queue {
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

    async fn consume(self: Rc<Self>, sim: Sim, store: Store<Sim>) {
        let mut hot = ReadSlices::default();
        loop {
            sim.sleep(micros(&sim, 3_000)).await;
            match sim.random_u64() % 8 {
                0 => self.look_up(&sim, &store).await,
                1 => self.query(&sim, &store).await,
                _ => self.pull(&sim, &store, &mut hot).await,
            }
        }
    }

    async fn pull(&self, sim: &Sim, store: &Store<Sim>, hot: &mut ReadSlices) {
        let queue = self.some_queue(sim);
        let epoch = self.model.borrow().epoch(queue.0);
        let asked = Asked { of: Some((queue, epoch)), log_begin: store.log_begin() };
        let Some(range) = store.queue_range(queue.0, queue.1) else { return };
        let span = u64::try_from(range.max_offset.0 - range.min_offset.0).unwrap() + 2;
        let offset = range.min_offset.0 - 1 + i64::try_from(sim.random_u64() % span).unwrap();
        let request = request(queue.0, queue.1, offset, TagFilter::All);
        let status = store.read(&request, hot);
        let is_in_range = offset >= range.min_offset.0 && offset < range.max_offset.0;
        let must_give = is_in_range.then_some(offset);
        if status != ReadStatus::Cold {
            self.given(store, queue, must_give, status, &split(&hot.slices));
            self.tally.borrow_mut().hot_reads += 1;
            return;
        }
        match store.read_cold(request.to_owned()).await {
            // The topic was deleted and may have begun anew while the disk was asked.
            Ok(_) if self.model.borrow().epoch(queue.0) != epoch => {}
            Ok(read) => {
                self.given(store, queue, must_give, read.status, &split(&read.slices));
                self.tally.borrow_mut().cold_reads += 1;
            }
            Err(error) => self.tolerate(sim, store, &error, &asked),
        }
    }

    /// What a consumer was given that asked for the messages from `must_give` on: what was sent, and
    /// the message asked for if there is one.
    fn given(
        &self,
        store: &Store<Sim>,
        queue: Queue,
        must_give: Option<i64>,
        status: ReadStatus,
        records: &[Vec<u8>],
    ) {
        assert_eq!(status == ReadStatus::Found, !records.is_empty());
        if let Some(offset) = must_give
            && let Some(at) = self.model.borrow().place_of(queue, offset)
            && at >= store.log_begin().0
        {
            let first = records
                .first()
                .map(|record| protocol::record::RecordView::parse(record).unwrap().queue_offset());
            assert_eq!(first, Some(offset), "{queue:?} has it at {at}: {status:?}");
        }
        for record in records {
            let end = self.model.borrow_mut().check_given(queue, record);
            assert!(
                end <= store.visible().0 && (!self.is_sync() || end <= store.flushed().0),
                "given before it was flushed"
            );
        }
    }

    async fn look_up(&self, sim: &Sim, store: &Store<Sim>) {
        let Some(at) = self.model.borrow().some_place(sim.random_u64()) else { return };
        let asked = Asked { of: None, log_begin: store.log_begin() };
        if self.model.borrow().damaged.contains(&at) {
            match store.message_at(PhyOffset(at)).await {
                Ok(found) => assert!(found.is_none(), "{at} is damaged and was served"),
                Err(error) => self.tolerate(sim, store, &error, &asked),
            }
            return;
        }
        let is_visible = store.visible().0 > at;
        match store.message_at(PhyOffset(at)).await {
            Ok(found) if at >= store.log_begin().0 && is_visible => {
                let found = found.unwrap_or_else(|| {
                    panic!("no message at {at} of {}..{}", store.log_begin(), store.visible())
                });
                let view = protocol::record::RecordView::parse(&found).unwrap();
                if let Some(sent) = self.model.borrow().messages.get(&at) {
                    assert!(view.body() == sent.body);
                }
            }
            Ok(_) => {}
            Err(error) => self.tolerate(sim, store, &error, &asked),
        }
    }

    /// The index finds exactly the message of a key. A query that meets an index file being built
    /// anew may find too little, as one behind the index does; the next ones do not.
    async fn query(&self, sim: &Sim, store: &Store<Sim>) {
        let Some(at) = self.model.borrow().some_place(sim.random_u64()) else { return };
        let Some(sent) = self.model.borrow().messages.get(&at).cloned() else { return };
        let asked = Asked { of: None, log_begin: store.log_begin() };
        let is_damaged = self.model.borrow().damaged.contains(&at);
        for _ in 0..20 {
            let must_find = store.visible().0 >= sent.end && store.indexed().0 >= sent.end;
            let places = match store.query(key_query(sent.queue.0, &sent.body)).await {
                Ok(found) => places_of(&found.records),
                Err(error) => return self.tolerate(sim, store, &error, &asked),
            };
            assert!(!is_damaged || places.is_empty(), "{at} is damaged and was served");
            assert!(places.is_empty() || places == [at], "{places:?} for the key of {at}");
            self.tally.borrow_mut().queries += places.len();
            // An index file that can't be read is left out, and said so in the log.
            let counts = sim.fault_counts();
            let is_excused = !must_find
                || is_damaged
                || at < store.log_begin().0
                || counts.read_errors + counts.open_errors > 0;
            if !places.is_empty() || is_excused {
                return;
            }
            sim.sleep(Duration::from_millis(5)).await;
        }
        panic!(
            "{at} is not found by its key, indexed up to {}, the log is {}..{}",
            store.indexed(),
            store.log_begin(),
            store.visible()
        );
    }

    /// A read that failed: because the device did, or what it read was removed, by an hour that came
    /// or with its topic. Nothing else makes a read fail, and no file is missing for another reason.
    fn tolerate(&self, sim: &Sim, store: &Store<Sim>, error: &ReadError, asked: &Asked) {
        let ReadError::File(file) = error else { panic!("{error}") };
        let counts = sim.fault_counts();
        let mut tally = self.tally.borrow_mut();
        match file.source.raw_os_error() {
            Some(5) if counts.read_errors + counts.open_errors > 0 => tally.failed_reads += 1,
            Some(24) if counts.open_errors > 0 => tally.failed_reads += 1,
            _ => {
                assert_eq!(file.source.kind(), std::io::ErrorKind::NotFound, "{error}");
                self.check_was_removed(store, &file.path, asked, error);
                tally.reads_of_removed_files += 1;
            }
        }
    }

    /// The oracle knows why a file is not there.
    fn check_was_removed(&self, store: &Store<Sim>, path: &Path, asked: &Asked, error: &ReadError) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let start: Option<u64> = name.parse().ok();
        if path.starts_with(LOG) {
            assert!(start.is_some_and(|start| start < store.log_begin().0), "{error}");
        } else if path.starts_with(QUEUES) {
            let (queue, epoch) = asked.of.unwrap_or_else(|| panic!("{error}"));
            let min = store.queue_range(queue.0, queue.1).map(|range| range.min_offset.0);
            let units = i64::from(self.config.consumequeue_file_units);
            let is_below = start
                .zip(min)
                .is_some_and(|(start, min)| i64::try_from(start / 20).unwrap() + units <= min);
            let is_deleted = self.model.borrow().epoch(queue.0) != epoch;
            assert!(is_deleted || is_below, "{error}; the queue begins at {min:?}");
        } else {
            // Index files go with the log that they lead to.
            assert!(store.log_begin() > asked.log_begin, "{error}");
        }
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
