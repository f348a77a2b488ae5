//! Java and Maven: looked for first, and asked for in words when they are missing.

use std::process::{Command, Stdio};

use crate::process::Stop;

/// What the suite needs beside Rust, and how to get it.
const NEEDED: [(&str, &str, &str); 2] = [
    (
        "java",
        "-version",
        "a Java 11 or newer JDK (Debian/Ubuntu: apt install default-jdk-headless; Fedora: dnf \
            install java-latest-openjdk-devel)",
    ),
    (
        "mvn",
        "--version",
        "Apache Maven 3.6 or newer (Debian/Ubuntu: apt install maven; Fedora: dnf install maven)",
    ),
];

/// An error that names everything missing, not just the first.
pub(crate) fn check() -> Result<(), Stop> {
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(program, version, _)| !runs(program, version))
        .map(|(program, _, get)| format!("  {program} is not installed or does not run: get {get}"))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Stop::Cannot(sentence(&missing))) }
}

fn sentence(missing: &[String]) -> String {
    format!(
        "the Java clients need what this machine lacks:\n{}\nNothing was run.",
        missing.join("\n")
    )
}

fn runs(program: &str, version: &str) -> bool {
    Command::new(program)
        .arg(version)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_does_not_run() {
        assert!(!runs("no-such-program-anywhere", "-version"));
    }

    #[test]
    fn the_message_lists_everything_missing() {
        let text = sentence(&["  java …".into(), "  mvn …".into()]);
        assert!(text.contains("java") && text.contains("mvn") && text.contains("Nothing was run"));
    }
}
