//! One machine, its lives, and what the oracle knows.

use super::super::save;
use super::super::state::Timers;
use super::super::{run, write};
use crate::config::{self, TimerOptions};
use crate::sends::errors::PutError;
use crate::sends::timer::{Asked, Timer};
use crate::services::delivery::outlet::Outlet;
use crate::services::delivery::read::{Read, read};
use crate::services::delivery::simulation::{self as frame, Tallied, draft, host, survives};
use engine::{Appended, PhyOffset, Store, StoreConfig};
use futures_lite::future::or;
use protocol::names::TIMER_TOPIC;
use protocol::record::{RecordDraft, records};
use rt::sim::{Fault, FaultOp, Sim};
use rt::{Priority, Runtime as _};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const ROOT: &str = "/store";
const TOPIC: &str = "T";
/// A recall that is acknowledged so long before its slot is in time.
const IN_TIME_MS: i64 = 400;

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    kills: usize,
    power_cuts: usize,
    clean: usize,
    failed_hand_overs: usize,
    rotten: usize,
    sent: usize,
    delivered: usize,
    again: usize,
    rolled: u64,
    recalled: usize,
    taken_over: u64,
    maybe_lost: usize,
}

impl Tallied for Tally {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.clean += other.clean;
        self.failed_hand_overs += other.failed_hand_overs;
        self.rotten += other.rotten;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.again += other.again;
        self.rolled += other.rolled;
        self.recalled += other.recalled;
        self.taken_over += other.taken_over;
        self.maybe_lost += other.maybe_lost;
    }

    fn assert_not_vacuous(&self) {
        let counts = [self.kills, self.power_cuts, self.clean, self.sent, self.delivered];
        assert!(counts.iter().all(|count| *count > 20), "{self:?}");
        let rare = [self.failed_hand_overs, self.rotten, self.again, self.recalled];
        assert!(rare.iter().all(|count| *count > 0), "{self:?}");
        assert!(self.rolled > 0 && self.taken_over > 0 && self.maybe_lost > 0, "{self:?}");
    }
}

/// One message that was sent.
#[derive(Debug)]
struct Sent {
    due_ms: i64,
    slot_ms: i64,
    /// It is so far away that it is stored again.
    rolls: bool,
    /// Where its record ends, once it is acknowledged.
    end: Option<PhyOffset>,
    /// Of what recalls it, once that is acknowledged, if it was in time.
    recall_end: Option<PhyOffset>,
    /// Somebody tried to recall it: nobody knows.
    recall_tried: bool,
    maybe_lost: bool,
    recall_maybe_lost: bool,
}

/// What outlives a crash, on the test's side.
pub(super) struct World {
    config: StoreConfig,
    options: Rc<TimerOptions>,
    sent: RefCell<BTreeMap<usize, Sent>>,
    store: RefCell<Option<Store<Sim>>>,
    timers: RefCell<Rc<Timers>>,
    is_stopping: Cell<bool>,
    unclean: Cell<usize>,
    tally: RefCell<Tally>,
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
        self.world.is_stopping.get()
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

impl SimOutlet {
    fn arrivals(&self) {
        self.store.drain_arrivals(|arrival| {
            if arrival.topic == TIMER_TOPIC {
                self.world.timers.borrow().arrived.notify();
            }
        });
    }

    fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below
    }

    /// Sends timers, and recalls some, until the life ends.
    async fn produce(self) {
        while !self.is_stopping() {
            self.sim.sleep(Duration::from_millis(self.random(40))).await;
            let done = if self.random(6) == 0 { self.recall().await } else { self.send().await };
            if done.is_err() {
                return; // the store takes nothing any more
            }
        }
    }

    async fn send(&self) -> Result<(), PutError> {
        let now_ms = self.sim.wall_ms();
        let far = if self.random(8) == 0 { 5_500 } else { 1_900 };
        let delay_ms = i64::try_from(self.random(far)).unwrap() + 1;
        let (name, value) = if self.random(2) == 0 {
            ("TIMER_DELIVER_MS", now_ms + delay_ms)
        } else {
            ("TIMER_DELAY_MS", delay_ms)
        };
        let text = value.to_string();
        let asked = match name {
            "TIMER_DELIVER_MS" => Asked { deliver_ms: Some(&text), ..Asked::default() },
            _ => Asked { delay_ms: Some(&text), ..Asked::default() },
        };
        let timer = Timer::of(&asked, 0, now_ms, &self.world.options).unwrap().unwrap();
        let id = self.world.sent.borrow().len();
        let sent = Sent {
            due_ms: now_ms + delay_ms,
            slot_ms: timer.slot_ms,
            rolls: delay_ms > 1_800,
            end: None,
            recall_end: None,
            recall_tried: false,
            maybe_lost: false,
            recall_maybe_lost: false,
        };
        self.world.sent.borrow_mut().insert(id, sent);
        let mut properties = format!("{name}\u{1}{text}\u{2}UNIQ_KEY\u{1}{id}\u{2}").into_bytes();
        timer.write_properties(&mut properties, TOPIC, 0);
        let end = self.put(&id.to_string(), &properties).await?;
        self.world.sent.borrow_mut().get_mut(&id).unwrap().end = Some(end);
        Ok(())
    }

