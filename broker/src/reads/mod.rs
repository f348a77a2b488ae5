//! Reads of one queue: RocketMQ's pulls and native fetches on one path, with two encoders.
//!
//! ```text
//!   check ──► Store::read ──found──► header + slices of the tail (nothing of a body is touched)
//!                │  └─cold──► task: Store::read_cold ──► the same
//!                └─nothing──► long poll, when the client lets it ──message or time──► read once more,
//!                                                                answered whatever it finds
//! ```
//!
//! Reading order: [`filter`], [`sql`], [`read`] (what is asked), [`allowed`], [`long_polls`],
//! [`pop_ask`] and [`pop_polls`] (what POP waits for), [`admission`], [`run`] (the
//! path), [`pull_answer`] and [`fetch_answer`] (the encoders).

pub(crate) mod admission;
pub(crate) mod allowed;
pub(crate) mod fetch_answer;
pub(crate) mod filter;
mod lists;
pub(crate) mod long_polls;
pub(crate) mod pop_ask;
pub(crate) mod pop_polls;
pub(crate) mod pull_answer;
pub(crate) mod read;
pub(crate) mod run;
pub(crate) mod sql;
pub(crate) mod state;
