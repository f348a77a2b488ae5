//! Errors. Each names the operation, the peer, what was expected and found, and what is known of
//! the outcome.

use protocol::native::{ErrorCode, NO_RECORD};
use std::net::SocketAddr;
use std::sync::Arc;

/// The operation that an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Connecting and greeting.
    Connect,
    /// Storing records.
    Produce,
    /// Reading records.
    Fetch,
    /// Asking for a group's committed offset.
    QueryOffset,
    /// Committing a group's offset.
    CommitOffset,
    /// Asking for a topic's queues.
    Route,
    /// Keeping a connection open.
    Ping,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::QueryOffset => "query offset",
            Self::CommitOffset => "commit offset",
            Self::Route => "route",
            Self::Ping => "ping",
        })
    }
}

/// A broker's refusal. It did no part of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code's number; a later version may have more than [`ErrorCode`] knows.
    pub number: u16,
    /// Index of the faulty record in the frame, from 0.
    pub record: Option<u32>,
    /// The broker's explanation.
    pub reason: Arc<str>,
}

impl Refusal {
    pub(crate) fn new(number: u16, record: u32, reason: &str) -> Self {
        Self { number, record: (record != NO_RECORD).then_some(record), reason: reason.into() }
    }

    /// The code, when this version knows it.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        ErrorCode::from_number(self.number)
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.code() == Some(ErrorCode::Busy)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{code:?} ({}): {}", self.number, self.reason)?,
            None => write!(f, "code {}: {}", self.number, self.reason)?,
        }
        self.record.map_or(Ok(()), |record| write!(f, " (record {record} of the frame)"))
    }
}

/// Why an operation failed, or why its outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The broker refused the request and did no part of it.
    #[error("{operation} at {peer}: refused: {refusal}")]
    Refused {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// The broker's reason.
        refusal: Refusal,
    },
    /// A record was not stored because another one of its frame was refused. It can be sent again.
    #[error(
        "produce at {peer}: not stored, because another record of the same frame was refused: \
            {refusal}"
    )]
    Neighbour {
        /// The broker's address.
        peer: SocketAddr,
        /// The fault of the other record.
        refusal: Refusal,
    },
    /// No answer came in time. The broker may have done the request all the same.
    #[error(
        "{operation} at {peer}: no answer within {waited_ms} ms; whether it was done is unknown"
    )]
    TimedOut {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// How long the client waited, in milliseconds.
        waited_ms: u64,
    },
    /// The connection ended before the answer. The broker may have done the request all the same;
    /// the client never repeats it by itself.
    #[error(
        "{operation} at {peer}: the connection was lost before the answer ({why}); whether it \
            was done is unknown"
    )]
    Unknown {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// Why the connection ended.
        why: Arc<str>,
    },
    /// There is no connection; nothing was sent.
    #[error("{operation} at {peer}: not sent, there is no connection ({why})")]
    NotSent {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// Why there is no connection.
        why: Arc<str>,
    },
    /// Back-pressure: the limit of unanswered work is reached. Take completions, then try again.
    #[error(
        "{operation} at {peer}: {found} {what} are under way, at most {limit} are allowed. Fix: \
            take completions and try again"
    )]
    Full {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// The thing there is too much of: bytes, requests or completions.
        what: &'static str,
        /// How many there would be with this request.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The request exceeds a limit of the broker.
    #[error("{operation} at {peer}: {what} {found}, the broker takes at most {limit}")]
    TooLarge {
        /// The operation.
        operation: Operation,
        /// The broker's address.
        peer: SocketAddr,
        /// The thing that is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The message cannot be encoded as a record.
    #[error("message for topic {topic:?}: {what}")]
    Message {
        /// Its topic.
        topic: Box<str>,
        /// The fault and its fix.
        what: Box<str>,
    },
    /// The topic has no queue to use, or its route is not known.
    #[error("topic {topic:?}: {what}")]
    NoQueue {
        /// The topic.
        topic: Box<str>,
        /// The fault and its fix.
        what: Box<str>,
    },
    /// A record that was fetched is damaged.
    #[error("fetch of topic {topic:?} queue {queue_id}: {what}")]
    Damaged {
        /// The topic.
        topic: Box<str>,
        /// The queue.
        queue_id: i32,
        /// What is wrong with the record.
        what: Box<str>,
    },
    /// The client itself failed, for example its ring or an address.
    #[error("cannot {what}: {why}")]
    Local {
        /// The action that failed.
        what: Box<str>,
        /// Why.
        why: Arc<str>,
    },
}

impl ClientError {
    /// Whether the broker may have done the request in spite of the error.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unknown { .. })
    }

    /// Whether this is back-pressure, after which the caller takes completions and tries again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    pub(crate) fn message(topic: &str, what: impl Into<Box<str>>) -> Self {
        Self::Message { topic: topic.into(), what: what.into() }
    }

    pub(crate) fn no_queue(topic: &str, what: impl Into<Box<str>>) -> Self {
        Self::NoQueue { topic: topic.into(), what: what.into() }
    }

    pub(crate) fn local(what: impl Into<Box<str>>, why: &impl ToString) -> Self {
        Self::Local { what: what.into(), why: why.to_string().into() }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, ClientError>;
