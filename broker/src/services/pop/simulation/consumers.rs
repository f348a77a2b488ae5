//! Producers and consumers.

use super::super::buffer::Point;
use super::super::cursors::Key;
use super::super::gather::Of;
use super::super::outlet::SpillOutlet as _;
use super::oracle::{Acked, Found, Name};
use super::outlet::SimOutlet;
use super::world::{BROKER, GROUP, REVIVE_QUEUES, TOPIC};
use crate::sends::errors::PutError;
use crate::services::delivery::outlet::Outlet as _;
use crate::services::delivery::read::{Read, read};
use crate::services::delivery::simulation::draft;
use engine::PhyOffset;
use protocol::bodies::AckMessage;
use protocol::record::{RecordView, records};
use rt::{Priority, Runtime as _};
use std::rc::Rc;

impl SimOutlet {
    /// Sends until the store takes nothing any more.
    pub(super) async fn produce(self) {
        loop {
            self.nap(30).await;
            let nth = self.world.sent.replace(self.world.sent.get() + 1);
            if self.append(&draft(TOPIC, nth.to_string().as_bytes(), &[])).await.is_err() {
                return;
            }
        }
    }

    /// Pops until the broker is down.
    pub(super) async fn pop_for_ever(self) {
        loop {
            self.nap(60).await;
            if self.world.life.borrow().is_down || self.pop().await.is_err() {
                return;
            }
        }
    }

    /// As `take` does it: true when something was there.
    pub(super) async fn pop(&self) -> Result<bool, PutError> {
        let key = Key { topic: Rc::from(TOPIC), group: Rc::from(GROUP), queue_id: 0 };
        assert!(self.with_pops(|pops| pops.cursors.take(&key)), "one pops");
        let found = self.find(&key).await;
        let handed = match found {
            Some((found, next)) => self.store_point(&key, found, next).await,
            None => Ok(None),
        };
        self.with_pops(|pops| pops.cursors.give_back(&key));
        let Some((point, found, end)) = handed? else { return Ok(false) };
        if let Some(end) = end {
            self.passed(end).await?;
        }
        self.sim.spawn(Priority::Foreground, self.clone().consume(point, found));
        Ok(true)
    }

