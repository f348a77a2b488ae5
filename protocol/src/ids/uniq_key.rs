//! The client's message id, property UNIQ_KEY.
//!
//! ```text
//!  | ip 4 or 16 bytes | pid u16 | hash u32 | ms since the start of the month u32 | counter u16 |   as 32 or 56 hex digits
//! ```
//!
//! The broker makes one for a message that came without. `hash` is the class loader's in Java; here
//! it is the caller's seed, so that two shards of one process differ.

use std::net::IpAddr;

use super::push_hex;
use crate::checked::fit;

/// Makes unique keys for one core.
///
/// Bounded by its own fields: nothing is kept per key. Keys repeat only if 65,536 are made within
/// one millisecond.
#[derive(Debug, Clone)]
pub struct UniqKeys {
    prefix: String,
    counter: u16,
}

impl UniqKeys {
    /// `ip` and `pid` of this process, and a seed that differs between generators of one process.
    #[must_use]
    pub fn new(ip: IpAddr, pid: u32, seed: u32) -> Self {
        let mut prefix = String::with_capacity(44);
        match ip {
            IpAddr::V4(ip) => push_hex(&mut prefix, &ip.octets()),
            IpAddr::V6(ip) => push_hex(&mut prefix, &ip.octets()),
        }
        let [_, _, high, low] = pid.to_be_bytes();
        push_hex(&mut prefix, &[high, low]);
        push_hex(&mut prefix, &seed.to_be_bytes());
        let [high, low, ..] = seed.to_be_bytes();
        Self { prefix, counter: u16::from_be_bytes([high, low]) }
    }

    /// Appends the next key to `out`. `now_ms` is the wall clock in milliseconds since 1970.
    pub fn write_next(&mut self, now_ms: i64, out: &mut String) {
        out.push_str(&self.prefix);
        push_hex(out, &ms_of_month(now_ms).to_be_bytes());
        push_hex(out, &self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Milliseconds since the first of the month, UTC. Java takes the local month; only uniqueness
/// depends on it.
fn ms_of_month(now_ms: i64) -> u32 {
    let (day, ms_of_day) = (now_ms.div_euclid(DAY_MS), now_ms.rem_euclid(DAY_MS));
    fit(day_of_month(day) * DAY_MS + ms_of_day)
}

/// Day of the month, from 0, of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last one and months follow a 153-day
/// pattern of five.
fn day_of_month(day: i64) -> i64 {
    const DAYS_TO_MARCH_0000: i64 = 719_468;
    const DAYS_OF_400_YEARS: i64 = 146_097;
    let day_of_era =
        (day.rem_euclid(DAYS_OF_400_YEARS) + DAYS_TO_MARCH_0000).rem_euclid(DAYS_OF_400_YEARS);
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month_from_march + 2) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_java_s_form_and_count_up() {
        let mut keys = UniqKeys::new("127.0.0.1".parse().expect("ip"), 0x12345, 0xABCD_EF01);
        let (mut first, mut second) = (String::new(), String::new());
        keys.write_next(1_700_000_000_000, &mut first);
        keys.write_next(1_700_000_000_000, &mut second);
        assert_eq!(first.len(), 32);
        assert_eq!(&first[..20], "7F0000012345ABCDEF01");
        assert_eq!((&first[28..], &second[28..]), ("ABCD", "ABCE"));
        let mut v6 = String::new();
        UniqKeys::new("::1".parse().expect("ip"), 1, 2).write_next(0, &mut v6);
        assert_eq!(v6.len(), 56);
    }

    #[test]
    fn months_start_at_zero() {
        // 2023-11-14T22:13:20Z, 2024-02-29T00:00:00Z, 2024-03-01T00:00:00Z, 1970-01-01,
        // 2000-12-31T23:59:59.999Z
        for (now_ms, expected_day, ms_of_day) in [
            (1_700_000_000_000, 13, 80_000_000),
            (1_709_164_800_000, 28, 0),
            (1_709_251_200_000, 0, 0),
            (0, 0, 0),
            (978_307_199_999, 30, DAY_MS - 1),
        ] {
            assert_eq!(
                i64::from(ms_of_month(now_ms)),
                expected_day * DAY_MS + ms_of_day,
                "{now_ms}"
            );
        }
        let _ = (ms_of_month(i64::MAX), ms_of_month(i64::MIN));
    }
}
