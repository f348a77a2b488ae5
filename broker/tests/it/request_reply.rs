//! A reply comes to the client that asked, is stored, and its sender hears whether it came.

use crate::client::{Client, Frame, message, pull_from};
use crate::cluster::Cluster;
use crate::member::heartbeat;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use std::time::Duration;

const REPLIES: &str = "DefaultCluster_REPLY_TOPIC";
const PROPERTIES: &str = "MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}c-1\u{2}\
    REPLY_TO_CLIENT\u{1}asker\u{2}TTL\u{1}3000";

/// Sends a reply; its number.
fn start_reply(client: &mut Client, properties: &str, body: &[u8]) -> i32 {
    let header = SendHeader { properties, unit_mode: true, flag: 7, ..message(REPLIES) };
    client.send(request::SEND_REPLY_MESSAGE_V2, 0, |w| header.write_v2(w), body)
}

fn asker(cluster: &Cluster) -> Client {
    let mut asker = cluster.client(0);
    assert_eq!(heartbeat(&mut asker, "asker", &[], &["requests"]).code, 0);
    asker
}

#[test]
fn a_reply_comes_to_the_client_that_it_names_and_is_stored() {
    let cluster = Cluster::start(1, &[]);
    let (mut asker, mut replier) = (asker(&cluster), cluster.client(0));
    let opaque = start_reply(&mut replier, PROPERTIES, b"forty-two");
    let push = asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    for (field, expected) in [
        ("producerGroup", "p"),
        ("topic", REPLIES),
        ("defaultTopic", "TBW102"),
        ("defaultTopicQueueNums", "4"),
        ("queueId", "0"),
        ("sysFlag", "0"),
        ("bornTimestamp", "1700000000000"),
        ("flag", "7"),
        ("reconsumeTimes", "0"),
        ("unitMode", "true"),
    ] {
        assert_eq!(push.field(field), expected, "{field}");
    }
    assert_eq!(push.field("bornHost"), replier.stream.local_addr().unwrap().to_string());
    assert_eq!(push.field("storeHost"), cluster.shard_addr(0).to_string());
    assert!(push.number("storeTimestamp") > 1_700_000_000_000);
    let properties = push.field("properties");
    for property in ["CORRELATION_ID\u{1}c-1\u{2}", "MSG_REGION\u{1}", "PUSH_REPLY_TIME\u{1}"] {
        assert!(properties.contains(property), "{property:?} in {properties:?}");
    }
    assert_eq!(push.body, b"forty-two");
    asker.answer_push(&push, 0, &[]);
    let reply = replier.answer_to(opaque);
    assert_eq!((reply.code, reply.remark.as_str()), (0, ""), "{reply:?}");
    assert_eq!((reply.number("queueId"), reply.number("queueOffset")), (0, 0));
    assert_eq!((reply.field("msgId").len(), reply.field("TRACE_ON")), (32, "true"));
    let stored = replier.pull(&pull_from(REPLIES, 0)).messages().remove(0);
    assert_eq!((stored.text(), stored.flag), ("forty-two", 7));
    assert_eq!(stored.properties["CORRELATION_ID"], "c-1");
    assert!(!stored.properties.contains_key("PUSH_REPLY_TIME"), "{stored:?}");
}

#[test]
fn the_older_form_of_a_reply_is_the_same() {
    let cluster = Cluster::start(1, &["storeReplyMessageEnable=false"]);
    let (mut asker, mut replier) = (asker(&cluster), cluster.client(0));
    let header = SendHeader { properties: PROPERTIES, ..message(REPLIES) };
    let opaque = replier.send(request::SEND_REPLY_MESSAGE, 0, |w| header.write_v1(w), b"old");
    let push = asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    asker.answer_push(&push, 0, &[]);
    let reply = replier.answer_to(opaque);
    assert_eq!((reply.code, reply.field("msgId")), (0, "0"), "nothing is stored");
    assert_eq!(replier.pull(&pull_from(REPLIES, 0)).code, response::PULL_NOT_FOUND);
}

