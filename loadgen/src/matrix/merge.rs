//! Several windows of one load as one row: histograms are merged, counts added, rates averaged
//! over the whole time.

use crate::recorder::Recorder;
use crate::row::{Kind, Percentiles, Row, count_f64};
use crate::stages::StageTimes;
use crate::verdict;

/// The valid windows as one row; all of them, marked, when none is valid.
///
/// `None` when there is no window.
pub(super) fn merged(name: &str, label: &str, windows: &[Row]) -> Option<Row> {
    let (valid, invalid): (Vec<&Row>, Vec<&Row>) =
        windows.iter().partition(|row| row.invalid.is_empty());
    let taken = if valid.is_empty() { invalid.clone() } else { valid };
    let mut whole = sum(&taken)?;
    whole.name = name.to_owned();
    whole.label = label.to_owned();
    whole.late_percentiles = verdict::late_percentiles(&whole);
    whole.invalid = verdict::invalid_reasons(&whole, false);
    whole.notes = verdict::notes(&whole);
    if let Some(first) = invalid.first() {
        let why = format!(
            "{} of {} windows are INVALID: {}",
            invalid.len(),
            windows.len(),
            first.invalid.join("; ")
        );
        let all = invalid.len() == windows.len();
        if all { whole.invalid.push(why) } else { whole.notes.push(why + "; they are left out") }
    }
    Some(whole)
}

/// The windows of one block as one row, which is INVALID when one of them is.
pub(super) fn of_block(windows: &[Row]) -> Option<Row> {
    let mut whole = sum(&windows.iter().collect::<Vec<&Row>>())?;
    whole.invalid = windows.iter().flat_map(|row| row.invalid.clone()).collect();
    whole.recorder = None;
    Some(whole)
}

fn sum(rows: &[&Row]) -> Option<Row> {
    let mut whole = (*rows.first()?).clone();
    let mut recorder = whole.recorder.take()?;
    for row in &rows[1..] {
        recorder.merge(row.recorder.as_ref()?);
        add_counts(&mut whole, row);
    }
    let mean = |value: &dyn Fn(&Row) -> Option<f64>| {
        let values = rows.iter().map(|row| value(row)).collect::<Option<Vec<f64>>>()?;
        Some(values.iter().sum::<f64>() / count_f64(values.len() as u64))
    };
    // A window that was cut short at once has no length; a rate over nothing is none.
    whole.seconds = rows.iter().map(|row| row.seconds).sum::<f64>().max(f64::MIN_POSITIVE);
    let seconds = whole.seconds;
    let over_time = |value: fn(&Row) -> f64| {
        let each = rows.iter().map(|row| value(row) * row.seconds);
        each.filter(|amount| amount.is_finite()).sum::<f64>() / seconds
    };
    whole.rate_per_s = over_time(|row| row.rate_per_s);
    whole.megabytes_per_s = over_time(|row| row.megabytes_per_s);
    let windows = count_f64(rows.len() as u64);
    whole.broker_cpu_us_per_message = mean(&|row| row.broker_cpu_us_per_message);
    whole.deferred_cpu_us_per_message = mean(&|row| row.deferred_cpu_us_per_message);
    whole.spin_cpu_us_per_message = mean(&|row| row.spin_cpu_us_per_message);
    whole.instructions_per_message = mean(&|row| row.instructions_per_message);
    whole.deferred_s = rows.iter().filter_map(|row| row.deferred_s).reduce(f64::max);
    whole.broker_resident_bytes = rows.iter().filter_map(|row| row.broker_resident_bytes).max();
    for (thread, busy) in whole.generator_busy_share.iter_mut().enumerate() {
        let shares = rows.iter().filter_map(|row| row.generator_busy_share.get(thread));
        *busy = shares.sum::<f64>() / windows;
    }
    times(&mut whole, recorder);
    Some(whole)
}

fn add_counts(whole: &mut Row, row: &Row) {
    whole.planned += row.planned;
    whole.sent += row.sent;
    whole.acknowledged += row.acknowledged;
    whole.answered_in_time += row.answered_in_time;
    whole.failed += row.failed;
    whole.unanswered += row.unanswered;
    whole.lost_connections += row.lost_connections;
    whole.overflows += row.overflows;
    whole.usual_response_us =
        [whole.usual_response_us, row.usual_response_us].into_iter().flatten().reduce(f64::min);
}

/// All that comes from the histograms.
fn times(whole: &mut Row, recorder: Recorder) {
    whole.response = Percentiles::of(&recorder.response);
    whole.service = Percentiles::of(&recorder.service);
    let late = Percentiles::of(&recorder.lag);
    whole.lag = late.filter(|_| whole.kind == Kind::Open);
    whole.generator_wait = late.filter(|_| whole.kind == Kind::Closed);
    whole.stages = recorder.stages.as_deref().and_then(StageTimes::row);
    whole.errors = recorder.errors.clone();
    whole.warmup_errors = recorder.warmup_errors.clone();
    whole.strays = recorder.strays.clone();
    whole.remarks = recorder.remarks.clone();
    // Slices of windows that lie minutes apart are no course over time.
    whole.over_time.clear();
    whole.recorder = Some(recorder);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Load;
    use std::time::Duration;

    fn window(seconds: u64, answers: u64, micros: u64) -> Row {
        let duration = Duration::from_secs(seconds);
        let load = Load { duration, senders: 1, in_flight: 1, ..Load::default() };
        let mut recorder = Recorder::new(duration, load.protocol);
        for at in 0..answers {
            recorder.sent += 1;
            recorder.answered_in_window += 1;
            recorder.answered_in_time += 1;
            recorder.answer(at * 1_000, micros * 1_000, micros * 1_000);
        }
        Row::of_load("w", "w", &load, recorder)
    }

    #[test]
    fn a_rate_is_that_of_the_whole_time_and_percentiles_those_of_all_values() {
        let whole = merged("n", "l", &[window(1, 100, 10), window(3, 100, 30)]).unwrap();
        assert!((whole.rate_per_s - 50.0).abs() < 1e-9, "{}", whole.rate_per_s);
        let response = whole.response.unwrap();
        assert_eq!((response.count, whole.acknowledged), (200, 200));
        assert!((response.mean_us - 20.0).abs() < 0.1, "{response:?}");
        assert_eq!((whole.name.as_str(), whole.invalid.len()), ("n", 0));
    }

    #[test]
    fn invalid_windows_are_left_out_and_told_of() {
        let bad = Row { invalid: vec!["late".into()], ..window(1, 10, 1_000) };
        let whole = merged("n", "l", &[window(1, 100, 10), bad.clone()]).unwrap();
        assert_eq!((whole.acknowledged, whole.invalid.len()), (100, 0));
        let note = "1 of 2 windows are INVALID: late; they are left out";
        assert!(whole.notes.iter().any(|told| told == note), "{:?}", whole.notes);
        let none = merged("n", "l", std::slice::from_ref(&bad)).unwrap();
        assert!(none.invalid.iter().any(|why| why.starts_with("1 of 1 windows")));
        let block = of_block(&[window(1, 1, 1), bad]).unwrap();
        assert_eq!(block.invalid, ["late"], "a block with an invalid window makes no pair");
    }
}
