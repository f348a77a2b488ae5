//! Groups: where they begin, what they may read, who is remembered.

use super::stop;
use crate::client::{Client, pull_from};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use std::time::{Duration, Instant};

/// A heartbeat of a producer in these groups.
fn produces_for(client: &mut Client, groups: &[String]) -> i32 {
    let groups: Vec<String> =
        groups.iter().map(|group| format!(r#"{{"groupName":"{group}"}}"#)).collect();
    let body = format!(
        r#"{{"clientID":"c","consumerDataSet":[],"heartbeatFingerprint":0,
        "producerDataSet":[{}]}}"#,
        groups.join(",")
    );
    client.call_with(request::HEART_BEAT, &[], body.as_bytes()).code
}

/// A consumer's heartbeat; what it says of a change in the subscription.
fn is_change(client: &mut Client, fingerprint: &str) -> String {
    let body = format!(
        r#"{{"clientID":"c1","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
        "consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING",
        "subscriptionDataSet":[{{"classFilterMode":false,"codeSet":[],"expressionType":"TAG",
        "subString":"*","subVersion":1,"tagsSet":[],"topic":"T"}}],"unitMode":false}}],
        {fingerprint}"producerDataSet":[]}}"#
    );
    let reply = client.call_with(request::HEART_BEAT, &[], body.as_bytes());
    assert_eq!(reply.code, 0, "{reply:?}");
    reply.field("IS_SUB_CHANGE").to_owned()
}

#[test]
fn a_new_group_begins_at_the_first_message_after_a_restart_too() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "first");
    client.pull(&pull_from("T", 0)); // makes the group
    stop(&mut cluster);
    cluster.restart_broker();
    let queue = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    let reply = cluster.client(0).call(request::QUERY_CONSUMER_OFFSET, &queue);
    assert_eq!(reply.code, 0, "22 makes Java's consumers skip what is there: {reply:?}");
    assert_eq!(reply.number("offset"), 0);
}

#[test]
fn the_producer_groups_of_a_connection_are_bounded() {
    let cluster = Cluster::start(1, &[]);
    let (mut bad, mut good) = (cluster.client(0), cluster.client(0));
    good.put("T", "", "x");
    let before = cluster.broker.resident_bytes();
    for round in 0..500 {
        let names = (0..1_000).map(|nth| format!("{round:03}-{nth:04}-{}", "x".repeat(90)));
        produces_for(&mut bad, &names.collect::<Vec<_>>());
    }
    for round in 0..50 {
        produces_for(&mut bad, &[format!("{round}-{}", "y".repeat(3 << 20))]);
    }
    let after = cluster.broker.resident_bytes();
    let grown = after.saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for the groups of one connection");
    good.put("T", "", "undisturbed");
}

#[test]
fn a_groups_name_has_at_most_120_characters() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    let [longest, too_long] = [120, 121].map(|length| "g".repeat(length));
    let pull = |group| PullHeader { consumer_group: group, ..pull_from("T", 0) };
    assert_eq!(client.pull(&pull(&longest)).code, 0);
    assert_eq!(client.pull(&pull(&too_long)).code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
    let offset = [("consumerGroup", too_long.as_str()), ("topic", "T"), ("queueId", "0")];
    let commit = [&offset[..], &[("commitOffset", "1")]].concat();
    let committed = client.call(request::UPDATE_CONSUMER_OFFSET, &commit);
    assert_eq!(committed.code, response::SUBSCRIPTION_GROUP_NOT_EXIST);
}

#[test]
fn a_member_that_expires_loses_its_connection() {
    let cluster = Cluster::start(1, &["channelExpiredTimeout=3000"]);
    let (mut expired, mut alive) = (cluster.client(0), cluster.client(0));
    is_change(&mut expired, r#""heartbeatFingerprint":0,"#);
    let start = Instant::now();
    let mut is_closed = false;
    // It is busy, so that the limit on silent connections is not what ends it.
    while !is_closed && start.elapsed() < Duration::from_secs(100) {
        let asked = expired.frame(request::GET_MAX_OFFSET, 0, |w| w.str("topic", "T"), &[]).1;
        is_closed = std::io::Write::write_all(&mut expired.stream, &asked).is_err()
            || expired.receive_within(Duration::from_secs(30)).is_none();
        is_change(&mut alive, r#""heartbeatFingerprint":0,"#);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert!(is_closed, "3 s without a heartbeat, looked at every 10 s");
    is_change(&mut alive, r#""heartbeatFingerprint":0,"#);
}

#[test]
fn a_fingerprint_after_none_is_a_changed_subscription() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let with = |number: i32| format!(r#""heartbeatFingerprint":{number},"#);
    assert_eq!(is_change(&mut client, &with(7)), "false", "nothing was known");
    assert_eq!(is_change(&mut client, &with(7)), "false");
    assert_eq!(is_change(&mut client, &with(8)), "true");
    assert_eq!(is_change(&mut client, &with(0)), "true", "without one it is always said");
    assert_eq!(is_change(&mut client, &with(8)), "true", "0 was the last");
    assert_eq!(is_change(&mut client, &with(8)), "false");
    assert_eq!(is_change(&mut client, ""), "true", "a heartbeat without the field is one with 0");
    assert_eq!(is_change(&mut client, &with(8)), "true");
}
