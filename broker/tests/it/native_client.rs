//! The client of the native protocol that all tests share.

pub use protocol::native::NO_RECORD as WHOLE_FRAME;
pub use testkit::message::record;
pub use testkit::native::{Fetched, Native, fetch, frame, hello, produce};
