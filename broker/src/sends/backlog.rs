//! Sends that wait for the device: the log's tail holds as much unwritten log as it may, so a
//! request is kept whole until there is room, or until it has waited as long as a client should
//! (`waitTimeMillsInSendQueue`).
//!
//! First in, first out: while anything waits, new sends queue behind it, so the order of a
//! connection's sends survives. The copy made here is the one exception to "the body is copied
//! once". Pure; bounded in number and in bytes.

use crate::limits::{WAITING_SEND_BYTES_MAX, WAITING_SENDS_MAX};
use std::collections::VecDeque;

/// One waiting request.
#[derive(Debug)]
pub struct Waiting<C> {
    /// Who gets the answer.
    pub conn: C,
    /// The request as its handler got it.
    pub frame: Vec<u8>,
    /// When it came, by the wall clock.
    pub since_ms: i64,
    /// When it came, by the monotonic clock.
    pub since_nanos: u64,
}

/// The waiting sends of one shard.
#[derive(Debug)]
pub struct WaitingSends<C> {
    queue: VecDeque<Waiting<C>>,
    bytes: usize,
}

impl<C> Default for WaitingSends<C> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), bytes: 0 }
    }
}

impl<C> WaitingSends<C> {
    /// Keeps a request; false when the queue is full.
    pub fn push(&mut self, conn: C, frame: &[u8], now_ms: i64, now_nanos: u64) -> bool {
        let full = self.queue.len() >= WAITING_SENDS_MAX
            || self.bytes + frame.len() > WAITING_SEND_BYTES_MAX;
        if !full {
            self.bytes += frame.len();
            self.queue.push_back(Waiting {
                conn,
                frame: frame.to_vec(),
                since_ms: now_ms,
                since_nanos: now_nanos,
            });
        }
        !full
    }

    /// The one that came first.
    pub fn pop(&mut self) -> Option<Waiting<C>> {
        let first = self.queue.pop_front()?;
        self.bytes -= first.frame.len();
        Some(first)
    }

    /// Puts one that still has to wait back to where it was.
    pub fn put_back(&mut self, waiting: Waiting<C>) {
        self.bytes += waiting.frame.len();
        self.queue.push_front(waiting);
    }

    /// The one that came first, if it has waited longer than `limit_ms`.
    pub fn pop_overdue(&mut self, limit_ms: i64, now_ms: i64) -> Option<Waiting<C>> {
        let overdue = self
            .queue
            .front()
            .is_some_and(|first| now_ms.saturating_sub(first.since_ms) >= limit_ms);
        if overdue { self.pop() } else { None }
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_leave_in_the_order_they_came_also_after_one_is_put_back() {
        let mut waiting = WaitingSends::default();
        for conn in 0..3 {
            assert!(waiting.push(conn, b"frame", 10, 0));
        }
        let first = waiting.pop().unwrap();
        waiting.put_back(first);
        assert_eq!(
            [waiting.pop(), waiting.pop(), waiting.pop()].map(|one| one.unwrap().conn),
            [0, 1, 2]
        );
        assert!(waiting.is_empty());
    }

    #[test]
    fn only_what_waited_long_enough_is_overdue() {
        let mut waiting = WaitingSends::default();
        waiting.push(1, b"a", 100, 0);
        waiting.push(2, b"b", 250, 0);
        assert!(waiting.pop_overdue(200, 299).is_none());
        assert_eq!(waiting.pop_overdue(200, 300).unwrap().conn, 1);
        assert!(waiting.pop_overdue(200, 300).is_none());
    }

    #[test]
    fn the_bytes_that_wait_are_bounded() {
        let mut waiting = WaitingSends::default();
        let frame = vec![0; WAITING_SEND_BYTES_MAX / 4];
        let taken = (0..9).filter(|conn| waiting.push(*conn, &frame, 0, 0)).count();
        assert_eq!(taken, 4);
        waiting.pop();
        assert!(waiting.push(9, &frame, 0, 0));
    }
}
