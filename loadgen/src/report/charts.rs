//! The report's charts as SVG text. The durability level is in every title: a latency without it
//! means nothing.

use super::canvas::{Canvas, Drawn, svg_of};
use super::hgrm::spectrum;
use super::text::{count, time_us};
use crate::row::{Kind, Row};
use crate::stages::{NAMES, StageRow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

/// Pixels.
const HEIGHT: u32 = 380;
const LABELS_WIDTH: u32 = 230;
/// Where a narrow chart has a bar's label, above it: from the bar's lower end to the next one's.
const LABEL_ABOVE: f64 = 0.98;
/// Told apart by colour-blind readers too (Okabe and Ito's set).
pub(super) const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
pub(super) const GRID: RGBColor = RGBColor(225, 225, 225);

/// One line of a chart.
struct Line {
    label: String,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    dashed: bool,
}

/// Response times (whole lines) and the open loop's service times (faint) over percentiles.
#[must_use]
pub fn percentile_spectrum(rows: &[Row], durability: &str) -> Option<String> {
    let mut lines = Vec::new();
    for (row, colour) in loads(rows) {
        let recorder = row.recorder.as_ref()?;
        let invalid = if row.invalid.is_empty() { "" } else { " INVALID" };
        lines.push(Line {
            label: format!("{}{invalid}", row.label),
            points: spectrum(&recorder.response),
            colour,
            dashed: false,
        });
        if let Some(times) = &recorder.end_to_end {
            lines.push(Line {
                label: format!("{} (end to end)", row.label),
                points: spectrum(times),
                colour: COLOURS[2],
                dashed: true,
            });
        }
        if row.kind == Kind::Open {
            lines.push(Line {
                label: format!("{} (service time)", row.label),
                points: spectrum(&recorder.service),
                colour,
                dashed: true,
            });
        }
    }
    let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    let x_max =
        lines.iter().flat_map(|line| &line.points).map(|point| point.0).fold(100.0, f64::max);
    let title = format!("Response time by percentile · {durability}");
    svg_of(HEIGHT, &title, |canvas| {
        draw_lines(
            canvas,
            ("percentile", "response time"),
            &lines,
            SeriesLabelPosition::LowerRight,
            (1.0..x_max * 1.1).log_scale(),
            &percentile,
        )
    })
}

/// The throughput–latency curve: percentiles of the valid open loops over their rates; `None` from
/// fewer than three.
#[must_use]
pub fn curve(rows: &[Row], durability: &str) -> Option<String> {
    let mut open: Vec<&Row> =
        rows.iter().filter(|row| row.kind == Kind::Open && row.response.is_some()).collect();
    open.sort_by(|one, two| one.rate_per_s.total_cmp(&two.rate_per_s));
    if open.len() < 3 {
        return None;
    }
    let names = [("p99.9", 1, 3), ("p99", 5, 2), ("p50", 0, 0)];
    let series = |(name, colour, at): (&str, usize, usize)| Line {
        label: name.to_owned(),
        points: open
            .iter()
            .filter_map(|row| Some((row.rate_per_s, row.response.as_ref()?.each()[at]?)))
            .collect(),
        colour: COLOURS[colour],
        dashed: false,
    };
    let lines: Vec<Line> = names.into_iter().map(series).collect();
    let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    let top = open.last().map_or(1.0, |row| row.rate_per_s) * 1.05;
    let invalid = open.iter().filter(|row| !row.invalid.is_empty()).count();
    let mark = match invalid {
        0 => String::new(),
        rows => format!(" · {rows} of {} points are INVALID", open.len()),
    };
    let title = format!("Response time by rate, open loop · {durability}{mark}");
    svg_of(HEIGHT, &title, |canvas| {
        draw_lines(
            canvas,
            ("messages a second", "response time"),
            &lines,
            SeriesLabelPosition::UpperLeft,
            0.0..top,
            &count,
        )
    })
}

/// p50, p99 and max of one row over time.
#[must_use]
pub fn over_time(row: &Row, durability: &str) -> Option<String> {
    let series = |label: &str, colour: usize, value: fn(&crate::row::Slice) -> Option<f64>| Line {
        label: label.into(),
        points: row
            .over_time
            .iter()
            .filter_map(|slice| Some((slice.end_s, value(slice)?)))
            .collect(),
        colour: COLOURS[colour],
        dashed: false,
    };
    let lines = [
        series("max", 1, |slice| Some(slice.max_us)),
        series("p99", 5, |slice| slice.p99_us),
        series("p50", 0, |slice| slice.p50_us),
    ];
    // A slice of few messages has no p99.
    let lines: Vec<Line> = lines.into_iter().filter(|line| !line.points.is_empty()).collect();
    if lines.is_empty() {
        return None;
    }
    let title = format!("Response time over time · {} · {durability}", row.label);
    svg_of(HEIGHT, &title, |canvas| {
        draw_lines(
            canvas,
            ("seconds", "response time"),
            &lines,
            SeriesLabelPosition::UpperLeft,
            0.0..row.seconds,
            &|x| format!("{x:.1}"),
        )
    })
}

/// The backlog of the consumers beside a row's senders, over time.
#[must_use]
pub fn backlog(row: &Row, durability: &str) -> Option<String> {
    let consuming = row.consuming.as_ref()?;
    let points: Vec<(f64, f64)> =
        consuming.backlog.iter().map(|at| (at.at_s, crate::row::count_f64(at.messages))).collect();
    let top = points.iter().map(|point| point.1).fold(10.0, f64::max) * 1.15;
    if points.len() < 2 {
        return None;
    }
    let title = format!("Messages acknowledged and not read · {} · {durability}", row.label);
    svg_of(HEIGHT, &title, |canvas| {
        let mut builder = ChartBuilder::on(&canvas.area);
        builder.margin(12).x_label_area_size(38).y_label_area_size(74);
        let mut chart = builder.build_cartesian_2d(0.0..row.seconds, 0.0..top)?;
        let mut mesh = chart.configure_mesh();
        let (x_text, y_text) = (|x: &f64| format!("{x:.1}"), |y: &f64| count(*y));
        mesh.x_desc("seconds").y_desc("messages");
        mesh.x_label_formatter(&x_text).y_label_formatter(&y_text);
        mesh.light_line_style(GRID.mix(0.4)).bold_line_style(GRID);
        mesh.x_labels(canvas.pick(10, 5)).label_style(canvas.font()).draw()?;
        let points = points.iter().copied();
        chart.draw_series(LineSeries::new(points, COLOURS[2].stroke_width(2)))?;
        Ok(())
    })
}

/// Rates of all rows as bars, the floor's as an outline around them.
#[must_use]
pub fn rates(rows: &[Row], durability: &str) -> Option<String> {
    let top = rows
        .iter()
        .flat_map(|row| [row.rate_per_s, row.floor.map_or(0.0, |floor| floor.rate_per_s)])
        .fold(0.0, f64::max);
    if top <= 0.0 {
        return None;
    }
    let title = format!("Messages per second (outline: no-op floor) · {durability}");
    svg_of(HEIGHT, &title, |canvas| draw_rates(canvas, rows, top))
}

/// Mean time of each stage, one bar a row; the bar's length is the mean response time.
#[must_use]
pub fn stages(rows: &[Row], durability: &str) -> Option<String> {
    let told: Vec<(&Row, &StageRow)> =
        rows.iter().filter_map(|row| Some((row, row.stages.as_ref()?))).collect();
    let top = told.iter().map(|(_, stages)| stages.sum_of_means_us).fold(0.0, f64::max);
    if top <= 0.0 {
        return None;
    }
    let title = format!("Where the time of a send went: mean of each stage · {durability}");
    svg_of(HEIGHT, &title, |canvas| draw_stages(canvas, &told, top))
}

fn loads(rows: &[Row]) -> impl Iterator<Item = (&Row, RGBColor)> {
    rows.iter().filter(|row| row.recorder.is_some()).zip(COLOURS.into_iter().cycle())
}

/// `0 %`, `90 %`, `99.9 %` … from 1/(1−p).
fn percentile(times: f64) -> String {
    let percent = format!("{:.6}", 100.0 * (1.0 - 1.0 / times.max(1.0)));
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

fn draw_lines<X>(
    canvas: &Canvas<'_>,
    axes: (&str, &str),
    lines: &[Line],
    legend_at: SeriesLabelPosition,
    x: X,
    x_label: &dyn Fn(f64) -> String,
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let values = || lines.iter().flat_map(|line| &line.points).map(|point| point.1.max(0.1));
    let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
    let mut builder = ChartBuilder::on(&canvas.area);
    builder.margin(canvas.pick(12, 4)).x_label_area_size(38);
    builder.y_label_area_size(canvas.pick(74, 62));
    let mut chart = builder.build_cartesian_2d(x, (low * 0.8..high * 1.4).log_scale())?;
    let mut mesh = chart.configure_mesh();
    let (x_text, y_text) = (|x: &f64| x_label(*x), |y: &f64| time_us(*y));
    mesh.x_desc(axes.0).y_desc(axes.1).x_label_formatter(&x_text).y_label_formatter(&y_text);
    mesh.light_line_style(GRID.mix(0.4)).bold_line_style(GRID);
    mesh.x_labels(canvas.pick(10, 5)).max_light_lines(canvas.pick(4, 1));
    mesh.label_style(canvas.font()).draw()?;
    for line in lines {
        let style = ShapeStyle::from(line.colour.mix(if line.dashed { 0.65 } else { 1.0 }))
            .stroke_width(if line.dashed { 1 } else { 2 });
        let points = line.points.iter().map(|point| (point.0, point.1.max(0.1)));
        let drawn = chart.draw_series(LineSeries::new(points, style))?;
        drawn
            .label(&line.label)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    let mut legend = chart.configure_series_labels();
    legend
        .position(legend_at)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font(canvas.font())
        .draw()?;
    Ok(())
}

fn draw_rates(canvas: &Canvas<'_>, rows: &[Row], top: f64) -> Drawn {
    let mut builder = ChartBuilder::on(&canvas.area);
    builder.margin(12).x_label_area_size(30).y_label_area_size(canvas.pick(LABELS_WIDTH, 0));
    let rows_f = rows.len() as f64;
    let mut chart = builder.build_cartesian_2d(0.0..top * 1.18, 0.0..rows_f)?;
    let mut mesh = chart.configure_mesh();
    let x_text = |x: &f64| count(*x);
    mesh.disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&x_text)
        .light_line_style(GRID.mix(0.4))
        .bold_line_style(GRID);
    mesh.x_labels(canvas.pick(10, 4)).y_labels(0).label_style(canvas.font()).draw()?;
    for (index, row) in rows.iter().enumerate() {
        let bottom = rows_f - 1.0 - index as f64;
        let colour = COLOURS[if row.kind == Kind::Consume { 2 } else { 0 }]
            .mix(if row.invalid.is_empty() { 0.9 } else { 0.35 });
        chart.draw_series([Rectangle::new(
            [(0.0, bottom + 0.25), (row.rate_per_s, bottom + 0.75)],
            colour.filled(),
        )])?;
        if let Some(floor) = row.floor {
            chart.draw_series([Rectangle::new(
                [(0.0, bottom + 0.18), (floor.rate_per_s, bottom + 0.82)],
                BLACK.mix(0.5),
            )])?;
        }
        let end = row.floor.map_or(0.0, |floor| floor.rate_per_s).max(row.rate_per_s) + top * 0.008;
        let value =
            Text::new(format!("{}/s", count(row.rate_per_s)), (end, bottom + 0.58), canvas.font());
        chart.draw_series([value])?;
        let at = chart.backend_coord(&(0.0, bottom + canvas.pick(0.58, LABEL_ABOVE)));
        canvas.whole.draw(&Text::new(row.label.clone(), (14, at.1), canvas.font()))?;
    }
    Ok(())
}

fn draw_stages(canvas: &Canvas<'_>, told: &[(&Row, &StageRow)], top: f64) -> Drawn {
    let mut builder = ChartBuilder::on(&canvas.area);
    builder.margin(12).x_label_area_size(30).y_label_area_size(canvas.pick(LABELS_WIDTH, 0));
    let rows_f = told.len() as f64;
    // The legend stands to the right of the longest bar.
    let mut chart = builder.build_cartesian_2d(0.0..top * 1.5, 0.0..rows_f)?;
    let mut mesh = chart.configure_mesh();
    let x_text = |x: &f64| time_us(*x);
    mesh.disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&x_text)
        .light_line_style(GRID.mix(0.4))
        .bold_line_style(GRID);
    mesh.x_labels(canvas.pick(10, 4)).y_labels(0).label_style(canvas.font()).draw()?;
    for (at, (name, colour)) in NAMES.into_iter().zip(COLOURS).enumerate() {
        // What the stages before it took is where a stage begins.
        let bars = told.iter().enumerate().map(|(index, (_, row))| {
            let before: f64 = row.stages.iter().take(at).map(|stage| stage.mean_us).sum();
            let bottom = rows_f - 1.0 - index as f64;
            let end = before + row.stages.get(at).map_or(0.0, |stage| stage.mean_us);
            Rectangle::new([(before, bottom + 0.25), (end, bottom + 0.75)], colour.filled())
        });
        chart
            .draw_series(bars)?
            .label(name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], colour.filled()));
    }
    for (index, (row, stages)) in told.iter().enumerate() {
        let bottom = rows_f - 1.0 - index as f64;
        chart.draw_series([Text::new(
            time_us(stages.sum_of_means_us),
            (stages.sum_of_means_us + top * 0.008, bottom + 0.58),
            canvas.font(),
        )])?;
        let at = chart.backend_coord(&(0.0, bottom + canvas.pick(0.58, LABEL_ABOVE)));
        canvas.whole.draw(&Text::new(row.label.clone(), (14, at.1), canvas.font()))?;
    }
    let mut legend = chart.configure_series_labels();
    legend
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .label_font(canvas.font())
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_axis_counts_nines() {
        assert_eq!(percentile(1.0), "0 %");
        assert_eq!(percentile(10.0), "90 %");
        assert_eq!(percentile(1000.0), "99.9 %");
        assert_eq!(percentile(100_000.0), "99.999 %");
    }
}
