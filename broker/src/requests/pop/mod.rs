//! The requests of POP: 200050 takes messages, 200051 and 200151 acknowledge them, 200053 gives
//! them another invisible time, 200054, 200052 and 200055 look, 400 to 402 say who consumes what.
//! What they do is in [`crate::services::pop`].

pub(crate) mod ack;
mod allocate;
pub(crate) mod assignment;
pub(crate) mod checks;
pub(crate) mod invisible;
pub(crate) mod look;
pub(crate) mod message;
