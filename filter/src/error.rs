//! Why an expression is refused, and where.

use crate::limits::{DEPTH_MAX, EXPRESSION_BYTES_MAX};

/// A refused expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {character}: {why}")]
pub struct SqlError {
    /// The character where it was noticed, from 1.
    pub character: usize,
    /// What is wrong there.
    pub why: Why,
}

/// What is wrong with an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// See [`EXPRESSION_BYTES_MAX`].
    #[error("the expression is longer than {EXPRESSION_BYTES_MAX} bytes")]
    TooLong,
    /// See [`DEPTH_MAX`].
    #[error("the expression has more than {DEPTH_MAX} levels")]
    TooDeep,
    /// No token begins here.
    #[error("no word, number, text in quotes or operator begins here")]
    NoToken,
    /// The grammar has nothing for what is here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// The whole or a part of a logic expression is neither a comparison nor a property.
    #[error("what stands here is neither true nor false")]
    NotBoolean,
    /// An operand of `>` and the like is a text, a truth value or a comparison.
    #[error("only a property or a number can be compared by order")]
    NotOrdered,
    /// `= NULL`.
    #[error("nothing equals NULL: use IS NULL")]
    ComparedWithNull,
    /// `TRUE = 1`.
    #[error("TRUE and FALSE can't be compared with a text or a number")]
    ComparedWithBoolean,
    /// `BETWEEN 3 AND 1`.
    #[error("BETWEEN needs the lower number first")]
    EmptyRange,
    /// `1 IN ('a')`.
    #[error("only a property can be IN a list")]
    NotAProperty,
    /// An integer beyond 63 bits.
    #[error("the number does not fit 64 bits")]
    IntegerTooLarge,
    /// A number with a point that a double does not have, or zero.
    #[error("the number is not a positive double")]
    NotADouble,
}
