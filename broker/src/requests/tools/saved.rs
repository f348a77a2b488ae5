//! Tables as their files have them: GET_ALL_CONSUMER_OFFSET 43, GET_ALL_DELAY_OFFSET 45,
//! GET_BROKER_EPOCH_CACHE 1007, and RingMQ's own GET_ALL_POP_ORDERS.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::EpochEntryCache;
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

/// Which masters' lives wrote the log. Apache's broker answers it in controller mode only.
pub(crate) fn epochs(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let options = &shard.cx.options;
    let cache = EpochEntryCache {
        broker_id: options.process.replication.broker_id(),
        broker_name: options.broker.clone(),
        cluster_name: options.process.cluster.clone(),
        epoch_list: shard.tables.epochs.entries(),
        max_offset: shard.cx.store.appended().as_i64(),
    };
    ticket.ok_body(net, &json::to_fastjson(&cache));
    Ok(Done::Answered)
}

/// What ordered pops have handed out and is not acknowledged, as `consumerOrderInfo.json` has it.
pub(crate) fn pop_orders(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    ticket.ok_body(net, &json::to_fastjson(shard.tables.pop_orders.wrapper()));
    Ok(Done::Answered)
}
