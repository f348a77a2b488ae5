//! `report.html`: one file without scripts, fonts or anything from the network.

use super::narrow::narrow;
use super::table::summary;
use super::{charts, costs, environment};
use crate::env::Environment;
use crate::result::RunResult;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1240px;margin:2em auto;\
padding:0 1em;color:#222}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}\
pre{background:#f6f6f6;padding:1em;overflow-x:auto;font-size:12.5px;line-height:1.35}\
.bad{background:#fdecea;border-left:4px solid #c62828;padding:.6em 1em}\
.good{background:#e8f5e9;border-left:4px solid #2e7d32;padding:.6em 1em}\
svg{max-width:100%;height:auto}table{border-collapse:collapse;font-size:13px}\
td{padding:.15em .8em .15em 0;vertical-align:top}td+td{overflow-wrap:anywhere}\
.narrow{display:none}@media(max-width:640px){.broad{display:none}.narrow{display:block}}\
summary{cursor:pointer}td:first-child{color:#666}";
/// Letters of the summary in a line on a screen of 400 pixels.
const NARROW_COLUMNS: usize = 44;

/// The whole page.
#[must_use]
pub fn page(result: &RunResult, environment: &Environment) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{0}</title>\
            <style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n<p>{1}<br>{2} · {3}</p>\n",
        escape(&result.name),
        escape(&result.question),
        escape(&result.target),
        escape(&result.durability),
    );
    verdict(&mut page, result);
    let _infallible = writeln!(
        page,
        "<pre class=\"broad\">{}</pre>\n<pre class=\"narrow\">{}</pre>",
        escape(&summary(result)),
        escape(&narrow(result, NARROW_COLUMNS))
    );
    let drawn = if result.matrix.is_some() { costs::charts(result) } else { charts_of(result) };
    for chart in drawn {
        page.push_str(&chart);
    }
    over_time_of_others(&mut page, result);
    page.push_str(&environment::section(environment));
    page.push_str("</body></html>\n");
    page
}

/// The charts of a run that is no matrix.
fn charts_of(result: &RunResult) -> Vec<String> {
    let headline = result.headline();
    let promise = result.promise();
    let drawn = [
        charts::rates(&result.rows, &promise),
        charts::stages(&result.rows, &promise),
        charts::curve(&result.rows, &promise),
        charts::percentile_spectrum(&result.rows, &promise),
        headline.and_then(|row| charts::over_time(row, &promise)),
    ];
    let backlogs = result.rows.iter().map(|row| charts::backlog(row, &promise));
    drawn.into_iter().chain(backlogs).flatten().collect()
}

/// The charts over time of the rows that are no headline, folded up.
fn over_time_of_others(page: &mut String, result: &RunResult) {
    let headline = result.headline().map(|row| row.name.as_str());
    let others = result.rows.iter().filter(|row| Some(row.name.as_str()) != headline);
    let charts: Vec<String> =
        others.filter_map(|row| charts::over_time(row, &result.promise())).collect();
    if !charts.is_empty() {
        let (count, charts) = (charts.len(), charts.concat());
        let _infallible = writeln!(
            page,
            "<details><summary>Response time over time of the other {count} rows</summary>\
             {charts}</details>"
        );
    }
}

fn verdict(page: &mut String, result: &RunResult) {
    for reason in &result.invalid {
        let _infallible =
            writeln!(page, "<p class=\"bad\"><b>RUN INVALID</b>: {}</p>", escape(reason));
    }
    for row in result.rows.iter().filter(|row| !row.invalid.is_empty()) {
        let _infallible = writeln!(
            page,
            "<p class=\"bad\"><b>INVALID</b> {}: {}</p>",
            escape(&row.label),
            escape(&row.invalid.join("; "))
        );
    }
    if let Some(integrity) = result
        .integrity
        .as_ref()
        .filter(|integrity| integrity.acknowledged > 0 && integrity.holds())
    {
        let _infallible = writeln!(
            page,
            "<p class=\"good\"><b>Integrity OK</b>: {}</p>",
            escape(&integrity.sentence())
        );
    }
}

/// Text, so that none of it is markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
