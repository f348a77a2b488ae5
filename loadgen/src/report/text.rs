//! Numbers formatted for people.

/// Nanoseconds with three digits and a unit.
#[must_use]
pub fn time_nanos(ns: u64) -> String {
    time_us(ns as f64 / 1000.0)
}

/// Microseconds with three digits and a unit.
#[must_use]
pub fn time_us(us: f64) -> String {
    if us == 0.0 {
        "0".to_owned()
    } else if us < 1000.0 {
        format!("{} µs", three_digits(us))
    } else if us < 1_000_000.0 {
        format!("{} ms", three_digits(us / 1000.0))
    } else {
        format!("{} s", three_digits(us / 1_000_000.0))
    }
}

/// A count or rate with three digits: `987`, `12.3 k`, `1.71 M`.
#[must_use]
pub fn count(value: f64) -> String {
    if value < 1000.0 {
        format!("{value:.0}")
    } else if value < 1_000_000.0 {
        format!("{} k", three_digits(value / 1000.0))
    } else if value < 1e9 {
        format!("{} M", three_digits(value / 1_000_000.0))
    } else {
        format!("{} G", three_digits(value / 1e9))
    }
}

fn three_digits(value: f64) -> String {
    if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_get_the_right_unit() {
        assert_eq!(time_us(7.4), "7.40 µs");
        assert_eq!(time_us(123.4), "123 µs");
        assert_eq!(time_us(1500.0), "1.50 ms");
        assert_eq!(time_us(2_250_000.0), "2.25 s");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(26_340.0), "26.3 k");
        assert_eq!(count(1_714_000.0), "1.71 M");
        assert_eq!(count(5.5e9), "5.50 G");
    }
}
