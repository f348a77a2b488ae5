//! The answer of a client, on its way to the task that waits for it.
//!
//! ```text
//!   task ──ask──► client
//!    │ Awaited                    frame ─► Slot::give ─► task runs again
//!    └────── one shared place ──────┘
//! ```
//!
//! Both ends belong to one core; whichever is dropped first takes nothing from the other.

use protocol::remoting::CommandView;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What a client answered, owned: its frame is gone when the task runs. Its header's fields are not
/// among it: no client's answer has any, and a field's name comes unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientAnswer {
    /// `protocol::codes::response`.
    pub(crate) code: i32,
    /// A text for people.
    pub(crate) remark: Option<String>,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl ClientAnswer {
    /// Copies it out of its frame.
    pub(super) fn of(command: &CommandView<'_>) -> Self {
        Self {
            code: command.code,
            remark: command.remark().map(|remark| remark.into_owned()),
            body: command.body.to_vec(),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It did not come in time.
    #[error("it did not answer in time")]
    Late,
    /// The connection is gone.
    #[error("its connection is gone")]
    Gone,
    /// The broker waits for as many answers as it may.
    #[error("the broker waits for too many answers of clients already")]
    TooMany,
}

type Outcome = Result<ClientAnswer, NoAnswer>;

#[derive(Debug, Default)]
struct Shared {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Where the answer is put.
#[derive(Debug)]
pub(super) struct Slot(Rc<RefCell<Shared>>);

/// What the task waits for.
#[derive(Debug)]
pub(crate) struct Awaited(Rc<RefCell<Shared>>);

/// Both ends of one answer.
pub(super) fn pair() -> (Slot, Awaited) {
    let shared = Rc::<RefCell<Shared>>::default();
    (Slot(shared.clone()), Awaited(shared))
}

impl Slot {
    /// Ends the wait.
    pub(super) fn give(self, outcome: Outcome) {
        let waker = {
            let mut shared = self.0.borrow_mut();
            shared.outcome = Some(outcome);
            shared.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Awaited {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut shared = self.0.borrow_mut();
        match shared.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
