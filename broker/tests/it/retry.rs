//! Retries: a message that a group gives back comes again, later each time, with everything that it
//! had, until its attempts are used up.

use crate::client::{Client, Frame, Stored, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::OffsetMsgId;
use std::time::{SystemTime, UNIX_EPOCH};

/// CONSUMER_SEND_MSG_BACK for group `g`.
pub(crate) fn send_back(
    client: &mut Client,
    offset: i64,
    level: &str,
    more: &[(&str, &str)],
) -> Frame {
    let offset = offset.to_string();
    let own = [("offset", offset.as_str()), ("group", "g"), ("delayLevel", level)];
    client.call(request::CONSUMER_SEND_MSG_BACK, &[&own, more].concat())
}

/// A message that group `g` has pulled.
pub(crate) fn pulled(client: &mut Client, text: &str) -> Stored {
    let offset = client.put("T", "tag", text).number("queueOffset");
    client.pull(&pull_from("T", offset)).messages().remove(0)
}

/// A property of a message.
pub(crate) fn property<'m>(message: &'m Stored, name: &str) -> Option<&'m str> {
    message.properties.get(name).map(String::as_str)
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The message with this number in a queue of a topic, as soon as it is there.
fn await_one(client: &mut Client, topic: &str, queue_id: i32, offset: i64) -> Stored {
    let poll = protocol::headers::PullHeader { queue_id, ..long_pull_from(topic, offset, 20_000) };
    client.pull(&poll).messages().remove(0)
}

fn id_of(cluster: &Cluster, stored: &Stored) -> String {
    let (store_host, physical_offset) = (cluster.shard_addr(0), stored.physical_offset);
    let mut id = String::new();
    OffsetMsgId { store_host, physical_offset }.write(&mut id);
    id
}

#[test]
fn a_message_given_back_comes_again_with_a_level_more_each_time_until_it_is_a_dead_letter() {
    // Levels 1 and 2 are long: they are not used unless they are asked for.
    let cluster = Cluster::start(1, &["messageDelayLevel=1h 2s 1s 1s 1s"]);
    let mut client = cluster.client(0);
    let original = pulled(&mut client, "again and again");
    let id = id_of(&cluster, &original);
    let mut given_back = original.clone();
    // At level 3, then 4, then 5, then at the highest again, then at one that was asked for.
    for (nth, (asked, stored)) in
        [("0", "3"), ("0", "4"), ("0", "5"), ("0", "5"), ("2", "2")].into_iter().enumerate()
    {
        let sent_ms = now_ms();
        let maximum = [("maxReconsumeTimes", "5")];
        let reply = send_back(&mut client, given_back.physical_offset, asked, &maximum);
        assert_eq!((reply.code, reply.remark.as_str()), (0, ""), "{reply:?}");
        let offset = i64::try_from(nth).unwrap();
        let retry = await_one(&mut client, "%RETRY%g", 0, offset);
        let delay_ms = if asked == "2" { 2_000 } else { 1_000 };
        assert!(retry.store_timestamp_ms >= sent_ms + delay_ms, "{retry:?} of {sent_ms}");
        assert_eq!(retry.reconsume_times, i32::try_from(nth).unwrap() + 1);
        assert_eq!((&retry.body, retry.flag), (&original.body, original.flag));
        for (name, expected) in [
            ("RETRY_TOPIC", "T"),
            ("ORIGIN_MESSAGE_ID", id.as_str()),
            ("UNIQ_KEY", original.properties["UNIQ_KEY"].as_str()),
            ("TAGS", "tag"),
            ("WAIT", "false"),
            ("DELAY", stored),
            ("REAL_TOPIC", "%RETRY%g"),
            ("REAL_QID", "0"),
        ] {
            assert_eq!(property(&retry, name), Some(expected), "{name} in {retry:?}");
        }
        given_back = retry;
    }
    let maximum = [("maxReconsumeTimes", "5")];
    assert_eq!(send_back(&mut client, given_back.physical_offset, "0", &maximum).code, 0);
    let letter = client.pull(&pull_from("%DLQ%g", 0)).messages().remove(0);
    assert_eq!((letter.text(), letter.reconsume_times), ("again and again", 6));
    assert_eq!(property(&letter, "ORIGIN_MESSAGE_ID"), Some(id.as_str()));
}

