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
//! before ends it: the next look finds the ready tasks. Several, because the look that a timer
//! causes may be lost in the same way.

use std::time::Duration;

/// A core sleeps no longer than this.
const EVERY: Duration = Duration::from_millis(10);
/// Timers that are set at each moment.
const TIMERS: u32 = 4;

/// Starts the timers of this thread's executor. They end with it.
pub(super) fn start() {
    for nth in 0..TIMERS {
        let pulse = async move {
            glommio::timer::sleep(EVERY * nth).await;
            loop {
                glommio::timer::sleep(EVERY * TIMERS).await;
            }
        };
        glommio::spawn_local(pulse).detach();
    }
}
