//! What a row of the table answers: a request code of RocketMQ's, or a kind of native frame.

use protocol::native::Kind;

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// `protocol::codes::request`.
    Remoting(i32),
    /// A native frame's kind.
    Native(Kind),
}
