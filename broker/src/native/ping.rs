//! Ping, and frames that are no requests.

use crate::answers::native::NativeRefusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::native::{ErrorCode, FrameView, Kind};

/// Answers with Pong.
pub(crate) fn handle(
    _: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    ticket.answer_native(net, Kind::Pong, &());
    Ok(Done::Answered)
}

/// Refuses a frame that is an answer by its kind.
pub(crate) fn not_a_request(
    _: &mut Shard,
    _: &mut Net,
    _: Ticket,
    frame: &FrameView<'_>,
) -> Result<Done, NativeRefusal> {
    let reason = format!("{:?} is an answer, not a request", frame.kind);
    Err(NativeRefusal::new(ErrorCode::Kind, reason))
}
