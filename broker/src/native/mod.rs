//! The native protocol's requests (docs/FORMATS.md), one file per family. The table in `desk::rows`
//! leads here.
//!
//! ```text
//!   frame ──prefix──► desk ──► hello | produce | fetch | offsets | route | ping
//!                              header read in place; records checked in place, copied once
//! ```
//!
//! Everything here works on the same tables and the same store as RocketMQ's requests: a message
//! produced natively is pulled by a Java client and the other way round.

pub(crate) mod fetch;
pub(crate) mod hello;
pub(crate) mod offsets;
pub(crate) mod ping;
pub(crate) mod produce;
mod records;
pub(crate) mod route;
mod waiting;
