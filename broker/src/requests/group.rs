//! Consumer groups at run time: GET_CONSUMER_LIST_BY_GROUP 38, LOCK_BATCH_MQ 41, UNLOCK_BATCH_MQ
//! 42, and the news NOTIFY_CONSUMER_IDS_CHANGED 40 that the broker pushes.

use super::body;
use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::peers::asked::Request;
use crate::shard::Shard;
use netcore::{ConnId, Net};
use protocol::bodies::{ConsumerList, LockBatchRequestBody, LockBatchResponseBody};
use protocol::codes::{request, response};
use protocol::json;
use protocol::remoting::{CommandView, ExtWriter};

/// The client ids of a group: what its members share the queues by.
pub(crate) fn consumer_list(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("consumerGroup")?;
    let Some(group) = shard.tables.consumers.get(&name) else {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("no consumer for this group, {name}"),
        ));
    };
    let list = ConsumerList {
        consumer_id_list: group.members().iter().map(|member| member.client_id.clone()).collect(),
    };
    ticket.ok_body(net, &json::to_fastjson(&list));
    Ok(Done::Answered)
}

/// Locks queues for an orderly consumer; the answer names the ones it got.
pub(crate) fn lock(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let wanted: LockBatchRequestBody = body::read(command)?;
    let now_ms = shard.cx.now_ms();
    // A lock table for groups that do not exist could be filled without end.
    let known = shard.tables.groups.find_or_create(&wanted.consumer_group, now_ms).is_some();
    let granted = if known {
        shard.tables.locks.lock(&wanted.consumer_group, &wanted.client_id, &wanted.mq_set, now_ms)
    } else {
        vec![]
    };
    ticket.answer(
        net,
        response::SUCCESS,
        None,
        |_| {},
        &json::to_fastjson(&LockBatchResponseBody { lock_ok_mq_set: granted }),
    );
    Ok(Done::Answered)
}

/// Gives locks back.
pub(crate) fn unlock(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let given: LockBatchRequestBody = body::read(command)?;
    shard.tables.locks.unlock(&given.consumer_group, &given.client_id, &given.mq_set);
    ticket.ok(net);
    Ok(Done::Answered)
}

/// A member is gone: the others share its queues.
pub(crate) fn leave(shard: &mut Shard, net: &mut Net, group: &str, conn: ConnId) {
    if shard.tables.consumers.leave(group, conn)
        && shard
            .tables
            .groups
            .get(group)
            .is_none_or(|group| group.config.notify_consumer_ids_changed_enable)
    {
        notify_members(shard, net, group);
    }
}

/// Tells every member that the group changed, so that it shares the queues anew now and not in 20
/// seconds.
pub(crate) fn notify_members(shard: &mut Shard, net: &mut Net, name: &str) {
    if !shard.cx.options.process.serve.notify_consumers {
        return;
    }
    let Shard { tables, peers, .. } = shard;
    let Some(group) = tables.consumers.get(name) else { return };
    let ext = |ext: &mut ExtWriter<'_>| ext.str("consumerGroup", name);
    let news = Request { code: request::NOTIFY_CONSUMER_IDS_CHANGED, ext: &ext, body: &[] };
    for member in group.members() {
        peers.asked.tell(net, member.conn, &news);
    }
}
