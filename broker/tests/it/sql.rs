//! SQL92 filters over real sockets: hot, cold and woken reads, heartbeats, refusals.

use crate::client::{Client, Frame, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use protocol::bodies::{CheckClientRequestBody, ConsumerData, HeartbeatData, SubscriptionData};
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::json::to_fastjson;
use std::time::Duration;

const ON: &str = "enablePropertyFilter=true";

fn put(client: &mut Client, topic: &str, properties: &str, text: &str) {
    let header = SendHeader { properties, ..message(topic) };
    let reply = client.send_message(&header, text.as_bytes());
    assert_eq!(reply.code, response::SUCCESS, "{reply:?}");
}

fn sql<'a>(expression: &'a str, pull: PullHeader<'a>) -> PullHeader<'a> {
    PullHeader { expression_type: Some("SQL92"), subscription: Some(expression), ..pull }
}

fn texts(reply: &Frame) -> Vec<String> {
    reply.messages().iter().map(|message| message.text().to_owned()).collect()
}

/// Everything in queue 0, as a consumer that follows nextBeginOffset gets it.
fn read_all(client: &mut Client, expression: &str) -> Vec<String> {
    let (mut at, mut found) = (0, vec![]);
    loop {
        let reply = client.pull(&sql(expression, pull_from("T", at)));
        found.extend(texts(&reply));
        match reply.code {
            response::SUCCESS | response::PULL_RETRY_IMMEDIATELY => {
                let next = reply.number("nextBeginOffset");
                assert!(next > at, "{reply:?}");
                at = next;
            }
            response::PULL_NOT_FOUND => return found,
            _ => panic!("{reply:?}"),
        }
    }
}

/// An expression, and which of the numbered messages it takes.
type Case = (&'static str, fn(i32) -> bool);

#[test]
fn an_expression_takes_the_same_messages_hot_and_cold() {
    let mut cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    for n in 0..400 {
        let kind = if n % 7 == 0 { "\u{2}kind\u{1}seventh" } else { "" };
        put(&mut client, "T", &format!("n\u{1}{n}{kind}\u{2}TAGS\u{1}t{}", n % 2), &n.to_string());
    }
    let expected = |wanted: fn(i32) -> bool| -> Vec<String> {
        (0..400).filter(|n| wanted(*n)).map(|n| n.to_string()).collect()
    };
    let cases: [Case; 8] = [
        ("n BETWEEN 100 AND 110 OR kind = 'seventh' AND n > 390", |n| {
            (100..=110).contains(&n) || n % 7 == 0 && n > 390
        }),
        ("kind IS NULL AND n < 10", |n| n % 7 != 0 && n < 10),
        ("NOT (kind = 'seventh')", |_| false),
        ("kind IS NOT NULL", |n| n % 7 == 0),
        ("TAGS IN ('t1') AND n >= 395.5", |n| n % 2 == 1 && n >= 396),
        ("n ENDSWITH '99'", |n| n % 100 == 99),
        ("TRUE OR n > kind", |_| true),
        ("n > kind OR TRUE", |n| n % 7 != 0),
    ];
    for (expression, wanted) in cases {
        assert_eq!(read_all(&mut client, expression), expected(wanted), "hot: {expression}");
    }
    // A broker that has just started has nothing in memory.
    cluster.broker.stop();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    for (expression, wanted) in cases {
        assert_eq!(read_all(&mut client, expression), expected(wanted), "cold: {expression}");
    }
}

#[test]
fn a_long_poll_is_woken_by_a_message_it_wants_and_by_no_other() {
    let cluster = Cluster::start(1, &[ON]);
    let (mut consumer, mut producer) = (cluster.client(0), cluster.client(0));
    put(&mut producer, "T", "n\u{1}1", "first");
    let held = consumer.start_pull(&sql("n > 5", long_pull_from("T", 1, 60_000)));
    std::thread::sleep(Duration::from_millis(100));
    for n in 2..5 {
        put(&mut producer, "T", &format!("n\u{1}{n}"), "not wanted");
    }
    assert!(consumer.receive_within(Duration::from_millis(300)).is_none(), "it waits on");
    put(&mut producer, "T", "n\u{1}6", "wanted");
    let reply = consumer.answer_to(held);
    assert_eq!((texts(&reply), reply.number("nextBeginOffset")), (vec!["wanted".to_owned()], 5));
}

#[test]
fn a_long_poll_whose_messages_do_not_match_learns_how_far_it_may_go_on() {
    let cluster = Cluster::start(1, &[ON]);
    let (mut consumer, mut producer) = (cluster.client(0), cluster.client(0));
    put(&mut producer, "T", "n\u{1}1", "first");
    let held = consumer.start_pull(&sql("n > 5", long_pull_from("T", 1, 100_000)));
    std::thread::sleep(Duration::from_millis(100));
    put(&mut producer, "T", "n\u{1}2", "not wanted");
    // Long before its deadline: the broker looks at its long polls every 5 s.
    let reply = consumer.answer_to(held);
    assert_eq!((reply.code, reply.number("nextBeginOffset")), (response::PULL_NOT_FOUND, 2));
}

/// A heartbeat of group `g` with these subscriptions.
fn heartbeat(client: &mut Client, subscriptions: &[SubscriptionData]) {
    let consumer = ConsumerData {
        group_name: "g".to_owned(),
        subscription_data_set: subscriptions.to_vec(),
        ..ConsumerData::default()
    };
    let beat = HeartbeatData {
        client_id: "c".to_owned(),
        consumer_data_set: vec![consumer],
        ..HeartbeatData::default()
    };
    assert_eq!(client.call_with(request::HEART_BEAT, &[], &to_fastjson(&beat)).code, 0);
}

fn subscription(topic: &str, kind: &str, expression: &str, version: i64) -> SubscriptionData {
    SubscriptionData {
        topic: topic.to_owned(),
        expression_type: kind.to_owned(),
        sub_string: expression.to_owned(),
        sub_version: version,
        ..SubscriptionData::default()
    }
}

/// A pull that leaves its subscription to the heartbeats.
fn bare(version: i64) -> PullHeader<'static> {
    PullHeader { sys_flag: 0, subscription: None, sub_version: version, ..pull_from("T", 0) }
}

#[test]
fn the_expression_of_a_heartbeat_decides_until_a_newer_one_comes() {
    let cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    (1..=3).for_each(|n| put(&mut client, "T", &format!("n\u{1}{n}"), &n.to_string()));
    heartbeat(&mut client, &[subscription("T", "SQL92", "n <> 2", 5)]);
    assert_eq!(texts(&client.pull(&bare(5))), ["1", "3"]);
    assert_eq!(texts(&client.pull(&bare(0))), ["1", "3"], "an older pull knows less");
    assert_eq!(client.pull(&bare(6)).code, response::SUBSCRIPTION_NOT_LATEST);
    heartbeat(&mut client, &[subscription("T", "SQL92", "n = 1", 4)]);
    assert_eq!(texts(&client.pull(&bare(5))), ["1", "3"], "an older heartbeat changes nothing");
    heartbeat(&mut client, &[subscription("T", "SQL92", "n = 2", 6)]);
    assert_eq!(texts(&client.pull(&bare(6))), ["2"]);
    heartbeat(&mut client, &[subscription("T", "TAG", "*", 7)]);
    assert_eq!(texts(&client.pull(&bare(7))), ["1", "2", "3"]);
}

#[test]
fn a_subscription_that_cannot_be_used_is_refused_at_its_pulls_and_mended_by_a_newer_one() {
    let cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "n\u{1}1", "one");
    let class = SubscriptionData { class_filter_mode: true, ..subscription("T", "TAG", "*", 4) };
    for (unusable, code, says) in [
        (subscription("T", "SQL92", "n >", 1), response::FILTER_DATA_NOT_EXIST, "at character 4"),
        (subscription("T", "SQL92", "", 2), response::FILTER_DATA_NOT_EXIST, "empty"),
        (subscription("T", "sql92", "n = 1", 3), response::FILTER_DATA_NOT_EXIST, "sql92"),
        (class, response::SYSTEM_ERROR, "filter message by class"),
    ] {
        let version = unusable.sub_version;
        heartbeat(&mut client, &[unusable]);
        let reply = client.pull(&bare(version));
        assert!(reply.code == code && reply.remark.contains(says), "{reply:?}");
    }
    heartbeat(&mut client, &[subscription("T", "SQL92", "n > 0", 5)]);
    assert_eq!(texts(&client.pull(&bare(5))), ["one"]);
}

