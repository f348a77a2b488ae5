//! Delayed messages: each level's queue of SCHEDULE_TOPIC_XXXX is read, and what is due goes to its
//! own topic (Apache's `ScheduleMessageService`).
//!
//! ```text
//!   queue of a level ─► read ahead ─► the first is due at … ─ sleep until then ─► read, append ─► acknowledged
//!        ▲                 │ at its end                                                              │
//!        └── an arrival ◄──┘                                              progress moves on ◄────────┘
//! ```
//!
//! One task for each level ([`level`]); none polls: it sleeps until its first message is due, or
//! until something is appended to its queue. What must hold:
//!
//! - **No message early.** A message is appended when the wall clock has reached its store time
//!   plus its level's delay. A clock that was set back delays it once more at most ([`due`]).
//! - **None lost.** Progress moves when the copy is acknowledged, and is saved when the log is
//!   flushed behind it ([`crate::tables::delay_offsets`]). A kill costs duplicates: what was
//!   delivered since the last save.
//! - A message that can't be delivered (its properties are damaged, or name a topic that nobody may
//!   send to) is left out and logged; it stays in the log ([`deliver`]).

mod deliver;
mod due;
mod home;
mod level;
#[cfg(test)]
mod simulation;
pub(crate) mod state;

use crate::checked;
use crate::shard::{Cx, Shard};
use crate::tables::delay_offsets::DelayOffsets;
use engine::{QueueRange, Store};
use home::Home;
use level::Level;
use netcore::Net;
use protocol::names::SCHEDULE_TOPIC;
use rt::{Priority, Runtime};
use state::Schedule;

/// Starts the delay levels of a shard.
pub(crate) fn start(cx: &Cx) {
    say_what_may_expire(cx);
    start_levels(cx);
}

/// Starts a task for each level, and for each queue that an earlier configuration with more levels
/// has left.
fn start_levels<H: Home>(home: &H) {
    let mut levels = home.delay_levels().level_max();
    home.store().for_each_queue(|topic, queue_id, _| {
        if topic == SCHEDULE_TOPIC {
            levels = levels.max(queue_id.saturating_add(1));
        }
    });
    for level in 1..=levels {
        let task = Level::new(home.clone(), level, first_offset(home, level));
        home.rt().spawn(Priority::Foreground, task.run());
    }
}

/// A log file is removed when it is old enough, whatever waits in it.
fn say_what_may_expire(cx: &Cx) {
    let store = &cx.options.process.store;
    let reserved_ms = store.retention.reserved_ms;
    for level in 1..=store.delay_levels.level_max() {
        let delay_ms = store.delay_levels.due_ms(level, 0).unwrap_or_default();
        if delay_ms.unsigned_abs() >= reserved_ms {
            tracing::warn!(
                "delay level {level} of messageDelayLevel is as long as fileReservedTime or \
                 longer: its messages may be removed before they are due"
            );
        }
    }
}

/// Where a level goes on. A file that does not fit its queue (the log lost its end, or messages
/// that were never delivered have expired) is put right, as Apache's `correctDelayOffset` does.
fn first_offset<H: Home>(home: &H, level: i32) -> i64 {
    let saved = home.with_schedule(|_, offsets| offsets.get(level));
    let range = home.store().queue_range(SCHEDULE_TOPIC, level - 1);
    let QueueRange { min_offset, max_offset } = range.unwrap_or_default();
    let next = saved.clamp(min_offset.0, max_offset.0);
    if next != saved {
        tracing::warn!(
            "delay level {level} was delivered up to {saved}, its queue has {min_offset} to \
             {max_offset}: it goes on at {next}"
        );
        let now_ms = home.rt().wall_ms();
        home.with_schedule(|_, offsets| offsets.advance(level, next, now_ms));
    }
    next
}

/// The service: see [`prepare_progress`].
pub(crate) fn tick(shard: &mut Shard, _: &mut Net) {
    let every_ms = checked::millis_i64(shard.cx.options.process.persist_delays_every);
    let now_ms = shard.cx.monotonic_ms();
    let (schedule, offsets) = (&mut shard.services.schedule, &mut shard.tables.delay_offsets);
    prepare_progress(schedule, offsets, &shard.cx.store, (now_ms, every_ms));
}

/// Prepares progress for its file when it is time, and lets it go there once the log is flushed.
/// The times are in milliseconds of the monotonic clock.
fn prepare_progress<R: Runtime>(
    schedule: &mut Schedule,
    offsets: &mut DelayOffsets,
    store: &Store<R>,
    (now_ms, every_ms): (i64, i64),
) {
    if now_ms.saturating_sub(schedule.snapshot_ms) >= every_ms {
        schedule.snapshot_ms = now_ms;
        offsets.snapshot(store.appended());
    }
    offsets.flushed(store.flushed());
}
