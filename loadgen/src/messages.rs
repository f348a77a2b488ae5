//! What messages look like and where they go: sizes, tags, keys, properties, batches, hot queues.
//!
//! Whatever is drawn for a message depends on the seed and on the message's number alone, never on
//! time: the same seed sends the same messages, however fast the broker is.

use crate::payload::mix;
use crate::units;
use protocol::checked::fit;
use serde::{Deserialize, Serialize};

/// Distinct sizes of a Zipf distribution, and of a range that is wider.
const SIZES_MAX: u32 = 64;
/// Keys and tags are drawn apart from sizes and queues.
const SIZE: u64 = 1;
const TAG: u64 = 2;
const KEY: u64 = 3;
const QUEUE: u64 = 4;

/// Sizes of payloads, as `1KiB`, `100-4KiB` or `zipf:100-64KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// All alike.
    Fixed(u32),
    /// Every size in the range as often.
    Range(u32, u32),
    /// Sizes with equal ratios; the n-th smallest is 1/n as frequent as the smallest.
    Zipf(u32, u32),
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Fixed(1024)
    }
}

impl Sizes {
    /// Reads what the command line says.
    ///
    /// # Errors
    /// When it is no size or range within these bounds.
    pub fn parse(text: &str, min: u32, max: u32) -> Result<Self, String> {
        let (is_zipf, range) = match text.strip_prefix("zipf:") {
            Some(range) => (true, range),
            None => (false, text),
        };
        let Some((from, to)) = range.split_once('-').filter(|(from, _)| !from.is_empty()) else {
            let wrong = "is no Zipf range: write zipf:100-64KiB".to_owned();
            return if is_zipf {
                Err(wrong)
            } else {
                units::bytes(text, min, max).map(Self::Fixed)
            };
        };
        let (from, to) = (units::bytes(from, min, max)?, units::bytes(to, min, max)?);
        match (from < to, is_zipf) {
            (false, _) => Err(format!("must rise: {from} to {to} bytes does not")),
            (true, true) => Ok(Self::Zipf(from, to)),
            (true, false) => Ok(Self::Range(from, to)),
        }
    }

    /// The largest.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Fixed(size) | Self::Range(_, size) | Self::Zipf(_, size) => size,
        }
    }

    /// As the command line writes it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Fixed(size) => size.to_string(),
            Self::Range(from, to) => format!("{from}-{to}"),
            Self::Zipf(from, to) => format!("zipf:{from}-{to}"),
        }
    }
}

/// What messages have beside their payload, and how many go in a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Messages {
    /// Sizes of the payloads.
    pub sizes: Sizes,
    /// Messages in a request.
    pub batch: u32,
    /// Distinct tags; 0: none has one.
    pub tags: u32,
    /// Distinct keys; 0: none has one.
    pub keys: u64,
    /// Bytes of a user property; 0: none has one.
    pub property_bytes: u32,
    /// Zipf exponent of the queues of a broker; 0: in turn.
    pub queue_skew: f64,
}

impl Default for Messages {
    fn default() -> Self {
        let sizes = Sizes::default();
        Self { sizes, batch: 1, tags: 0, keys: 0, property_bytes: 0, queue_skew: 0.0 }
    }
}

/// The same in `result.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageFacts {
    /// Sizes, as the command line writes them.
    pub sizes: String,
    /// Messages in a request.
    pub batch: u32,
    /// Distinct tags.
    pub tags: u32,
    /// Distinct keys.
    pub keys: u64,
    /// Bytes of a user property.
    pub property_bytes: u32,
    /// Zipf exponent of the queues.
    pub queue_skew: f64,
}

impl Messages {
    /// For `result.json`.
    #[must_use]
    pub fn facts(&self) -> MessageFacts {
        let Self { sizes, batch, tags, keys, property_bytes, queue_skew } = *self;
        MessageFacts { sizes: sizes.text(), batch, tags, keys, property_bytes, queue_skew }
    }
}

/// What is drawn for one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Payload bytes.
    pub size: usize,
    /// Number of its tag.
    pub tag: u32,
    /// Number of its key.
    pub key: u64,
}

/// Draws sizes, tags, keys and queues.
#[derive(Clone, Debug)]
pub struct Drawing {
    messages: Messages,
    seed: u64,
    /// Size and the share of messages at or below it.
    sizes: Vec<(u32, f64)>,
}

impl Drawing {
    /// A drawing for one generator.
    #[must_use]
    pub fn new(messages: Messages, seed: u64, generator: u32) -> Self {
        let seed = mix(seed ^ mix(u64::from(generator) + 1));
        Self { messages, seed, sizes: size_table(messages.sizes) }
    }

    /// The size, tag and key of a message.
    #[must_use]
    pub fn message(&self, message_id: u64) -> Drawn {
        let Messages { tags, keys, .. } = self.messages;
        let size = match self.sizes.as_slice() {
            [(only, _)] => *only,
            sizes => {
                let share = unit(self.number(SIZE, message_id));
                let at = sizes.partition_point(|(_, upto)| *upto <= share);
                sizes[at.min(sizes.len() - 1)].0
            }
        };
        Drawn {
            size: fit(size),
            tag: fit(self.number(TAG, message_id) % u64::from(tags.max(1))),
            key: self.number(KEY, message_id) % keys.max(1),
        }
    }

    /// The place of a request's queue in a list of shares as [`skewed`] makes it.
    #[must_use]
    pub fn queue(&self, message_id: u64, upto: &[f64]) -> usize {
        let share = unit(self.number(QUEUE, message_id));
        upto.partition_point(|upto| *upto <= share).min(upto.len().saturating_sub(1))
    }

