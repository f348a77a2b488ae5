//! A message with a delay level on its way into the log: it is stored in SCHEDULE_TOPIC_XXXX, whose
//! queue `n` has the messages of level `n + 1`, and its properties say where it goes when it is due
//! (Apache's `HookUtils.transformDelayLevelMessage`).
//!
//! ```text
//!   sent:    topic T, queue 3, properties KEYS␁k␂DELAY␁5
//!   stored:  topic SCHEDULE_TOPIC_XXXX, queue 4, properties KEYS␁k␂DELAY␁5␂REAL_TOPIC␁T␂REAL_QID␁3␂
//! ```

use engine::DelayLevels;
use protocol::names::SCHEDULE_TOPIC;
use protocol::properties::{self, names};
use protocol::sys_flag::{TRANSACTION_COMMIT, transaction_type};

/// What the properties of a delayed message say once and in one form: these are taken out of what
/// was sent. A level wins over the times of timer messages.
pub(crate) const TAKEN_OUT: [&str; 6] = [
    names::DELAY_TIME_LEVEL,
    names::REAL_TOPIC,
    names::REAL_QUEUE_ID,
    names::TIMER_DELAY_SEC,
    names::TIMER_DELAY_MS,
    names::TIMER_DELIVER_MS,
];

/// Where a delayed message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    level: i32,
}

impl Waiting {
    /// Of a message that asks for `level`, if it is delayed at all: half messages and roll-backs
    /// are not. A level above the highest is the highest.
    pub(crate) fn of(level: i32, sys_flag: i32, levels: &DelayLevels) -> Option<Self> {
        let is_delayed = level > 0 && matches!(transaction_type(sys_flag), 0 | TRANSACTION_COMMIT);
        is_delayed.then(|| Self { level: level.min(levels.level_max()) })
    }

    /// The topic that it waits in.
    pub(crate) fn topic(self) -> &'static str {
        SCHEDULE_TOPIC
    }

    /// The queue that it waits in.
    pub(crate) fn queue_id(self) -> i32 {
        self.level - 1
    }

    /// Appends the properties that say how long it waits and where it goes.
    pub(crate) fn write_properties(self, out: &mut Vec<u8>, topic: &str, queue_id: i32) {
        write_number(out, names::DELAY_TIME_LEVEL, self.level.into());
        properties::write(out, names::REAL_TOPIC, topic);
        write_number(out, names::REAL_QUEUE_ID, queue_id.into());
    }
}

/// Appends a property without allocating.
pub(super) fn write_number(out: &mut Vec<u8>, name: &str, value: i64) {
    use std::io::Write as _;
    let written = write!(out, "{name}\u{1}{value}\u{2}");
    assert!(written.is_ok(), "a Vec takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::sys_flag::{COMPRESSED, TRANSACTION_PREPARED, TRANSACTION_ROLLBACK};

    #[test]
    fn a_level_above_the_highest_is_the_highest() {
        let levels = DelayLevels::parse("1s 2s 3s").unwrap();
        let queue = |level| Waiting::of(level, 0, &levels).map(Waiting::queue_id);
        assert_eq!([1, 3, 4, i32::MAX].map(queue), [Some(0), Some(2), Some(2), Some(2)]);
        assert_eq!([0, -1, i32::MIN].map(queue), [None; 3]);
    }

    #[test]
    fn half_messages_and_roll_backs_are_not_delayed() {
        let is_delayed = |flag| Waiting::of(1, flag, &DelayLevels::default()).is_some();
        assert!(is_delayed(0) && is_delayed(TRANSACTION_COMMIT | COMPRESSED));
        assert!(!is_delayed(TRANSACTION_PREPARED) && !is_delayed(TRANSACTION_ROLLBACK));
    }

    #[test]
    fn the_properties_are_those_that_apache_writes() {
        let mut out = vec![];
        let waiting = Waiting::of(99, 0, &DelayLevels::default()).unwrap();
        waiting.write_properties(&mut out, "%RETRY%g", 2);
        assert_eq!(out, b"DELAY\x0118\x02REAL_TOPIC\x01%RETRY%g\x02REAL_QID\x012\x02");
    }
}
