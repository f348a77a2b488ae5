//! Who consumes what: QUERY_TOPIC_CONSUME_BY_WHO 300, QUERY_TOPICS_BY_CONSUMER 343,
//! QUERY_SUBSCRIPTION_BY_CONSUMER 345.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use netcore::Net;
use protocol::bodies::{GroupList, QuerySubscriptionResponseBody, TopicList};
use protocol::json;
use protocol::remoting::CommandView;
use std::collections::BTreeSet;

/// The groups of a topic: those that are online and subscribe to it, and those with offsets.
pub(crate) fn groups_of_topic(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let topic = command.ext.require("topic")?;
    let online = shard.tables.consumers.of_topic(&topic);
    let with_offsets = shard.tables.offsets.groups_of(&topic).map(|(group, _)| group);
    let groups: BTreeSet<&str> = online.chain(with_offsets).collect();
    let body = GroupList { group_list: groups.into_iter().map(str::to_owned).collect() };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

/// The topics that a group has offsets for.
pub(crate) fn topics_of_group(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let group = command.ext.require("group")?;
    let body = TopicList {
        broker_addr: Some(shard.cx.options.address.clone()),
        topic_list: Vec::from_iter(shard.tables.offsets.topics_of(&group)),
    };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

/// What a group that is online wants of a topic.
pub(crate) fn subscription(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let group = command.ext.require("group")?;
    let topic = command.ext.require("topic")?;
    let known = shard.tables.consumers.get(&group);
    let subscription = known.and_then(|group| group.subscription(&topic));
    let body = QuerySubscriptionResponseBody {
        subscription_data: subscription.map(|subscription| subscription.data.clone()),
        group: group.into_owned(),
        topic: topic.into_owned(),
    };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}
