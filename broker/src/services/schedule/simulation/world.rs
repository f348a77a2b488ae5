//! One machine and its lives.

use super::super::home::Home;
use super::super::state::Schedule;
use super::super::{prepare_progress, start_levels};
use super::oracle::{Moment, Oracle, Tally};
use crate::sends::delay::Waiting;
use crate::sends::errors::PutError;
use crate::services::delivery::outlet::Outlet;
use crate::services::delivery::read::{Read, read};
use crate::services::delivery::simulation::{self as frame, draft, host, survives};
use crate::services::saving;
use crate::tables::delay_offsets::DelayOffsets;
use crate::tables::files::{DELAY_OFFSETS, load_one};
use engine::{Appended, DelayLevels, Store, StoreConfig};
use futures_lite::future::or;
use protocol::json;
use protocol::names::SCHEDULE_TOPIC;
use protocol::record::{RecordDraft, records};
use rt::sim::{Fault, FaultOp, Sim};
use rt::{Priority, Runtime as _};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

const ROOT: &str = "/store";
const TOPIC: &str = "T";
const QUEUES: i32 = 2;
/// As `services::list`.
const TICK: Duration = Duration::from_millis(50);
/// `flushDelayOffsetInterval`.
const PERSIST_EVERY_MS: i64 = 200;

/// What outlives a crash, on the test's side.
pub(super) struct World {
    config: StoreConfig,
    oracle: RefCell<Oracle>,
    store: RefCell<Option<Store<Sim>>>,
    is_stopping: Cell<bool>,
    /// How far the wall clock was set forward, less how far back.
    wall_ahead_ms: Cell<i64>,
}

/// What one life's broker keeps.
struct Life {
    levels: DelayLevels,
    schedule: RefCell<Schedule>,
    offsets: RefCell<DelayOffsets>,
    is_saving: Cell<bool>,
}

#[derive(Clone)]
struct SimHome {
    sim: Sim,
    store: Store<Sim>,
    world: Rc<World>,
    life: Rc<Life>,
}

impl Outlet for SimHome {
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
        self.world.is_stopping.get()
    }

    fn queue_there(&self, _: &str, queue_id: i32) -> Result<i32, String> {
        Ok(queue_id)
    }

    async fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, PutError> {
        let appended = frame::append(&self.store, draft, || self.arrivals()).await?;
        if draft.topic == TOPIC {
            let (id, at) = (id_of(draft.body), self.world.moment(&self.sim, &appended));
            let mut oracle = self.world.oracle.borrow_mut();
            oracle.came(id, draft.queue_id, at, &self.life.levels);
        }
        Ok(appended)
    }

    async fn passed(&self, end: engine::PhyOffset) -> Result<(), PutError> {
        frame::passed(&self.store, end).await
    }
}

impl Home for SimHome {
    fn delay_levels(&self) -> &DelayLevels {
        &self.life.levels
    }

    fn with_schedule<T>(&self, then: impl FnOnce(&mut Schedule, &mut DelayOffsets) -> T) -> T {
        then(&mut self.life.schedule.borrow_mut(), &mut self.life.offsets.borrow_mut())
    }
}

fn id_of(body: &[u8]) -> usize {
    std::str::from_utf8(body).unwrap().trim_end_matches('.').parse().unwrap()
}

fn progress_file() -> PathBuf {
    Path::new(ROOT).join(DELAY_OFFSETS)
}

impl SimHome {
    fn arrivals(&self) {
        self.store.drain_arrivals(|arrival| {
            if arrival.topic == SCHEDULE_TOPIC {
                self.life.schedule.borrow().arrived(arrival.queue_id);
            }
        });
    }

    fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below
    }

    /// Sends delayed messages until the life ends.
    async fn produce(self) {
        while !self.is_stopping() {
            self.sim.sleep(Duration::from_millis(self.random(30))).await;
            if self.send().await.is_err() {
                return; // the store takes nothing any more
            }
        }
    }

    async fn send(&self) -> Result<(), PutError> {
        // Level 4 is none: it becomes the highest.
        let asked = i32::try_from(1 + self.random(4)).unwrap();
        let waiting = Waiting::of(asked, 0, &self.life.levels).unwrap();
        let queue_id = i32::try_from(self.random(QUEUES.unsigned_abs().into())).unwrap();
        let id = self.world.oracle.borrow_mut().sends(waiting.queue_id() + 1, queue_id);
        let filler = ".".repeat(usize::try_from(self.random(900)).unwrap());
        let (body, mut properties) = (format!("{id}{filler}"), vec![]);
        waiting.write_properties(&mut properties, TOPIC, queue_id);
        let properties = [&properties[..]];
        let message = draft(waiting.topic(), body.as_bytes(), &properties);
        let message = RecordDraft { queue_id: waiting.queue_id(), ..message };
        let place = self.append(&message).await?;
        let (offset, stored) = (place.queue_offset.0, self.world.moment(&self.sim, &place));
        self.world.oracle.borrow_mut().stored(id, offset, stored);
        self.passed(place.end()).await?;
        self.world.oracle.borrow_mut().acknowledged(id, place.end());
        Ok(())
    }

    /// As the tick and `services::saving`.
    async fn save_for_ever(self) {
        loop {
            self.sim.sleep(TICK).await;
            let now_ms = i64::try_from(self.sim.now_nanos() / 1_000_000).unwrap();
            self.with_schedule(|schedule, offsets| {
                prepare_progress(schedule, offsets, &self.store, (now_ms, PERSIST_EVERY_MS));
            });
            self.save().await;
        }
    }

    /// False when the file could not be written. One after the other, as `saving::save_now`.
    async fn save(&self) -> bool {
        while self.life.is_saving.replace(true) {
            self.sim.sleep(Duration::from_millis(1)).await;
        }
        let is_saved = self.save_alone().await;
        self.life.is_saving.set(false);
        is_saved
    }

    async fn save_alone(&self) -> bool {
        let unsaved = self.life.offsets.borrow_mut().take_unsaved();
        let Some(unsaved) = unsaved else { return true };
        let (sim, root, text) = (&self.sim, Path::new(ROOT), json::to_fastjson(&unsaved));
        let saved = match saving::make_folder(sim, root).await {
            Ok(()) => saving::replace(sim, root, DELAY_OFFSETS, text).await,
            Err(error) => Err(error),
        };
        if saved.is_err() {
            self.life.offsets.borrow_mut().set_unsaved();
        }
        saved.is_ok()
    }

    /// Whether every level is at the end of its queue.
    fn is_done(&self) -> bool {
        let offsets = self.life.offsets.borrow();
        (1..=self.life.levels.level_max()).all(|level| {
            let range = self.store.queue_range(SCHEDULE_TOPIC, level - 1);
            offsets.get(level) == range.unwrap_or_default().max_offset.0
        })
    }
}

impl World {
    pub(super) fn new(seed: u64) -> (Rc<Self>, Sim) {
        let world = Self {
            config: frame::config(ROOT, seed),
            oracle: RefCell::default(),
            store: RefCell::default(),
            is_stopping: Cell::new(false),
            wall_ahead_ms: Cell::new(0),
        };
        (Rc::new(world), Sim::new(seed))
    }

    pub(super) fn tally(&self) -> Tally {
        self.oracle.borrow().tally.clone()
    }

    fn moment(&self, sim: &Sim, stored: &Appended) -> Moment {
        let true_ms = sim.wall_ms() - self.wall_ahead_ms.get();
        Moment { wall_ms: stored.store_timestamp_ms, true_ms }
    }

    /// Sets the clock back in the middle of a life.
    async fn set_clock_back(self: Rc<Self>, sim: Sim) {
        sim.sleep(Duration::from_millis(sim.random_u64() % 3_000)).await;
        let by_ms = sim.random_u64() % 6_000;
        sim.set_back_wall(Duration::from_millis(by_ms));
        self.wall_ahead_ms.set(self.wall_ahead_ms.get() - by_ms.cast_signed());
        self.oracle.borrow_mut().tally.set_back += 1;
    }

    /// Opens the store and starts everything but the producers.
    async fn open(self: &Rc<Self>, sim: &Sim, levels: &str) -> SimHome {
        let mut mended = vec![];
        let saved = load_one(sim, &progress_file(), &mut mended).await.unwrap();
        let offsets = saved.map(DelayOffsets::load).unwrap_or_default();
        {
            let tally = &mut self.oracle.borrow_mut().tally;
            tally.went_on += usize::from(offsets.get(1) > 0);
        }
        let store = Store::open(sim.clone(), self.config.clone()).await.unwrap();
        self.store.replace(Some(store.clone()));
        self.is_stopping.set(false);
        let life = Life {
            levels: DelayLevels::parse(levels).unwrap(),
            schedule: RefCell::default(),
            offsets: RefCell::new(offsets),
            is_saving: Cell::new(false),
        };
        let home = SimHome { sim: sim.clone(), store, world: self.clone(), life: Rc::new(life) };
        start_levels(&home);
        let told = home.clone();
        let tell = frame::tell_arrivals(home.store.clone(), move || told.arrivals());
        sim.spawn(Priority::Foreground, tell);
        sim.spawn(Priority::Background, home.clone().save_for_ever());
        home
    }

