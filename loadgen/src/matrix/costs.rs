//! What one kind of slaves costs beside another: ratios with their intervals, and differences of
//! times in microseconds with theirs.
//!
//! ```text
//!   pair i: the windows of one block, both kinds      ratio: compare's (log ratios, t, bootstrap)
//!                                                     difference: mean of b_i − a_i, t, bootstrap
//! ```

use crate::cli::matrix::Slaves;
use crate::compare::metrics::{Compared, Metric, compare_rows};
use crate::compare::stats::CONFIDENCE;
use crate::row::{Kind, Row};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

const RESAMPLES: usize = 2_000;

/// One cell of a matrix with one load: what a row of the result is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `RingMQ`, `Apache`, or `cluster`.
    pub maker: String,
    /// `flushDiskType` of the master.
    pub flush: String,
    /// Kind of slaves.
    pub slaves: Slaves,
    /// Messages in a request.
    pub batch: u32,
    /// `16x8`, or `open` for the open loop at equal rates.
    pub load: String,
}

impl Key {
    /// The same cell but for the slaves.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let of = |key: &Self| (key.maker.clone(), key.flush.clone(), key.batch, key.load.clone());
        of(self) == of(other)
    }

    /// What it is, without the slaves: `RingMQ, ASYNC_FLUSH, 16x8`.
    #[must_use]
    pub fn title(&self) -> String {
        let batch =
            if self.batch == 1 { String::new() } else { format!(", batches of {}", self.batch) };
        format!("{}, {}{batch}, {}", self.maker, self.flush, self.load)
    }
}

/// A row of the result and its cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the row.
    pub row: String,
    /// The cell.
    pub key: Key,
    /// CPU time of the slave per message, µs, with what it put off.
    pub slave_cpu_us_per_message: Option<f64>,
    /// Bytes of the log per message, as they go to a slave.
    pub log_bytes_per_message: Option<f64>,
}

/// A difference in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Of what.
    pub metric: Metric,
    /// Mean of the pairs' differences, µs.
    pub mean_us: f64,
    /// Ends of the t interval, µs.
    pub low_us: f64,
    /// Its upper end.
    pub high_us: f64,
    /// Ends of the bootstrap's interval, µs.
    pub bootstrap_low_us: f64,
    /// Its upper end.
    pub bootstrap_high_us: f64,
}

/// What `to` costs beside `from`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The cell of `to`.
    pub key: Key,
    /// Beside this kind of slaves.
    pub from: Slaves,
    /// Connections of the load.
    pub senders: usize,
    /// Requests in flight on each; 0 in the open loop.
    pub in_flight: usize,
    /// Kind of the load.
    pub kind: Kind,
    /// Ratios, `to` by `from`.
    pub compared: Vec<Compared>,
    /// Differences of times.
    pub differences: Vec<Difference>,
}

/// A matrix, as it stands in the result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matrix {
    /// Whole blocks of each maker and flush policy, as far as the run came.
    pub blocks: u32,
    /// The order of each block.
    pub order: String,
    /// The rows' cells.
    pub cells: Vec<Cell>,
    /// The costs.
    pub costs: Vec<Cost>,
}

/// The rows of one cell, one for each whole block.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    pub key: Key,
    pub rows: Vec<Row>,
}

/// The costs of all pairs of neighbours, and of a SYNC_MASTER beside no slave.
pub(super) fn costs(cells: &[Blocks]) -> Vec<Cost> {
    const PAIRS: [(Slaves, Slaves); 3] = [
        (Slaves::Async, Slaves::Sync),
        (Slaves::None, Slaves::Async),
        (Slaves::None, Slaves::Sync),
    ];
    let mut costs = Vec::new();
    for (from, to) in PAIRS {
        for cell in cells.iter().filter(|cell| cell.key.slaves == to) {
            let is_other =
                |other: &&Blocks| other.key.slaves == from && other.key.is_beside(&cell.key);
            let Some(other) = cells.iter().find(is_other) else { continue };
            costs.extend(cost(other, cell));
        }
    }
    costs
}

fn cost(from: &Blocks, to: &Blocks) -> Option<Cost> {
    let named = |row: &Row| Row { name: "pair".into(), label: to.key.title(), ..row.clone() };
    let pairs: Vec<(Row, Row)> =
        from.rows.iter().zip(&to.rows).map(|(a, b)| (named(a), named(b))).collect();
    let first = &pairs.first()?.0;
    let mut compared = compare_rows(&pairs);
    // JSON has no NaN: a figure without a valid pair has no pairs, and 0.
    compared.iter_mut().filter(|one| one.pairs.is_empty()).for_each(|one| one.ratio = 0.0);
    let differences = compared.iter().filter(|one| one.metric != Metric::Rate);
    Some(Cost {
        key: to.key.clone(),
        from: from.key.slaves,
        senders: first.senders,
        in_flight: first.in_flight,
        kind: first.kind,
        differences: differences.filter_map(|one| difference(one.metric, &one.pairs)).collect(),
        compared,
    })
}

impl Cost {
    /// The ratio of this figure, if it was compared.
    #[must_use]
    pub fn ratio(&self, metric: Metric) -> Option<&Compared> {
        self.compared.iter().find(|one| one.metric == metric)
    }

    /// The difference of this figure, if there is one.
    #[must_use]
    pub fn difference(&self, metric: Metric) -> Option<&Difference> {
        self.differences.iter().find(|one| one.metric == metric)
    }

