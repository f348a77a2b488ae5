//! What can go wrong: which operation, with which peer, what was expected and found, what is known
//! of the outcome.

use protocol::native::{ErrorCode, NO_RECORD};
use std::net::SocketAddr;
use std::sync::Arc;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Connecting and greeting.
    Connect,
    /// Storing records.
    Produce,
    /// Reading records.
    Fetch,
    /// Asking where a group is.
    QueryOffset,
    /// Saying where a group is.
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

/// A broker's answer that it does not do what was asked. Nothing of the request was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code's number; a later version may have more than [`ErrorCode`] knows.
    pub number: u16,
    /// Which record of the frame is to blame, from 0.
    pub record: Option<u32>,
    /// For people.
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

/// Why something was not done, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The broker said no; nothing of the request was done.
    #[error("{operation} at {peer}: refused: {refusal}")]
    Refused {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// Why not.
        refusal: Refusal,
    },
    /// A record was not stored because another one of its frame was refused. It can be sent again.
    #[error(
        "produce at {peer}: not stored, because another record of the same frame was refused: \
            {refusal}"
    )]
    Neighbour {
        /// By whom.
        peer: SocketAddr,
        /// What was wrong with the other one.
        refusal: Refusal,
    },
    /// No answer in time. What was asked may have been done all the same.
    #[error(
        "{operation} at {peer}: no answer within {waited_ms} ms; whether it was done is unknown"
    )]
    TimedOut {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The connection ended before the answer. What was asked may have been done all the same; it
    /// is never asked again by itself.
    #[error(
        "{operation} at {peer}: the connection was lost before the answer ({why}); whether it \
            was done is unknown"
    )]
    Unknown {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// How it was lost.
        why: Arc<str>,
    },
    /// There is no connection; nothing was sent.
    #[error("{operation} at {peer}: not sent, there is no connection ({why})")]
    NotSent {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// Why there is none.
        why: Arc<str>,
    },
    /// Back-pressure: as much is under way as is allowed. Take completions, then try again.
    #[error(
        "{operation} at {peer}: {found} {what} are under way, at most {limit} are allowed. Fix: \
            take completions and try again"
    )]
    Full {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// Of what there are too many: bytes, requests, completions.
        what: &'static str,
        /// How many there would be.
        found: usize,
        /// How many may be.
        limit: usize,
    },
    /// The request is more than the broker takes.
    #[error("{operation} at {peer}: {what} {found}, the broker takes at most {limit}")]
    TooLarge {
        /// What was asked.
        operation: Operation,
        /// Of whom.
        peer: SocketAddr,
        /// What is too large.
        what: &'static str,
        /// How large it is.
        found: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The message can't be a record.
    #[error("message for topic {topic:?}: {what}")]
    Message {
        /// Its topic.
        topic: Box<str>,
        /// What is wrong, and the fix.
        what: Box<str>,
    },
    /// The topic has no queue to use, or its route is not known.
    #[error("topic {topic:?}: {what}")]
    NoQueue {
        /// The topic.
        topic: Box<str>,
        /// What is wrong, and the fix.
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
    /// The client itself can't go on: its ring, an address.
    #[error("cannot {what}: {why}")]
    Local {
        /// What could not be done.
        what: Box<str>,
        /// Why.
        why: Arc<str>,
    },
}

impl ClientError {
    /// Whether what was asked may have been done although there is an error.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unknown { .. })
    }

    /// Whether this is back-pressure: try again after taking completions.
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
