//! What the files of an earlier start say is obeyed, and what can't be served is not lost.

use crate::client::{message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use std::path::Path;
use testkit::Process;

const TOPICS: &str = "config/topics.json";
const GROUPS: &str = "config/subscriptionGroup.json";

fn stop(cluster: &mut Cluster) {
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
}

fn edit(path: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

fn heartbeat(group: &str, topic: &str) -> String {
    format!(
        r#"{{"clientID":"c","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
        "consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"CLUSTERING",
        "subscriptionDataSet":[{{"classFilterMode":false,"codeSet":[],"expressionType":"TAG",
        "subString":"*","subVersion":1,"tagsSet":[],"topic":"{topic}"}}],"unitMode":false}}],
        "heartbeatFingerprint":0,"producerDataSet":[]}}"#
    )
}

#[test]
fn topics_with_names_that_are_not_allowed_stay_in_the_file_and_are_not_served() {
    let mut cluster = Cluster::start(1, &[]);
    stop(&mut cluster);
    let path = cluster.store().join(TOPICS);
    edit(&path, |json| {
        let table = json["topicConfigTable"].as_object_mut().unwrap();
        let mut strange = table["TBW102"].clone();
        strange["topicName"] = "strange name".into();
        table.insert("strange name".to_owned(), strange);
    });
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let one = client.call(request::GET_TOPIC_CONFIG, &[("topic", "strange name")]);
    assert_eq!(one.code, response::TOPIC_NOT_EXIST);
    client.put("T", "", "makes a topic, so that the file is saved");
    let saved = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("the topic is saved", || saved().contains("\"T\""));
    assert!(saved().contains("\"strange name\""), "{}", saved());
    let log = cluster.broker.log();
    assert_eq!(log.matches("strange name").count(), 1, "it is said once: {log}");
}

#[test]
fn automatic_creation_can_be_switched_off_on_a_store_that_was_made_with_it() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.client(0).put("T", "", "made while it was on");
    stop(&mut cluster);
    let mut command = cluster.broker_command();
    command.args(["--set", "autoCreateTopicEnable=false"]);
    cluster.broker = Process::spawn(command);
    cluster.broker.wait_for("boot success", 1);
    let mut client = cluster.client(0);
    assert_eq!(client.send_message(&message("new"), b"x").code, response::TOPIC_NOT_EXIST);
    assert_eq!(client.send_message(&message("T"), b"x").code, response::SUCCESS);
}

#[test]
fn a_group_may_not_read_what_the_file_forbids_it() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.client(0).put("T", "", "x");
    stop(&mut cluster);
    edit(&cluster.store().join(GROUPS), |json| {
        json["forbiddenTable"] = serde_json::json!({"g": {"T": 4}, "h": {"T": 2}});
    });
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let mut pull = |group: &str| {
        client.call_with(request::HEART_BEAT, &[], heartbeat(group, "T").as_bytes());
        let header = PullHeader {
            consumer_group: group,
            sys_flag: 0,
            subscription: None,
            ..pull_from("T", 0)
        };
        client.pull(&header)
    };
    let forbidden = pull("g");
    assert_eq!(forbidden.code, response::NO_PERMISSION);
    assert_eq!(forbidden.field("forbiddenType"), "5");
    assert_eq!(forbidden.remark, "the consumer group[g] is forbidden for topic[T]");
    assert_eq!(pull("h").code, response::SUCCESS, "only writing is forbidden");
}
