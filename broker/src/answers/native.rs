//! Answers in the native protocol, written straight into the connection's outgoing bytes.

use super::ticket::Ticket;
use netcore::Net;
use protocol::native::{
    ErrorAnswer, ErrorCode, Header, Kind, NO_RECORD, NativeError, append_frame,
};

/// The longest reason that is sent.
const REASON_BYTES_MAX: usize = 1_024;

impl Ticket {
    /// Answers natively, with a header alone.
    pub(crate) fn answer_native(&self, net: &mut Net, kind: Kind, header: &impl Header) {
        if let Some(out) = net.out(self.conn)
            && let Err(error) = append_frame(out.bytes(), kind, self.id, header, 0)
        {
            let refusal = NativeRefusal::new(ErrorCode::TooLarge, error.to_string());
            self.refuse_native(net, &refusal);
        }
    }

    /// Answers natively that the request is not done, and why.
    pub(crate) fn refuse_native(&self, net: &mut Net, refusal: &NativeRefusal) {
        let cut = refusal.reason.floor_char_boundary(REASON_BYTES_MAX);
        let reason = refusal.reason.get(..cut).unwrap_or_default().to_owned();
        let header = ErrorAnswer { code: refusal.code.number(), record: refusal.record, reason };
        if let Some(out) = net.out(self.conn) {
            let written = append_frame(out.bytes(), Kind::Error, self.id, &header, 0);
            debug_assert_eq!(written, Ok(()), "a short reason fits a header");
        }
    }
}

/// Why a native request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NativeRefusal {
    /// What a program acts on.
    pub(crate) code: ErrorCode,
    /// The record to blame, or [`NO_RECORD`].
    pub(crate) record: u32,
    /// What a person reads.
    pub(crate) reason: String,
}

impl NativeRefusal {
    /// Blames no record of the frame.
    pub(crate) fn new(code: ErrorCode, reason: impl Into<String>) -> Self {
        Self { code, record: NO_RECORD, reason: reason.into() }
    }

    /// Blames record number `record` of the frame.
    pub(crate) fn of_record(record: usize, code: ErrorCode, reason: impl Into<String>) -> Self {
        let record = u32::try_from(record).ok().filter(|record| *record != NO_RECORD);
        let record = record.expect("a frame of 16 MiB holds fewer records than a u32 counts");
        Self { code, record, reason: reason.into() }
    }
}

/// A header that can't be read.
impl From<NativeError> for NativeRefusal {
    fn from(error: NativeError) -> Self {
        Self::new(ErrorCode::Header, error.to_string())
    }
}
