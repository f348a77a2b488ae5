//! The environment as tables: a fact a line, what has many facts folded up.

use super::html::escape;
use crate::env::Environment;
use serde_json::Value;
use std::fmt::Write as _;

/// A table with more lines is folded up.
const LINES_SHOWN: usize = 12;

/// The section of the page.
pub(super) fn section(environment: &Environment) -> String {
    let facts = serde_json::to_value(environment).unwrap_or_default();
    format!("<h2>Environment</h2>\n{}\n", table_of(facts.as_object().into_iter().flatten()))
}

fn table_of<'a>(facts: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let mut table = String::from("<table>\n");
    for (name, value) in facts.filter(|(_, value)| says_something(value)) {
        let _infallible =
            writeln!(table, "<tr><td>{}</td><td>{}</td></tr>", escape(name), cell(value));
    }
    table + "</table>"
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(facts) => facts.values().any(says_something),
        _ => true,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Object(facts) if facts.len() > LINES_SHOWN => format!(
            "<details><summary>{} lines</summary>{}</details>",
            facts.len(),
            table_of(facts.iter())
        ),
        Value::Object(facts) => table_of(facts.iter()),
        Value::Array(each) if each.iter().any(Value::is_object) => {
            each.iter().map(cell).collect::<Vec<_>>().join("\n<hr>\n")
        }
        Value::Array(each) => each.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn many_settings_are_folded_and_nothing_is_markup() {
        let few = cell(&json!({"name": "<b>", "none": null, "cores": [0, 1]}));
        assert!(few.contains("&lt;b&gt;") && few.contains("<td>0 1</td>"), "{few}");
        assert!(!few.contains("none") && !few.contains("<details>"), "{few}");
        let many: serde_json::Map<String, Value> =
            (0..300).map(|at| (format!("key{at}"), json!("value"))).collect();
        let many = cell(&json!([{ "config": many }]));
        assert!(many.contains("<summary>300 lines</summary>"), "{many}");
    }
}
