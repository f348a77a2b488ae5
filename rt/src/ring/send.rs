//! What goes out on one connection: owned bytes and borrowed slices of the log, in order.
//!
//! ```text
//!   bytes:  [ header of answer 1 | header of answer 2 ............ ]      one Vec, reused
//!   parts:  Bytes 0..40, Slice(log), Slice(log), Bytes 40..80, …
//! ```
//!
//! A pull answer is a small owned header followed by slices of the log that nobody copies.

use super::socket::{self, Socket};
use crate::buf::BufSlice;
use std::ops::Range;

/// The kernel takes at most this many pieces in one sendmsg (UIO_MAXIOV); more go out in a further
/// send.
const PIECES_MAX: usize = 1024;
/// A queue whose byte buffer grew past this gives the memory back once it is empty.
const KEEP_BYTES: usize = 256 * 1024;

enum Part {
    Bytes(Range<usize>),
    Slice(BufSlice),
}

/// Bytes waiting to be sent on one connection. See the module's text.
#[derive(Default)]
pub struct SendQueue {
    bytes: Vec<u8>,
    /// Where the owned bytes begin that no part covers yet.
    open_from: usize,
    parts: Vec<Part>,
    /// Bytes in `parts`.
    part_bytes: usize,
    sent: usize,
    header: MessageHeader,
}

impl SendQueue {
    /// Owned bytes go here, behind all that is queued so far. Only append: earlier bytes may be
    /// referred to already.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A borrowed slice, behind all that is queued so far. Adjacent slices of one buffer become one
    /// piece.
    pub fn slice(&mut self, slice: BufSlice) {
        if slice.is_empty() {
            return;
        }
        self.close_bytes();
        self.part_bytes += slice.len();
        if let Some(Part::Slice(last)) = self.parts.last_mut()
            && let Some(joined) = last.joined(&slice)
        {
            *last = joined;
            return;
        }
        self.parts.push(Part::Slice(slice));
    }

    fn close_bytes(&mut self) {
        if self.bytes.len() > self.open_from {
            self.part_bytes += self.bytes.len() - self.open_from;
            self.parts.push(Part::Bytes(self.open_from..self.bytes.len()));
            self.open_from = self.bytes.len();
        }
    }

    /// Bytes queued in all, sent ones included until the queue is cleared.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.part_bytes + self.bytes.len().saturating_sub(self.open_from)
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued_bytes() == 0
    }

    /// Empties the queue and lets go of the slices; keeps its memory for the next turn unless it
    /// grew large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > KEEP_BYTES {
            self.bytes.shrink_to(KEEP_BYTES);
        }
        self.parts.clear();
        self.open_from = 0;
        self.part_bytes = 0;
        self.sent = 0;
    }

    /// Hands the kernel what it takes without waiting; false when something is left for the ring,
    /// which also finds the error.
    pub(super) fn send_now(&mut self, socket: &Socket) -> bool {
        let outcome = match self.as_single() {
            Some(bytes) => socket::send_now(socket, bytes),
            None => {
                let header = self.message_header();
                // SAFETY: the header was filled just now from pieces that this queue owns.
                unsafe { socket::send_message_now(socket, header) }
            }
        };
        if let Ok(bytes) = outcome {
            self.advance(bytes);
        }
        self.unsent_bytes() == 0
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.queued_bytes().saturating_sub(self.sent)
    }

    /// The unsent bytes when they lie in one piece: a plain send is cheaper than a sendmsg.
    pub(super) fn as_single(&mut self) -> Option<&[u8]> {
        if self.parts.is_empty() {
            return self.bytes.get(self.sent..);
        }
        self.close_bytes();
        match self.parts.as_slice() {
            [Part::Bytes(range)] => self.bytes.get(range.start + self.sent..range.end),
            [Part::Slice(slice)] => slice.get(self.sent..),
            _ => None,
        }
    }

    /// A msghdr over the next unsent pieces, valid until the queue is changed or dropped.
    pub(super) fn message_header(&mut self) -> *const libc::msghdr {
        self.close_bytes();
        let mut skip = self.sent;
        self.header.pieces.clear();
        for part in &self.parts {
            let piece: &[u8] = match part {
                Part::Bytes(range) => self.bytes.get(range.clone()).unwrap_or_default(),
                Part::Slice(slice) => slice,
            };
            let Some(rest) = piece.get(skip..).filter(|rest| !rest.is_empty()) else {
                skip -= piece.len();
                continue;
            };
            skip = 0;
            let base = rest.as_ptr().cast_mut().cast();
            self.header.pieces.push(libc::iovec { iov_base: base, iov_len: rest.len() });
            if self.header.pieces.len() == PIECES_MAX {
                break;
            }
        }
        self.header.fill()
    }
}

/// The msghdr at an address that stays when the queue moves.
struct MessageHeader {
    pieces: Vec<libc::iovec>,
    msghdr: Box<libc::msghdr>,
}

impl Default for MessageHeader {
    fn default() -> Self {
        // SAFETY: msghdr is plain data for which all zeroes means: no name, no pieces, no control
        // data.
        Self { pieces: Vec::new(), msghdr: Box::new(unsafe { std::mem::zeroed() }) }
    }
}

impl MessageHeader {
    fn fill(&mut self) -> *const libc::msghdr {
        self.msghdr.msg_iov = self.pieces.as_mut_ptr();
        self.msghdr.msg_iovlen = self.pieces.len();
        &raw const *self.msghdr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::AppendBuf;

    fn gathered(queue: &mut SendQueue) -> Vec<u8> {
        if let Some(single) = queue.as_single() {
            return single.to_vec();
        }
        queue.message_header();
        let mut all = Vec::new();
        for piece in &queue.header.pieces {
            // SAFETY: test: the pieces were filled from live slices just above.
            all.extend_from_slice(unsafe {
                std::slice::from_raw_parts(piece.iov_base.cast(), piece.iov_len)
            });
        }
        all
    }

    #[test]
    fn pieces_leave_in_the_order_they_were_queued_from_any_point() {
        let log = AppendBuf::copy_of(b"0123456789");
        let mut queue = SendQueue::default();
        queue.bytes().extend_from_slice(b"head");
        queue.slice(log.part(0..3));
        queue.slice(log.part(3..5));
        queue.slice(log.part(7..9));
        queue.bytes().extend_from_slice(b"tail");
        let whole = b"head0123478tail";
        assert_eq!(queue.queued_bytes(), whole.len());
        for sent in 0..whole.len() {
            queue.sent = sent;
            assert_eq!(gathered(&mut queue), &whole[sent..], "after {sent} bytes");
        }
        assert_eq!(queue.parts.len(), 4, "adjacent slices were joined");
        queue.clear();
        assert!(queue.is_empty());
    }

    #[test]
    fn owned_bytes_alone_need_no_message_header() {
        let mut queue = SendQueue::default();
        queue.bytes().extend_from_slice(b"one answer");
        assert_eq!(queue.as_single(), Some(&b"one answer"[..]));
        queue.advance(4);
        assert_eq!(queue.as_single(), Some(&b"answer"[..]));
        assert_eq!(queue.unsent_bytes(), 6);
    }
}
