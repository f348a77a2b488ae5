//! Errors of frames, on which the connection is closed, and of header fields, which are answered.

use crate::json::JsonError;

/// A frame that can't be read. RocketMQ closes the connection, without an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than the fixed part.
    #[error("frame: {found} bytes are too few for {what}, {expected} needed")]
    TooShort {
        /// The part that is cut off.
        what: &'static str,
        /// Bytes it needs.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// The header length does not fit the frame.
    #[error("frame: header of {declared} bytes declared, {available} bytes there")]
    HeaderLength {
        /// Length in the frame.
        declared: usize,
        /// Bytes after the length.
        available: usize,
    },
    /// Neither JSON nor binary.
    #[error("frame: serialize type {found}, expected 0 (JSON) or 1 (ROCKETMQ)")]
    SerializeType {
        /// The type byte.
        found: u8,
    },
    /// A header that is not text.
    #[error("frame: invalid UTF-8 in {what}, header byte {offset}")]
    Utf8 {
        /// Which part.
        what: &'static str,
        /// Offset in the header.
        offset: usize,
    },
    /// A JSON header that is not JSON.
    #[error("frame header: {0}")]
    Json(#[from] JsonError),
    /// A field of the header has the wrong type or range.
    #[error("frame header: {field} is {found:?}, expected {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The values that are accepted.
        expected: &'static str,
        /// The value found, cut to a readable length.
        found: String,
    },
    /// A length inside a binary header does not fit it.
    #[error(
        "frame header: the length of {what} at byte {offset} does not fit the {available} bytes \
            left"
    )]
    Length {
        /// The field.
        what: &'static str,
        /// Offset in the header.
        offset: usize,
        /// Bytes left there.
        available: usize,
    },
}

/// A request header whose fields don't fit the request. The request is answered with an error that
/// says this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A mandatory field is absent.
    #[error("the custom field <{field}> is null")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// Not a number of the field's range.
    #[error("the custom field <{field}> is {found:?}, expected {expected}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// The values that are accepted.
        expected: &'static str,
        /// The value found, cut to a readable length.
        found: String,
    },
}

impl HeaderError {
    /// The field the error is about.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing { field } | Self::Invalid { field, .. } => field,
        }
    }
}

/// A hostile value in a log line: at most 64 characters.
pub(crate) fn excerpt(found: &str) -> String {
    found.chars().take(64).collect()
}