    /// Some messages from where the group is, and where it goes on.
    async fn find(&self, key: &Key) -> Option<(Vec<Found>, i64)> {
        let saved = self.world.saved(TOPIC, 0);
        let from = saved.max(self.with_pops(|pops| pops.cursors.next(key))).unwrap_or(0);
        let messages = usize::try_from(self.random(8)).unwrap() + 1;
        let Ok(Read::Found(found)) = read(&self.store, (TOPIC, 0), from, messages).await else {
            return None;
        };
        let of = |record: RecordView<'_>| {
            let at = u64::try_from(record.physical_offset()).unwrap();
            let end = PhyOffset(at + record.total_size() as u64);
            let text = std::str::from_utf8(record.body()).unwrap().to_owned();
            Found { text, offset: record.queue_offset(), end }
        };
        let all = found.slices.iter().flat_map(|slice| records(slice));
        Some((all.map(|record| of(record.unwrap())).collect(), found.next))
    }

    /// Keeps the checkpoint or writes it, and moves the group behind it. Where it ends in the log,
    /// if it is there.
    async fn store_point(
        &self,
        key: &Key,
        found: Vec<Found>,
        next: i64,
    ) -> Result<Option<(Point, Vec<Found>, Option<PhyOffset>)>, PutError> {
        let Some(first) = found.first() else { return Ok(None) };
        let (options, is_stopping) = {
            let life = self.world.life.borrow();
            (life.buffer, life.is_stopping)
        };
        let invisible_below_ms = if options.enabled { 8_000 } else { 2_500 };
        let point = Point {
            key: key.clone(),
            start_offset: first.offset,
            pop_time_ms: self.sim.wall_ms(),
            invisible_ms: i64::try_from(self.random(invisible_below_ms)).unwrap(),
            revive_queue: i32::try_from(self.random(REVIVE_QUEUES)).unwrap(),
            diffs: found.iter().map(|one| to_diff(one.offset - first.offset)).collect(),
        };
        let name = name(&point);
        self.world.oracle.borrow_mut().popped(&found, name, revive_ms(&point));
        let is_kept = !is_stopping && {
            let (point, now_ms) = (point.clone(), self.sim.wall_ms());
            self.with_pops(|pops| pops.keep(point, next, now_ms, &options))
        };
        if is_kept {
            self.world.life.borrow_mut().kept.insert(name);
            self.world.tally.borrow_mut().kept += 1;
            return Ok(Some((point, found, None)));
        }
        let body = point.check_point(BROKER);
        let record = self.record(|writer| writer.check_point(&body, point.revive_queue)).unwrap();
        let end = self.append(&record.draft(&[record.properties()])).await?.end();
        let appended = self.store.appended();
        self.with_pops(|pops| pops.cursors.advance(key, next, appended));
        Ok(Some((point, found, Some(end))))
    }

    /// Acknowledges most of what a pop took, one by one or together, in time or late.
    async fn consume(self, point: Point, found: Vec<Found>) {
        self.nap(u64::try_from(point.invisible_ms).unwrap() + 400).await;
        let all_of_it = self.random(3) == 0;
        let mut left = found;
        left.retain(|_| all_of_it || self.random(3) > 0);
        if self.random(2) == 0 {
            let _end_of_life = self.ack(&point, &left).await;
            return;
        }
        for one in left {
            if self.ack(&point, &[one]).await.is_err() {
                return;
            }
        }
    }

    /// One request: what has its checkpoint in memory counts there, the rest is a record.
    async fn ack(&self, point: &Point, found: &[Found]) -> Result<(), PutError> {
        let is_over = {
            let life = self.world.life.borrow();
            life.is_down || life.acks_are_over
        };
        if is_over || found.is_empty() {
            return Ok(());
        }
        let name = name(point);
        let texts: Vec<String> = found.iter().map(|one| one.text.clone()).collect();
        self.world.oracle.borrow_mut().tried(&texts, name);
        let rest: Vec<Found> =
            found.iter().filter(|one| !self.ack_kept(point, one)).cloned().collect();
        if rest.is_empty() {
            return Ok(());
        }
        let ack = ack_message(point, &rest);
        let due_ms = revive_ms(point);
        let record = self.record(|writer| writer.ack(&ack, point.revive_queue, due_ms)).unwrap();
        let end = self.append(&record.draft(&[record.properties()])).await?.end();
        self.passed(end).await?;
        if self.sim.wall_ms() < due_ms {
            let texts: Vec<String> = rest.into_iter().map(|one| one.text).collect();
            self.world.oracle.borrow_mut().acked(&texts, name, Acked::InLog(end));
        }
        Ok(())
    }

    /// In memory it counts however late it is: its checkpoint has not left.
    fn ack_kept(&self, point: &Point, one: &Found) -> bool {
        let of = Of {
            topic: TOPIC,
            group: GROUP,
            queue_id: 0,
            start_offset: point.start_offset,
            pop_time_ms: point.pop_time_ms,
            broker: Some(BROKER),
            revive_queue: point.revive_queue,
            due_ms: revive_ms(point),
        };
        let end = self.store.appended();
        let before = self.with_pops(|pops| pops.buffer.len());
        if !self.with_pops(|pops| pops.ack_kept(of, one.offset, BROKER, end)) {
            return false;
        }
        let is_gone = self.with_pops(|pops| pops.buffer.len()) < before;
        self.world.tally.borrow_mut().merged_away += usize::from(is_gone);
        let texts = [one.text.clone()];
        self.world.oracle.borrow_mut().acked(&texts, name(point), Acked::InMemory);
        true
    }
}

fn name(point: &Point) -> Name {
    (point.start_offset, point.pop_time_ms)
}

fn revive_ms(point: &Point) -> i64 {
    point.pop_time_ms + point.invisible_ms
}

fn to_diff(places: i64) -> i32 {
    i32::try_from(places).unwrap()
}

fn ack_message(point: &Point, found: &[Found]) -> AckMessage {
    let (offset, offsets) = match found {
        [one] => (one.offset, None),
        several => (-1, Some(several.iter().map(|one| one.offset).collect())),
    };
    AckMessage {
        offset,
        offsets,
        broker: Some(BROKER.to_owned()),
        group: Some(GROUP.to_owned()),
        topic: Some(TOPIC.to_owned()),
        queue_id: 0,
        start_offset: point.start_offset,
        pop_time_ms: point.pop_time_ms,
    }
}
