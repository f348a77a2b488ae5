//! POP: what is handed out, what comes again, and what stops, kills and bad receipts do to it.

use crate::client::{Client, Frame, Stored};
use crate::cluster::{Cluster, eventually};
use crate::delay::{now_ms, queue_end};
use protocol::bodies::{BatchAck, BatchAckRequestBody};
use protocol::codes::{request, response};
use protocol::json;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::remoting::fields;

/// A message with what acknowledges it.
#[derive(Clone, Debug)]
struct Popped {
    stored: Stored,
    receipt: String,
    topic: String,
}

/// What a pop asks.
#[derive(Clone, Copy)]
struct Ask<'a> {
    group: &'a str,
    queue_id: i32,
    max: i32,
    invisible_ms: i64,
    poll_ms: i64,
    filter: &'a str,
}

const ASK: Ask<'static> =
    Ask { group: "g", queue_id: -1, max: 32, invisible_ms: 60_000, poll_ms: 0, filter: "*" };

fn send_pop(client: &mut Client, ask: Ask<'_>) -> i32 {
    let numbers = [
        ("queueId", i64::from(ask.queue_id)),
        ("maxMsgNums", i64::from(ask.max)),
        ("invisibleTime", ask.invisible_ms),
        ("pollTime", ask.poll_ms),
        ("bornTime", 0),
        ("initMode", 0),
    ];
    client.send(
        request::POP_MESSAGE,
        0,
        |ext| {
            ext.str("consumerGroup", ask.group);
            ext.str("topic", "T");
            ext.str("exp", ask.filter);
            ext.str("expType", "TAG");
            numbers.iter().for_each(|(name, value)| ext.int(name, *value));
        },
        &[],
    )
}

/// The receipts, as Java's client makes them of the answer's header.
fn popped(answer: &Frame) -> Vec<Popped> {
    let starts: BTreeMap<(String, String), String> = answer
        .field("startOffsetInfo")
        .split(';')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let parts: Vec<&str> = part.split(' ').collect();
            ((parts[0].to_owned(), parts[1].to_owned()), parts[2].to_owned())
        })
        .collect();
    let make = |stored: Stored| {
        let own = stored.properties.get("POP_CK").cloned();
        let queue_id = stored.queue_id.to_string();
        let retry = own.as_deref().map_or("0", |own| own.split(' ').nth(4).unwrap()).to_owned();
        let receipt = own.unwrap_or_else(|| {
            format!(
                "{} {} {} {} 0 broker-a {queue_id} {}",
                starts[&(retry.clone(), queue_id.clone())],
                answer.field("popTime"),
                answer.field("invisibleTime"),
                answer.field("reviveQid"),
                stored.queue_offset,
            )
        });
        let topic = match retry.as_str() {
            "1" => "%RETRY%g_T",
            "2" => "%RETRY%g+T",
            _ => "T",
        };
        Popped { stored, receipt, topic: topic.to_owned() }
    };
    answer.messages().into_iter().map(make).collect()
}

fn pop(client: &mut Client, ask: Ask<'_>) -> Vec<Popped> {
    let opaque = send_pop(client, ask);
    let answer = client.answer_to(opaque);
    assert!([0, response::POLLING_TIMEOUT].contains(&answer.code), "{answer:?}");
    popped(&answer)
}

fn with_receipt(client: &mut Client, code: i32, message: &Popped, more: &[(&str, &str)]) -> Frame {
    let queue_id = message.stored.queue_id.to_string();
    let offset = message.stored.queue_offset.to_string();
    let mut fields = vec![
        ("consumerGroup", "g"),
        ("topic", message.topic.as_str()),
        ("queueId", queue_id.as_str()),
        ("offset", offset.as_str()),
        ("extraInfo", message.receipt.as_str()),
    ];
    fields.extend_from_slice(more);
    client.call(code, &fields)
}

fn ack(client: &mut Client, message: &Popped) {
    let answer = with_receipt(client, request::ACK_MESSAGE, message, &[]);
    assert_eq!(answer.code, 0, "{answer:?}");
}

fn texts(messages: &[Popped]) -> Vec<String> {
    let mut texts: Vec<String> =
        messages.iter().map(|message| message.stored.text().to_owned()).collect();
    texts.sort();
    texts
}

fn fill(client: &mut Client, messages: i32) -> Vec<String> {
    let texts: Vec<String> = (0..messages).map(|nth| format!("m{nth:03}")).collect();
    for text in &texts {
        client.put("T", "", text);
    }
    texts
}

