//! Programs that the suite needs: looked for first, and asked for in words when they are missing.

use std::process::{Command, Stdio};

use crate::process::Stop;

/// What the Java clients and Apache's servers need, and how to get it.
const JAVA: [(&str, &[&str], &str); 2] = [
    (
        "java",
        &["-version"],
        "a Java 11 or newer JDK (Debian/Ubuntu: apt install default-jdk-headless; Fedora: dnf \
            install java-latest-openjdk-devel)",
    ),
    (
        "mvn",
        &["--version"],
        "Apache Maven 3.6 or newer (Debian/Ubuntu: apt install maven; Fedora: dnf install maven)",
    ),
];

/// What is missing for the Java clients and Apache's servers: the program, and how to get it.
pub(crate) fn missing_for_java() -> Vec<(&'static str, &'static str)> {
    let lacks = |(program, version, _): &&(&str, &[&str], &str)| !runs(program, version);
    JAVA.iter().filter(lacks).map(|&(program, _, get)| (program, get)).collect()
}

/// An error that names everything missing, not just the first.
pub(crate) fn none(missing: &[(&str, &str)]) -> Result<(), Stop> {
    if missing.is_empty() {
        return Ok(());
    }
    let line = |(program, get): &(&str, &str)| {
        format!("  {program} is not installed or does not run: get {get}\n")
    };
    let lines: String = missing.iter().map(line).collect();
    Err(Stop::Cannot(format!(
        "the clients need what this machine lacks:\n{lines}Nothing was run. (With \
         --skip-missing, languages that lack something are left out; Java is not.)"
    )))
}

/// True when the program is there and answers.
pub(crate) fn runs(program: &str, version: &[&str]) -> bool {
    Command::new(program)
        .args(version)
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
        assert!(!runs("no-such-program-anywhere", &["-version"]));
    }

    #[test]
    fn the_message_lists_everything_missing() {
        let text = none(&[("java", "a JDK"), ("mvn", "Maven")]).unwrap_err().to_string();
        assert!(text.contains("a JDK") && text.contains("mvn") && text.contains("Nothing was run"));
        assert!(none(&[]).is_ok());
    }
}
