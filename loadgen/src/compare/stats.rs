//! What pairs of measurements show: the ratio of two sides with its interval.
//!
//! ```text
//!   pair i: a_i, b_i      d_i = ln(b_i / a_i)       ratio = exp(mean d)
//!   interval of mean d:   mean ± t(0.975, n − 1) · s / √n          (Student)
//!   beside it:            2.5 and 97.5 % of means of resampled d   (bootstrap)
//! ```
//!
//! Logarithms, because a ratio and its inverse are then equally far from "no difference", and
//! because times and rates spread by factors. Pairs, because two measurements that follow each
//! other share the machine's weather. The t interval leads: with few pairs the bootstrap covers
//! too little (about 88 % instead of 95 % with five).

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The intervals cover the true ratio in so many of all cases.
pub const CONFIDENCE: f64 = 0.95;
/// A difference as large as [`Estimate::detectable`] is found in so many of all cases.
pub const POWER: f64 = 0.8;
const RESAMPLES: usize = 2_000;

/// The ratio B / A of some pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// How many pairs.
    pub pairs: usize,
    /// B / A: the geometric mean of the pairs' ratios.
    pub ratio: f64,
    /// Lower end of the t interval.
    pub low: f64,
    /// Upper end of the t interval.
    pub high: f64,
    /// Lower end of the bootstrap's interval.
    pub bootstrap_low: f64,
    /// Upper end of the bootstrap's interval.
    pub bootstrap_high: f64,
    /// The smallest difference that these pairs would have shown with [`POWER`], as a share: 0.05
    /// is 5 %.
    pub detectable: f64,
}

/// What the interval says about A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// B is below A.
    Less,
    /// B is above A.
    More,
    /// The interval has 1 in it: no difference shown, which is not "no difference".
    Nothing,
}

impl Estimate {
    /// The estimate of these pairs (a, b); `None` from fewer than two pairs, or when a value is
    /// not above zero.
    #[must_use]
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        if pairs.len() < 2 || !pairs.iter().all(|(a, b)| is_positive(*a) && is_positive(*b)) {
            return None;
        }
        let logs: Vec<f64> = pairs.iter().map(|(a, b)| (b / a).ln()).collect();
        let mean = mean(&logs);
        let n = logs.len() as f64;
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
        let t = student.inverse_cdf(0.5 + CONFIDENCE / 2.0);
        let half = t * error;
        let (bootstrap_low, bootstrap_high) = bootstrap(&logs);
        Some(Self {
            pairs: logs.len(),
            ratio: mean.exp(),
            low: (mean - half).exp(),
            high: (mean + half).exp(),
            bootstrap_low: bootstrap_low.exp(),
            bootstrap_high: bootstrap_high.exp(),
            detectable: ((t + student.inverse_cdf(POWER)) * error).exp_m1(),
        })
    }

    /// What the t interval shows.
    #[must_use]
    pub fn shown(&self) -> Shown {
        if self.high < 1.0 {
            Shown::Less
        } else if self.low > 1.0 {
            Shown::More
        } else {
            Shown::Nothing
        }
    }
}

fn is_positive(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The percentile interval of resampled means. Its randomness has a fixed seed: the same pairs
/// give the same interval.
fn bootstrap(logs: &[f64]) -> (f64, f64) {
    let mut random = fastrand::Rng::with_seed(1);
    let resampled = |random: &mut fastrand::Rng| {
        let sum: f64 = logs.iter().map(|_| logs[random.usize(..logs.len())]).sum();
        sum / logs.len() as f64
    };
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resampled(&mut random)).collect();
    means.sort_by(f64::total_cmp);
    let beyond = RESAMPLES / 40;
    (means[beyond], means[RESAMPLES - 1 - beyond])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs whose logarithms differ by `difference`, with normal noise of this deviation.
    fn noisy(random: &mut fastrand::Rng, n: usize, difference: f64, noise: f64) -> Vec<(f64, f64)> {
        let normal = |random: &mut fastrand::Rng| {
            // Box and Muller.
            let (one, two) = (1.0 - random.f64(), random.f64());
            (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos()
        };
        (0..n).map(|_| (100.0, 100.0 * (difference + noise * normal(random)).exp())).collect()
    }

    #[test]
    fn the_t_interval_covers_the_truth_as_often_as_it_says() {
        for (seed, pairs) in [(1, 3), (2, 5), (3, 8), (4, 20)] {
            let mut random = fastrand::Rng::with_seed(seed);
            let truth = 1.1f64;
            let covered = (0..4_000).filter(|_| {
                let estimate = Estimate::of(&noisy(&mut random, pairs, truth.ln(), 0.05)).unwrap();
                (estimate.low..=estimate.high).contains(&truth)
            });
            let share = covered.count() as f64 / 4_000.0;
            assert!((0.935..0.965).contains(&share), "{pairs} pairs, seed {seed}: {share}");
        }
    }

    #[test]
    fn the_bootstrap_covers_less_with_few_pairs() {
        let mut random = fastrand::Rng::with_seed(5);
        let covered = (0..400).filter(|_| {
            let estimate = Estimate::of(&noisy(&mut random, 5, 0.0, 0.05)).unwrap();
            (estimate.bootstrap_low..=estimate.bootstrap_high).contains(&1.0)
        });
        let share = covered.count() as f64 / 400.0;
        assert!(share < 0.93, "why the t interval leads: {share}");
    }

    #[test]
    fn a_detectable_difference_is_detected_as_often_as_it_says() {
        let mut random = fastrand::Rng::with_seed(6);
        let detectable: f64 = (0..400)
            .map(|_| Estimate::of(&noisy(&mut random, 8, 0.0, 0.05)).unwrap().detectable)
            .sum::<f64>()
            / 400.0;
        let found = (0..2_000).filter(|_| {
            let pairs = noisy(&mut random, 8, detectable.ln_1p(), 0.05);
            Estimate::of(&pairs).unwrap().shown() == Shown::More
        });
        let share = found.count() as f64 / 2_000.0;
        assert!((0.72..0.88).contains(&share), "{detectable} was found in {share}");
    }

    #[test]
    fn a_side_compared_with_itself_differs_in_one_of_twenty() {
        let mut random = fastrand::Rng::with_seed(7);
        let differs = (0..4_000).filter(|_| {
            Estimate::of(&noisy(&mut random, 8, 0.0, 0.1)).unwrap().shown() != Shown::Nothing
        });
        assert!((140..260).contains(&differs.count()));
    }

    #[test]
    fn known_numbers() {
        // ln 1.1 and ln 1.2: mean 0.138816, s 0.061526, t(0.975, 1) = 12.7062.
        let estimate = Estimate::of(&[(10.0, 11.0), (10.0, 12.0)]).unwrap();
        assert!((estimate.ratio - 1.148_913).abs() < 1e-5, "{estimate:?}");
        assert!((estimate.low - 0.660_98).abs() < 1e-3, "{estimate:?}");
        assert!((estimate.high - 1.997_06).abs() < 1e-3, "{estimate:?}");
        assert_eq!(estimate.shown(), Shown::Nothing);
    }

    #[test]
    fn too_few_pairs_or_values_without_a_logarithm_give_no_estimate() {
        assert_eq!(Estimate::of(&[(1.0, 2.0)]), None);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Estimate::of(&[(1.0, 2.0), (1.0, wrong)]), None, "{wrong}");
        }
    }
}
