//! Sends that found no room in the log's tail. Each waits until the device has taken enough of it,
//! or until it has waited as long as a client should (`waitTimeMillsInSendQueue`).
//!
//! First in, first out: while anything waits, new sends queue behind it, so the order of a
//! connection's sends survives. The copy made here is the one exception to "the body is copied
//! once". Pure; bounded in number and in bytes.

use super::message::OwnedMessage;
use super::told::Then;
use crate::limits::{BACKLOG_BYTES_MAX, BACKLOG_SENDS_MAX};
use std::collections::VecDeque;

/// A send that waits for room. It passed its checks; its topic is looked up again when it leaves.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is stored.
    pub(crate) message: OwnedMessage,
    /// Who is told.
    pub(crate) then: Then,
    /// Whether the answer waits for a watermark (`WAIT`, native `ack`).
    pub(crate) waits: bool,
    /// The client's own id of it; empty for none.
    pub(crate) unique_key: Box<str>,
    /// With what it can be recalled; empty for none.
    pub(crate) recall_handle: Box<str>,
    /// The queue that the answer names, where that is not the one it is stored in.
    pub(crate) answered_queue: Option<i32>,
    /// When the broker took it up, by the monotonic clock, if the client asked for its stages.
    pub(crate) received_nanos: Option<u64>,
    /// When it came, in milliseconds since 1970.
    pub(crate) since_ms: i64,
}

/// The sends of one shard that wait for room.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    queue: VecDeque<Prepared>,
    bytes: usize,
}

impl Backlog {
    /// Whether a send of so many bytes may wait too: asked before it is copied.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.queue.len() < BACKLOG_SENDS_MAX && self.bytes + bytes <= BACKLOG_BYTES_MAX
    }

    /// Keeps a send, for which there is room.
    pub(crate) fn push(&mut self, send: Prepared) {
        assert!(self.has_room(send.message.bytes()), "the backlog was asked for room");
        self.bytes += send.message.bytes();
        self.queue.push_back(send);
    }

    /// The one that came first.
    pub(crate) fn pop(&mut self) -> Option<Prepared> {
        let first = self.queue.pop_front()?;
        self.bytes -= first.message.bytes();
        Some(first)
    }

    /// Puts one that still has to wait back to where it was.
    pub(crate) fn put_back(&mut self, send: Prepared) {
        self.bytes += send.message.bytes();
        self.queue.push_front(send);
    }

    /// The one that came first, if it has waited for `limit_ms`.
    pub(crate) fn pop_overdue(&mut self, limit_ms: i64, now_ms: i64) -> Option<Prepared> {
        let first = self.queue.front()?;
        if now_ms.saturating_sub(first.since_ms) >= limit_ms { self.pop() } else { None }
    }

    /// How long the one that came first has waited, in milliseconds; 0 when none waits.
    pub(crate) fn head_waits_ms(&self, now_ms: i64) -> i64 {
        self.queue.front().map_or(0, |first| now_ms.saturating_sub(first.since_ms).max(0))
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sends::slots::Slots;

    fn send(name: usize, bytes: usize, since_ms: i64) -> Prepared {
        Prepared {
            message: OwnedMessage::Records(vec![0; bytes].into(), Box::new([])),
            then: Then::Wake(Slots::default().open(), 0),
            waits: true,
            unique_key: name.to_string().into(),
            recall_handle: Box::default(),
            answered_queue: None,
            received_nanos: None,
            since_ms,
        }
    }

    fn name(send: Option<Prepared>) -> String {
        send.unwrap().unique_key.into()
    }

    #[test]
    fn sends_leave_in_the_order_they_came_also_after_one_is_put_back() {
        let mut backlog = Backlog::default();
        for nth in 0..3 {
            backlog.push(send(nth, 1, 10));
        }
        let first = backlog.pop().unwrap();
        backlog.put_back(first);
        assert_eq!([(); 3].map(|()| name(backlog.pop())), ["0", "1", "2"]);
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }

    #[test]
    fn only_what_waited_long_enough_is_overdue() {
        let mut backlog = Backlog::default();
        backlog.push(send(1, 1, 100));
        backlog.push(send(2, 1, 250));
        assert_eq!(backlog.head_waits_ms(299), 199);
        assert!(backlog.pop_overdue(200, 299).is_none());
        assert_eq!(name(backlog.pop_overdue(200, 300)), "1");
        assert!(backlog.pop_overdue(200, 300).is_none());
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let mut backlog = Backlog::default();
        let quarter = BACKLOG_BYTES_MAX / 4;
        for nth in 0..4 {
            assert!(backlog.has_room(quarter));
            backlog.push(send(nth, quarter, 0));
        }
        assert!(!backlog.has_room(1));
        backlog.pop();
        assert!(backlog.has_room(quarter) && !backlog.has_room(quarter + 1));
    }
}
