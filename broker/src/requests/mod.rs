//! The requests a broker answers, one file per family.
//!
//! ```text
//!   send ── 10, 310, 320            pull ── 11, 361             offsets ── 14, 15, 29–32
//!   client ── 34, 35, 46            group ── 38, 41, 42         topic ── 17, 21, 215, 305, 351
//!   view ── 33                      query ── 12                 everything else ── 3, and why
//! ```
//!
//! Each answers into the caller's outgoing bytes, at once or later ([`Caller`] is what it keeps).
//! None blocks, none panics on what a peer sends: a header that can't be read is SYSTEM_ERROR with
//! the reason.

mod acknowledge;
mod client;
mod group;
mod offsets;
mod properties;
mod pull;
mod pull_check;
mod query;
mod send;
mod send_batch;
mod send_check;
mod topic;
mod view;
mod waiting;

pub(crate) use acknowledge::{answer_acknowledged, answer_overdue};
pub(crate) use group::leave as leave_group;
pub(crate) use properties::CommonProperties;
pub(crate) use pull::{Pull, wake as wake_pull};
pub(crate) use send::Outcome;
pub(crate) use send::common_fields as send_answer_fields;
pub(crate) use topic::delete_here as delete_topic_here;
pub(crate) use waiting::{refuse_overdue as refuse_overdue_sends, wait_for_room};

use crate::answers::remoting::{Caller, Refusal};
use crate::shard::Shard;
use netcore::Net;
use protocol::codes::{request, response};
use protocol::remoting::{CommandView, HeaderError};

/// Answers one request. `frame` is what `command` was read from.
pub(crate) fn dispatch(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
    frame: &[u8],
) {
    match command.code {
        request::SEND_MESSAGE_V2 | request::SEND_MESSAGE | request::SEND_BATCH_MESSAGE => {
            send::handle(shard, net, caller, command, frame);
        }
        request::PULL_MESSAGE | request::LITE_PULL_MESSAGE => {
            pull::handle(shard, net, caller, command)
        }
        code => {
            if let Err(refusal) = others(shard, net, caller, command, code) {
                caller.refuse(net, &refusal);
            }
        }
    }
}

fn others(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
    code: i32,
) -> Result<(), Refusal> {
    match code {
        request::QUERY_CONSUMER_OFFSET => offsets::query(shard, net, caller, command),
        request::UPDATE_CONSUMER_OFFSET => offsets::update(shard, net, caller, command),
        request::GET_MAX_OFFSET => offsets::max(shard, net, caller, command),
        request::GET_MIN_OFFSET => offsets::min(shard, net, caller, command),
        request::SEARCH_OFFSET_BY_TIMESTAMP => offsets::by_time(shard, caller, command),
        request::GET_EARLIEST_MSG_STORETIME => offsets::earliest(shard, caller, command),
        request::HEART_BEAT => client::heartbeat(shard, net, caller, command),
        request::UNREGISTER_CLIENT => client::unregister(shard, net, caller, command),
        request::CHECK_CLIENT_CONFIG => client::check_config(net, caller, command),
        request::GET_CONSUMER_LIST_BY_GROUP => group::consumer_list(shard, net, caller, command),
        request::LOCK_BATCH_MQ => group::lock(shard, net, caller, command),
        request::UNLOCK_BATCH_MQ => group::unlock(shard, net, caller, command),
        request::UPDATE_AND_CREATE_TOPIC => topic::update(shard, net, caller, command),
        request::DELETE_TOPIC_IN_BROKER => topic::delete(shard, net, caller, command),
        request::GET_ALL_TOPIC_CONFIG => topic::all(shard, net, caller),
        request::GET_TOPIC_CONFIG => topic::one(shard, net, caller, command),
        request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER => topic::system(shard, net, caller),
        request::QUERY_MESSAGE => query::by_key(shard, net, caller, command),
        request::VIEW_MESSAGE_BY_ID => view::by_id(shard, net, caller, command),
        request::CONSUMER_SEND_MSG_BACK => Err(Refusal::new(
            response::SYSTEM_ERROR,
            "delayed retries are not in this version of RingMQ: nothing was stored, consume the message again later",
        )),
        _ => Err(Refusal::new(
            response::REQUEST_CODE_NOT_SUPPORTED,
            format!(" request type {code} not supported"),
        )),
    }
}

/// A header that can't be read, as Apache RocketMQ answers it: SYSTEM_ERROR with the reason.
impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::new(response::SYSTEM_ERROR, error.to_string())
    }
}
