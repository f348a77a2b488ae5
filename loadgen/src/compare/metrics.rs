//! The figures of rows that are compared, and the pairs that two sides have of them.

use super::stats::{Estimate, Shown};
use crate::row::{Kind, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A figure of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Answers a second. Not of an open loop: its rate is the one that was asked for.
    Rate,
    /// Response time, median.
    P50,
    /// Response time, 99 %.
    P99,
    /// Response time, 99.9 %.
    P999,
    /// CPU time of the broker per message, with the work that it put off.
    Cpu,
}

impl Metric {
    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 => "RT p50",
            Self::P99 => "RT p99",
            Self::P999 => "RT p99.9",
            Self::Cpu => "CPU/msg",
        }
    }

    /// Whether more of it is better.
    #[must_use]
    pub fn more_is_better(self) -> bool {
        self == Self::Rate
    }

    /// All of them, in the order of the table.
    pub const ALL: [Self; 5] = [Self::Rate, Self::P50, Self::P99, Self::P999, Self::Cpu];

    /// Its value in a row, if the row has it.
    #[must_use]
    pub fn of(self, row: &Row) -> Option<f64> {
        let response = row.response.as_ref();
        match self {
            Self::Rate => (row.kind != Kind::Open).then_some(row.rate_per_s),
            Self::P50 => response.and_then(|times| times.p50_us),
            Self::P99 => response.and_then(|times| times.p99_us),
            Self::P999 => response.and_then(|times| times.p999_us),
            Self::Cpu => row.broker_cpu_us_per_message,
        }
    }
}

/// One figure of one row, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The row's name.
    pub row: String,
    /// The row's label.
    pub label: String,
    /// The figure.
    pub metric: Metric,
    /// Each pair: A's value, B's value.
    pub pairs: Vec<(f64, f64)>,
    /// The ratio of the geometric means, also of a single pair.
    pub ratio: f64,
    /// The ratio with its interval; `None` from a single pair.
    pub estimate: Option<Estimate>,
    /// Pairs that were left out, because a row of theirs was INVALID.
    pub invalid_pairs: usize,
}

impl Compared {
    /// What is shown; `None` from a single pair.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        self.estimate.map(|estimate| estimate.shown())
    }

    /// Whether B is shown to be worse than A.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        let worse = if self.metric.more_is_better() { Shown::Less } else { Shown::More };
        self.shown() == Some(worse)
    }
}

/// Pairs of rows by their name, and what they show. Rows that only one side has are left out.
#[must_use]
pub fn compare_rows(pairs: &[(Row, Row)]) -> Vec<Compared> {
    let mut names: Vec<&str> = Vec::new();
    let mut by_name: BTreeMap<&str, Vec<&(Row, Row)>> = BTreeMap::new();
    for pair in pairs {
        if !names.contains(&pair.0.name.as_str()) {
            names.push(&pair.0.name);
        }
        by_name.entry(&pair.0.name).or_default().push(pair);
    }
    let mut compared = Vec::new();
    for name in names {
        let of_name = &by_name[name];
        let valid: Vec<_> =
            of_name.iter().filter(|(a, b)| a.invalid.is_empty() && b.invalid.is_empty()).collect();
        let invalid_pairs = of_name.len() - valid.len();
        for metric in Metric::ALL {
            let each = valid.iter().map(|(a, b)| Some((metric.of(a)?, metric.of(b)?)));
            let Some(values) = each.collect::<Option<Vec<(f64, f64)>>>() else { continue };
            if values.is_empty() && metric != Metric::Rate {
                continue;
            }
            let logs: f64 = values.iter().map(|(a, b)| (b / a).ln()).sum();
            compared.push(Compared {
                row: name.to_owned(),
                label: of_name[0].0.label.clone(),
                metric,
                ratio: (logs / values.len() as f64).exp(),
                estimate: Estimate::of(&values),
                pairs: values,
                invalid_pairs,
            });
        }
    }
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Percentiles;

    fn row(rate_per_s: f64, p50_us: Option<f64>) -> Row {
        let response = Some(Percentiles { p50_us, ..Percentiles::default() });
        Row { name: "r".into(), label: "R".into(), rate_per_s, response, ..Row::default() }
    }

    #[test]
    fn figures_are_paired_and_a_percentile_that_one_run_lacks_is_not_compared() {
        let pairs = [
            (row(100.0, Some(10.0)), row(50.0, Some(20.0))),
            (row(102.0, Some(10.0)), row(51.5, None)),
        ];
        let compared = compare_rows(&pairs);
        assert_eq!(compared.len(), 1, "{compared:?}");
        assert_eq!((compared[0].metric, compared[0].pairs.len()), (Metric::Rate, 2));
        assert!(compared[0].is_worse() && compared[0].shown() == Some(Shown::Less));
    }

    #[test]
    fn invalid_rows_take_no_part_and_are_counted() {
        let bad = Row { invalid: vec!["late".into()], ..row(1.0, Some(1.0)) };
        let compared =
            compare_rows(&[(row(100.0, None), bad), (row(100.0, None), row(99.0, None))]);
        assert_eq!((compared[0].pairs.len(), compared[0].invalid_pairs), (1, 1));
        assert_eq!(compared[0].shown(), None, "one pair shows nothing");
    }

    #[test]
    fn an_open_loops_rate_is_no_result() {
        let open = |p50| Row { kind: Kind::Open, ..row(100.0, Some(p50)) };
        let compared = compare_rows(&[(open(10.0), open(11.0)), (open(10.0), open(11.01))]);
        assert_eq!(compared.iter().map(|it| it.metric).collect::<Vec<_>>(), [Metric::P50]);
        assert!(compared[0].is_worse(), "a longer time is worse");
    }
}
