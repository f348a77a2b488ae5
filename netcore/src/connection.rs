//! One connection: what has half arrived, what waits to go out, and why it ends.

use crate::frame::{FrameError, Lane};
use rt::ring::{SendQueue, Socket};
use std::net::SocketAddr;

/// A connection's name: slot and generation, so that a stale one reaches nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A peer connected to us.
    Accepted {
        /// Index of the listener in `NetConfig::listen`.
        listener: usize,
    },
    /// We connected to a peer.
    Dialed {
        /// The tag given to `Net::dial`.
        tag: u64,
    },
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The peer closed it.
    #[error("closed by the peer")]
    Peer,
    /// The peer closed it in the middle of a frame.
    #[error("closed by the peer in the middle of a frame, after {received} bytes of it")]
    PeerMidFrame {
        /// Bytes of the unfinished frame.
        received: usize,
    },
    /// The server asked for it.
    #[error("{0}")]
    Asked(&'static str),
    /// What arrived is not a frame.
    #[error("{0}")]
    Garbage(String),
    /// Receiving or sending failed.
    #[error("{operation}: {error}")]
    Failed {
        /// `receive` or `send`.
        operation: &'static str,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Nothing came or went for too long.
    #[error("silent for {seconds} s")]
    Idle {
        /// The limit that passed.
        seconds: u64,
    },
    /// The peer does not read its answers.
    #[error(
        "the peer does not read its answers: {queued_bytes} bytes are waiting (limit {limit_bytes})"
    )]
    SlowReader {
        /// Waiting to be sent.
        queued_bytes: usize,
        /// The limit that was passed.
        limit_bytes: usize,
    },
    /// A send made no progress.
    #[error("the peer took nothing of a send for {0} ms")]
    SendStalled(u64),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        Self::Garbage(error.to_string())
    }
}

/// State of a connection that was asked to end.
pub(crate) enum Ending {
    /// Still open.
    No,
    /// Closes when the queue has gone out.
    AfterFlush(CloseReason),
    /// The socket was shut; waiting for its operations to finish.
    Shut(CloseReason),
}

pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) generation: u32,
    pub(crate) lane: Option<Lane>,
    /// The handler's own: see `Net::mark`.
    pub(crate) mark: u32,
    /// Bytes of a frame that has not arrived completely.
    pub(crate) carry: Vec<u8>,
    /// Filled by the handler during a turn.
    pub(crate) out: SendQueue,
    /// An empty queue for the next turn while `out` is in flight.
    pub(crate) spare: Option<SendQueue>,
    pub(crate) in_flight_bytes: usize,
    pub(crate) send_started_ms: Option<u64>,
    pub(crate) receiving: bool,
    pub(crate) paused: bool,
    pub(crate) dirty: bool,
    pub(crate) ending: Ending,
    pub(crate) last_active_ms: u64,
}

impl Connection {
    pub(crate) fn new(socket: Socket, peer: SocketAddr, generation: u32, now_ms: u64) -> Self {
        let local = socket.local_addr().ok();
        Self {
            socket,
            peer,
            local,
            generation,
            lane: None,
            mark: 0,
            carry: Vec::new(),
            out: SendQueue::default(),
            spare: Some(SendQueue::default()),
            in_flight_bytes: 0,
            send_started_ms: None,
            receiving: false,
            paused: false,
            dirty: false,
            ending: Ending::No,
            last_active_ms: now_ms,
        }
    }

    pub(crate) fn unsent_bytes(&self) -> usize {
        self.in_flight_bytes + self.out.queued_bytes()
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.ending, Ending::No)
    }

    /// Nothing of it is in the ring any more.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.receiving && self.send_started_ms.is_none()
    }
}
