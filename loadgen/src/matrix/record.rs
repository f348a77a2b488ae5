//! What a matrix has measured so far.

use super::costs::{Blocks, Cell, Key, Matrix, costs};
use super::merge::{merged, of_block};
use super::roles::Roles;
use super::site::Window;
use crate::cli::matrix::Slaves;
use crate::error::{Error, Result};
use crate::report::csv;
use crate::report::folder::RunFolder;
use crate::result::Cores;
use crate::row::{Floor, Row, count_f64};
use crate::runner::{Outcome, Setup};

/// Everything that is kept. Grows by one entry a cell, and one window a row.
pub(super) struct Record {
    order: String,
    cells: Vec<OfCell>,
    /// Rows beside the cells: stages of native sends.
    beside: Vec<Row>,
    setups: Vec<Setup>,
    blocks: u32,
    pub notes: Vec<String>,
}

struct OfCell {
    key: Key,
    windows: Vec<Row>,
    /// Windows that make the pairs: one row for each whole block.
    blocks: Vec<Row>,
    slave_cpu_us: Vec<f64>,
    log_bytes_per_message: Option<f64>,
    floor: Option<Floor>,
}

impl Record {
    pub(super) fn new(order: String) -> Self {
        let (cells, beside, setups, notes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { order, cells, beside, setups, blocks: 0, notes }
    }

    /// Adds the windows of one visit.
    pub(super) fn add(&mut self, key: &Key, windows: Vec<Window>) {
        let cell = self.cell(key);
        for window in windows {
            cell.slave_cpu_us.extend(window.slave_cpu_us_per_message);
            cell.windows.push(window.row);
        }
    }

    /// A block is whole: its windows, the last ones of each of these cells, make pairs.
    pub(super) fn end_block(&mut self, keys: &[Key], nth: u32, folder: &RunFolder) -> Result<()> {
        for key in keys {
            let cell = self.cell(key);
            let begins = cell.windows.len().saturating_sub(2);
            cell.blocks.extend(of_block(&cell.windows[begins..]));
        }
        self.blocks = self.blocks.max(nth);
        self.write_windows(folder)
    }

    /// Adds a row beside the cells.
    pub(super) fn add_beside(&mut self, row: Row) {
        self.beside.push(row);
    }

    /// Adds facts about the brokers of a cluster.
    pub(super) fn add_setup(&mut self, setup: Setup) {
        self.setups.push(setup);
    }

    /// The floor of a load, for all kinds of slaves.
    pub(super) fn set_floor(&mut self, keys: &[Key], load: &str, floor: Option<Floor>) {
        for key in keys.iter().filter(|key| key.load == load) {
            self.cell(key).floor = floor;
        }
    }

    /// How long the log has become for how many messages, with this kind of slaves.
    pub(super) fn set_log(&mut self, keys: &[Key], slaves: Slaves, (bytes, messages): (u64, u64)) {
        for key in keys.iter().filter(|key| key.slaves == slaves) {
            let per_message = count_f64(bytes) / count_f64(messages.max(1));
            self.cell(key).log_bytes_per_message = Some(per_message);
        }
    }

    fn cell(&mut self, key: &Key) -> &mut OfCell {
        let at = self.cells.iter().position(|cell| cell.key == *key).unwrap_or_else(|| {
            self.cells.push(OfCell {
                key: key.clone(),
                windows: Vec::new(),
                blocks: Vec::new(),
                slave_cpu_us: Vec::new(),
                log_bytes_per_message: None,
                floor: None,
            });
            self.cells.len() - 1
        });
        &mut self.cells[at]
    }

    /// Every window so far: a run that is killed has those of its whole blocks.
    fn write_windows(&self, folder: &RunFolder) -> Result<()> {
        let windows: Vec<Row> =
            self.cells.iter().flat_map(|cell| cell.windows.iter().cloned()).collect();
        folder.write("windows.csv", csv::rows(&windows).as_bytes())
    }

    /// The rows and the costs.
    pub(super) fn outcome(
        mut self,
        folder: &RunFolder,
        roles: &Roles,
        ended: Option<Error>,
    ) -> Result<Outcome> {
        self.write_windows(folder)?;
        let mut rows = Vec::new();
        let mut matrix =
            Matrix { blocks: self.blocks, order: self.order.clone(), ..Matrix::default() };
        for cell in &self.cells {
            let Some(mut row) = merged(&name(&cell.key), &label(&cell.key), &cell.windows) else {
                continue;
            };
            row.floor = row.floor.or(cell.floor);
            let slaves = count_f64(cell.slave_cpu_us.len() as u64);
            matrix.cells.push(Cell {
                row: row.name.clone(),
                key: cell.key.clone(),
                slave_cpu_us_per_message: (!cell.slave_cpu_us.is_empty())
                    .then(|| cell.slave_cpu_us.iter().sum::<f64>() / slaves),
                log_bytes_per_message: cell.log_bytes_per_message,
            });
            rows.push(row);
        }
        let blocks: Vec<Blocks> = self
            .cells
            .iter()
            .map(|cell| Blocks { key: cell.key.clone(), rows: cell.blocks.clone() })
            .collect();
        matrix.costs = costs(&blocks);
        rows.append(&mut self.beside);
        self.notes.extend(roles.note.clone());
        let headline = matrix.costs.iter().find(|cost| {
            (cost.from, cost.key.slaves) == (Slaves::Async, Slaves::Sync) && cost.in_flight > 1
        });
        let answer = headline.or(matrix.costs.first()).map(|cost| cost.sentence());
        let mut setups = self.setups.into_iter();
        let Some(mut setup) = setups.next() else {
            return Ok(Outcome::nothing(ended.unwrap_or(Error::Interrupted)));
        };
        setups.for_each(|other| setup.add(other));
        let outcome = setup.outcome(&roles.plan, rows, None, ended);
        let cores =
            Cores { generators: roles.plan.generators.clone(), broker: roles.plan.broker.clone() };
        Ok(Outcome { answer, cores, notes: self.notes, matrix: Some(matrix), ..outcome })
    }
}

/// The name of a cell's row, usable in file names.
pub(super) fn name(key: &Key) -> String {
    let flush = if key.flush == "SYNC_FLUSH" { "sync" } else { "async" };
    let batch = if key.batch == 1 { String::new() } else { format!("-batch{}", key.batch) };
    let maker = key.maker.to_lowercase();
    format!("{maker}-{flush}-{}{batch}-{}", key.slaves.word(), key.load)
}

/// The label of a cell's row.
pub(super) fn label(key: &Key) -> String {
    let batch = if key.batch == 1 { String::new() } else { format!(" b{}", key.batch) };
    let flush = key.flush.trim_end_matches("_FLUSH").to_lowercase();
    let slaves = key.slaves.title();
    format!("{} {flush} flush · {slaves}{batch} · {}", key.maker, key.load)
}
