//! What a campaign shows: its README, its page with charts, the table of the first screen.

use super::targets::MEASUREMENTS;
use super::verdict::{Judged, Verdict, blocks, pairs};
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
fn short(value: f64) -> String {
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
         `verdicts.json` is computed from the blocks (`loadgen campaign FOLDER --judge`), \
         `campaign.json` has the settings.\n"
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

/// The campaign's page, one file without a network.
pub(crate) fn html(folder: &Path, judged: &[Judged]) -> Result<String> {
    const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;\
        padding:0 1em;color:#222}table{border-collapse:collapse;font-size:13px}td,th{padding:.2em \
        .7em .2em 0;text-align:left;vertical-align:top}.wide{overflow-x:auto}svg{max-width:100%;\
        height:auto}@media(max-width:640px){svg{max-width:none}}.PASS{color:#1b5e20}.FAIL{color:\
        #b71c1c}.UNDECIDED{color:#8a6d00}.NOT{color:#777}";
    let name = folder.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>{0}</title><style>{STYLE}</style>\
         </head><body>\n<h1>Campaign {0}</h1>\n<p>A: the other side, B: RingMQ; loopback.</p>\n",
        escape(&name)
    );
    let _infallible = writeln!(page, "<div class=\"wide\">{}</div>", chart(judged));
    page.push_str("<div class=\"wide\"><table><tr><th>target</th><th>is</th><th>verdict</th>");
    page.push_str("<th>B / A</th><th>95 %</th><th>blocks</th><th></th></tr>\n");
    for one in judged {
        let class = one.verdict.name().split(' ').next().unwrap_or_default();
        let (ratio, interval) = one.interval.map_or_else(Default::default, |[ratio, low, high]| {
            (short(ratio), format!("{} – {}", short(low), short(high)))
        });
        let blocks = one
            .measurement
            .as_ref()
            .map_or_else(String::new, |id| format!("<a href=\"{id}\">{}</a>", one.pairs.len()));
        let _infallible = writeln!(
            page,
            "<tr><td>{}</td><td>{} {}</td><td class=\"{class}\">{}</td><td>{ratio}</td>\
             <td>{interval}</td><td>{blocks}</td><td>{}</td></tr>",
            escape(&one.what),
            escape(&one.figure),
            escape(&one.target),
            one.verdict.name(),
            escape(&one.note)
        );
    }
    page.push_str("</table></div>\n</body></html>\n");
    Ok(page)
}

/// Each measured target as its interval over the target, on a logarithmic axis: right of the line
/// is better, whichever way the target points.
fn chart(judged: &[Judged]) -> String {
    const ROW: f64 = 24.0;
    const LEFT: f64 = 340.0;
    const WIDTH: f64 = 960.0;
    let lines: Vec<(&Judged, [f64; 3])> =
        judged.iter().filter_map(|one| Some((one, over_target(one)?))).collect();
    let height = ROW * (lines.len() as f64 + 2.0);
    // From a tenth of the target to ten times as good.
    let x =
        |times: f64| LEFT + (times.clamp(0.1, 10.0).log10() + 1.0) / 2.0 * (WIDTH - LEFT - 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\
         <line x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{1}\" stroke=\"#222\"/>\
         <text x=\"{2}\" y=\"{3}\">1/10 of the target</text>\
         <text x=\"{0}\" y=\"{3}\" text-anchor=\"middle\">the target</text>\
         <text x=\"{4}\" y=\"{3}\" text-anchor=\"end\">10 times as good</text>",
        x(1.0),
        height - 1.4 * ROW,
        x(0.1),
        height - 0.5 * ROW,
        x(10.0)
    );
    for (nth, (one, [middle, low, high])) in lines.into_iter().enumerate() {
        let y = ROW * (nth as f64 + 0.7);
        let colour = match one.verdict {
            Verdict::Pass => "#009e73",
            Verdict::Fail => "#d55e00",
            Verdict::Undecided => "#e69f00",
            Verdict::NotMeasured => "#999",
        };
        let _infallible = write!(
            svg,
            "<text x=\"0\" y=\"{}\">{}</text><line x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" \
             stroke=\"{colour}\" stroke-width=\"3\"/><circle cx=\"{}\" cy=\"{y}\" r=\"5\" \
             fill=\"{colour}\"/>",
            y + 4.0,
            escape(&one.what),
            x(low),
            x(high),
            x(middle)
        );
    }
    svg.push_str("</svg>");
    svg
}

/// Middle and ends of the interval as times of the target, more being better.
fn over_target(one: &Judged) -> Option<[f64; 3]> {
    let [ratio, low, high] = one.interval?;
    let number = |text: &str| text.trim_end_matches('×').parse::<f64>().ok();
    let (is_least, text) = match one.target.split_once(' ')? {
        ("≥", text) => (true, text),
        (_, text) => (false, text),
    };
    let aim = match text.strip_prefix("1/") {
        Some(part) => 1.0 / number(part)?,
        None => number(text)?,
    };
    Some(if is_least {
        [ratio / aim, low / aim, high / aim]
    } else {
        [aim / ratio, aim / high, aim / low]
    })
}

/// The table of the first screen, from the newest campaign's blocks; without one every cell says
/// that nothing was measured.
///
/// # Errors
/// When a block can't be read.
pub fn first_screen(campaign: Option<&Path>) -> Result<String> {
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
    let replication = "sync replication instead of async, 64 senders";
    let _infallible = writeln!(text, "| {replication} | {NOT_MEASURED} | | | | | | |");
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
fn cells(rows: &[Row]) -> [String; 6] {
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
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let parts = text
        .split_once(MARK_BEGIN)
        .and_then(|(before, rest)| rest.split_once(MARK_END).map(|(_, behind)| (before, behind)));
    let (before, behind) = parts.ok_or_else(|| {
        Error::Usage(format!("{} has no lines {MARK_BEGIN} and {MARK_END}", path.display()))
    })?;
    let table = first_screen(Some(campaign))?;
    let text = format!("{before}{MARK_BEGIN}\n{table}{MARK_END}{behind}");
    std::fs::write(path, text).map_err(Error::file("write", path))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
