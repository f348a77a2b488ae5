//! Verdicts, computed from the files of the blocks and benchmarks and from nothing else.
//!
//! ```text
//!   PASS          the interval's lower end reaches the target
//!   FAIL          its upper end does not
//!   UNDECIDED     else
//!   NOT MEASURED  a tail on a shared machine, more pinned roles than cores, no valid block …
//! ```

use super::benches;
use super::targets::{Bound, Figure, MeasuredBy, TARGETS, Target};
use crate::compare::metrics::Metric;
use crate::compare::put_together;
use crate::compare::stats::Estimate;
use crate::error::{Error, Result};
use crate::row::{Kind, Row};
use crate::stored::Stored;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An idle share below this is below what the kernel counts in a few seconds.
const IDLE_SHARE_MIN: f64 = 1e-5;

/// What is said of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// Shown to be reached.
    #[serde(rename = "PASS")]
    Pass,
    /// Shown to be missed.
    #[serde(rename = "FAIL")]
    Fail,
    /// Neither is shown.
    #[serde(rename = "UNDECIDED")]
    Undecided,
    /// There is nothing to judge.
    #[serde(rename = "NOT MEASURED")]
    NotMeasured,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Undecided => "UNDECIDED",
            Self::NotMeasured => "NOT MEASURED",
        }
    }
}

/// A target, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    /// What it is about.
    pub what: String,
    /// The figure.
    pub figure: String,
    /// What has to hold.
    pub target: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The measurement's folder.
    pub measurement: Option<String>,
    /// A and B of each valid block; of a figure without another side A is 1.
    pub pairs: Vec<(f64, f64)>,
    /// The ratio of the geometric means, and its interval.
    pub interval: Option<[f64; 3]>,
    /// Why it was not measured, or what restricts it.
    pub note: String,
}

/// The block folders of a measurement, valid ones and others, in their order.
///
/// # Errors
/// When the folder can't be read.
pub(crate) fn blocks(campaign: &Path, id: &str) -> Result<Vec<PathBuf>> {
    let folder = campaign.join(id);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("result.json").exists())
        .collect();
    found.sort();
    Ok(found)
}

/// The rows of both sides of a measurement's valid blocks: A, B for each.
///
/// # Errors
/// When a block can't be read.
pub(crate) fn pairs(campaign: &Path, id: &str) -> Result<Vec<(Row, Row)>> {
    let mut pairs = Vec::new();
    for folder in blocks(campaign, id)? {
        let stored = Stored::open(&folder)?;
        if stored.result.is_valid() {
            let side = |letter: &str| {
                let rows = stored.result.rows.iter().filter(|row| row.name.ends_with(letter));
                put_together(&rows.cloned().collect::<Vec<Row>>())
            };
            // A late percentile restricts itself; a closed loop with errors says nothing at all.
            let counts = |(a, b): &(Row, Row)| {
                let is_bad = |row: &Row| row.kind == Kind::Closed && !row.invalid.is_empty();
                !is_bad(a) && !is_bad(b)
            };
            pairs.extend(side("-A").zip(side("-B")).filter(counts));
        }
    }
    Ok(pairs)
}

/// Judges every target from the blocks in a campaign's folder.
///
/// # Errors
/// When a block can't be read.
pub(crate) fn judge(campaign: &Path) -> Result<Vec<Judged>> {
    TARGETS.iter().map(|target| judge_one(campaign, target)).collect()
}

fn judge_one(campaign: &Path, target: &Target) -> Result<Judged> {
    let what = target.what.to_owned();
    match target.measured_by {
        MeasuredBy::Blocks(id, figure, bound) => {
            let rows = pairs(campaign, id)?;
            let values: Vec<(f64, f64)> =
                rows.iter().filter_map(|(a, b)| values(a, b, figure, bound)).collect();
            let tried = blocks(campaign, id)?.len();
            let missing = format!("{} of {tried} blocks have the figure", values.len());
            let mut judged = decided(what, figure.name(), bound, values, missing);
            if judged.interval.is_some() {
                judged.note = restriction(&rows);
                if figure.is_tail() {
                    judged.verdict = Verdict::NotMeasured;
                    judged.note =
                        "a tail: reported, to be claimed from isolated hardware only".to_owned();
                }
            }
            judged.measurement = Some(id.to_owned());
            Ok(judged)
        }
        MeasuredBy::Bench(figure, name, bound) => {
            let values = benches::pairs(campaign, figure)?;
            let missing = match values.len() {
                0 => "its benchmark was not run".to_owned(),
                rounds => format!("{rounds} round is too few"),
            };
            let mut judged = decided(what, name, bound, values, missing);
            if judged.interval.is_some() {
                judged.note = "rounds of a benchmark".to_owned();
            }
            Ok(judged)
        }
        MeasuredBy::Nothing(why) => Ok(Judged {
            what,
            figure: String::new(),
            target: String::new(),
            verdict: Verdict::NotMeasured,
            measurement: None,
            pairs: Vec::new(),
            interval: None,
            note: why.to_owned(),
        }),
    }
}

