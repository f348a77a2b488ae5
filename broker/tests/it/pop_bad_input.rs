//! POP: what is malformed, foreign, replayed, late or absurd gets Apache's code or a decision of
//! ours, and leaves no queue stuck.

use crate::client::{Client, Frame};
use crate::cluster::{Cluster, eventually};
use crate::pop_client::{
    ASK, Ask, Popped, ack, fill, pop, pop_until, send_pop, texts, with_receipt,
};
use protocol::bodies::{BatchAck, BatchAckRequestBody};
use protocol::codes::{request, response};
use protocol::json;
use std::io::Write as _;
use std::time::Duration;

const YEAR_MS: i64 = 366 * 86_400_000;

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

#[test]
fn a_receipt_that_is_late_or_comes_twice_is_taken_and_changes_nothing() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 2);
    let first = pop(&mut client, Ask { invisible_ms: 1_000, ..ASK });
    ack(&mut client, &first[1]);
    let again = pop_until(&mut client, ASK, first[0].stored.text());
    for _ in 0..3 {
        first.iter().for_each(|message| ack(&mut client, message));
    }
    ack(&mut client, &again);
    ack(&mut client, &again);
    fill(&mut client, 1);
    assert_eq!(texts(&pop(&mut client, ASK)), ["m000"]);
}

#[test]
fn a_changed_invisible_time_of_0_or_below_brings_a_message_soon_and_one_of_a_year_is_refused() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 3);
    let first = pop(&mut client, ASK);
    let change = |client: &mut Client, nth: usize, ms: i64| -> Frame {
        let code = request::CHANGE_MESSAGE_INVISIBLETIME;
        with_receipt(client, code, &first[nth], &[("invisibleTime", &ms.to_string())])
    };
    assert_eq!(change(&mut client, 0, 0).code, 0);
    assert_eq!(change(&mut client, 1, i64::MIN).code, 0);
    for far in [YEAR_MS, i64::MAX] {
        assert_eq!(change(&mut client, 2, far).code, response::MESSAGE_ILLEGAL);
    }
    let mut came = vec![];
    eventually("two come again", || {
        came.extend(texts(&pop(&mut client, ASK)));
        came.len() == 2
    });
    came.sort();
    let expected = [first[0].stored.text(), first[1].stored.text()];
    assert_eq!(came, expected, "and the third is out still");
}

#[test]
fn a_forged_acknowledgement_is_refused_alone() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    fill(&mut client, 2);
    let mut good = pop(&mut client, Ask { queue_id: 0, ..ASK });
    let mut forged = good[1].clone();
    // Its time is beyond what timers wait; its broker's name makes a record that is too long.
    let far = format!("0 {} 1000 0 0 broker-a 0 1", i64::MAX / 2);
    let long = format!("0 1 1 0 0 {} 0 1", "b".repeat(40_000));
    let batch = |bits: String| BatchAckRequestBody {
        broker_name: Some("broker-a".into()),
        acks: vec![BatchAck {
            bits,
            group: "g".into(),
            topic: "T".into(),
            retry: "0".into(),
            ..BatchAck::default()
        }],
    };
    for receipt in [far, long] {
        forged.receipt = receipt;
        let mut frames = vec![];
        for message in [&good[0], &forged, &good[1]] {
            frames.push(crate::pop_client::ack_frame(&mut client, message));
        }
        let bytes: Vec<u8> = frames.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        client.stream.write_all(&bytes).unwrap();
        let codes: Vec<i32> =
            frames.iter().map(|(opaque, _)| client.answer_to(*opaque).code).collect();
        assert_eq!((codes[0], codes[2]), (0, 0), "{codes:?}");
        assert_ne!(codes[1], 0);
    }
    for bits in ["no base64 at all!".to_owned(), BatchAck::bits_of(&[0; 1]) + "="] {
        let body = json::to_fastjson(&batch(bits));
        let answer = client.call_with(request::BATCH_ACK_MESSAGE, &[], &body);
        assert_eq!(answer.code, response::SYSTEM_ERROR);
    }
    let many: Vec<usize> = (0..5_000).collect();
    let body = json::to_fastjson(&batch(BatchAck::bits_of(&many)));
    let answer = client.call_with(request::BATCH_ACK_MESSAGE, &[], &body);
    assert_eq!(answer.code, response::INVALID_PARAMETER);
    let garbage = client.call_with(request::BATCH_ACK_MESSAGE, &[], b"{\"acks\":7}");
    assert_ne!(garbage.code, 0);
    good.truncate(1);
    fill(&mut client, 1);
    assert_eq!(pop(&mut client, ASK).len(), 1, "no queue is stuck");
}

