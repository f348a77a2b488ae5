//! Answers: who gets one ([`ticket`]), and how it is written, straight into the outgoing bytes of
//! its connection, in RocketMQ's protocol ([`remoting`]) or in ours ([`native`]).
//!
//! What is not here: when a request is answered. That is decided in `requests`, `native`, `sends`
//! and `reads`.

pub(crate) mod native;
pub(crate) mod remoting;
pub(crate) mod ticket;
