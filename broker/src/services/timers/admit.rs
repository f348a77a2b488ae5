//! Whether a timer message may wait: when it is sent, and when its transaction is committed.

use crate::config::TimerOptions;
use crate::sends::timer::{Asked, NotTimed, Timer};
use crate::shard::Shard;
use protocol::names::TIMER_TOPIC;
use rt::Runtime as _;

/// Whether a message that asks for a time waits for it; `None` when it is stored as it is.
pub(crate) fn may_wait(
    shard: &Shard,
    asked: &Asked<'_>,
    sys_flag: i32,
) -> Result<Option<Timer>, NotTimed> {
    let options = &shard.cx.options.process.timers;
    let timer = Timer::of(asked, sys_flag, shard.cx.now_ms(), options)?;
    if timer.is_some_and(|timer| is_congested(shard, options, timer)) {
        return Err(NotTimed::TooMany);
    }
    Ok(timer)
}

/// Apache's `isReject`: of a slot that has more than its number, the more are refused the nearer it
/// comes to twice as many. And the limit of the shard.
fn is_congested(shard: &Shard, options: &TimerOptions, timer: Timer) -> bool {
    let timers = &shard.services.timers;
    let end = shard.cx.store.queue_range(TIMER_TOPIC, 0).unwrap_or_default().max_offset.0;
    let not_taken_up = usize::try_from(end - timers.next()).unwrap_or(0);
    if timers.waiting().saturating_add(not_taken_up) >= options.pending_max {
        return true;
    }
    let (in_slot, max) = (timers.in_slot(timer.slot_ms) as u64, options.in_slot_max);
    match in_slot.checked_sub(max) {
        None | Some(0) => false,
        Some(above) if above >= max => true,
        Some(above) => shard.cx.core.random_u64() % max < above,
    }
}
