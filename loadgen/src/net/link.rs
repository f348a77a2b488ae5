//! One thread's connections on one io_uring.
//!
//! ```text
//!   out(conn) -> filling queue --turn--> ring --Sent--> spare queue (its memory is used again)
//!                                        ring --Received--> splitter --> Event::Frame
//! ```
//!
//! One send at a time per connection: while it is on its way, the next frames gather in the filling
//! queue. So a busy connection sends many frames with one entry, and an idle one sends at once.

use super::frames::Splitting;
use crate::error::{Error, Result};
use crate::protocols::Protocol;
use protocol::checked::fit;
use rt::ring::{self, ReceiveEnd, Ring, RingConfig, SendQueue, Socket, Token};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Events of a connection.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// One frame: of remoting without its length, of the native protocol whole.
    Frame(&'a [u8]),
    /// All bytes queued so far were given to the kernel.
    Written,
    /// The connection ended; nothing more comes from it.
    Closed(&'a str),
}

/// How long a turn may wait when nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Do not wait.
    Poll,
    /// Sleep until something happens, but no longer than this.
    AtMost(Duration),
}

struct Conn {
    socket: Option<Socket>,
    filling: SendQueue,
    spare: SendQueue,
    sending: bool,
    queued: bool,
    splitting: Splitting,
}

/// Connections, frames and turns of one thread. Not `Send`: made and used on its thread.
pub(crate) struct Link {
    ring: Ring,
    protocol: Protocol,
    state: State,
}

/// All fields but the ring, so that a turn can borrow both.
struct State {
    conns: Vec<Conn>,
    /// Connections with bytes to send, each once.
    dirty: Vec<usize>,
    /// Sockets a listener accepted in this turn.
    accepted: Vec<Socket>,
}

/// The token of the listener: no connection has it.
const LISTENER: Token = Token::MAX;

impl Link {
    /// A link for up to `connections` connections that speak `protocol`.
    ///
    /// # Errors
    /// When the kernel refuses the ring; the error says the fix.
    pub(crate) fn new(connections: usize, protocol: Protocol) -> Result<Self> {
        let ring = Ring::new(&RingConfig::default()).map_err(|source| Error::Ring {
            operation: "make it",
            source: io::Error::other(source),
        })?;
        let state = State {
            conns: Vec::with_capacity(connections),
            dirty: Vec::with_capacity(connections),
            accepted: Vec::new(),
        };
        Ok(Self { ring, protocol, state })
    }

    /// Takes over a connected stream; its number counts up from 0.
    ///
    /// # Errors
    /// When the socket can't be set up.
    pub(crate) fn add(&mut self, stream: TcpStream) -> Result<usize> {
        stream
            .set_nodelay(true)
            .map_err(|source| Error::Ring { operation: "set TCP_NODELAY", source })?;
        Ok(self.add_socket(Socket::new(OwnedFd::from(stream))))
    }

    /// Accepts connections from a listener: they are numbered like added ones.
    pub(crate) fn listen(&mut self, listener: TcpListener) {
        self.ring.accept(LISTENER, &Socket::new(OwnedFd::from(listener)));
    }

    fn add_socket(&mut self, socket: Socket) -> usize {
        let index = self.state.conns.len();
        self.ring.receive(token_of(index), &socket);
        self.state.conns.push(Conn {
            socket: Some(socket),
            filling: SendQueue::default(),
            spare: SendQueue::default(),
            sending: false,
            queued: false,
            splitting: Splitting::of(self.protocol),
        });
        index
    }

    /// The outgoing bytes of a connection: append whole frames. They go out in the next turn.
    pub(crate) fn out(&mut self, conn: usize) -> &mut Vec<u8> {
        self.state.mark(conn);
        self.state.conns[conn].filling.bytes()
    }