/// The verdict on these pairs; `missing` says why there is none.
fn decided(
    what: String,
    figure: &str,
    bound: Bound,
    pairs: Vec<(f64, f64)>,
    missing: String,
) -> Judged {
    let estimate = Estimate::of(&pairs);
    let (verdict, note) = match &estimate {
        None => (Verdict::NotMeasured, missing),
        Some(estimate) => (decide(estimate, bound), String::new()),
    };
    Judged {
        what,
        figure: figure.to_owned(),
        target: bound_text(bound),
        verdict,
        measurement: None,
        pairs,
        interval: estimate.map(|it| [it.ratio, it.low, it.high]),
        note,
    }
}

/// A's and B's value of a block.
fn values(a: &Row, b: &Row, figure: Figure, bound: Bound) -> Option<(f64, f64)> {
    let of = |row: &Row| match figure {
        Figure::Of(metric) => metric.of(row),
        Figure::CpuWithoutSpin => {
            let cpu = Metric::Cpu.of(row)?;
            Some(cpu - row.spin_cpu_us_per_message.unwrap_or(0.0).min(cpu))
        }
        Figure::IdleCpu => row.idle_cpu_share.map(|share| share.max(IDLE_SHARE_MIN)),
        Figure::Resident => row.broker_resident_bytes.map(crate::row::count_f64),
    };
    let alone = matches!(bound, Bound::AloneAtMost(_));
    Some((if alone { 1.0 } else { of(a)? }, of(b)?))
}

fn decide(estimate: &Estimate, bound: Bound) -> Verdict {
    let (reached, missed) = match bound {
        Bound::AtLeast(least) => (estimate.low >= least, estimate.high < least),
        Bound::AtMost(most) | Bound::AloneAtMost(most) => {
            (estimate.high <= most, estimate.low > most)
        }
    };
    match (reached, missed) {
        (true, _) => Verdict::Pass,
        (_, true) => Verdict::Fail,
        _ => Verdict::Undecided,
    }
}

fn bound_text(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(least) => format!("≥ {}×", short(least)),
        Bound::AtMost(most) if most < 0.5 + 1e-9 => format!("≤ 1/{}", short(1.0 / most)),
        Bound::AtMost(most) => format!("≤ {}×", short(most)),
        Bound::AloneAtMost(most) => format!("≤ {}", short(most)),
    }
}

/// A number with at most four digits and no zeros behind the point.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What is to be known beside a verdict.
fn restriction(rows: &[(Row, Row)]) -> String {
    let cold = rows.iter().filter(|(a, _)| a.steady.as_ref().is_some_and(|it| !it.is_steady));
    match cold.count() {
        0 => String::new(),
        blocks => format!("the other side was not steady in {blocks} blocks"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(pairs: &[(f64, f64)]) -> Estimate {
        Estimate::of(pairs).unwrap()
    }

    #[test]
    fn the_interval_decides_and_not_its_middle() {
        let narrow = estimate(&[(1.0, 4.4), (1.0, 4.5), (1.0, 4.45)]);
        assert_eq!(decide(&narrow, Bound::AtLeast(4.0)), Verdict::Pass);
        assert_eq!(decide(&narrow, Bound::AtLeast(5.0)), Verdict::Fail);
        assert_eq!(decide(&narrow, Bound::AtLeast(4.45)), Verdict::Undecided);
        let small = estimate(&[(10.0, 1.0), (10.0, 1.02), (10.0, 0.99)]);
        assert_eq!(decide(&small, Bound::AtMost(0.125)), Verdict::Pass);
        assert_eq!(decide(&small, Bound::AtMost(0.05)), Verdict::Fail);
        let wide = estimate(&[(1.0, 2.0), (1.0, 8.0)]);
        assert_eq!(decide(&wide, Bound::AtLeast(3.9)), Verdict::Undecided);
    }

    #[test]
    fn targets_are_printed_as_they_were_written() {
        for (bound, text) in [
            (Bound::AtLeast(4.0), "≥ 4×"),
            (Bound::AtLeast(0.45), "≥ 0.45×"),
            (Bound::AtMost(0.125), "≤ 1/8"),
            (Bound::AtMost(1.0 / 6.0), "≤ 1/6"),
            (Bound::AloneAtMost(0.005), "≤ 0.005"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
    }

    #[test]
    fn a_campaign_without_blocks_has_nothing_measured_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let judged = judge(folder.path()).unwrap();
        assert_eq!(judged.len(), TARGETS.len());
        assert!(judged.iter().all(|it| it.verdict == Verdict::NotMeasured && !it.note.is_empty()));
    }
}
