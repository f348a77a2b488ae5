//! The client of RocketMQ's protocol that all tests share.

pub use testkit::message::{Stored, long_pull_from, message, pull_from};
pub use testkit::remoting::{Client, Frame};
