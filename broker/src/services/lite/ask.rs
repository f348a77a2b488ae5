//! What a pop of lite topics asks for, as it waits.

use crate::answers::ticket::Ticket;
use std::rc::Rc;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct LiteAsk {
    /// Who gets the answer.
    pub(crate) ticket: Ticket,
    /// The client whose lite topics are looked into.
    pub(crate) client: Rc<str>,
    /// The parent topic's name, shared with its table.
    pub(crate) topic: Rc<str>,
    /// The group's, shared with its table.
    pub(crate) group: Rc<str>,
    /// At most so many messages.
    pub(crate) messages_max: usize,
    /// For how long nobody else gets them, in milliseconds.
    pub(crate) invisible_ms: i64,
    /// Until when it may wait, in milliseconds since 1970.
    pub(crate) until_ms: i64,
    /// What the consumer calls this attempt: the same again gets the same messages.
    pub(crate) attempt_id: Option<Box<str>>,
}
