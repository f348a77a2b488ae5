//! What the levels' tasks share with the rest of the shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

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

/// Wakes a level that has nothing to deliver.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    is_set: Cell<bool>,
    waits: RefCell<Option<Waker>>,
}

impl Arrived {
    fn notify(&self) {
        self.is_set.set(true);
        if let Some(waker) = self.waits.take() {
            waker.wake();
        }
    }

    /// Completes when something arrived since the last call.
    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            if self.is_set.take() {
                return Poll::Ready(());
            }
            self.waits.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// Buckets of [`Lateness`]: the last one has everything from 2^30 ms, twelve days, on.
const BUCKETS: usize = 32;

/// How many messages were how late: bucket 0 counts those at the millisecond, bucket `n` those from
/// 2^(n-1) ms to below 2^n ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    buckets: [u64; BUCKETS],
    max_ms: u64,
}

impl Lateness {
    /// One more.
    pub(super) fn count(&mut self, late_ms: u64) {
        let bucket = (u64::BITS - late_ms.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.max_ms = self.max_ms.max(late_ms);
    }

    /// So many of a thousand were late by at most this many milliseconds; 0 without any.
    pub(crate) fn at_most_ms(&self, of_thousand: u64) -> u64 {
        let all: u64 = self.buckets.iter().sum();
        let mut left = (all * of_thousand).div_ceil(1_000);
        for (bucket, count) in self.buckets.iter().enumerate() {
            if left <= *count {
                return ((1_u64 << bucket) - 1).min(self.max_ms);
            }
            left -= count;
        }
        self.max_ms
    }

    /// The latest, in milliseconds.
    pub(crate) fn max_ms(&self) -> u64 {
        self.max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_told_by_the_end_of_its_bucket() {
        let mut lateness = Lateness::default();
        assert_eq!((lateness.at_most_ms(500), lateness.max_ms()), (0, 0));
        (0..90).for_each(|_| lateness.count(0));
        (0..9).for_each(|_| lateness.count(5));
        lateness.count(70_000);
        let told = [500, 900, 990, 1_000].map(|part| lateness.at_most_ms(part));
        assert_eq!(told, [0, 0, 7, 70_000]);
        lateness.count(u64::MAX);
        assert_eq!(lateness.max_ms(), u64::MAX);
    }

    #[test]
    fn an_arrival_before_the_wait_is_not_missed() {
        let mut schedule = Schedule::default();
        let (first, second) = (schedule.add(), schedule.add());
        schedule.arrived(1);
        [-1, 2].into_iter().for_each(|unknown| schedule.arrived(unknown));
        let mut context = std::task::Context::from_waker(Waker::noop());
        let mut is_woken =
            |level: &Arrived| std::pin::pin!(level.wait()).poll(&mut context).is_ready();
        assert_eq!([is_woken(&first), is_woken(&second), is_woken(&second)], [false, true, false]);
    }
}