/// Pops until `text` comes, and everything that came.
fn pop_until(client: &mut Client, ask: Ask<'_>, text: &str) -> Popped {
    let mut found = None;
    eventually(&format!("{text} is popped"), || {
        let mut all = pop(client, ask).into_iter();
        found = all.find(|message| message.stored.text() == text);
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn each_message_is_handed_out_once_to_a_group_and_again_to_another() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let sent = fill(&mut client, 50);
    let first = pop(&mut client, ASK);
    assert_eq!(first.len(), 32);
    let mut all = first.clone();
    all.extend(pop(&mut client, Ask { max: 10, ..ASK }));
    assert_eq!(all.len(), 42);
    all.extend(pop(&mut client, ASK));
    assert_eq!(texts(&all), sent);
    assert!(pop(&mut client, ASK).is_empty());
    let other = Ask { group: "h", ..ASK };
    let mut of_other = pop(&mut client, other);
    of_other.extend(pop(&mut client, other));
    assert_eq!(texts(&of_other), sent);
    all.iter().for_each(|message| ack(&mut client, message));
}

#[test]
fn what_is_not_acknowledged_in_time_comes_again_and_nothing_else() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 4);
    let short = Ask { invisible_ms: 1_500, ..ASK };
    let first = pop(&mut client, short);
    assert_eq!(first.len(), 4);
    for message in first.iter().filter(|message| message.stored.text() != "m002") {
        ack(&mut client, message);
    }
    let again = pop_until(&mut client, short, "m002");
    let late_ms = again.stored.store_timestamp_ms - now_ms();
    assert!(late_ms <= 0);
    assert_eq!((again.stored.reconsume_times, again.stored.topic.as_str()), (1, "T"));
    assert_eq!(again.topic, "%RETRY%g_T");
    assert!(again.stored.properties.contains_key("1ST_POP_TIME"));
    ack(&mut client, &again);
    std::thread::sleep(Duration::from_secs(6));
    assert!(pop(&mut client, short).is_empty(), "all is acknowledged");
    assert_eq!(queue_end(&mut client, "%RETRY%g_T", 0), 1);
}

#[test]
fn a_message_with_too_many_attempts_goes_to_the_dead_letters() {
    let cluster = Cluster::start(1, &["enableRetryTopicV2=true"]);
    let mut client = cluster.client(0);
    let group = r#"{"groupName":"g","retryMaxTimes":1,"retryQueueNums":1,"consumeEnable":true}"#;
    let code = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    assert_eq!(client.call_with(code, &[], group.as_bytes()).code, 0);
    fill(&mut client, 1);
    let short = Ask { invisible_ms: 500, ..ASK };
    assert_eq!(pop(&mut client, short).len(), 1);
    let again = pop_until(&mut client, short, "m000");
    assert_eq!((again.topic.as_str(), again.stored.reconsume_times), ("%RETRY%g+T", 1));
    eventually("a dead letter", || queue_end(&mut client, "%DLQ%g", 0) == 1);
    assert_eq!(queue_end(&mut client, "%RETRY%g+T", 0), 1);
}

#[test]
fn a_batch_acknowledges_what_its_bits_name() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 5);
    let short = Ask { invisible_ms: 2_000, queue_id: 0, ..ASK };
    let opaque = send_pop(&mut client, short);
    let answer = client.answer_to(opaque);
    assert_eq!(popped(&answer).len(), 5);
    let batch = BatchAckRequestBody {
        broker_name: Some("broker-a".into()),
        acks: vec![BatchAck {
            bits: BatchAck::bits_of(&[0, 1, 3, 4, 900]),
            group: "g".into(),
            topic: "T".into(),
            retry: "0".into(),
            start_offset: 0,
            queue_id: 0,
            revive_queue: answer.number("reviveQid").try_into().unwrap(),
            pop_time_ms: answer.number("popTime"),
            invisible_ms: 2_000,
        }],
    };
    let body = json::to_fastjson(&batch);
    assert_eq!(client.call_with(request::BATCH_ACK_MESSAGE, &[], &body).code, 0);
    pop_until(&mut client, short, "m002");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(queue_end(&mut client, "%RETRY%g_T", 0), 1, "m002 alone comes again");
    let nothing = client.call_with(request::BATCH_ACK_MESSAGE, &[], b"{\"acks\":[]}");
    assert_eq!(nothing.code, response::NO_MESSAGE);
}

#[test]
fn a_changed_invisible_time_brings_a_message_sooner() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 2);
    let first = pop(&mut client, Ask { invisible_ms: 600_000, ..ASK });
    assert_eq!(first.len(), 2);
    let changed = with_receipt(
        &mut client,
        request::CHANGE_MESSAGE_INVISIBLETIME,
        &first[0],
        &[("invisibleTime", "1000")],
    );
    assert_eq!((changed.code, changed.number("invisibleTime")), (0, 1_000), "{changed:?}");
    let again = pop_until(&mut client, ASK, first[0].stored.text());
    assert_eq!(again.stored.reconsume_times, 1);
    ack(&mut client, &again);
    assert!(pop(&mut client, ASK).is_empty());
}

