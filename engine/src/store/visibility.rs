//! What consumers see, and who is told of it.
//!
//! ```text
//!   visible ≤ dispatched ≤ appended     visible ≤ acknowledged where producers wait
//! ```

use super::arrivals::{Arrivals, Hidden};
use crate::signal::Signal;
use std::cell::RefCell;

#[derive(Default)]
pub(super) struct Visibility {
    /// Queues with new messages, for whoever waits for them.
    pub(super) arrivals: RefCell<Arrivals>,
    /// Dispatched messages that consumers may not see yet.
    pub(super) hidden: RefCell<Hidden>,
    /// Producers may be answered; not used where appending is enough.
    pub(super) acknowledged: Signal,
}
