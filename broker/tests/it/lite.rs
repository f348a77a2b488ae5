//! Lite topics: what goes into them, who is told of it, and what stops and kills do to it.

use crate::client::{Client, Frame, Stored};
use crate::cluster::{Cluster, eventually};
use protocol::bodies::{
    GetBrokerLiteInfoResponseBody, GetLiteClientInfoResponseBody, GetLiteGroupInfoResponseBody,
    GetLiteTopicInfoResponseBody, GetParentTopicInfoResponseBody,
};
use protocol::codes::{request, response};
use protocol::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::remoting::fields;

const ON: [&str; 2] = ["enableLmq=true", "enableMultiDispatch=true"];

fn on(more: &[&str]) -> Cluster {
    Cluster::start(1, &[&ON[..], more].concat())
}

fn make_parent(client: &mut Client, attributes: &str) {
    let attributes = format!("+message.type=LITE{attributes}");
    let made = client.call(
        request::UPDATE_AND_CREATE_TOPIC,
        &[
            ("topic", "P"),
            ("defaultTopic", "TBW102"),
            ("readQueueNums", "4"),
            ("writeQueueNums", "4"),
            ("perm", "6"),
            ("topicFilterType", "SINGLE_TAG"),
            ("attributes", &attributes),
        ],
    );
    assert_eq!(made.code, 0, "{made:?}");
}

