//! Random numbers from a seed: splitmix64, one stream for each purpose, so that a further draw in
//! one place changes no other.

use crate::convert::fits;
use std::cell::Cell;

pub(super) struct Random(Cell<u64>);

impl Random {
    /// The stream of `seed` for the purpose `salt` names.
    pub(super) fn salted(seed: u64, salt: &[u8]) -> Self {
        let mixed = salt
            .iter()
            .fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
        let stream = Self(Cell::new(mixed ^ 0x9E37_79B9_7F4A_7C15));
        stream.next_u64();
        stream
    }

    pub(super) fn next_u64(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 when `bound` is 0). The bias of `%` does not matter here.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.next_u64() % bound.max(1)
    }

    pub(super) fn index_below(&self, bound: usize) -> usize {
        fits(self.below(fits(bound)))
    }
}
