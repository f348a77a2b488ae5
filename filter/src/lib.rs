//! SQL92 message filters as Apache RocketMQ 5.5.0 has them (`rocketmq-filter`): a text becomes an
//! expression once, and the expression says of each message's properties whether the consumer wants
//! it.
//!
//! ```text
//!  text ──token──► tokens ──grammar──► operands ──► a tree ──evaluate──► verdict
//!                                      (checked)                ▲
//!                                                      value, java_numbers
//! ```
//!
//! What is not here: records and their bytes, tags, subscriptions, codes of answers. A message is
//! [`Properties`], and nothing else of it can be asked for.
//!
//! # How it differs from SQL
//!
//! Apache took the grammar from ActiveMQ and kept its ways; this crate keeps them too, because an
//! expression must mean the same on both brokers:
//!
//! - Property values are texts. Compared with a number they are read as that type of number:
//!   `a = 1` fails for `a` = `1.5`. A failed comparison makes the whole expression take no message,
//!   also below a `NOT` or beside an `OR`.
//! - `NOT` binds closer than a comparison: `NOT a = 1` is `(NOT a) = 1`.
//! - A property alone is never true: it is false where the message has it, else unknown.
//! - The expression ends where the grammar can't go on; the next token must be a token, and what
//!   lies behind it is ignored.
//! - `BETWEEN`, `>`, `>=`, `<` and `<=` need numbers; two texts are compared as doubles. `IN` takes
//!   texts only. `CONTAINS`, `STARTSWITH` and `ENDSWITH` take a literal; an empty one matches
//!   nothing, also behind `NOT`.
//! - A literal of zero with a point (`0.0`) is refused, as is `BETWEEN 3 AND 1`.
//!
//! `tests/it/apache_verdicts.rs` compares all of it with what Apache's own classes say.

#![forbid(unsafe_code)]

mod error;
mod evaluate;
mod grammar;
mod java_numbers;
pub mod limits;
mod operands;
mod properties;
mod token;
mod tree;
mod value;

pub use error::{SqlError, Why};
pub use properties::Properties;

use tree::Node;

/// A compiled expression. Never changes.
#[derive(Debug, PartialEq)]
pub struct Expression {
    root: Node,
}

/// What an expression says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The consumer wants it.
    True,
    /// It does not.
    False,
    /// A property that decides is missing: the message is not taken.
    Unknown,
    /// A value can't be compared as the expression asks: the message is not taken.
    Failed,
}

impl Expression {
    /// Reads an expression of at most [`limits::EXPRESSION_BYTES_MAX`] bytes and
    /// [`limits::DEPTH_MAX`] levels.
    pub fn compile(text: &str) -> Result<Self, SqlError> {
        Ok(Self { root: grammar::parse(text)? })
    }

    /// Whether a message with these properties is taken.
    #[must_use]
    pub fn takes(&self, properties: &impl Properties) -> bool {
        self.judge(properties) == Verdict::True
    }

    /// What the expression says of a message with these properties, and why not.
    #[must_use]
    pub fn judge(&self, properties: &impl Properties) -> Verdict {
        match evaluate::truth(&self.root, properties) {
            Ok(Some(true)) => Verdict::True,
            Ok(Some(false)) => Verdict::False,
            Ok(None) => Verdict::Unknown,
            Err(value::Failed) => Verdict::Failed,
        }
    }
}
