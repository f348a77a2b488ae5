//! A comparison as a table and sentences.

use super::metrics::{Compared, Metric};
use super::stats::Shown;
use crate::report::text::{count, time_us};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// The table of all figures, and under it what it does not show.
#[must_use]
pub(crate) fn table(compared: &[Compared]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["load", "figure", "A", "B", "B / A", "95 % (t)", "bootstrap", "shown"]);
    for one in compared {
        let cells = cells(one);
        table.add_row(cells.into_iter().enumerate().map(|(index, text)| {
            let left = index < 2 || index == 7;
            let alignment = if left { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    format!(
        "{table}\nA and B: geometric means of the pairs. \"No difference shown\" is not \"no \
         difference\": the percentage behind it would have been shown in 4 of 5 cases."
    )
}

fn cells(one: &Compared) -> Vec<String> {
    let side = |of: fn(&(f64, f64)) -> f64| {
        let logs: f64 = one.pairs.iter().map(|pair| of(pair).ln()).sum();
        let mean = (logs / one.pairs.len() as f64).exp();
        if one.metric == Metric::Rate { count(mean) } else { time_us(mean) }
    };
    let mut cells = vec![one.label.clone(), one.metric.name().to_owned()];
    if one.pairs.is_empty() {
        cells.resize(7, "–".to_owned());
        cells.push(format!("nothing: all {} pairs are INVALID", one.invalid_pairs));
        return cells;
    }
    cells.extend([side(|pair| pair.0), side(|pair| pair.1), format!("{:.3}", one.ratio)]);
    match one.estimate {
        Some(estimate) => cells.extend([
            format!("{:.3} – {:.3}", estimate.low, estimate.high),
            format!("{:.3} – {:.3}", estimate.bootstrap_low, estimate.bootstrap_high),
        ]),
        None => cells.extend(["–".to_owned(), "–".to_owned()]),
    }
    cells.push(shown(one));
    cells
}

/// What a figure shows, in words.
#[must_use]
pub(crate) fn shown(one: &Compared) -> String {
    let left_out = match one.invalid_pairs {
        0 => String::new(),
        pairs => format!(" ({pairs} INVALID pairs left out)"),
    };
    let Some(estimate) = one.estimate else {
        return format!("nothing: one pair has no interval{left_out}");
    };
    let percent = (estimate.ratio - 1.0) * 100.0;
    let better = if one.is_worse() { "worse" } else { "better" };
    match estimate.shown() {
        Shown::Nothing => {
            format!("no difference shown (± {:.1} %){left_out}", estimate.detectable * 100.0)
        }
        Shown::Less | Shown::More => format!("B {better}: {percent:+.1} %{left_out}"),
    }
}
