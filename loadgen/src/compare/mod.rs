//! `loadgen compare` and `loadgen gate`: is B different from A, and by how much at least?
//!
//! ```text
//!   stored runs   A1 A2 A3 --to B1 B2 B3         pair i: Ai and Bi, rows by name
//!   two brokers   8 blocks of  A B B A           a pair for each block: a drift that is straight
//!                                                within a block falls on both sides alike
//! ```

mod environments;
mod live;
pub mod metrics;
pub mod stats;
mod text;

pub(crate) use live::put_together;

use crate::cli::analysis::{CompareArgs, GateArgs};
use crate::error::{Error, Result};
use crate::progress::note;
use crate::row::Row;
use crate::signals::Stop;
use crate::stored::Stored;
use metrics::{Compared, Metric, compare_rows};
use serde::Serialize;
use std::io::Write;

/// The outcome of `gate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Every figure is shown to be within the tolerance.
    Pass,
    /// A figure is shown to be worse than the tolerance allows.
    Fail,
    /// Neither is shown: more pairs would tell.
    Undecided,
}

/// What `compare --json` prints and a comparison's folder keeps.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// Every figure of every row.
    pub compared: Vec<Compared>,
    /// In what the runs differ beside the brokers.
    pub differences: Vec<String>,
}

/// Runs `compare`.
///
/// # Errors
/// When runs can't be read or measured, or may not be compared.
pub(crate) fn compare(args: &CompareArgs, stop: &Stop) -> Result<Comparison> {
    let comparison = match args.namesrv_a.is_some() {
        true => live::measure(args, stop)?,
        false => stored(args)?,
    };
    let text = if args.common.json {
        let json = crate::report::folder::pretty(&comparison)?;
        String::from_utf8_lossy(&json).into_owned()
    } else {
        let differences = comparison.differences.iter().map(|one| format!("DIFFERENT  {one}\n"));
        format!("{}{}", differences.collect::<String>(), text::table(&comparison.compared))
    };
    let _nobody_reads = writeln!(std::io::stdout(), "{text}");
    Ok(comparison)
}

/// Runs `gate`.
///
/// # Errors
/// As [`compare`], and when nothing could be compared.
pub(crate) fn gate(args: &GateArgs, stop: &Stop) -> Result<Verdict> {
    let comparison = compare(&args.compare, stop)?;
    let wanted: Vec<&Compared> = comparison
        .compared
        .iter()
        .filter(|one| args.metrics.is_empty() || args.metrics.contains(&one.metric))
        .collect();
    if wanted.is_empty() {
        return Err(Error::Usage(
            "no row has the figures that the gate is about: name others with --metrics".into(),
        ));
    }
    let verdicts = wanted.iter().map(|one| {
        let verdict = judge(one, args.tolerance);
        let (label, name) = (&one.label, one.metric.name());
        note(&format!("gate: {} {label}, {name}: {}", word(verdict), text::shown(one)));
        verdict
    });
    let verdicts: Vec<Verdict> = verdicts.collect();
    let overall = [Verdict::Fail, Verdict::Undecided];
    Ok(overall.into_iter().find(|it| verdicts.contains(it)).unwrap_or(Verdict::Pass))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Undecided => "UNDECIDED",
    }
}

/// Worse is shown when the whole interval lies beyond the tolerance, "not worse" when none of it
/// does.
fn judge(one: &Compared, tolerance: f64) -> Verdict {
    let Some(estimate) = one.estimate else { return Verdict::Undecided };
    // As the factor by which B is worse: above 1 is worse.
    let (least, most) = match one.metric.more_is_better() {
        true => (1.0 / estimate.high, 1.0 / estimate.low),
        false => (estimate.low, estimate.high),
    };
    let limit = 1.0 + tolerance;
    if least > limit {
        Verdict::Fail
    } else if most <= limit {
        Verdict::Pass
    } else {
        Verdict::Undecided
    }
}

fn stored(args: &CompareArgs) -> Result<Comparison> {
    if args.runs.is_empty() || args.runs.len() != args.to.len() {
        return Err(Error::Usage(format!(
            "give as many runs on both sides, A's first: loadgen compare A1 A2 --to B1 B2 (found \
             {} and {}); or two brokers with --namesrv-a and --namesrv-b",
            args.runs.len(),
            args.to.len()
        )));
    }
    let open = |folders: &[std::path::PathBuf]| {
        folders.iter().map(|folder| Stored::open(folder)).collect::<Result<Vec<Stored>>>()
    };
    let (ours, theirs) = (open(&args.runs)?, open(&args.to)?);
    let mut differences = Vec::new();
    let mut pairs = Vec::new();
    for (a, b) in ours.iter().zip(&theirs) {
        differences.extend(environments::differences(a, b));
        pairs.extend(a.result.rows.iter().filter_map(|row| {
            let other = b.result.rows.iter().find(|other| other.name == row.name)?;
            Some((row.clone(), other.clone()))
        }));
    }
    differences.sort_unstable();
    differences.dedup();
    if !differences.is_empty() && !args.even_if_different {
        return Err(Error::Usage(format!(
            "these runs are not comparable: they differ in more than the brokers \
             (--even-if-different compares them all the same)\n  {}",
            differences.join("\n  ")
        )));
    }
    finish(&pairs, differences)
}

fn finish(pairs: &[(Row, Row)], differences: Vec<String>) -> Result<Comparison> {
    let compared = compare_rows(pairs);
    if compared.is_empty() {
        return Err(Error::Usage("the runs have no row of the same name".into()));
    }
    Ok(Comparison { compared, differences })
}

/// The figures that `gate` judges, as they are named on the command line.
///
/// # Errors
/// When it is none.
pub(crate) fn metric(text: &str) -> std::result::Result<Metric, String> {
    let names = [
        ("rate", Metric::Rate),
        ("p50", Metric::P50),
        ("p99", Metric::P99),
        ("p99.9", Metric::P999),
        ("cpu", Metric::Cpu),
    ];
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, metric)| *metric);
    found.ok_or_else(|| "is none of rate, p50, p99, p99.9, cpu".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(metric: Metric, pairs: &[(f64, f64)]) -> Compared {
        Compared {
            row: "r".into(),
            label: "r".into(),
            metric,
            pairs: pairs.to_vec(),
            ratio: 1.0,
            estimate: stats::Estimate::of(pairs),
            invalid_pairs: 0,
        }
    }

    #[test]
    fn a_gate_decides_by_the_whole_interval() {
        let rate = |b: [f64; 3]| judge(&compared(Metric::Rate, &b.map(|b| (100.0, b))), 0.05);
        assert_eq!(rate([99.0, 99.2, 98.9]), Verdict::Pass);
        assert_eq!(rate([120.0, 121.0, 119.0]), Verdict::Pass, "better is never a fault");
        assert_eq!(rate([90.0, 90.2, 89.9]), Verdict::Fail);
        assert_eq!(rate([95.0, 88.0, 102.0]), Verdict::Undecided);
        let time = |b: f64| judge(&compared(Metric::P99, &[(100.0, b), (100.0, b * 1.001)]), 0.05);
        assert_eq!((time(90.0), time(110.0)), (Verdict::Pass, Verdict::Fail));
        assert_eq!(judge(&compared(Metric::Rate, &[(1.0, 0.1)]), 0.05), Verdict::Undecided);
    }
}