    async fn put(&self, body: &str, properties: &[u8]) -> Result<PhyOffset, PutError> {
        let appended = self.append(&draft(TIMER_TOPIC, body.as_bytes(), &[properties])).await?;
        self.passed(appended.end()).await?;
        Ok(appended.end())
    }

    async fn recall(&self) -> Result<(), PutError> {
        let now_ms = self.sim.wall_ms();
        let all = self.world.sent.borrow().len() as u64;
        let id = usize::try_from(self.random(all.max(1))).unwrap();
        let slot_ms = match self.world.sent.borrow_mut().get_mut(&id) {
            Some(sent) if sent.end.is_some() && sent.slot_ms > now_ms + IN_TIME_MS => {
                sent.recall_tried = true;
                sent.slot_ms
            }
            _ => return Ok(()),
        };
        let at = (slot_ms + 1).to_string();
        let mut properties =
            format!("TIMER_DEL_UNIQKEY\u{1}{id}\u{2}TIMER_DELIVER_MS\u{1}{at}\u{2}").into_bytes();
        Timer { slot_ms }.write_properties(&mut properties, TOPIC, 0);
        let end = self.put("recall", &properties).await?;
        if self.sim.wall_ms() + IN_TIME_MS <= slot_ms {
            let mut sent = self.world.sent.borrow_mut();
            let sent = sent.get_mut(&id).unwrap();
            // An earlier one counts as well; this one is not lost.
            (sent.recall_end, sent.recall_maybe_lost) = (Some(end), false);
        }
        Ok(())
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
            sent: RefCell::default(),
            store: RefCell::default(),
            timers: RefCell::default(),
            is_stopping: Cell::new(false),
            unclean: Cell::new(0),
            tally: RefCell::default(),
        };
        (Rc::new(world), Sim::new(seed))
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Opens the store and starts everything but the producers.
    async fn open(self: &Rc<Self>, sim: &Sim) -> SimOutlet {
        let store = Store::open(sim.clone(), self.config.clone()).await.unwrap();
        self.store.replace(Some(store.clone()));
        self.is_stopping.set(false);
        let timers = self.timers.replace(Rc::default());
        self.count(&timers);
        let outlet = SimOutlet { sim: sim.clone(), store, world: self.clone() };
        let timers = self.timers.borrow().clone();
        let root = Rc::from(Path::new(ROOT));
        let task = run(outlet.clone(), timers, self.options.clone(), root);
        sim.spawn(Priority::Foreground, task);
        let told = outlet.clone();
        let tell = frame::tell_arrivals(outlet.store.clone(), move || told.arrivals());
        sim.spawn(Priority::Foreground, tell);
        outlet
    }

