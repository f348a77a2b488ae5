//! The delay levels of RocketMQ's delayed messages (`messageDelayLevel`): level 1 is the first
//! entry. A ConsumeQueue unit of SCHEDULE_TOPIC_XXXX holds the time its message is due, which
//! follows from the level.

use crate::number::exact;

/// How long each level delays, as `DefaultMessageStore.parseDelayLevel` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayLevels {
    delays_ms: Box<[i64]>,
}

/// RocketMQ's default of `messageDelayLevel`.
const DEFAULT: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// An entry of `messageDelayLevel` that is no delay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("level {level} is {found:?}, expected a number and one of s, m, h, d, as in 30s")]
pub struct DelayLevelError {
    /// Which level.
    pub level: usize,
    /// What stands there.
    pub found: String,
}

impl Default for DelayLevels {
    /// RocketMQ's 18 levels, from 1 second to 2 hours.
    fn default() -> Self {
        match Self::parse(DEFAULT) {
            Ok(levels) => levels,
            Err(error) => panic!("the default delay levels: {error}"),
        }
    }
}

impl DelayLevels {
    /// Reads the value of `messageDelayLevel`: entries such as `30s` with one space between them.
    pub fn parse(text: &str) -> Result<Self, DelayLevelError> {
        let entries = text.trim_end_matches(' ').split(' ').enumerate();
        let delays = entries.map(|(nth, entry)| {
            delay_ms(entry)
                .ok_or_else(|| DelayLevelError { level: nth + 1, found: entry.to_owned() })
        });
        Ok(Self { delays_ms: delays.collect::<Result<_, _>>()? })
    }

    /// The highest level; a message that asks for more is delayed as this one says.
    #[must_use]
    pub fn level_max(&self) -> i32 {
        exact(self.delays_ms.len())
    }

    /// When a message of `level` that was stored at `store_timestamp_ms` is due (ms since 1970);
    /// `None` when that level is not delayed.
    #[must_use]
    pub fn due_ms(&self, level: i32, store_timestamp_ms: i64) -> Option<i64> {
        let nth = usize::try_from(level.min(self.level_max())).ok()?.checked_sub(1)?;
        self.delays_ms.get(nth).map(|delay_ms| store_timestamp_ms.saturating_add(*delay_ms))
    }
}

fn delay_ms(entry: &str) -> Option<i64> {
    let (number, unit) = entry.split_at_checked(entry.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok().filter(|number| *number >= 0)?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_java_reads_them() {
        let levels = DelayLevels::default();
        assert_eq!(levels.level_max(), 18);
        let due = |level| levels.due_ms(level, 1_000_000);
        assert_eq!((due(1), due(3), due(5)), (Some(1_001_000), Some(1_010_000), Some(1_060_000)));
        assert_eq!((due(18), due(19), due(i32::MAX)), (Some(8_200_000), due(18), due(18)));
        assert_eq!((due(0), due(-1), due(i32::MIN)), (None, None, None));
        let two = DelayLevels::parse("0s 7d ").unwrap();
        assert_eq!((two.due_ms(1, 5), two.due_ms(9, 0)), (Some(5), Some(604_800_000)));
    }

    #[test]
    fn what_is_no_delay_is_refused_with_its_level() {
        for (text, level, found) in
            [("", 1, ""), ("1s  2s", 2, ""), ("1s 2", 2, "2"), ("s", 1, "s"), ("1s -1s", 2, "-1s")]
        {
            let expected = DelayLevelError { level, found: found.to_owned() };
            assert_eq!(DelayLevels::parse(text), Err(expected), "{text}");
        }
        assert!(DelayLevels::parse("9223372036854775807d").is_err(), "it must not wrap around");
        assert!(DelayLevels::parse("1分").is_err());
    }
}
