//! The answer to a native fetch: a header, and slices of the log.

use super::read::Read;
use crate::answers::native::NativeRefusal;
use engine::{ReadError, ReadSlices, ReadStatus};
use netcore::Net;
use protocol::native::{ErrorCode, FetchStatus, Fetched, Kind, append_frame};

/// How an outcome is told.
fn status_of(status: ReadStatus, offset: i64) -> FetchStatus {
    match status {
        ReadStatus::Found => FetchStatus::Found,
        ReadStatus::NoMatchedMessage | ReadStatus::Cold => FetchStatus::NoMatch,
        ReadStatus::MessageWasRemoving | ReadStatus::OffsetFoundNull => FetchStatus::Removed,
        ReadStatus::OffsetOverflowBadly => FetchStatus::BeyondEnd,
        ReadStatus::OffsetOverflowOne => FetchStatus::AtEnd,
        ReadStatus::OffsetTooSmall => FetchStatus::BelowMin,
        // The queue has had no message yet: its end is 0.
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue => match offset {
            0 => FetchStatus::AtEnd,
            1.. => FetchStatus::BeyondEnd,
            _ => FetchStatus::BelowMin,
        },
    }
}

/// Whether the fetch may wait for the next message.
pub(super) fn is_at_end(status: ReadStatus, offset: i64) -> bool {
    status_of(status, offset) == FetchStatus::AtEnd
}

/// Answers with what was found.
pub(super) fn write(net: &mut Net, read: &Read, status: ReadStatus, found: &mut ReadSlices) {
    let Some(out) = net.out(read.ticket.conn) else { return };
    let header = Fetched {
        status: status_of(status, read.offset) as u8,
        messages: u32::try_from(found.messages).expect("NATIVE_FETCH_MESSAGES_MAX is far below"),
        next_offset: found.next_begin_offset.0,
        min_offset: found.range.min_offset.0,
        max_offset: found.range.max_offset.0,
    };
    let written = append_frame(out.bytes(), Kind::Fetched, read.ticket.id, &header, found.bytes);
    debug_assert_eq!(written, Ok(()), "a header of fixed size fits");
    for slice in found.slices.drain(..) {
        out.slice(slice);
    }
}

/// Answers that the broker is busy.
pub(super) fn busy(net: &mut Net, read: &Read, why: &str) {
    let reason = format!("{why}: fetch again later");
    read.ticket.refuse_native(net, &NativeRefusal::new(ErrorCode::Busy, reason));
}

/// A read that the disk or the log's state made impossible.
pub(super) fn failed(error: &ReadError) -> NativeRefusal {
    NativeRefusal::new(ErrorCode::Read, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_without_messages_ends_at_0() {
        for status in [ReadStatus::NoMatchedLogicQueue, ReadStatus::NoMessageInQueue] {
            assert_eq!(
                [-1, 0, 1].map(|offset| status_of(status, offset)),
                [FetchStatus::BelowMin, FetchStatus::AtEnd, FetchStatus::BeyondEnd]
            );
        }
    }
}
