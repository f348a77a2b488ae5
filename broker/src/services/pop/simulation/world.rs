//! One machine, its lives, and what the oracle knows.

use super::super::cursors::{Cursors, Key};
use super::super::outlet::{Goes, ReviveOutlet};
use super::super::records::{ReviveRecord, Writer};
use super::super::revive::Revive;
use super::super::settled::{Settled, TimersAt};
use crate::config::{self, TimerOptions};
use crate::sends::errors::PutError;
use crate::services::delivery::arrived::Arrived;
use crate::services::delivery::outlet::Outlet;
use crate::services::delivery::read::{Read, read};
use crate::services::delivery::simulation::{self as frame, draft, host, survives};
use crate::services::timers;
use crate::services::timers::state::Timers;
use engine::{Appended, PhyOffset, Store, StoreConfig};
use futures_lite::future::or;
use protocol::bodies::{AckMessage, CheckPoint};
use protocol::names::TIMER_TOPIC;
use protocol::pop::REVIVE_GROUP;
use protocol::record::{RecordDraft, records};
use rt::sim::Sim;
use rt::{Priority, Runtime as _};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const ROOT: &str = "/store";
const TOPIC: &str = "T";
const GROUP: &str = "g";
const BROKER: &str = "b";
const RETRY: &str = "%RETRY%g_T";
const REVIVE: &str = "R";
const REVIVE_QUEUES: i32 = 2;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    kills: usize,
    power_cuts: usize,
    sent: usize,
    popped: usize,
    acknowledged: usize,
    revived: usize,
    again: usize,
    done: usize,
    maybe_lost: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.sent += other.sent;
        self.popped += other.popped;
        self.acknowledged += other.acknowledged;
        self.revived += other.revived;
        self.again += other.again;
        self.done += other.done;
        self.maybe_lost += other.maybe_lost;
    }

    pub(super) fn assert_not_vacuous(&self) {
        let counts = [self.kills, self.power_cuts, self.sent, self.popped, self.acknowledged];
        assert!(counts.iter().all(|count| *count > 20), "{self:?}");
        let rare = [self.revived, self.again, self.done, self.maybe_lost];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
    }
}

/// One delivery of a message.
#[derive(Clone, Debug)]
struct Delivery {
    revive_ms: i64,
    /// Where its checkpoint ends, once that is acknowledged.
    handed: Option<PhyOffset>,
    /// Somebody tried to acknowledge it.
    is_tried: bool,
    /// Where its acknowledgement ends, once that is safe in time.
    acked: Option<PhyOffset>,
}

/// What outlives a crash, on the test's side.
pub(super) struct World {
    config: StoreConfig,
    options: Rc<TimerOptions>,
    sent: Cell<usize>,
    /// By the message's text.
    deliveries: RefCell<BTreeMap<String, Vec<Delivery>>>,
    /// `consumerOffset.json`.
    table: RefCell<BTreeMap<(String, i32), i64>>,
    life: RefCell<Life>,
    tally: RefCell<Tally>,
}

/// What one life keeps in memory.
#[derive(Default)]
struct Life {
    store: Option<Store<Sim>>,
    timers: Rc<Timers>,
    cursors: Cursors,
    settled: Settled,
    arrived: Vec<Rc<Arrived>>,
    acks_are_over: bool,
}

#[derive(Clone)]
struct SimOutlet {
    sim: Sim,
    store: Store<Sim>,
    world: Rc<World>,
}

impl Outlet for SimOutlet {
    type Rt = Sim;

    fn rt(&self) -> &Sim {
        &self.sim
    }

    fn store(&self) -> &Store<Sim> {
        &self.store
    }

    fn store_host(&self) -> SocketAddr {
        host()
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn queue_there(&self, _: &str, queue_id: i32) -> Result<i32, String> {
        Ok(queue_id)
    }

    async fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, PutError> {
        frame::append(&self.store, draft, || self.arrivals()).await
    }

    async fn passed(&self, end: PhyOffset) -> Result<(), PutError> {
        frame::passed(&self.store, end).await
    }
}

impl ReviveOutlet for SimOutlet {
    fn broker(&self) -> String {
        BROKER.to_owned()
    }

    fn saved(&self, topic: &Rc<str>, queue_id: i32) -> Option<i64> {
        self.world.table.borrow().get(&(topic.to_string(), queue_id)).copied()
    }

