//! One connection: what has half arrived, what waits to go out, and why it ends.

use crate::frame::{FrameError, Framing, Protocol};
use crate::limits::HALF_FRAME_STEP_BYTES;
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
    /// A send made no progress for so many milliseconds.
    #[error("the peer took nothing of a send for {0} ms")]
    SendStalled(u64),
    /// A frame that had begun to arrive made no progress.
    #[error(
        "a frame stands still: {received} bytes of it came, less than {} more in {stalled_ms} ms",
        crate::limits::HALF_FRAME_STEP_BYTES
    )]
    HalfFrameStalled {
        /// Bytes of the unfinished frame.
        received: usize,
        /// Milliseconds since its last progress.
        stalled_ms: u64,
    },
    /// All peers together hold too much memory, and this one was among those that hold most.
    #[error(
        "closed to make room: the peer held {held_bytes} bytes (half frames or answers that it \
            did not take) of {used_bytes} (limit {limit_bytes})"
    )]
    MemoryShort {
        /// What this peer held.
        held_bytes: usize,
        /// What all peers held.
        used_bytes: usize,
        /// The limit that was passed.
        limit_bytes: usize,
    },
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

impl CloseReason {
    /// Whether the peer did something wrong, so that an operator should read of it. Peers that
    /// come and go, fall silent or lose their network are everyday life.
    #[must_use]
    pub fn is_the_peers_fault(&self) -> bool {
        match self {
            Self::Garbage(_)
            | Self::SlowReader { .. }
            | Self::SendStalled(_)
            | Self::HalfFrameStalled { .. }
            | Self::MemoryShort { .. } => true,
            Self::Peer
            | Self::PeerMidFrame { .. }
            | Self::Asked(_)
            | Self::Failed { .. }
            | Self::Idle { .. }
            | Self::Stopping => false,
        }
    }
}

impl From<FrameError> for CloseReason {
    fn from(error: FrameError) -> Self {
        Self::Garbage(error.to_string())
    }
}

/// How far a connection is on its way to its end.
pub(crate) enum Ending {
    /// Open: frames are handed on, answers are taken.
    No,
    /// Closes when the queue has gone out.
    AfterFlush(CloseReason),
    /// All is sent and the peer knows that nothing follows. What it still sends is read and
    /// dropped until it closes too: closing a socket with unread input makes the kernel reset the
    /// connection and drop answers that the peer has not received yet.
    Draining { reason: CloseReason, since_ms: u64, drained_bytes: usize },
    /// The socket was shut; waiting for its operations to finish.
    Shut(CloseReason),
}

/// What arrives on a connection.
pub(crate) struct Incoming {
    pub(crate) framing: Framing,
    /// Known from the first byte on.
    pub(crate) protocol: Option<Protocol>,
    /// The beginning of a frame that has not arrived completely. While `held_back`, also whole
    /// frames behind it.
    pub(crate) carry: Vec<u8>,
    /// What is charged for `carry`: its capacity.
    pub(crate) charged_bytes: usize,
    /// Bytes in `carry`, and when: see [`HALF_FRAME_STEP_BYTES`].
    step: (usize, u64),
    /// The ring receives for it.
    pub(crate) receiving: bool,
    /// Nothing is read until the peer has taken some of its answers, or memory is free again.
    pub(crate) paused: bool,
    /// The handler takes no more frames for now.
    pub(crate) pause_asked: bool,
    /// Frames wait in `carry` for the same.
    pub(crate) held_back: bool,
}

impl Incoming {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            protocol: None,
            carry: Vec::new(),
            charged_bytes: 0,
            step: (0, 0),
            receiving: false,
            paused: false,
            pause_asked: false,
            held_back: false,
        }
    }

    /// Notes the progress of a half frame.
    pub(crate) fn note_progress(&mut self, now_ms: u64) {
        let (bytes, _) = self.step;
        if self.carry.len() < bytes || self.carry.len() >= bytes + HALF_FRAME_STEP_BYTES {
            self.step = (self.carry.len(), now_ms);
        }
    }

    /// Milliseconds since a half frame made progress; 0 when there is none, or when it is this
    /// side that does not read.
    pub(crate) fn stalled_ms(&self, now_ms: u64) -> u64 {
        if self.carry.is_empty() || self.paused {
            return 0;
        }
        now_ms.saturating_sub(self.step.1)
    }

    /// A half frame begins, or goes on after a pause.
    pub(crate) fn begin_step(&mut self, now_ms: u64) {
        self.step = (self.carry.len(), now_ms);
    }
}

