//! What is printed.

use std::time::Duration;

use crate::dialogue::Verdict;
use crate::suite::{LeftOut, SCENARIOS};

/// One finished run of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// The client's version.
    pub(crate) client: &'static str,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// How long it took, its own servers' start included.
    pub(crate) took: Duration,
}

/// `--list`: the Java scenarios and the others, each with what it shows.
pub(crate) fn list(others: impl Iterator<Item = (&'static str, &'static str)>) {
    let ours = SCENARIOS.iter().map(|scenario| (scenario.name, scenario.shows));
    for (name, shows) in ours.chain(others) {
        println!("{name:<18} {shows}");
    }
}

/// The scenarios that are not run, and why.
pub(crate) fn left_out(scenarios: &[LeftOut]) {
    for (name, why) in scenarios {
        println!("left out: {name} ({why})");
    }
}

/// One line as soon as a run is over; a failure's logs before it.
pub(crate) fn progress(outcome: &Outcome) {
    if let Some(why) = &outcome.verdict.failure {
        why.lines().skip(1).for_each(|line| println!("{line}"));
    }
    println!("{}", line(outcome));
}

fn line(outcome: &Outcome) -> String {
    let verdict = outcome.verdict.word();
    let text = match &outcome.verdict.failure {
        Some(why) => why.lines().next().unwrap_or(""),
        None => &outcome.verdict.notes.join("; "),
    };
    let seconds = outcome.took.as_secs_f64();
    format!("{verdict}  {:<18} {:<6} {seconds:>6.1} s  {text}", outcome.scenario, outcome.client)
}

/// Scenario × client.
pub(crate) fn table(outcomes: &[Outcome], clients: &[&str]) {
    if outcomes.is_empty() {
        return;
    }
    print!("\n{:<18}", "scenario");
    clients.iter().for_each(|client| print!("  {:<15}", format!("client {client}")));
    println!();
    let mut names: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.scenario) {
            names.push(outcome.scenario);
        }
    }
    for name in names {
        let cells = clients.iter().map(|client| cell(outcomes, name, client));
        println!("{name:<18}{}", cells.collect::<String>().trim_end());
    }
}

/// The count. True when nothing failed.
pub(crate) fn count(outcomes: &[Outcome], total: Duration) -> bool {
    let failed = outcomes.iter().filter(|o| o.verdict.counts()).count();
    let excused = outcomes.iter().filter(|o| o.verdict.word() == "KNOWN").count();
    let passed = outcomes.len() - failed - excused;
    println!("\n{} s in all", total.as_secs());
    match excused {
        0 => println!("{passed} passed, {failed} failed"),
        _ => println!("{passed} passed, {failed} failed, {excused} known and not counted"),
    }
    failed == 0
}

fn cell(outcomes: &[Outcome], scenario: &str, client: &str) -> String {
    let found = outcomes.iter().find(|o| o.scenario == scenario && o.client == client);
    let text = found.map_or_else(
        || "-".to_owned(),
        |o| format!("{:<4} {:>6.1} s", o.verdict.word(), o.took.as_secs_f64()),
    );
    format!("  {text:<15}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(client: &'static str, failure: Option<&str>) -> Outcome {
        let (failure, notes) = (failure.map(str::to_owned), vec!["3 ms".into()]);
        let verdict = Verdict { failure, notes, excused: false };
        Outcome { scenario: "send", client, verdict, took: Duration::from_millis(1_500) }
    }

    #[test]
    fn one_failure_fails_the_whole() {
        let good = outcome("4.9.8", None);
        let bad = outcome("5.5.0", Some("body of m1"));
        assert!(line(&good).starts_with("PASS") && line(&good).ends_with("3 ms"));
        assert!(line(&bad).starts_with("FAIL") && line(&bad).ends_with("body of m1"));
        let both = [good, bad];
        assert!(!count(&both, Duration::ZERO));
        assert!(count(&both[..1], Duration::ZERO));
        assert!(cell(&both, "send", "5.5.0").contains("FAIL    1.5 s"));
        let mut known = both.clone();
        known[1].verdict.excused = true;
        assert!(count(&known, Duration::ZERO));
        assert!(line(&known[1]).starts_with("KNOWN") && line(&known[1]).ends_with("body of m1"));
        assert!(cell(&both, "push", "5.5.0").contains('-'));
    }
}
