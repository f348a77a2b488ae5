//! The native lane and what is delivered later or by an expression: delay levels, timers, SQL92.

use crate::client::{Stored, message, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::native_client::{Native, WHOLE_FRAME, record};
use protocol::native::{ErrorCode, FetchSql, FetchStatus, Kind};
use std::time::{SystemTime, UNIX_EPOCH};

const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
const TIMERS: &str = "rmq_sys_wheel_timer";
const LEVELS: &str = "messageDelayLevel=1s 2s 1h";

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn texts(messages: &[Stored]) -> Vec<&str> {
    messages.iter().map(Stored::text).collect()
}

/// Waits until queue 0 has so many, and fetches them.
fn come(native: &mut Native, topic: &str, count: usize) -> Vec<Stored> {
    let mut found = vec![];
    eventually("they come", || {
        found = native.fetch(topic, 0).messages;
        found.len() >= count
    });
    found
}

#[test]
fn records_of_one_frame_come_at_once_by_their_level_and_by_their_time_and_not_before() {
    let cluster = Cluster::start(1, &[LEVELS]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let sent_ms = now_ms();
    let at = format!("TIMER_DELIVER_MS\u{1}{}\u{2}KEYS\u{1}k\u{2}", sent_ms + 3_000);
    let produced = native
        .produce(&[
            record("T", 0, "TAGS\u{1}a\u{2}", "at once"),
            record("T", 0, "DELAY\u{1}2\u{2}TAGS\u{1}b\u{2}", "level 2"),
            record("T", 0, &at, "at a time"),
            record("T", 0, "TIMER_DELAY_MS\u{1}-5\u{2}", "has passed"),
            record("T", 0, "DELAY\u{1}0\u{2}", "level 0"),
        ])
        .produced();
    let offsets: Vec<i64> = produced.placed.iter().map(|placed| placed.queue_offset).collect();
    assert_eq!(offsets, [0, 0, 0, 1, 2], "two wait in queues of their own");
    assert_eq!(texts(&native.fetch("T", 0).messages), ["at once", "has passed", "level 0"]);
    let all = come(&mut native, "T", 5);
    assert_eq!(texts(&all), ["at once", "has passed", "level 0", "level 2", "at a time"]);
    let said = |nth: usize, name: &str| all[nth].properties.get(name).map(String::as_str);
    assert_eq!(
        [said(0, "TAGS"), said(3, "TAGS"), said(4, "KEYS")],
        [Some("a"), Some("b"), Some("k")]
    );
    assert_eq!(said(3, "REAL_TOPIC"), Some("T"));
    assert!(all[3].store_timestamp_ms >= produced.store_timestamp_ms + 2_000, "{:?}", all[3]);
    assert!(all[4].store_timestamp_ms >= sent_ms + 3_000, "{:?}", all[4]);
}

#[test]
fn what_waits_lies_where_rocketmqs_clients_messages_wait_with_the_same_properties() {
    let cluster = Cluster::start(1, &[LEVELS, "enabledAppendPropCRC=true"]);
    let (mut native, mut client) = (Native::connect(&cluster), cluster.client(0));
    native.create("T");
    let crc = "__CRC32#\u{1}0000000000\u{2}";
    let far = now_ms() + 3_600_000;
    for (properties, topic, offset) in [
        ("UNIQ_KEY\u{1}k\u{2}DELAY\u{1}99\u{2}".to_owned(), SCHEDULE, 2),
        (format!("UNIQ_KEY\u{1}k\u{2}TIMER_DELIVER_MS\u{1}{far}\u{2}"), TIMERS, 0),
    ] {
        native.produce(&[record("T", 3, &format!("{properties}{crc}"), "body")]).produced();
        let header =
            protocol::headers::SendHeader { properties: &properties, queue_id: 3, ..message("T") };
        assert_eq!(client.send_message(&header, b"body").code, 0);
        let queue_id = offset;
        let pull = protocol::headers::PullHeader { queue_id, ..pull_from(topic, 0) };
        let mut both = client.pull(&pull).messages();
        for one in &mut both {
            // A broker adds these to what RocketMQ's clients send; the checksum is the record's.
            for name in ["MSG_REGION", "TRACE_ON", "CLUSTER", "__CRC32#"] {
                one.properties.remove(name);
            }
        }
        assert_eq!(both.len(), 2, "{topic}");
        assert_eq!(both[0].properties, both[1].properties, "{topic}");
        assert_eq!(both[0].properties["REAL_QID"], "3");
    }
}

#[test]
fn what_may_not_wait_refuses_its_frame_whole_and_is_named() {
    let settings = ["timerMaxDelaySec=60", "timersPendingMax=1"];
    let cluster = Cluster::start(1, &settings);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let good = || record("T", 0, "DELAY\u{1}18\u{2}", "good");
    let timed = |value: &str| record("T", 0, &format!("TIMER_DELAY_MS\u{1}{value}\u{2}"), "x");
    for (bad, code) in [
        (timed("60001"), ErrorCode::Record),
        (timed("9223372036854775808"), ErrorCode::Record),
        (timed("soon"), ErrorCode::Record),
        (record("SCHEDULE_TOPIC_XXXX", 0, "DELAY\u{1}1\u{2}", "x"), ErrorCode::Permission),
        (record("Nowhere", 0, "DELAY\u{1}1\u{2}", "x"), ErrorCode::Topic),
        (record("T", 4, "DELAY\u{1}1\u{2}", "x"), ErrorCode::Queue),
        (record("T", 0, "TRAN_MSG\u{1}true\u{2}DELAY\u{1}1\u{2}", "x"), ErrorCode::Unsupported),
    ] {
        let (found, nth, reason) = native.produce(&[good(), bad, good()]).error();
        assert_eq!((found, nth), (code, 1), "{reason}");
    }
    native.produce(&[timed("50000")]).produced();
    let (code, _, reason) = native.produce(&[timed("50000")]).error();
    assert!(code == ErrorCode::Busy && reason.contains("flow control"), "{code:?} {reason}");
    assert_eq!(native.fetch("T", 0).range, (0, 0), "nothing of the refused frames is there");
    let produced = native.produce(&[good()]).produced();
    assert_eq!(produced.placed[0].queue_offset, 0, "nor does any of it wait");
    let off = Cluster::start(1, &["timerWheelEnable=false"]);
    let mut native = Native::connect(&off);
    native.create("T");
    assert_eq!(native.produce(&[timed("50")]).error().0, ErrorCode::Unsupported);
}

#[test]
fn a_kill_loses_no_record_that_waits() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=3s"]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let records: Vec<Vec<u8>> = (0..20)
        .map(|nth| {
            let later = ["DELAY\u{1}1\u{2}", "TIMER_DELAY_SEC\u{1}3\u{2}"][nth % 2];
            record("T", 0, &format!("UNIQ_KEY\u{1}{nth}\u{2}{later}"), &nth.to_string())
        })
        .collect();
    native.produce(&records).produced();
    cluster.broker.kill();
    cluster.restart_broker();
    let mut native = Native::connect(&cluster);
    native.create("T"); // a kill so soon after its making may have taken its settings
    let mut found: Vec<String> =
        come(&mut native, "T", 20).iter().map(|one| one.text().to_owned()).collect();
    found.sort_by_key(|text| text.parse::<usize>().unwrap());
    found.dedup();
    assert_eq!(found, (0..20).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

fn by_expression(expression: &str, offset: i64, hold_ms: u32) -> FetchSql {
    FetchSql {
        queue_id: 0,
        offset,
        messages_max: 100,
        bytes_max: 1 << 20,
        hold_ms,
        topic: "T".into(),
        expression: expression.into(),
    }
}

#[test]
fn an_expression_selects_and_a_waiting_fetch_is_woken_by_what_it_takes() {
    let cluster = Cluster::start(1, &["enablePropertyFilter=true"]);
    let (mut native, mut client) = (Native::connect(&cluster), cluster.client(0));
    native.create("T");
    let records: Vec<Vec<u8>> = (0..10)
        .map(|nth| record("T", 0, &format!("size\u{1}{nth}\u{2}"), &nth.to_string()))
        .collect();
    native.produce(&records).produced();
    let found = native.call(Kind::FetchSql, &by_expression("size >= 7", 0, 0), &[]).fetched();
    assert_eq!((texts(&found.messages), found.next_offset), (vec!["7", "8", "9"], 10));
    let none = native.call(Kind::FetchSql, &by_expression("size > 9", 0, 0), &[]).fetched();
    assert_eq!((none.status, none.next_offset), (FetchStatus::NoMatch as u8, 10));
    let waiting = native.send(Kind::FetchSql, &by_expression("size = 77", 10, 30_000), &[]);
    for size in [5, 77] {
        let properties = format!("size\u{1}{size}\u{2}");
        let header = protocol::headers::SendHeader { properties: &properties, ..message("T") };
        assert_eq!(client.send_message(&header, size.to_string().as_bytes()).code, 0);
    }
    let answer = native.receive().unwrap();
    assert_eq!(answer.view().correlation, waiting);
    assert_eq!(texts(&answer.fetched().messages), ["77"]);
}

#[test]
fn an_expression_that_cannot_be_used_is_refused_with_the_reason() {
    let cluster = Cluster::start(1, &["enablePropertyFilter=true"]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let deep = "(".repeat(20_000);
    for expression in ["", "size >", "a = 'b", "\u{0}", &deep] {
        let answer = native.call(Kind::FetchSql, &by_expression(expression, 0, 0), &[]);
        let (code, record, reason) = answer.error();
        assert_eq!((code, record), (ErrorCode::Expression, WHOLE_FRAME), "{reason}");
        assert!(reason.len() > 20, "{reason}");
    }
    let off = Cluster::start(1, &[]);
    let mut native = Native::connect(&off);
    native.create("T");
    let (code, _, reason) = native.call(Kind::FetchSql, &by_expression("a = 1", 0, 0), &[]).error();
    assert_eq!(code, ErrorCode::Unsupported);
    assert!(reason.contains("enablePropertyFilter"), "{reason}");
}