#[test]
fn a_long_poll_is_answered_by_a_message_and_by_its_time() {
    let cluster = Cluster::start(1, &[]);
    let (mut client, mut producer) = (cluster.client(0), cluster.client(0));
    producer.put("T", "", "makes the topic");
    assert_eq!(pop(&mut client, ASK).len(), 1);
    let waits = Ask { poll_ms: 20_000, ..ASK };
    let opaques: Vec<i32> = (0..3).map(|_| send_pop(&mut client, waits)).collect();
    let info = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "-1")];
    eventually("three wait", || {
        producer.call(request::POLLING_INFO, &info).number("pollingNum") == 3
    });
    producer.put("T", "", "one");
    let answer = client.answer_to(opaques[0]);
    assert_eq!((answer.code, texts(&popped(&answer))), (0, vec!["one".to_owned()]));
    assert_eq!(producer.call(request::POLLING_INFO, &info).number("pollingNum"), 2);
    producer.put("T", "", "two");
    producer.put("T", "", "three");
    let mut came: Vec<String> = vec![];
    for opaque in &opaques[1..] {
        came.extend(texts(&popped(&client.answer_to(*opaque))));
    }
    came.sort();
    assert_eq!(came, ["three", "two"]);
    let opaque = send_pop(&mut client, Ask { poll_ms: 300, ..ASK });
    let answer = client.answer_to(opaque);
    assert_eq!(answer.code, response::POLLING_TIMEOUT);
    assert_eq!((answer.number("restNum"), answer.messages().len()), (0, 0));
}

#[test]
fn what_comes_again_wakes_a_long_poll() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 1);
    assert_eq!(pop(&mut client, Ask { invisible_ms: 1_000, ..ASK }).len(), 1);
    let opaque = send_pop(&mut client, Ask { poll_ms: 30_000, ..ASK });
    let answer = client.answer_to(opaque);
    assert_eq!((answer.code, texts(&popped(&answer))), (0, vec!["m000".to_owned()]));
}

#[test]
fn a_tag_decides_what_is_popped_and_the_rest_is_passed() {
    let cluster = Cluster::start(1, &[]);
    let (mut client, mut producer) = (cluster.client(0), cluster.client(0));
    for (tag, text) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        producer.put("T", tag, text);
    }
    let of_b = Ask { filter: "b", ..ASK };
    assert_eq!(texts(&pop(&mut client, of_b)), ["b1"]);
    assert!(pop(&mut client, ASK).is_empty(), "the others are passed");
    let opaque = send_pop(&mut client, Ask { poll_ms: 20_000, ..of_b });
    producer.put("T", "a", "a3");
    producer.put("T", "b", "b2");
    assert_eq!(texts(&popped(&client.answer_to(opaque))), ["b2"]);
}

#[test]
fn a_notification_and_a_peek_take_nothing() {
    let cluster = Cluster::start(1, &[]);
    let (mut client, mut producer) = (cluster.client(0), cluster.client(0));
    fill(&mut producer, 2);
    let of_g = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "-1")];
    let peek = |client: &mut Client| {
        client.call(request::PEEK_MESSAGE, &[&of_g[..], &[("maxMsgNums", "9")]].concat())
    };
    let notify = [&of_g[..], &[("pollTime", "20000"), ("bornTime", "0")]].concat();
    assert_eq!(client.call(request::NOTIFICATION, &notify).field("hasMsg"), "true");
    for _ in 0..2 {
        let seen = peek(&mut client);
        assert_eq!((seen.code, seen.messages().len(), seen.number("restNum")), (0, 2, 2));
    }
    assert_eq!(pop(&mut client, ASK).len(), 2);
    assert_eq!(peek(&mut client).code, response::PULL_NOT_FOUND);
    let opaque = client.send(request::NOTIFICATION, 0, fields(&notify), &[]);
    producer.put("T", "", "news");
    assert_eq!(client.answer_to(opaque).field("hasMsg"), "true");
    assert_eq!(texts(&pop(&mut client, ASK)), ["news"]);
    let short = [&of_g[..], &[("pollTime", "200"), ("bornTime", "0")]].concat();
    assert_eq!(client.call(request::NOTIFICATION, &short).field("hasMsg"), "false");
}

#[test]
fn after_a_clean_stop_nothing_acknowledged_comes_and_the_rest_does() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let sent = fill(&mut client, 20);
    let ask = Ask { invisible_ms: 6_000, ..ASK };
    let first = pop(&mut client, ask);
    assert_eq!(texts(&first), sent);
    let (kept, acked) = first.split_at(5);
    acked.iter().for_each(|message| ack(&mut client, message));
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let mut again = vec![];
    eventually("what was not acknowledged", || {
        again.extend(pop(&mut client, ASK));
        again.len() >= kept.len()
    });
    std::thread::sleep(Duration::from_secs(3));
    again.extend(pop(&mut client, ASK));
    assert_eq!(texts(&again), texts(kept));
}

