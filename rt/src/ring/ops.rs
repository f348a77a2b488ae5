//! What can be in flight, and the event that each completion becomes.

use super::Completion;
use super::files::FileOp;
use super::receive::Receiving;
use super::send::SendQueue;
use super::socket::Socket;
use io_uring::{opcode, squeue, types};
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
        /// The bytes, inside the receive buffer.
        data: &'a [u8],
    },
    /// The receive is over.
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
    /// `Ring::stop_receiving` or `Ring::shut` asked for it.
    Stopped,
    /// The connection failed.
    Failed(io::Error),
}

/// An operation in flight: owns what the kernel may touch.
pub(super) enum Op {
    Accept {
        token: Token,
        socket: Socket,
    },
    Receive(Receiving),
    /// Inline, not boxed: a send must not allocate. The kernel sees only what its Vec and Box
    /// fields point to.
    Send(Sending),
    Connect(Box<Connecting>),
    File(Box<FileOp>),
}

impl Op {
    pub(super) fn socket(&self) -> Option<Socket> {
        match self {
            Self::Accept { socket, .. } => Some(socket.clone()),
            Self::Receive(receiving) => Some(receiving.socket.clone()),
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
    pub(super) fn new(
        token: Token,
        socket: Socket,
        addr: SocketAddr,
        timeout: Duration,
    ) -> Box<Self> {
        Box::new(Self { token, socket, addr: addr.into(), timeout: timeout.into() })
    }

    /// The connect and the timeout linked to it; both point into this box.
    pub(super) fn entries(&self) -> (squeue::Entry, squeue::Entry) {
        let connect = opcode::Connect::new(
            types::Fd(self.socket.raw()),
            self.addr.as_ptr().cast(),
            self.addr.len(),
        );
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

/// A completion of an accept; `more` when it goes on.
pub(super) fn accepted(
    token: Token,
    done: &Completion,
    more: bool,
    sink: &mut dyn FnMut(Event<'_>),
) {
    if done.result >= 0 {
        sink(Event::Accepted { token, socket: Socket::from_accept(done.result) });
    }
    if !more {
        let errno = if done.result >= 0 { libc::EAGAIN } else { -done.result };
        sink(Event::AcceptEnded { token, error: io::Error::from_raw_os_error(errno) });
    }
}
