//! The broker around the tasks: what they ask of it.

use super::super::cursors::Key;
use super::super::outlet::{Goes, ReviveOutlet, SpillOutlet};
use super::super::records::{ReviveRecord, Writer};
use super::super::settled::TimersAt;
use super::super::spill;
use super::super::state::Pops;
use super::world::{BROKER, GROUP, RETRY, REVIVE, TOPIC, World};
use crate::sends::errors::PutError;
use crate::sends::timer::NotTimed;
use crate::services::delivery::outlet::Outlet;
use crate::services::delivery::simulation::{self as frame, host};
use engine::{Appended, PhyOffset, Store};
use protocol::bodies::CheckPoint;
use protocol::json;
use protocol::names::TIMER_TOPIC;
use protocol::pop::CHECKPOINT_TAG;
use protocol::properties::{self, names};
use protocol::record::RecordDraft;
use rt::sim::Sim;
use rt::{Priority, Runtime as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// See the module's text.
#[derive(Clone)]
pub(super) struct SimOutlet {
    pub(super) sim: Sim,
    pub(super) store: Store<Sim>,
    pub(super) world: Rc<World>,
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
        self.world.life.borrow().is_stopping
    }

    fn queue_there(&self, _: &str, queue_id: i32) -> Result<i32, String> {
        Ok(queue_id)
    }

    async fn append(&self, draft: &RecordDraft<'_>) -> Result<Appended, PutError> {
        let appended = frame::append(&self.store, draft, || self.arrivals()).await?;
        if let Some(point) = check_point(draft) {
            let name = (point.start_offset, point.pop_time_ms);
            let is_new = self.world.oracle.borrow_mut().written(name, appended.end());
            let was_kept = self.world.life.borrow_mut().kept.remove(&name);
            self.world.tally.borrow_mut().spilled += usize::from(is_new && was_kept);
        }
        Ok(appended)
    }

    async fn passed(&self, end: PhyOffset) -> Result<(), PutError> {
        frame::passed(&self.store, end).await
    }
}

/// The checkpoint that a record is.
fn check_point(draft: &RecordDraft<'_>) -> Option<CheckPoint> {
    let said = |name| draft.properties.iter().find_map(|some| properties::get(some, name));
    let is_it = said(names::TAGS) == Some(CHECKPOINT_TAG);
    is_it.then(|| json::from_lenient(draft.body).unwrap())
}

impl ReviveOutlet for SimOutlet {
    fn broker(&self) -> String {
        BROKER.to_owned()
    }

    fn saved(&self, topic: &Rc<str>, queue_id: i32) -> Option<i64> {
        self.world.saved(topic, queue_id)
    }

    fn done(&self, topic: &Rc<str>, queue_id: i32, last: i64) {
        let end = self.store.appended();
        self.with_pops(|pops| pops.revived(topic, queue_id, last, end));
    }

    fn settled_ms(&self) -> i64 {
        let timers = self.world.life.borrow().timers.clone();
        let now_ms = self.sim.wall_ms();
        let done_ms = timers.done_upto_ms(now_ms, self.world.options.precision_ms);
        let Some(done_ms) = done_ms else { return i64::MIN };
        let range = self.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default();
        let at = TimersAt { next: timers.next(), end: range.max_offset.0, done_ms };
        self.with_pops(|pops| pops.settled_ms(now_ms, at))
    }

    fn goes(&self, topic: &str, group: &str, _: i32) -> Goes {
        assert_eq!((topic, group), (TOPIC, GROUP));
        Goes::Retry(RETRY.to_owned())
    }

    fn count(&self, _: &Goes) {}

    fn busy(&self, is_busy: bool) {
        self.with_pops(|pops| {
            let under_way = pops.revives.get();
            pops.revives.set(if is_busy { under_way + 1 } else { under_way - 1 });
        });
    }
}

impl SpillOutlet for SimOutlet {
    fn with_pops<T>(&self, work: impl FnOnce(&mut Pops) -> T) -> T {
        work(&mut self.world.life.borrow_mut().pops)
    }

    fn record(
        &self,
        make: impl FnOnce(&Writer<'_>) -> Result<ReviveRecord, NotTimed>,
    ) -> Result<ReviveRecord, String> {
        let (timers, now_ms) = (&self.world.options, self.sim.wall_ms());
        let made = make(&Writer { topic: REVIVE, timers, host: host(), now_ms });
        made.map_err(|not| format!("{not:?}"))
    }
}

impl SimOutlet {
    /// Tells the tasks what has come.
    pub(super) fn arrivals(&self) {
        self.store.drain_arrivals(|arrival| {
            let life = self.world.life.borrow();
            if arrival.topic == TIMER_TOPIC {
                life.timers.arrived.notify();
            }
            life.pops.arrived(arrival.topic, arrival.queue_id);
        });
    }

    /// A number below this one.
    pub(super) fn random(&self, below: u64) -> u64 {
        self.sim.random_u64() % below
    }

    /// Waits for less than so long.
    pub(super) async fn nap(&self, below_ms: u64) {
        self.sim.sleep(Duration::from_millis(self.random(below_ms))).await;
    }

    /// The shard's tick of POP.
    pub(super) async fn tick(self) {
        while !self.world.life.borrow().is_down {
            self.sim.sleep(Duration::from_millis(20)).await;
            self.save(self.store.flushed());
            let now_ms = self.sim.wall_ms();
            if self.with_pops(|pops| pops.begins_to_spill(now_ms)) {
                self.sim.spawn(Priority::Foreground, spill::spill_due(self.clone()));
            }
        }
    }

    /// The log is flushed up to here: the table may know it.
    pub(super) fn save(&self, flushed: PhyOffset) {
        self.with_pops(|pops| {
            pops.cursors.flushed(flushed, |Key { topic, queue_id, .. }, next| {
                let mut table = self.world.table.borrow_mut();
                let before = table.insert((topic.to_string(), *queue_id), next);
                assert!(before <= Some(next), "{topic}@{queue_id} goes back from {before:?}");
            });
        });
    }
}
