//! Rules about commits: a subject that fits on a line, and says something.

use std::process::Command;

use crate::{none, root};

const SUBJECT_CHARS_MAX: usize = 72;

/// The rule holds for commits behind this one; older ones stay as they are.
const RULE_FROM: &str = "2d98683983871ee6ebdee4909023643a07676383";

#[test]
fn commit_subjects_are_short_and_say_something() {
    let range = format!("{RULE_FROM}..HEAD");
    let log = Command::new("git")
        .current_dir(root())
        .args(["log", "--no-merges", "--format=%h %s", &range])
        .output();
    // A shallow clone, or a copy without its history, has nothing to look at.
    let Some(log) = log.ok().filter(|log| log.status.success()) else { return };
    let log = String::from_utf8(log.stdout).unwrap();
    none(&log.lines().filter_map(fault).collect::<Vec<_>>());
}

/// What is wrong with a line of `git log`: hash, then subject.
fn fault(line: &str) -> Option<String> {
    let (hash, subject) = line.split_once(' ')?;
    let chars = subject.chars().count();
    let first = subject.split([' ', ':']).next().unwrap_or_default();
    if chars > SUBJECT_CHARS_MAX {
        Some(format!("{hash}: {chars} characters, at most {SUBJECT_CHARS_MAX}: {subject}"))
    } else if ["wip", "fixup!", "squash!"].contains(&first.to_lowercase().as_str()) {
        Some(format!("{hash}: says nothing: {subject}"))
    } else {
        None
    }
}

#[test]
fn a_bad_subject_is_found() {
    assert_eq!(fault(&format!("1a2b3c4 {}", "é".repeat(72))), None);
    assert!(fault(&format!("1a2b3c4 {}", "x".repeat(73))).is_some());
    assert!(fault("1a2b3c4 wip").is_some());
    assert!(fault("1a2b3c4 WIP: more").is_some());
    assert_eq!(fault("1a2b3c4 engine: wipes what a crash left"), None);
}
