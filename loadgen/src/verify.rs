//! `loadgen verify`: does a stored run agree with itself?
//!
//! It recomputes from a run's files what the run says: that every message has one outcome, that
//! printed percentiles are those of the histograms and from enough values, that every reason to
//! call a row INVALID is there, and that the folder's name tells the verdict.

use crate::cli::analysis::VerifyArgs;
use crate::error::Result;
use crate::recorder::Recorder;
use crate::row::{Kind, Percentiles, QUANTILES, Row};
use crate::stored::Stored;
use crate::verdict;
use std::io::Write;

/// Times are rounded when they are written as decimal numbers.
const ROUNDING: f64 = 1e-9;

/// Runs `verify`; says whether all runs hold.
///
/// # Errors
/// When a run can't be read.
pub(crate) fn verify(args: &VerifyArgs) -> Result<bool> {
    let mut all_hold = true;
    for folder in &args.runs {
        let stored = Stored::open(folder)?;
        let faults = faults(&stored);
        all_hold &= faults.is_empty();
        let mut text = format!("{}: ", folder.display());
        if faults.is_empty() {
            let judged = if stored.result.is_valid() { "valid" } else { "not valid, and says so" };
            let rows = stored.result.rows.len();
            text.push_str(&format!("holds: {rows} rows, {judged}{}", unknown(&stored)));
        } else {
            text.push_str("CONTRADICTS ITSELF");
            faults.iter().for_each(|fault| text.push_str(&format!("\n  {fault}")));
        }
        let _nobody_reads = writeln!(std::io::stdout(), "{text}");
    }
    Ok(all_hold)
}

/// What a run of schema 1 can't be asked.
fn unknown(stored: &Stored) -> String {
    if stored.result.schema == 1 {
        " (schema 1: no histograms to check percentiles against, and older rules)".to_owned()
    } else {
        String::new()
    }
}

/// Contradictions of a run, one sentence each.
#[must_use]
pub(crate) fn faults(stored: &Stored) -> Vec<String> {
    let mut faults = Vec::new();
    let is_old = stored.result.schema == 1;
    for row in &stored.result.rows {
        let mut add = |fault: String| faults.push(format!("{}: {fault}", row.name));
        if row.kind.is_load() && !is_old {
            counts(row, &mut add);
            verdicts(row, &mut add);
            match &row.recorder {
                Some(recorder) => percentiles(row, recorder, &mut add),
                None => add("its .hlog is missing".into()),
            }
        }
        let end_to_end = row.consuming.as_ref().and_then(|it| it.end_to_end);
        let printed =
            [("response", row.response), ("service", row.service), ("end-to-end", end_to_end)];
        for (name, times) in printed {
            enough_values(name, times.as_ref(), is_old, &mut add);
        }
    }
    faults.extend(folder_name(stored));
    faults
}

fn counts(row: &Row, add: &mut impl FnMut(String)) {
    let outcomes = row.acknowledged + row.failed + row.unanswered;
    if row.sent != outcomes {
        add(format!("{} messages sent have {outcomes} outcomes", row.sent));
    }
    if row.planned < row.sent || row.answered_in_time > row.acknowledged {
        add(format!(
            "{} planned, {} sent, {} acknowledged, {} of them in time: more than there were",
            row.planned, row.sent, row.acknowledged, row.answered_in_time
        ));
    }
}

/// Every reason that the rules give is there. A run may have more: an interruption, say.
fn verdicts(row: &Row, add: &mut impl FnMut(String)) {
    let late = verdict::late_percentiles(row);
    if late != row.late_percentiles {
        add(format!("late percentiles are {late:?}, not {:?}", row.late_percentiles));
    }
    for reason in verdict::invalid_reasons(row, false) {
        if !row.invalid.contains(&reason) {
            add(format!("it is INVALID and does not say so: {reason}"));
        }
    }
}

fn percentiles(row: &Row, recorder: &Recorder, add: &mut impl FnMut(String)) {
    let late = if row.kind == Kind::Closed { row.generator_wait } else { row.lag };
    let told = [
        ("response", &recorder.response, row.response),
        ("service", &recorder.service, row.service),
        ("lag", &recorder.lag, late),
    ];
    let end_to_end = row.consuming.as_ref().and_then(|it| it.end_to_end);
    let read = recorder.end_to_end.as_deref().map(|times| ("end-to-end", times, end_to_end));
    for (name, histogram, printed) in told.into_iter().chain(read) {
        if !agree(Percentiles::of(histogram), printed) {
            add(format!("{name} times differ from the histogram's"));
        }
    }
}

fn agree(one: Option<Percentiles>, two: Option<Percentiles>) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= ROUNDING * a.abs().max(b.abs());
    match (one, two) {
        (None, None) => true,
        (Some(one), Some(two)) => {
            let each = one.each().into_iter().zip(two.each());
            one.count == two.count
                && close(one.mean_us, two.mean_us)
                && close(one.max_us, two.max_us)
                && each.into_iter().all(|pair| match pair {
                    (Some(a), Some(b)) => close(a, b),
                    (a, b) => a == b,
                })
        }
        _ => false,
    }
}

fn enough_values(
    name: &str,
    times: Option<&Percentiles>,
    is_old: bool,
    add: &mut impl FnMut(String),
) {
    let Some(times) = times else { return };
    for (quantile, value) in QUANTILES.iter().zip(times.each()) {
        let count = times.count;
        if value.is_some() && count < quantile.samples_min && !is_old {
            let least = quantile.samples_min;
            add(format!("{name} {} from {count} values, at least {least}", quantile.name));
        }
    }
}

/// `.FAIL` stands behind the name of every run that is not valid, and of no other.
fn folder_name(stored: &Stored) -> Option<String> {
    let named_fail = stored.result.name.ends_with(".FAIL");
    match (stored.result.is_valid(), named_fail) {
        (true, true) => Some("it is called .FAIL and gives no reason".into()),
        (false, false) => Some("it is not valid, and its name does not end in .FAIL".into()),
        _ => None,
    }
}
