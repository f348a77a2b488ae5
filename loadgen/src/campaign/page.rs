//! What a campaign shows as text: its README, the table of the first screen.

use super::replication;
use super::targets::MEASUREMENTS;
use super::verdict::{Judged, blocks, pairs};
use crate::compare::put_together;
use crate::error::{Error, Result};
use crate::report::text::{count, time_us};
use crate::row::Row;
use std::fmt::Write as _;
use std::path::Path;

/// The table of the first screen stands between these two lines.
pub const MARK_BEGIN: &str =
    "<!-- figures: written by loadgen campaign --readme, checked by a test -->";
/// Its end.
pub const MARK_END: &str = "<!-- end of figures -->";
/// What a cell without a run says.
const NOT_MEASURED: &str = "not measured";
/// The loads of the first screen.
const LOADS: [(&str, &str, &str); 4] = [
    ("1 sender", "async-1x1", ""),
    ("64 senders", "async-64x1", "echo-64x1"),
    ("16 × 8 in flight", "async-16x8", "echo-16x8"),
    ("open loop, half of Apache's most", "async-half", ""),
];

/// The verdicts as lines of a table.
#[must_use]
pub(crate) fn table(judged: &[Judged]) -> String {
    let mut text = String::from("| target | is | verdict | B / A, 95 % | blocks | |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for one in judged {
        let ratio = one.interval.map_or_else(String::new, |[ratio, low, high]| {
            format!("{} ({} – {})", short(ratio), short(low), short(high))
        });
        let aim = format!("{} {}", one.figure, one.target);
        let Judged { what, verdict, note, pairs, .. } = one;
        let (name, pairs) = (verdict.name(), pairs.len());
        let _infallible =
            writeln!(text, "| {what} | {} | **{name}** | {ratio} | {pairs} | {note} |", aim.trim());
    }
    text
}

/// Three digits.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.01 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

/// The campaign's README: expectations first; verdicts when there are some.
pub(crate) fn readme(folder: &Path, judged: &[Judged]) -> Result<String> {
    let name = folder.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let mut text = format!(
        "# Campaign {name}\n\n## Question\n\nIs each target reached, beside Apache RocketMQ, \
         rocketmq-rust and a bare echo? A is the other side, B is RingMQ, both pinned to one core, \
         the generator to another; who is not measured stands still.\n\n\
         ## Expectations, written before the first block\n\n| measurement | B against \
         A |\n|---|---|\n"
    );
    for it in &MEASUREMENTS {
        let _infallible = writeln!(text, "| {} | {} |", it.id, it.expectation);
    }
    text.push_str("\n## Verdicts\n\n");
    if judged.is_empty() {
        text.push_str("The campaign has not ended.\n");
        return Ok(text);
    }
    text.push_str(&table(judged));
    let failed = failed_blocks(folder)?;
    let _infallible = write!(
        text,
        "\nPASS: the interval's lower end reaches the target; FAIL: its upper end does not; else \
         UNDECIDED. Blocks that the machine spoiled are kept as `.FAIL`, without charts and \
         `.hgrm`, and repeated: {failed}. \
         `verdicts.json` is computed from the blocks and from the rounds of benchmarks in \
         `benches` (`loadgen campaign FOLDER --judge`), `campaign.json` has the settings.\n"
    );
    Ok(text)
}

fn failed_blocks(folder: &Path) -> Result<usize> {
    let mut failed = 0;
    for it in &MEASUREMENTS {
        let each = blocks(folder, it.id)?;
        failed += each.iter().filter(|path| path.to_string_lossy().ends_with(".FAIL")).count();
    }
    Ok(failed)
}

/// The table of the first screen, from the newest campaign's blocks and from the published runs of
/// `replication-cost` in `runs`; without them cells say that nothing was measured.
///
/// # Errors
/// When a block can't be read.
pub fn first_screen(campaign: Option<&Path>, runs: &Path) -> Result<String> {
    let mut text = String::from(
        "| load | | rate/s | RT p50 | p99 | p99.9 | CPU a message | blocks |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for (load, id, echo) in LOADS {
        let found = campaign.map(|folder| pairs(folder, id)).transpose()?.unwrap_or_default();
        let (theirs, ours): (Vec<Row>, Vec<Row>) = found.into_iter().unzip();
        let mut echoes = Vec::new();
        if let Some(folder) = campaign.filter(|_| !echo.is_empty()) {
            echoes.extend(pairs(folder, echo)?.into_iter().map(|(row, _)| row));
        }
        let sides = [("RingMQ", ours), ("Apache RocketMQ 5.5.0", theirs), ("bare echo", echoes)];
        let measured = sides.iter().filter(|(_, rows)| !rows.is_empty());
        let lines: Vec<String> = measured
            .map(|(side, rows)| format!("| {load} | {side} | {} |\n", cells(rows).join(" | ")))
            .collect();
        text.push_str(&match lines.is_empty() {
            true => format!("| {load} | {NOT_MEASURED} | | | | | | |\n"),
            false => lines.concat(),
        });
    }
    let replicated = replication::lines(runs)?;
    text.push_str(match replicated.as_str() {
        "" => "| 64 senders, sync replication | not measured | | | | | | |\n",
        lines => lines,
    });
    match campaign.and_then(Path::file_name) {
        Some(name) => {
            let name = name.to_string_lossy();
            let _infallible = write!(
                text,
                "\n[Campaign {name}](bench-results/campaigns/{name}/README.md): its blocks, \
                 conditions and verdicts. Few blocks mean that the machine spoiled the others.\n"
            );
        }
        None => text.push_str("\nNo campaign has been run with the rules as they are now.\n"),
    }
    Ok(text)
}

/// Rate, three percentiles and CPU over all good blocks of a side, and how many those are.
pub(super) fn cells(rows: &[Row]) -> [String; 6] {
    let none = || NOT_MEASURED.to_owned();
    let Some(whole) = put_together(rows) else { return std::array::from_fn(|_| none()) };
    let times = whole.response.unwrap_or_default();
    let time = |value: Option<f64>| value.map_or_else(none, time_us);
    [
        count(whole.rate_per_s),
        time(times.p50_us),
        time(times.p99_us),
        time(times.p999_us),
        time(whole.broker_cpu_us_per_message),
        rows.len().to_string(),
    ]
}

/// Writes the table into a file, between its marks.
///
/// # Errors
/// When the file can't be read or written, or has no marks.
pub(crate) fn write_first_screen(path: &Path, campaign: &Path) -> Result<()> {
    // bench-results/campaigns/NAME is beside bench-results/runs.
    let results = campaign.ancestors().nth(2).unwrap_or(campaign);
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let parts = text
        .split_once(MARK_BEGIN)
        .and_then(|(before, rest)| rest.split_once(MARK_END).map(|(_, behind)| (before, behind)));
    let (before, behind) = parts.ok_or_else(|| {
        Error::Usage(format!("{} has no lines {MARK_BEGIN} and {MARK_END}", path.display()))
    })?;
    let table = first_screen(Some(campaign), &results.join("runs"))?;
    let text = format!("{before}{MARK_BEGIN}\n{table}{MARK_END}{behind}");
    std::fs::write(path, text).map_err(Error::file("write", path))
}
