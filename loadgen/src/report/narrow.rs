//! The summary on a narrow terminal: a line for each figure, words wrapped. A table that is wider
//! than the terminal is broken in the middle of its lines, and nobody can read it.

use super::table::summary;
use super::text::{count, time_us};
use crate::result::RunResult;
use crate::row::Row;
use comfy_table::Table;

/// The table's own width; a terminal with fewer columns gets the other form.
const TABLE_COLUMNS: usize = 110;
/// Narrower than this nothing is wrapped: a terminal that says so is none.
const COLUMNS_MIN: usize = 20;

/// The summary as the terminal can show it; as a table where standard output is none.
#[must_use]
pub(crate) fn summary_for_terminal(result: &RunResult) -> String {
    match Table::new().width().map(usize::from) {
        Some(columns) if (COLUMNS_MIN..TABLE_COLUMNS).contains(&columns) => narrow(result, columns),
        _ => summary(result),
    }
}

/// The summary in lines of at most `columns`.
#[must_use]
pub(crate) fn narrow(result: &RunResult, columns: usize) -> String {
    let mut lines = Vec::new();
    for row in &result.rows {
        lines.extend(row_lines(row));
        lines.push(String::new());
    }
    let whole = summary(result);
    // What is no table: verdicts, notes, integrity.
    let is_table = |line: &str| line.contains(['─', '═', '╌', '┆']) || line.starts_with([' ', '│']);
    let mut cells = whole.lines().skip_while(|line| !line.starts_with("RT = "));
    lines.extend(cells.by_ref().filter(|line| !is_table(line)).map(str::to_owned));
    let wrapped: Vec<String> = lines.iter().flat_map(|line| wrap(line, columns)).collect();
    wrapped.join("\n")
}

fn row_lines(row: &Row) -> Vec<String> {
    let mut lines = vec![row.label.clone()];
    let mut add = |name: &str, value: String| lines.push(format!("  {name:<12}{value}"));
    add("rate", format!("{}/s", count(row.rate_per_s)));
    let times = row.response.unwrap_or_default();
    let named = [("RT p50", times.p50_us), ("RT p99", times.p99_us), ("RT p99.9", times.p999_us)];
    for (name, value) in named {
        add(name, value.map_or_else(|| "–".into(), time_us));
    }
    add("RT max", time_us(times.max_us));
    add("errors", (row.failed + row.unanswered).to_string());
    if let Some(cpu) = row.broker_cpu_us_per_message {
        add("CPU/msg", time_us(cpu));
    }
    if !row.invalid.is_empty() {
        lines.push("  INVALID, see below".into());
    }
    lines
}

/// Lines of at most `columns`, broken between words; a word that is longer is cut.
fn wrap(line: &str, columns: usize) -> Vec<String> {
    if line.chars().count() <= columns {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in line.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        while !rest.is_empty() {
            let last = lines.last().map_or(0, |line| line.chars().count());
            let gap = usize::from(last > 0);
            let room = columns.saturating_sub(last + gap);
            if rest.len() > room && last > 0 {
                lines.push(String::new());
                continue;
            }
            let taken: String = rest.drain(..rest.len().min(room.max(1))).collect();
            if let Some(line) = lines.last_mut() {
                line.push_str(if gap == 1 { " " } else { "" });
                line.push_str(&taken);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_word_is_lost() {
        let reason = "schedule lag of 12 ms is more than a tenth of the response time".to_owned();
        let row = Row {
            label: "open loop (constant), 10.0 k/s, 16 senders".into(),
            invalid: vec![reason],
            ..Row::default()
        };
        let result = RunResult { rows: vec![row], ..RunResult::default() };
        for columns in [20, 40, 79] {
            let text = narrow(&result, columns);
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            for word in ["RT", "INVALID", "lag", "tenth", "integrity"] {
                assert!(words.iter().any(|it| it.starts_with(word)), "{word}: {text}");
            }
        }
        assert_eq!(wrap("abcdefghijkl", 5), ["abcde", "fghij", "kl"]);
    }
}
