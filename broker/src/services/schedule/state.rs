//! What the levels' tasks share with the rest of the shard.

use crate::services::delivery::arrived::Arrived;
use crate::services::delivery::lateness::Lateness;
use std::rc::Rc;

/// The delayed deliveries of one shard.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// By queue id: whose tasks are told of appended messages.
    levels: Vec<Rc<Arrived>>,
    /// Levels that deliver at this moment.
    pub(super) under_way: usize,
    /// When progress was prepared for its file last, in milliseconds of the monotonic clock.
    pub(super) snapshot_ms: i64,
    /// Messages delivered since the start.
    pub(crate) delivered: u64,
    /// Messages left out since the start.
    pub(crate) left_out: u64,
    /// How late they were.
    pub(crate) lateness: Lateness,
}

impl Schedule {
    /// The next queue's messages are waited for.
    pub(super) fn add(&mut self) -> Rc<Arrived> {
        let arrived = Rc::<Arrived>::default();
        self.levels.push(arrived.clone());
        arrived
    }

    /// A message became visible in a queue of SCHEDULE_TOPIC_XXXX.
    pub(crate) fn arrived(&self, queue_id: i32) {
        let level = usize::try_from(queue_id).ok().and_then(|queue| self.levels.get(queue));
        if let Some(level) = level {
            level.notify();
        }
    }

    /// Whether no level is between a delivery and its progress.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_wakes_its_level_alone() {
        let mut schedule = Schedule::default();
        let (first, second) = (schedule.add(), schedule.add());
        schedule.arrived(1);
        [-1, 2].into_iter().for_each(|unknown| schedule.arrived(unknown));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut is_woken =
            |level: &Arrived| std::pin::pin!(level.wait()).poll(&mut context).is_ready();
        assert_eq!([is_woken(&first), is_woken(&second), is_woken(&second)], [false, true, false]);
    }
}
