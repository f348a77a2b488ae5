//! Timers that end a sleep which should not have begun.
//!
//! glommio 0.9.0 may park a core whose tasks are ready. Its loop looks at its rings, then at a flag
//! "something completed that may matter more", then runs its task queues; with the flag set it
//! runs none, and takes "none ran" for "none is ready":
//!
//! ```text
//!   poll_io ── the queue's 2 ms are over: flag ──► run_task_queues: runs none ──► park
//! ```
//!
//! (`LocalExecutor::run_task_queues` and `run` in src/executor/mod.rs; seen in a debugger as a
//! parked core with a task queue in `active_executors` and no timer.) It happens where the core's
//! thread shares its CPU. Nothing that a task does can prevent it, but any timer that was set
//! before ends it: the next look finds the ready tasks. The look that a timer causes may be lost in
//! the same way, and with it every timer that was due by then. So there are several, each of a
//! longer period than the one before: as long as the thread was not kept from its CPU for the
//! longest, one is left.
//!
//! A core that is at rest has nothing that could be forgotten but its other timers, so its periods
//! are longer: what comes first after a rest may wait for 200 ms then, if all of that meets.

use super::core::CoreInner;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// The shortest period: a core that was put to sleep wrongly usually wakes within it. Shorter costs
/// a core more: each wake-up takes some 70 us, half of it the kernel's.
const SHORTEST: Duration = Duration::from_millis(25);
/// Each period is so many times the one before.
const FACTOR: u32 = 4;
/// 25 ms, 100 ms, 400 ms, 1.6 s, 6.4 s: 53 wake-ups a second.
const TIMERS: u32 = 5;
/// At rest periods are so many times as long, up to the longest: 7 wake-ups a second.
const AT_REST: u32 = 8;
const LONGEST: Duration = SHORTEST.saturating_mul(FACTOR.pow(TIMERS - 1));

/// Starts the timers of this thread's executor. They end with it.
pub(super) fn start(core: &Rc<CoreInner>) {
    for nth in 0..TIMERS {
        glommio::spawn_local(pulse(Rc::downgrade(core), SHORTEST * FACTOR.pow(nth))).detach();
    }
}

async fn pulse(core: Weak<CoreInner>, period: Duration) {
    let mut seen = 0;
    loop {
        let worked = core.upgrade().map_or(seen, |core| core.completions.get());
        let is_at_rest = worked == seen;
        seen = worked;
        let at_rest = (period * AT_REST).min(LONGEST);
        glommio::timer::sleep(if is_at_rest { at_rest } else { period }).await;
    }
}
