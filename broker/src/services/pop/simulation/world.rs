//! One machine, its lives, and how each ends.

use super::super::revive::Revive;
use super::super::spill;
use super::super::state::Pops;
use super::oracle::{End, Name, Oracle};
use super::outlet::SimOutlet;
use super::tally::Tally;
use crate::config::{self, BufferOptions, TimerOptions};
use crate::services::delivery::read::{Read, read};
use crate::services::delivery::simulation::{self as frame, survives};
use crate::services::timers;
use crate::services::timers::state::Timers;
use engine::{PhyOffset, Store, StoreConfig};
use futures_lite::future::or;
use protocol::record::records;
use rt::sim::Sim;
use rt::{Priority, Runtime as _};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const ROOT: &str = "/store";
pub(super) const TOPIC: &str = "T";
pub(super) const GROUP: &str = "g";
pub(super) const BROKER: &str = "b";
pub(super) const RETRY: &str = "%RETRY%g_T";
pub(super) const REVIVE: &str = "rmq_sys_REVIVE_LOG_c";
pub(super) const REVIVE_QUEUES: u64 = 2;

/// What outlives a crash, on the test's side.
pub(super) struct World {
    config: StoreConfig,
    pub(super) options: Rc<TimerOptions>,
    pub(super) sent: Cell<usize>,
    pub(super) oracle: RefCell<Oracle>,
    /// `consumerOffset.json`.
    pub(super) table: RefCell<BTreeMap<(String, i32), i64>>,
    /// What of the log was flushed when the last life ended.
    flushed: Cell<PhyOffset>,
    pub(super) life: RefCell<Life>,
    pub(super) tally: RefCell<Tally>,
}

/// What one life keeps in memory.
pub(super) struct Life {
    store: Option<Store<Sim>>,
    pub(super) timers: Rc<Timers>,
    pub(super) pops: Pops,
    pub(super) buffer: BufferOptions,
    /// Checkpoints that were kept in memory and are not in the log.
    pub(super) kept: BTreeSet<Name>,
    pub(super) acks_are_over: bool,
    /// The broker stops: nothing more is begun.
    pub(super) is_stopping: bool,
    /// Requests come no more.
    pub(super) is_down: bool,
}

impl Life {
    /// Two of three keep checkpoints in memory.
    fn new(sim: &Sim, store: Option<Store<Sim>>) -> Self {
        let below = |below: u64| sim.random_u64() % below;
        let buffer = BufferOptions {
            enabled: below(3) > 0,
            stay_ms: i64::try_from(below(5_000)).unwrap(),
            early_ms: i64::try_from(below(3_000)).unwrap(),
            points_max: 50,
            steps_max: 60,
        };
        Self {
            store,
            timers: Rc::default(),
            pops: Pops::default(),
            buffer,
            kept: BTreeSet::new(),
            acks_are_over: false,
            is_stopping: false,
            is_down: false,
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
        let sim = Sim::new(seed);
        let world = Self {
            config: frame::config(ROOT, seed),
            options: Rc::new(options.timers),
            sent: Cell::default(),
            oracle: RefCell::default(),
            table: RefCell::default(),
            flushed: Cell::default(),
            life: RefCell::new(Life::new(&sim, None)),
            tally: RefCell::default(),
        };
        (Rc::new(world), sim)
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// What the table has of a queue.
    pub(super) fn saved(&self, topic: &str, queue_id: i32) -> Option<i64> {
        self.table.borrow().get(&(topic.to_owned(), queue_id)).copied()
    }

    /// Opens the store and starts everything but producers and consumers.
    async fn open(self: &Rc<Self>, sim: &Sim) -> SimOutlet {
        let store = Store::open(sim.clone(), self.config.clone()).await.unwrap();
        let mut life = Life::new(sim, Some(store.clone()));
        let queues = usize::try_from(REVIVE_QUEUES).unwrap();
        let arrived = life.pops.begin(queues).to_vec();
        let timers = life.timers.clone();
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
        let is_clean = sim.block_on(or(
            async {
                let outlet = self.open(sim).await;
                sim.spawn(Priority::Foreground, outlet.clone().produce());
                sim.spawn(Priority::Foreground, outlet.clone().pop_for_ever());
                if outlet.random(3) == 0 {
                    sim.spawn(Priority::Foreground, outlet.clone().leap());
                }
                if outlet.random(3) > 0 {
                    return std::future::pending().await;
                }
                outlet.nap(5_000).await;
                self.stop(&outlet).await;
                true
            },
            async {
                sim.sleep(time).await;
                false
            },
        ));
        let next = self.end(sim, is_clean);
        next.clear_faults();
        if next.random_u64().is_multiple_of(4) {
            next.advance_wall(Duration::from_millis(next.random_u64() % 4_000));
        }
        next
    }

    /// A clean stop, as the broker's.
    async fn stop(&self, outlet: &SimOutlet) {
        let is_at_rest = || {
            let life = self.life.borrow();
            life.timers.is_at_rest() && life.pops.is_at_rest()
        };
        self.life.borrow_mut().is_stopping = true;
        while !is_at_rest() {
            outlet.sim.sleep(Duration::from_millis(1)).await;
        }
        outlet.nap(50).await; // the network ends
        self.life.borrow_mut().is_down = true;
        spill::stopping(outlet).await;
        outlet.store.close().await.unwrap();
        outlet.save(outlet.store.appended());
        let timers = self.life.borrow().timers.clone();
        let given = timers::save::hand_over(outlet, &timers, &self.options, Path::new(ROOT));
        given.await.unwrap();
    }

    fn end(&self, sim: &Sim, is_clean: bool) -> Sim {
        let is_power_cut = sim.random_u64().is_multiple_of(2);
        let store = self.life.replace(Life::new(sim, None)).store;
        let survives = match &store {
            Some(store) if is_clean => store.appended(),
            Some(store) => survives(store, is_power_cut),
            // It was not open yet: what was flushed before is there.
            None if is_power_cut => self.flushed.get(),
            None => PhyOffset(u64::MAX),
        };
        if let Some(store) = store {
            self.flushed.set(if is_clean { survives } else { store.flushed() });
        }
        let saved = self.saved(TOPIC, 0).unwrap_or(0);
        let mut tally = self.tally.borrow_mut();
        self.oracle.borrow_mut().life_over(End { is_clean, survives, saved }, &mut tally);
        match (is_clean, is_power_cut) {
            (true, _) => tally.clean_stops += 1,
            (false, true) => tally.power_cuts += 1,
            (false, false) => tally.kills += 1,
        }
        if is_power_cut { sim.crash().0 } else { sim.kill() }
    }

    /// Everything is popped and nothing acknowledged any more: what is out comes, and is compared.
    pub(super) fn last_life(self: &Rc<Self>, sim: &Sim) {
        sim.block_on(async {
            let outlet = self.open(sim).await;
            self.life.borrow_mut().acks_are_over = true;
            while outlet.pop().await.unwrap() {}
            let last_ms = self.oracle.borrow().last_revive_ms();
            let left_ms = (last_ms - sim.wall_ms()).max(0) + 10_000;
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
        self.oracle.borrow().compare(&came, &mut tally);
    }
}

impl SimOutlet {
    /// The wall clock leaps forward once: the machine stood still, or its time was wrong.
    async fn leap(self) {
        self.nap(4_000).await;
        self.sim.advance_wall(Duration::from_millis(self.random(9_000)));
        self.world.tally.borrow_mut().leaps += 1;
    }
}
