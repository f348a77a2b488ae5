//! Tables as their files have them: GET_ALL_CONSUMER_OFFSET 43, GET_ALL_DELAY_OFFSET 45.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::json;
use protocol::remoting::CommandView;

/// How far every group is, as `consumerOffset.json` has it.
pub(crate) fn consumer_offsets(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    ticket.ok_body(net, &json::to_fastjson(&shard.tables.offsets.wrapper()));
    Ok(Done::Answered)
}

/// How far every delay level is delivered, as `delayOffset.json` has it: up to date, while the file
/// waits until what was delivered is flushed.
pub(crate) fn delay_offsets(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    ticket.ok_body(net, &json::to_fastjson(&shard.tables.delay_offsets.wrapper()));
    Ok(Done::Answered)
}
