//! A timer message on its way into the log: it is stored in `rmq_sys_wheel_timer`, and its
//! properties say when it is due and where it goes then (Apache's
//! `HookUtils.transformTimerMessage`).
//!
//! ```text
//!   sent:    topic T, queue 3, properties KEYS␁k␂TIMER_DELAY_MS␁2500
//!   stored:  topic rmq_sys_wheel_timer, queue 0,
//!            properties KEYS␁k␂TIMER_DELAY_MS␁2500␂TIMER_OUT_MS␁1700000002000␂REAL_TOPIC␁T␂REAL_QID␁3␂
//! ```
//!
//! `TIMER_OUT_MS` is the slot of Apache's timer wheel: the time asked for, rounded down, and one
//! slot less where it is a slot's beginning. Apache delivers a slot when it is over.

use super::delay::write_number;
use crate::config::TimerOptions;
use protocol::codes::response;
use protocol::names::TIMER_TOPIC;
use protocol::properties::{self, names};
use protocol::sys_flag::{TRANSACTION_COMMIT, transaction_type};

/// What the properties of a timer message say once: these are taken out of what was sent.
pub(crate) const TAKEN_OUT: [&str; 2] = [names::REAL_TOPIC, names::REAL_QUEUE_ID];

/// What a message asks for, as text. The first that is there counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    /// `TIMER_DELAY_SEC`.
    pub(crate) delay_sec: Option<&'a str>,
    /// `TIMER_DELAY_MS`.
    pub(crate) delay_ms: Option<&'a str>,
    /// `TIMER_DELIVER_MS`.
    pub(crate) deliver_ms: Option<&'a str>,
    /// It has been a timer message already (`TIMER_OUT_MS`): it is none any more.
    pub(crate) has_slot: bool,
    /// It recalls another (`TIMER_DEL_UNIQKEY`).
    pub(crate) recalls: bool,
}

impl<'a> Asked<'a> {
    /// What the properties of a stored message ask for.
    pub(crate) fn of(stored: &'a [u8]) -> Self {
        let said = |name| properties::get(stored, name);
        Self {
            delay_sec: said(names::TIMER_DELAY_SEC),
            delay_ms: said(names::TIMER_DELAY_MS),
            deliver_ms: said(names::TIMER_DELIVER_MS),
            has_slot: said(names::TIMER_OUT_MS).is_some(),
            recalls: said(names::TIMER_DEL_UNIQKEY).is_some(),
        }
    }

    /// Whether it asks for anything.
    pub(crate) fn is_there(&self) -> bool {
        self.delay_sec.or(self.delay_ms).or(self.deliver_ms).is_some()
    }

    /// When it is due, in milliseconds since 1970, of a message that is stored now; `None` when
    /// that is no number. A delay that no clock reaches is the greatest number, where Java's
    /// overflows: what Apache would deliver at once is refused here.
    pub(crate) fn due_ms(&self, now_ms: i64) -> Option<i64> {
        let number = |text: &str| text.parse::<i64>().ok();
        match (self.delay_sec, self.delay_ms, self.deliver_ms) {
            (Some(seconds), ..) => {
                Some(now_ms.saturating_add(number(seconds)?.saturating_mul(1_000)))
            }
            (None, Some(ms), _) => Some(now_ms.saturating_add(number(ms)?)),
            (None, None, at) => number(at?),
        }
    }
}

/// Why a timer message is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTimed {
    /// `timerWheelEnable=false`.
    Off,
    /// No time, or one too far away; or what recalls a message comes too late.
    Illegal,
    /// Too many timers wait.
    TooMany,
}

impl NotTimed {
    /// Code and text of the answer, as Apache gives them.
    pub(crate) fn code_and_remark(self, options: &TimerOptions) -> (i32, String) {
        match self {
            Self::Off => (
                response::SYSTEM_ERROR,
                "accurate timer message is not enabled, timerWheelEnable is false".to_owned(),
            ),
            Self::Illegal => (
                response::MESSAGE_ILLEGAL,
                format!(
                    "timer message illegal, the delay time should not be bigger than the max \
                     delay {}ms; or if set del msg, the delay time should be bigger than the \
                     current time",
                    options.delay_ms_max
                ),
            ),
            Self::TooMany => (
                response::SYSTEM_ERROR,
                format!(
                    "timer message is under flow control: a slot takes at most {}, a shard {}",
                    options.in_slot_max, options.pending_max
                ),
            ),
        }
    }
}

/// A message that waits as a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    /// Its slot.
    pub(crate) slot_ms: i64,
}

impl Timer {
    /// Of a message without a delay level that asks for this; `None` when it is to be stored as it
    /// is: its time has passed, it has waited already, or it is a half message or a roll-back.
    pub(crate) fn of(
        asked: &Asked<'_>,
        sys_flag: i32,
        now_ms: i64,
        options: &TimerOptions,
    ) -> Result<Option<Self>, NotTimed> {
        let waits = matches!(transaction_type(sys_flag), 0 | TRANSACTION_COMMIT);
        if !waits || asked.has_slot || !asked.is_there() {
            return Ok(None);
        }
        if !options.enabled {
            return Err(NotTimed::Off);
        }
        let due_ms = asked.due_ms(now_ms).ok_or(NotTimed::Illegal)?;
        if due_ms <= now_ms {
            return if asked.recalls { Err(NotTimed::Illegal) } else { Ok(None) };
        }
        if due_ms.saturating_sub(now_ms) > options.delay_ms_max {
            return Err(NotTimed::Illegal);
        }
        Ok(Some(Self { slot_ms: slot_of(due_ms, options.precision_ms) }))
    }

