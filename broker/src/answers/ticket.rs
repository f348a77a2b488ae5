//! A ticket: what is kept of a request that is answered later.
//!
//! The desk gives one to each request that it admits, and counts it when it ends. A ticket is a few
//! numbers, so that what waits (a stored send, a long poll, a read from disk) holds no frame.

use netcore::ConnId;
use protocol::remoting::{CommandView, SerializeType};

/// In which protocol and serialization a request came, and so is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// RocketMQ's protocol, with a JSON header.
    Json,
    /// RocketMQ's protocol, with a binary header.
    Binary,
    /// RocketMQ's protocol, and no answer is wanted.
    Oneway,
    /// The native protocol.
    Native,
}

impl Wire {
    /// That of a request of RocketMQ's protocol.
    pub(crate) fn of(command: &CommandView<'_>) -> Self {
        match (command.is_oneway(), command.serialize) {
            (true, _) => Self::Oneway,
            (false, SerializeType::Json) => Self::Json,
            (false, SerializeType::RocketMq) => Self::Binary,
        }
    }
}

/// Who gets the answer to a request. See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// The connection. When it is gone the answer goes nowhere.
    pub(crate) conn: ConnId,
    /// The request's number: RocketMQ's `opaque` (an i32, bit by bit), or a native correlation.
    pub(crate) id: u32,
    /// How the answer is written.
    pub(crate) wire: Wire,
    /// The request's row in the desk's table.
    pub(crate) row: u8,
    /// When its turn of the loop began, in microseconds of the monotonic clock. It wraps after 71
    /// minutes; only differences are used.
    pub(crate) began_us: u32,
}

const _: () = assert!(size_of::<Ticket>() == 20, "a ticket stays a few numbers");

impl Ticket {
    /// Whether the peer wants no answer.
    pub(crate) fn is_oneway(&self) -> bool {
        self.wire == Wire::Oneway
    }
}

/// What became of a request that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It is answered.
    Answered,
    /// It is answered with a refusal that its handler wrote itself.
    Refused,
    /// It waits; whoever answers it tells the desk.
    Waits,
}
