//! Tells tasks that something has changed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Changed {
    changes: Cell<u64>,
    wait: RefCell<Vec<Waker>>,
}

impl Changed {
    /// How many changes there were: taken before one looks, given to [`Self::since`].
    pub(super) fn seen(&self) -> u64 {
        self.changes.get()
    }

    /// Something has changed.
    pub(super) fn notify(&self) {
        self.changes.set(self.changes.get() + 1);
        self.wait.take().into_iter().for_each(Waker::wake);
    }

    /// Completes when something has changed since it was seen.
    pub(super) async fn since(&self, seen: u64) {
        poll_fn(|context| {
            if self.changes.get() != seen {
                return Poll::Ready(());
            }
            let mut wait = self.wait.borrow_mut();
            if !wait.iter().any(|waker| waker.will_wake(context.waker())) {
                wait.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    #[test]
    fn a_change_before_the_wait_is_not_missed_and_wakes_all() {
        let changed = Changed::default();
        let mut context = Context::from_waker(Waker::noop());
        let seen = changed.seen();
        let (mut first, mut second) = (pin!(changed.since(seen)), pin!(changed.since(seen)));
        assert!(first.as_mut().poll(&mut context).is_pending());
        changed.notify();
        assert!(
            first.poll(&mut context).is_ready() && second.as_mut().poll(&mut context).is_ready()
        );
        assert!(pin!(changed.since(changed.seen())).poll(&mut context).is_pending());
    }
}
