//! The native lane's requests (docs/FORMATS.md), one file per family.
//!
//! ```text
//!   frame ──prefix──► hello | produce | fetch | offsets | route | ping
//!                        header read in place; records checked in place, copied once into the log's tail
//! ```
//!
//! Everything here works on the same tables and the same store as RocketMQ's requests: a message
//! produced natively is pulled by a Java client and the other way round.

mod acknowledge;

mod fetch;
mod hello;
mod offsets;
mod pending;
mod produce;
mod route;

pub(crate) use crate::answers::native::NativeCaller;
pub(crate) use acknowledge::{answer_acknowledged, answer_overdue};
pub(crate) use fetch::{Fetch, wake as wake_fetch};
pub(crate) use pending::NativeState;
pub(crate) use produce::{process_waiting, refuse_waiting};

use crate::answers::native::NativeRefusal;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use protocol::native::{ErrorCode, FrameView, Kind, MAGIC, NativeError};

// netcore may not know the protocol: it cuts frames by a magic of its own, which must be this one.
const _: () = assert!(
    u32::from_le_bytes(netcore::frame::NATIVE_MAGIC) == u32::from_le_bytes(MAGIC),
    "both crates mean the same frames"
);

/// Whether a kept request came over the native lane.
pub(crate) fn is_native(frame: &[u8]) -> bool {
    frame.starts_with(&MAGIC)
}

/// Answers one frame.
pub(crate) fn dispatch(shard: &mut Shard, net: &mut Net, conn: ConnId, bytes: &[u8]) {
    let frame = match FrameView::parse(bytes) {
        Ok(frame) => frame,
        Err(error) => return refuse_frame(shard, net, conn, bytes, &error),
    };
    let caller = NativeCaller { conn, correlation: frame.correlation };
    if net.user_data(conn) == 0 || frame.kind == Kind::Hello {
        return hello::handle(shard, net, caller, &frame);
    }
    let done = match frame.kind {
        Kind::Produce => {
            produce::handle(shard, net, caller, &frame, bytes);
            Ok(())
        }
        Kind::Fetch => fetch::handle(shard, net, caller, &frame),
        Kind::QueryOffset => offsets::query(shard, net, caller, &frame),
        Kind::CommitOffset => offsets::commit(shard, net, caller, &frame),
        Kind::Route => route::handle(shard, net, caller, &frame),
        Kind::Ping => {
            caller.answer(net, Kind::Pong, &());
            Ok(())
        }
        kind => Err(NativeRefusal::new(
            ErrorCode::Kind,
            format!("{kind:?} is an answer, not a request"),
        )),
    };
    if let Err(refusal) = done {
        caller.refuse(net, &refusal);
    }
}

/// A frame of a kind or version that is not known is answered; one whose parts contradict each
/// other ends the connection.
fn refuse_frame(shard: &mut Shard, net: &mut Net, conn: ConnId, bytes: &[u8], error: &NativeError) {
    let correlation = protocol::native::Prefix::parse(bytes).map_or(0, |prefix| prefix.correlation);
    let caller = NativeCaller { conn, correlation };
    shard.blame(net.peer(conn), error);
    match error {
        NativeError::Kind { .. } if net.user_data(conn) > 0 => {
            caller.refuse(net, &NativeRefusal::new(ErrorCode::Kind, error.to_string()))
        }
        _ => {
            caller.refuse(net, &NativeRefusal::new(ErrorCode::Request, error.to_string()));
            net.close(conn, "a native frame whose parts contradict each other");
        }
    }
}
