//! Reads a frame in place: every part is borrowed from the receive buffer, and nothing is
//! allocated.

use std::borrow::Cow;

use super::error::DecodeError;
use super::ext::Ext;
use super::{binary, json};
use crate::bytes;
use crate::json::text::RawText;

/// Bit 0 of `flag`: an answer.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit 1 of `flag`: the sender wants no answer.
pub const FLAG_ONEWAY: i32 = 2;

/// How a header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SerializeType {
    /// JSON, type byte 0. Every client understands it.
    #[default]
    Json,
    /// RocketMQ's binary form, type byte 1.
    RocketMq,
}

impl SerializeType {
    /// The byte in the frame.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Json => 0,
            Self::RocketMq => 1,
        }
    }
}

/// One request or answer, borrowed from a frame.
#[derive(Debug, Clone, Copy)]
pub struct CommandView<'a> {
    /// How the header is written. The answer must be written the same way.
    pub serialize: SerializeType,
    /// Request code or response code.
    pub code: i32,
    /// The sender's language, see [`crate::codes::language`].
    pub language: u8,
    /// The sender's version, see [`crate::codes::version`].
    pub version: i32,
    /// The request's number, echoed by its answer.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONEWAY`].
    pub flag: i32,
    /// The custom fields.
    pub ext: Ext<'a>,
    /// What follows the header.
    pub body: &'a [u8],
    pub(super) remark: Option<RawText<'a>>,
}

impl<'a> CommandView<'a> {
    /// Reads a frame that comes without its 4-byte length.
    pub fn parse(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let Some([serialize, high, middle, low]) = bytes::array(frame, 0) else {
            return Err(DecodeError::TooShort {
                what: "the header length",
                expected: 4,
                found: frame.len(),
            });
        };
        let declared = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let rest = frame.get(4..).unwrap_or_default();
        let Some((header, body)) = rest.split_at_checked(declared) else {
            return Err(DecodeError::HeaderLength { declared, available: rest.len() });
        };
        match serialize {
            0 => json::parse(header, body),
            1 => binary::parse(header, body),
            found => Err(DecodeError::SerializeType { found }),
        }
    }

    /// Whether this answers a request.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether no answer may be sent.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// The remark: an error's text, or nothing.
    #[must_use]
    pub fn remark(&self) -> Option<Cow<'a, str>> {
        self.remark.map(|text| text.to_cow())
    }
}