    /// Mean payload bytes.
    #[must_use]
    pub fn mean_bytes(&self) -> f64 {
        let mut below = 0.0;
        self.sizes
            .iter()
            .map(|(size, upto)| {
                let share = upto - below;
                below = *upto;
                f64::from(*size) * share
            })
            .sum()
    }

    /// The same as a whole number.
    #[must_use]
    pub fn mean_size(&self) -> u32 {
        whole(self.mean_bytes())
    }

    fn number(&self, what: u64, message_id: u64) -> u64 {
        mix(self.seed ^ mix(message_id.wrapping_mul(8) + what))
    }
}

/// A number as a share from 0 up to 1.
fn unit(number: u64) -> f64 {
    // 53 bits are what an f64 has.
    (number >> 11) as f64 / (1u64 << 53) as f64
}

/// Shares at or below each of `count` places, the n-th 1 / n^exponent as frequent as the first.
#[must_use]
pub fn skewed(count: usize, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=count).map(|nth| (nth as f64).powf(-exponent)).collect();
    let whole: f64 = weights.iter().sum();
    let mut sum = 0.0;
    weights
        .iter()
        .map(|weight| {
            sum += weight;
            sum / whole
        })
        .collect()
}

fn size_table(sizes: Sizes) -> Vec<(u32, f64)> {
    match sizes {
        Sizes::Fixed(size) => vec![(size, 1.0)],
        Sizes::Range(from, to) => {
            let count = (to - from + 1).min(SIZES_MAX);
            let step = f64::from(to - from) / f64::from(count - 1);
            let size = |nth: u32| whole(f64::from(from) + f64::from(nth) * step);
            (0..count).map(|nth| (size(nth), f64::from(nth + 1) / f64::from(count))).collect()
        }
        Sizes::Zipf(from, to) => {
            let count = (to - from + 1).min(SIZES_MAX);
            let ratio = f64::from(to) / f64::from(from);
            let size =
                |nth: usize| whole(f64::from(from) * ratio.powf(nth as f64 / f64::from(count - 1)));
            let shares = skewed(fit(count), 1.0);
            shares.into_iter().enumerate().map(|(nth, upto)| (size(nth), upto)).collect()
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two sizes, which are u32"
)]
fn whole(size: f64) -> u32 {
    size.round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sizes: Sizes, count: u64) -> Vec<usize> {
        let drawing = Drawing::new(Messages { sizes, ..Messages::default() }, 7, 0);
        (0..count).map(|id| drawing.message(id).size).collect()
    }

    #[test]
    fn sizes_are_written_as_people_do() {
        for (text, sizes) in [
            ("1KiB", Sizes::Fixed(1024)),
            ("100-4KiB", Sizes::Range(100, 4096)),
            ("zipf:100-64KiB", Sizes::Zipf(100, 65_536)),
        ] {
            assert_eq!(Sizes::parse(text, 56, 1 << 22), Ok(sizes));
            assert_eq!(Sizes::parse(&sizes.text(), 56, 1 << 22), Ok(sizes));
        }
        for wrong in ["zipf:100", "4KiB-100", "10-100", "zipf:", "-5", "100-", "1-2-3"] {
            assert!(Sizes::parse(wrong, 56, 1 << 22).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_is_even_and_reaches_both_ends() {
        let sizes = drawn(Sizes::Range(100, 1_100), 50_000);
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert_eq!((sizes.iter().min(), sizes.iter().max()), (Some(&100), Some(&1_100)));
        assert!((590.0..610.0).contains(&mean), "{mean}");
        let messages = Messages { sizes: Sizes::Range(100, 1_100), ..Messages::default() };
        let told = Drawing::new(messages, 7, 0).mean_bytes();
        assert!((told - mean).abs() < 10.0, "{told} told, {mean} drawn");
    }

    #[test]
    fn small_sizes_are_frequent_under_zipf() {
        let sizes = drawn(Sizes::Zipf(100, 65_536), 50_000);
        let count = |size: usize| sizes.iter().filter(|it| **it == size).count() as f64;
        let second = *sizes.iter().filter(|size| **size > 100).min().unwrap();
        let ratio = count(100) / count(second);
        assert!((1.8..2.2).contains(&ratio), "the second is half as frequent: {ratio}");
        assert!(count(65_536) > 0.0);
    }

    #[test]
    fn hot_queues_follow_the_exponent_and_no_skew_is_even() {
        let drawing = Drawing::new(Messages::default(), 3, 0);
        let counts = |exponent: f64| {
            let mut counts = [0u32; 4];
            let upto = skewed(4, exponent);
            (0..40_000).for_each(|id| counts[drawing.queue(id, &upto)] += 1);
            counts.map(f64::from)
        };
        let even = counts(0.0);
        assert!(even.iter().all(|count| (9_500.0..10_500.0).contains(count)), "{even:?}");
        let hot = counts(1.0);
        assert!((1.9..2.1).contains(&(hot[0] / hot[1])) && hot[3] > 0.0, "{hot:?}");
    }

    #[test]
    fn the_same_seed_draws_the_same_and_generators_differ() {
        let messages = Messages { tags: 5, keys: 1_000, ..Messages::default() };
        let draw = |seed, generator| {
            let drawing = Drawing::new(messages, seed, generator);
            (0..100).map(|id| drawing.message(id)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert!(draw(1, 0).iter().all(|it| it.tag < 5 && it.key < 1_000));
    }
}
