//! The keys that a program understands. Files are checked against a table of them, and `-p` prints
//! it.

/// The values that a key accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`, in any case. (Java takes every other word for `false`; here that is an
    /// error.)
    Bool,
    /// A decimal number between two bounds, both accepted.
    Int {
        /// The smallest accepted.
        min: i64,
        /// The largest accepted.
        max: i64,
    },
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// The value in its one spelling, or nothing when it is not accepted.
    pub(super) fn normalise(self, value: &str) -> Option<String> {
        match self {
            Self::Text => Some(value.to_owned()),
            Self::Bool => ["true", "false"]
                .into_iter()
                .find(|word| word.eq_ignore_ascii_case(value))
                .map(str::to_owned),
            Self::Int { min, max } => {
                value.parse::<i64>().ok().filter(|n| (min..=max).contains(n)).map(|n| n.to_string())
            }
            Self::Choice(words) => words
                .iter()
                .find(|word| word.eq_ignore_ascii_case(value))
                .map(|word| (*word).to_owned()),
        }
    }

    /// What is accepted, for an error message.
    pub fn accepted(self) -> String {
        match self {
            Self::Text => "any text".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Int { min, max: i64::MAX } => format!("an integer of at least {min}"),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Choice(words) => words.join(", "),
        }
    }
}

/// A row of a program's table of keys.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As written in the file: RocketMQ's spelling where RocketMQ has it.
    pub name: &'static str,
    /// The values that it accepts.
    pub kind: Kind,
    /// The value when nothing is set; `kind` must accept it.
    pub default: &'static str,
    /// One line for people.
    pub doc: &'static str,
    /// Why the key has no effect; empty for keys that have one.
    pub no_effect: &'static str,
}

impl Key {
    /// A key that takes any text.
    pub const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind: Kind::Text, default, doc, no_effect: "" }
    }

    /// A switch.
    pub const fn bool(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, kind: Kind::Bool, default, doc, no_effect: "" }
    }

    /// A number from `min` to `max`.
    pub const fn int(
        name: &'static str,
        min: i64,
        max: i64,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Int { min, max }, default, doc, no_effect: "" }
    }

    /// One of a few words.
    pub const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Choice(words), default, doc, no_effect: "" }
    }

    /// The same key, accepted and printed but without effect: a file that sets it gets a note with
    /// this reason.
    pub const fn without_effect(self, reason: &'static str) -> Self {
        Self { no_effect: reason, ..self }
    }
}
