//! What a producer shows to take a timer message back (`RecallMessageHandle` of RocketMQ 5.5.0).
//!
//! ```text
//!   base64url of:  v1 topic brokerName timestamp uniqueKey
//!                    └─ one blank between ─┘  └─ milliseconds since 1970, the slot's + 1
//! ```

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_URL_SAFE, Engine as _};

/// As Java decodes: padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The handle of one timer message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecallHandle {
    /// Where the message goes when its time has come.
    pub topic: String,
    /// The broker that has it.
    pub broker: String,
    /// Milliseconds since 1970 as text; a handle from outside may hold anything.
    pub timestamp: String,
    /// The message's unique key.
    pub unique_key: String,
}

/// What came as a handle is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("recall handle is invalid")]
pub struct RecallHandleError;

impl RecallHandle {
    /// The text of a handle.
    #[must_use]
    pub fn write(topic: &str, broker: &str, timestamp_ms: i64, unique_key: &str) -> String {
        BASE64_URL_SAFE.encode(format!("v1 {topic} {broker} {timestamp_ms} {unique_key}"))
    }

    /// Reads a handle. More than five parts are read as Java does: the rest is ignored, and so are
    /// empty parts at the end.
    ///
    /// # Errors
    /// When it is no base64, or not of version 1, or has too few parts.
    pub fn parse(handle: &str) -> Result<Self, RecallHandleError> {
        let bytes = LENIENT.decode(handle).map_err(|_| RecallHandleError)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut parts = text.trim_end_matches(' ').split(' ');
        let mut part = || parts.next().map(str::to_owned).ok_or(RecallHandleError);
        if part()? != "v1" {
            return Err(RecallHandleError);
        }
        let (topic, broker, timestamp) = (part()?, part()?, part()?);
        Ok(Self { topic, broker, timestamp, unique_key: part()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_reads_as_it_was_written() {
        let text = RecallHandle::write("T", "broker-a", 1_700_000_000_001, "7F0001");
        assert_eq!(text, "djEgVCBicm9rZXItYSAxNzAwMDAwMDAwMDAxIDdGMDAwMQ==");
        let handle = RecallHandle::parse(&text).unwrap();
        assert_eq!((&*handle.topic, &*handle.broker), ("T", "broker-a"));
        assert_eq!((&*handle.timestamp, &*handle.unique_key), ("1700000000001", "7F0001"));
        assert_eq!(RecallHandle::parse(text.trim_end_matches('=')), Ok(handle));
    }

    #[test]
    fn what_is_no_handle_is_refused() {
        for text in ["", "v1 T b 1 k", "%%%", "djI=", "\u{fe}", "djEgVCBi"] {
            assert_eq!(RecallHandle::parse(text), Err(RecallHandleError), "{text:?}");
        }
        for raw in ["v1 T b 1 ", "v2 T b 1 k", "v1 T b 1", "v1", " v1 T b 1 k"] {
            let text = BASE64_URL_SAFE.encode(raw);
            assert_eq!(RecallHandle::parse(&text), Err(RecallHandleError), "{raw:?}");
        }
        let more = RecallHandle::parse(&BASE64_URL_SAFE.encode("v1 T b x k more")).unwrap();
        assert_eq!((&*more.timestamp, &*more.unique_key), ("x", "k"));
    }
}
