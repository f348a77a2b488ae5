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
    awaiting: Cell<usize>,
    freed: Signal,
}

impl Turn {
    pub(crate) async fn take(&self) -> TurnGuard<'_> {
        loop {
            let seen = self.freed.seen();
            if !self.taken.replace(true) {
                return TurnGuard(self);
            }
            let _awaiting = Awaiting::begin(&self.awaiting);
            self.freed.changed_since(seen).await;
        }
    }

    /// Whether somebody waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaiting.get() > 0
    }
}

/// Counts one who waits, until it is dropped.
struct Awaiting<'a>(&'a Cell<usize>);

impl<'a> Awaiting<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Awaiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    #[test]
    fn a_turn_is_awaited_while_somebody_waits_for_it() {
        let turn = Turn::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(turn.take());
        let Poll::Ready(guard) = first.as_mut().poll(&mut context) else { panic!("it is free") };
        assert!(!turn.is_awaited());
        {
            let mut second = pin!(turn.take());
            assert!(second.as_mut().poll(&mut context).is_pending());
            assert!(turn.is_awaited());
        }
        assert!(!turn.is_awaited(), "whoever gave up does not count");
        drop(guard);
    }
}
