//! RocketMQ's requests, one file per family. The table in `desk::rows` leads here.
//!
//! None blocks, none panics on what a peer sends: a header that can't be read is SYSTEM_ERROR with
//! the reason. A handler either answers now, or gives a task back, or lets the request wait.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod end_transaction;
pub(crate) mod group;
pub(crate) mod lite;
pub(crate) mod offsets;
pub(crate) mod pop;
pub(crate) mod pull;
pub(crate) mod query;
pub(crate) mod recall;
pub(crate) mod reply;
pub(crate) mod runtime_info;
pub(crate) mod send;
pub(crate) mod send_back;
mod send_target;
mod send_timer;
mod subscription;
pub(crate) mod tools;
pub(crate) mod topic;
pub(crate) mod view;
