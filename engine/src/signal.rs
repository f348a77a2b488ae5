//! "Something changed": wakes every task that waits, on one core. No value travels; waiters look
//! again themselves.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Counts changes and wakes who waits for the next one.
#[derive(Default)]
pub(crate) struct Signal {
    changes: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    /// The count to give to [`Signal::changed_since`]. Take it before looking at the state: a
    /// change between looking and waiting is then not missed.
    pub(crate) fn seen(&self) -> u64 {
        self.changes.get()
    }

    pub(crate) fn notify(&self) {
        self.changes.set(self.changes.get() + 1);
        while let Some(waker) = self.waiting.borrow_mut().pop() {
            waker.wake();
        }
    }

    /// Completes once there was a change after `seen`.
    pub(crate) async fn changed_since(&self, seen: u64) {
        poll_fn(|context| {
            if self.changes.get() != seen {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

/// At most one task at a time, across awaits.
#[derive(Default)]
pub(crate) struct Turn {
    taken: Cell<bool>,
    freed: Signal,
}

impl Turn {
    pub(crate) async fn take(&self) -> TurnGuard<'_> {
        loop {
            let seen = self.freed.seen();
            if !self.taken.replace(true) {
                return TurnGuard(self);
            }
            self.freed.changed_since(seen).await;
        }
    }
}

/// Frees the turn when dropped.
pub(crate) struct TurnGuard<'a>(&'a Turn);

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        self.0.taken.set(false);
        self.0.freed.notify();
    }
}
