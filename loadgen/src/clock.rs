//! One monotonic clock for every timestamp of a run.
//!
//! Why not the wall clock: RocketMQ's tool and most others count in wall-clock milliseconds, which
//! is coarser than a round trip and can go backwards. The wall time written into messages is
//! derived from the same reading.

use protocol::checked::{fit, nanos};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the clock was made. Copies share the same start, so their readings compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    wall_start_ms: i64,
}

impl Clock {
    /// A clock that starts at 0 now.
    #[must_use]
    pub fn start() -> Self {
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Self { start: Instant::now(), wall_start_ms: fit(wall) }
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now_nanos(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// By how much the wall clock was set since the start, ms: forward above 0.
    #[must_use]
    pub fn stepped_ms(&self) -> i64 {
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.step_to(self.now_nanos(), fit(wall))
    }

    fn step_to(&self, now_nanos: u64, wall_ms: i64) -> i64 {
        wall_ms.saturating_sub(self.wall_ms(now_nanos))
    }

    /// Milliseconds since 1970 at the reading `now_nanos`; for the fields RocketMQ keeps in that
    /// unit.
    #[must_use]
    pub fn wall_ms(&self, now_nanos: u64) -> i64 {
        self.wall_start_ms.saturating_add(fit(now_nanos / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_never_go_back_and_copies_agree() {
        let clock = Clock::start();
        let first = clock.now_nanos();
        let copy = clock;
        assert!(copy.now_nanos() >= first);
        assert_eq!(clock.wall_ms(2_000_000) - clock.wall_ms(0), 2);
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_no_reading_and_is_told() {
        let clock = Clock::start();
        let (a_second, begins) = (1_000_000_000, clock.wall_ms(0));
        assert_eq!(clock.step_to(a_second, begins + 1_000), 0);
        assert_eq!(clock.step_to(a_second, begins + 3_601_000), 3_600_000);
        assert_eq!(clock.step_to(a_second, begins - 4_000), -5_000);
        assert_eq!(clock.wall_ms(a_second), begins + 1_000, "readings go on evenly");
        assert!(clock.stepped_ms().abs() < 60_000, "nobody sets it while tests run");
    }
}