/// A group of lite topics; `attributes` as `"+name":"value"`.
fn make_group(client: &mut Client, group: &str, attributes: &str) {
    let attributes = format!(r#"{{"+lite.bind.topic":"P"{attributes}}}"#);
    let body =
        format!(r#"{{"groupName":"{group}","consumeEnable":true,"attributes":{attributes}}}"#);
    let made = with_body(client, request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body.as_bytes());
    assert_eq!(made.code, 0, "{made:?}");
}

fn with_body(client: &mut Client, code: i32, body: &[u8]) -> Frame {
    let opaque = client.send(code, 0, |_| {}, body);
    client.answer_to(opaque)
}

fn make(client: &mut Client) {
    make_parent(client, "");
    make_group(client, "g", "");
}

fn try_send(client: &mut Client, topic: &str, properties: &str, text: &str) -> Frame {
    let header = protocol::headers::SendHeader { properties, ..crate::client::message(topic) };
    client.send_message(&header, text.as_bytes())
}

fn send(client: &mut Client, child: &str, text: &str) {
    let properties = format!("__LITE_TOPIC\u{1}{child}\u{2}");
    let sent = try_send(client, "P", &properties, text);
    assert_eq!(sent.code, 0, "{sent:?}");
}

fn subscribe(client: &mut Client, action: &str, who: (&str, &str), children: &[&str]) -> Frame {
    subscribe_from(client, action, who, children, "")
}

fn subscribe_from(
    client: &mut Client,
    action: &str,
    (id, group): (&str, &str),
    children: &[&str],
    option: &str,
) -> Frame {
    let children: Vec<String> = children.iter().map(|child| format!("{child:?}")).collect();
    let children = children.join(",");
    let body = format!(
        "{{\"subscriptionSet\":[{{\"action\":\"{action}\",\"clientId\":\"{id}\",\
         \"group\":\"{group}\",\"topic\":\"P\",\"liteTopicSet\":[{children}],\
         \"version\":1{option}}}]}}"
    );
    with_body(client, request::LITE_SUBSCRIPTION_CTL, body.as_bytes())
}

fn add(client: &mut Client, who: (&str, &str), children: &[&str]) {
    let answer = subscribe(client, "PARTIAL_ADD", who, children);
    assert_eq!(answer.code, 0, "{answer:?}");
}

fn send_pop(client: &mut Client, who: (&str, &str), invisible_ms: i64, poll_ms: i64) -> i32 {
    let (invisible, poll) = (invisible_ms.to_string(), poll_ms.to_string());
    let pairs = [
        ("clientId", who.0),
        ("consumerGroup", who.1),
        ("topic", "P"),
        ("maxMsgNum", "32"),
        ("invisibleTime", &invisible),
        ("pollTime", &poll),
        ("bornTime", "0"),
    ];
    client.send(request::POP_LITE_MESSAGE, 0, fields(&pairs), &[])
}

fn pop(client: &mut Client, who: (&str, &str), invisible_ms: i64, poll_ms: i64) -> Frame {
    let opaque = send_pop(client, who, invisible_ms, poll_ms);
    let answer = client.answer_to(opaque);
    assert!([0, response::POLLING_TIMEOUT].contains(&answer.code), "{answer:?}");
    answer
}

fn texts(answer: &Frame) -> Vec<String> {
    answer.messages().iter().map(|message| message.text().to_owned()).collect()
}

fn place(message: &Stored) -> i64 {
    message.properties["INNER_MULTI_QUEUE_OFFSET"].parse().unwrap()
}

fn with_receipt(
    client: &mut Client,
    code: i32,
    (child, offset): (&str, i64),
    of: &Frame,
    more: &[(&str, &str)],
) -> Frame {
    let receipt = format!(
        "0 {} {} 999 0 broker-a 0 {offset}",
        of.field("popTime"),
        of.field("invisibleTime")
    );
    let offset = offset.to_string();
    let mut pairs = vec![
        ("consumerGroup", "g"),
        ("topic", "P"),
        ("queueId", "0"),
        ("offset", offset.as_str()),
        ("extraInfo", receipt.as_str()),
        ("liteTopic", child),
    ];
    pairs.extend_from_slice(more);
    client.call(code, &pairs)
}

fn ack(client: &mut Client, child: &str, offset: i64, of: &Frame) -> i32 {
    with_receipt(client, request::ACK_MESSAGE, (child, offset), of, &[]).code
}

fn ack_all(client: &mut Client, of: &Frame) {
    for message in of.messages() {
        let child = message.properties["__LITE_TOPIC"].clone();
        assert_eq!(ack(client, &child, place(&message), of), 0, "{message:?}");
    }
}

fn pull_child(client: &mut Client, child: &str) -> Vec<String> {
    let header = protocol::headers::PullHeader {
        lite_topic: Some(child),
        ..crate::client::pull_from("P", 0)
    };
    texts(&client.pull(&header))
}

fn info<T: serde::de::DeserializeOwned>(
    client: &mut Client,
    code: i32,
    pairs: &[(&str, &str)],
) -> T {
    let answer = client.call(code, pairs);
    assert_eq!(answer.code, 0, "{answer:?}");
    json::from_lenient(&answer.body).unwrap()
}

#[test]
fn a_message_lies_in_its_parent_and_in_its_child_also_after_kill_and_rebuild() {
    let mut cluster = on(&[]);
    let mut client = cluster.client(0);
    make(&mut client);
    for nth in 0..3 {
        send(&mut client, "a", &format!("a{nth}"));
    }
    send(&mut client, "b", "b0");
    let plain = "INNER_MULTI_QUEUE_OFFSET\u{1}7\u{2}";
    assert_eq!(try_send(&mut client, "P", plain, "plain").code, 0);
    let forged = "__LITE_TOPIC\u{1}a\u{2}INNER_MULTI_DISPATCH\u{1}%LMQ%x\u{2}\
                  INNER_MULTI_QUEUE_OFFSET\u{1}70\u{2}";
    assert_eq!(try_send(&mut client, "P", forged, "a3").code, 0);
    let all = client.pull(&crate::client::pull_from("P", 0)).messages();
    let of = |message: &Stored| {
        let of = |name: &str| message.properties.get(name).cloned().unwrap_or_default();
        (of("INNER_MULTI_DISPATCH"), of("INNER_MULTI_QUEUE_OFFSET"))
    };
    let pair = |queue: &str, offset: &str| (queue.to_owned(), offset.to_owned());
    let places: Vec<_> = all.iter().map(of).collect();
    let expected = [
        pair("%LMQ%$P$a", "0"),
        pair("%LMQ%$P$a", "1"),
        pair("%LMQ%$P$a", "2"),
        pair("%LMQ%$P$b", "0"),
        pair("", "7"),
        pair("%LMQ%$P$a", "3"),
    ];
    assert_eq!(places, expected);
    let expected = ["a0", "a1", "a2", "a3"];
    for life in 0..3 {
        let mut client = cluster.client(0);
        assert_eq!(pull_child(&mut client, "a"), expected, "life {life}");
        assert_eq!(pull_child(&mut client, "b"), ["b0"], "life {life}");
        assert_eq!(pull_child(&mut client, "x"), [""; 0], "life {life}");
        match life {
            0 => cluster.broker.kill(),
            _ => {
                assert_eq!(cluster.broker.stop(), Some(0));
                std::fs::remove_dir_all(cluster.store().join("consumequeue")).unwrap();
                std::fs::remove_file(cluster.store().join("consumequeue.manifest")).unwrap();
            }
        }
        cluster.restart_broker();
    }
    let log = cluster.broker.log();
    assert!(!log.contains("is not in config/topics.json"), "a light queue is no lost topic: {log}");
}

#[test]
fn without_the_keys_a_message_lies_in_its_parent_alone_and_pops_find_nothing() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    make(&mut client);
    send(&mut client, "a", "a0");
    add(&mut client, ("c", "g"), &["a"]);
    assert_eq!(pop(&mut client, ("c", "g"), 60_000, 0).code, response::POLLING_TIMEOUT);
    let stored = client.pull(&crate::client::pull_from("P", 0)).messages();
    assert_eq!(stored[0].properties["INNER_MULTI_DISPATCH"], "%LMQ%$P$a");
    assert!(!stored[0].properties.contains_key("INNER_MULTI_QUEUE_OFFSET"));
    let broker: GetBrokerLiteInfoResponseBody =
        info(&mut client, request::GET_BROKER_LITE_INFO, &[]);
    assert_eq!((broker.current_lmq_num, broker.lite_subscription_count), (0, 1));
}

#[test]
fn the_quota_of_light_queues_refuses_new_ones_alone() {
    let cluster = on(&["enableLmqQuota=true", "maxLmqConsumeQueueNum=2"]);
    let mut client = cluster.client(0);
    make(&mut client);
    send(&mut client, "a", "a0");
    send(&mut client, "b", "b0");
    let refused = try_send(&mut client, "P", "__LITE_TOPIC\u{1}c\u{2}", "c0");
    assert_eq!(refused.code, response::LMQ_QUOTA_EXCEEDED, "{refused:?}");
    send(&mut client, "a", "a1");
    assert_eq!(try_send(&mut client, "P", "", "plain").code, 0);
    let many = "INNER_MULTI_DISPATCH\u{1}%LMQ%$P$a,%LMQ%$P$b,%LMQ%$P$a\u{2}";
    assert_eq!(try_send(&mut client, "P", many, "both").code, 0);
    assert_eq!(pull_child(&mut client, "a"), ["a0", "a1", "both"], "named twice, there once");
    assert_eq!(pull_child(&mut client, "b"), ["b0", "both"]);
    let more = format!("INNER_MULTI_DISPATCH\u{1}{}\u{2}", "%LMQ%$P$a,".repeat(129) + "x");
    assert_eq!(try_send(&mut client, "P", &more, "x").code, response::MESSAGE_ILLEGAL);
    for child in ["a$b", "a/b", "a,b"] {
        let properties = format!("__LITE_TOPIC\u{1}{child}\u{2}");
        let refused = try_send(&mut client, "P", &properties, "x");
        assert_eq!(refused.code, response::MESSAGE_ILLEGAL, "{child}");
    }
}

#[test]
fn a_client_gets_the_messages_of_its_lite_topics_in_order_and_the_next_when_those_are_done() {
    let cluster = on(&[]);
    let mut client = cluster.client(0);
    make(&mut client);
    let who = ("c", "g");
    add(&mut client, who, &["a", "b"]);
    let opaque = send_pop(&mut client, who, 60_000, 30_000);
    let mut sender = cluster.client(0);
    send(&mut sender, "x", "of nobody");
    send(&mut sender, "a", "a0");
    let first = client.answer_to(opaque);
    assert_eq!(texts(&first), ["a0"]);
    assert_eq!((first.field("reviveQid"), first.field("orderCountInfo")), ("999", "0"));
    send(&mut sender, "a", "a1");
    send(&mut sender, "b", "b0");
    let second = pop(&mut client, who, 60_000, 10_000);
    assert_eq!(texts(&second), ["b0"], "a waits for its first message");
    assert_eq!(ack(&mut client, "a", 0, &first), 0);
    assert_eq!(ack(&mut client, "a", 0, &first), 0, "again");
    let third = pop(&mut client, who, 60_000, 10_000);
    assert_eq!(texts(&third), ["a1"]);
    ack_all(&mut client, &third);
    ack_all(&mut client, &second);
    assert_eq!(pop(&mut client, who, 60_000, 0).code, response::POLLING_TIMEOUT);
}

#[test]
fn what_is_not_acknowledged_comes_again_after_its_time_and_counts() {
    let cluster = on(&[]);
    let mut client = cluster.client(0);
    make(&mut client);
    let who = ("c", "g");
    add(&mut client, who, &["a"]);
    send(&mut client, "a", "a0");
    send(&mut client, "a", "a1");
    let first = pop(&mut client, who, 1_000, 10_000);
    let again = pop(&mut client, who, 60_000, 30_000);
    assert_eq!(texts(&again), texts(&first));
    assert_eq!(again.field("orderCountInfo"), "0 qo0%0 1;0 qo0%1 1");
    let change = |client: &mut Client, of: &Frame, offset, more: &[(&str, &str)]| {
        let more = [&[("invisibleTime", "1000")], more].concat();
        with_receipt(client, request::CHANGE_MESSAGE_INVISIBLETIME, ("a", offset), of, &more)
    };
    assert_eq!(ack(&mut client, "a", 1, &again), 0);
    let changed = change(&mut client, &again, 0, &[]);
    assert_eq!((changed.code, changed.field("reviveQid")), (0, "999"));
    let third = pop(&mut client, who, 60_000, 30_000);
    assert_eq!(third.messages()[0].text(), "a0");
    assert!(third.field("orderCountInfo").starts_with("0 qo0%0 2"), "{third:?}");
    assert_eq!(change(&mut client, &third, 0, &[("suspend", "true")]).code, 0);
    let fourth = pop(&mut client, who, 60_000, 30_000);
    assert!(fourth.field("orderCountInfo").starts_with("0 qo0%0 2"), "suspended: {fourth:?}");
    ack_all(&mut client, &fourth);
    let done = change(&mut client, &fourth, 0, &[]);
    assert_eq!((done.code, done.field("reviveQid")), (0, "0"), "it is acknowledged");
}

#[test]
fn restart_and_kill_lose_nothing_and_bring_back_what_was_out() {
    let mut cluster = on(&["flushConsumerOffsetInterval=100"]);
    let mut client = cluster.client(0);
    make(&mut client);
    for nth in 0..20 {
        send(&mut client, "a", &format!("a{nth}"));
    }
    let mut seen = BTreeMap::<String, usize>::new();
    let mut done = 0;
    for life in 0..3 {
        let mut client = cluster.client(0);
        if life == 0 {
            let from = r#","offsetOption":{"type":"POLICY","value":1}"#;
            let answer = subscribe_from(&mut client, "PARTIAL_ADD", ("c", "g"), &["a"], from);
            assert_eq!(answer.code, 0, "{answer:?}");
        } else {
            let answer = subscribe(&mut client, "COMPLETE_ADD", ("c", "g"), &["a"]);
            assert_eq!(answer.code, 0, "{answer:?}");
        }
        let out = pop(&mut client, ("c", "g"), 60_000, 10_000);
        let expected: Vec<String> = (done..done + 6).map(|nth| format!("a{nth}")).collect();
        assert_eq!(texts(&out)[..6], expected, "life {life}"); // from disk eight come at once
        for message in out.messages().iter().take(6) {
            assert_eq!(ack(&mut client, "a", place(message), &out), 0);
            *seen.entry(message.text().to_owned()).or_default() += 1;
            done += 1;
        }
        let group: GetLiteGroupInfoResponseBody =
            info(&mut client, request::GET_LITE_GROUP_INFO, &[("group", "g"), ("topK", "3")]);
        assert_eq!(group.total_lag_count, i64::from(20 - done));
        if life == 0 {
            assert_eq!(cluster.broker.stop(), Some(0));
        } else {
            let saved = cluster.store().join("config/lmqConsumerOffset.json");
            let expected = format!("\"%LMQ%$P$a@g\":{{0:{done}}}");
            eventually("the offset is saved", || {
                std::fs::read_to_string(&saved).is_ok_and(|text| text.contains(&expected))
            });
            cluster.broker.kill();
        }
        cluster.restart_broker();
    }
    assert_eq!(seen.len(), 18);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

#[test]
fn an_exclusive_lite_topic_has_one_client_and_the_other_is_told() {
    let cluster = on(&[]);
    let (mut one, mut two) = (cluster.client(0), cluster.client(0));
    make_parent(&mut one, "");
    make_group(&mut one, "g", r#","+lite.sub.model":"Exclusive""#);
    add(&mut one, ("c1", "g"), &["a", "b"]);
    add(&mut one, ("c1", "g"), &["a"]);
    add(&mut two, ("c2", "g"), &["a"]);
    let told = one.push(request::NOTIFY_UNSUBSCRIBE_LITE);
    let fields = ["clientId", "consumerGroup", "liteTopic"].map(|name| told.field(name));
    assert_eq!(fields, ["c1", "g", "a"]);
    send(&mut one, "a", "a0");
    send(&mut one, "b", "b0");
    assert_eq!(texts(&pop(&mut two, ("c2", "g"), 60_000, 10_000)), ["a0"]);
    assert_eq!(texts(&pop(&mut one, ("c1", "g"), 60_000, 10_000)), ["b0"]);
    let child: GetLiteTopicInfoResponseBody =
        info(&mut one, request::GET_LITE_TOPIC_INFO, &[("parentTopic", "P"), ("liteTopic", "a")]);
    assert_eq!((child.subscriber.len(), child.subscriber[0].client_id.as_str()), (1, "c2"));
    assert!(child.sharding_to_broker && child.topic_offset.max_offset == 1);
}

#[test]
fn subscriptions_are_said_taken_back_limited_and_forgotten() {
    let cluster = on(&[
        "maxLiteSubscriptionCount=3",
        "liteSubscriptionCheckInterval=100",
        "liteSubscriptionCheckTimeoutMills=3000",
    ]);
    let mut client = cluster.client(0);
    make(&mut client);
    let of_client = |client: &mut Client, id: &str| -> GetLiteClientInfoResponseBody {
        let pairs = [("parentTopic", "P"), ("group", "g"), ("clientId", id)];
        info(client, request::GET_LITE_CLIENT_INFO, &pairs)
    };
    add(&mut client, ("c", "g"), &["a", "b"]);
    assert_eq!(subscribe(&mut client, "PARTIAL_REMOVE", ("c", "g"), &["a"]).code, 0);
    assert_eq!(of_client(&mut client, "c").lite_topic_set.unwrap(), ["%LMQ%$P$b"]);
    let complete = subscribe(&mut client, "COMPLETE_ADD", ("c", "g"), &["c", "d", "e"]);
    assert_eq!(complete.code, 0, "{complete:?}");
    let over = subscribe(&mut client, "PARTIAL_ADD", ("c", "g"), &["f"]);
    assert_eq!(over.code, response::LITE_SUBSCRIPTION_QUOTA_EXCEEDED, "{over:?}");
    let same = subscribe(&mut client, "COMPLETE_ADD", ("c", "g"), &["c", "d", "e"]);
    assert_eq!(same.code, 0, "what is there stays: {same:?}");
    assert_eq!(subscribe(&mut client, "COMPLETE_REMOVE", ("c", "g"), &[]).code, 0);
    assert_eq!(of_client(&mut client, "c").lite_topic_count, -1);
    for (body, code) in [
        ("", response::ILLEGAL_OPERATION),
        ("{}", response::ILLEGAL_OPERATION),
        ("garbage", response::SYSTEM_ERROR),
        (r#"{"subscriptionSet":[{"clientId":" ","group":"g","topic":"P"}]}"#, 0),
        (
            r#"{"subscriptionSet":[{"clientId":"c","group":"g","topic":"P"}]}"#,
            response::SYSTEM_ERROR,
        ),
    ] {
        let answer = with_body(&mut client, request::LITE_SUBSCRIPTION_CTL, body.as_bytes());
        assert_eq!(answer.code, code, "{body}: {answer:?}");
    }
    add(&mut client, ("c", "g"), &["a"]);
    eventually("a silent client is forgotten", || {
        of_client(&mut client, "c").lite_topic_count == -1
    });
}

#[test]
fn a_group_of_all_children_gets_them_all() {
    let cluster = on(&["liteEventCheckInterval=100"]);
    let mut client = cluster.client(0);
    make_parent(&mut client, "");
    make_group(&mut client, "g", r#","+lite.sub.wildcard":"true""#);
    let refused = subscribe(&mut client, "PARTIAL_ADD", ("c", "g"), &["a"]);
    assert_eq!(refused.code, response::ILLEGAL_OPERATION);
    send(&mut client, "old", "before");
    assert_eq!(subscribe(&mut client, "COMPLETE_ADD", ("c", "g"), &[]).code, 0);
    for child in ["a", "b", "c"] {
        send(&mut client, child, child);
    }
    let mut all = vec![];
    eventually("all children", || {
        all.extend(texts(&pop(&mut client, ("c", "g"), 60_000, 1_000)));
        all.len() == 4
    });
    all.sort();
    assert_eq!(all, ["a", "b", "before", "c"]);
}

#[test]
fn a_client_that_does_not_come_leaves_its_messages_to_another() {
    let cluster = on(&["liteEventCheckInterval=100"]);
    let (mut gone, mut here) = (cluster.client(0), cluster.client(0));
    make(&mut gone);
    add(&mut gone, ("gone", "g"), &["a"]);
    send(&mut gone, "a", "a0");
    drop(gone);
    add(&mut here, ("here", "g"), &["a"]);
    assert_eq!(texts(&pop(&mut here, ("here", "g"), 60_000, 30_000)), ["a0"]);
}

#[test]
fn more_lite_topics_than_one_client_is_told_of_come_all_the_same() {
    let cluster = on(&[
        "maxClientEventCount=10",
        "liteEventCheckInterval=100",
        "liteEventFullDispatchDelayTime=100",
    ]);
    let mut client = cluster.client(0);
    make(&mut client);
    let children: Vec<String> = (0..60).map(|nth| format!("c{nth}")).collect();
    let names: Vec<&str> = children.iter().map(String::as_str).collect();
    add(&mut client, ("c", "g"), &names);
    for child in &children {
        send(&mut client, child, child);
    }
    let mut all = vec![];
    eventually("all lite topics", || {
        let found = pop(&mut client, ("c", "g"), 60_000, 200);
        ack_all(&mut client, &found);
        all.extend(texts(&found));
        all.len() >= 60
    });
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 60);
}

#[test]
fn a_lite_topic_goes_when_nobody_sends_to_it_for_as_long_as_its_parent_says() {
    let cluster = on(&["minLiteTTl=0", "liteTtlCheckInterval=100"]);
    let mut client = cluster.client(0);
    make_parent(&mut client, ",+lite.topic.expiration=1"); // minutes: no less can be said
    make_group(&mut client, "g", "");
    add(&mut client, ("c", "g"), &["a", "b"]);
    send(&mut client, "a", "a0");
    send(&mut client, "b", "b0");
    let out = pop(&mut client, ("c", "g"), 600_000, 10_000);
    ack_all(&mut client, &out);
    let children = |client: &mut Client| {
        send(client, "b", "kept");
        let pairs = [("topic", "P")];
        let parent: GetParentTopicInfoResponseBody =
            info(client, request::GET_PARENT_TOPIC_INFO, &pairs);
        assert_eq!(parent.ttl, 1);
        parent.lite_topic_count
    };
    let began = Instant::now();
    loop {
        let asked = began.elapsed();
        if children(&mut client) == 1 {
            break;
        }
        assert!(asked < Duration::from_secs(180), "it stays");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(began.elapsed() > Duration::from_secs(55), "not before its time");
    assert_eq!(pull_child(&mut client, "a"), [""; 0]);
    send(&mut client, "a", "anew");
    assert_eq!(pull_child(&mut client, "a"), ["anew"]);
    assert_eq!(pull_child(&mut client, "b")[0], "b0");
}

#[test]
fn the_children_of_a_deleted_topic_go_with_it() {
    let mut cluster = on(&["minLiteTTl=0", "liteTtlCheckInterval=100"]);
    let mut client = cluster.client(0);
    make(&mut client);
    send(&mut client, "a", "a0");
    send(&mut client, "b", "b0");
    add(&mut client, ("c", "g"), &["a", "b"]);
    let out = pop(&mut client, ("c", "g"), 60_000, 10_000);
    ack_all(&mut client, &out);
    let parent = |client: &mut Client| -> GetParentTopicInfoResponseBody {
        info(client, request::GET_PARENT_TOPIC_INFO, &[("topic", "P")])
    };
    assert_eq!((parent(&mut client).lite_topic_count, parent(&mut client).ttl), (2, -1));
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(parent(&mut client).lite_topic_count, 2, "without a time they stay");
    let deleted = client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "P")]);
    assert_eq!(deleted.code, 0, "{deleted:?}");
    let broker: GetBrokerLiteInfoResponseBody =
        info(&mut client, request::GET_BROKER_LITE_INFO, &[]);
    assert_eq!((broker.current_lmq_num, broker.offset_table_size), (0, 0), "{broker:?}");
    let folders = std::fs::read_dir(cluster.store().join("consumequeue")).unwrap();
    let left: Vec<_> = folders.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("%LMQ%")), "{left:?}");
    make(&mut client);
    send(&mut client, "a", "anew");
    assert_eq!(pull_child(&mut client, "a"), ["anew"]);
}

