//! `report.html`: one file without scripts, fonts or anything from the network.

use super::table::summary;
use super::{charts, costs};
use crate::env::Environment;
use crate::result::RunResult;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;\
padding:0 1em;color:#222}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}\
pre{background:#f6f6f6;padding:1em;overflow-x:auto;font-size:12.5px;line-height:1.35}\
.bad{background:#fdecea;border-left:4px solid #c62828;padding:.6em 1em}\
.good{background:#e8f5e9;border-left:4px solid #2e7d32;padding:.6em 1em}\
svg{max-width:100%;height:auto}table{border-collapse:collapse;font-size:13px}\
td{padding:.15em .8em .15em 0;vertical-align:top}td+td{overflow-wrap:anywhere}\
.chart{overflow-x:auto}@media(max-width:640px){.chart svg{max-width:none}}\
td:first-child{color:#666}";

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
    let _infallible = writeln!(page, "<pre>{}</pre>", escape(&summary(result)));
    let drawn = if result.matrix.is_some() { costs::charts(result) } else { charts_of(result) };
    for chart in drawn {
        let _infallible = writeln!(page, "<div class=\"chart\">{chart}</div>");
    }
    environment_table(&mut page, environment);
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

fn environment_table(page: &mut String, environment: &Environment) {
    page.push_str("<h2>Environment</h2>\n<table>\n");
    if let Ok(serde_json::Value::Object(facts)) = serde_json::to_value(environment) {
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_null()) {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let _infallible =
                writeln!(page, "<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(&text));
        }
    }
    page.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
