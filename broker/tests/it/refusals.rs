//! What is not done is answered with RocketMQ's code, and costs nobody else anything.

use crate::client::{Client, long_pull_from, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use std::io::Write;

fn refused(client: &mut Client, header: &SendHeader<'_>, body: &[u8]) -> i32 {
    let reply = client.send_message(header, body);
    assert!(!reply.remark.is_empty() && reply.field("MSG_REGION") == "DefaultRegion", "{reply:?}");
    reply.code
}

#[test]
fn sends_are_refused_with_rocketmqs_codes() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "ok");
    let long_topic = "x".repeat(128);
    let cases = [
        (SendHeader { topic: "bad topic", ..message("T") }, response::INVALID_PARAMETER),
        (SendHeader { topic: &long_topic, ..message("T") }, response::INVALID_PARAMETER),
        (message("SCHEDULE_TOPIC_XXXX"), response::NO_PERMISSION),
        (SendHeader { default_topic: "unknown", ..message("new") }, response::TOPIC_NOT_EXIST),
        (SendHeader { queue_id: 4, ..message("T") }, response::INVALID_PARAMETER),
        (
            SendHeader { properties: "TIMER_DELAY_SEC\u{1}259201", ..message("T") },
            response::MESSAGE_ILLEGAL,
        ),
        (SendHeader { properties: "TRAN_MSG\u{1}true", ..message("T") }, response::MESSAGE_ILLEGAL),
    ];
    for (header, code) in cases {
        assert_eq!(refused(&mut client, &header, b"x"), code, "{header:?}");
    }
    let zero = SendHeader { properties: "a\u{1}b\u{0}c", ..message("T") };
    assert_eq!(
        client.send_message(&zero, b"x").code,
        response::SUCCESS,
        "Apache stores a zero byte in properties"
    );
    let huge_properties = format!("a\u{1}{}", "x".repeat(32_768));
    assert_eq!(
        refused(&mut client, &SendHeader { properties: &huge_properties, ..message("T") }, b"x"),
        response::MESSAGE_ILLEGAL
    );
    assert_eq!(
        refused(&mut client, &message("T"), &vec![0; (4 << 20) + 1]),
        response::MESSAGE_ILLEGAL
    );
    assert_eq!(
        client.send_message(&message("T"), &vec![0; 4 << 20]).code,
        response::SUCCESS,
        "4 MiB is still a message"
    );
    let batch = SendHeader { batch: true, ..message("T") };
    assert_eq!(refused(&mut client, &batch, b"not a batch"), response::MESSAGE_ILLEGAL);
    assert_eq!(
        client.pull(&pull_from("T", 0)).messages().len(),
        2,
        "the third does not fit the answer of the first two"
    );
}

#[test]
fn pulls_are_refused_with_rocketmqs_codes() {
    let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false"]);
    let mut client = cluster.client(0);
    client.put("T", "", "ok");
    let known = |topic| PullHeader { consumer_group: "TOOLS_CONSUMER", ..pull_from(topic, 0) };
    let cases = [
        (pull_from("T", 0), response::SUBSCRIPTION_GROUP_NOT_EXIST),
        (known("unknown"), response::TOPIC_NOT_EXIST),
        (PullHeader { queue_id: 4, ..known("T") }, response::INVALID_PARAMETER),
        (PullHeader { queue_id: -1, ..known("T") }, response::INVALID_PARAMETER),
        (
            PullHeader { subscription: Some("||"), ..known("T") },
            response::SUBSCRIPTION_PARSE_FAILED,
        ),
        (
            PullHeader {
                expression_type: Some("SQL92"),
                subscription: Some("a > 1"),
                ..known("T")
            },
            response::SYSTEM_ERROR,
        ),
        (PullHeader { sys_flag: 0, ..known("T") }, response::SUBSCRIPTION_NOT_EXIST),
    ];
    for (header, code) in cases {
        let reply = client.pull(&header);
        assert_eq!(reply.code, code, "{header:?} {reply:?}");
    }
    assert_eq!(client.pull(&known("T")).code, response::SUCCESS);
    let mut vip = Client::connect(([127, 0, 0, 1], cluster.port - 2).into());
    assert_eq!(
        vip.pull(&known("T")).code,
        response::REQUEST_CODE_NOT_SUPPORTED,
        "the VIP port serves no pulls"
    );
    vip.put("T", "", "but it takes messages");
}

#[test]
fn unknown_requests_and_wrong_headers_and_bodies_are_answered() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let unknown = client.call(9_999, &[]);
    assert_eq!(
        (unknown.code, unknown.remark.as_str()),
        (response::REQUEST_CODE_NOT_SUPPORTED, " request type 9999 not supported")
    );
    for code in [
        request::SEND_MESSAGE_V2,
        request::PULL_MESSAGE,
        request::UPDATE_CONSUMER_OFFSET,
        request::VIEW_MESSAGE_BY_ID,
    ] {
        let reply = client.call(code, &[("queueId", "many"), ("e", "many")]);
        assert!(
            reply.code == response::SYSTEM_ERROR && !reply.remark.is_empty(),
            "{code}: {reply:?}"
        );
    }
    for code in [request::HEART_BEAT, request::LOCK_BATCH_MQ, request::CHECK_CLIENT_CONFIG] {
        let reply = client.call_with(code, &[], b"{\"clientID\":");
        assert!(
            reply.code == response::SYSTEM_ERROR && !reply.remark.is_empty(),
            "{code}: {reply:?}"
        );
    }
    let back = client.call(
        request::CONSUMER_SEND_MSG_BACK,
        &[("group", "g"), ("offset", "0"), ("delayLevel", "0")],
    );
    assert_eq!(back.code, response::SYSTEM_ERROR, "a consumer keeps the message and tries again");
}

#[test]
fn a_header_that_cannot_be_read_ends_its_own_connection_and_is_logged() {
    let cluster = Cluster::start(1, &[]);
    let (mut garbage, mut other) = (cluster.client(0), cluster.client(0));
    garbage.stream.write_all(b"\0\0\0\x0a\0\0\0\x06{\"cod:").unwrap();
    assert!(garbage.is_closed());
    let peer = garbage.stream.local_addr().unwrap().to_string();
    eventually("a log line names the peer", || cluster.broker.log().contains(&peer));
    other.put("T", "", "undisturbed");
}

#[test]
fn a_closed_connection_takes_its_long_polls_with_it() {
    // A shard keeps 100,000 long polls and answers those beyond at once: more than that were
    // asked for here by connections that are closed.
    const CONNECTIONS: usize = 11;
    const POLLS: usize = 10_000;
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "one");
    let poll = long_pull_from("T", 1, 600_000);
    let queue = [("topic", "T"), ("queueId", "0")];
    for _ in 0..CONNECTIONS {
        let mut consumer = cluster.client(0);
        let polls = (0..POLLS)
            .flat_map(|_| consumer.frame(request::PULL_MESSAGE, 0, |w| poll.write(w), &[]).1);
        let polls: Vec<u8> = polls.collect();
        consumer.stream.write_all(&polls).unwrap();
        // Requests of a connection are handled in order: all its polls wait by then.
        assert_eq!(consumer.call(request::GET_MAX_OFFSET, &queue).code, 0);
    }
    eventually("a long poll waits", || {
        let asked = client.start_pull(&poll);
        client.call(request::GET_MAX_OFFSET, &queue);
        !client.others.iter().any(|frame| frame.opaque == asked)
    });
    cluster.client(0).put("T", "", "two");
    assert_eq!(client.receive().messages()[0].text(), "two");
}
