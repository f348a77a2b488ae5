//! Topics: who may make one, which attributes, which names.

use super::{change_config, read_config, stop};
use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::native_client::Native;
use protocol::bodies::TopicList;
use protocol::codes::{request, response};
use protocol::json::from_lenient;
use protocol::native::ErrorCode;

/// UPDATE_AND_CREATE_TOPIC.
fn create(client: &mut Client, topic: &str, attributes: &str) -> i32 {
    let ext = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
        ("attributes", attributes),
    ];
    client.call(request::UPDATE_AND_CREATE_TOPIC, &ext).code
}

fn exists(client: &mut Client, topic: &str) -> bool {
    client.call(request::GET_TOPIC_CONFIG, &[("topic", topic), ("lo", "true")]).code == 0
}

#[test]
fn no_topic_is_made_by_itself_where_that_was_allowed_when_the_store_was_made() {
    let mut cluster = Cluster::start(1, &["autoCreateTopicEnable=true"]);
    cluster.client(0).put("Before", "", "made by this message");
    stop(&mut cluster);
    cluster.restart_broker_with(&["autoCreateTopicEnable=false"]);
    let mut client = cluster.client(0);
    let refused = client.send_message(&message("After"), b"x");
    assert_eq!(refused.code, response::TOPIC_NOT_EXIST, "{refused:?}");
    let (code, _, reason) = Native::connect(&cluster).create("AfterNative").error();
    assert_eq!(code, ErrorCode::Topic, "{reason}");
    assert!(!exists(&mut client, "After") && !exists(&mut client, "AfterNative"));
    client.put("Before", "", "what exists goes on");
    assert_eq!(create(&mut client, "ByRequest", ""), 0, "an operator may");
}

#[test]
fn a_topics_attributes_are_checked() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for (nth, attributes) in [
        "+no.such.key=1",
        "+message.type=SOMETHING",
        "+queue.type=WrongCQ",
        "+cleanup.policy=NEVER",
        "message.type=NORMAL",
        "-message.type",
        "+message.type=NORMAL,+message.type=FIFO",
    ]
    .into_iter()
    .enumerate()
    {
        let topic = format!("Refused{nth}");
        let code = create(&mut client, &topic, attributes);
        assert_eq!(code, response::SYSTEM_ERROR, "{attributes}");
        assert!(!exists(&mut client, &topic), "{attributes}");
    }
    let accepted = ["", "+message.type=FIFO", "+queue.type=SimpleCQ,+cleanup.policy=DELETE"];
    for (nth, attributes) in accepted.into_iter().enumerate() {
        assert_eq!(create(&mut client, &format!("Accepted{nth}"), attributes), 0, "{attributes}");
    }
    let late = create(&mut client, "Accepted0", "+queue.type=SimpleCQ");
    assert_eq!(late, response::SYSTEM_ERROR, "only creation can set it");
}

#[test]
fn queues_of_a_kind_that_is_not_here_are_refused() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for attributes in ["+queue.type=BatchCQ", "+cleanup.policy=COMPACTION"] {
        assert_ne!(create(&mut client, "T", attributes), 0, "{attributes}");
        assert!(!exists(&mut client, "T"), "{attributes}");
    }
}

#[test]
fn names_that_do_not_conform_are_kept_and_not_served() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    client.pull(&pull_from("T", 0)); // makes the group
    stop(&mut cluster);
    change_config(&cluster, "topics.json", |json| {
        let table = &mut json["topicConfigTable"];
        table["bad topic!"] = table["T"].clone();
        table["bad topic!"]["topicName"] = "bad topic!".into();
    });
    change_config(&cluster, "subscriptionGroup.json", |json| {
        let table = &mut json["subscriptionGroupTable"];
        table["bad group!"] = table["g"].clone();
        table["bad group!"]["groupName"] = "bad group!".into();
    });
    cluster.restart_broker();
    let mut client = cluster.client(0);
    client.put("T", "", "goes on");
    let refused = client.send_message(&message("bad topic!"), b"x");
    assert_eq!(refused.code, response::INVALID_PARAMETER, "{refused:?}");
    eventually("the log names both", || {
        let log = cluster.broker.log();
        log.contains("bad topic!") && log.contains("bad group!")
    });
    // Both files are written anew.
    client.put("New", "", "x");
    client.pull(&protocol::headers::PullHeader { consumer_group: "new", ..pull_from("T", 0) });
    stop(&mut cluster);
    let topics = &read_config(&cluster, "topics.json")["topicConfigTable"];
    let groups = &read_config(&cluster, "subscriptionGroup.json")["subscriptionGroupTable"];
    assert!(topics.get("New").is_some() && groups.get("new").is_some(), "they were saved");
    assert_eq!(topics["bad topic!"]["topicName"], "bad topic!");
    assert_eq!(groups["bad group!"]["groupName"], "bad group!");
}

#[test]
fn the_systems_topics_are_apaches() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let reply = client.call(request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[]);
    let listed = from_lenient::<TopicList>(&reply.body).unwrap().topic_list;
    for name in ["RMQ_SYS_TRACE_TOPIC", "TRANS_CHECK_MAX_TIME_TOPIC", "CHECKPOINT_TOPIC"] {
        assert!(listed.iter().any(|topic| topic == name), "{name} in {listed:?}");
    }
    assert_eq!(create(&mut client, "CHECKPOINT_TOPIC", ""), response::INVALID_PARAMETER);
    let deleted =
        client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "CHECKPOINT_TOPIC")]).code;
    assert_eq!(deleted, response::INVALID_PARAMETER);
}

#[test]
fn a_topic_made_on_one_shard_is_not_on_its_sibling() {
    let cluster = Cluster::start(2, &[]);
    let (mut first, mut second) = (cluster.client(0), cluster.client(1));
    first.put("BySend", "", "x");
    assert_eq!(create(&mut first, "ByRequest", ""), 0);
    Native::connect(&cluster).create("ByRoute");
    for topic in ["BySend", "ByRequest", "ByRoute"] {
        eventually("it is in the route", || !cluster.brokers_of(topic).is_empty());
    }
    // A message to the sibling's own topic passes through the same mailboxes and registrations as
    // the news of the three would.
    second.put("Own", "", "x");
    eventually("the sibling has registered", || cluster.brokers_of("Own") == ["broker-a-s1"]);
    for topic in ["BySend", "ByRequest", "ByRoute"] {
        assert_eq!(cluster.brokers_of(topic), ["broker-a-s0"], "{topic}");
        assert!(exists(&mut first, topic) && !exists(&mut second, topic), "{topic}");
    }
    assert_eq!(second.pull(&pull_from("BySend", 0)).code, response::TOPIC_NOT_EXIST);
    let deleted = second.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "BySend")]).code;
    assert_eq!(deleted, 0, "a missing topic may be deleted");
    second.put("Own", "", "y");
    assert!(exists(&mut first, "BySend"), "it is the first shard's, whatever the second deletes");
}
