//! The lines of RocketMQ's own benchmark, word for word, so that people's scripts read both.
//!
//! Source: `Producer.doPrintStats` and `Consumer.main` of `org.apache.rocketmq.example.benchmark`,
//! version 5.5.0. Two differences: the time of day is UTC (that tool prints its host's), and a
//! rate is that of the time since the line before (that tool's: of the last ten snapshots).

use crate::consumer::Consumed;
use crate::live::Reading;
use crate::row::count_f64;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// Prints a line where that tool prints it.
pub(crate) fn print(line: &str) {
    let _nobody_reads = writeln!(std::io::stdout(), "{line}");
}

/// The producer's line. "Send Failed" are sends without an answer, "Response Failed" those that
/// the broker answered with an error. The maximum is since the start.
pub(crate) fn producer_line(now: &Reading, before: &Reading, elapsed: Duration) -> String {
    format!("Current Time: {} | {}", human(SystemTime::now()), sends(now, before, elapsed))
}

/// The producer's last line.
pub(crate) fn complete_line(last: &Reading, whole: Duration) -> String {
    let total = last.done + unanswered(last);
    format!("[Complete] Send Total: {total} | {}", sends(last, &Reading::default(), whole))
}

fn unanswered(reading: &Reading) -> u64 {
    reading.errors.saturating_sub(reading.refused)
}

fn sends(reading: &Reading, before: &Reading, elapsed: Duration) -> String {
    let done = reading.done.saturating_sub(before.done);
    let measured = reading.measured.saturating_sub(before.measured).max(1);
    let sum_nanos = reading.sum_nanos.saturating_sub(before.sum_nanos);
    // The tool casts to a whole number: it cuts off, and so does this.
    let tps = (count_f64(done) / elapsed.as_secs_f64().max(1e-9)).floor();
    format!(
        "Send TPS: {tps:.0} | Max RT(ms): {} | Average RT(ms): {:7.3} | Send Failed: {} | Response \
         Failed: {}",
        reading.max_nanos / 1_000_000,
        sum_nanos as f64 / count_f64(measured) / 1e6,
        unanswered(reading),
        reading.refused
    )
}

/// The consumer's line. B2C is born to consume, S2C store to consume.
pub(crate) fn consumer_line(consumed: &Consumed) -> String {
    let seconds = consumed.took_nanos.max(1) as f64 / 1e9;
    let tps = (count_f64(consumed.messages) / seconds).floor();
    let (born, stored) = (&consumed.born_to_consume.times_ms, &consumed.store_to_consume.times_ms);
    format!(
        "Current Time: {} | Consume TPS: {tps:.0} | AVG(B2C) RT(ms): {:7.3} | AVG(S2C) RT(ms): \
         {:7.3} | MAX(B2C) RT(ms): {} | MAX(S2C) RT(ms): {} | Consume Fail: {}",
        human(SystemTime::now()),
        born.mean(),
        stored.mean(),
        born.max(),
        stored.max(),
        consumed.failed_pulls
    )
}

/// `2026-11-22 05:51:26,123`, as `UtilAll.timeMillisToHumanString2` writes it.
fn human(time: SystemTime) -> String {
    let text = humantime::format_rfc3339_millis(time).to_string();
    text.replace('T', " ").replace('.', ",").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const READING: Reading = Reading {
        stored: 0,
        done: 3000,
        errors: 5,
        refused: 2,
        p50_nanos: 0,
        p99_nanos: 0,
        sum_nanos: 3_750_000_000,
        measured: 3000,
        max_nanos: 7_900_000,
    };

    #[test]
    fn the_lines_are_those_of_rocketmq_5_5_0() {
        let line = producer_line(&READING, &Reading::default(), Duration::from_secs(2));
        let (time, rest) = line.split_once(" | ").unwrap();
        assert_eq!(time.len(), "Current Time: 2026-11-22 05:51:26,123".len(), "{time}");
        assert_eq!(
            rest,
            "Send TPS: 1500 | Max RT(ms): 7 | Average RT(ms):   1.250 | Send Failed: 3 | Response \
             Failed: 2"
        );
        assert_eq!(
            complete_line(&READING, Duration::from_secs(7)),
            "[Complete] Send Total: 3003 | Send TPS: 428 | Max RT(ms): 7 | Average RT(ms):   \
             1.250 | Send Failed: 3 | Response Failed: 2"
        );
    }

    #[test]
    fn a_time_is_written_as_java_writes_it() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007);
        assert_eq!(human(time), "2023-11-14 22:13:20,007");
    }
}