    /// One life and its end; the machine of the next.
    pub(super) fn live(self: &Rc<Self>, sim: &Sim) -> Sim {
        let time = Duration::from_millis(20 + sim.random_u64() % 5_000);
        let has_fewer = sim.random_u64().is_multiple_of(4);
        self.oracle.borrow_mut().tally.with_fewer_levels += usize::from(has_fewer);
        let levels = if has_fewer { "1s 2s" } else { "1s 2s 3s" };
        let is_clean = sim.block_on(or(
            async {
                let home = self.open(sim, levels).await;
                for _ in 0..2 {
                    sim.spawn(Priority::Foreground, home.clone().produce());
                }
                if sim.random_u64().is_multiple_of(4) {
                    sim.spawn(Priority::Foreground, self.clone().set_clock_back(sim.clone()));
                }
                if sim.random_u64().is_multiple_of(3) {
                    sim.sleep(Duration::from_millis(sim.random_u64() % 4_000)).await;
                    return self.stop(&home).await;
                }
                std::future::pending().await
            },
            async {
                sim.sleep(time).await;
                false
            },
        ));
        let next = if is_clean { self.after_clean(sim) } else { self.crash(sim) };
        next.clear_faults();
        if next.random_u64().is_multiple_of(4) {
            let by_ms = next.random_u64() % 4_000;
            next.advance_wall(Duration::from_millis(by_ms));
            self.wall_ahead_ms.set(self.wall_ahead_ms.get() + by_ms.cast_signed());
        }
        next
    }

    /// A clean stop, as the broker's; at times the file of progress can't be written. Whether
    /// everything is saved.
    async fn stop(&self, home: &SimHome) -> bool {
        self.is_stopping.set(true);
        while !home.life.schedule.borrow().is_at_rest() {
            home.sim.sleep(Duration::from_millis(1)).await;
        }
        home.store.close().await.unwrap();
        home.life.offsets.borrow_mut().all_flushed();
        if home.random(5) == 0 {
            let ops = [FaultOp::Write, FaultOp::Sync, FaultOp::Open, FaultOp::Allocate];
            let op = ops[usize::try_from(home.random(4)).unwrap()];
            home.sim.inject(Fault::eio(op, "/store/config"));
        }
        let is_saved = home.save().await;
        self.oracle.borrow_mut().tally.failed_saves += usize::from(!is_saved);
        is_saved
    }

    fn after_clean(&self, sim: &Sim) -> Sim {
        self.store.take();
        let mut oracle = self.oracle.borrow_mut();
        oracle.tally.clean += 1;
        oracle.ended_cleanly();
        if sim.random_u64().is_multiple_of(2) { sim.kill() } else { sim.crash().0 }
    }

    fn crash(&self, sim: &Sim) -> Sim {
        let is_power_cut = sim.random_u64().is_multiple_of(2);
        let mut oracle = self.oracle.borrow_mut();
        if let Some(store) = self.store.take() {
            oracle.ended(sim.wall_ms(), survives(&store, is_power_cut));
        }
        if is_power_cut {
            oracle.tally.power_cuts += 1;
            sim.crash().0
        } else {
            oracle.tally.kills += 1;
            sim.kill()
        }
    }

    /// Nothing fails any more: all that is due comes, and is compared.
    pub(super) fn last_life(self: &Rc<Self>, sim: &Sim) {
        sim.block_on(async {
            let home = self.open(sim, "1s 2s 3s").await;
            let last_ms = self.oracle.borrow().last_due_ms(&home.life.levels);
            let left_ms = (last_ms - sim.wall_ms()).max(0) + 100;
            sim.sleep(Duration::from_millis(left_ms.unsigned_abs())).await;
            for _ in 0..500 {
                if home.is_done() {
                    break;
                }
                sim.sleep(Duration::from_millis(20)).await;
            }
            assert!(home.is_done(), "something is never delivered: {:?}", home.life.offsets);
            assert_eq!(home.life.schedule.borrow().left_out, 0);
            let found = count(&home.store).await;
            self.oracle.borrow_mut().compare(&found);
        });
    }
}

/// How often each message is in its topic.
async fn count(store: &Store<Sim>) -> BTreeMap<usize, usize> {
    let mut found = BTreeMap::new();
    for queue_id in 0..QUEUES {
        let mut next = 0;
        while let Read::Found(batch) = read(store, (TOPIC, queue_id), next, 100).await.unwrap() {
            for record in batch.slices.iter().flat_map(|slice| records(slice)) {
                *found.entry(id_of(record.unwrap().body())).or_default() += 1;
            }
            next = batch.next;
        }
    }
    found
}