    /// One life and its end; the machine of the next.
    pub(super) fn live(self: &Rc<Self>, sim: &Sim) -> Sim {
        let time = Duration::from_millis(20 + sim.random_u64() % 3_000);
        let is_clean = sim.block_on(or(
            async {
                let outlet = self.open(sim).await;
                for _ in 0..2 {
                    sim.spawn(Priority::Foreground, outlet.clone().produce());
                }
                if sim.random_u64().is_multiple_of(3) {
                    sim.sleep(Duration::from_millis(sim.random_u64() % 2_000)).await;
                    return self.stop(&outlet).await;
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
            next.advance_wall(Duration::from_millis(next.random_u64() % 4_000));
        }
        next
    }

    /// A clean stop, as the broker's; at times the timers' files fail.
    async fn stop(&self, outlet: &SimOutlet) -> bool {
        self.is_stopping.set(true);
        let timers = self.timers.borrow().clone();
        while !timers.is_at_rest() {
            outlet.sim.sleep(Duration::from_millis(1)).await;
        }
        outlet.store.close().await.unwrap();
        self.store.take();
        if outlet.sim.random_u64().is_multiple_of(5) {
            let ops = [FaultOp::Write, FaultOp::Sync, FaultOp::Open, FaultOp::Allocate];
            let op = ops[usize::try_from(outlet.random(4)).unwrap()];
            let under = ["/store/timerlog", "/store/timerwheel", "/store/config/timercheck"];
            let under = under[usize::try_from(outlet.random(3)).unwrap()];
            outlet.sim.inject(Fault::eio(op, under));
        }
        let root = Path::new(ROOT);
        let done = save::hand_over(outlet, &timers, &self.options, root).await;
        let mut tally = self.tally.borrow_mut();
        tally.failed_hand_overs += usize::from(done.is_err());
        if done.is_err() {
            self.unclean.set(self.unclean.get() + 1);
        }
        true
    }

    fn after_clean(&self, sim: &Sim) -> Sim {
        self.tally.borrow_mut().clean += 1;
        let next = if sim.random_u64().is_multiple_of(2) { sim.kill() } else { sim.crash().0 };
        if next.random_u64().is_multiple_of(4) {
            let log = Path::new(ROOT).join(write::LOG);
            if next.rot(&log).is_some() {
                self.tally.borrow_mut().rotten += 1;
                self.unclean.set(self.unclean.get() + 1);
            }
        }
        next
    }

    fn crash(&self, sim: &Sim) -> Sim {
        self.unclean.set(self.unclean.get() + 1);
        let is_power_cut = sim.random_u64().is_multiple_of(2);
        if let Some(store) = self.store.take() {
            let survives = survives(&store, is_power_cut);
            let mut tally = self.tally.borrow_mut();
            for sent in self.sent.borrow_mut().values_mut() {
                let is_lost = |end: Option<PhyOffset>| end.is_some_and(|end| end > survives);
                tally.maybe_lost += usize::from(is_lost(sent.end) && !sent.maybe_lost);
                sent.maybe_lost |= is_lost(sent.end);
                sent.recall_maybe_lost |= is_lost(sent.recall_end);
            }
        }
        if is_power_cut {
            self.tally.borrow_mut().power_cuts += 1;
            sim.crash().0
        } else {
            self.tally.borrow_mut().kills += 1;
            sim.kill()
        }
    }

    /// Nothing fails any more: all that is due comes, and is compared.
    pub(super) fn last_life(self: &Rc<Self>, sim: &Sim) {
        sim.block_on(async {
            let outlet = self.open(sim).await;
            let last = self.sent.borrow().values().map(|sent| sent.due_ms).max().unwrap_or(0);
            let left_ms = (last - sim.wall_ms()).max(0) + 1_000;
            sim.sleep(Duration::from_millis(left_ms.unsigned_abs())).await;
            let timers = self.timers.borrow().clone();
            let end = || {
                let range = outlet.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
                range.max_offset.0
            };
            for _ in 0..500 {
                if timers.waiting() == 0 && timers.next() == end() {
                    break;
                }
                sim.sleep(Duration::from_millis(20)).await;
            }
            assert_eq!((timers.waiting(), timers.next()), (0, end()), "everything is done");
            assert_eq!(timers.counts.get().left_out, 0);
            self.compare(&outlet.store).await;
        });
    }

    async fn compare(&self, store: &Store<Sim>) {
        let mut came: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        let mut next = 0;
        loop {
            let Read::Found(found) = read(store, (TOPIC, 0), next, 100).await.unwrap() else {
                break;
            };
            for record in found.slices.iter().flat_map(|slice| records(slice)) {
                let record = record.unwrap();
                let id = std::str::from_utf8(record.body()).unwrap().parse().unwrap();
                came.entry(id).or_default().push(record.store_timestamp_ms());
            }
            next = found.next;
        }
        let mut tally = self.tally.borrow_mut();
        for (id, sent) in &*self.sent.borrow() {
            let times = came.get(id).map(Vec::as_slice).unwrap_or_default();
            let early = times.iter().find(|at| **at < sent.due_ms);
            assert_eq!(early, None, "message {id} came early: {sent:?}");
            let is_recalled = sent.recall_end.is_some() && !sent.recall_maybe_lost;
            if is_recalled && sent.end.is_some() && !sent.maybe_lost {
                assert!(times.is_empty(), "message {id} came: {sent:?} {times:?}");
            }
            if sent.end.is_some() && !sent.maybe_lost && !sent.recall_tried {
                assert!(!times.is_empty(), "message {id} never came: {sent:?}");
            }
            // One that rolled may come again for each of its copies.
            let most = (1 + self.unclean.get()).pow(1 + u32::from(sent.rolls));
            assert!(times.len() <= most, "message {id} came at {times:?}: {sent:?}");
            tally.sent += 1;
            tally.recalled += usize::from(is_recalled);
            tally.delivered += usize::from(!times.is_empty());
            tally.again += times.len().saturating_sub(1);
        }
        drop(tally);
        self.count(&self.timers.borrow());
    }

    /// What the timers of one life did.
    fn count(&self, timers: &Timers) {
        let counts = timers.counts.get();
        let mut tally = self.tally.borrow_mut();
        tally.rolled += counts.rolled;
        tally.taken_over += counts.taken_over;
    }
}
