//! The rows as CSV, for spreadsheets and scripts. A percentile from too few values is an empty
//! cell, never a number.

use crate::row::{Percentiles, Row};
use std::fmt::Write as _;

const ROWS_HEADER: &str = "name,kind,protocol,senders,in_flight,size_bytes,seconds,\
    planned_rate_per_s,rate_per_s,planned,sent,acknowledged,failed,unanswered,\
    response_p50_us,response_p90_us,response_p99_us,response_p999_us,response_p9999_us,\
    response_max_us,service_p50_us,service_p90_us,service_p99_us,service_p999_us,\
    service_p9999_us,service_max_us,floor_rate_per_s,floor_p50_us,floor_p99_us,\
    broker_cpu_us_per_message,deferred_cpu_us_per_message,\
    spin_cpu_us_per_message,instructions_per_message,device_read_bytes,\
    end_to_end_p50_us,end_to_end_p99_us,consumed_per_s,backlog_max,invalid";

/// One line for each row. Percentiles that are INVALID are in it; the last cell says why.
#[must_use]
pub fn rows(rows: &[Row]) -> String {
    let mut text = format!("{ROWS_HEADER}\n");
    for row in rows {
        let mut cells = vec![
            quoted(&row.name),
            format!("{:?}", row.kind).to_lowercase(),
            format!("{:?}", row.protocol).to_lowercase(),
            row.senders.to_string(),
            row.in_flight.to_string(),
            row.size_bytes.to_string(),
            row.seconds.to_string(),
            number(row.planned_rate_per_s),
            row.rate_per_s.to_string(),
        ];
        cells.extend(
            [row.planned, row.sent, row.acknowledged, row.failed, row.unanswered]
                .map(|count| count.to_string()),
        );
        cells.extend(times(row.response.as_ref()));
        cells.extend(times(row.service.as_ref()));
        cells.push(number(row.floor.map(|floor| floor.rate_per_s)));
        cells.push(number(row.floor.and_then(|floor| floor.response.p50_us)));
        cells.push(number(row.floor.and_then(|floor| floor.response.p99_us)));
        cells.push(number(row.broker_cpu_us_per_message));
        cells.push(number(row.deferred_cpu_us_per_message));
        cells.push(number(row.spin_cpu_us_per_message));
        cells.push(number(row.instructions_per_message));
        cells.push(row.device_read_bytes.map(|bytes| bytes.to_string()).unwrap_or_default());
        let consuming = row.consuming.as_ref();
        let end_to_end = consuming.and_then(|it| it.end_to_end.as_ref());
        cells.push(number(end_to_end.and_then(|times| times.p50_us)));
        cells.push(number(end_to_end.and_then(|times| times.p99_us)));
        cells.push(number(consuming.map(|it| it.rate_per_s)));
        cells.push(consuming.map(|it| it.backlog_max.to_string()).unwrap_or_default());
        cells.push(quoted(&row.invalid.join("; ")));
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// Response times over time, one line for each slice of each row.
#[must_use]
pub fn over_time(rows: &[Row]) -> String {
    let mut text = String::from("name,end_s,count,p50_us,p99_us,max_us\n");
    for row in rows {
        for slice in &row.over_time {
            let _infallible = writeln!(
                text,
                "{},{:.3},{},{},{},{}",
                quoted(&row.name),
                slice.end_s,
                slice.count,
                number(slice.p50_us),
                number(slice.p99_us),
                slice.max_us
            );
        }
    }
    text
}

fn times(percentiles: Option<&Percentiles>) -> [String; 6] {
    let Some(times) = percentiles else { return Default::default() };
    let [p50, p90, p99, p999, p9999] = times.each().map(number);
    [p50, p90, p99, p999, p9999, times.max_us.to_string()]
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A text cell, quoted where it has to be (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_as_many_cells_as_the_header_and_too_few_values_give_none() {
        let response = Percentiles { count: 30, p50_us: Some(5.0), ..Percentiles::default() };
        let row = Row { name: "r".into(), response: Some(response), ..Row::default() };
        let text = rows(&[row.clone(), Row { invalid: vec!["a".into()], ..row }]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|cells| cells.len() == lines[0].len()), "{text}");
        let cell =
            |name: &str| lines[1][lines[0].iter().position(|header| *header == name).unwrap()];
        assert_eq!((cell("response_p50_us"), cell("response_p99_us")), ("5", ""));
        assert_eq!(lines[2].last(), Some(&"a"));
    }

    #[test]
    fn text_with_commas_and_quotes_is_one_cell() {
        assert_eq!(quoted(r#"a, "b""#), r#""a, ""b""""#);
    }
}
