//! Where tasks of the broker wait for their messages: one slot for each, reused.
//!
//! ```text
//!   put ─► slot ─ waits ─► stored(place) ─► settle(outcome) ─► woken, takes it, slot is free
//!            └─ put is dropped ─► abandoned ─────► settle ─► slot is free
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
struct Slot {
    /// Where its message is, once it is stored.
    place: Option<Appended>,
    state: State,
}

#[derive(Debug)]
enum State {
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
        SlotKey(self.0.borrow_mut().insert(Slot { place: None, state: State::Waits(None) }))
    }

    /// The message of a slot is in the log; it is not acknowledged.
    pub(crate) fn stored(&self, key: SlotKey, place: Appended) {
        self.0.borrow_mut()[key.0].place = Some(place);
    }

    /// Where the message of a slot is.
    pub(crate) fn place(&self, key: SlotKey) -> Appended {
        self.0.borrow()[key.0].place.expect("it is told before it is asked")
    }

    /// The message of a slot is acknowledged, or never will be.
    pub(crate) fn settle(&self, key: SlotKey, outcome: Result<Appended, PutError>) {
        let mut slots = self.0.borrow_mut();
        let before = std::mem::replace(&mut slots[key.0].state, State::Settled(outcome));
        match before {
            State::Waits(waker) => waker.into_iter().for_each(Waker::wake),
            State::Abandoned => _ = slots.remove(key.0),
            State::Settled(_) => unreachable!("a message is acknowledged once"),
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
            if let State::Waits(waker) = &mut slots[key.0].state {
                *waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            slots.remove(key.0).state
        };
        self.key = None;
        match settled {
            State::Settled(outcome) => Poll::Ready(outcome),
            State::Waits(_) | State::Abandoned => unreachable!("a slot is waited for once"),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut slots = self.slots.0.borrow_mut();
        match &mut slots[key.0].state {
            State::Settled(_) => _ = slots.remove(key.0),
            waits => *waits = State::Abandoned,
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