#[test]
fn what_can_not_be_is_refused_in_apaches_codes() {
    let cluster = on(&[]);
    let mut client = cluster.client(0);
    make(&mut client);
    client.put("N", "", "m");
    send(&mut client, "a", "a0");
    add(&mut client, ("c", "g"), &["a"]);
    let out = pop(&mut client, ("c", "g"), 60_000, 10_000);
    let call = |client: &mut Client, of: (i32, i64), more: &[(&str, &str)]| {
        with_receipt(client, of.0, ("a", of.1), &out, more).code
    };
    let ack = |client: &mut Client, offset, more: &[(&str, &str)]| {
        call(client, (request::ACK_MESSAGE, offset), more)
    };
    assert_eq!(ack(&mut client, 9, &[]), response::NO_MESSAGE);
    assert_eq!(ack(&mut client, 0, &[("extraInfo", "x")]), response::SYSTEM_ERROR);
    assert_eq!(ack(&mut client, 0, &[("queueId", "1")]), response::INVALID_PARAMETER);
    assert_eq!(ack(&mut client, 0, &[("consumerGroup", "other")]), response::INVALID_PARAMETER);
    assert_eq!(ack(&mut client, 1, &[]), response::MESSAGE_ILLEGAL, "none of the last pop's");
    let old = "0 5 60000 999 0 broker-a 0 0";
    assert_eq!(ack(&mut client, 0, &[("extraInfo", old)]), 0, "of an earlier pop");
    assert_eq!(ack(&mut client, 0, &[("extraInfo", &old.replace("999", "1"))]), 29);
    let changed = (request::CHANGE_MESSAGE_INVISIBLETIME, 9);
    assert_eq!(call(&mut client, changed, &[("invisibleTime", "1")]), response::NO_MESSAGE);
    assert_eq!(call(&mut client, (request::ACK_LITE_MESSAGE, 0), &[]), 3, "as Apache's broker");
    let pops = [
        (("topic", "N"), response::INVALID_PARAMETER),
        (("topic", "X"), response::TOPIC_NOT_EXIST),
        (("consumerGroup", "other"), response::INVALID_PARAMETER),
        (("maxMsgNum", "33"), response::INVALID_PARAMETER),
        (("maxMsgNum", "0"), response::POLLING_TIMEOUT),
        (("bornTime", "5"), response::POLLING_TIMEOUT),
        (("invisibleTime", "soon"), response::SYSTEM_ERROR),
    ];
    for ((name, value), code) in pops {
        let mut pairs = BTreeMap::from([
            ("clientId", "c"),
            ("consumerGroup", "g"),
            ("topic", "P"),
            ("maxMsgNum", "1"),
            ("invisibleTime", "1000"),
            ("pollTime", "0"),
            ("bornTime", "0"),
        ]);
        pairs.insert(name, value);
        let pairs: Vec<_> = pairs.into_iter().collect();
        let answer = client.call(request::POP_LITE_MESSAGE, &pairs);
        assert_eq!(answer.code, code, "{name}={value}: {answer:?}");
        assert!(answer.ext.contains_key("popTime"), "Java reads it: {answer:?}");
    }
    for (code, pairs, expected) in [
        (request::GET_PARENT_TOPIC_INFO, vec![("topic", "N")], 29),
        (request::GET_PARENT_TOPIC_INFO, vec![("topic", "X")], 17),
        (request::GET_LITE_TOPIC_INFO, vec![("parentTopic", "P")], 1),
        (request::GET_LITE_GROUP_INFO, vec![("group", "other"), ("topK", "1")], 29),
        (request::GET_LITE_GROUP_INFO, vec![("group", "g"), ("topK", "0")], 1),
        (request::TRIGGER_LITE_DISPATCH, vec![("group", "other")], 29),
        (request::TRIGGER_LITE_DISPATCH, vec![("group", "g")], 0),
        (request::TRIGGER_LITE_DISPATCH, vec![("group", "g"), ("clientId", "c")], 0),
    ] {
        assert_eq!(client.call(code, &pairs).code, expected, "{code} {pairs:?}");
    }
    let at = |client: &mut Client, ms: &str| {
        let pairs = [("topic", "P"), ("queueId", "0"), ("timestamp", ms), ("liteTopic", "a")];
        client.call(request::SEARCH_OFFSET_BY_TIMESTAMP, &pairs).number("offset")
    };
    assert_eq!((at(&mut client, "0"), at(&mut client, "9999999999999")), (0, 1));
    std::thread::sleep(Duration::from_millis(1));
}
