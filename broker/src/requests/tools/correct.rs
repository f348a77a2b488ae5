//! Offsets of one group from those of others: QUERY_CORRECTION_OFFSET 308, CLONE_GROUP_OFFSET 314.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::QueryCorrectionOffsetBody;
use protocol::codes::response;
use protocol::json;
use protocol::remoting::CommandView;
use std::collections::BTreeMap;

/// The lowest offset that any group has in each queue of a topic, or `i64::MAX` where the group
/// that is compared is further behind than all others.
///
/// Offsets below a queue's first message don't count. Apache forgets the offsets of the groups that
/// are filtered out; here they are only left out. A queue that only the compared group has read
/// makes it fail there; here that queue is the compared group's.
pub(crate) fn correction(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let topic = command.ext.require("topic")?;
    let compared = command.ext.require("compareGroup")?;
    let left_out = command.ext.get("filterGroups").unwrap_or_default();
    let left_out: Vec<&str> = left_out.split(',').filter(|group| !group.is_empty()).collect();
    let mut lowest = BTreeMap::<i32, i64>::new();
    for (group, queues) in shard.tables.offsets.groups_of(&topic) {
        if left_out.contains(&group) {
            continue;
        }
        for (queue_id, offset) in queues {
            let range = shard.cx.store.queue_range(&topic, *queue_id).unwrap_or_default();
            if *offset >= range.min_offset.0 {
                let known = lowest.entry(*queue_id).or_insert(*offset);
                *known = (*known).min(*offset);
            }
        }
    }
    for (queue_id, offset) in shard.tables.offsets.queues(&compared, &topic).into_iter().flatten() {
        let known = lowest.entry(*queue_id).or_insert(*offset);
        if *known > *offset {
            *known = i64::MAX;
        }
    }
    let body = QueryCorrectionOffsetBody { correction_offsets: lowest };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

/// Sets a group to where another one is: in one topic, or in all that the other has offsets for
/// and, unless it counts as offline, subscribes to.
///
/// Apache copies nothing when no topic is named: it looks for the offsets of a topic without a
/// name.
pub(crate) fn clone(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let from = command.ext.require("srcGroup")?;
    let to = command.ext.require("destGroup")?;
    let is_offline = command.ext.get_bool("offline") == Some(true);
    let now_ms = shard.cx.now_ms();
    if shard.tables.groups.find_or_create(&to, now_ms).is_none() {
        // Apache keeps the offsets of a group that can't be; nobody could read with them.
        let remark = format!("subscription group [{to}] does not exist");
        return Err(Refusal::new(response::SUBSCRIPTION_GROUP_NOT_EXIST, remark));
    }
    let topics = match command.ext.get("topic").filter(|topic| !topic.trim().is_empty()) {
        Some(topic) => vec![topic.into_owned()],
        None => Vec::from_iter(shard.tables.offsets.topics_of(&from)),
    };
    for topic in topics {
        let tables = &mut shard.tables;
        let is_wanted = is_offline
            || tables.consumers.get(&from).is_none_or(|group| {
                group.subscriptions().next().is_none() || group.subscription(&topic).is_some()
            });
        if is_wanted && tables.topics.get(&topic).is_some() {
            tables.offsets.copy(&from, &to, &topic, now_ms);
        }
    }
    ticket.ok(net);
    Ok(Done::Answered)
}
