//! The client of the native protocol that all tests share.

pub(crate) use protocol::native::NO_RECORD as WHOLE_FRAME;
pub(crate) use testkit::message::record;
pub(crate) use testkit::native::{Fetched, Native, fetch, frame, hello, produce};
