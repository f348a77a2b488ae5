//! Members of groups: what clients say in their heartbeats.

use crate::client::{Client, Frame};
use protocol::bodies::{ConsumerData, HeartbeatData, MessageModel, ProducerData, SubscriptionData};
use protocol::codes::request;
use protocol::json;

/// A consumer of `group`, subscribed to all of these topics, clustering.
pub(crate) fn consumer(group: &str, topics: &[&str]) -> ConsumerData {
    let subscription = |topic: &&str| SubscriptionData::from_tags(topic, "*", 1);
    ConsumerData {
        group_name: group.to_owned(),
        subscription_data_set: topics.iter().map(subscription).collect(),
        ..ConsumerData::default()
    }
}

/// The same, broadcasting.
pub(crate) fn broadcaster(group: &str, topics: &[&str]) -> ConsumerData {
    ConsumerData { message_model: MessageModel::Broadcasting, ..consumer(group, topics) }
}

/// A heartbeat with these consumers and producer groups, and its answer.
pub(crate) fn heartbeat(
    client: &mut Client,
    id: &str,
    consumers: &[ConsumerData],
    producer_groups: &[&str],
) -> Frame {
    let producer = |group: &&str| ProducerData { group_name: (*group).to_owned() };
    let beat = HeartbeatData {
        client_id: id.to_owned(),
        consumer_data_set: consumers.to_vec(),
        producer_data_set: producer_groups.iter().map(producer).collect(),
        ..HeartbeatData::default()
    };
    client.call_with(request::HEART_BEAT, &[], &json::to_fastjson(&beat))
}

/// Joins `group`, which wants these topics.
pub(crate) fn joins(client: &mut Client, id: &str, group: &str, topics: &[&str]) {
    let reply = heartbeat(client, id, &[consumer(group, topics)], &[]);
    assert_eq!(reply.code, 0, "{reply:?}");
}
