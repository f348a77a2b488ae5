//! Conversions of numbers that always fit, said once.
//!
//! A count, a length or a time of ours never leaves these ranges; if one does, the program is
//! wrong and stops here instead of going on with a made-up number. Numbers that come from outside
//! (the wire, a file, the configuration) are checked where they are read and answered with an
//! error: they never come here.

use std::fmt::Debug;
use std::time::Duration;

/// `value` as another integer type.
///
/// # Panics
/// If it does not fit: an error of the program.
#[track_caller]
pub(crate) fn to<T, V>(value: V) -> T
where
    V: Copy + Debug + TryInto<T>,
{
    let Ok(converted) = value.try_into() else {
        panic!("{value:?} does not fit {}", std::any::type_name::<T>())
    };
    converted
}

/// A length, a count or an unsigned time as RocketMQ's signed 64 bits.
#[track_caller]
pub(crate) fn to_i64<V: Copy + Debug + TryInto<i64>>(value: V) -> i64 {
    to(value)
}

/// The whole milliseconds of a duration.
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
        assert_eq!(to::<u16, _>(65_535_usize), u16::MAX);
        assert_eq!(millis_i64(Duration::from_micros(1_999)), 1);
    }

    #[test]
    #[should_panic(expected = "18446744073709551615 does not fit i64")]
    fn a_number_that_does_not_fit_stops_the_program() {
        to_i64(u64::MAX);
    }
}
