//! Transactions: how they end, who may end them how often, what a stop, a kill, a producer that
//! says nothing and one that is gone do to them.

use crate::client::{Client, Frame, Stored, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::bodies::{ConsumerOffsets, HeartbeatData, ProducerData};
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use protocol::ids::OffsetMsgId;
use protocol::json::to_fastjson;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub(crate) const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const GIVEN_UP: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub(crate) const COMMIT: &str = "8";
pub(crate) const ROLLBACK: &str = "12";
/// Producers are asked soon, and often.
const SOON: [&str; 2] = ["transactionTimeOut=300", "transactionCheckInterval=400"];

/// A half message, as its producer knows it.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    offset: String,
    at: String,
}

impl Half {
    fn of(offset: i64, at: i64) -> Self {
        Self { offset: offset.to_string(), at: at.to_string() }
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn half_properties(more: &str) -> String {
    format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}{more}")
}

/// Begins a transaction with a message for queue 1 of `T`.
fn try_prepare(client: &mut Client, properties: &str, text: &str) -> Frame {
    let header = SendHeader {
        properties,
        queue_id: 1,
        sys_flag: 4,
        born_timestamp_ms: now_ms(),
        ..message("T")
    };
    client.send_message(&header, text.as_bytes())
}

fn prepare_with(client: &mut Client, more: &str, text: &str) -> Half {
    let reply = try_prepare(client, &half_properties(more), text);
    assert_eq!((reply.code, reply.number("queueId")), (0, 1), "{reply:?}");
    let id = OffsetMsgId::parse(reply.field("msgId")).unwrap();
    Half::of(reply.number("queueOffset"), id.physical_offset)
}

pub(crate) fn prepare(client: &mut Client, text: &str) -> Half {
    prepare_with(client, &format!("UNIQ_KEY\u{1}{text}"), text)
}

fn end_as(client: &mut Client, half: &Half, how: &str, group: &str, was_asked: bool) -> Frame {
    let fields = [
        ("producerGroup", group),
        ("tranStateTableOffset", &half.offset),
        ("commitLogOffset", &half.at),
        ("commitOrRollback", how),
        ("fromTransactionCheck", if was_asked { "true" } else { "false" }),
        ("msgId", "m"),
    ];
    client.call(request::END_TRANSACTION, &fields)
}

pub(crate) fn end(client: &mut Client, half: &Half, how: &str) -> Frame {
    end_as(client, half, how, "p", false)
}

/// What a queue has, from its begin.
fn all_of(client: &mut Client, topic: &str, queue_id: i32) -> Vec<Stored> {
    let mut all = vec![];
    loop {
        let offset = i64::try_from(all.len()).unwrap();
        let pull = protocol::headers::PullHeader { queue_id, ..pull_from(topic, offset) };
        let found = client.pull(&pull);
        if found.body.is_empty() {
            return all;
        }
        all.extend(found.messages());
    }
}

/// The texts in queue 1 of `T`, where the messages of these tests go.
pub(crate) fn seen(client: &mut Client) -> Vec<String> {
    all_of(client, "T", 1).iter().map(|message| message.text().to_owned()).collect()
}

/// A producer of group `p`.
fn producer(cluster: &Cluster, shard: u16, name: &str) -> Client {
    let mut client = cluster.client(shard);
    let beat = HeartbeatData {
        client_id: name.to_owned(),
        producer_data_set: vec![ProducerData { group_name: "p".to_owned() }],
        ..HeartbeatData::default()
    };
    assert_eq!(client.call_with(request::HEART_BEAT, &[], &to_fastjson(&beat)).code, 0);
    client
}

/// The next question: the message, and its half message by now.
fn question(producer: &mut Client) -> (Stored, Half) {
    let asked = producer.push(request::CHECK_TRANSACTION_STATE);
    let half = Half::of(asked.number("tranStateTableOffset"), asked.number("commitLogOffset"));
    assert_eq!(asked.field("topic"), HALF, "{asked:?}");
    let message = Stored::parse(&asked.body);
    assert_eq!(
        (message.topic.as_str(), message.queue_offset),
        ("T", asked.number("tranStateTableOffset"))
    );
    assert_eq!(message.physical_offset, asked.number("commitLogOffset"));
    assert_eq!(asked.field("msgId"), message.properties["UNIQ_KEY"]);
    (message, half)
}

#[test]
fn a_committed_message_comes_once_and_what_is_rolled_back_never() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let halves = ["a", "b", "c"].map(|text| prepare(&mut client, text));
    assert!(seen(&mut client).is_empty(), "nobody sees a half message");
    assert_eq!(end(&mut client, &halves[0], COMMIT).code, 0);
    assert_eq!(end(&mut client, &halves[1], ROLLBACK).code, 0);
    assert_eq!(end(&mut client, &halves[2], "0").code, 0, "it does not know yet");
    assert_eq!(seen(&mut client), ["a"]);
    let message = all_of(&mut client, "T", 1).remove(0);
    let said = |name: &str| message.properties.get(name).map(String::as_str);
    assert_eq!(
        [said("TRAN_MSG"), said("PGROUP"), said("UNIQ_KEY")],
        [Some("true"), Some("p"), Some("a")]
    );
    assert_eq!(
        [said("__transactionId__"), said("REAL_TOPIC"), said("REAL_QID")],
        [Some("a"), None, None]
    );
    let half = all_of(&mut client, HALF, 0).remove(0);
    let said = |name: &str| half.properties.get(name).map(String::as_str);
    assert_eq!(
        [said("REAL_TOPIC"), said("REAL_QID"), said("__transactionId__")],
        [Some("T"), Some("1"), Some("a")]
    );
    let ops = all_of(&mut client, OP, 0);
    let told: Vec<_> = ops.iter().map(|op| (op.text(), op.properties["TAGS"].as_str())).collect();
    assert_eq!(told, [("0,", "d"), ("1,", "d")]);
}

