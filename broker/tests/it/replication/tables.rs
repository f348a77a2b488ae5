//! What a slave takes over that is not in the log.

use super::pair::Pair;
use crate::client::{Client, message, pull_from};
use crate::cluster::eventually;
use protocol::codes::request;
use protocol::headers::SendHeader;

fn create(client: &mut Client, topic: &str, queues: &str) {
    let fields = [
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    let reply = client.call(request::UPDATE_AND_CREATE_TOPIC, &fields);
    assert_eq!(reply.code, 0, "{reply:?}");
}

fn offset(client: &mut Client, topic: &str) -> Option<i64> {
    let fields = [("consumerGroup", "g"), ("topic", topic), ("queueId", "0")];
    let reply = client.call(request::QUERY_CONSUMER_OFFSET, &fields);
    (reply.code == 0).then(|| reply.number("offset"))
}

fn commit(client: &mut Client, topic: &str, offset: &str) {
    let fields =
        [("consumerGroup", "g"), ("topic", topic), ("queueId", "0"), ("commitOffset", offset)];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &fields).code, 0);
}

fn body(client: &mut Client, code: i32) -> String {
    String::from_utf8(client.call(code, &[]).body).unwrap()
}

#[test]
fn topics_groups_offsets_and_progress_follow() {
    let pair = Pair::start(&[]);
    let (mut master, mut slave) = (pair.master_client(), pair.slave_client());
    create(&mut master, "wide", "3");
    for _ in 0..10 {
        assert_eq!(master.put("t", "", "text").code, 0);
    }
    let delayed = SendHeader { properties: "DELAY\u{1}1", ..message("t") };
    assert_eq!(master.send_message(&delayed, b"in a second").code, 0);
    // A pull makes the group.
    assert_eq!(master.pull(&pull_from("t", 0)).code, 0);
    commit(&mut master, "t", "7");
    let group = [("group", "g")];
    assert_eq!(master.call(request::GET_SUBSCRIPTIONGROUP_CONFIG, &group).code, 0);
    eventually("the topic is there", || {
        let reply = slave.call(request::GET_TOPIC_CONFIG, &[("topic", "wide")]);
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        reply.code == 0 && text.contains("\"readQueueNums\":3")
    });
    eventually("the offset is there", || offset(&mut slave, "t") == Some(7));
    eventually("the group is there", || {
        body(&mut slave, request::GET_ALL_SUBSCRIPTIONGROUP_CONFIG).contains("\"g\"")
    });
    eventually("the delayed message's level is there", || {
        let progress = body(&mut master, request::GET_ALL_DELAY_OFFSET);
        progress.contains("1:1") && progress == body(&mut slave, request::GET_ALL_DELAY_OFFSET)
    });
    eventually("how far timers are is there", || {
        pair.slave.setup.store().join("config/timercheck").exists()
    });
}

#[test]
fn a_topic_that_is_deleted_at_the_master_and_begins_anew_does_so_at_the_slave() {
    let pair = Pair::start(&["slaveReadEnable=true"]);
    let (mut master, mut slave) = (pair.master_client(), pair.slave_client());
    for _ in 0..5 {
        master.put("t", "", "before");
    }
    master.put("gone", "", "before");
    pair.slave_has_all();
    eventually("it is there", || slave.pull(&pull_from("t", 0)).code == 0);
    for topic in ["t", "gone"] {
        let fields = [("topic", topic)];
        assert_eq!(master.call(request::DELETE_TOPIC_IN_BROKER, &fields).code, 0);
    }
    // At once: the slave may not have heard that it was deleted.
    master.put("t", "", "after");
    pair.slave_has_all();
    eventually("the slave has the new one", || {
        let code = slave.pull(&pull_from("t", 0)).code;
        code == 0
            && super::pair::texts(&super::pair::messages(&mut slave, "t")) == ["after".to_owned()]
    });
    eventually("the other is gone", || {
        slave.call(request::GET_TOPIC_CONFIG, &[("topic", "gone")]).code == 17
    });
}

#[test]
fn how_groups_consume_and_what_ordered_pops_have_out_follow() {
    let mut pair = Pair::start(&[]);
    let (mut master, mut slave) = (pair.master_client(), pair.slave_client());
    assert_eq!(master.put("t", "", "text").code, 0);
    let mode = r#"{"consumerGroup":"g","topic":"t","mode":"POP","popShareQueueNum":2}"#;
    let set = master.call_with(request::SET_MESSAGE_REQUEST_MODE, &[], mode.as_bytes());
    assert_eq!(set.code, 0, "{set:?}");
    eventually("the mode is there", || {
        body(&mut slave, request::GET_ALL_MESSAGE_REQUEST_MODE).contains("\"popShareQueueNum\":2")
    });
    let fields = [
        ("consumerGroup", "ordered"),
        ("topic", "t"),
        ("queueId", "0"),
        ("maxMsgNums", "1"),
        ("invisibleTime", "60000"),
        ("pollTime", "0"),
        ("bornTime", "0"),
        ("initMode", "0"),
        ("order", "true"),
    ];
    assert_eq!(master.call(request::POP_MESSAGE, &fields).code, 0);
    let out = body(&mut master, request::GET_ALL_POP_ORDERS);
    assert!(out.contains("t@ordered"), "{out}");
    eventually("what is out is there", || body(&mut slave, request::GET_ALL_POP_ORDERS) == out);
    pair.slave.process.stop();
    let saved = pair.slave.setup.store().join("config/consumerOrderInfo.json");
    assert!(std::fs::read_to_string(saved).unwrap().contains("t@ordered"));
}

#[test]
fn a_slave_has_the_tables_of_a_master_that_dies_long_before_the_next_slave_sync_interval() {
    let mut pair = Pair::start(&["slaveSyncInterval=3600000", "slaveReadEnable=true"]);
    let (mut master, mut slave) = (pair.master_client(), pair.slave_client());
    // The slave has asked once, when there was no topic yet.
    assert_eq!(master.put("t", "", "text").code, 0);
    pair.slave_has_all();
    eventually("a topic comes with its messages", || slave.pull(&pull_from("t", 0)).code == 0);
    // What has no message comes when the slave meets its master again.
    create(&mut master, "wide", "3");
    assert_eq!(master.pull(&pull_from("t", 0)).code, 0);
    commit(&mut master, "t", "1");
    pair.master.process.stop();
    pair.master.restart();
    // Each is waited for: a round that ran since the first topic came may have asked for topics
    // before there was this one, and for offsets after the commit.
    eventually("the topic is there", || {
        slave.call(request::GET_TOPIC_CONFIG, &[("topic", "wide")]).code == 0
    });
    eventually("the offset is there", || offset(&mut slave, "t") == Some(1));
    pair.master.process.kill();
    pair.slave.process.stop();
    pair.slave.setup.add_settings(&["brokerRole=ASYNC_MASTER", "brokerId=0"]);
    pair.slave.restart();
    let mut promoted = pair.slave_client();
    let wide = promoted.call(request::GET_TOPIC_CONFIG, &[("topic", "wide")]);
    let text = String::from_utf8_lossy(&wide.body).into_owned();
    assert!(text.contains("\"readQueueNums\":3"), "{wide:?}");
    assert_eq!(promoted.pull(&pull_from("t", 0)).code, 0);
    assert_eq!(offset(&mut promoted, "t"), Some(1));
}
