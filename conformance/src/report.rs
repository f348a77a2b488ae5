//! What is printed.

use std::time::Duration;

use crate::dialogue::Verdict;
use crate::suite::{LeftOut, SCENARIOS};

/// One finished run of a scenario.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The client's version.
    pub client: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took, its own servers' start included.
    pub took: Duration,
}

/// `--list`.
pub fn list() {
    for scenario in SCENARIOS {
        println!("{:<15} {}", scenario.name, scenario.shows);
    }
}

/// The scenarios that are not run, and why.
pub fn left_out(scenarios: &[LeftOut]) {
    for (name, why) in scenarios {
        println!("left out: {name} ({why})");
    }
}

/// One line as soon as a run is over; a failure's logs before it.
pub fn progress(outcome: &Outcome) {
    if let Some(why) = &outcome.verdict.failure {
        why.lines().skip(1).for_each(|line| println!("{line}"));
    }
    println!("{}", line(outcome));
}

fn line(outcome: &Outcome) -> String {
    let verdict = if outcome.verdict.failure.is_none() { "PASS" } else { "FAIL" };
    let text = match &outcome.verdict.failure {
        Some(why) => why.lines().next().unwrap_or(""),
        None => &outcome.verdict.notes.join("; "),
    };
    let seconds = outcome.took.as_secs_f64();
    format!("{verdict}  {:<15} {:<6} {seconds:>6.1} s  {text}", outcome.scenario, outcome.client)
}

/// Scenario × client, then the count. True when nothing failed.
pub fn table(outcomes: &[Outcome], clients: &[&str], total: Duration) -> bool {
    print!("\n{:<15}", "scenario");
    clients.iter().for_each(|client| print!("  {:<15}", format!("client {client}")));
    println!();
    let mut names: Vec<&str> = outcomes.iter().map(|o| o.scenario).collect();
    names.dedup();
    for name in names {
        let cells = clients.iter().map(|client| cell(outcomes, name, client));
        println!("{name:<15}{}", cells.collect::<String>().trim_end());
    }
    let failed = outcomes.iter().filter(|o| o.verdict.failure.is_some()).count();
    println!("\n{} s in all", total.as_secs());
    println!("{} passed, {failed} failed", outcomes.len() - failed);
    failed == 0
}

fn cell(outcomes: &[Outcome], scenario: &str, client: &str) -> String {
    let found = outcomes.iter().find(|o| o.scenario == scenario && o.client == client);
    let text = found.map_or_else(
        || "-".to_owned(),
        |o| {
            let verdict = if o.verdict.failure.is_none() { "PASS" } else { "FAIL" };
            format!("{verdict} {:>6.1} s", o.took.as_secs_f64())
        },
    );
    format!("  {text:<15}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(client: &'static str, failure: Option<&str>) -> Outcome {
        let verdict = Verdict { failure: failure.map(str::to_owned), notes: vec!["3 ms".into()] };
        Outcome { scenario: "send", client, verdict, took: Duration::from_millis(1_500) }
    }

    #[test]
    fn one_failure_fails_the_whole() {
        let good = outcome("4.9.8", None);
        let bad = outcome("5.5.0", Some("body of m1"));
        assert!(line(&good).starts_with("PASS") && line(&good).ends_with("3 ms"));
        assert!(line(&bad).starts_with("FAIL") && line(&bad).ends_with("body of m1"));
        let both = [good, bad];
        assert!(!table(&both, &["4.9.8", "5.5.0"], Duration::ZERO));
        assert!(table(&both[..1], &["4.9.8", "5.5.0"], Duration::ZERO));
        assert!(cell(&both, "send", "5.5.0").contains("FAIL    1.5 s"));
        assert!(cell(&both, "push", "5.5.0").contains('-'));
    }
}
