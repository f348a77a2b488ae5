//! What can be in flight, and the event that each completion becomes.

use super::bufs::ReceiveBufs;
use super::files::FileOp;
use super::send::SendQueue;
use super::sys::Socket;
use super::Completion;
use io_uring::{cqueue, opcode, squeue, types};
use socket2::SockAddr;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The caller's name for a socket in events.
pub type Token = u64;

/// A network completion.
pub enum Event<'a> {
    /// A listener accepted a connection.
    Accepted {
        /// The listener's token.
        token: Token,
        /// The new connection.
        socket: Socket,
    },
    /// A listener stopped accepting (out of file descriptors, or shut): accept again after a while.
    AcceptEnded {
        /// The listener's token.
        token: Token,
        /// Why.
        error: io::Error,
    },
    /// Bytes arrived; they are gone after the call.
    Received {
        /// The socket's token.
        token: Token,
        /// The bytes, inside a receive buffer.
        data: &'a [u8],
        /// False when the kernel ended the receive (it ran out of buffers): receive again.
        goes_on: bool,
    },
    /// The receive ended without bytes.
    ReceiveEnded {
        /// The socket's token.
        token: Token,
        /// Why.
        why: ReceiveEnd,
    },
    /// A whole queue went out, or failed.
    Sent {
        /// The socket's token.
        token: Token,
        /// The queue, to be cleared and used again.
        queue: SendQueue,
        /// Whether all of it was taken by the kernel.
        result: io::Result<()>,
    },
    /// A connect ended.
    Connected {
        /// The socket's token.
        token: Token,
        /// The socket.
        socket: Socket,
        /// Whether it is connected; `ETIMEDOUT` when the limit passed.
        result: io::Result<()>,
    },
}

/// Why a receive ended.
#[derive(Debug)]
pub enum ReceiveEnd {
    /// The peer closed its side.
    Peer,
    /// All receive buffers were in use for a moment: receive again.
    OutOfBuffers,
    /// `Ring::stop_receiving` or `Ring::shut` asked for it.
    Stopped,
    /// The connection failed.
    Failed(io::Error),
}

impl ReceiveEnd {
    fn from_result(result: i32) -> Self {
        match -result {
            0 => Self::Peer,
            libc::ENOBUFS => Self::OutOfBuffers,
            libc::ECANCELED => Self::Stopped,
            errno => Self::Failed(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// An operation in flight: owns what the kernel may touch.
pub(super) enum Op {
    Accept { token: Token, socket: Socket },
    Receive { token: Token, socket: Socket },
    /// Inline, not boxed: a send must not allocate. The kernel sees only what its Vec and Box fields point to.
    Send(Sending),
    Connect(Box<Connecting>),
    File(Box<FileOp>),
}

impl Op {
    pub(super) fn socket(&self) -> Option<Socket> {
        match self {
            Self::Accept { socket, .. } | Self::Receive { socket, .. } => Some(socket.clone()),
            Self::Send(send) => Some(send.socket.clone()),
            Self::Connect(connect) => Some(connect.socket.clone()),
            Self::File(_) => None,
        }
    }
}

pub(super) struct Sending {
    pub(super) token: Token,
    pub(super) socket: Socket,
    pub(super) queue: SendQueue,
}

pub(super) struct Connecting {
    token: Token,
    socket: Socket,
    addr: SockAddr,
    timeout: types::Timespec,
}

impl Connecting {
    pub(super) fn new(token: Token, socket: Socket, addr: SocketAddr, timeout: Duration) -> Box<Self> {
        Box::new(Self { token, socket, addr: addr.into(), timeout: timeout.into() })
    }

    /// The connect and the timeout linked to it; both point into this box.
    pub(super) fn entries(&self) -> (squeue::Entry, squeue::Entry) {
        let connect = opcode::Connect::new(types::Fd(self.socket.raw()), self.addr.as_ptr().cast(), self.addr.len());
        let timeout = opcode::LinkTimeout::new(&raw const self.timeout);
        (connect.build().flags(squeue::Flags::IO_LINK), timeout.build())
    }

    pub(super) fn into_event(self, result: i32) -> Event<'static> {
        let result = match result {
            0 => Ok(()),
            code if code == -libc::ECANCELED => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
            code => Err(io::Error::from_raw_os_error(-code)),
        };
        Event::Connected { token: self.token, socket: self.socket, result }
    }
}

/// A completion of a multishot operation that goes on.
pub(super) fn multishot_event(op: &Op, done: &Completion, bufs: &mut ReceiveBufs, sink: &mut dyn FnMut(Event<'_>)) {
    match op {
        Op::Accept { token, .. } if done.result >= 0 => {
            sink(Event::Accepted { token: *token, socket: Socket::from_accept(done.result) });
        }
        Op::Receive { token, .. } => received(*token, done, true, bufs, sink),
        _ => {}
    }
}

/// The last completion of a multishot operation.
pub(super) fn multishot_end(op: &Op, done: &Completion, bufs: &mut ReceiveBufs, sink: &mut dyn FnMut(Event<'_>)) {
    match op {
        Op::Accept { token, .. } if done.result >= 0 => {
            sink(Event::Accepted { token: *token, socket: Socket::from_accept(done.result) });
            let error = io::Error::from_raw_os_error(libc::EAGAIN);
            sink(Event::AcceptEnded { token: *token, error });
        }
        Op::Accept { token, .. } => {
            let error = io::Error::from_raw_os_error(-done.result);
            sink(Event::AcceptEnded { token: *token, error });
        }
        Op::Receive { token, .. } => received(*token, done, false, bufs, sink),
        _ => {}
    }
}

fn received(token: Token, done: &Completion, goes_on: bool, bufs: &mut ReceiveBufs, sink: &mut dyn FnMut(Event<'_>)) {
    let buffer = cqueue::buffer_select(done.flags);
    match (usize::try_from(done.result), buffer) {
        (Ok(len), Some(id)) if len > 0 => sink(Event::Received { token, data: bufs.bytes(id, len), goes_on }),
        _ => sink(Event::ReceiveEnded { token, why: ReceiveEnd::from_result(done.result) }),
    }
    if let Some(id) = buffer {
        bufs.give_back(id);
    }
}
