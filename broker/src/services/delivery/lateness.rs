//! How late messages came that waited for their time.

/// Buckets of [`Lateness`]: the last one has everything from 2^30 ms, twelve days, on.
const BUCKETS: usize = 32;

/// How many messages were how late: bucket 0 counts those at the millisecond, bucket `n` those from
/// 2^(n-1) ms to below 2^n ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lateness {
    buckets: [u64; BUCKETS],
    max_ms: u64,
}

impl Lateness {
    /// One more.
    pub(crate) fn count(&mut self, late_ms: u64) {
        let bucket = (u64::BITS - late_ms.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.max_ms = self.max_ms.max(late_ms);
    }

    /// So many of a thousand were late by at most this many milliseconds; 0 without any.
    pub(crate) fn at_most_ms(&self, of_thousand: u64) -> u64 {
        let all: u64 = self.buckets.iter().sum();
        let mut left = (all * of_thousand).div_ceil(1_000);
        for (bucket, count) in self.buckets.iter().enumerate() {
            if left <= *count {
                return ((1_u64 << bucket) - 1).min(self.max_ms);
            }
            left -= count;
        }
        self.max_ms
    }

    /// The latest, in milliseconds.
    pub(crate) fn max_ms(&self) -> u64 {
        self.max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_told_by_the_end_of_its_bucket() {
        let mut lateness = Lateness::default();
        assert_eq!((lateness.at_most_ms(500), lateness.max_ms()), (0, 0));
        (0..90).for_each(|_| lateness.count(0));
        (0..9).for_each(|_| lateness.count(5));
        lateness.count(70_000);
        let told = [500, 900, 990, 1_000].map(|part| lateness.at_most_ms(part));
        assert_eq!(told, [0, 0, 7, 70_000]);
        lateness.count(u64::MAX);
        assert_eq!(lateness.max_ms(), u64::MAX);
    }
}
