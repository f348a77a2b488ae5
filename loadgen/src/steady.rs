//! When a broker is warm: three windows in a row agree.
//!
//! A Java broker compiles itself while it works; its first seconds are several times slower than
//! its tenth. A fixed warm-up is too short for one broker and wasted on another.

use std::time::Duration;

/// Windows that have to agree.
const WINDOWS: usize = 3;

/// How a broker is warmed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SteadyWish {
    /// Length of a window.
    pub window: Duration,
    /// By how much the fastest of three may exceed the slowest.
    pub within: f64,
    /// Time after which a broker is measured as it is, and its rows say so.
    pub at_most: Duration,
}

impl Default for SteadyWish {
    fn default() -> Self {
        let (window, at_most) = (Duration::from_secs(2), Duration::from_secs(60));
        Self { window, within: 0.02, at_most }
    }
}

impl SteadyWish {
    /// Whether the last three rates agree.
    #[must_use]
    pub(crate) fn agree(&self, rates: &[f64]) -> bool {
        let Some(last) = rates.last_chunk::<WINDOWS>() else { return false };
        let slowest = last.iter().copied().fold(f64::MAX, f64::min);
        let fastest = last.iter().copied().fold(0.0, f64::max);
        slowest > 0.0 && fastest <= slowest * (1.0 + self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_windows_in_a_row_have_to_agree_and_silence_is_not_steady() {
        let wish = SteadyWish::default();
        assert!(!wish.agree(&[100.0, 100.0]));
        assert!(wish.agree(&[10.0, 100.0, 101.0, 102.0]));
        assert!(!wish.agree(&[100.0, 100.0, 100.0, 103.0]), "103 is 3 % above");
        assert!(!wish.agree(&[0.0, 0.0, 0.0]));
    }
}