#[test]
fn a_transaction_ends_once_however_often_its_producer_says_so() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let (first, second) = (prepare(&mut client, "a"), prepare(&mut client, "b"));
    for (half, how) in [(&first, COMMIT), (&second, ROLLBACK)] {
        assert_eq!(end(&mut client, half, how).code, 0);
        for again in [COMMIT, ROLLBACK] {
            let reply = end(&mut client, half, again);
            assert_eq!(reply.code, response::SYSTEM_ERROR);
            assert!(reply.remark.contains("has ended already"));
        }
    }
    // All at once, over several connections, one-way as clients do.
    let third = prepare(&mut client, "c");
    for _ in 0..8 {
        let mut other = cluster.client(0);
        let fields = [
            ("producerGroup", "p"),
            ("tranStateTableOffset", &third.offset),
            ("commitLogOffset", &third.at),
            ("commitOrRollback", COMMIT),
            ("msgId", "m"),
        ];
        other.oneway(request::END_TRANSACTION, testkit::remoting::fields(&fields), &[]);
        assert_eq!(
            other.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "1")]).code,
            0
        );
    }
    eventually("it is committed", || seen(&mut client).len() == 2);
    assert_eq!(end(&mut client, &third, COMMIT).code, response::SYSTEM_ERROR);
    assert_eq!(seen(&mut client), ["a", "c"]);
}

