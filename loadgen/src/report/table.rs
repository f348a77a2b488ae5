//! The table that is shown at the end of a run.

use super::text::{count, time_us};
use crate::protocols::Protocol;
use crate::result::RunResult;
use crate::row::{Kind, LatePercentile, Percentiles, Row};
use crate::stages::{NAMES, StageRow};
use crate::verdict::HIDES_STALLS;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

const HEADER: [&str; 11] = [
    "load",
    "rate/s",
    "RT p50",
    "p99",
    "p99.9",
    "max",
    "errors",
    "no answer",
    "CPU/msg",
    "floor/s",
    "floor p50",
];

/// The table and what belongs to it: verdicts, notes, integrity.
#[must_use]
pub fn summary(result: &RunResult) -> String {
    let lane = if result.rows.iter().any(|row| row.protocol == Protocol::Native) {
        " · native protocol"
    } else {
        ""
    };
    let mut lines = vec![
        format!("{} · {}{lane} · {}", result.target, result.durability, result.started),
        rows_table(&result.rows),
    ];
    lines.extend(result.answer.iter().map(|answer| format!("ANSWER   {answer}")));
    lines.extend(super::costs::lines(result));
    lines.extend(stages_table(&result.rows));
    lines.push(
        "RT = response time, from when the message was due; service time from when it was \
        sent. A closed loop's RT is service time. CPU/msg = the broker's."
            .into(),
    );
    lines.push(
        "Floor = the same load against a no-op target: the instrument and the loopback alone."
            .into(),
    );
    lines.push("– = fewer than 10 / (1 − q) values; ✗ = INVALID percentile, see below.".into());
    for row in &result.rows {
        lines.extend(row.invalid.iter().map(|reason| format!("INVALID  {}: {reason}", row.label)));
    }
    lines.extend(result.rows.iter().filter_map(core_line));
    lines.extend(result.rows.iter().filter_map(cpu_line));
    lines.extend(result.rows.iter().filter_map(backlog_line));
    for row in &result.rows {
        // The table itself says what a closed loop hides.
        lines.extend(
            row.notes
                .iter()
                .filter(|note| *note != HIDES_STALLS)
                .map(|note| format!("note     {}: {note}", row.label)),
        );
        lines.extend(error_lines(row));
    }
    lines.push(format!("seed {}: --seed repeats the schedule and the payloads", result.seed));
    lines.extend(result.notes.iter().map(|note| format!("note     {note}")));
    match &result.integrity {
        Some(integrity) if integrity.acknowledged == 0 => {
            lines.push("integrity: nothing was acknowledged, so nothing is shown".into())
        }
        Some(integrity) if integrity.holds() => {
            lines.push(format!("integrity OK: {}", integrity.sentence()))
        }
        Some(integrity) => lines.push(format!("INTEGRITY FAILED: {}", integrity.sentence())),
        None => {
            lines.push("integrity not checked: the messages were not read back (--consume)".into())
        }
    }
    lines.extend(result.invalid.iter().map(|reason| format!("RUN INVALID: {reason}")));
    lines.join("\n")
}

/// What CPU/msg is made of, where the broker tells its idle spin or the host counts instructions.
fn cpu_line(row: &Row) -> Option<String> {
    let whole = row.broker_cpu_us_per_message?;
    let mut parts = Vec::new();
    if let Some(spin) = row.spin_cpu_us_per_message {
        let work = time_us((whole - spin).max(0.0));
        parts.push(format!("{work} work and {} idle spin", time_us(spin)));
    }
    if let Some(instructions) = row.instructions_per_message {
        parts.push(format!("{} instructions", count(instructions)));
    }
    if parts.is_empty() {
        return None;
    }
    let spins = row.load.as_ref().is_some_and(|load| load.spins);
    let generator = row.generator_busy_share.iter().copied().fold(0.0, f64::max) * 100.0;
    let generator = match (row.kind, spins) {
        (Kind::Consume | Kind::Idle, _) => String::new(),
        (_, true) => format!("; the generator spins, it worked {generator:.0} % of the time"),
        (_, false) => format!("; the generator sleeps, it worked {generator:.0} % of the time"),
    };
    Some(format!(
        "cpu      {}: {} a message: {}{generator}",
        row.label,
        time_us(whole),
        parts.join(", ")
    ))
}

/// What the instrument could drive, known from its floor.
fn core_line(row: &Row) -> Option<String> {
    let floor = row.floor?;
    let driven = count(floor.core_rate_per_s?);
    Some(format!(
        "core     {}: one core of loadgen can drive about {driven}/s of this load (a target that \
         only answers took {}/s)",
        row.label,
        count(floor.rate_per_s)
    ))
}

/// How far the consumers beside a load were behind.
fn backlog_line(row: &Row) -> Option<String> {
    let consuming = row.consuming.as_ref()?;
    Some(format!(
        "backlog  {}: at most {} messages, {} at the window's end, read {} after the last answer",
        row.label,
        consuming.backlog_max,
        consuming.backlog_end,
        time_us(consuming.drained_s * 1e6)
    ))
}

