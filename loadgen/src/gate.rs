//! The start of generator threads: all together, or none.
//!
//! A barrier would wait for ever for a thread that could not connect. Here each thread has a
//! ticket. A ticket that is dropped before it has passed, by an error or a panic, opens the way
//! back for all others, and so does the stop flag.

use crate::signals::Stop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a waiting thread looks at the stop flag, which can't wake it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Waiting {
    missing: usize,
    given_up: bool,
}

/// The place where generators wait for each other. Owned by the phase; a thread has a [`Ticket`].
#[derive(Debug)]
pub struct StartGate {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl StartGate {
    /// A gate that opens when `threads` have arrived.
    #[must_use]
    pub fn new(threads: usize) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { missing: threads, given_up: false });
        Arc::new(Self { waiting, changed: Condvar::new() })
    }

    /// Nobody starts any more.
    pub fn give_up(&self) {
        self.lock().given_up = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread's right to start.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<StartGate>,
    passed: bool,
}

impl Ticket {
    /// A ticket of this gate.
    #[must_use]
    pub fn of(gate: &Arc<StartGate>) -> Self {
        Self { gate: Arc::clone(gate), passed: false }
    }

    /// Whether another thread could not start.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.gate.lock().given_up
    }

    /// Waits for all others. False when one of them can't start, or when `stop` is set.
    #[must_use]
    pub fn pass(mut self, stop: &Stop) -> bool {
        let gate = Arc::clone(&self.gate);
        let mut waiting = gate.lock();
        waiting.missing = waiting.missing.saturating_sub(1);
        gate.changed.notify_all();
        while waiting.missing > 0 && !waiting.given_up && !stop.is_set() {
            let woken = gate.changed.wait_timeout(waiting, LOOK_EVERY);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.passed = waiting.missing == 0 && !waiting.given_up;
        drop(waiting);
        self.passed
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.passed {
            self.gate.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_start_together() {
        let gate = StartGate::new(3);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let ticket = Ticket::of(&gate);
                std::thread::spawn(move || ticket.pass(&Stop::default()))
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    }

    #[test]
    fn one_that_fails_sends_the_others_back() {
        let gate = StartGate::new(2);
        let (fails, waits) = (Ticket::of(&gate), Ticket::of(&gate));
        let thread = std::thread::spawn(move || waits.pass(&Stop::default()));
        drop(fails);
        assert!(!thread.join().unwrap());
        assert!(Ticket::of(&gate).is_void(), "nobody starts later either");
    }

    #[test]
    fn a_signal_sends_all_back() {
        let gate = StartGate::new(2);
        let stop = Stop::default();
        let (ticket, of_thread) = (Ticket::of(&gate), stop.clone());
        let thread = std::thread::spawn(move || ticket.pass(&of_thread));
        stop.set();
        assert!(!thread.join().unwrap(), "the second never came");
    }
}
