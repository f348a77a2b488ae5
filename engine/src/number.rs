//! Numbers from one type to another where the value is known to fit.

use std::fmt::Debug;

/// The same number in another type. For values that the store made itself or has checked: one that
/// does not fit is a fault in this program, and going on with another number would lose messages.
/// Numbers from disk or from clients are checked where they are read.
#[track_caller]
#[inline]
pub(crate) fn exact<T, U>(value: T) -> U
where
    T: Copy + Debug + TryInto<U>,
{
    match value.try_into() {
        Ok(same) => same,
        Err(_) => panic!("{value:?} does not fit into {}", std::any::type_name::<U>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_the_same() {
        assert_eq!(
            (exact::<_, u32>(7_usize), exact::<_, i64>(u64::from(u32::MAX))),
            (7, 4_294_967_295)
        );
    }

    #[test]
    #[should_panic(expected = "-1 does not fit into u64")]
    fn what_does_not_fit_is_no_other_number() {
        exact::<_, u64>(-1_i64);
    }
}