#[test]
fn a_stranger_ends_nothing_and_gets_the_code_that_apache_gives() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let half = prepare(&mut client, "a");
    let plain = client.put("T", "", "plain");
    let plain_at = OffsetMsgId::parse(plain.field("msgId")).unwrap().physical_offset;
    let at = |offset: &str, at: &str| Half { offset: offset.to_owned(), at: at.to_owned() };
    let inside = (half.at.parse::<i64>().unwrap() + 1).to_string();
    for (half, group, remark) in [
        (half.clone(), "q", "The producer group wrong"),
        (half.clone(), "", "The producer group wrong"),
        (at("1", &half.at), "p", "The transaction state table offset wrong"),
        (at("0", &inside), "p", "Find prepared transaction message failed"),
        (at("0", &plain_at.to_string()), "p", "Find prepared transaction message failed"),
        (at("0", "-1"), "p", "Find prepared transaction message failed"),
        (at("0", "9223372036854775807"), "p", "Find prepared transaction message failed"),
    ] {
        let reply = end_as(&mut client, &half, COMMIT, group, false);
        assert_eq!((reply.code, reply.remark.as_str()), (response::SYSTEM_ERROR, remark));
    }
    assert_eq!(end(&mut client, &half, "7").code, response::INVALID_PARAMETER);
    assert_eq!(client.call(request::END_TRANSACTION, &[("commitOrRollback", "8")]).code, 1);
    assert_eq!(end(&mut client, &half, COMMIT).code, 0);
    assert_eq!(seen(&mut client), ["a"]);
}

#[test]
fn what_can_be_no_transaction_is_refused() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let reply = try_prepare(&mut client, "TRAN_MSG\u{1}true\u{2}UNIQ_KEY\u{1}k", "x");
    assert_eq!(reply.code, response::MESSAGE_ILLEGAL, "without a group: {reply:?}");
    let mut batch = SendHeader { properties: "TRAN_MSG\u{1}true", batch: true, ..message("T") };
    assert_eq!(client.send_message(&batch, b"x").code, response::MESSAGE_ILLEGAL);
    (batch.properties, batch.sys_flag) = ("", 4);
    assert_eq!(client.send_message(&batch, b"x").code, response::MESSAGE_ILLEGAL);
    for topic in [HALF, OP, GIVEN_UP] {
        assert_eq!(
            client.send_message(&message(topic), b"x").code,
            response::NO_PERMISSION,
            "{topic}"
        );
    }
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker_with(&["rejectTransactionMessage=true"]);
    let reply = try_prepare(&mut cluster.client(0), &half_properties("UNIQ_KEY\u{1}k"), "x");
    assert_eq!(reply.code, response::NO_PERMISSION);
    assert!(reply.remark.ends_with("sending transaction message is forbidden"));
}

#[test]
fn a_transaction_outlives_a_stop_and_a_kill_between_its_phases() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let halves = ["a", "b", "c", "d", "e"].map(|text| prepare(&mut client, text));
    assert_eq!(end(&mut client, &halves[0], COMMIT).code, 0);
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(end(&mut client, &halves[1], COMMIT).code, 0);
    assert_eq!(end(&mut client, &halves[2], ROLLBACK).code, 0);
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    for ended in &halves[..3] {
        assert_eq!(end(&mut client, ended, COMMIT).code, response::SYSTEM_ERROR);
    }
    assert_eq!(end(&mut client, &halves[3], COMMIT).code, 0);
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(end(&mut client, &halves[3], COMMIT).code, response::SYSTEM_ERROR);
    assert_eq!(end(&mut client, &halves[4], COMMIT).code, 0);
    assert_eq!(seen(&mut client), ["a", "b", "d", "e"]);
}

