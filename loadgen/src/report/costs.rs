//! What replication costs, as a table, sentences and a chart.

use super::canvas::{Canvas, Drawn, svg_of};
use super::charts::{COLOURS, GRID, percentile_spectrum, stages};
use super::text::{count, time_us};
use crate::cli::matrix::Slaves;
use crate::compare::metrics::{Compared, Metric};
use crate::matrix::costs::{Cell, Cost, Matrix};
use crate::result::RunResult;
use crate::row::Row;
use comfy_table::{Cell as TableCell, CellAlignment, ContentArrangement, Table, presets};
use plotters::prelude::*;
use protocol::checked::fit;

const HEADER: [&str; 9] =
    ["load", "", "beside", "figure", "from", "to", "ratio, 95 % (t)", "bootstrap", "difference"];
const MIB: f64 = 1_048_576.0;
/// Of a chart of intervals: title and axis, and each line.
const FRAME_HEIGHT: u32 = 90;
const LINE_HEIGHT: u32 = 26;

/// The table of all costs, the sentences, and what the stream costs.
#[must_use]
pub fn lines(result: &RunResult) -> Vec<String> {
    let Some(matrix) = &result.matrix else { return Vec::new() };
    let mut lines = vec![format!(
        "COSTS    {} blocks of {}; \"from\" and \"to\" are geometric means of the blocks",
        matrix.blocks, matrix.order
    )];
    lines.push(table(&matrix.costs));
    let sentences = matrix.costs.iter().filter(|cost| cost.from == Slaves::Async);
    lines.extend(sentences.map(|cost| format!("COST     {}", cost.sentence())));
    lines.extend(rtts(matrix, &result.rows).map(|line| format!("COST     {line}")));
    lines.extend(streams(matrix, &result.rows).map(|line| format!("STREAM   {line}")));
    lines
}

fn table(costs: &[Cost]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for cost in costs {
        for one in &cost.compared {
            let cells = cells(cost, one);
            table.add_row(cells.into_iter().enumerate().map(|(at, text)| {
                let side = if at < 4 { CellAlignment::Left } else { CellAlignment::Right };
                TableCell::new(text).set_alignment(side)
            }));
        }
    }
    table.to_string()
}

fn cells(cost: &Cost, one: &Compared) -> Vec<String> {
    let dash = || "–".to_owned();
    let mean = |of: fn(&(f64, f64)) -> f64| {
        let logs: f64 = one.pairs.iter().map(|pair| of(pair).ln()).sum();
        let mean = (logs / one.pairs.len() as f64).exp();
        if one.metric == Metric::Rate { count(mean) + "/s" } else { time_us(mean) }
    };
    let mut cells = vec![
        cost.key.title(),
        cost.key.slaves.title().to_owned(),
        cost.from.title().to_owned(),
        one.metric.name().to_owned(),
    ];
    if one.pairs.is_empty() {
        cells.push(format!("all {} pairs are INVALID", one.invalid_pairs));
        cells.resize(HEADER.len(), dash());
        return cells;
    }
    cells.extend([mean(|pair| pair.0), mean(|pair| pair.1)]);
    cells.extend(match one.estimate {
        Some(of) => [
            format!("{:.3} [{:.3}, {:.3}]", of.ratio, of.low, of.high),
            format!("[{:.3}, {:.3}]", of.bootstrap_low, of.bootstrap_high),
        ],
        None => [format!("{:.3}", one.ratio), dash()],
    });
    cells.push(cost.difference(one.metric).map_or_else(dash, |of| {
        format!("{:+.1} µs [{:.1}, {:.1}]", of.mean_us, of.low_us, of.high_us)
    }));
    cells
}

/// How many round trips of the no-op target a lone sender waits longer.
fn rtts<'a>(matrix: &'a Matrix, rows: &'a [Row]) -> impl Iterator<Item = String> + 'a {
    let lone = matrix
        .costs
        .iter()
        .filter(|cost| (cost.from, cost.senders, cost.in_flight) == (Slaves::Async, 1, 1));
    lone.filter_map(|cost| {
        let cell = matrix.cells.iter().find(|cell| cell.key == cost.key)?;
        let row = rows.iter().find(|row| row.name == cell.row)?;
        let echo_us = row.floor?.response.p50_us?;
        let of = cost.difference(Metric::P50)?;
        let [mean, low, high] = [of.mean_us, of.low_us, of.high_us].map(|us| us / echo_us);
        Some(format!(
            "{}: a lone sender's p50 grows by {mean:.2} round trips of a no-op target ({}) \
             [{low:.2}, {high:.2}]",
            cost.key.title(),
            time_us(echo_us)
        ))
    })
}

