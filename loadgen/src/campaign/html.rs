//! A campaign's page, one file without a network: each target as an interval, and the table.

use super::page::short;
use super::verdict::{Judged, Verdict};
use crate::report::html::escape;
use std::fmt::Write as _;
use std::path::Path;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;\
padding:0 1em;color:#222}table{border-collapse:collapse;font-size:13px}td,th{padding:.2em .7em \
.2em 0;text-align:left;vertical-align:top}svg{max-width:100%;height:auto}.PASS{color:#1b5e20}\
.FAIL{color:#b71c1c}.UNDECIDED{color:#8a6d00}.NOT{color:#777}.narrow{display:none}\
@media(max-width:640px){.broad,th{display:none}.narrow,table,tbody,tr,td{display:block}\
tr{margin-bottom:.9em}td{padding:0}td:first-child{font-weight:600}td:empty{display:none}\
td[title]:before{content:attr(title) ': ';color:#666}}";

/// The page.
pub(super) fn html(folder: &Path, judged: &[Judged]) -> String {
    let name = folder.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let (others, measured): (Vec<&Judged>, Vec<&Judged>) =
        judged.iter().partition(|one| one.verdict == Verdict::NotMeasured);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{name}</title><style>{STYLE}</style></head><body>\n<h1>Campaign {name}</h1>\n\
         <p>A: the other side, B: RingMQ; loopback. A line is a 95 % interval, its dot the \
         middle; <span class=\"PASS\">green</span> reaches its target, \
         <span class=\"FAIL\">red</span> does not, <span class=\"UNDECIDED\">yellow</span> \
         may.</p>\n<div class=\"broad\">{}</div>\n<div class=\"narrow\">{}</div>\n{}\n\
         <h2>Not measured</h2>\n{}\n</body></html>\n",
        chart(judged, &BROAD),
        chart(judged, &NARROW),
        table(&measured),
        table(&others),
        name = escape(&name),
    )
}

fn table(rows: &[&Judged]) -> String {
    let mut table = String::from(
        "<table><tr><th>target</th><th>is</th><th>verdict</th><th>B / A</th><th>95 %</th>\
         <th>blocks</th><th></th></tr>\n",
    );
    for one in rows {
        let class = one.verdict.name().split(' ').next().unwrap_or_default();
        let (ratio, interval) = one.interval.map_or_else(Default::default, |[ratio, low, high]| {
            (short(ratio), format!("{} – {}", short(low), short(high)))
        });
        let blocks = one.measurement.as_ref().filter(|_| !one.pairs.is_empty());
        let blocks = blocks
            .map_or_else(String::new, |id| format!("<a href=\"{id}\">{}</a>", one.pairs.len()));
        let aim = format!("{} {}", one.figure, one.target);
        let _infallible = writeln!(
            table,
            "<tr><td>{}</td><td{}>{}</td><td class=\"{class}\">{}</td><td{}>{ratio}</td>\
             <td{}>{interval}</td><td{}>{blocks}</td><td>{}</td></tr>",
            escape(&one.what),
            title_of("target", aim.trim()),
            escape(aim.trim()),
            one.verdict.name(),
            title_of("B / A", &ratio),
            title_of("95 %", &interval),
            title_of("blocks", &blocks),
            escape(&one.note)
        );
    }
    table + "</table>"
}

/// On a phone a cell says which column it is, where there is something in it.
fn title_of(column: &str, cell: &str) -> String {
    if cell.is_empty() { String::new() } else { format!(" title=\"{column}\"") }
}

/// Sizes of a chart, in pixels.
struct Sizes {
    width: f64,
    row: f64,
    /// Where the lines begin.
    left: f64,
    /// From a row's text down to its line.
    text_above: f64,
}

const BROAD: Sizes = Sizes { width: 960.0, row: 24.0, left: 340.0, text_above: -4.0 };
const NARROW: Sizes = Sizes { width: 360.0, row: 38.0, left: 14.0, text_above: 12.0 };

/// Each measured target as its interval over the target, on a logarithmic axis: right of the line
/// is better, whichever way the target points. What leaves the chart has an arrow.
fn chart(judged: &[Judged], sizes: &Sizes) -> String {
    let Sizes { width, row, left, .. } = *sizes;
    let lines: Vec<(&Judged, [f64; 3])> =
        judged.iter().filter_map(|one| Some((one, over_target(one)?))).collect();
    let height = row * lines.len() as f64 + 48.0;
    // From a tenth of the target to ten times as good.
    let x =
        |times: f64| left + (times.clamp(0.1, 10.0).log10() + 1.0) / 2.0 * (width - left - 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"13\">\
         <line x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{1}\" stroke=\"#222\"/>\
         <text x=\"{2}\" y=\"{3}\">1/10 of it</text>\
         <text x=\"{0}\" y=\"{3}\" text-anchor=\"middle\">the target</text>\
         <text x=\"{4}\" y=\"{3}\" text-anchor=\"end\">10 times as good</text>",
        x(1.0),
        height - 34.0,
        x(0.1),
        height - 12.0,
        x(10.0)
    );
    for (nth, (one, interval)) in lines.into_iter().enumerate() {
        let y = row * (nth as f64 + 0.7);
        line(&mut svg, one, y, sizes, interval, interval.map(x));
    }
    svg + "</svg>"
}

fn line(svg: &mut String, one: &Judged, y: f64, sizes: &Sizes, times: [f64; 3], at: [f64; 3]) {
    let colour = match one.verdict {
        Verdict::Pass => "#009e73",
        Verdict::Fail => "#d55e00",
        Verdict::Undecided => "#e69f00",
        Verdict::NotMeasured => "#999",
    };
    let ([_, low, high], [middle_x, low_x, high_x]) = (times, at);
    let _infallible = write!(
        svg,
        "<text x=\"0\" y=\"{}\">{}</text><line x1=\"{low_x}\" x2=\"{high_x}\" y1=\"{y}\" \
         y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"3\"/><circle cx=\"{middle_x}\" cy=\"{y}\" \
         r=\"5\" fill=\"{colour}\"/>",
        y - sizes.text_above,
        escape(&one.what),
    );
    let arrows = [(low < 0.1, low_x, -8.0), (high > 10.0, high_x, 8.0)];
    for (_, tail, length) in arrows.into_iter().filter(|(leaves, ..)| *leaves) {
        let (above, below, tip) = (y - 6.0, y + 6.0, tail + length);
        let _infallible = write!(
            svg,
            "<path d=\"M{tail} {above}L{tip} {y}L{tail} {below}Z\" fill=\"{colour}\"/>"
        );
    }
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
