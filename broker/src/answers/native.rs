//! Answers of the native lane, written straight into the connection's outgoing bytes.

use netcore::{ConnId, Net};
use protocol::native::{
    ErrorAnswer, ErrorCode, Header, Kind, NO_RECORD, NativeError, append_frame,
};

/// The longest reason that is sent.
const REASON_BYTES_MAX: usize = 1_024;

/// Who gets an answer; kept by requests that are answered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NativeCaller {
    /// The connection; when it is gone the answer goes nowhere.
    pub(crate) conn: ConnId,
    /// The request's number.
    pub(crate) correlation: u32,
}

impl NativeCaller {
    /// Answers with a header alone.
    pub(crate) fn answer(&self, net: &mut Net, kind: Kind, header: &impl Header) {
        if let Some(out) = net.out(self.conn)
            && let Err(error) = append_frame(out.bytes(), kind, self.correlation, header, 0)
        {
            self.refuse(net, &NativeRefusal::new(ErrorCode::TooLarge, error.to_string()));
        }
    }

    /// Answers that the request is not done, and why.
    pub(crate) fn refuse(&self, net: &mut Net, refusal: &NativeRefusal) {
        let cut = refusal.reason.floor_char_boundary(REASON_BYTES_MAX);
        let reason = refusal.reason.get(..cut).unwrap_or_default().to_owned();
        let header = ErrorAnswer { code: refusal.code.number(), record: refusal.record, reason };
        if let Some(out) = net.out(self.conn) {
            let written = append_frame(out.bytes(), Kind::Error, self.correlation, &header, 0);
            debug_assert_eq!(written, Ok(()), "a short reason fits a header");
        }
    }
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeRefusal {
    pub(crate) code: ErrorCode,
    /// The record to blame, or [`NO_RECORD`].
    pub(crate) record: u32,
    pub(crate) reason: String,
}

impl NativeRefusal {
    pub(crate) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, record: NO_RECORD, reason: reason.into() }
    }

    /// Blames record number `record` of the frame.
    pub(crate) fn of_record(record: usize, code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, record: u32::try_from(record).unwrap_or(NO_RECORD), reason: reason.into() }
    }
}

/// A header that can't be read.
impl From<NativeError> for NativeRefusal {
    fn from(error: NativeError) -> Self {
        Self::new(ErrorCode::Header, error.to_string())
    }
}