/// CPU time per MiB of the stream, on both sides: what a slave adds to its master, and what it uses
/// itself.
fn streams<'a>(matrix: &'a Matrix, rows: &'a [Row]) -> impl Iterator<Item = String> + 'a {
    let cpu = |cell: &Cell| rows.iter().find(|row| row.name == cell.row)?.broker_cpu_us_per_message;
    let with = matrix.cells.iter().filter(|cell| cell.key.slaves == Slaves::Async);
    with.filter_map(move |cell| {
        let is_without =
            |other: &&Cell| other.key.slaves == Slaves::None && other.key.is_beside(&cell.key);
        let without = matrix.cells.iter().find(is_without)?;
        let per_mib = MIB / cell.log_bytes_per_message?;
        let (master, bare) = (cpu(cell)?, cpu(without)?);
        let slave = cell.slave_cpu_us_per_message?;
        Some(format!(
            "{}: CPU per MiB of the log: master {} more than without a slave, slave {} \
             ({:.0} bytes a message)",
            cell.key.title(),
            time_us((master - bare).max(0.0) * per_mib),
            time_us(slave * per_mib),
            cell.log_bytes_per_message?
        ))
    })
}

/// The charts of a matrix: throughput kept, p50 added, percentiles of each group, stages.
#[must_use]
pub fn charts(result: &RunResult) -> Vec<String> {
    let Some(matrix) = &result.matrix else { return Vec::new() };
    let mut drawn =
        vec![intervals(matrix, (Metric::Rate, None), "Throughput lost, % (95 %, t)", |one, _| {
            let of = one.estimate?;
            Some([of.ratio, of.high, of.low].map(|ratio| 100.0 * (1.0 - ratio)))
        })];
    let mut loads: Vec<&str> = matrix.costs.iter().map(|cost| cost.key.load.as_str()).collect();
    loads.sort_unstable();
    loads.dedup();
    // Each load has a scale of its own: a queue's milliseconds would hide a lone sender's µs.
    drawn.extend(loads.into_iter().map(|load| {
        let title = format!("Added to p50, {load}, µs (95 %, t)");
        intervals(matrix, (Metric::P50, Some(load)), &title, |_, cost| {
            let of = cost.difference(Metric::P50)?;
            Some([of.mean_us, of.low_us, of.high_us])
        })
    }));
    drawn.push(stages(&result.rows, "flush and role as named"));
    let mut groups: Vec<&Cell> = Vec::new();
    for cell in &matrix.cells {
        if !groups.iter().any(|other| other.key.is_beside(&cell.key)) {
            groups.push(cell);
        }
    }
    for group in groups {
        let of_group = matrix.cells.iter().filter(|cell| cell.key.is_beside(&group.key));
        let names: Vec<&str> = of_group.map(|cell| cell.row.as_str()).collect();
        let rows: Vec<Row> =
            result.rows.iter().filter(|row| names.contains(&row.name.as_str())).cloned().collect();
        drawn.push(percentile_spectrum(&rows, &group.key.title()));
    }
    drawn.into_iter().flatten().collect()
}

/// One line for each cost: a dot, and a bar over its interval.
fn intervals(
    matrix: &Matrix,
    (metric, load): (Metric, Option<&str>),
    title: &str,
    of: impl Fn(&Compared, &Cost) -> Option<[f64; 3]>,
) -> Option<String> {
    let each: Vec<(&Cost, [f64; 3])> = matrix
        .costs
        .iter()
        .filter(|cost| load.is_none_or(|load| cost.key.load == load))
        .filter_map(|cost| Some((cost, of(cost.ratio(metric)?, cost)?)))
        .collect();
    if each.is_empty() {
        return None;
    }
    let title = format!("{title} · {} blocks of {}", matrix.blocks, matrix.order);
    let height = FRAME_HEIGHT + LINE_HEIGHT * fit::<u32, _>(each.len());
    svg_of(height, &title, |canvas| draw(canvas, &each))
}

fn draw(canvas: &Canvas<'_>, each: &[(&Cost, [f64; 3])]) -> Drawn {
    let ends = || each.iter().flat_map(|(_, of)| of.iter().copied());
    let (low, high) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    let room = (high - low).max(1e-9) * 0.08;
    let rows = each.len() as f64;
    let mut builder = ChartBuilder::on(&canvas.area);
    builder.margin(12).x_label_area_size(30).y_label_area_size(canvas.pick(330, 0));
    let mut chart = builder.build_cartesian_2d((low - room)..(high + room), 0.0..rows)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh().disable_y_axis().light_line_style(GRID.mix(0.4)).bold_line_style(GRID);
    mesh.x_labels(canvas.pick(10, 4)).y_labels(0).label_style(canvas.font()).draw()?;
    chart.draw_series([PathElement::new([(0.0, 0.0), (0.0, rows)], BLACK.mix(0.5))])?;
    for (at, (cost, [mean, one, other])) in each.iter().enumerate() {
        let height = rows - 0.5 - at as f64;
        let colour = match (cost.from, cost.key.slaves) {
            (Slaves::Async, _) => COLOURS[1],
            (_, Slaves::Async) => COLOURS[0],
            _ => COLOURS[3],
        };
        chart.draw_series([PathElement::new(
            [(*one, height), (*other, height)],
            colour.stroke_width(3),
        )])?;
        chart.draw_series([Circle::new((*mean, height), 4, colour.filled())])?;
        let middle = chart.backend_coord(&(0.0, height + canvas.pick(0.0, 0.4)));
        let text =
            format!("{}: {} / {}", cost.key.title(), cost.key.slaves.title(), cost.from.title());
        let font = Canvas::small_font();
        canvas.whole.draw(&Text::new(text, (8, middle.1 - canvas.pick(6, 0)), font))?;
    }
    Ok(())
}
