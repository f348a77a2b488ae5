//! The small commands: `env`, `report`, `completions`, `man`.

use crate::cli::Cli;
use crate::cli::analysis::{CompletionsArgs, EnvArgs, ManArgs, ReportArgs};
use crate::env::Environment;
use crate::error::{Error, Result};
use crate::report::folder::pretty;
use crate::report::html::page;
use crate::stored::Stored;
use clap::CommandFactory;
use serde_json::Value;
use std::io::Write;

fn print(text: &[u8]) {
    let _nobody_reads = std::io::stdout().write_all(text);
}

/// Shows the environment.
///
/// # Errors
/// When it has no JSON form; it has one.
pub(crate) fn env(args: &EnvArgs) -> Result<()> {
    let json = pretty(&Environment::collect(&args.dir))?;
    if args.json {
        print(&[&json[..], b"\n"].concat());
        return Ok(());
    }
    let facts = serde_json::from_slice(&json).unwrap_or(Value::Null);
    let mut lines = String::new();
    facts_as_lines("", &facts, &mut lines);
    print(lines.as_bytes());
    Ok(())
}

/// Each fact on a line of its own; what is not known says so.
fn facts_as_lines(name: &str, value: &Value, lines: &mut String) {
    let text = match value {
        Value::Object(facts) => {
            for (key, value) in facts {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                facts_as_lines(&name, value, lines);
            }
            return;
        }
        Value::Null => "unknown".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(words) if words.iter().all(Value::is_string) => {
            words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    };
    lines.push_str(&format!("{name:<32} {text}\n"));
}

/// Draws a stored run's report again.
///
/// # Errors
/// When the run can't be read or the file not be written.
pub(crate) fn report(args: &ReportArgs) -> Result<()> {
    let stored = Stored::open(&args.run)?;
    let to = args.to.clone().unwrap_or_else(|| args.run.join("report.html"));
    std::fs::write(&to, page(&stored.result, &stored.environment))
        .map_err(Error::file("write", &to))?;
    print(format!("{}\n", to.display()).as_bytes());
    Ok(())
}

/// Prints a completion script.
pub(crate) fn completions(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "loadgen", &mut script);
    print(&script);
}

/// Writes the manual pages.
///
/// # Errors
/// When a page can't be written.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let Some(folder) = &args.out else {
        let mut text = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut text);
        rendered.map_err(Error::file("render", "loadgen.1"))?;
        print(&text);
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    clap_mangen::generate_to(Cli::command(), folder).map_err(Error::file("write pages to", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_a_line_and_unknown_ones_say_so() {
        let mut lines = String::new();
        let facts = serde_json::json!({"a": {"b": null, "c": 3}, "d": ["x", "y"]});
        facts_as_lines("", &facts, &mut lines);
        let lines: Vec<Vec<&str>> =
            lines.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["a.b", "unknown"], vec!["a.c", "3"], vec!["d", "x", "y"]]);
    }
}