#[test]
fn a_kill_between_a_failure_and_its_retry_loses_nothing_and_delivers_nothing_early() {
    let settings = ["flushDiskType=SYNC_FLUSH", "messageDelayLevel=3s"];
    let mut cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    let mut given_back = vec![];
    for nth in 0..10 {
        let stored = pulled(&mut client, &nth.to_string());
        let sent_ms = now_ms();
        assert_eq!(send_back(&mut client, stored.physical_offset, "1", &[]).code, 0);
        given_back.push((stored, sent_ms));
    }
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    for (offset, (original, sent_ms)) in (0..).zip(&given_back) {
        let retry = await_one(&mut client, "%RETRY%g", 0, offset);
        assert_eq!((retry.text(), retry.reconsume_times), (original.text(), 1));
        assert!(retry.store_timestamp_ms >= sent_ms + 3_000, "{retry:?} of {sent_ms}");
        assert_eq!(property(&retry, "ORIGIN_MESSAGE_ID"), Some(&*id_of(&cluster, original)));
    }
}

/// Changes group `g` in the file, with the broker stopped.
fn set_group(cluster: &mut Cluster, key: &str, value: i32) {
    assert_eq!(cluster.broker.stop(), Some(0));
    let path = cluster.store().join("config/subscriptionGroup.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    json["subscriptionGroupTable"]["g"][key] = value.into();
    std::fs::write(&path, json.to_string()).unwrap();
    cluster.restart_broker();
}

#[test]
fn retries_spread_over_the_queues_that_the_group_asks_for() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1s"]);
    pulled(&mut cluster.client(0), "makes the group");
    set_group(&mut cluster, "retryQueueNums", 3);
    let mut client = cluster.client(0);
    let stored = pulled(&mut client, "x");
    for _ in 0..60 {
        assert_eq!(send_back(&mut client, stored.physical_offset, "1", &[]).code, 0);
    }
    // One chance in 3^19 that a queue gets none.
    for queue_id in 0..3 {
        assert_eq!(await_one(&mut client, "%RETRY%g", queue_id, 0).text(), "x");
    }
}

#[test]
fn a_group_whose_retry_topic_has_fewer_queues_than_it_asks_for_loses_no_retry() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1s"]);
    let mut client = cluster.client(0);
    let stored = pulled(&mut client, "x");
    assert_eq!(send_back(&mut client, stored.physical_offset, "1", &[]).code, 0);
    set_group(&mut cluster, "retryQueueNums", 8);
    let mut client = cluster.client(0);
    for _ in 0..20 {
        assert_eq!(send_back(&mut client, stored.physical_offset, "1", &[]).code, 0);
    }
    for offset in 0..21 {
        assert_eq!(await_one(&mut client, "%RETRY%g", 0, offset).text(), "x");
    }
}

#[test]
fn the_groups_own_maximum_holds_where_the_request_has_none_and_0_queues_mean_no_retry() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1s"]);
    let stored = pulled(&mut cluster.client(0), "x");
    set_group(&mut cluster, "retryMaxTimes", 1);
    let mut client = cluster.client(0);
    assert_eq!(send_back(&mut client, stored.physical_offset, "0", &[]).code, 0);
    let retry = await_one(&mut client, "%RETRY%g", 0, 0);
    assert_eq!(send_back(&mut client, retry.physical_offset, "0", &[]).code, 0);
    let letter = client.pull(&pull_from("%DLQ%g", 0)).messages().remove(0);
    assert_eq!(letter.reconsume_times, 2);
    set_group(&mut cluster, "retryQueueNums", 0);
    let mut client = cluster.client(0);
    assert_eq!(send_back(&mut client, letter.physical_offset, "-1", &[]).code, 0);
    assert_eq!(client.pull(&pull_from("%DLQ%g", 1)).code, response::PULL_NOT_FOUND, "dropped");
}

#[test]
fn a_send_to_a_retry_topic_waits_for_the_delay_that_its_client_gives_it() {
    let cluster = Cluster::start(1, &["messageDelayLevel=1h 1h 1h 2s"]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    client.pull(&pull_from("T", 0)); // makes the group
    // What a client sends when its send-back failed; a transaction's message still says so.
    let properties =
        "DELAY\u{1}4\u{2}RETRY_TOPIC\u{1}T\u{2}TRAN_MSG\u{1}true\u{2}RECONSUME_TIME\u{1}1";
    let sent_ms = now_ms();
    let retry = SendHeader {
        properties,
        reconsume_times: 1,
        max_reconsume_times: Some(16),
        ..message("%RETRY%g")
    };
    assert_eq!(client.send_message(&retry, b"by itself").code, 0);
    let retry = await_one(&mut client, "%RETRY%g", 0, 0);
    assert_eq!((retry.text(), retry.reconsume_times), ("by itself", 1));
    assert!(retry.store_timestamp_ms >= sent_ms + 2_000, "{retry:?} of {sent_ms}");
}
