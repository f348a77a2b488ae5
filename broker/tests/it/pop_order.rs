//! Ordered pops, and who consumes what: 400 to 402 and their files.

use crate::client::{Client, Frame};
use crate::cluster::{Cluster, eventually};
use crate::member::joins;
use protocol::bodies::{
    MessageRequestMode, MessageRequestModes, QueryAssignmentRequestBody,
    QueryAssignmentResponseBody, SetMessageRequestMode,
};
use protocol::codes::{request, response};
use protocol::json;
use std::time::Duration;

fn pop(client: &mut Client, attempt: &str, invisible_ms: i64, poll_ms: i64) -> Frame {
    let (invisible, poll) = (invisible_ms.to_string(), poll_ms.to_string());
    client.call(
        request::POP_MESSAGE,
        &[
            ("consumerGroup", "g"),
            ("topic", "T"),
            ("queueId", "0"),
            ("maxMsgNums", "2"),
            ("invisibleTime", &invisible),
            ("pollTime", &poll),
            ("bornTime", "0"),
            ("initMode", "0"),
            ("order", "true"),
            ("attemptId", attempt),
        ],
    )
}

fn texts(answer: &Frame) -> Vec<String> {
    answer.messages().iter().map(|message| message.text().to_owned()).collect()
}

fn call(client: &mut Client, code: i32, of: &Frame, offset: i64, invisible: &str) -> Frame {
    let receipt =
        format!("0 {} {} 999 0 broker-a 0", of.field("popTime"), of.field("invisibleTime"));
    let offset = offset.to_string();
    client.call(
        code,
        &[
            ("consumerGroup", "g"),
            ("topic", "T"),
            ("queueId", "0"),
            ("offset", &offset),
            ("extraInfo", &receipt),
            ("invisibleTime", invisible),
        ],
    )
}

fn ack(client: &mut Client, of: &Frame, offset: i64) -> i32 {
    call(client, request::ACK_MESSAGE, of, offset, "0").code
}

#[test]
fn an_ordered_queue_gives_the_next_messages_when_the_last_are_done() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for nth in 0..5 {
        client.put("T", "", &format!("m{nth}"));
    }
    let first = pop(&mut client, "a", 60_000, 0);
    assert_eq!((texts(&first), first.field("reviveQid")), (vec!["m0".into(), "m1".into()], "999"));
    assert_eq!(pop(&mut client, "b", 60_000, 0).code, response::POLLING_TIMEOUT, "blocked");
    std::thread::sleep(Duration::from_millis(5)); // pops are told apart by their milliseconds
    let same = pop(&mut client, "a", 60_000, 0);
    assert_eq!(texts(&same), ["m0", "m1"], "the same attempt");
    assert_eq!(ack(&mut client, &first, 0), 0, "of an earlier pop: says nothing");
    assert_eq!(ack(&mut client, &same, 7), response::NO_MESSAGE);
    assert_eq!(ack(&mut client, &same, 3), response::MESSAGE_ILLEGAL);
    assert_eq!(ack(&mut client, &same, 1), 0);
    assert_eq!(pop(&mut client, "b", 60_000, 0).code, response::POLLING_TIMEOUT);
    assert_eq!(ack(&mut client, &same, 0), 0);
    let next = pop(&mut client, "c", 60_000, 0);
    assert_eq!(texts(&next), ["m2", "m3"]);
    assert_eq!(ack(&mut client, &next, 2), 0);
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(pop(&mut client, "d", 60_000, 0).code, response::POLLING_TIMEOUT, "still blocked");
    let sooner = call(&mut client, request::CHANGE_MESSAGE_INVISIBLETIME, &next, 3, "500");
    assert_eq!(sooner.code, 0, "{sooner:?}");
    let again = pop(&mut client, "e", 60_000, 20_000);
    assert_eq!(texts(&again), ["m3", "m4"], "from the first that is not acknowledged");
    assert!(again.field("orderCountInfo").contains("qo0%3 1"), "{again:?}");
}

fn assigned(client: &mut Client, member: &str, strategy: &str) -> Option<Vec<(i32, bool)>> {
    let body = QueryAssignmentRequestBody {
        client_id: member.into(),
        consumer_group: "g".into(),
        strategy_name: strategy.into(),
        topic: "T".into(),
        ..QueryAssignmentRequestBody::default()
    };
    let answer = client.call_with(request::QUERY_ASSIGNMENT, &[], &json::to_fastjson(&body));
    assert_eq!(answer.code, 0, "{answer:?}");
    let body: QueryAssignmentResponseBody = json::from_lenient(&answer.body).unwrap();
    let mut queues: Vec<(i32, bool)> = body
        .message_queue_assignments?
        .iter()
        .map(|one| (one.message_queue.queue_id, one.mode == MessageRequestMode::Pop))
        .collect();
    queues.sort_unstable();
    Some(queues)
}

fn set_mode(client: &mut Client, topic: &str) -> i32 {
    let mode = SetMessageRequestMode {
        consumer_group: "g".into(),
        mode: MessageRequestMode::Pop,
        pop_share_queue_num: 0,
        topic: topic.into(),
    };
    let body = json::to_fastjson(&mode);
    client.call_with(request::SET_MESSAGE_REQUEST_MODE, &[], &body).code
}

#[test]
fn the_broker_shares_queues_out_and_remembers_how() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "makes the topic");
    assert_eq!(assigned(&mut client, "one", "AVG"), None, "a group without members");
    let (mut one, mut two) = (cluster.client(0), cluster.client(0));
    joins(&mut one, "one", "g", &["T"]);
    joins(&mut two, "two", "g", &["T"]);
    eventually("the name server knows the topic", || {
        assigned(&mut client, "one", "AVG") == Some(vec![(0, false), (1, false)])
    });
    let by_circle = assigned(&mut client, "two", "AVG_BY_CIRCLE");
    assert_eq!(by_circle, Some(vec![(1, false), (3, false)]));
    assert_eq!(assigned(&mut client, "one", "CONFIG"), None, "no such strategy here");
    assert_eq!(set_mode(&mut client, "none"), response::TOPIC_NOT_EXIST);
    assert_eq!(set_mode(&mut client, "%RETRY%g"), response::NO_PERMISSION);
    assert_eq!(set_mode(&mut client, "T"), 0);
    assert_eq!(assigned(&mut client, "one", "AVG"), Some(vec![(-1, true)]));
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let all = client.call(request::GET_ALL_MESSAGE_REQUEST_MODE, &[]);
    let modes: MessageRequestModes = json::from_lenient(&all.body).unwrap();
    let mode = &modes.message_request_mode_map["T"]["g"];
    assert_eq!((mode.mode, mode.pop_share_queue_num), (MessageRequestMode::Pop, 0));
    let bad = client.call_with(request::SET_MESSAGE_REQUEST_MODE, &[], b"{");
    assert_eq!(bad.code, response::SYSTEM_ERROR);
}
