//! Consumer groups at run time: GET_CONSUMER_LIST_BY_GROUP 38, LOCK_BATCH_MQ 41, UNLOCK_BATCH_MQ
//! 42, and the news NOTIFY_CONSUMER_IDS_CHANGED 40 that the broker pushes.

use super::client::body;
use crate::answers::remoting::{Caller, Refusal};
use crate::shard::Shard;
use netcore::{ConnId, Net};
use protocol::bodies::{ConsumerList, LockBatchRequestBody, LockBatchResponseBody};
use protocol::codes::{request, response};
use protocol::json;
use protocol::remoting::{CommandHead, CommandView, FLAG_ONEWAY, write_command};

/// The client ids of a group: what its members share the queues by.
pub(super) fn consumer_list(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let name = command.ext.require("consumerGroup")?;
    let Some(group) = shard.consumers.get(&name) else {
        return Err(Refusal::new(
            response::SYSTEM_ERROR,
            format!("no consumer for this group, {name}"),
        ));
    };
    let list = ConsumerList {
        consumer_id_list: group.members().iter().map(|member| member.client_id.clone()).collect(),
    };
    caller.answer(net, response::SUCCESS, None, |_| {}, &json::to_fastjson(&list));
    Ok(())
}

/// Locks queues for an orderly consumer; the answer names the ones it got.
pub(super) fn lock(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let wanted: LockBatchRequestBody = body(command)?;
    let now_ms = shard.now_ms();
    // A lock table for groups that do not exist could be filled without end.
    let known = shard.groups.find_or_create(&wanted.consumer_group, now_ms).is_some();
    let granted = if known {
        shard.locks.lock(&wanted.consumer_group, &wanted.client_id, &wanted.mq_set, now_ms)
    } else {
        vec![]
    };
    caller.answer(
        net,
        response::SUCCESS,
        None,
        |_| {},
        &json::to_fastjson(&LockBatchResponseBody { lock_ok_mq_set: granted }),
    );
    Ok(())
}

/// Gives locks back.
pub(super) fn unlock(
    shard: &mut Shard,
    net: &mut Net,
    caller: Caller,
    command: &CommandView<'_>,
) -> Result<(), Refusal> {
    let given: LockBatchRequestBody = body(command)?;
    shard.locks.unlock(&given.consumer_group, &given.client_id, &given.mq_set);
    caller.ok(net);
    Ok(())
}

/// A member is gone: the others share its queues.
pub(crate) fn leave(shard: &mut Shard, net: &mut Net, group: &str, conn: ConnId) {
    if shard.consumers.leave(group, conn)
        && shard
            .groups
            .get(group)
            .is_none_or(|group| group.config.notify_consumer_ids_changed_enable)
    {
        notify_members(shard, net, group);
    }
}

/// Tells every member that the group changed, so that it shares the queues anew now and not in 20
/// seconds.
pub(super) fn notify_members(shard: &mut Shard, net: &mut Net, group: &str) {
    if !shard.options.process.serve.notify_consumers {
        return;
    }
    let opaque = shard.next_opaque();
    let Some(members) =
        shard.consumers.get(group).map(crate::tables::consumers::ConsumerGroup::members)
    else {
        return;
    };
    for member in members {
        let head = CommandHead {
            code: request::NOTIFY_CONSUMER_IDS_CHANGED,
            opaque,
            flag: FLAG_ONEWAY,
            ..CommandHead::default()
        };
        if let Some(out) = net.out(member.conn) {
            write_command(out.bytes(), &head, |ext| ext.str("consumerGroup", group), &[]);
        }
    }
}
