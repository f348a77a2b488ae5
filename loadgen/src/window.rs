//! The unanswered requests of one connection.
//!
//! ```text
//!   settled_below            next_seq
//!   |  answered or not  …    |  free …            seq % slots.len() is the slot
//! ```
//!
//! A ring of slots, so that sending and answering touch one slot and allocate nothing. The window
//! spans from the oldest request without an answer to the newest: one stuck request does not stop
//! the others until the window is full.

use protocol::checked::fit;

/// One request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentRequest {
    /// When it was due, on the run's clock.
    pub due_nanos: u64,
    /// When it was sent.
    pub sent_nanos: u64,
    /// The generator's number of the message.
    pub message_id: u64,
    /// When its bytes were given to the kernel; 0: not yet, or not asked for.
    pub written_nanos: u64,
    /// Index of its queue among the generator's.
    pub queue: u32,
}

/// The unanswered requests of one connection.
#[derive(Debug)]
pub(crate) struct Window {
    slots: Box<[Option<SentRequest>]>,
    settled_below: u64,
    next_seq: u64,
    /// All requests below this number are written.
    unwritten_from: u64,
    unanswered: usize,
}

impl Window {
    /// A window of at least `slots` requests.
    #[must_use]
    pub(crate) fn new(slots: usize) -> Self {
        let slots = slots.next_power_of_two();
        Self {
            slots: vec![None; slots].into_boxed_slice(),
            settled_below: 0,
            next_seq: 0,
            unwritten_from: 0,
            unanswered: 0,
        }
    }

    /// Whether another request fits.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.next_seq - self.settled_below < self.slots.len() as u64
    }

    /// Requests without an answer.
    #[must_use]
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// The number the next request will have.
    #[must_use]
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Every request with a smaller number has its answer (or was given up).
    #[must_use]
    pub(crate) fn settled_below(&self) -> u64 {
        self.settled_below
    }

    /// Adds a request. Call only with [`Window::has_room`].
    pub(crate) fn push(&mut self, request: SentRequest) {
        debug_assert!(self.has_room());
        let slot = self.slot(self.next_seq);
        self.slots[slot] = Some(request);
        self.next_seq += 1;
        self.unanswered += 1;
    }

    /// All requests so far were given to the kernel.
    pub(crate) fn written(&mut self, now_nanos: u64) {
        for seq in self.unwritten_from.max(self.settled_below)..self.next_seq {
            let slot = self.slot(seq);
            if let Some(request) = &mut self.slots[slot] {
                request.written_nanos = now_nanos;
            }
        }
        self.unwritten_from = self.next_seq;
    }

    /// Takes the request whose number modulo `modulus` is `seq_low`, if it is unanswered.
    pub(crate) fn take(&mut self, seq_low: u64, modulus: u64) -> Option<SentRequest> {
        let base = self.settled_below;
        let ahead = (seq_low + modulus - base % modulus) % modulus;
        let seq = base + ahead;
        if seq >= self.next_seq {
            return None;
        }
        let slot = self.slot(seq);
        let taken = self.slots[slot].take()?;
        self.unanswered -= 1;
        self.settle();
        Some(taken)
    }

    /// Gives up requests sent before `sent_before_nanos` and hands them out, oldest first.
    pub(crate) fn expire(&mut self, sent_before_nanos: u64, mut gone: impl FnMut(SentRequest)) {
        // Requests are sent in order, so the oldest is at the front: usually one look.
        for seq in self.settled_below..self.next_seq {
            let slot = self.slot(seq);
            match self.slots[slot] {
                Some(request) if request.sent_nanos < sent_before_nanos => {
                    self.slots[slot] = None;
                    self.unanswered -= 1;
                    gone(request);
                }
                Some(_) => break,
                None => {}
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        while self.settled_below < self.next_seq
            && self.slots[self.slot(self.settled_below)].is_none()
        {
            self.settled_below += 1;
        }
    }

    fn slot(&self, seq: u64) -> usize {
        let slots = self.slots.len() as u64;
        fit(seq % slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: u64) -> SentRequest {
        SentRequest { due_nanos: id, sent_nanos: id, written_nanos: 0, message_id: id, queue: 0 }
    }

    #[test]
    fn answers_out_of_order_settle_up_to_the_oldest_waiting() {
        let mut window = Window::new(4);
        (0..3).for_each(|id| window.push(request(id)));
        assert_eq!(window.take(1, 1000).unwrap().message_id, 1);
        assert_eq!(window.settled_below(), 0, "0 still waits");
        assert_eq!(window.take(0, 1000).unwrap().message_id, 0);
        assert_eq!((window.settled_below(), window.unanswered()), (2, 1));
    }

    #[test]
    fn a_stuck_request_stops_the_window_only_when_it_is_full() {
        let mut window = Window::new(4);
        window.push(request(0));
        for id in 1..4 {
            assert!(window.has_room());
            window.push(request(id));
            window.take(id, 1000).unwrap();
        }
        assert!(!window.has_room());
        window.take(0, 1000).unwrap();
        assert!(window.has_room());
        assert_eq!(window.settled_below(), 4);
    }

    #[test]
    fn unknown_and_repeated_answers_are_nobodys() {
        let mut window = Window::new(4);
        window.push(request(0));
        assert!(window.take(5, 1000).is_none());
        assert!(window.take(0, 1000).is_some());
        assert!(window.take(0, 1000).is_none());
    }

    #[test]
    fn numbers_wrap_at_the_modulus() {
        let mut window = Window::new(4);
        for id in 0..25 {
            window.push(request(id));
            assert_eq!(window.take(id % 10, 10).unwrap().message_id, id);
        }
    }

    #[test]
    fn what_was_written_keeps_its_time_when_more_is_written() {
        let mut window = Window::new(4);
        window.push(request(0));
        window.push(request(1));
        window.written(5);
        window.push(request(2));
        window.written(9);
        assert_eq!(
            (0..3).map(|seq| window.take(seq, 1000).unwrap().written_nanos).collect::<Vec<_>>(),
            [5, 5, 9]
        );
    }

    #[test]
    fn only_what_is_old_enough_expires() {
        let mut window = Window::new(8);
        (0..5).for_each(|id| window.push(request(id)));
        window.take(1, 1000);
        let mut gone = Vec::new();
        window.expire(3, |request| gone.push(request.message_id));
        assert_eq!(gone, [0, 2]);
        assert_eq!((window.settled_below(), window.unanswered()), (3, 2));
    }
}
