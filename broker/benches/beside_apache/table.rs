//! A table with a column for each broker.

use crate::brokers::Running;
use std::fmt::{Display, Formatter, Result};

/// Rows in the order in which they were first set.
#[derive(Default)]
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Sets a row's value of a broker.
    pub(crate) fn set(&mut self, of: &Running, row: &str, value: impl Display) {
        let column = self.columns.iter().position(|name| *name == of.name).unwrap_or_else(|| {
            self.columns.push(of.name);
            self.columns.len() - 1
        });
        let at = self.rows.iter().position(|(name, _)| name == row).unwrap_or_else(|| {
            self.rows.push((row.to_owned(), vec![]));
            self.rows.len() - 1
        });
        let values = &mut self.rows[at].1;
        values.resize(values.len().max(column + 1), String::new());
        values[column] = value.to_string();
    }

    /// The resident memory of a broker.
    pub(crate) fn set_memory(&mut self, of: &Running, row: &str) {
        let memory = of.memory();
        let (anonymous, shared) = (memory.anonymous >> 20, memory.shared >> 20);
        self.set(of, row, format_args!("{anonymous} + {shared} MiB"));
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(
            f,
            "| | {} |\n|---|{}",
            self.columns.join(" | "),
            "---|".repeat(self.columns.len())
        )?;
        self.rows
            .iter()
            .try_for_each(|(name, values)| writeln!(f, "| {name} | {} |", values.join(" | ")))
    }
}
