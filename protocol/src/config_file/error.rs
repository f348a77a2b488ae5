//! Errors of a configuration. Each says where the fault is and what is accepted.

use super::properties::Place;

/// A configuration that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file is not a properties file.
    #[error("{file}{}: {reason}", at_line(*.line))]
    Syntax {
        /// The file as the caller named it.
        file: String,
        /// The line, if the parser knows it.
        line: Option<usize>,
        /// What the parser said.
        reason: String,
    },
    /// The file is larger than any configuration is.
    #[error("{file}: {found_bytes} bytes, a configuration file has at most {max_bytes}")]
    TooLarge {
        /// The file as the caller named it.
        file: String,
        /// Its length.
        found_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// A key has a value that it can't have.
    #[error("{}{key} is {found:?}; accepted: {accepted}", place.prefix(.file))]
    WrongValue {
        /// The file as the caller named it.
        file: String,
        /// The line or the option that set it.
        place: Place,
        /// The key.
        key: String,
        /// The value as read.
        found: String,
        /// The values that are accepted.
        accepted: String,
    },
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(":{line}"))
}

/// A peculiarity of a configuration that works. Its author should know it. Its `Display` is the log
/// line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// No program of ours knows this key.
    #[error("{}unknown key {key}, ignored{}", place.prefix(.file), hint(.nearest.as_deref()))]
    UnknownKey {
        /// The file as the caller named it.
        file: String,
        /// Where it was set.
        place: Place,
        /// The key.
        key: String,
        /// A known key that looks like it.
        nearest: Option<String>,
    },
    /// RocketMQ has this key; it has no meaning in RingMQ.
    #[error("{}{key} has no effect here: {reason}", place.prefix(.file))]
    NoEffect {
        /// The file as the caller named it.
        file: String,
        /// Where it was set.
        place: Place,
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The same key twice: as in Java, the last one counts.
    #[error("{file}:{line}: {key} replaces its value of line {replaced_line}")]
    SetTwice {
        /// The file as the caller named it.
        file: String,
        /// The line that counts.
        line: usize,
        /// The line that doesn't.
        replaced_line: usize,
        /// The key.
        key: String,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!(" (did you mean {key}?)"))
}