#[test]
fn after_a_kill_everything_that_was_not_acknowledged_comes() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let sent = fill(&mut client, 20);
    let ask = Ask { invisible_ms: 4_000, ..ASK };
    let first = pop(&mut client, ask);
    let (kept, acked) = first.split_at(8);
    acked.iter().for_each(|message| ack(&mut client, message));
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let mut again = vec![];
    eventually("what was not acknowledged", || {
        again.extend(pop(&mut client, Ask { invisible_ms: 60_000, ..ASK }));
        texts(kept).iter().all(|text| texts(&again).contains(text))
    });
    let duplicates = texts(&again).len() - kept.len();
    println!("{duplicates} of {} acknowledged messages came again after a kill", acked.len());
    assert!(duplicates <= sent.len());
}

#[test]
fn receipts_that_are_wrong_are_refused_and_cost_nothing() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 1);
    let message = pop(&mut client, Ask { invisible_ms: 1_500, ..ASK }).remove(0);
    let refused = |client: &mut Client, code: i32, receipt: &str, offset: i64| {
        let mut wrong = message.clone();
        wrong.receipt = receipt.to_owned();
        wrong.stored.queue_offset = offset;
        with_receipt(client, code, &wrong, &[("invisibleTime", "1000")]).code
    };
    let good = message.receipt.clone();
    let at = message.stored.queue_offset;
    for code in [request::ACK_MESSAGE, request::CHANGE_MESSAGE_INVISIBLETIME] {
        for bad in ["", "x", "1 2 3", "a b c d e f g h", "1 2 3 4 9 b 0 0"] {
            assert_eq!(refused(&mut client, code, bad, at), response::SYSTEM_ERROR, "{bad:?}");
        }
        let no_queue = "0 1 1 77 0 broker-a 0 0";
        assert_eq!(refused(&mut client, code, no_queue, at), response::MESSAGE_ILLEGAL);
        for beyond in [-1, at + 1_000, i64::MAX, i64::MIN] {
            assert_eq!(refused(&mut client, code, &good, beyond), response::NO_MESSAGE);
        }
    }
    let foreign = good.replace("broker-a", "another");
    assert_eq!(refused(&mut client, request::ACK_MESSAGE, &foreign, at), 0, "as Apache has it");
    let again = pop_until(&mut client, ASK, "m000");
    ack(&mut client, &again);
    ack(&mut client, &again);
    ack(&mut client, &message);
}

#[test]
fn pops_that_may_not_be_are_refused_with_apaches_codes() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 1);
    let code = |client: &mut Client, ask: Ask<'_>| {
        let opaque = send_pop(client, ask);
        client.answer_to(opaque).code
    };
    assert_eq!(code(&mut client, Ask { max: 33, ..ASK }), response::INVALID_PARAMETER);
    assert_eq!(code(&mut client, Ask { queue_id: 99, ..ASK }), response::INVALID_PARAMETER);
    let year = Ask { invisible_ms: 366 * 86_400_000, ..ASK };
    assert_eq!(code(&mut client, year), response::INVALID_PARAMETER);
    let bad_tags = Ask { filter: "||", ..ASK };
    assert_eq!(code(&mut client, bad_tags), response::SUBSCRIPTION_PARSE_FAILED);
    for nothing in [0, -1, i32::MIN] {
        assert_eq!(code(&mut client, Ask { max: nothing, ..ASK }), response::POLLING_TIMEOUT);
    }
    let gone = client.call(
        request::POP_MESSAGE,
        &[
            ("consumerGroup", "g"),
            ("topic", "none"),
            ("queueId", "-1"),
            ("maxMsgNums", "1"),
            ("invisibleTime", "1000"),
            ("pollTime", "0"),
            ("bornTime", "0"),
            ("initMode", "0"),
        ],
    );
    assert_eq!(gone.code, response::TOPIC_NOT_EXIST);
    let late = client.call(
        request::POP_MESSAGE,
        &[
            ("consumerGroup", "g"),
            ("topic", "T"),
            ("queueId", "-1"),
            ("maxMsgNums", "1"),
            ("invisibleTime", "1000"),
            ("pollTime", "0"),
            ("bornTime", "1"),
            ("initMode", "0"),
        ],
    );
    assert_eq!((late.code, late.number("restNum")), (response::POLLING_TIMEOUT, 0), "{late:?}");
    assert_eq!(client.call(request::POP_MESSAGE, &[("topic", "T")]).code, response::SYSTEM_ERROR);
    let now = Ask { invisible_ms: 0, ..ASK };
    assert_eq!(pop(&mut client, now).len(), 1);
    pop_until(&mut client, ASK, "m000");
}
