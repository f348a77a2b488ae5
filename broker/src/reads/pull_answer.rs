//! The answer to a pull: a header, and slices of the log.
//!
//! An answer of code 0, 19, 20 or 21 always has nextBeginOffset, minOffset, maxOffset and
//! suggestWhichBrokerId: Java's and Node's clients fail without.

use super::read::{Asked, Read};
use engine::{QueueOffset, QueueRange, ReadSlices, ReadStatus};
use netcore::Net;
use protocol::codes::response;
use protocol::headers::PullResponseHeader;

/// The code of an outcome, as RocketMQ has it.
fn code(status: ReadStatus, offset: i64) -> i32 {
    match status {
        ReadStatus::Found => response::SUCCESS,
        ReadStatus::NoMatchedMessage | ReadStatus::MessageWasRemoving | ReadStatus::Cold => {
            response::PULL_RETRY_IMMEDIATELY
        }
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue if offset == 0 => {
            response::PULL_NOT_FOUND
        }
        ReadStatus::NoMatchedLogicQueue | ReadStatus::NoMessageInQueue => {
            response::PULL_OFFSET_MOVED
        }
        ReadStatus::OffsetFoundNull | ReadStatus::OffsetOverflowOne => response::PULL_NOT_FOUND,
        ReadStatus::OffsetOverflowBadly | ReadStatus::OffsetTooSmall => response::PULL_OFFSET_MOVED,
    }
}

/// Whether the pull may wait for the next message.
pub(super) fn is_at_end(status: ReadStatus, offset: i64) -> bool {
    code(status, offset) == response::PULL_NOT_FOUND
}

/// Whether what was found had left memory. Apache compares offsets with 40 % of the machine's
/// memory; this is what that stands for.
fn is_far(found: &ReadSlices) -> bool {
    found.origins.cold.messages > 0
}

fn header(read: &Read, found: &ReadSlices) -> PullResponseHeader {
    let Asked::Pull { group_sys_flag, topic_sys_flag, brokers, .. } = read.asked else {
        unreachable!("a fetch is answered natively")
    };
    PullResponseHeader {
        suggest_which_broker_id: if is_far(found) { brokers.far } else { brokers.near },
        next_begin_offset: found.next_begin_offset.0,
        min_offset: found.range.min_offset.0,
        max_offset: found.range.max_offset.0,
        topic_sys_flag: Some(topic_sys_flag),
        group_sys_flag: Some(group_sys_flag),
        forbidden_type: None,
    }
}

/// Answers a pull that found nothing on a slave whose master is there: it is to ask the master, at
/// once.
pub(super) fn ask_the_master(net: &mut Net, read: &Read, found: &ReadSlices) {
    let header = header(read, found);
    let code = response::PULL_RETRY_IMMEDIATELY;
    read.ticket.answer(net, code, Some("ASK_THE_MASTER"), |ext| header.write(ext), &[]);
}

/// Answers with what was found.
pub(super) fn write(net: &mut Net, read: &Read, status: ReadStatus, found: &mut ReadSlices) {
    let head = read.ticket.head(code(status, read.offset), Some(status.name()));
    let header = header(read, found);
    let (bytes, slices) = (found.bytes, found.slices.drain(..));
    read.ticket.answer_slices(net, &head, |ext| header.write(ext), bytes, slices);
}

/// Answers that the group goes on at `offset`, where a tool has set it.
pub(super) fn reset(net: &mut Net, read: &Read, offset: i64, range: QueueRange) {
    let at = ReadSlices { next_begin_offset: QueueOffset(offset), range, ..ReadSlices::default() };
    let header = header(read, &at);
    let code = response::PULL_OFFSET_MOVED;
    read.ticket.answer(net, code, Some("OFFSET_RESET"), |ext| header.write(ext), &[]);
}

/// Answers that the pull should be repeated at once.
pub(super) fn retry(net: &mut Net, read: &Read, why: &str, at: &ReadSlices) {
    let header = header(read, at);
    let code = response::PULL_RETRY_IMMEDIATELY;
    read.ticket.answer(net, code, Some(why), |ext| header.write(ext), &[]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_rocketmqs_codes() {
        use ReadStatus::*;
        let at_zero = [NoMatchedLogicQueue, NoMessageInQueue, OffsetFoundNull, OffsetOverflowOne];
        assert!(at_zero.iter().all(|status| code(*status, 0) == response::PULL_NOT_FOUND));
        let moved = [NoMatchedLogicQueue, NoMessageInQueue, OffsetOverflowBadly, OffsetTooSmall];
        assert!(moved.iter().all(|status| code(*status, 7) == response::PULL_OFFSET_MOVED));
        assert_eq!(code(OffsetOverflowOne, 7), response::PULL_NOT_FOUND);
        let retried = [code(NoMatchedMessage, 7), code(MessageWasRemoving, 7)];
        assert_eq!(retried, [response::PULL_RETRY_IMMEDIATELY; 2]);
        assert_eq!(code(Found, 7), response::SUCCESS);
    }
}