    fn done(&self, topic: &Rc<str>, queue_id: i32, last: i64) {
        let key = Key { topic: topic.clone(), group: Rc::from(REVIVE_GROUP), queue_id };
        self.world.life.borrow_mut().cursors.advance(&key, last, self.store.appended());
    }

    fn settled_ms(&self) -> i64 {
        let mut life = self.world.life.borrow_mut();
        let Life { timers, settled, .. } = &mut *life;
        let now_ms = self.sim.wall_ms();
        let done_ms = timers.done_upto_ms(now_ms, self.world.options.precision_ms);
        let Some(done_ms) = done_ms else { return i64::MIN };
        let range = self.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
        settled.upto(now_ms, TimersAt { next: timers.next(), end: range.max_offset.0, done_ms })
    }

    fn goes(&self, topic: &str, group: &str, _: i32) -> Goes {
        assert_eq!((topic, group), (TOPIC, GROUP));
        Goes::Retry(RETRY.to_owned())
    }

    fn count(&self, _: &Goes) {}

    fn busy(&self, _: bool) {}
}

impl SimOutlet {
    fn arrivals(&self) {
        self.store.drain_arrivals(|arrival| {
            let life = self.world.life.borrow();
            match arrival.topic {
                TIMER_TOPIC => life.timers.arrived.notify(),
                REVIVE => life.arrived[usize::try_from(arrival.queue_id).unwrap()].notify(),
                _ => {}
            }
        });
    }

    fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below
    }

    async fn nap(&self, below_ms: u64) {
        self.sim.sleep(Duration::from_millis(self.random(below_ms))).await;
    }

    async fn produce(self) {
        loop {
            self.nap(30).await;
            let nth = self.world.sent.replace(self.world.sent.get() + 1);
            if self.append(&draft(TOPIC, nth.to_string().as_bytes(), &[])).await.is_err() {
                return; // the store takes nothing any more
            }
        }
    }

    async fn pop_for_ever(self) {
        loop {
            self.nap(60).await;
            if self.pop().await.is_err() {
                return;
            }
        }
    }

    /// As `take` does it: true when something was there.
    async fn pop(&self) -> Result<bool, PutError> {
        let key = Key { topic: Rc::from(TOPIC), group: Rc::from(GROUP), queue_id: 0 };
        let saved = self.world.table.borrow().get(&(TOPIC.to_owned(), 0)).copied();
        let from = saved.max(self.world.life.borrow().cursors.next(&key)).unwrap_or(0);
        let messages = usize::try_from(self.random(8)).unwrap() + 1;
        let Ok(Read::Found(found)) = read(&self.store, (TOPIC, 0), from, messages).await else {
            return Ok(false);
        };
        let popped: Vec<(i64, String)> = found
            .slices
            .iter()
            .flat_map(|slice| records(slice))
            .map(|record| {
                let record = record.unwrap();
                (record.queue_offset(), std::str::from_utf8(record.body()).unwrap().to_owned())
            })
            .collect();
        let invisible_ms = i64::try_from(self.random(2_500)).unwrap();
        let point = CheckPoint {
            broker: Some(BROKER.to_owned()),
            group: Some(GROUP.to_owned()),
            topic: Some(TOPIC.to_owned()),
            diffs: popped.iter().map(|(at, _)| i32::try_from(at - from).unwrap()).collect(),
            messages: i8::try_from(popped.len()).unwrap(),
            invisible_ms,
            pop_time_ms: self.sim.wall_ms(),
            start_offset: from,
            ..CheckPoint::default()
        };
        let revive_queue = i32::try_from(self.random(2)).unwrap();
        self.delivered(&popped, point.revive_ms());
        let record = self.writer(|writer| writer.check_point(&point, revive_queue));
        let end = self.put(&record).await?;
        let appended = self.store.appended();
        self.world.life.borrow_mut().cursors.advance(&key, found.next, appended);
        self.passed(end).await?;
        self.each(&popped, |delivery| delivery.handed = Some(end));
        self.sim.spawn(Priority::Foreground, self.clone().consume(point, revive_queue, popped));
        Ok(true)
    }

