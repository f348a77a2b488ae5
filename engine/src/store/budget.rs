//! The cache's budget, for a store whose tail follows the machine's memory (`tailCacheBytes=auto`,
//! decision 0013).
//!
//! ```text
//!   0 ──────── floor ─────────────────── budget ───────── most
//!              │ the tail's, always      │ the tail, the cold windows and queues' units together:
//!              │                         │ grows by steps while memory is left,
//!              │                         │ shrinks when it isn't; the oldest written chunks go
//! ```
//!
//! Memory is looked at before it is taken: one look allows for the next `GROWTH_BYTES`, and has so
//! much reserved, off the core, as the log may need until the next. When that is used up before,
//! the tail uses its oldest chunks again instead. How much
//! is left comes first; stalls (PSI) come second, because where nothing can be reclaimed nobody
//! stalls before somebody is killed.
//!
//! Of the budget cold windows get a quarter at most, so one scan of a backlog does not make
//! everybody cold, and the tail has the rest.

use super::{Inner, Phase, Store};
use crate::limits::{
    BUDGET_LOOK, BUDGET_LOOK_AT_REST, CACHE_SPARE_BYTES_MAX, CACHE_SPARE_BYTES_MIN,
    GIVE_BACK_PAUSE, GROWTH_BYTES, READY_BYTES_MIN, RESERVE_REST, STALLED_PERMILLE_MAX,
};
use rt::{KeptMemory, MemoryRoom, Runtime};
use std::rc::Rc;
use std::time::Duration;

/// What the store keeps of the log in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// What the tail and the cold windows may use now, in bytes.
    pub budget_bytes: usize,
    /// The most that this may become.
    pub most_bytes: usize,
    /// Memory of the tail's chunks.
    pub tail_bytes: usize,
    /// Memory of the windows that were read from disk and are kept.
    pub cold_bytes: usize,
    /// Memory of ConsumeQueue units, as of the last checkpoint.
    pub unit_bytes: usize,
    /// Bytes of the log that were read from disk for readers since the store was opened.
    pub read_bytes: u64,
}

/// Between which sizes the budget moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    floor_bytes: usize,
    most_bytes: usize,
}

impl Bounds {
    pub(super) fn new(floor_bytes: usize, most_bytes: usize) -> Self {
        Self { floor_bytes: floor_bytes.min(most_bytes), most_bytes }
    }

    /// Left to everybody else.
    fn spare_bytes(self) -> u64 {
        (self.most_bytes as u64 / 4).clamp(CACHE_SPARE_BYTES_MIN, CACHE_SPARE_BYTES_MAX)
    }

    /// What the budget should be, when `used_bytes` of it are used and the machine says `room`.
    pub(super) fn next(self, room: MemoryRoom, used_bytes: usize) -> usize {
        let spare = self.spare_bytes();
        let clamp = |bytes: u64| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            bytes.clamp(self.floor_bytes, self.most_bytes)
        };
        let used = used_bytes as u64;
        if room.left_bytes < spare {
            return clamp(used.saturating_sub(spare - room.left_bytes));
        }
        if room.stalled_permille >= STALLED_PERMILLE_MAX {
            return clamp(used - used / 8);
        }
        // Between the spare and twice the spare nothing moves: else it would go back and forth.
        let growth = (room.left_bytes - spare).saturating_sub(spare).min(GROWTH_BYTES as u64);
        clamp(used.saturating_add(growth))
    }
}

/// Looks at the machine's memory for as long as the store is open.
pub(super) async fn follow_memory<R: Runtime>(inner: Rc<Inner<R>>) {
    let mut seen_end = inner.watermarks.appended().0;
    while inner.life.phase.get() == Phase::Open {
        let room = inner.env.rt.memory_room().await;
        let config = &inner.env.config;
        let bounds = Bounds::new(config.tail_floor_bytes(), config.tail_bytes_max);
        let budget = bounds.next(room, inner.cache_memory_bytes());
        inner.keep_within(budget).await;
        let end = inner.watermarks.appended().0;
        inner.reserve_ahead(budget, end.saturating_sub(seen_end)).await;
        let is_small = inner.cache_memory_bytes() <= config.tail_floor_bytes();
        let is_at_rest = is_small && end == seen_end;
        seen_end = end;
        inner.pause(if is_at_rest { BUDGET_LOOK_AT_REST } else { BUDGET_LOOK }).await;
    }
}

impl<R: Runtime> Inner<R> {
    fn cache_use(&self) -> CacheUse {
        let (most_bytes, cold_bytes) =
            (self.env.config.tail_bytes_max, self.caches.cold.borrow().bytes());
        let tail = self.writing.tail.borrow();
        let budget_bytes = self.caches.budget_bytes.get();
        let (tail_bytes, read_bytes) = (tail.memory_bytes(), self.caches.read_bytes.get());
        let unit_bytes = self.caches.unit_bytes.get();
        CacheUse { budget_bytes, most_bytes, tail_bytes, cold_bytes, unit_bytes, read_bytes }
    }

    /// Memory of the cache, in bytes: what is in use, and what was reserved ahead.
    fn cache_memory_bytes(&self) -> usize {
        let used = self.cache_use();
        let ahead =
            self.writing.tail.borrow().kept_memory().map_or(0, KeptMemory::releasable_bytes);
        used.tail_bytes + used.cold_bytes + used.unit_bytes + ahead
    }

