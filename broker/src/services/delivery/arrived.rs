//! How a task learns that there is something to do.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Wakes a task that has nothing to do.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    is_set: Cell<bool>,
    waits: RefCell<Option<Waker>>,
}

impl Arrived {
    /// Something arrived.
    pub(crate) fn notify(&self) {
        self.is_set.set(true);
        if let Some(waker) = self.waits.take() {
            waker.wake();
        }
    }

    /// Completes when something arrived since the last call.
    pub(crate) async fn wait(&self) {
        poll_fn(|context| {
            if self.is_set.take() {
                return Poll::Ready(());
            }
            self.waits.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_before_the_wait_is_not_missed() {
        let arrived = Arrived::default();
        let mut context = std::task::Context::from_waker(Waker::noop());
        let mut is_woken = || std::pin::pin!(arrived.wait()).poll(&mut context).is_ready();
        assert!(!is_woken());
        arrived.notify();
        assert_eq!([is_woken(), is_woken()], [true, false]);
    }
}
