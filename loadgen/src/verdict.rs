//! The rules by which a row is INVALID.
//!
//! ```text
//!  both loops   a request without an answer · more than 0.1 % answered with an error · a lost
//!               connection · nothing acknowledged
//!  open loop    schedule lag above 10 % of the response time, at any printed percentile · fewer
//!               than 99.9 % of the messages due in the window answered in it
//! ```
//!
//! On a small shared machine that happens often; the row then stays in the table with the reason
//! beside it, and the closed-loop rows lead.

use crate::limits::{
    ACHIEVED_SHARE_MIN, ERROR_SHARE_MAX, FLOOR_SHARE, GENERATOR_BUSY_SHARE, GENERATOR_WAIT_SHARE,
    LAG_SHARE_MAX, LATE_RESPONSE_TIMES,
};
use crate::report::text::time_us;
use crate::row::{Kind, LatePercentile, QUANTILES, Row, count_f64};

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
        reasons.push(format!("{} of {} requests had no answer", row.unanswered, row.sent));
    }
    let failed = count_f64(row.failed) / count_f64(row.sent.max(1));
    if failed > ERROR_SHARE_MAX {
        reasons.push(format!(
            "{} of {} requests ({:.2} %) were answered with an error (limit 0.1 %)",
            row.failed,
            row.sent,
            failed * 100.0
        ));
    }
    if row.lost_connections > 0 {
        let lost = row.lost_connections;
        reasons.push(format!("{lost} of {} connections were lost", row.senders));
    }
    if row.kind == Kind::Open {
        open_loop_reasons(row, hit_in_flight_limit, &mut reasons);
    }
    reasons
}

fn open_loop_reasons(row: &Row, hit_in_flight_limit: bool, reasons: &mut Vec<String>) {
    for late in &row.late_percentiles {
        reasons.push(format!(
            "{}: schedule lag {} is {:.0} % of RT {} (limit 10 %): the generator was late",
            late.percentile,
            time_us(late.lag_us),
            late.lag_us / late.response_us * 100.0,
            time_us(late.response_us)
        ));
    }
    let achieved = achieved_share(row);
    if achieved < ACHIEVED_SHARE_MIN {
        reasons.push(format!(
            "{:.2} % of the messages due in the window were answered in it (limit 99.9 %)",
            achieved * 100.0
        ));
    }
    if hit_in_flight_limit {
        reasons.push(
            "the limit of requests in flight held the schedule back: the broker is slower than \
             the asked rate"
                .into(),
        );
    }
}

/// The printed percentiles of an open loop at which the generator was late by more than 10 % of the
/// response time there.
#[must_use]
pub(crate) fn late_percentiles(row: &Row) -> Vec<LatePercentile> {
    let (Kind::Open, Some(lag), Some(response)) = (row.kind, &row.lag, &row.response) else {
        return Vec::new();
    };
    let each = QUANTILES.iter().zip(lag.each()).zip(response.each());
    each.filter_map(|((quantile, lag_us), response_us)| {
        let late = LatePercentile {
            percentile: quantile.name.to_owned(),
            response_us: response_us?,
            lag_us: lag_us?,
        };
        (late.lag_us > LAG_SHARE_MAX * late.response_us).then_some(late)
    })
    .collect()
}

/// The share of the messages due in the window that were answered in it. Answers to messages of the
/// warm-up never count: a broker that fell behind there answers those in the window.
///
/// The messages due last are always on their way when the window closes. As many as are due within
/// two usual response times count if they were answered later. "Usual" is the response time without
/// a backlog; the median would grow with the backlog, and excuse it.
fn achieved_share(row: &Row) -> f64 {
    let usual_s = row.usual_response_us.unwrap_or(0.0) / 1e6;
    let on_their_way = row.planned_rate_per_s.unwrap_or(0.0) * usual_s * LATE_RESPONSE_TIMES;
    let later = count_f64(row.acknowledged.saturating_sub(row.answered_in_time));
    (count_f64(row.answered_in_time) + later.min(on_their_way)) / count_f64(row.planned.max(1))
}

