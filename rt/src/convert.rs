//! Conversions between integers that cannot fail unless a program is wrong.

use std::any::type_name;
use std::fmt::Display;

/// `value` as a number of type `T`.
///
/// For values that this program made itself and knows to fit: an index, a length of memory, a time
/// since start. Never for a number from the wire or from a file, which needs an error.
///
/// # Panics
/// When `value` does not fit `T`.
#[track_caller]
pub fn fits<T: TryFrom<U>, U: Copy + Display>(value: U) -> T {
    match T::try_from(value) {
        Ok(converted) => converted,
        Err(_) => panic!("{value} does not fit {}", type_name::<T>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_the_same_number() {
        assert_eq!(fits::<u32, usize>(7), 7);
        assert_eq!(fits::<usize, u64>(1 << 40), 1 << 40);
    }

    #[test]
    #[should_panic(expected = "4294967296 does not fit u32")]
    fn what_does_not_fit_is_named() {
        fits::<u32, u64>(1 << 32);
    }
}