#[test]
fn an_expression_in_a_pull_that_cannot_be_read_is_refused_with_its_place() {
    let cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "n\u{1}1", "one");
    let long = format!("n = 1{}", " ".repeat(40_000));
    for (expression, says) in [
        ("n = 1 AND ;", "at character 11"),
        ("n IN (1)", "at character 7"),
        ("", "empty"),
        (&long, "longer than"),
        (&"(".repeat(5_000), "levels"),
    ] {
        let reply = client.pull(&sql(expression, pull_from("T", 0)));
        let refused = reply.code == response::SUBSCRIPTION_PARSE_FAILED;
        assert!(refused && reply.remark.contains(says), "{expression:.20} {reply:?}");
    }
    let class = PullHeader { sys_flag: 4 | 8, ..pull_from("T", 0) };
    let reply = client.pull(&class);
    assert!(reply.code == response::SYSTEM_ERROR && reply.remark.contains("by class"), "{reply:?}");
    assert_eq!(texts(&client.pull(&sql("n = 1", pull_from("T", 0)))), ["one"]);
}

/// The answer of CHECK_CLIENT_CONFIG to a subscription.
fn checked(client: &mut Client, data: SubscriptionData) -> (i32, String) {
    let body = CheckClientRequestBody {
        client_id: "c".to_owned(),
        group: "g".to_owned(),
        subscription_data: data,
        ..CheckClientRequestBody::default()
    };
    let reply = client.call_with(request::CHECK_CLIENT_CONFIG, &[], &to_fastjson(&body));
    (reply.code, reply.remark)
}