#[test]
fn a_group_that_may_not_be_and_a_topic_that_may_not_be_read_are_refused() {
    let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false"]);
    let mut client = cluster.client(0);
    fill(&mut client, 1);
    let code = |client: &mut Client| {
        let opaque = send_pop(client, ASK);
        client.answer_to(opaque).code
    };
    assert_eq!(code(&mut client), response::SUBSCRIPTION_GROUP_NOT_EXIST);
    set_group(&mut client, false);
    assert_eq!(code(&mut client), response::NO_PERMISSION);
    set_group(&mut client, true);
    set_perm(&mut client, "2");
    assert_eq!(code(&mut client), response::NO_PERMISSION);
    set_perm(&mut client, "6");
    assert_eq!(texts(&pop(&mut client, ASK)), ["m000"]);
}

#[test]
fn ten_thousand_long_polls_of_a_deaf_client_are_bounded_and_cost_others_nothing() {
    let cluster = Cluster::start(1, &[]);
    let (mut client, mut deaf) = (cluster.client(0), cluster.client(0));
    fill(&mut client, 1);
    assert_eq!(pop(&mut client, ASK).len(), 1);
    for _ in 0..10_000 {
        send_pop(&mut deaf, Ask { group: "deaf", poll_ms: 60_000, ..ASK });
    }
    let info = [("consumerGroup", "deaf"), ("topic", "T"), ("queueId", "-1")];
    let waiting =
        |client: &mut Client| client.call(request::POLLING_INFO, &info).number("pollingNum");
    // The first took the message that was there; over popPollingSize they are answered with 209.
    eventually("all are read", || waiting(&mut client) == 1_024);
    let opaque = send_pop(&mut client, Ask { poll_ms: 20_000, ..ASK });
    let mut producer = cluster.client(0);
    producer.put("T", "", "news");
    assert_eq!(crate::pop_client::popped(&client.answer_to(opaque)).len(), 1);
    assert!((1_023..=1_024).contains(&waiting(&mut client)), "one message wakes one");
    drop(deaf);
    eventually("they end with their connection", || waiting(&mut client) == 0);
    std::thread::sleep(Duration::from_millis(100));
    producer.put("T", "", "more");
    assert_eq!(texts(&pop(&mut client, ASK)), ["more"]);
}

/// What a request about a popped message says of who it is and where the message lies.
type As<'a> = (&'a str, &'a str);

fn answer_as(client: &mut Client, code: i32, (group, topic): As<'_>, message: &Popped) -> i32 {
    let (queue_id, offset) = (message.stored.queue_id, message.stored.queue_offset);
    let fields = [
        ("consumerGroup", group),
        ("topic", topic),
        ("queueId", &queue_id.to_string()),
        ("offset", &offset.to_string()),
        ("extraInfo", &message.receipt),
        ("invisibleTime", "0"),
    ];
    client.call(code, &fields).code
}

fn batch_as(client: &mut Client, entries: &[As<'_>], message: &Popped) -> i32 {
    let words: Vec<&str> = message.receipt.split(' ').collect();
    let number = |nth: usize| words[nth].parse::<i64>().unwrap();
    let start_offset = number(0);
    let place = usize::try_from(message.stored.queue_offset - start_offset).unwrap();
    let entry = |(group, topic): &As<'_>| BatchAck {
        bits: BatchAck::bits_of(&[place]),
        group: (*group).into(),
        topic: (*topic).into(),
        retry: "0".into(),
        start_offset,
        queue_id: message.stored.queue_id,
        revive_queue: i32::try_from(number(3)).unwrap(),
        pop_time_ms: number(1),
        invisible_ms: number(2),
    };
    let acks = entries.iter().map(entry).collect();
    let body = BatchAckRequestBody { broker_name: Some("broker-a".into()), acks };
    client.call_with(request::BATCH_ACK_MESSAGE, &[], &json::to_fastjson(&body)).code
}

const MERGES: [&str; 2] = ["enablePopBufferMerge=false", "enablePopBufferMerge=true"];
const OF_ONE: [i32; 2] = [request::ACK_MESSAGE, request::CHANGE_MESSAGE_INVISIBLETIME];

