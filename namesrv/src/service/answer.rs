//! What the name server says to a request, before it is bytes.

use protocol::codes::response;
use protocol::remoting::{CommandHead, CommandView, HeaderError, write_command};

/// An answer: a code, and what goes with it.
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
    /// True: to be sent once the key-value file has been written, for it tells of a change of it.
    pub after_kv_write: bool,
}

impl Answer {
    /// Success, with nothing to say.
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

/// Why a request can't be done as it is: code 1 and this text, as RocketMQ answers when a processor
/// throws.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// A header field is missing or not what it should be.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A field that must not be empty.
    #[error("the custom field <{0}> is empty")]
    Empty(&'static str),
    /// The body is not what the code promises.
    #[error("{what} of {bytes} bytes does not decode: {reason}")]
    Body {
        /// Of what type it should be.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// What the decoder said.
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