#[test]
fn a_producer_that_says_nothing_is_asked_and_then_another_of_its_group() {
    let mut cluster = Cluster::start(1, &SOON);
    let mut first = producer(&cluster, 0, "first");
    let half = prepare(&mut first, "a");
    let (message, copy) = question(&mut first);
    assert_eq!(message.text(), "a");
    assert_ne!(copy.offset, half.offset, "the question is about a copy");
    assert_eq!(end_as(&mut first, &copy, "0", "p", true).code, 0);
    drop(first);
    let mut second = producer(&cluster, 0, "second");
    question(&mut second);
    cluster.broker.kill();
    cluster.restart_broker();
    let mut third = producer(&cluster, 0, "third");
    let (_, copy) = question(&mut third);
    assert_eq!(end_as(&mut third, &copy, COMMIT, "p", true).code, 0);
    assert_eq!(seen(&mut third), ["a"]);
    let message = all_of(&mut third, "T", 1).remove(0);
    assert!(message.properties.contains_key("TRANSACTION_CHECK_TIMES"), "{message:?}");
    assert!(!message.properties.contains_key("TRAN_PREPARED_QUEUE_OFFSET"), "{message:?}");
    assert!(third.receive_within(Duration::from_millis(1_000)).is_none(), "it is over");
}

#[test]
fn a_late_end_of_the_first_half_message_ends_its_copies_too() {
    let cluster = Cluster::start(1, &SOON);
    let mut asked = producer(&cluster, 0, "p");
    let half = prepare(&mut asked, "a");
    question(&mut asked);
    let (_, copy) = question(&mut asked);
    assert_eq!(end(&mut asked, &half, COMMIT).code, 0);
    assert_eq!(end_as(&mut asked, &copy, COMMIT, "p", true).code, response::SYSTEM_ERROR);
    assert_eq!(seen(&mut asked), ["a"]);
}

#[test]
fn after_its_last_question_a_transaction_is_given_up() {
    let cluster = Cluster::start(1, &[&SOON[..], &["transactionCheckMax=2"]].concat());
    let mut asked = producer(&cluster, 0, "p");
    let half = prepare(&mut asked, "a");
    let copies = [(); 2].map(|()| question(&mut asked).1);
    eventually("it is given up", || {
        let queue = [("topic", GIVEN_UP), ("queueId", "0")];
        let end = asked.call(request::GET_MAX_OFFSET, &queue);
        end.code == 0 && end.number("offset") == 1
    });
    let given_up = all_of(&mut asked, GIVEN_UP, 0).remove(0);
    assert_eq!(
        (given_up.text(), given_up.properties["TRANSACTION_CHECK_TIMES"].as_str()),
        ("a", "2")
    );
    assert_eq!(given_up.properties["REAL_TOPIC"], "T");
    for half in copies.iter().chain([&half]) {
        assert_eq!(end(&mut asked, half, COMMIT).code, response::SYSTEM_ERROR);
    }
    assert!(seen(&mut asked).is_empty());
    assert!(cluster.broker.log().contains("given up"));
}

#[test]
fn a_tool_has_a_transaction_asked_about_again_that_was_given_up() {
    let cluster = Cluster::start(1, &[&SOON[..], &["transactionCheckMax=1"]].concat());
    let mut asked = producer(&cluster, 0, "p");
    prepare(&mut asked, "a");
    question(&mut asked);
    let queue = [("topic", GIVEN_UP), ("queueId", "0")];
    eventually("it is given up", || {
        let end = asked.call(request::GET_MAX_OFFSET, &queue);
        end.code == 0 && end.number("offset") == 1
    });
    let given_up = all_of(&mut asked, GIVEN_UP, 0).remove(0);
    let id_at = |physical_offset| {
        let mut id = String::new();
        OffsetMsgId { store_host: cluster.shard_addr(0), physical_offset }.write(&mut id);
        id
    };
    let code = request::RESUME_CHECK_HALF_MESSAGE;
    let no_half = asked.put("T", "", "no half");
    for id in [no_half.field("msgId"), &id_at(1 << 40), &id_at(-1), "no id", ""] {
        let reply = asked.call(code, &[("topic", "T"), ("msgId", id)]);
        assert_eq!(reply.code, response::SYSTEM_ERROR, "{id:?}: {reply:?}");
    }
    let id = id_at(given_up.physical_offset);
    assert_eq!(asked.call(code, &[("topic", "T"), ("msgId", &id)]).code, 0);
    let (message, half) = question(&mut asked);
    let checks = message.properties["TRANSACTION_CHECK_TIMES"].as_str();
    assert_eq!((message.text(), checks), ("a", "1"), "it is counted from the beginning");
    assert_eq!(end(&mut asked, &half, COMMIT).code, 0);
    assert_eq!(seen(&mut asked), ["a"]);
}