    /// Sends queued bytes, receives, and calls `on_event` with each event and the connection's
    /// outgoing bytes.
    ///
    /// # Errors
    /// When the ring itself fails; a connection's failure is an [`Event::Closed`].
    pub(crate) fn turn(
        &mut self,
        wait: Wait,
        on_event: &mut impl FnMut(usize, Event<'_>, &mut Vec<u8>),
    ) -> Result<()> {
        self.submit(on_event);
        let wait = match wait {
            Wait::Poll => ring::Wait::No,
            Wait::AtMost(limit) => ring::Wait::AtMost(limit),
        };
        let state = &mut self.state;
        let turned = self.ring.turn(wait, &mut |event| state.on_ring_event(event, on_event));
        turned.map_err(|source| Error::Ring { operation: "turn it", source })?;
        while let Some(socket) = self.state.accepted.pop() {
            if socket.set_nodelay().is_ok() {
                self.add_socket(socket);
            }
        }
        // Answers written inside the turn leave without waiting for the next one's sleep.
        self.submit(on_event);
        Ok(())
    }

    fn submit(&mut self, on_event: &mut impl FnMut(usize, Event<'_>, &mut Vec<u8>)) {
        let Self { ring, state, .. } = self;
        state.dirty.retain(|&index| {
            let conn = &mut state.conns[index];
            let Some(socket) = conn.socket.as_ref().filter(|_| !conn.filling.is_empty()) else {
                conn.queued = false;
                conn.filling.clear();
                return false;
            };
            if conn.sending {
                return true;
            }
            // Before, not after: the ring may send at once, and the answer may be here before this
            // thread goes on.
            on_event(index, Event::Written, conn.filling.bytes());
            let queue = std::mem::replace(&mut conn.filling, std::mem::take(&mut conn.spare));
            ring.send(token_of(index), socket, queue);
            conn.sending = true;
            conn.queued = false;
            false
        });
    }
}

impl State {
    fn mark(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        if !conn.queued {
            conn.queued = true;
            self.dirty.push(index);
        }
    }

    fn on_ring_event(
        &mut self,
        event: ring::Event<'_>,
        on_event: &mut impl FnMut(usize, Event<'_>, &mut Vec<u8>),
    ) {
        match event {
            ring::Event::Received { token, data } => self.received(index_of(token), data, on_event),
            ring::Event::Sent { token, mut queue, result } => {
                let index = index_of(token);
                queue.clear();
                self.conns[index].spare = queue;
                self.conns[index].sending = false;
                if let Err(error) = result {
                    self.closed(index, &error.to_string(), on_event);
                }
            }
            ring::Event::ReceiveEnded { token, why } => match why {
                ReceiveEnd::Failed(error) => {
                    self.closed(index_of(token), &error.to_string(), on_event)
                }
                ReceiveEnd::Peer => self.closed(index_of(token), "closed by the peer", on_event),
                ReceiveEnd::Stopped => {}
            },
            ring::Event::Accepted { socket, .. } => self.accepted.push(socket),
            ring::Event::AcceptEnded { .. } | ring::Event::Connected { .. } => {}
        }
    }

    fn received(
        &mut self,
        index: usize,
        data: &[u8],
        on_event: &mut impl FnMut(usize, Event<'_>, &mut Vec<u8>),
    ) {
        let conn = &mut self.conns[index];
        if conn.socket.is_none() {
            return;
        }
        let Conn { splitting, filling, .. } = conn;
        let before = filling.queued_bytes();
        let fed =
            splitting.feed(data, |frame| on_event(index, Event::Frame(frame), filling.bytes()));
        let wrote = filling.queued_bytes() > before;
        if wrote {
            self.mark(index);
        }
        if let Err(why) = fed {
            self.closed(index, &why, on_event);
        }
    }

    fn closed(
        &mut self,
        index: usize,
        why: &str,
        on_event: &mut impl FnMut(usize, Event<'_>, &mut Vec<u8>),
    ) {
        let conn = &mut self.conns[index];
        if conn.socket.take().is_some() {
            on_event(index, Event::Closed(why), conn.filling.bytes());
            conn.filling.clear();
        }
    }
}

fn token_of(index: usize) -> Token {
    Token::try_from(index).unwrap_or(LISTENER)
}

fn index_of(token: Token) -> usize {
    fit(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn frames_go_out_and_come_back_and_a_close_is_reported_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut frame = [0; 9];
            stream.read_exact(&mut frame).unwrap();
            stream.write_all(&frame).unwrap();
        });
        let mut link = Link::new(1, Protocol::Remoting).unwrap();
        let conn = link.add(TcpStream::connect(addr).unwrap()).unwrap();
        link.out(conn).extend_from_slice(b"\0\0\0\x05hello");
        let (mut frames, mut closes) = (Vec::new(), 0);
        while closes == 0 {
            let turned =
                link.turn(
                    Wait::AtMost(Duration::from_millis(50)),
                    &mut |_, event, _| match event {
                        Event::Frame(frame) => frames.push(frame.to_vec()),
                        Event::Closed(_) => closes += 1,
                        Event::Written => {}
                    },
                );
            turned.unwrap();
        }
        peer.join().unwrap();
        assert_eq!(frames, [b"hello".to_vec()]);
        link.out(conn).extend_from_slice(b"late");
        link.turn(Wait::Poll, &mut |_, event, _| {
            closes += i32::from(matches!(event, Event::Closed(_)))
        })
        .unwrap();
        assert_eq!(closes, 1);
    }

    #[test]
    fn written_is_told_before_the_peer_can_have_the_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut link = Link::new(1, Protocol::Remoting).unwrap();
        let conn = link.add(stream).unwrap();
        link.out(conn).extend_from_slice(b"frame");
        let mut told = 0;
        link.turn(Wait::Poll, &mut |_, event, _| {
            if matches!(event, Event::Written) {
                told += 1;
                assert_eq!(peer.peek(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            }
        })
        .unwrap();
        assert_eq!(told, 1);
        peer.set_nonblocking(false).unwrap();
        peer.read_exact(&mut [0; 5]).unwrap();
    }

    #[test]
    fn an_accepted_connection_is_answered_in_the_same_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(b"\0\0\0\x01a").unwrap();
            let mut answer = [0; 1];
            stream.read_exact(&mut answer).unwrap();
            answer
        });
        let mut link = Link::new(1, Protocol::Remoting).unwrap();
        link.listen(listener);
        let mut done = false;
        while !done {
            let turned = link.turn(
                Wait::AtMost(Duration::from_millis(50)),
                &mut |_, event, out| match event {
                    Event::Frame(_) => out.push(b'z'),
                    Event::Closed(_) => done = true,
                    Event::Written => {}
                },
            );
            turned.unwrap();
        }
        assert_eq!(client.join().unwrap(), [b'z']);
    }
}
