//! Answers, written into the outgoing bytes of their connection.

pub(crate) mod native;
pub(crate) mod remoting;
