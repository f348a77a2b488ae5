//! How far a group is, what a queue holds, what was there at a time.

use crate::client::{Client, message, pull_from};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::PullHeader;
use protocol::sys_flag::pull::COMMIT_OFFSET;

fn query(client: &mut Client, group: &str, topic: &str, more: &[(&str, &str)]) -> Result<i64, i32> {
    let ext = [("consumerGroup", group), ("topic", topic), ("queueId", "0")];
    let reply = client.call(request::QUERY_CONSUMER_OFFSET, &[&ext, more].concat());
    if reply.code == 0 { Ok(reply.number("offset")) } else { Err(reply.code) }
}

fn commit(client: &mut Client, group: &str, topic: &str, queue: &str, offset: &str) -> i32 {
    let ext =
        [("consumerGroup", group), ("topic", topic), ("queueId", queue), ("commitOffset", offset)];
    client.call(request::UPDATE_CONSUMER_OFFSET, &ext).code
}

#[test]
fn a_groups_offset_is_what_it_committed_last() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "one");
    assert_eq!(commit(&mut client, "g", "T", "0", "1"), response::SUBSCRIPTION_GROUP_NOT_EXIST);
    client.pull(&pull_from("T", 0)); // the group comes into being
    assert_eq!(
        query(&mut client, "g", "T", &[]),
        Ok(0),
        "the queue has its first message in memory"
    );
    assert_eq!(
        query(&mut client, "g", "T", &[("setZeroIfNotFound", "false")]),
        Err(response::QUERY_NOT_FOUND)
    );
    assert_eq!(query(&mut client, "g", "unknown", &[]), Err(response::QUERY_NOT_FOUND));
    assert_eq!(
        commit(&mut client, "g", "T", "0", "-1"),
        0,
        "ali-ons says −1 before it has consumed"
    );
    assert_eq!(
        query(&mut client, "g", "T", &[("setZeroIfNotFound", "false")]),
        Err(response::QUERY_NOT_FOUND)
    );
    assert_eq!(commit(&mut client, "g", "T", "0", "41"), 0);
    assert_eq!(query(&mut client, "g", "T", &[]), Ok(41));
    client.pull(&PullHeader {
        sys_flag: pull_from("T", 0).sys_flag | COMMIT_OFFSET,
        commit_offset: 7,
        ..pull_from("T", 0)
    });
    assert_eq!(query(&mut client, "g", "T", &[]), Ok(7), "a pull commits too");
    assert_eq!(commit(&mut client, "g", "T", "4", "1"), response::INVALID_PARAMETER);
    assert_eq!(commit(&mut client, "g", "unknown", "0", "1"), response::TOPIC_NOT_EXIST);
}

#[test]
fn a_queue_tells_its_range_and_what_was_when() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let queue = [("topic", "T"), ("queueId", "0")];
    assert_eq!(client.call(request::GET_MAX_OFFSET, &queue).number("offset"), 0);
    assert_eq!(client.call(request::GET_EARLIEST_MSG_STORETIME, &queue).number("timestamp"), -1);
    let before = now_ms();
    client.put("T", "", "one");
    std::thread::sleep(std::time::Duration::from_millis(20));
    let between = now_ms();
    std::thread::sleep(std::time::Duration::from_millis(20));
    client.put("T", "", "two");
    assert_eq!(client.call(request::GET_MAX_OFFSET, &queue).number("offset"), 2);
    assert_eq!(client.call(request::GET_MIN_OFFSET, &queue).number("offset"), 0);
    let earliest = client.call(request::GET_EARLIEST_MSG_STORETIME, &queue).number("timestamp");
    assert!((before..=between).contains(&earliest), "{before} {earliest} {between}");
    for (time_ms, boundary, offset) in [
        (before - 1_000, "LOWER", 0),
        (between, "lower", 1),
        (between, "UPPER", 0),
        (now_ms() + 60_000, "UPPER", 1),
    ] {
        let time = time_ms.to_string();
        let ext =
            [("topic", "T"), ("queueId", "0"), ("timestamp", &time), ("boundaryType", boundary)];
        assert_eq!(
            client.call(request::SEARCH_OFFSET_BY_TIMESTAMP, &ext).number("offset"),
            offset,
            "{boundary} {time}"
        );
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[test]
fn offsets_are_written_in_rocketmqs_format() {
    let cluster = Cluster::start(1, &["flushConsumerOffsetInterval=100"]);
    let mut client = cluster.client(0);
    assert_eq!(client.send_message(&message("T"), b"x").code, 0);
    client.pull(&pull_from("T", 0));
    commit(&mut client, "g", "T", "0", "1");
    let path = cluster.store().join("config/consumerOffset.json");
    crate::cluster::eventually("the file has the commit", || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let compact: String = text.chars().filter(|character| !character.is_whitespace()).collect();
        compact.contains(r#""T@g":{0:1}"#)
    });
}
