//! Who is connected: GET_CONSUMER_CONNECTION_LIST 203, GET_PRODUCER_CONNECTION_LIST 204,
//! GET_ALL_PRODUCER_INFO 328.

use crate::answers::remoting::Refusal;
use crate::answers::ticket::{Done, Ticket};
use crate::shard::Shard;
use crate::tables::consumers::Member;
use netcore::{ConnId, Net};
use protocol::bodies::{
    Connection, ConsumerConnection, ProducerConnection, ProducerInfo, ProducerTableInfo,
};
use protocol::codes::{language, response};
use protocol::json;
use protocol::remoting::CommandView;

/// The members of a consumer group, and what the group wants.
pub(crate) fn consumers(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("consumerGroup")?;
    let Some(group) = shard.tables.consumers.get(&name) else {
        let remark = format!("the consumer group[{name}] not online");
        return Err(Refusal::new(response::CONSUMER_NOT_ONLINE, remark));
    };
    let subscriptions = group.subscriptions();
    let body = ConsumerConnection {
        connection_set: connections(net, group.members()),
        consume_from_where: group.style.from,
        consume_type: group.style.consume_type,
        message_model: group.style.model,
        subscription_table: subscriptions
            .map(|subscription| (subscription.data.topic.clone(), subscription.data.clone()))
            .collect(),
    };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

/// The members of a producer group.
pub(crate) fn producers(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    command: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let name = command.ext.require("producerGroup")?;
    let Some(members) = shard.tables.producers.members(&name) else {
        let remark = format!("the producer group[{name}] not exist");
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    };
    let body = ProducerConnection { connection_set: connections(net, members) };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

/// All producers, by group.
pub(crate) fn all_producers(
    shard: &mut Shard,
    net: &mut Net,
    ticket: Ticket,
    _: &CommandView<'_>,
) -> Result<Done, Refusal> {
    let info = |member: &Member<ConnId>| ProducerInfo {
        client_id: member.client_id.clone(),
        language: language::name(member.language).to_owned(),
        last_update_timestamp: member.seen_ms,
        // As Java prints an address that was never looked up by name.
        remote_ip: format!("/{}", address(net, member)),
        version: member.version,
    };
    let groups = shard.tables.producers.all();
    let data =
        groups.map(|(group, members)| (group.to_owned(), members.iter().map(info).collect()));
    let body = ProducerTableInfo { data: data.collect() };
    ticket.ok_body(net, &json::to_fastjson(&body));
    Ok(Done::Answered)
}

fn connections(net: &Net, members: &[Member<ConnId>]) -> Vec<Connection> {
    let connection = |member: &Member<ConnId>| Connection {
        client_addr: address(net, member),
        client_id: member.client_id.clone(),
        language: language::name(member.language).to_owned(),
        version: member.version,
    };
    members.iter().map(connection).collect()
}

/// Empty in the turn in which the connection ends.
fn address(net: &Net, member: &Member<ConnId>) -> String {
    net.peer(member.conn).map(|peer| peer.to_string()).unwrap_or_default()
}