/// A send that the ring works on.
pub(crate) struct Sending {
    pub(crate) bytes: usize,
    /// What the peer had acknowledged when that was last looked at, and when it last grew.
    acknowledged: u64,
    pub(crate) progress_ms: u64,
}

/// What goes out on a connection.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// Filled by the handler during a turn.
    pub(crate) queue: SendQueue,
    /// An empty queue for the next turn while the other is being sent.
    pub(crate) spare: Option<SendQueue>,
    pub(crate) sending: Option<Sending>,
    /// What is charged for answers that the peer has not taken.
    pub(crate) charged_bytes: usize,
    /// Listed in `Net::dirty`.
    pub(crate) dirty: bool,
}

impl Outgoing {
    pub(crate) fn unsent_bytes(&self) -> usize {
        self.queue.queued_bytes() + self.sending.as_ref().map_or(0, |sending| sending.bytes)
    }

    /// The queue to be sent; an empty one takes its place.
    pub(crate) fn begin_send(&mut self, now_ms: u64) -> SendQueue {
        let next = self.spare.take().unwrap_or_default();
        let queue = std::mem::replace(&mut self.queue, next);
        let bytes = queue.queued_bytes();
        self.sending = Some(Sending { bytes, acknowledged: 0, progress_ms: now_ms });
        queue
    }
}

pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: SocketAddr,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) generation: u32,
    /// The handler's own: see `Net::user_data`.
    pub(crate) user_data: u32,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) ending: Ending,
    /// Closed to make room; `Net::relieving` counts it until it is gone.
    pub(crate) makes_room: bool,
    /// Accepted, not dialed.
    pub(crate) accepted: bool,
    pub(crate) last_active_ms: u64,
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        peer: SocketAddr,
        generation: u32,
        framing: Framing,
        now_ms: u64,
    ) -> Self {
        let local = socket.local_addr().ok();
        Self {
            socket,
            peer,
            local,
            generation,
            user_data: 0,
            incoming: Incoming::new(framing),
            outgoing: Outgoing::default(),
            ending: Ending::No,
            makes_room: false,
            accepted: false,
            last_active_ms: now_ms,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.ending, Ending::No)
    }

    pub(crate) fn is_shut(&self) -> bool {
        matches!(self.ending, Ending::Shut(_))
    }

    /// Nothing of it is in the ring any more.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.incoming.receiving && self.outgoing.sending.is_none()
    }

    /// Asks the kernel whether the peer took anything of a send since the last look.
    pub(crate) fn look_for_send_progress(&mut self, now_ms: u64) {
        let Some(sending) = &mut self.outgoing.sending else { return };
        // Without an answer (the connection is broken) the time simply goes on.
        if let Ok(acknowledged) = self.socket.acknowledged_bytes()
            && acknowledged > sending.acknowledged
        {
            sending.acknowledged = acknowledged;
            sending.progress_ms = now_ms;
            self.last_active_ms = now_ms;
        }
    }

    /// Lets go of the memory that a busy connection keeps for its next frames and answers; says
    /// whether there was some.
    pub(crate) fn release_spare_memory(&mut self) -> bool {
        let is_carry_spare = self.incoming.carry.is_empty() && self.incoming.carry.capacity() > 0;
        if is_carry_spare {
            self.incoming.carry = Vec::new();
        }
        let is_idle = self.outgoing.sending.is_none() && self.outgoing.queue.is_empty();
        let is_queue_spare = is_idle && self.outgoing.spare.take().is_some();
        if is_queue_spare {
            self.outgoing.queue = SendQueue::default();
        }
        is_carry_spare || is_queue_spare
    }
}
