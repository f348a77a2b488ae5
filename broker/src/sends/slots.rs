//! Where tasks of the broker wait for their messages: one slot for each, reused.
//!
//! ```text
//!   put ─► slot ─ waits ─► settle(outcome) ─► woken, takes it, slot is free
//!            └─ put is dropped ─► abandoned ─► settle ─► slot is free
//! ```

use crate::sends::errors::PutError;
use engine::Appended;
use slab::Slab;
use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Names a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotKey(usize);

#[derive(Debug)]
enum Slot {
    Waits(Option<Waker>),
    Settled(Result<Appended, PutError>),
    /// Its task was dropped.
    Abandoned,
}

/// The slots of one shard. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots(Rc<RefCell<Slab<Slot>>>);

impl Slots {
    /// A slot for a task that will wait.
    pub(crate) fn open(&self) -> SlotKey {
        SlotKey(self.0.borrow_mut().insert(Slot::Waits(None)))
    }

    /// The message of a slot is acknowledged, or never will be.
    pub(crate) fn settle(&self, key: SlotKey, outcome: Result<Appended, PutError>) {
        let mut slots = self.0.borrow_mut();
        let before = std::mem::replace(&mut slots[key.0], Slot::Settled(outcome));
        match before {
            Slot::Waits(waker) => waker.into_iter().for_each(Waker::wake),
            Slot::Abandoned => _ = slots.remove(key.0),
            Slot::Settled(_) => unreachable!("a message is acknowledged once"),
        }
    }

    /// Waits for a slot, which is free afterwards.
    pub(crate) fn wait(&self, key: SlotKey) -> Wait {
        Wait { slots: self.clone(), key: Some(key) }
    }
}

/// See [`Slots::wait`].
#[derive(Debug)]
pub(crate) struct Wait {
    slots: Slots,
    key: Option<SlotKey>,
}

impl Future for Wait {
    type Output = Result<Appended, PutError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let key = self.key.expect("a future is not polled after it was ready");
        let settled = {
            let mut slots = self.slots.0.borrow_mut();
            if let Slot::Waits(waker) = &mut slots[key.0] {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            slots.remove(key.0)
        };
        self.key = None;
        match settled {
            Slot::Settled(outcome) => Poll::Ready(outcome),
            Slot::Waits(_) | Slot::Abandoned => unreachable!("a slot is waited for once"),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut slots = self.slots.0.borrow_mut();
        match &mut slots[key.0] {
            Slot::Settled(_) => _ = slots.remove(key.0),
            waits => *waits = Slot::Abandoned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{PhyOffset, QueueOffset};
    use std::pin::pin;

    fn appended() -> Appended {
        Appended {
            physical_offset: PhyOffset(8),
            bytes: 2,
            queue_offset: QueueOffset(1),
            store_timestamp_ms: 0,
        }
    }

    #[test]
    fn a_slot_is_free_again_once_its_outcome_was_taken() {
        let slots = Slots::default();
        let key = slots.open();
        let mut wait = pin!(slots.wait(key));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        slots.settle(key, Ok(appended()));
        assert!(matches!(wait.as_mut().poll(&mut cx), Poll::Ready(Ok(one)) if one == appended()));
        assert!(slots.0.borrow().is_empty());
    }

    #[test]
    fn a_dropped_wait_leaves_no_slot_behind_whether_it_settles_later_or_did() {
        let slots = Slots::default();
        let (early, late) = (slots.open(), slots.open());
        slots.settle(early, Err(PutError::Busy { waited_ms: 1 }));
        drop((slots.wait(early), slots.wait(late)));
        assert_eq!(slots.0.borrow().len(), 1, "the message of the other is still on its way");
        slots.settle(late, Ok(appended()));
        assert!(slots.0.borrow().is_empty());
    }
}
