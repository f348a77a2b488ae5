//! Times, rates and sizes as people write them: `30s`, `50k/s`, `1KiB`.

use std::time::Duration;

/// The longest time that can be asked for.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// The smallest and the largest rate that can be asked for, messages a second.
const RATE: (f64, f64) = (0.001, 1e8);

const TIMES_S: &[(&str, f64)] = &[
    ("", 1.0),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3600.0),
];
const SHARES: &[(&str, f64)] = &[("", 1.0), ("%", 0.01)];
const RATES: &[(&str, f64)] = &[("", 1.0), ("k", 1e3), ("M", 1e6)];
const SIZES: &[(&str, f64)] =
    &[("", 1.0), ("B", 1.0), ("kB", 1e3), ("KiB", 1024.0), ("MB", 1e6), ("MiB", 1024.0 * 1024.0)];

/// A time above zero; a bare number is seconds.
///
/// # Errors
/// When it is no time, or not within 24 h.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    match time_or_zero(text)? {
        Duration::ZERO => Err("must be above 0".into()),
        time => Ok(time),
    }
}

/// A time that may be zero; a bare number is seconds.
///
/// # Errors
/// When it is no time, or not within 24 h.
pub(crate) fn time_or_zero(text: &str) -> Result<Duration, String> {
    let seconds = value(text, TIMES_S, "a time: write 30s, 500ms, 2m or 1h")?;
    within(seconds, 0.0, TIME_MAX.as_secs_f64(), "0 and 24h")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Messages a second.
///
/// # Errors
/// When it is no rate, or absurd.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = value(number, RATES, "a rate: write 50000, 50k/s or 1.5M/s")?;
    within(rate, RATE.0, RATE.1, "0.001 and 100M messages a second")?;
    Ok(rate)
}

/// A stall: when it begins and how long it lasts, as `500ms:10ms`.
///
/// # Errors
/// When it is none.
pub(crate) fn stall(text: &str) -> Result<(Duration, Duration), String> {
    let (at, length) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is no stall: write 500ms:10ms"))?;
    Ok((time_or_zero(at)?, time(length)?))
}

/// A share: `5%` or `0.05`, from 0 to 100 %.
///
/// # Errors
/// When it is none.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share = value(text, SHARES, "a share: write 5% or 0.05")?;
    within(share, 0.0, 1.0, "0 and 100 %")?;
    Ok(share)
}

/// A change as a share, which may be above one.
///
/// # Errors
/// When it is none between 0 and 1000 %.
pub(crate) fn change(text: &str) -> Result<f64, String> {
    let change = value(text, SHARES, "a share: write 5% or 0.05")?;
    within(change, 0.0, 10.0, "0 and 1000 %")?;
    Ok(change)
}

/// The exponent of a Zipf distribution.
///
/// # Errors
/// When it is none between 0 and 10.
pub(crate) fn skew(text: &str) -> Result<f64, String> {
    let skew = value(text, &[("", 1.0)], "an exponent: write 0 (even), 1 or 1.5")?;
    within(skew, 0.0, 10.0, "0 and 10")?;
    Ok(skew)
}

/// A whole number of bytes between `min` and `max`.
///
/// # Errors
/// When it is no size, or out of bounds.
pub(crate) fn bytes(text: &str, min: u32, max: u32) -> Result<u32, String> {
    let bytes = value(text, SIZES, "a size: write 1024, 1KiB, 100kB or 4MiB")?;
    within(bytes, f64::from(min), f64::from(max), &format!("{min} and {max} bytes"))?;
    if bytes.fract() != 0.0 {
        return Err("must be a whole number of bytes".into());
    }
    format!("{bytes:.0}").parse().map_err(|_| format!("`{text}` is no number of bytes"))
}

/// A number and a unit of this table.
fn value(text: &str, units: &[(&str, f64)], kind: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not {kind}");
    let is_digit = |c: char| c.is_ascii_digit() || ".-+".contains(c);
    let unit_at = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    // "inf" and "NaN" have no digit, so they never get here as numbers.
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    Ok(number * factor)
}

fn within(value: f64, min: f64, max: f64, bounds: &str) -> Result<(), String> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(format!("must be between {bounds}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_mean_what_they_say() {
        for (text, millis) in [("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("0.25", 250)] {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!((time("24h"), time_or_zero("0")), (Ok(TIME_MAX), Ok(Duration::ZERO)));
        assert_eq!((rate("50k/s"), rate("1.5M"), rate("200/s")), (Ok(5e4), Ok(1.5e6), Ok(200.0)));
        for (text, size) in [("1KiB", 1024), ("1kB", 1000), ("100", 100), ("0.5MiB", 524_288)] {
            assert_eq!(bytes(text, 48, 4 << 20), Ok(size), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_rate_or_size_is_refused_with_what_is() {
        for text in
            ["inf", "NaN", "-1", "-1s", "1e400", "99999999999h", "", "s", "5 parsecs", "1.2.3"]
        {
            let why = time_or_zero(text).unwrap_err();
            assert!(why.contains("30s") || why.contains("between 0 and 24h"), "{text}: {why}");
            assert!(time(text).is_err() && rate(text).is_err(), "{text}");
            assert!(bytes(text, 48, 100).is_err(), "{text}");
        }
        assert!(time("0").is_err() && rate("0").is_err() && bytes("47", 48, 100).is_err());
        assert!(bytes("48.5", 48, 100).unwrap_err().contains("whole"));
    }
}
