//! Timer messages and their recall.

use protocol::config_file::{Key, Settings};
use std::time::Duration;

const INT_MAX: i64 = i32::MAX as i64;

/// Slots of Apache's timer wheel that have a future: seven days of seconds
/// (`TimerMessageStore.TIMER_WHEEL_TTL_DAY`), whatever a slot lasts.
pub(crate) const WHEEL_SLOTS: i64 = 7 * 24 * 3_600;
/// Slots of them that are left blank (`TIMER_BLANK_SLOTS`).
const BLANK_SLOTS: i64 = 60;
/// What a slot may last, in milliseconds (`MessageStoreConfig.setTimerPrecisionMs`).
const PRECISIONS_MS: [i64; 4] = [100, 200, 500, 1_000];

/// RocketMQ's keys of timers that work, and at the end RingMQ's own.
pub(super) const KEYS: &[Key] = &[
    Key::bool("timerWheelEnable", "true", "whether messages may be delivered at any time"),
    Key::int(
        "timerPrecisionMs",
        1,
        INT_MAX,
        "1000",
        "milliseconds of a slot in Apache's timer files: 100, 200, 500 or 1000, the nearest below. \
            RingMQ itself delivers to the millisecond",
    ),
    Key::int(
        "timerMaxDelaySec",
        0,
        INT_MAX,
        "259200",
        "seconds that a timer message may lie ahead; one further away is refused",
    ),
    Key::int(
        "timerRollWindowSlot",
        0,
        INT_MAX,
        "172800",
        "slots ahead; a timer message further away is stored again when it has come as near",
    ),
    Key::int(
        "timerCongestNumEachSlot",
        1,
        INT_MAX,
        "2147483647",
        "timer messages of one slot; above it some are refused, from twice as many on all",
    ),
    Key::int(
        "timerFlushIntervalMs",
        10,
        3_600_000,
        "1000",
        "milliseconds between two writes of timercheck: a broker that is killed may deliver again \
            what it delivered since",
    ),
    Key::int(
        "mappedFileSizeTimerLog",
        4_096,
        1 << 31,
        "104857600",
        "bytes of one timerlog file, as Apache's broker wants them",
    ),
    Key::bool(
        "appendTopicForTimerDeleteKey",
        "false",
        "whether what recalls a timer message names its topic too",
    ),
    Key::bool("recallMessageEnable", "false", "whether timer messages may be recalled"),
    Key::bool(
        "allowRecallWhenBrokerNotWriteable",
        "true",
        "whether they may be while brokerPermission forbids sends",
    ),
    Key::int(
        "timersPendingMax",
        0,
        1 << 32,
        "10000000",
        "timer messages of one shard that wait; each needs up to 24 bytes of memory. Over it they \
            are refused",
    ),
];

/// Timer messages of a shard.
#[derive(Clone, Debug)]
pub(crate) struct TimerOptions {
    /// `timerWheelEnable`.
    pub(crate) enabled: bool,
    /// `timerPrecisionMs`, one of Apache's four.
    pub(crate) precision_ms: i64,
    /// `timerMaxDelaySec`, in milliseconds.
    pub(crate) delay_ms_max: i64,
    /// `timerRollWindowSlot`, in milliseconds.
    pub(crate) roll_window_ms: i64,
    /// `timerCongestNumEachSlot`.
    pub(crate) in_slot_max: u64,
    /// `timersPendingMax`.
    pub(crate) pending_max: usize,
    /// `timerFlushIntervalMs`.
    pub(crate) save_every: Duration,
    /// `mappedFileSizeTimerLog`.
    pub(crate) log_file_bytes: u64,
    /// `appendTopicForTimerDeleteKey`.
    pub(crate) key_has_topic: bool,
    /// `recallMessageEnable`.
    pub(crate) recall: bool,
    /// `allowRecallWhenBrokerNotWriteable`.
    pub(crate) recall_when_closed: bool,
}

impl TimerOptions {
    pub(super) fn from_settings(settings: &Settings) -> Self {
        let asked_ms = settings.i64("timerPrecisionMs");
        let below = PRECISIONS_MS.into_iter().rev().find(|precision| *precision <= asked_ms);
        let precision_ms = below.unwrap_or(PRECISIONS_MS[0]);
        let window = settings.i64("timerRollWindowSlot");
        let slots_max = WHEEL_SLOTS - BLANK_SLOTS;
        let window = if (2..=slots_max).contains(&window) { window } else { slots_max };
        Self {
            enabled: settings.bool("timerWheelEnable"),
            precision_ms,
            delay_ms_max: settings.i64("timerMaxDelaySec") * 1_000,
            roll_window_ms: window * precision_ms,
            in_slot_max: settings.int("timerCongestNumEachSlot"),
            pending_max: settings.int("timersPendingMax"),
            save_every: Duration::from_millis(settings.int("timerFlushIntervalMs")),
            log_file_bytes: settings.int("mappedFileSizeTimerLog"),
            key_has_topic: settings.bool("appendTopicForTimerDeleteKey"),
            recall: settings.bool("recallMessageEnable"),
            recall_when_closed: settings.bool("allowRecallWhenBrokerNotWriteable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::options;

    #[test]
    fn precision_and_window_are_corrected_as_apache_corrects_them() {
        let timers = |precision: &str, window: &str| {
            let pairs = [("timerPrecisionMs", precision), ("timerRollWindowSlot", window)];
            let timers = options(&pairs).timers;
            (timers.precision_ms, timers.roll_window_ms)
        };
        let default = options(&[]).timers;
        assert_eq!((default.precision_ms, default.roll_window_ms), (1_000, 172_800_000));
        assert_eq!(timers("99", "10"), (100, 1_000));
        assert_eq!(timers("999", "604741"), (500, 604_740 * 500));
        assert_eq!(timers("5000", "1"), (1_000, 604_740_000));
    }
}