    /// Acknowledges most of what a pop took, one by one or together, in time or late.
    async fn consume(self, point: CheckPoint, queue: i32, popped: Vec<(i64, String)>) {
        let time = u64::try_from(point.invisible_ms).unwrap() + 400;
        self.nap(time).await;
        let is_over = self.world.life.borrow().acks_are_over;
        let mut left: Vec<(i64, String)> = popped;
        left.retain(|_| self.random(3) > 0);
        if is_over || left.is_empty() {
            return;
        }
        let ack = |offset, offsets| AckMessage {
            offset,
            offsets,
            broker: point.broker.clone(),
            group: point.group.clone(),
            pop_time_ms: point.pop_time_ms,
            queue_id: 0,
            start_offset: point.start_offset,
            topic: point.topic.clone(),
        };
        if self.random(2) == 0 {
            let offsets = left.iter().map(|(at, _)| *at).collect();
            let _end_of_life = self.ack(&ack(-1, Some(offsets)), queue, &point, &left).await;
            return;
        }
        for one in left {
            let done = self.ack(&ack(one.0, None), queue, &point, &[one]).await;
            if done.is_err() {
                return;
            }
        }
    }

    async fn ack(
        &self,
        ack: &AckMessage,
        queue: i32,
        point: &CheckPoint,
        of: &[(i64, String)],
    ) -> Result<(), PutError> {
        self.each(of, |delivery| {
            if delivery.revive_ms == point.revive_ms() {
                delivery.is_tried = true;
            }
        });
        let record = self.writer(|writer| writer.ack(ack, queue, point.revive_ms()));
        let end = self.put(&record).await?;
        self.passed(end).await?;
        if self.sim.wall_ms() < point.revive_ms() {
            self.each(of, |delivery| {
                if delivery.revive_ms == point.revive_ms() {
                    delivery.acked = Some(end);
                }
            });
        }
        Ok(())
    }