#[test]
fn a_client_is_told_at_its_start_whether_its_expression_can_be_used() {
    let cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    for (kind, expression, code, says) in [
        ("TAG", "a || b", response::SUCCESS, ""),
        ("SQL92", "a > 5 AND b IS NULL", response::SUCCESS, ""),
        ("SQL92", "a > 5 AND", response::SUBSCRIPTION_PARSE_FAILED, "at character 10"),
        ("SQL92", "", response::SUBSCRIPTION_PARSE_FAILED, "empty"),
        ("GROOVY", "a > 5", response::SUBSCRIPTION_PARSE_FAILED, "GROOVY"),
    ] {
        let (found, remark) = checked(&mut client, subscription("T", kind, expression, 1));
        assert!(found == code && remark.contains(says), "{kind} {expression}: {found} {remark}");
    }
    let class = SubscriptionData { class_filter_mode: true, ..subscription("T", "TAG", "*", 1) };
    assert_eq!(checked(&mut client, class).0, response::SYSTEM_ERROR);
}

#[test]
fn without_the_setting_sql_is_refused_by_name_and_tags_work() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "n\u{1}1", "one");
    let off = |reply: Frame| {
        let says = "The broker does not support consumer to filter message by SQL92";
        assert_eq!((reply.code, reply.remark.as_str()), (response::SYSTEM_ERROR, says));
    };
    off(client.pull(&sql("n = 1", pull_from("T", 0))));
    off(client.pull(&sql("n = = 1", pull_from("T", 0))));
    heartbeat(&mut client, &[subscription("T", "SQL92", "n = 1", 1)]);
    off(client.pull(&bare(1)));
    heartbeat(&mut client, &[subscription("T", "SQL92", "n = = 1", 2)]);
    let wrong = client.pull(&bare(2)).code;
    assert_eq!(wrong, response::FILTER_DATA_NOT_EXIST, "as Apache, which looks for it first");
    let (code, _) = checked(&mut client, subscription("T", "SQL92", "n = = 1", 1));
    assert_eq!(code, response::SYSTEM_ERROR);
    assert_eq!(texts(&client.pull(&pull_from("T", 0))), ["one"]);
}

#[test]
fn a_retry_topic_is_filtered_by_the_expressions_of_the_first_topics_where_that_is_set() {
    for (setting, expected) in [("true", ["1", "3", "4"].as_slice()), ("false", &["1", "2"])] {
        let cluster = Cluster::start(1, &[ON, &format!("filterSupportRetry={setting}")]);
        let mut client = cluster.client(0);
        let retry = "%RETRY%g";
        heartbeat(
            &mut client,
            &[
                subscription("A", "SQL92", "n = 1", 1),
                subscription("B", "TAG", "*", 1),
                subscription(retry, "SQL92", "RETRY_TOPIC = 'A'", 1),
            ],
        );
        for (text, properties) in [
            ("1", "RETRY_TOPIC\u{1}A\u{2}n\u{1}1"),
            ("2", "RETRY_TOPIC\u{1}A\u{2}n\u{1}2"),
            ("3", "RETRY_TOPIC\u{1}B\u{2}n\u{1}2"),
            ("4", "n\u{1}2"),
        ] {
            put(&mut client, retry, properties, text);
        }
        let pull = PullHeader { topic: retry, ..bare(1) };
        assert_eq!(texts(&client.pull(&pull)), expected, "filterSupportRetry={setting}");
    }
}

/// `SQL_SEED` replays one.
#[test]
fn random_bytes_as_expressions_are_answered() {
    let seed = std::env::var("SQL_SEED")
        .map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    eprintln!("SQL_SEED={seed} cargo test -p broker --test it sql::random");
    let cluster = Cluster::start(1, &[ON]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "a\u{1}1", "one");
    let mut state = seed | 1;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 40).unwrap()
    };
    const PIECES: [&str; 16] = [
        "a",
        "=",
        "'x'",
        "1",
        "(",
        ")",
        " NOT ",
        " AND ",
        " IN ",
        "'",
        "--",
        "/*",
        "\u{0}",
        "ä",
        ".",
        " BETWEEN ",
    ];
    for version in 1..500 {
        let pieces = (0..random() % 10).map(|_| PIECES[random() % PIECES.len()]);
        let text: String = pieces.collect::<Vec<_>>().concat();
        let reply = client.pull(&sql(&text, pull_from("T", 0)));
        let known = [
            response::SUCCESS,
            response::PULL_RETRY_IMMEDIATELY,
            response::SUBSCRIPTION_PARSE_FAILED,
        ];
        assert!(known.contains(&reply.code), "{text:?} {reply:?}");
        let (checked, _) = checked(&mut client, subscription("T", "SQL92", &text, 1));
        let refused = response::SUBSCRIPTION_PARSE_FAILED;
        assert_eq!(checked == refused, reply.code == refused, "{text:?}");
        heartbeat(&mut client, &[subscription("T", "SQL92", &text, version)]);
        let by_heartbeat = client.pull(&bare(version)).code;
        let refused =
            if refused == reply.code { response::FILTER_DATA_NOT_EXIST } else { reply.code };
        assert_eq!(by_heartbeat, refused, "{text:?}");
    }
}
