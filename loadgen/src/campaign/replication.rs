//! The lines of the first screen that say what waiting for a slave costs. A campaign's blocks are
//! of two brokers; these are from the published runs of `loadgen replication-cost`.

use super::page::cells;
use crate::cli::matrix::Slaves;
use crate::compare::metrics::Metric;
use crate::error::Result;
use crate::matrix::costs::{Cost, Matrix};
use crate::stored::Stored;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What the names of such runs end with.
const SUFFIX: &str = "-replication-cost";
/// The load, as in the keys of a matrix.
const LOAD: &str = "64x1";
const FLUSH: &str = "ASYNC_FLUSH";

/// A line for each maker of each run in `runs`; none without a run.
///
/// # Errors
/// When a run can't be read.
pub(super) fn lines(runs: &Path) -> Result<String> {
    let mut text = String::new();
    for folder in folders(runs) {
        let stored = Stored::open(&folder)?;
        let Some(matrix) = &stored.result.matrix else { continue };
        for cost in matrix.costs.iter().filter(|cost| is_of_first_screen(cost)) {
            if let Some(line) = line(&stored, matrix, cost) {
                text.push_str(&line);
            }
        }
    }
    Ok(text)
}

fn folders(runs: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX))
        .collect();
    folders.sort();
    folders
}

fn is_of_first_screen(cost: &Cost) -> bool {
    let key = &cost.key;
    let is_waiting = cost.from == Slaves::Async && key.slaves == Slaves::Sync;
    is_waiting && key.load == LOAD && key.flush == FLUSH && key.batch == 1
}

/// The row of the master that waits, and what it lost beside the one that does not.
fn line(stored: &Stored, matrix: &Matrix, cost: &Cost) -> Option<String> {
    let cell = matrix.cells.iter().find(|cell| cell.key == cost.key)?;
    let row = stored.result.rows.iter().find(|row| row.name == cell.row)?;
    let estimate = cost.ratio(Metric::Rate)?.estimate?;
    let lost = |ratio: f64| 100.0 * (1.0 - ratio);
    let [mean, low, high] = [estimate.ratio, estimate.high, estimate.low].map(lost);
    let run = stored.folder.file_name()?.to_string_lossy();
    let side = match cost.key.maker.as_str() {
        "Apache" => "Apache RocketMQ 5.5.0",
        maker => maker,
    };
    let [rate, p50, p99, p999, cpu, _] = cells(std::slice::from_ref(row));
    let mut text = String::new();
    let _infallible = writeln!(
        text,
        "| 64 senders, sync replication: costs {mean:.1} % of the rate ({low:.1} to {high:.1}), \
         [run](bench-results/runs/{run}/README.md) | {side} | {rate} | {p50} | {p99} | {p999} | \
         {cpu} | {} |",
        matrix.blocks
    );
    Some(text)
}