    /// The cost in a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let what = match (self.from, self.key.slaves) {
            (Slaves::Async, Slaves::Sync) => "sync replication costs".to_owned(),
            (from, to) => format!("{} beside {} costs", to.title(), from.title()),
        };
        let rate = self.ratio(Metric::Rate).and_then(|one| one.estimate).map(|of| {
            // A cost is what is lost: the ratio's upper end is the cost's lower one.
            let lost = |ratio: f64| 100.0 * (1.0 - ratio);
            let [mean, low, high] = [of.ratio, of.high, of.low].map(lost);
            format!("{mean:.1} % throughput [{low:.1}, {high:.1}]")
        });
        let time = self
            .difference(Metric::P50)
            .map(|of| format!("{:.1} µs at p50 [{:.1}, {:.1}]", of.mean_us, of.low_us, of.high_us));
        let said: Vec<String> = rate.into_iter().chain(time).collect();
        let with = match (self.senders, self.in_flight) {
            (senders, 0) => format!("{senders} senders at equal rates"),
            (1, 1) => "1 sender".to_owned(),
            (senders, 1) => format!("{senders} senders"),
            (senders, depth) => format!("{senders} senders × {depth} in flight"),
        };
        let said = match said.is_empty() {
            true => "is not known: no two pairs are valid".to_owned(),
            false => said.join(" and "),
        };
        format!("{}: {what} {said} with {with}", self.key.title())
    }
}

/// The mean of b − a over the pairs; `None` from fewer than two.
fn difference(metric: Metric, pairs: &[(f64, f64)]) -> Option<Difference> {
    if pairs.len() < 2 {
        return None;
    }
    let each: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let n = each.len() as f64;
    let mean_us = each.iter().sum::<f64>() / n;
    let squares: f64 = each.iter().map(|one| (one - mean_us).powi(2)).sum();
    let student = StudentsT::new(0.0, 1.0, n - 1.0).ok()?;
    let half = student.inverse_cdf(0.5 + CONFIDENCE / 2.0) * (squares / (n - 1.0) / n).sqrt();
    let mut random = fastrand::Rng::with_seed(1);
    let mut resampled = || each.iter().map(|_| each[random.usize(..each.len())]).sum::<f64>() / n;
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| resampled()).collect();
    means.sort_by(f64::total_cmp);
    let beyond = RESAMPLES / 40;
    Some(Difference {
        metric,
        mean_us,
        low_us: mean_us - half,
        high_us: mean_us + half,
        bootstrap_low_us: means[beyond],
        bootstrap_high_us: means[RESAMPLES - 1 - beyond],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Percentiles;

    fn cell(slaves: Slaves, each: &[(f64, f64)]) -> Blocks {
        let key = Key {
            maker: "RingMQ".into(),
            flush: "ASYNC_FLUSH".into(),
            slaves,
            batch: 1,
            load: "16x8".into(),
        };
        let row = |&(rate_per_s, p50): &(f64, f64)| Row {
            rate_per_s,
            senders: 16,
            in_flight: 8,
            response: Some(Percentiles { p50_us: Some(p50), ..Percentiles::default() }),
            ..Row::default()
        };
        Blocks { key, rows: each.iter().map(row).collect() }
    }

    #[test]
    fn the_sentence_says_what_is_lost_with_its_interval() {
        let cells = [
            cell(Slaves::Async, &[(100.0, 10.0), (100.0, 12.0)]),
            cell(Slaves::Sync, &[(90.0, 15.0), (90.0, 17.0)]),
        ];
        let costs = costs(&cells);
        assert_eq!(costs.len(), 1);
        assert_eq!(
            costs[0].sentence(),
            "RingMQ, ASYNC_FLUSH, 16x8: sync replication costs 10.0 % throughput [10.0, 10.0] and \
             5.0 µs at p50 [5.0, 5.0] with 16 senders × 8 in flight"
        );
    }

    #[test]
    fn a_difference_has_the_known_interval() {
        // 1, 2 and 3: mean 2, s 1, t(0.975, 2) = 4.302653.
        let of = difference(Metric::P50, &[(0.0, 1.0), (0.0, 2.0), (1.0, 4.0)]).unwrap();
        assert!((of.mean_us - 2.0).abs() < 1e-12);
        assert!((of.high_us - 2.0 - 4.302_653 / 3f64.sqrt()).abs() < 1e-4, "{of:?}");
        assert!(of.bootstrap_low_us >= 1.0 && of.bootstrap_high_us <= 3.0, "{of:?}");
        assert!(difference(Metric::P50, &[(0.0, 1.0)]).is_none());
    }

    #[test]
    fn costs_without_a_valid_pair_can_be_read_back() {
        let mut cells = [cell(Slaves::None, &[(1.0, 1.0)]), cell(Slaves::Async, &[(1.0, 1.0)])];
        cells[0].rows[0].invalid.push("late".into());
        let costs = costs(&cells);
        let json = serde_json::to_string(&costs).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Cost>>(&json).unwrap(), costs);
        assert_eq!(costs[0].compared[0].invalid_pairs, 1);
    }

    #[test]
    fn one_block_shows_nothing_and_says_so() {
        let cells = [cell(Slaves::None, &[(1.0, 1.0)]), cell(Slaves::Async, &[(1.0, 1.0)])];
        let costs = costs(&cells);
        assert!(costs[0].sentence().contains("is not known"), "{}", costs[0].sentence());
    }
}
