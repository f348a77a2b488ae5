//! The due times of an open loop's messages, a pure function of rate, shape and seed.
//!
//! Due times never depend on the broker, which is the purpose of an open loop. After a stall of 100
//! ms, all messages that were due during the stall are sent, and the response time of each counts
//! from its due time.

use protocol::checked::nanos;
use std::time::Duration;

/// How due times are spaced.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Equal gaps.
    Constant,
    /// Exponential gaps: independent senders, with the bursts real traffic has.
    Poisson,
    /// Bursts of `--burst` messages that are all due at once, with equal gaps between bursts
    Burst,
    /// The rate rises evenly from a tenth at the warm-up's start to all of it at the end
    Ramp,
}

/// Where a ramp begins, as a share of the rate.
const RAMP_FROM: f64 = 0.1;

/// Due times in nanoseconds from the start of the load, ascending, until the given end.
#[derive(Clone, Debug)]
pub struct Schedule {
    shape: Shape,
    gap_nanos: f64,
    at_nanos: f64,
    index: u64,
    step: u64,
    end_nanos: u64,
    burst: u64,
    random: fastrand::Rng,
}

impl Schedule {
    /// `rate` messages a second over `duration`. `part` of `parts` splits one schedule over
    /// generator threads: together they send the whole schedule; with equal gaps, the messages are
    /// dealt in turn.
    #[must_use]
    pub fn new(
        shape: Shape,
        rate: f64,
        duration: Duration,
        seed: u64,
        part: u64,
        parts: u64,
    ) -> Self {
        let whole_gap_nanos = 1e9 / rate.max(1e-3);
        let parts = parts.max(1);
        let random =
            fastrand::Rng::with_seed(seed.wrapping_add(part.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let end_nanos = nanos(duration);
        let gap_nanos = match shape {
            Shape::Constant | Shape::Burst | Shape::Ramp => whole_gap_nanos,
            // The sum of Poisson streams is one; a part of it is a slower one.
            Shape::Poisson => whole_gap_nanos * parts as f64,
        };
        let (at_nanos, index, step, burst) = (0.0, part, parts, 1);
        Self { shape, gap_nanos, at_nanos, index, step, end_nanos, burst, random }
    }

    /// The same with this many messages in a burst, where the shape has bursts.
    #[must_use]
    pub fn with_burst(self, burst: u64) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// When the `index`-th message is due if the rate rises. Up to the time t
    /// `from·t + (to − from)·t² / (2·end)` messages are due; this is its inverse.
    fn on_ramp(&self, index: f64) -> f64 {
        let to = 1.0 / self.gap_nanos;
        let from = to * RAMP_FROM;
        let slope = (to - from) / self.end_nanos.max(1) as f64;
        ((from * from + 2.0 * slope * index).sqrt() - from) / slope
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let due_nanos = match self.shape {
            Shape::Constant => {
                // Multiplied, not added up: the error does not grow.
                let due = self.index as f64 * self.gap_nanos;
                self.index += self.step;
                due
            }
            Shape::Burst => {
                let due = (self.index - self.index % self.burst) as f64 * self.gap_nanos;
                self.index += self.step;
                due
            }
            Shape::Ramp => {
                let due = self.on_ramp(self.index as f64);
                self.index += self.step;
                due
            }
            Shape::Poisson => {
                let uniform = 1.0 - self.random.f64();
                self.at_nanos -= uniform.ln() * self.gap_nanos;
                self.at_nanos
            }
        };
        let due_nanos = whole_nanos(due_nanos);
        (due_nanos < self.end_nanos).then_some(due_nanos)
    }
}

/// A non-negative time as whole nanoseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a schedule is far below 2^63 ns"
)]
fn whole_nanos(ns: f64) -> u64 {
    ns as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn constant_has_equal_gaps_and_the_asked_count() {
        let due: Vec<u64> = Schedule::new(Shape::Constant, 1000.0, SECOND, 1, 0, 1).collect();
        assert_eq!(due.len(), 1000);
        assert!(due.windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
    }

    #[test]
    fn constant_does_not_drift_over_a_long_run() {
        let last = Schedule::new(Shape::Constant, 333_333.0, Duration::from_secs(30), 1, 0, 1)
            .last()
            .unwrap();
        let exact = (333_333.0f64 * 30.0 - 1.0).floor() * 1e9 / 333_333.0;
        assert!((last as f64 - exact).abs() < 10_000.0, "last due {last}, exact {exact}");
    }

    #[test]
    fn parts_of_a_constant_schedule_are_the_whole() {
        let whole: Vec<u64> = Schedule::new(Shape::Constant, 900.0, SECOND, 1, 0, 1).collect();
        let mut parts: Vec<u64> = (0..3)
            .flat_map(|part| Schedule::new(Shape::Constant, 900.0, SECOND, 1, part, 3))
            .collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
    }

    #[test]
    fn poisson_keeps_the_rate_and_has_exponential_gaps() {
        let due: Vec<u64> = Schedule::new(Shape::Poisson, 100_000.0, SECOND, 7, 0, 1).collect();
        assert!((98_000..102_000).contains(&due.len()), "{} messages", due.len());
        let mean_nanos = 10_000.0;
        let longer = due.windows(2).filter(|pair| (pair[1] - pair[0]) as f64 > mean_nanos).count();
        let share = longer as f64 / due.len() as f64;
        assert!((share - (-1.0f64).exp()).abs() < 0.01, "share of gaps above the mean {share}");
    }

    #[test]
    fn a_burst_is_due_at_once_and_bursts_keep_the_rate() {
        let due: Vec<u64> =
            Schedule::new(Shape::Burst, 1000.0, SECOND, 1, 0, 1).with_burst(50).collect();
        assert_eq!(due.len(), 1000);
        for (nth, burst) in due.chunks(50).enumerate() {
            let at = u64::try_from(nth).unwrap() * 50_000_000;
            assert!(burst.iter().all(|due| *due == at), "burst {nth}: {burst:?}");
        }
    }

    #[test]
    fn a_ramp_rises_evenly_to_the_rate() {
        let due: Vec<u64> = Schedule::new(Shape::Ramp, 10_000.0, SECOND, 1, 0, 1).collect();
        let within =
            |from: u64, to: u64| due.iter().filter(|due| (from..to).contains(*due)).count() as f64;
        assert!((5_490..=5_510).contains(&due.len()), "55 % on average: {}", due.len());
        // Over a tenth of a second the rate in its middle: 14.5 % and 95.5 %.
        assert!((within(0, 100_000_000) - 145.0).abs() < 3.0);
        assert!((within(900_000_000, 1_000_000_000) - 955.0).abs() < 3.0);
        assert!(due.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule() {
        let make =
            |seed| Schedule::new(Shape::Poisson, 1000.0, SECOND, seed, 0, 1).collect::<Vec<u64>>();
        assert_eq!(make(3), make(3));
        assert_ne!(make(3), make(4));
    }
}
