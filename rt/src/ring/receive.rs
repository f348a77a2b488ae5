//! Receiving: the kernel tells which sockets have bytes, the core takes them, one socket after
//! another.
//!
//! ```text
//!   multishot poll --CQE "readable"--> ready: [socket, socket, …]     at most once each
//!                                        | recv(2), front first
//!                                        v
//!                                     the one buffer --> Event::Received --> frames, answers
//!   filled the buffer?             back to the end of the line
//!   bytes of the turn used up?     the rest waits for the next turn
//! ```
//!
//! Why not multishot receives into provided buffers: they copy up to 20 sockets' bytes before the
//! first is looked at. By then the first buffers have left the cache, and 20 peers on their own
//! cores have run out of answers and gone to sleep, which costs them, and whoever wakes them, more
//! than all the system calls that were saved (docs/ARCHITECTURE.md, "Decisions").

use super::ops::{Op, ReceiveEnd, Token};
use super::socket::{self, Socket};
use io_uring::{opcode, squeue, types};
use slab::Slab;
use std::collections::VecDeque;
use std::io;

/// A turn receives no more once it has so much: its answers go out while its bytes are in the
/// cache.
pub(super) const BYTES_PER_TURN: usize = 32 * 1024;
/// Nor once it has received so often: small messages share a turn, but not without end.
pub(super) const READS_PER_TURN: usize = 32;

/// One socket that is received on.
pub(super) struct Receiving {
    pub(super) token: Token,
    pub(super) socket: Socket,
    /// It stands in the line.
    ready: bool,
    /// The peer's end was announced: there is no further readiness to wait for, so it is read until
    /// it is there.
    ending: bool,
    /// Why nothing more is read, while the poll is being cancelled.
    end: Option<ReceiveEnd>,
}

impl Receiving {
    pub(super) fn new(token: Token, socket: Socket) -> Self {
        Self { token, socket, ready: false, ending: false, end: None }
    }

    /// The poll that tells of bytes until it is cancelled.
    pub(super) fn entry(&self) -> squeue::Entry {
        let events = libc::POLLIN | libc::POLLRDHUP;
        opcode::PollAdd::new(types::Fd(self.socket.raw()), u32::from(events.unsigned_abs()))
            .multi(true)
            .build()
    }

    /// Nothing more is read; false when that was so already.
    pub(super) fn stop(&mut self, why: ReceiveEnd) -> bool {
        let first = self.end.is_none();
        self.end.get_or_insert(why);
        first
    }

    /// Why it ended, after the poll's last completion.
    pub(super) fn end(self, result: i32) -> ReceiveEnd {
        self.end.unwrap_or_else(|| match -result {
            libc::ECANCELED => ReceiveEnd::Stopped,
            errno => ReceiveEnd::Failed(io::Error::from_raw_os_error(errno)),
        })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }
}

/// The line of sockets that have bytes, and the buffer they are read into.
pub(super) struct Inbox {
    line: VecDeque<usize>,
    buf: Box<[u8]>,
}

/// What became of one read.
pub(super) enum Read<'a> {
    /// Bytes.
    Got(Token, &'a [u8]),
    /// Nothing now.
    Nothing,
    /// Nothing ever again: the poll with this key is to be cancelled.
    Over(usize),
}

impl Inbox {
    pub(super) fn new(buf_bytes: usize) -> Self {
        Self {
            line: VecDeque::with_capacity(64),
            buf: vec![0; buf_bytes.max(1)].into_boxed_slice(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// The poll said so with this mask.
    pub(super) fn readable(&mut self, key: usize, receiving: &mut Receiving, mask: i32) {
        receiving.ending |= mask & i32::from(libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0;
        if !receiving.ready {
            receiving.ready = true;
            self.line.push_back(key);
        }
    }

    /// Its operation is over, the key will be another's.
    pub(super) fn forget(&mut self, key: usize, receiving: &Receiving) {
        if receiving.ready {
            self.line.retain(|&waiting| waiting != key);
        }
    }

    /// Reads from the socket at the front; `None` when nobody stands in the line.
    pub(super) fn read_next(&mut self, ops: &mut Slab<Op>) -> Option<Read<'_>> {
        let key = self.line.pop_front()?;
        let Some(Op::Receive(receiving)) = ops.get_mut(key) else { return Some(Read::Nothing) };
        receiving.ready = false;
        if receiving.has_ended() {
            return Some(Read::Nothing);
        }
        let outcome = socket::receive_now(&receiving.socket, &mut self.buf);
        Some(match outcome {
            Ok(0) => {
                receiving.stop(ReceiveEnd::Peer);
                Read::Over(key)
            }
            Ok(bytes) => {
                // A buffer that was not filled says that the socket is empty: the poll tells when
                // it no longer is.
                if bytes == self.buf.len() || receiving.ending {
                    receiving.ready = true;
                    self.line.push_back(key);
                }
                Read::Got(receiving.token, self.buf.get(..bytes).unwrap_or_default())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Read::Nothing,
                io::ErrorKind::Interrupted => {
                    receiving.ready = true;
                    self.line.push_back(key);
                    Read::Nothing
                }
                _ => {
                    receiving.stop(ReceiveEnd::Failed(error));
                    Read::Over(key)
                }
            },
        })
    }
}
