//! Conversions of numbers that fit because something before them was checked.
//!
//! A number that came from a peer, a file or a user is converted with `try_from`, and the error is
//! answered. For every other number a failed conversion is a mistake in this program: it must stop
//! there, where its cause can be seen, and not go on as a zero.

use std::any::type_name;
use std::fmt::Display;
use std::time::Duration;

/// `number` as another integer type.
///
/// # Panics
/// If the number does not fit. Never call it with a number from outside of the program.
#[inline]
#[track_caller]
#[must_use]
pub fn fit<T, N>(number: N) -> T
where
    T: TryFrom<N>,
    N: Copy + Display,
{
    T::try_from(number).unwrap_or_else(|_| does_not_fit::<T, N>(number))
}

#[cold]
#[inline(never)]
#[track_caller]
fn does_not_fit<T, N: Display>(number: N) -> T {
    panic!("{number} does not fit {}: the check before this conversion is wrong", type_name::<T>())
}

/// A duration in nanoseconds. One of more than 584 years, which is how "never" is configured, is
/// `u64::MAX`.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration in whole milliseconds; see [`nanos`].
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_fits_is_the_same_number() {
        assert_eq!(fit::<u8, _>(255_usize), 255);
        assert_eq!(fit::<i64, _>(u64::from(u32::MAX)), 4_294_967_295);
    }

    #[test]
    #[should_panic(expected = "-1 does not fit usize")]
    fn a_number_that_does_not_fit_stops_the_program_and_is_named() {
        let _ = fit::<usize, _>(-1_i64);
    }

    #[test]
    fn durations_saturate_only_at_never() {
        assert_eq!(nanos(Duration::from_millis(3)), 3_000_000);
        assert_eq!(millis(Duration::from_micros(2_999)), 2);
        assert_eq!((nanos(Duration::MAX), millis(Duration::MAX)), (u64::MAX, u64::MAX));
    }
}
