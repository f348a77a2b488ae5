//! The rules by which a row is INVALID.
//!
//! A row is INVALID when its schedule lag p99 exceeds 10 % of its response-time p50, when fewer
//! than 99.9 % of the planned messages were achieved, or when answers are missing after the drain.
//! On a small shared machine that happens often; the row then stays in the table with the reason
//! beside it, and the closed-loop rows lead.

use crate::limits::{ACHIEVED_SHARE_MIN, GENERATOR_BUSY_SHARE, LAG_SHARE_MAX};
use crate::report::text::time_us;
use crate::row::{Kind, Row, count_f64};

/// The note of every closed-loop row.
pub(crate) const HIDES_STALLS: &str = "closed loop: hides stalls";

/// Why a row is INVALID; empty when it is valid.
#[must_use]
pub(crate) fn invalid_reasons(row: &Row, hit_in_flight_limit: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if row.acknowledged == 0 {
        reasons.push("no message was acknowledged in the measured window".into());
    }
    if row.unanswered > 0 {
        reasons.push(format!("{} requests had no answer after the drain", row.unanswered));
    }
    if row.kind == Kind::Open {
        open_loop_reasons(row, &mut reasons);
        if hit_in_flight_limit {
            reasons.push(
                "the limit of requests in flight held the schedule back: the broker is \
                slower than the asked rate"
                    .into(),
            );
        }
    }
    reasons
}

fn open_loop_reasons(row: &Row, reasons: &mut Vec<String>) {
    if let (Some(lag), Some(response)) = (&row.lag, &row.response) {
        let share = lag.p99_us / response.p50_us;
        if share > LAG_SHARE_MAX {
            reasons.push(format!(
                "schedule lag p99 {} is {:.0} % of RT p50 {} (limit 10 %): the generator was late",
                time_us(lag.p99_us),
                share * 100.0,
                time_us(response.p50_us)
            ));
        }
    }
    let achieved = achieved_share(row);
    if achieved < ACHIEVED_SHARE_MIN {
        reasons.push(format!(
            "{:.2} % of the planned messages were achieved (limit 99.9 %)",
            achieved * 100.0
        ));
    }
}

/// The share of the planned messages that were answered at all, or that were answered in the
/// window, whichever is less. A broker that falls behind answers everything in the end, but not in
/// the window. Messages of one median response time are always in flight when the window closes,
/// and count as answered.
fn achieved_share(row: &Row) -> f64 {
    let planned = count_f64(row.planned.max(1));
    let on_their_way = row.planned_rate_per_s.unwrap_or(0.0)
        * row.response.map_or(0.0, |times| times.p50_us / 1e6);
    let in_window = (row.rate_per_s * row.seconds + on_their_way) / planned;
    in_window.min(count_f64(row.acknowledged) / planned)
}

/// Notes about a row that do not make it INVALID.
#[must_use]
pub(crate) fn notes(row: &Row, spinning: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if row.kind == Kind::Closed {
        notes.push(HIDES_STALLS.into());
        let busy =
            row.generator_cpu_share.iter().flatten().any(|share| *share > GENERATOR_BUSY_SHARE);
        if busy && !spinning {
            notes.push(
                "a generator thread was busy all the time: the rate is a lower bound \
                (more --threads)"
                    .into(),
            );
        }
        let share = row.floor.map(|floor| row.rate_per_s / floor.rate_per_s);
        if share.is_some_and(|share| share > 0.8) {
            notes.push("within 20 % of the no-op target: the instrument may be the limit".into());
        }
    }
    if row.overflows > 0 {
        notes.push(format!("{} times above 60 s were recorded as 60 s", row.overflows));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Load, Mode};
    use crate::protocols::Protocol;
    use crate::recorder::Recorder;
    use crate::schedule::Shape;
    use protocol::remoting::SerializeType;
    use std::time::Duration;

    fn row(mode: Mode, lag_nanos: u64, response_nanos: u64) -> Row {
        let load = Load {
            run_id: 1,
            topic: "t".into(),
            group: "g".into(),
            mode,
            senders: 1,
            in_flight: 1,
            size_bytes: 100,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            spin: false,
            protocol: Protocol::Remoting,
            serialize: SerializeType::Json,
            record_acks: true,
        };
        let mut recorder = Recorder::new(load.duration, Protocol::Remoting);
        for _ in 0..1000 {
            recorder.sent += 1;
            recorder.answered_in_window += 1;
            recorder.lag.saturating_record(lag_nanos);
            recorder.answer(0, response_nanos, response_nanos);
        }
        Row::of_load("r", "r", &load, recorder)
    }

    const OPEN: Mode = Mode::Open { rate: 1000.0, shape: Shape::Constant };

    #[test]
    fn a_generator_that_keeps_its_schedule_is_valid() {
        assert_eq!(invalid_reasons(&row(OPEN, 9_000, 100_000), false), Vec::<String>::new());
    }

    #[test]
    fn lag_above_a_tenth_of_the_median_is_invalid_in_an_open_loop_only() {
        let reasons = invalid_reasons(&row(OPEN, 11_000, 100_000), false);
        assert!(reasons.len() == 1 && reasons[0].contains("11 % of RT p50"), "{reasons:?}");
        assert!(invalid_reasons(&row(Mode::Closed, 11_000, 100_000), false).is_empty());
    }

    #[test]
    fn a_missed_rate_is_invalid() {
        let mut missed = row(OPEN, 10, 100_000);
        missed.planned = 1002;
        assert!(invalid_reasons(&missed, false)[0].contains("99.80 %"));
        missed.planned = 1001;
        assert!(invalid_reasons(&missed, false).is_empty(), "99.9 % is enough");
    }

    #[test]
    fn a_broker_that_falls_behind_is_invalid_although_it_answers_all_in_the_end() {
        let mut behind = row(OPEN, 10, 25_000_000);
        behind.rate_per_s = 950.0;
        assert!(
            invalid_reasons(&behind, false)[0].contains("97.50 %"),
            "{:?}",
            invalid_reasons(&behind, false)
        );
        behind.rate_per_s = 975.0;
        assert!(
            invalid_reasons(&behind, false).is_empty(),
            "25 ms of messages are on their way at the end"
        );
    }

    #[test]
    fn missing_answers_and_silence_are_invalid_in_both_loops() {
        for mode in [OPEN, Mode::Closed] {
            let mut unanswered = row(mode, 10, 100_000);
            unanswered.unanswered = 3;
            assert!(invalid_reasons(&unanswered, false)[0].contains("3 requests"));
            let mut silent = row(mode, 10, 100_000);
            silent.acknowledged = 0;
            assert!(invalid_reasons(&silent, false)[0].contains("no message"));
        }
    }

    #[test]
    fn a_schedule_held_back_by_the_in_flight_limit_is_invalid() {
        assert!(invalid_reasons(&row(OPEN, 10, 100_000), true)[0].contains("in flight"));
    }

    #[test]
    fn a_closed_loop_row_says_what_it_hides() {
        assert!(
            notes(&row(Mode::Closed, 1, 1), false)
                .contains(&"closed loop: hides stalls".to_owned())
        );
        assert!(notes(&row(OPEN, 1, 1), false).is_empty());
    }
}
