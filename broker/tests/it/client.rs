//! The client of RocketMQ's protocol that all tests share.

pub(crate) use testkit::message::{Stored, long_pull_from, message, pull_from};
pub(crate) use testkit::remoting::{Client, Frame};