#[test]
fn without_a_producer_no_question_counts_and_the_first_that_comes_is_asked() {
    let settings =
        ["transactionTimeOut=100", "transactionCheckInterval=100", "transactionCheckMax=3"];
    let cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    prepare(&mut client, "a");
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(all_of(&mut client, HALF, 0).len(), 1, "nothing was copied");
    let mut late = producer(&cluster, 0, "late");
    let (message, copy) = question(&mut late);
    assert_eq!(message.text(), "a");
    assert_eq!(end_as(&mut late, &copy, COMMIT, "p", true).code, 0);
    assert_eq!(seen(&mut late), ["a"]);
}

#[test]
fn a_message_may_say_itself_how_long_nobody_is_asked() {
    let cluster = Cluster::start(1, &SOON);
    let mut asked = producer(&cluster, 0, "p");
    let own = |seconds: &str, key: &str| {
        format!("UNIQ_KEY\u{1}{key}\u{2}CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}{seconds}")
    };
    let began = now_ms();
    prepare_with(&mut asked, &own("99999999999999999", "never"), "never");
    let short = prepare_with(&mut asked, &own("2", "short"), "short");
    let absurd = prepare_with(&mut asked, &own("-7", "absurd"), "absurd");
    let (message, _) = question(&mut asked);
    assert_eq!(message.text(), "absurd", "the broker's own time counts");
    assert_eq!(end(&mut asked, &absurd, COMMIT).code, response::ILLEGAL_OPERATION);
    let copy = loop {
        let (message, copy) = question(&mut asked);
        if message.text() == "short" {
            break copy;
        }
    };
    assert!(now_ms() - began >= 2_000);
    assert_eq!(end(&mut asked, &short, COMMIT).code, response::ILLEGAL_OPERATION);
    assert_eq!(end_as(&mut asked, &copy, COMMIT, "p", true).code, 0);
    assert_eq!(seen(&mut asked), ["short"]);
}

#[test]
fn a_delay_counts_from_the_commit_on() {
    let cluster = Cluster::start(1, &["messageDelayLevel=2s"]);
    let mut client = cluster.client(0);
    let half = prepare_with(&mut client, "UNIQ_KEY\u{1}a\u{2}DELAY\u{1}1", "a");
    std::thread::sleep(Duration::from_millis(500));
    let committed_ms = now_ms();
    assert_eq!(end(&mut client, &half, COMMIT).code, 0);
    assert!(seen(&mut client).is_empty());
    eventually("it comes", || seen(&mut client) == ["a"]);
    assert!(all_of(&mut client, "T", 1)[0].store_timestamp_ms >= committed_ms + 2_000);
}

