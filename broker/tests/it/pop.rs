//! POP: what is handed out, and what comes again.

use crate::client::Client;
use crate::cluster::{Cluster, eventually};
use crate::delay::{now_ms, queue_end};
use crate::pop_client::{
    ASK, Ask, ack, ack_frame, fill, pop, pop_until, popped, send_pop, texts, with_receipt,
};
use protocol::bodies::{BatchAck, BatchAckRequestBody};
use protocol::codes::{request, response};
use protocol::json;
use protocol::names::TIMER_TOPIC;
use std::io::Write as _;
use std::time::Duration;
use testkit::remoting::fields;

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
fn acknowledgements_of_one_turn_and_one_checkpoint_are_one_record() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 32);
    let first = pop(&mut client, Ask { queue_id: 0, ..ASK });
    assert_eq!(first.len(), 32);
    let before = queue_end(&mut client, TIMER_TOPIC, 0);
    let frames: Vec<(i32, Vec<u8>)> =
        first.iter().map(|message| ack_frame(&mut client, message)).collect();
    let bytes: Vec<u8> = frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    client.stream.write_all(&bytes).unwrap();
    for (opaque, _) in frames {
        assert_eq!(client.answer_to(opaque).code, 0);
    }
    let records = queue_end(&mut client, TIMER_TOPIC, 0) - before;
    assert!((1..16).contains(&records), "{records} records for 32 acknowledgements in one go");
}
