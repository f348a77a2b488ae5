//! The answer to a request, before it is encoded.

use protocol::codes::response;
use protocol::remoting::{CommandHead, CommandView, HeaderError, write_command};

/// An answer: a response code and its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// A response code.
    pub code: i32,
    /// Text for people, on errors.
    pub remark: Option<String>,
    /// Header fields.
    pub ext: Vec<(&'static str, String)>,
    /// The body, often JSON.
    pub body: Vec<u8>,
    /// Whether the answer must be sent only after the key-value file has been written, because the
    /// request changed it.
    pub after_kv_write: bool,
}

impl Answer {
    /// Success without data.
    pub(crate) fn ok() -> Self {
        Self { code: response::SUCCESS, ..Self::default() }
    }

    /// Success with a body.
    pub(crate) fn body(body: Vec<u8>) -> Self {
        Self { body, ..Self::ok() }
    }

    /// A failure with its reason.
    pub(crate) fn error(code: i32, remark: impl Into<String>) -> Self {
        Self { code, remark: Some(remark.into()), ..Self::default() }
    }

    /// The same answer with a header field.
    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.ext.push((key, value.to_string()));
        self
    }

    /// Appends the frame that answers `request`, in the serialize type of the request.
    pub(crate) fn write(&self, request: &CommandView<'_>, out: &mut Vec<u8>) {
        let head = CommandHead {
            remark: self.remark.as_deref(),
            ..CommandHead::answer(request, self.code)
        };
        write_command(
            out,
            &head,
            |ext| self.ext.iter().for_each(|(key, value)| ext.str(key, value)),
            &self.body,
        );
    }
}

/// Why a request fails. The answer is code 1 and this text, as RocketMQ answers when a processor
/// throws.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A header field is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A field that must not be empty.
    #[error("the custom field <{0}> is empty")]
    Empty(&'static str),
    /// The body does not have the type that the request code demands.
    #[error("{what} of {bytes} bytes does not decode: {reason}")]
    Body {
        /// The type that it should have.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The decoder's error.
        reason: String,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::error(response::SYSTEM_ERROR, refusal.to_string())
    }
}

/// The result of a request's method: either way it becomes an [`Answer`].
pub(crate) type Answered = Result<Answer, Refusal>;