#[test]
fn a_timer_message_waits_for_its_commit_and_then_for_its_time() {
    let cluster = Cluster::start(1, &["timerPrecisionMs=100"]);
    let mut client = cluster.client(0);
    let delayed = prepare_with(&mut client, "UNIQ_KEY\u{1}a\u{2}TIMER_DELAY_MS\u{1}1500", "a");
    let at_ms = now_ms() + 2_500;
    let timed = format!("UNIQ_KEY\u{1}b\u{2}TIMER_DELIVER_MS\u{1}{at_ms}");
    let timed = prepare_with(&mut client, &timed, "b");
    let past = prepare_with(&mut client, "UNIQ_KEY\u{1}c\u{2}TIMER_DELIVER_MS\u{1}1", "c");
    let never = prepare_with(&mut client, "UNIQ_KEY\u{1}d\u{2}TIMER_DELAY_MS\u{1}1", "d");
    let committed_ms = now_ms();
    for half in [&delayed, &timed, &past] {
        assert_eq!(end(&mut client, half, COMMIT).code, 0);
        assert_eq!(end(&mut client, half, COMMIT).code, response::SYSTEM_ERROR, "it has ended");
    }
    assert_eq!(end(&mut client, &never, ROLLBACK).code, 0);
    assert_eq!(seen(&mut client), ["c"], "its time has passed");
    eventually("all come", || seen(&mut client).len() == 3);
    for message in all_of(&mut client, "T", 1) {
        let due_ms = match message.text() {
            "a" => committed_ms + 1_500,
            "b" => at_ms,
            _ => 0,
        };
        let late_ms = message.store_timestamp_ms - due_ms;
        assert!(late_ms >= 0, "{} came {} ms early", message.text(), -late_ms);
        assert_eq!(message.properties.contains_key("REAL_TOPIC"), message.text() != "c");
    }
    assert_eq!(all_of(&mut client, "T", 1).len(), 3, "each comes once, what is rolled back never");
}

#[test]
fn while_too_many_timers_wait_a_transaction_stays_open_and_is_committed_later() {
    let settings = ["timersPendingMax=1", "timerPrecisionMs=100", "transactionCheckMax=1000"];
    let cluster = Cluster::start(1, &[&settings[..], &SOON[..]].concat());
    let mut client = cluster.client(0);
    let timed = |key: &str| format!("UNIQ_KEY\u{1}{key}\u{2}TIMER_DELAY_MS\u{1}2000\u{2}");
    let [first, second] = ["a", "b"].map(|key| prepare_with(&mut client, &timed(key), key));
    assert_eq!(end(&mut client, &first, COMMIT).code, 0);
    let full = end(&mut client, &second, COMMIT);
    assert_eq!(full.code, response::SYSTEM_ERROR, "{full:?}");
    assert!(full.remark.contains("flow control"), "{full:?}");
    let mut producer = producer(&cluster, 0, "asked");
    let (message, half) = question(&mut producer);
    assert_eq!(message.text(), "b", "it is still open");
    eventually("the first is delivered", || seen(&mut client) == ["a"]);
    eventually("there is room for the second", || {
        end_as(&mut producer, &half, COMMIT, "p", true).code == 0
    });
    eventually("and it comes", || seen(&mut client) == ["a", "b"]);
}

#[test]
fn a_timer_that_no_commit_could_deliver_is_refused_with_the_half_message() {
    let cluster = Cluster::start(1, &["timerMaxDelaySec=3600"]);
    let mut client = cluster.client(0);
    for asked in ["TIMER_DELAY_SEC\u{1}3601", "TIMER_DELAY_MS\u{1}x", "TIMER_DEL_UNIQKEY\u{1}k"] {
        let properties = half_properties(&format!("UNIQ_KEY\u{1}k\u{2}{asked}"));
        let reply = try_prepare(&mut client, &properties, "x");
        assert_eq!(reply.code, response::MESSAGE_ILLEGAL, "{asked}: {reply:?}");
    }
}

#[test]
fn a_commit_brings_back_a_topic_that_is_gone() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let half = prepare(&mut client, "a");
    assert_eq!(client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "T")]).code, 0);
    assert_eq!(end(&mut client, &half, COMMIT).code, 0);
    assert_eq!(seen(&mut client), ["a"]);
}

