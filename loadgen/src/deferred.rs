//! CPU time of brokers, with the work that they put off until after a row.
//!
//! ```text
//!   begin ── load ── last answer ── broker quiet ──
//!     └──────────── charged to the row ────────┘        └ the floor and the next row
//! ```
//!
//! A broker indexes, flushes and collects garbage after it has answered. A row that ended with the
//! last answer would leave this out, and the row behind it would pay. So a row waits until its
//! broker is quiet, which works for every broker whose process is on this host.

use crate::env::process::{process_cpu_nanos, resident_bytes};
use crate::row::{Row, count_f64};
use crate::signals::Stop;
use protocol::checked::nanos;
use std::time::{Duration, Instant};

/// A broker is quiet when it uses less than this share of a core over [`LOOK_EVERY`]. A JVM with
/// nothing to do uses 1 to 3 %.
const QUIET_SHARE: f64 = 0.05;
/// How long each look at the CPU time lasts.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A broker that is not quiet by then never will be: it spins, or something else uses it.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// The processes of the brokers under test; none where they are not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerWork {
    pids: Vec<u32>,
}

/// The CPU time at the beginning of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    cpu_nanos: Option<u64>,
}

impl BrokerWork {
    /// Brokers in these processes.
    #[must_use]
    pub(crate) fn of(pids: Vec<u32>) -> Self {
        Self { pids }
    }

    /// Remembers the CPU time now.
    #[must_use]
    pub(crate) fn begin(&self) -> Begun {
        Begun { cpu_nanos: self.cpu_nanos() }
    }

    /// Waits until the brokers are quiet, and charges the row with their CPU time since `begun`.
    pub(crate) fn charge(&self, row: &mut Row, begun: Begun, messages: u64, stop: &Stop) {
        let (Some(before), Some(answered)) = (begun.cpu_nanos, self.cpu_nanos()) else { return };
        let start = Instant::now();
        let is_quiet = self.wait_until_quiet(stop);
        let Some(after) = self.cpu_nanos() else { return };
        let per_message =
            |from: u64| after.saturating_sub(from) as f64 / 1000.0 / count_f64(messages.max(1));
        row.broker_cpu_us_per_message = Some(per_message(before));
        row.deferred_cpu_us_per_message = Some(per_message(answered));
        row.deferred_s = Some(start.elapsed().as_secs_f64());
        row.broker_resident_bytes = self.resident_bytes();
        if !is_quiet {
            row.notes.push(format!(
                "the broker was not quiet {} s after the last answer: it spins while idle, or has \
                 other work, and CPU/msg has that in it",
                start.elapsed().as_secs()
            ));
        }
    }

    fn wait_until_quiet(&self, stop: &Stop) -> bool {
        let start = Instant::now();
        let mut before = self.cpu_nanos();
        while start.elapsed() < QUIET_WITHIN && !stop.is_set() {
            let looked = Instant::now();
            std::thread::sleep(LOOK_EVERY);
            let now = self.cpu_nanos();
            let (Some(then), Some(used)) = (before, now) else { return false };
            let share = used.saturating_sub(then) as f64 / nanos(looked.elapsed()).max(1) as f64;
            if share < QUIET_SHARE {
                return true;
            }
            before = now;
        }
        false
    }

    /// CPU time of all of them; `None` when there are none, or one has ended.
    fn cpu_nanos(&self) -> Option<u64> {
        let each = self.pids.iter().map(|pid| process_cpu_nanos(*pid));
        let sum = each.sum::<Option<u64>>();
        sum.filter(|_| !self.pids.is_empty())
    }

    fn resident_bytes(&self) -> Option<u64> {
        self.pids.iter().map(|pid| resident_bytes(*pid)).sum()
    }
}
