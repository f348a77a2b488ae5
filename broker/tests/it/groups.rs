//! Consumer groups over real connections: who is in, who is told, who has which queue.

use crate::client::{Client, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::bodies::{ConsumerList, LockBatchResponseBody};
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::json::from_lenient;
use std::time::Duration;

/// A heartbeat as Java's push consumer sends it.
fn heartbeat(client: &mut Client, id: &str, expression: &str, version: i64) {
    let subscription = format!(
        concat!(
            r#"{{"classFilterMode":false,"codeSet":[],"expressionType":"TAG","#,
            r#""subString":"{expression}","subVersion":{version},"tagsSet":[],"topic":"T"}}"#,
        ),
        expression = expression,
        version = version,
    );
    let consumer = format!(
        concat!(
            r#"{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","#,
            r#""groupName":"g","messageModel":"CLUSTERING","#,
            "\n        ",
            r#""subscriptionDataSet":[{subscription}],"unitMode":false}}"#,
        ),
        subscription = subscription,
    );
    let body = format!(
        concat!(
            r#"{{"clientID":"{id}","consumerDataSet":[{consumer}],"heartbeatFingerprint":0,"#,
            r#""producerDataSet":[{{"groupName":"p"}}]}}"#,
        ),
        id = id,
        consumer = consumer,
    );
    let reply = client.call_with(request::HEART_BEAT, &[], body.as_bytes());
    assert_eq!(
        (
            reply.code,
            reply.version,
            reply.field("IS_SUPPORT_HEART_BEAT_V2"),
            reply.field("IS_SUB_CHANGE")
        ),
        (0, 513, "true", "true")
    );
}

fn members(client: &mut Client) -> Vec<String> {
    let reply = client.call(request::GET_CONSUMER_LIST_BY_GROUP, &[("consumerGroup", "g")]);
    if reply.code == response::SYSTEM_ERROR {
        return vec![];
    }
    let mut list = from_lenient::<ConsumerList>(&reply.body).unwrap().consumer_id_list;
    list.sort();
    list
}

#[test]
fn members_hear_of_each_other_and_of_their_ends() {
    let cluster = Cluster::start(1, &[]);
    let (mut first, mut second, mut third) =
        (cluster.client(0), cluster.client(0), cluster.client(0));
    assert!(members(&mut first).is_empty());
    heartbeat(&mut first, "c1", "*", 1);
    assert_eq!(first.push(request::NOTIFY_CONSUMER_IDS_CHANGED).field("consumerGroup"), "g");
    heartbeat(&mut second, "c2", "*", 1);
    first.push(request::NOTIFY_CONSUMER_IDS_CHANGED);
    second.push(request::NOTIFY_CONSUMER_IDS_CHANGED);
    heartbeat(&mut third, "c3", "*", 1);
    assert_eq!(members(&mut first), ["c1", "c2", "c3"]);
    first.push(request::NOTIFY_CONSUMER_IDS_CHANGED);
    second.push(request::NOTIFY_CONSUMER_IDS_CHANGED);

    drop(third);
    first.push(request::NOTIFY_CONSUMER_IDS_CHANGED);
    assert_eq!(members(&mut first), ["c1", "c2"]);
    assert_eq!(
        second.call(request::UNREGISTER_CLIENT, &[("clientID", "c2"), ("consumerGroup", "g")]).code,
        0
    );
    first.push(request::NOTIFY_CONSUMER_IDS_CHANGED);
    assert_eq!(members(&mut second), ["c1"]);
    heartbeat(&mut first, "c1", "*", 2);
    assert!(
        first.others.is_empty() && first.receive_within(Duration::from_millis(200)).is_none(),
        "nothing changed"
    );
}

#[test]
fn a_groups_retry_topic_is_in_the_route_from_its_first_heartbeat_on() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    heartbeat(&mut client, "c1", "*", 1);
    eventually("the retry topic is in the route", || {
        cluster.brokers_of("%RETRY%g") == ["broker-a"]
    });
}

#[test]
fn the_heartbeats_subscription_decides_what_a_bare_pull_gets() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for (tag, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        client.put("T", tag, text);
    }
    heartbeat(&mut client, "c1", "a || c", 5);
    let bare = PullHeader { sys_flag: 0, subscription: None, ..pull_from("T", 0) };
    let reply = client.pull(&bare);
    let texts: Vec<_> = reply.messages().iter().map(|message| message.text().to_owned()).collect();
    assert_eq!((texts, reply.number("nextBeginOffset")), (vec!["1".to_owned(), "3".to_owned()], 3));
    assert_eq!(
        client.pull(&PullHeader { sub_version: 6, ..bare }).code,
        response::SUBSCRIPTION_NOT_LATEST
    );
    assert_eq!(
        client.pull(&PullHeader { topic: "TBW102", ..bare }).code,
        response::SUBSCRIPTION_NOT_EXIST
    );
}

#[test]
fn a_queue_is_locked_by_one_consumer() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let body = |id: &str| {
        let queue = |id: u8| format!(r#"{{"brokerName":"broker-a","queueId":{id},"topic":"T"}}"#);
        format!(
            r#"{{"clientId":"{id}","consumerGroup":"g","mqSet":[{},{}],"onlyThisBroker":false}}"#,
            queue(0),
            queue(1)
        )
    };
    let mut lock = |id: &str| {
        let reply = client.call_with(request::LOCK_BATCH_MQ, &[], body(id).as_bytes());
        from_lenient::<LockBatchResponseBody>(&reply.body).unwrap().lock_ok_mq_set.len()
    };
    assert_eq!([lock("c1"), lock("c2"), lock("c1")], [2, 0, 2]);
    assert_eq!(client.call_with(request::UNLOCK_BATCH_MQ, &[], body("c1").as_bytes()).code, 0);
    let reply = client.call_with(request::LOCK_BATCH_MQ, &[], body("c2").as_bytes());
    assert_eq!(from_lenient::<LockBatchResponseBody>(&reply.body).unwrap().lock_ok_mq_set.len(), 2);
}
