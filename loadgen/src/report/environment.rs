//! The environment as tables: a fact a line, what has many facts folded up.

use super::html::escape;
use crate::env::Environment;
use serde_json::{Map, Value};
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
            let shown = each.iter().enumerate().map(|(at, one)| match at {
                0 => cell(one),
                _ => cell(&beside(&each[0], one)),
            });
            shown.collect::<Vec<_>>().join("\n<hr>\n")
        }
        Value::Array(each) => each.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// The same, but of its lists with many lines only those that the first one has otherwise: six
/// brokers of one run differ in a few of 500 settings.
fn beside(first: &Value, one: &Value) -> Value {
    let (Value::Object(first), Value::Object(facts)) = (first, one) else { return one.clone() };
    let differing = facts.iter().map(|(name, value)| {
        let shown = match (first.get(name), value) {
            (Some(Value::Object(first)), Value::Object(many)) if many.len() > LINES_SHOWN => {
                difference(first, many)
            }
            _ => value.clone(),
        };
        (name.clone(), shown)
    });
    Value::Object(differing.collect())
}

fn difference(first: &Map<String, Value>, many: &Map<String, Value>) -> Value {
    let mut lines: Map<String, Value> = many
        .iter()
        .filter(|(name, value)| first.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let same = many.len() - lines.len();
    for name in first.keys().filter(|name| !many.contains_key(*name)) {
        lines.insert(name.clone(), "not there".into());
    }
    if lines.is_empty() {
        return format!("{same} lines, all as above").into();
    }
    lines.insert(format!("the other {same} lines"), "as above".into());
    Value::Object(lines)
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

    #[test]
    fn of_a_second_brokers_settings_only_those_are_shown_that_differ_from_the_firsts() {
        let config = |role: &str| {
            let mut many: Map<String, Value> =
                (0..300).map(|at| (format!("key{at}"), json!("value"))).collect();
            many.insert("brokerRole".into(), json!(role));
            json!({"name": role, "config": many})
        };
        let page = cell(&json!([config("master"), config("slave"), config("master")]));
        assert_eq!(page.matches("key7<").count(), 1, "{page}");
        assert_eq!(page.matches("brokerRole").count(), 2, "{page}");
        assert!(page.contains("the other 300 lines"), "{page}");
        assert!(page.contains("301 lines, all as above"), "{page}");
    }
}