    fn writer<E: std::fmt::Debug>(
        &self,
        make: impl FnOnce(&Writer<'_>) -> Result<ReviveRecord, E>,
    ) -> ReviveRecord {
        let timers = &self.world.options;
        let now_ms = self.sim.wall_ms();
        make(&Writer { topic: REVIVE, timers, host: host(), now_ms }).unwrap()
    }

    async fn put(&self, record: &ReviveRecord) -> Result<PhyOffset, PutError> {
        let properties = [record.properties()];
        Ok(self.append(&record.draft(&properties)).await?.end())
    }

    fn delivered(&self, popped: &[(i64, String)], revive_ms: i64) {
        let mut deliveries = self.world.deliveries.borrow_mut();
        for (_, text) in popped {
            let delivery = Delivery { revive_ms, handed: None, is_tried: false, acked: None };
            deliveries.entry(text.clone()).or_default().push(delivery);
        }
    }

    /// The last delivery of each.
    fn each(&self, popped: &[(i64, String)], change: impl Fn(&mut Delivery)) {
        let mut deliveries = self.world.deliveries.borrow_mut();
        for (_, text) in popped {
            change(deliveries.get_mut(text).unwrap().last_mut().unwrap());
        }
    }

    async fn tick(self) {
        loop {
            self.sim.sleep(Duration::from_millis(20)).await;
            let (flushed, mut life) = (self.store.flushed(), self.world.life.borrow_mut());
            let mut table = self.world.table.borrow_mut();
            life.cursors.flushed(flushed, |key, next| {
                table.insert((key.topic.to_string(), key.queue_id), next);
            });
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> (Rc<Self>, Sim) {
        let options = config::options(&[
            ("timerPrecisionMs", "100"),
            ("timerRollWindowSlot", "20"),
            ("timerFlushIntervalMs", "50"),
            ("mappedFileSizeTimerLog", "4096"),
        ]);
        let world = Self {
            config: frame::config(ROOT, seed),
            options: Rc::new(options.timers),
            sent: Cell::default(),
            deliveries: RefCell::default(),
            table: RefCell::default(),
            life: RefCell::default(),
            tally: RefCell::default(),
        };
        (Rc::new(world), Sim::new(seed))
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Opens the store and starts everything but producers and consumers.
    async fn open(self: &Rc<Self>, sim: &Sim) -> SimOutlet {
        let store = Store::open(sim.clone(), self.config.clone()).await.unwrap();
        let arrived = (0..REVIVE_QUEUES).map(|_| Rc::default()).collect();
        let life = Life { store: Some(store.clone()), arrived, ..Life::default() };
        let (timers, arrived) = (life.timers.clone(), life.arrived.clone());
        self.life.replace(life);
        let outlet = SimOutlet { sim: sim.clone(), store, world: self.clone() };
        let root = Rc::from(Path::new(ROOT));
        let task = timers::run(outlet.clone(), timers, self.options.clone(), root);
        sim.spawn(Priority::Foreground, task);
        for (queue_id, arrived) in (0..).zip(arrived) {
            let revive = Revive::new(outlet.clone(), Rc::from(REVIVE), queue_id, arrived);
            sim.spawn(Priority::Foreground, revive.run());
        }
        let told = outlet.clone();
        let tell = frame::tell_arrivals(outlet.store.clone(), move || told.arrivals());
        sim.spawn(Priority::Foreground, tell);
        sim.spawn(Priority::Foreground, outlet.clone().tick());
        outlet
    }

    /// One life and its end; the machine of the next.
    pub(super) fn live(self: &Rc<Self>, sim: &Sim) -> Sim {
        let time = Duration::from_millis(20 + sim.random_u64() % 6_000);
        sim.block_on(or(
            async {
                let outlet = self.open(sim).await;
                sim.spawn(Priority::Foreground, outlet.clone().produce());
                sim.spawn(Priority::Foreground, outlet.pop_for_ever());
                std::future::pending().await
            },
            sim.sleep(time),
        ));
        let next = self.crash(sim);
        next.clear_faults();
        if next.random_u64().is_multiple_of(4) {
            next.advance_wall(Duration::from_millis(next.random_u64() % 4_000));
        }
        next
    }

    fn crash(&self, sim: &Sim) -> Sim {
        let is_power_cut = sim.random_u64().is_multiple_of(2);
        let store = self.life.borrow_mut().store.take();
        if let Some(store) = store {
            let survives = survives(&store, is_power_cut);
            let mut tally = self.tally.borrow_mut();
            for delivery in self.deliveries.borrow_mut().values_mut().flatten() {
                if delivery.acked.take_if(|end| *end > survives).is_some() {
                    tally.maybe_lost += 1;
                }
                delivery.handed.take_if(|end| *end > survives);
            }
        }
        self.life.replace(Life::default());
        let mut tally = self.tally.borrow_mut();
        if is_power_cut {
            tally.power_cuts += 1;
            sim.crash().0
        } else {
            tally.kills += 1;
            sim.kill()
        }
    }

    /// Everything is popped and nothing acknowledged any more: what is out comes, and is compared.
    pub(super) fn last_life(self: &Rc<Self>, sim: &Sim) {
        sim.block_on(async {
            let outlet = self.open(sim).await;
            self.life.borrow_mut().acks_are_over = true;
            while outlet.pop().await.unwrap() {}
            let last = self.deliveries.borrow().values().flatten().map(|one| one.revive_ms).max();
            let left_ms = (last.unwrap_or(0) - sim.wall_ms()).max(0) + 10_000;
            sim.sleep(Duration::from_millis(left_ms.unsigned_abs())).await;
            self.compare(&outlet.store).await;
        });
    }

    async fn compare(&self, store: &Store<Sim>) {
        let mut came: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut next = 0;
        while let Read::Found(found) = read(store, (RETRY, 0), next, 100).await.unwrap() {
            for record in found.slices.iter().flat_map(|slice| records(slice)) {
                let record = record.unwrap();
                let text = std::str::from_utf8(record.body()).unwrap().to_owned();
                came.entry(text).or_default().push(record.store_timestamp_ms());
            }
            next = found.next;
        }
        let mut tally = self.tally.borrow_mut();
        tally.sent = self.sent.get();
        for (text, deliveries) in &*self.deliveries.borrow() {
            let times = came.get(text).map(Vec::as_slice).unwrap_or_default();
            let first_ms = deliveries.iter().map(|one| one.revive_ms).min();
            let early = times.iter().find(|at| Some(**at) < first_ms);
            assert_eq!(early, None, "message {text} came early: {deliveries:?}");
            let is_out = deliveries.iter().any(|one| one.handed.is_some() && !one.is_tried);
            if is_out {
                assert!(!times.is_empty(), "message {text} never came: {deliveries:?}");
            }
            let is_done = deliveries.iter().all(|one| one.acked.is_some());
            if is_done {
                assert!(times.is_empty(), "message {text} came at {times:?}: {deliveries:?}");
            }
            tally.popped += deliveries.len();
            tally.acknowledged += deliveries.iter().filter(|one| one.acked.is_some()).count();
            tally.revived += usize::from(!times.is_empty());
            tally.again += times.len().saturating_sub(1);
            tally.done += usize::from(is_done);
        }
    }
}