#[test]
fn a_reply_that_does_not_come_is_an_error_that_says_why_and_is_stored_all_the_same() {
    let cluster = Cluster::start(1, &[]);
    let (mut asker, mut replier) = (asker(&cluster), cluster.client(0));
    let fails = |replier: &mut Client, opaque: i32| -> String {
        let Frame { code, remark, ext, .. } = replier.answer_to(opaque);
        assert_eq!((code, ext["TRACE_ON"].as_str()), (response::SYSTEM_ERROR, "true"));
        remark
    };
    let refused = start_reply(&mut replier, PROPERTIES, b"1");
    let push = asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    asker.answer_push(&push, response::SYSTEM_ERROR, &[]);
    assert_eq!(fails(&mut replier, refused), "push reply message to askerfail.");
    let nobody = start_reply(&mut replier, "CORRELATION_ID\u{1}c-2", b"2");
    let remark = "reply message properties[REPLY_TO_CLIENT] is null";
    assert_eq!(fails(&mut replier, nobody), remark);
    let stranger = start_reply(&mut replier, "REPLY_TO_CLIENT\u{1}stranger", b"3");
    let remark = "push reply message fail, channel of <stranger> not found.";
    assert_eq!(fails(&mut replier, stranger), remark);
    let left = start_reply(&mut replier, PROPERTIES, b"4");
    asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    drop(asker);
    assert_eq!(fails(&mut replier, left), "push reply message to askerfail.");
    let stored = replier.pull(&pull_from(REPLIES, 0)).messages();
    let stored: Vec<_> = stored.iter().map(|message| message.text()).collect();
    assert_eq!(stored, ["1", "2", "3", "4"]);
}

#[test]
fn a_client_that_takes_no_reply_holds_up_its_own_replies_only() {
    let cluster = Cluster::start(1, &[]);
    let (mut deaf, mut replier) = (cluster.client(0), cluster.client(0));
    assert_eq!(heartbeat(&mut deaf, "deaf", &[], &["requests"]).code, 0);
    let mut asker = asker(&cluster);
    // 256 wait for it, others are refused at once.
    let to_deaf = "REPLY_TO_CLIENT\u{1}deaf";
    let waiting: Vec<_> = (0..256).map(|_| start_reply(&mut replier, to_deaf, b"unread")).collect();
    let refused = start_reply(&mut replier, to_deaf, b"one more");
    assert_eq!(replier.answer_to(refused).code, response::SYSTEM_BUSY);
    let opaque = start_reply(&mut replier, PROPERTIES, b"heard");
    let push = asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    asker.answer_push(&push, 0, &[]);
    assert_eq!(replier.answer_to(opaque).code, 0, "who answers is served");
    drop(deaf);
    for opaque in waiting {
        assert_eq!(replier.answer_to(opaque).code, response::SYSTEM_ERROR);
    }
}

#[test]
fn a_reply_without_an_answer_ends_after_10_seconds() {
    let cluster = Cluster::start(1, &[]);
    let (_asker, mut replier) = (asker(&cluster), cluster.client(0));
    let opaque = start_reply(&mut replier, PROPERTIES, b"?");
    assert!(replier.receive_within(Duration::from_secs(5)).is_none(), "it has 10 s");
    assert_eq!(replier.answer_to(opaque).remark, "push reply message to askerfail.");
}

#[test]
fn hostile_replies_are_refused_and_cost_nobody_the_connection() {
    let cluster = Cluster::start(1, &[]);
    let (mut asker, mut replier) = (asker(&cluster), cluster.client(0));
    let long = "x".repeat(40_000);
    for (header, code) in [
        (SendHeader { properties: &long, ..message(REPLIES) }, response::MESSAGE_ILLEGAL),
        (SendHeader { producer_group: &long, ..message(REPLIES) }, response::INVALID_PARAMETER),
        (SendHeader { default_topic: &long, ..message(REPLIES) }, response::INVALID_PARAMETER),
        (SendHeader { queue_id: 99, ..message(REPLIES) }, response::INVALID_PARAMETER),
        (message("SCHEDULE_TOPIC_XXXX"), response::NO_PERMISSION),
        (message("no such topic!"), response::INVALID_PARAMETER),
    ] {
        let code_325 = request::SEND_REPLY_MESSAGE_V2;
        let opaque = replier.send(code_325, 0, |w| header.write_v2(w), b"body");
        let reply = replier.answer_to(opaque);
        assert_eq!(reply.code, code, "{reply:?}");
    }
    assert_eq!(replier.call(request::SEND_REPLY_MESSAGE_V2, &[("a", "p")]).code, 1);
    // An answer to a question that was never asked.
    let strange = Frame { opaque: 12_345, ..replier.call(request::GET_MAX_OFFSET, &[]) };
    replier.answer_push(&strange, 0, b"nobody asked");
    let opaque = start_reply(&mut replier, PROPERTIES, b"still served");
    let push = asker.push(request::PUSH_REPLY_MESSAGE_TO_CLIENT);
    asker.answer_push(&push, 0, &[]);
    assert_eq!(replier.answer_to(opaque).code, 0);
}
