//! Conversions of numbers that always fit, in the forms the broker needs. See
//! [`protocol::checked`]: numbers from outside never come here.

use std::fmt::Display;
use std::time::Duration;

pub(crate) use protocol::checked::fit as to;

/// A length, a count or an unsigned time as RocketMQ's signed 64 bits.
///
/// # Panics
/// If it does not fit: an error of the program.
#[track_caller]
pub(crate) fn to_i64<N: Copy + Display>(number: N) -> i64
where
    i64: TryFrom<N>,
{
    to(number)
}

/// The whole milliseconds of a duration.
///
/// # Panics
/// As [`to_i64`]; a duration of the configuration is far below that.
#[track_caller]
pub(crate) fn millis_i64(duration: Duration) -> i64 {
    to(duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_fits_keeps_its_value() {
        assert_eq!(to_i64(usize::MIN), 0);
        assert_eq!(to_i64(u64::MAX / 2), i64::MAX);
        assert_eq!(millis_i64(Duration::from_micros(1_999)), 1);
    }

    #[test]
    #[should_panic(expected = "18446744073709551615 does not fit i64")]
    fn a_number_that_does_not_fit_stops_the_program() {
        to_i64(u64::MAX);
    }
}