/// Notes about a row that do not make it INVALID.
#[must_use]
pub(crate) fn notes(row: &Row) -> Vec<String> {
    let mut notes = Vec::new();
    if row.kind == Kind::Closed {
        notes.push(HIDES_STALLS.into());
        if let Some(share) = row.generator_wait_share().filter(|it| *it > GENERATOR_WAIT_SHARE) {
            notes.push(format!(
                "{:.0} % of each round trip was the generator's own wait, which is not in RT",
                share * 100.0
            ));
        }
        let share = row.floor.map(|floor| row.rate_per_s / floor.rate_per_s);
        if share.is_some_and(|share| share > 1.0) {
            notes.push(
                "the no-op target was slower than the broker: something else had its core, and \
                 this floor says nothing"
                    .into(),
            );
        } else if let Some(share) = share.filter(|share| *share > FLOOR_SHARE) {
            notes.push(format!(
                "instrument-limited: {:.0} % of the no-op target's rate, so much of RT and CPU is \
                 the instrument's",
                share * 100.0
            ));
        }
    }
    if let Some(steady) = row.steady.as_ref().filter(|steady| !steady.is_steady) {
        notes.push(format!(
            "NOT STEADY: {} windows over {:.0} s, and no three in a row agreed",
            steady.rates_per_s.len(),
            steady.took_s
        ));
    }
    let busiest = row.generator_busy_share.iter().copied().fold(0.0, f64::max);
    if busiest > GENERATOR_BUSY_SHARE {
        notes.push(format!(
            "generator-limited: a generator thread worked {:.0} % of the time, so the rate is a \
             lower bound (more --threads)",
            busiest * 100.0
        ));
    }
    if row.overflows > 0 {
        notes.push(format!("{} times above 60 s were recorded as 60 s", row.overflows));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Messages, Sizes};
    use crate::plan::{Load, Mode};
    use crate::protocols::Protocol;
    use crate::recorder::Recorder;
    use crate::schedule::Shape;
    use protocol::remoting::SerializeType;
    use std::time::Duration;

    fn row(mode: Mode, lag_nanos: u64, response_nanos: u64) -> Row {
        let load = Load {
            run_id: 1,
            seed: 1,
            topic: "t".into(),
            group: "g".into(),
            mode,
            senders: 1,
            in_flight: 1,
            messages: Messages { sizes: Sizes::Fixed(100), ..Messages::default() },
            burst: 0,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            spin: false,
            protocol: Protocol::Remoting,
            serialize: SerializeType::Json,
            acks_max: 0,
        };
        let mut recorder = Recorder::new(load.duration, Protocol::Remoting);
        for _ in 0..1000 {
            recorder.sent += 1;
            recorder.answered_in_window += 1;
            recorder.answered_in_time += 1;
            recorder.lag.saturating_record(lag_nanos);
            recorder.answer(0, response_nanos, response_nanos);
        }
        let mut row = Row::of_load("r", "r", &load, recorder);
        row.late_percentiles = late_percentiles(&row);
        row
    }

    const OPEN: Mode = Mode::Open { rate: 1000.0, shape: Shape::Constant };

    #[test]
    fn a_generator_that_keeps_its_schedule_is_valid() {
        assert_eq!(invalid_reasons(&row(OPEN, 9_000, 100_000), false), Vec::<String>::new());
    }

    #[test]
    fn lag_above_a_tenth_is_invalid_at_every_printed_percentile_of_an_open_loop() {
        let reasons = invalid_reasons(&row(OPEN, 11_000, 100_000), false);
        assert_eq!(reasons.len(), 3, "1,000 messages print p50, p90 and p99: {reasons:?}");
        assert!(reasons[2].starts_with("p99: schedule lag 11.0 µs is 11 % of RT 100 µs"));
        assert!(invalid_reasons(&row(Mode::Closed, 11_000, 100_000), false).is_empty());
    }

    #[test]
    fn one_late_percentile_is_named_and_the_others_stand() {
        let mut one = row(OPEN, 9_000, 100_000);
        let recorder = one.recorder.as_mut().unwrap();
        (0..20).for_each(|_| recorder.lag.saturating_record(40_000));
        one.lag = crate::row::Percentiles::of(&recorder.lag);
        one.late_percentiles = late_percentiles(&one);
        let reasons = invalid_reasons(&one, false);
        assert!(reasons.len() == 1 && reasons[0].starts_with("p99: "), "{reasons:?}");
        assert!(reasons[0].contains("40 % of RT"), "{reasons:?}");
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
        behind.answered_in_time = 950;
        assert!(invalid_reasons(&behind, false).is_empty(), "two of 25 ms are on their way");
        behind.answered_in_time = 900;
        let reasons = invalid_reasons(&behind, false);
        assert!(reasons.len() == 1 && reasons[0].starts_with("95.0"), "{reasons:?}");
    }

    #[test]
    fn a_backlog_of_the_warmup_excuses_nothing() {
        // The warm-up was long: half a second of messages waits at the window's start. The median
        // response time is half a second too, the usual one is not.
        let mut behind = row(OPEN, 10, 500_000_000);
        behind.answered_in_time = 450;
        behind.usual_response_us = Some(100.0);
        let reasons = invalid_reasons(&behind, false);
        assert!(reasons.len() == 1 && reasons[0].contains("45.02 %"), "{reasons:?}");
    }

    #[test]
    fn missing_answers_errors_lost_connections_and_silence_are_invalid_in_both_loops() {
        for mode in [OPEN, Mode::Closed] {
            let fault = |spoil: fn(&mut Row)| {
                let mut row = row(mode, 10, 100_000);
                spoil(&mut row);
                invalid_reasons(&row, false)
            };
            assert_eq!(fault(|row| row.unanswered = 3), ["3 of 1000 requests had no answer"]);
            assert!(
                fault(|row| row.failed = 2)[0].contains("(0.20 %) were answered with an error")
            );
            assert!(fault(|row| row.failed = 1).is_empty(), "0.1 % is the limit");
            assert_eq!(fault(|row| row.lost_connections = 1), ["1 of 1 connections were lost"]);
            assert!(fault(|row| row.acknowledged = 0)[0].contains("no message"));
        }
    }

    #[test]
    fn a_schedule_held_back_by_the_in_flight_limit_is_invalid() {
        assert!(invalid_reasons(&row(OPEN, 10, 100_000), true)[0].contains("in flight"));
    }

    #[test]
    fn a_closed_loop_row_says_what_it_hides_and_what_the_generator_took() {
        let quiet = row(Mode::Closed, 1_000, 99_000);
        assert_eq!(notes(&quiet), ["closed loop: hides stalls"]);
        let slow = notes(&row(Mode::Closed, 7_000, 93_000));
        assert!(slow[1].starts_with("7 % of each round trip was the generator's"), "{slow:?}");
        assert!(notes(&row(OPEN, 1, 1)).is_empty());
    }

    #[test]
    fn a_row_above_half_of_its_floor_is_instrument_limited() {
        let mut near = row(Mode::Closed, 10, 100_000);
        let of_floor = |share: f64| crate::row::Floor {
            rate_per_s: near.rate_per_s / share,
            ..crate::row::Floor::default()
        };
        let (slow, quick) = (of_floor(0.6), of_floor(0.4));
        near.floor = Some(slow);
        let said = notes(&near);
        assert!(said.iter().any(|note| note.starts_with("instrument-limited: 60 %")), "{said:?}");
        near.floor = Some(crate::row::Floor { rate_per_s: near.rate_per_s * 0.9, ..slow });
        assert!(notes(&near).iter().any(|note| note.contains("this floor says nothing")));
        near.floor = Some(quick);
        assert!(!notes(&near).iter().any(|note| note.contains("instrument-limited")));
    }

    #[test]
    fn a_generator_that_works_all_the_time_is_the_limit_in_both_loops() {
        for mode in [OPEN, Mode::Closed] {
            let mut busy = row(mode, 10, 100_000);
            busy.generator_busy_share = vec![0.2, 0.9];
            assert!(!notes(&busy).iter().any(|note| note.contains("generator-limited")));
            busy.generator_busy_share = vec![0.2, 0.97];
            let notes = notes(&busy);
            assert!(notes.iter().any(|note| note.contains("worked 97 %")), "{notes:?}");
        }
    }
}