/// Apache looks for a topic of one message (17), of a batch it leaves out what it does not know,
/// and it never looks for the group: its records match no checkpoint.
#[test]
fn acknowledgements_of_unknown_groups_and_topics_change_nothing() {
    for merge in MERGES {
        let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false", merge]);
        let mut client = cluster.client(0);
        set_group(&mut client, true);
        fill(&mut client, 1);
        let message = pop(&mut client, Ask { invisible_ms: 5_000, ..ASK }).remove(0);
        for code in OF_ONE {
            assert_eq!(answer_as(&mut client, code, ("nobody", "T"), &message), 0);
            for topic in ["none", "%RETRY%nobody_T", "%RETRY%g_T"] {
                let answered = answer_as(&mut client, code, ("g", topic), &message);
                assert_eq!(answered, response::TOPIC_NOT_EXIST, "{topic}");
            }
        }
        let unknown = [("nobody", "T"), ("g", "none"), ("nobody", "none")];
        assert_eq!(batch_as(&mut client, &unknown, &message), 0);
        assert_eq!(batch_as(&mut client, &[], &message), response::NO_MESSAGE);
        for no_acks in [&b""[..], b"{}", b"{\"acks\":null}"] {
            let answer = client.call_with(request::BATCH_ACK_MESSAGE, &[], no_acks);
            assert_eq!(answer.code, response::NO_MESSAGE);
        }
        let mut elsewhere = message.clone();
        for queue_id in [-1, 77] {
            elsewhere.stored.queue_id = queue_id;
            for code in OF_ONE {
                let answered = answer_as(&mut client, code, ("g", "T"), &elsewhere);
                assert_eq!(answered, response::MESSAGE_ILLEGAL);
            }
            assert_eq!(batch_as(&mut client, &[("g", "T")], &elsewhere), 0);
        }
        let again = pop_until(&mut client, ASK, "m000");
        let of_unknown_and_known = [("g", "none"), ("g", &*again.topic)];
        let answered = batch_as(&mut client, &of_unknown_and_known, &again);
        assert_eq!(answered, 0, "{merge}: what is known of it counts");
        fill(&mut client, 1);
        assert_eq!(texts(&pop(&mut client, ASK)), ["m000"], "{merge}: no queue is stuck");
    }
}

/// Apache asks for permission to hand out, not to take an acknowledgement.
#[test]
fn acknowledgements_count_without_permission_for_the_topic_or_the_group() {
    for merge in MERGES {
        let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false", merge]);
        let mut client = cluster.client(0);
        set_group(&mut client, true);
        fill(&mut client, 4);
        let out = pop(&mut client, Ask { invisible_ms: 6_000, ..ASK });
        let mine = ("g", "T");
        set_group(&mut client, false);
        for (perm, message) in ["0", "2", "4"].iter().zip(&out) {
            set_perm(&mut client, perm);
            assert_eq!(answer_as(&mut client, request::ACK_MESSAGE, mine, message), 0, "{perm}");
            assert_eq!(batch_as(&mut client, &[mine], message), 0, "{perm}");
        }
        let code = request::CHANGE_MESSAGE_INVISIBLETIME;
        assert_eq!(answer_as(&mut client, code, mine, &out[3]), 0);
        set_group(&mut client, true);
        set_perm(&mut client, "6");
        let left = pop_until(&mut client, ASK, out[3].stored.text());
        ack(&mut client, &left);
        std::thread::sleep(Duration::from_secs(9)); // their time, and until it is judged
        assert_eq!(texts(&pop(&mut client, ASK)), [""; 0], "{merge}");
    }
}

fn set_group(client: &mut Client, enabled: bool) {
    let group = format!(r#"{{"groupName":"g","consumeEnable":{enabled}}}"#);
    let set = request::UPDATE_AND_CREATE_SUBSCRIPTIONGROUP;
    assert_eq!(client.call_with(set, &[], group.as_bytes()).code, 0);
}

fn set_perm(client: &mut Client, perm: &str) {
    let topic = [
        ("topic", "T"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "4"),
        ("writeQueueNums", "4"),
        ("perm", perm),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ];
    assert_eq!(client.call(request::UPDATE_AND_CREATE_TOPIC, &topic).code, 0);
}
