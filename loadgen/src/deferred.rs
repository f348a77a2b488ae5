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

use crate::cluster::runtime_number;
use crate::env::process::{device_read_bytes, process_cpu_nanos, resident_bytes};
use crate::instructions::{self, Counting};
use crate::row::{Row, count_f64};
use crate::signals::Stop;
use protocol::checked::nanos;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A broker is quiet when it uses less than this share of a core over [`LOOK_EVERY`]. A JVM with
/// nothing to do uses 1 to 3 %.
const QUIET_SHARE: f64 = 0.05;
/// How long each look at the CPU time lasts.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A broker that is not quiet by then never will be: it spins, or something else uses it.
const QUIET_WITHIN: Duration = Duration::from_secs(30);

/// Bytes from the device per byte of payload above which a read is cold, and below which hot.
const COLD_SHARE: f64 = 0.9;
const HOT_SHARE: f64 = 0.01;

/// The processes of the brokers under test; none where they are not known.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrokerWork {
    pids: Vec<u32>,
    /// Where the brokers listen, to ask what their idle spin took.
    brokers: Vec<SocketAddr>,
    counts_instructions: bool,
}

/// The counters at the beginning of a row.
#[derive(Debug)]
pub(crate) struct Begun {
    cpu_nanos: Option<u64>,
    spin_nanos: Option<u64>,
    read_bytes: Option<u64>,
    instructions: Option<Counting>,
}

impl BrokerWork {
    /// Brokers in these processes, which listen there.
    #[must_use]
    pub(crate) fn of(pids: Vec<u32>, mut brokers: Vec<SocketAddr>) -> Self {
        brokers.sort_unstable();
        brokers.dedup();
        let counts_instructions = !pids.is_empty() && instructions::is_possible();
        Self { pids, brokers, counts_instructions }
    }

    /// Remembers the counters now.
    #[must_use]
    pub(crate) fn begin(&self) -> Begun {
        let instructions = self.counts_instructions.then(|| Counting::begin(&self.pids));
        let (spin_nanos, read_bytes) = (self.spin_nanos(), self.read_bytes());
        Begun { cpu_nanos: self.cpu_nanos(), spin_nanos, read_bytes, instructions }
    }

    /// Waits until the brokers are quiet, and charges the row with their work since `begun`.
    pub(crate) fn charge(&self, row: &mut Row, begun: Begun, messages: u64, stop: &Stop) {
        let (Some(before), Some(answered)) = (begun.cpu_nanos, self.cpu_nanos()) else { return };
        let start = Instant::now();
        let is_quiet = self.wait_until_quiet(stop);
        let Some(after) = self.cpu_nanos() else { return };
        let messages = count_f64(messages.max(1));
        let per_message = |from: u64| after.saturating_sub(from) as f64 / 1000.0 / messages;
        row.broker_cpu_us_per_message = Some(per_message(before));
        row.deferred_cpu_us_per_message = Some(per_message(answered));
        row.deferred_s = Some(start.elapsed().as_secs_f64());
        row.broker_resident_bytes = self.resident_bytes();
        let spun = begun.spin_nanos.zip(self.spin_nanos());
        // The broker tells the time it looked for work; on a core that is not its own, some of that
        // was others' CPU time.
        row.spin_cpu_us_per_message = spun.map(|(from, to)| {
            let spun_us = to.saturating_sub(from) as f64 / 1000.0 / messages;
            spun_us.min(per_message(before))
        });
        let read = begun.read_bytes.zip(self.read_bytes());
        row.device_read_bytes = read.map(|(from, to)| to.saturating_sub(from));
        let instructions = begun.instructions.and_then(Counting::end);
        row.instructions_per_message = instructions.map(|count| count_f64(count) / messages);
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

    fn read_bytes(&self) -> Option<u64> {
        let sum = self.pids.iter().map(|pid| device_read_bytes(*pid)).sum::<Option<u64>>();
        sum.filter(|_| !self.pids.is_empty())
    }

    /// What the brokers say of their idle spin; `None` when one does not tell it.
    fn spin_nanos(&self) -> Option<u64> {
        if self.pids.is_empty() || self.brokers.is_empty() {
            return None;
        }
        self.brokers.iter().map(|addr| runtime_number(*addr, "idleSpinNanos")).sum()
    }
}

/// Whether a read of so many payload bytes came from memory or from the device. With a page cache
/// that reads ahead, or large reads, more than the payload may have come from the device.
#[must_use]
pub(crate) fn where_read(device_bytes: Option<u64>, payload_bytes: f64) -> &'static str {
    let Some(device_bytes) = device_bytes else { return "hot or cold not known" };
    match count_f64(device_bytes) / payload_bytes.max(1.0) {
        share if share >= COLD_SHARE => "cold (from the device)",
        share if share <= HOT_SHARE => "hot (from memory)",
        _ => "partly cold",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_named_by_where_its_bytes_came_from() {
        assert_eq!(where_read(None, 1e6), "hot or cold not known");
        assert_eq!(where_read(Some(0), 1e6), "hot (from memory)");
        assert_eq!(where_read(Some(500_000), 1e6), "partly cold");
        assert_eq!(where_read(Some(1_200_000), 1e6), "cold (from the device)");
    }
}