    /// Has memory reserved for the log's next bytes: twice as many as it had since the last look,
    /// as far as that takes a tenth of the time. Where memory is slow to get, or the machine is
    /// busy, the tail uses its oldest chunks again instead: senders come before readers that may
    /// follow.
    async fn reserve_ahead(&self, budget_bytes: usize, appended_bytes: u64) {
        let Some(kept) = self.writing.tail.borrow().kept_memory().cloned() else { return };
        let appended = usize::try_from(appended_bytes).unwrap_or(usize::MAX);
        let wanted = appended.saturating_mul(2).clamp(READY_BYTES_MIN, GROWTH_BYTES);
        let missing = wanted.saturating_sub(kept.ready_bytes());
        let allowed = budget_bytes.saturating_sub(self.cache_memory_bytes());
        let slots = missing.min(allowed) / kept.shape().slot_bytes;
        let began = self.env.rt.now_nanos();
        let since =
            |nanos: u64| Duration::from_nanos(self.env.rt.now_nanos().saturating_sub(nanos));
        for _ in 0..slots {
            let slot_began = self.env.rt.now_nanos();
            self.env.rt.reserve_ahead(&kept, 1).await;
            self.pause(since(slot_began) * RESERVE_REST).await;
            if since(began) >= BUDGET_LOOK {
                return;
            }
        }
    }

    /// Cold windows first, as they are on disk for sure. Then chunks of the tail, one after the
    /// other; then what was reserved ahead.
    async fn keep_within(&self, budget_bytes: usize) {
        let config = &self.env.config;
        self.caches.budget_bytes.set(budget_bytes);
        let for_cold = (budget_bytes / 4).max(config.read_ahead_bytes);
        self.caches.cold.borrow_mut().set_bytes_max(for_cold);
        let for_tail = budget_bytes
            .saturating_sub(self.caches.cold.borrow().bytes())
            .saturating_sub(self.caches.unit_bytes.get());
        let for_tail = for_tail.max(config.tail_floor_bytes());
        self.writing.tail.borrow_mut().set_memory_max(for_tail);
        loop {
            let written = self.watermarks.written().0;
            let was_given = self.writing.tail.borrow_mut().give_back_oldest(written);
            self.writing.tail.borrow_mut().free_returned();
            let kept = self.writing.tail.borrow().kept_memory().cloned();
            if let Some(kept) = kept.filter(|_| self.cache_memory_bytes() > budget_bytes) {
                self.env.rt.release_free(&kept).await;
            }
            if !was_given {
                return;
            }
            self.env.rt.sleep(GIVE_BACK_PAUSE).await;
        }
    }
}

impl<R: Runtime> Store<R> {
    /// What of the log is in memory, and how much of it there may be.
    #[must_use]
    pub fn cache_use(&self) -> CacheUse {
        self.inner.cache_use()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn room(left_mib: u64, stalled_permille: u32) -> MemoryRoom {
        MemoryRoom { left_bytes: left_mib << 20, stalled_permille }
    }

    #[test]
    fn the_budget_grows_while_memory_is_left_and_shrinks_by_what_is_missing() {
        let bounds = Bounds::new(64 * MIB, 1024 * MIB);
        let table = [
            // left MiB, stalled, used MiB, the budget in MiB; 256 are spare
            (8_000, 0, 64, 64 + 64, "a step at a time"),
            (530, 0, 300, 300 + 18, "no more than leaves twice the spare"),
            (512, 0, 300, 300, "nothing moves"),
            (256, 0, 300, 300, "nothing moves"),
            (200, 0, 300, 244, "what is missing goes"),
            (0, 0, 300, 64, "not below the floor"),
            (8_000, 100, 800, 700, "others wait for memory"),
            (8_000, 99, 1_000, 1_024, "not above the most"),
        ];
        for (left, stalled, used, expected, why) in table {
            let found = bounds.next(room(left, stalled), used * MIB);
            assert_eq!(found / MIB, expected, "{why}: {left} left, {used} used");
        }
        assert_eq!(bounds.next(MemoryRoom::UNLIMITED, 64 * MIB), 128 * MIB);
    }

    #[test]
    fn memory_that_ends_and_comes_again_is_followed_down_and_up_without_going_back_and_forth() {
        let bounds = Bounds::new(64 * MIB, 512 * MIB);
        let total = 1_000_u64 << 20;
        let mut used = 64 * MIB;
        let step = |used: usize, others: u64| {
            let left = total.saturating_sub(others + used as u64);
            bounds.next(MemoryRoom { left_bytes: left, stalled_permille: 0 }, used)
        };
        (0..20).for_each(|_| used = step(used, 100 << 20));
        assert_eq!(used, 512 * MIB, "it fills");
        (0..20).for_each(|_| used = step(used, 700 << 20));
        assert_eq!(used, (1_000 - 700 - 128) * MIB, "others have what they want, and the spare");
        let before = used;
        (0..20).for_each(|_| used = step(used, 700 << 20));
        assert_eq!(used, before, "and there it stays");
        (0..20).for_each(|_| used = step(used, 990 << 20));
        assert_eq!(used, 64 * MIB, "the floor");
        (0..20).for_each(|_| used = step(used, 100 << 20));
        assert_eq!(used, 512 * MIB, "it comes again");
    }
}
