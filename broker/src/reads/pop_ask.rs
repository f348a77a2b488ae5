//! What a pop asks for, as it waits: all that is needed to run it, now or when it is woken.

use super::filter::Filter;
use crate::answers::ticket::Ticket;
use std::rc::Rc;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct PopAsk {
    /// Who gets the answer.
    pub(crate) ticket: Ticket,
    /// The topic's name, shared with its table.
    pub(crate) topic: Rc<str>,
    /// The group's, shared with its table.
    pub(crate) group: Rc<str>,
    /// The queue; below 0: all.
    pub(crate) queue_id: i32,
    /// What it is.
    pub(crate) kind: PopKind,
    /// Which messages.
    pub(crate) filter: Filter,
    /// Until when it may wait, in milliseconds since 1970.
    pub(crate) until_ms: i64,
    /// Ordered consumption.
    pub(crate) order: bool,
    /// What an ordered consumer calls this attempt: the same again gets the same messages.
    pub(crate) attempt_id: Option<Box<str>>,
}

/// What only a pop, or only a NOTIFICATION has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PopKind {
    /// POP_MESSAGE.
    Pop {
        /// At most so many messages.
        messages_max: usize,
        /// For how long nobody else gets them, in milliseconds.
        invisible_ms: i64,
        /// A group without an offset begins at the end.
        begins_at_end: bool,
    },
    /// NOTIFICATION: whether there is a message.
    Notification,
}
