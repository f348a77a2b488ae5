//! Topics by request, on every shard and in the route.

use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::bodies::{TopicConfig, TopicConfigSerializeWrapper, TopicList};
use protocol::codes::{request, response};
use protocol::json::from_lenient;

fn create(client: &mut Client, topic: &str, queues: &str) -> i32 {
    let ext = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
        ("attributes", "+message.type=NORMAL"),
    ];
    client.call(request::UPDATE_AND_CREATE_TOPIC, &ext).code
}

fn config(client: &mut Client, topic: &str) -> Option<TopicConfig> {
    let reply = client.call(request::GET_TOPIC_CONFIG, &[("topic", topic), ("lo", "true")]);
    (reply.code == 0).then(|| from_lenient(&reply.body).unwrap())
}

#[test]
fn a_topic_is_created_changed_and_deleted_on_the_shard_that_is_asked() {
    let cluster = Cluster::start(2, &[]);
    let (mut here, mut there) = (cluster.client(0), cluster.client(1));
    assert_eq!(create(&mut here, "T", "3"), 0);
    eventually("it is in the route", || cluster.brokers_of("T") == ["broker-a-s0"]);
    assert!(config(&mut there, "T").is_none());
    assert_eq!(create(&mut there, "T", "5"), 0);
    eventually("both are in the route", || {
        cluster.brokers_of("T") == ["broker-a-s0", "broker-a-s1"]
    });
    let queues = |client: &mut _| config(client, "T").unwrap().write_queue_nums;
    assert_eq!((queues(&mut here), queues(&mut there)), (3, 5));
    assert_eq!(there.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "T")]).code, 0);
    assert!(config(&mut there, "T").is_none() && config(&mut here, "T").is_some());
    here.put("T", "", "old");
    assert_eq!(here.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "T")]).code, 0);
    assert!(config(&mut here, "T").is_none());
    assert_eq!(here.pull(&pull_from("T", 0)).code, response::TOPIC_NOT_EXIST);
    assert_eq!(
        here.put("T", "", "new").number("queueOffset"),
        0,
        "a topic of the same name begins anew"
    );
    assert_eq!(here.pull(&pull_from("T", 0)).messages()[0].text(), "new");
}

#[test]
fn a_deletion_that_was_answered_survives_a_kill_in_that_moment() {
    let mut cluster = Cluster::start(1, &[]);
    for round in 0..5 {
        let mut client = cluster.client(0);
        client.put("T", "", "old");
        client.put("Kept", "", "kept");
        client.pull(&pull_from("Kept", 0)); // creates the group
        for topic in ["T", "Kept"] {
            let at = [("topic", topic), ("queueId", "0"), ("consumerGroup", "g")];
            let commit = [at.as_slice(), &[("commitOffset", "1")]].concat();
            assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &commit).code, 0);
        }
        assert_eq!(client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "T")]).code, 0);
        cluster.broker.kill();
        cluster.restart_broker();
        let mut client = cluster.client(0);
        assert!(config(&mut client, "T").is_none(), "round {round}");
        let committed = |client: &mut Client, topic| {
            let ext = [("topic", topic), ("queueId", "0"), ("consumerGroup", "g")];
            client.call(request::QUERY_CONSUMER_OFFSET, &ext).number("offset")
        };
        assert_eq!(committed(&mut client, "Kept"), 1, "what was saved with it is there");
        assert_eq!(client.put("T", "", "new").number("queueOffset"), 0, "round {round}");
        assert_eq!(client.pull(&pull_from("T", 0)).messages()[0].text(), "new");
    }
}

#[test]
fn wrong_and_protected_topics_are_refused() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for (topic, queues) in [("bad topic", "3"), ("TBW102", "3"), ("T", "-1"), ("T", "100000")] {
        assert_eq!(
            create(&mut client, topic, queues),
            response::INVALID_PARAMETER,
            "{topic} {queues}"
        );
    }
    assert_eq!(
        client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "SCHEDULE_TOPIC_XXXX")]).code,
        response::INVALID_PARAMETER
    );
    assert_eq!(client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "missing")]).code, 0);
    assert_eq!(
        client.call(request::GET_TOPIC_CONFIG, &[("topic", "missing")]).code,
        response::TOPIC_NOT_EXIST
    );
}

#[test]
fn the_tools_lists_have_what_exists() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.send_message(&message("T"), b"x");
    let all = client.call(request::GET_ALL_TOPIC_CONFIG, &[]);
    let table = from_lenient::<TopicConfigSerializeWrapper>(&all.body).unwrap().topic_config_table;
    assert_eq!(
        (table["T"].write_queue_nums, i64::try_from(table.len()).unwrap()),
        (4, all.number("totalTopicNum"))
    );
    let system = client.call(request::GET_SYSTEM_TOPIC_LIST_FROM_BROKER, &[]);
    let list = from_lenient::<TopicList>(&system.body).unwrap().topic_list;
    assert!(
        list.contains(&"TBW102".to_owned())
            && list.contains(&"broker-a".to_owned())
            && !list.contains(&"T".to_owned())
    );
}