#[test]
fn a_half_message_lives_and_ends_on_the_shard_that_it_was_sent_to() {
    let mut cluster = Cluster::start(2, &SOON);
    let (mut first, mut second) = (cluster.client(0), producer(&cluster, 1, "p"));
    let on_first = prepare(&mut first, "first");
    let on_second = prepare(&mut second, "second");
    let (message, copy) = question(&mut second);
    assert_eq!(message.text(), "second", "each shard asks its own producers");
    assert_eq!(end_as(&mut second, &copy, COMMIT, "p", true).code, 0);
    assert_eq!(end(&mut second, &on_second, COMMIT).code, response::SYSTEM_ERROR);
    cluster.broker.kill();
    cluster.restart_broker();
    let (mut first, mut second) = (cluster.client(0), cluster.client(1));
    assert_eq!(end(&mut first, &on_first, COMMIT).code, 0);
    assert_eq!(
        (seen(&mut first), seen(&mut second)),
        (vec!["first".to_owned()], vec!["second".to_owned()])
    );
}

/// What `consumerOffset.json` says of both queues.
fn saved(cluster: &Cluster) -> [Option<i64>; 2] {
    let file =
        std::fs::read(cluster.store().join("config/consumerOffset.json")).unwrap_or_default();
    let saved = protocol::json::from_lenient::<ConsumerOffsets>(&file).unwrap_or_default();
    [HALF, OP].map(|topic| {
        saved.offset_table.get(&format!("{topic}@CID_RMQ_SYS_TRANS"))?.get(&0).copied()
    })
}

#[test]
fn a_start_skips_what_has_ended_whatever_a_client_commits_in_its_place() {
    let mut cluster = Cluster::start(1, &["flushConsumerOffsetInterval=1000"]);
    let mut client = cluster.client(0);
    for nth in 0..20 {
        let half = prepare(&mut client, &nth.to_string());
        assert_eq!(end(&mut client, &half, COMMIT).code, 0);
    }
    eventually("it is saved while the broker runs", || saved(&cluster) == [Some(20); 2]);
    let open = prepare(&mut client, "open");
    let stranger = [
        ("consumerGroup", "CID_RMQ_SYS_TRANS"),
        ("topic", HALF),
        ("queueId", "0"),
        ("commitOffset", "21"),
    ];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &stranger).code, 0);
    assert_eq!(cluster.broker.stop(), Some(0));
    assert_eq!(saved(&cluster), [Some(20); 2]);
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(end(&mut client, &open, COMMIT).code, 0);
    assert_eq!(cluster.broker.stop(), Some(0));
    assert_eq!(saved(&cluster), [Some(21); 2]);
}

#[test]
fn a_broker_without_transactions_saves_nothing_about_them() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.client(0).put("T", "", "x");
    assert_eq!(cluster.broker.stop(), Some(0));
    assert_eq!(saved(&cluster), [None; 2]);
}

#[test]
fn an_idle_broker_after_transactions_sleeps_whatever_is_open() {
    let settings = ["transactionTimeOut=1000", "transactionCheckInterval=60000"];
    let cluster = Cluster::start(1, &settings);
    let mut client = producer(&cluster, 0, "p");
    for nth in 0..500 {
        let half = prepare(&mut client, &nth.to_string());
        let how = if nth % 2 == 0 { COMMIT } else { ROLLBACK };
        assert_eq!(end(&mut client, &half, how).code, 0);
    }
    // Asked about and not answered, and of a group without producers.
    (500..520).for_each(|nth| _ = prepare(&mut client, &nth.to_string()));
    for nth in 520..540 {
        let key = format!("UNIQ_KEY\u{1}{nth}");
        let reply = try_prepare(
            &mut client,
            &half_properties(&key).replace("PGROUP\u{1}p", "PGROUP\u{1}q"),
            "x",
        );
        assert_eq!(reply.code, 0);
    }
    (0..20).for_each(|_| _ = question(&mut client));
    std::thread::sleep(Duration::from_secs(3));
    let (started, before) = (std::time::Instant::now(), cluster.broker.cpu_time());
    std::thread::sleep(Duration::from_secs(10));
    let share =
        (cluster.broker.cpu_time() - before).as_secs_f64() / started.elapsed().as_secs_f64();
    println!("{:.2} % of a core", share * 100.0);
    assert!(share < 0.02, "{:.2} % of a core", share * 100.0);
}