    /// The topic that it waits in, in its only queue, 0.
    pub(crate) fn topic() -> &'static str {
        TIMER_TOPIC
    }

    /// Appends the properties that say when it is due and where it goes.
    pub(crate) fn write_properties(self, out: &mut Vec<u8>, topic: &str, queue_id: i32) {
        write_number(out, names::TIMER_OUT_MS, self.slot_ms);
        properties::write(out, names::REAL_TOPIC, topic);
        write_number(out, names::REAL_QUEUE_ID, queue_id.into());
    }

    /// The time in its handle, which leads back to its slot (Apache adds 1 for the same reason).
    pub(crate) fn recall_ms(self) -> i64 {
        self.slot_ms.saturating_add(1)
    }
}

/// The slot that is over at `due_ms`, not before.
fn slot_of(due_ms: i64, precision_ms: i64) -> i64 {
    due_ms.saturating_sub(1).div_euclid(precision_ms).saturating_mul(precision_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use protocol::sys_flag::TRANSACTION_PREPARED;

    const NOW: i64 = 1_700_000_000_400;

    fn timers() -> TimerOptions {
        config::options(&[("timerMaxDelaySec", "86400")]).timers
    }

    fn of(asked: &Asked<'_>) -> Result<Option<i64>, NotTimed> {
        Timer::of(asked, 0, NOW, &timers()).map(|timer| timer.map(|timer| timer.slot_ms))
    }

    fn ms(text: &str) -> Asked<'_> {
        Asked { delay_ms: Some(text), ..Asked::default() }
    }

    #[test]
    fn a_time_belongs_to_the_slot_that_is_over_then() {
        assert_eq!(of(&ms("2500")), Ok(Some(1_700_000_002_000)));
        assert_eq!(of(&ms("2600")), Ok(Some(1_700_000_002_000)), "a slot's beginning");
        assert_eq!(of(&ms("2601")), Ok(Some(1_700_000_003_000)));
        assert_eq!(of(&ms("1")), Ok(Some(1_700_000_000_000)));
    }

    #[test]
    fn seconds_count_before_milliseconds_and_these_before_a_time() {
        let all = Asked {
            delay_sec: Some("3"),
            delay_ms: Some("60000"),
            deliver_ms: Some("1700000007001"),
            ..Asked::default()
        };
        assert_eq!(of(&all), Ok(Some(1_700_000_003_000)));
        assert_eq!(of(&Asked { delay_sec: None, ..all }), Ok(Some(1_700_000_060_000)));
        let time = Asked { delay_sec: None, delay_ms: None, ..all };
        assert_eq!(of(&time), Ok(Some(1_700_000_007_000)));
        assert_eq!(of(&Asked { delay_sec: Some("soon"), ..all }), Err(NotTimed::Illegal));
    }

    #[test]
    fn what_has_passed_is_stored_as_it_is_and_what_is_too_far_is_refused() {
        for past in ["0", "-1", "-9223372036854775808"] {
            assert_eq!(of(&ms(past)), Ok(None), "{past}");
        }
        assert_eq!(of(&ms("86400000")), Ok(Some(1_700_086_400_000)));
        for far in ["86400001", "9223372036854775807", "9223372036854775808", "", "1.5", " 5"] {
            assert_eq!(of(&ms(far)), Err(NotTimed::Illegal), "{far}");
        }
        let century = Asked { delay_sec: Some("3155760000"), ..Asked::default() };
        assert_eq!(of(&century), Err(NotTimed::Illegal));
        let overflows = Asked { delay_sec: Some("9223372036854775807"), ..Asked::default() };
        assert_eq!(of(&overflows), Err(NotTimed::Illegal));
        assert_eq!(of(&Asked { recalls: true, ..ms("-1") }), Err(NotTimed::Illegal));
    }

    #[test]
    fn half_messages_and_what_has_waited_already_do_not_wait() {
        let half = Timer::of(&ms("5000"), TRANSACTION_PREPARED, NOW, &timers());
        assert_eq!(half, Ok(None));
        assert_eq!(of(&Asked { has_slot: true, ..ms("5000") }), Ok(None));
        let off = config::options(&[("timerWheelEnable", "false")]).timers;
        assert_eq!(Timer::of(&ms("5000"), 0, NOW, &off), Err(NotTimed::Off));
    }

    #[test]
    fn the_properties_are_those_that_apache_writes() {
        let mut out = vec![];
        let timer = Timer { slot_ms: 1_700_000_002_000 };
        timer.write_properties(&mut out, "T", 3);
        assert_eq!(out, b"TIMER_OUT_MS\x011700000002000\x02REAL_TOPIC\x01T\x02REAL_QID\x013\x02");
        assert_eq!(timer.recall_ms(), 1_700_000_002_001);
    }
}