/// What failed, by name, with the broker's explanation.
fn error_lines(row: &Row) -> Vec<String> {
    let line = |when: &str, what: &str, times: u64| {
        let remark = row.remarks.get(what).filter(|remark| !remark.is_empty());
        let remark = remark.map(|remark| format!(" ({remark})")).unwrap_or_default();
        format!("errors   {}{when}: {times} × {what}{remark}", row.label)
    };
    let measured = row.errors.iter().map(|(what, times)| line("", what, *times));
    let warmup = row.warmup_errors.iter().map(|(what, times)| line(", warm-up", what, *times));
    let strays =
        row.strays.iter().map(|(what, times)| format!("note     {}: {times} × {what}", row.label));
    measured.chain(warmup).chain(strays).collect()
}

/// The rows alone.
#[must_use]
pub fn rows_table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for row in rows {
        for cells in row_cells(row) {
            table.add_row(cells.into_iter().enumerate().map(|(index, text)| {
                let alignment = if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
                Cell::new(text).set_alignment(alignment)
            }));
        }
    }
    table.to_string()
}

/// Time spent in each stage of the sends, if the protocol tells it.
#[must_use]
pub fn stages_table(rows: &[Row]) -> Vec<String> {
    let told: Vec<(&Row, &StageRow)> =
        rows.iter().filter_map(|row| Some((row, row.stages.as_ref()?))).collect();
    if told.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["where the time went", ""].into_iter().chain(NAMES).chain(["sum"]));
    for (row, stages) in &told {
        table.add_row(stage_cells(row, stages).into_iter().enumerate().map(|(index, text)| {
            let alignment = if index < 2 { CellAlignment::Left } else { CellAlignment::Right };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    let mut lines = vec![
        table.to_string(),
        "Client queue = due until given to the kernel. The \
        means add up to the mean response time; percentiles do not add up."
            .into(),
    ];
    let faults = told.iter().filter(|(_, stages)| stages.faults > 0);
    lines.extend(faults.map(|(row, stages)| {
        format!(
            "note     {}: {} answers told stages that do \
        not fit their service time; they are not in this table",
            row.label, stages.faults
        )
    }));
    lines
}

fn stage_cells(row: &Row, stages: &StageRow) -> Vec<String> {
    let each = |value: fn(&crate::stages::Stage) -> Option<f64>| {
        stages.stages.iter().map(value).map(time_or_dash).collect::<Vec<_>>()
    };
    let three = each(|stage| Some(stage.mean_us))
        .into_iter()
        .zip(each(|stage| stage.times.p50_us))
        .zip(each(|stage| stage.times.p99_us));
    let mut cells = vec![row.label.clone(), "mean\np50\np99".to_owned()];
    cells.extend(three.map(|((mean, p50), p99)| format!("{mean}\n{p50}\n{p99}")));
    cells.push(time_us(stages.sum_of_means_us));
    cells
}

/// The line of a row, and a second one: the service times of an open loop, which a closed loop
/// would have shown; the generator's own wait of a closed one.
fn row_cells(row: &Row) -> Vec<Vec<String>> {
    let mut label = row.label.clone();
    if row.kind == Kind::Closed {
        label.push_str("\n  closed loop: hides stalls");
    }
    if !row.invalid.is_empty() {
        label.push_str("\n  INVALID, see below");
    }
    let mut cells = vec![label, count(row.rate_per_s)];
    cells.extend(times(row.response.as_ref(), &row.late_percentiles));
    cells.push(row.failed.to_string());
    cells.push(row.unanswered.to_string());
    cells.push(row.broker_cpu_us_per_message.map_or_else(dash, time_us));
    cells.push(row.floor.map_or_else(dash, |floor| count(floor.rate_per_s)));
    cells.push(row.floor.map_or_else(dash, |floor| time_or_dash(floor.response.p50_us)));
    let mut lines = vec![cells];
    let apart = match row.kind {
        Kind::Open => Some(("  service time", row.service.as_ref())),
        Kind::Closed => Some(("  generator's wait", row.generator_wait.as_ref())),
        Kind::Consume | Kind::Idle => None,
    };
    if let Some((label, percentiles)) = apart {
        let mut line = vec![label.into(), String::new()];
        line.extend(times(percentiles, &[]));
        line.resize(HEADER.len(), String::new());
        lines.push(line);
    }
    if let Some(consuming) = &row.consuming {
        let label = format!("  {} consumers, end to end", consuming.consumers);
        let mut line = vec![label, count(consuming.rate_per_s)];
        line.extend(times(consuming.end_to_end.as_ref(), &[]));
        line.resize(HEADER.len(), String::new());
        lines.push(line);
    }
    lines
}

/// p50, p99, p99.9 and max. An INVALID percentile has a cross behind it.
fn times(percentiles: Option<&Percentiles>, late: &[LatePercentile]) -> [String; 4] {
    let Some(times) = percentiles else { return [dash(), dash(), dash(), dash()] };
    let cell = |name: &str, value: Option<f64>| {
        let is_late = late.iter().any(|late| late.percentile == name);
        time_or_dash(value) + if is_late { " ✗" } else { "" }
    };
    [
        cell("p50", times.p50_us),
        cell("p99", times.p99_us),
        cell("p99.9", times.p999_us),
        time_us(times.max_us),
    ]
}

/// A percentile of too few values is not printed.
fn time_or_dash(us: Option<f64>) -> String {
    us.map_or_else(dash, time_us)
}

fn dash() -> String {
    "–".into()
}
