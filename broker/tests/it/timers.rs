//! Timer messages: when one comes, in which form, and what a stop, a kill, damaged files and absurd
//! times do to it.

use crate::client::{Client, Stored, message};
use crate::cluster::{Cluster, eventually};
use crate::delay::{counted, now_ms, queue_end, read_all};
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use std::collections::BTreeMap;
use std::time::Duration;

const WAITING: &str = "rmq_sys_wheel_timer";

/// Sends a text to queue 0 of `T` with these properties.
fn put(client: &mut Client, text: &str, properties: &str) -> crate::client::Frame {
    let properties = format!("{properties}\u{2}KEYS\u{1}{text}\u{2}UNIQ_KEY\u{1}uk-{text}");
    let header = SendHeader { properties: &properties, ..message("T") };
    client.send_message(&header, text.as_bytes())
}

/// The same with a delay in milliseconds, which is taken.
fn put_after(client: &mut Client, text: &str, delay_ms: i64) {
    let reply = put(client, text, &format!("TIMER_DELAY_MS\u{1}{delay_ms}"));
    assert_eq!(reply.code, 0, "{reply:?}");
}

fn come_by(client: &mut Client, text: &str) -> Stored {
    let mut found = None;
    eventually(&format!("{text} comes"), || {
        found = read_all(client, "T").into_iter().find(|stored| stored.text() == text);
        found.is_some()
    });
    found.unwrap()
}

fn runtime_info(client: &mut Client, key: &str) -> String {
    let reply = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table: protocol::bodies::KvTable = protocol::json::from_lenient(&reply.body).unwrap();
    table.table.get(key).cloned().unwrap_or_default()
}

#[test]
fn a_timer_message_comes_when_it_is_due_and_not_before() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "makes the topic");
    let sent_ms = now_ms();
    let at_ms = sent_ms + 3_456;
    let times = format!("TIMER_DELIVER_MS\u{1}{at_ms}\u{2}REAL_TOPIC\u{1}forged\u{2}TAGS\u{1}tag");
    let reply = put(&mut client, "at", &times);
    assert_eq!((reply.code, reply.number("queueId"), reply.number("queueOffset")), (0, 0, 0));
    put_after(&mut client, "ms", 1_234);
    assert_eq!(put(&mut client, "sec", "TIMER_DELAY_SEC\u{1}2").code, 0);
    assert_eq!(queue_end(&mut client, "T", 0), 1, "nothing is early");
    assert_eq!(queue_end(&mut client, WAITING, 0), 3);
    for (text, due_ms) in [("ms", sent_ms + 1_234), ("sec", sent_ms + 2_000), ("at", at_ms)] {
        let stored = come_by(&mut client, text);
        let at = stored.store_timestamp_ms;
        assert!(at >= due_ms, "{text} came {} ms too early", due_ms - at);
        println!("{text} came {} ms after it was due at the earliest", at - due_ms);
    }
    let at = come_by(&mut client, "at");
    let found = |name: &str| at.properties.get(name).map(String::as_str);
    assert_eq!([found("REAL_TOPIC"), found("REAL_QID")], [Some("T"), Some("0")]);
    assert_eq!([found("TAGS"), found("KEYS")], [Some("tag"), Some("at")]);
    let slot = ((at_ms - 1) / 1_000 * 1_000).to_string();
    assert_eq!(found("TIMER_OUT_MS"), Some(slot.as_str()));
    assert_eq!(found("TIMER_DELIVER_MS"), Some(at_ms.to_string().as_str()));
    assert!(found("TIMER_ENQUEUE_MS").is_some() && found("TIMER_DEQUEUE_MS").is_some());
    assert_eq!(found("TIMER_ROLL_TIMES"), None);
    assert_eq!(runtime_info(&mut client, "timerCongestNum"), "0");
    assert_eq!(runtime_info(&mut client, "timerDelivered"), "3");
    assert!(runtime_info(&mut client, "timerLatenessMs").contains("p99"));
}

#[test]
fn what_has_passed_comes_at_once_and_absurd_times_are_refused() {
    let cluster = Cluster::start(1, &["timerMaxDelaySec=3600"]);
    let mut client = cluster.client(0);
    for (nth, past) in ["TIMER_DELAY_MS\u{1}0", "TIMER_DELAY_SEC\u{1}-5", "TIMER_DELIVER_MS\u{1}1"]
        .iter()
        .enumerate()
    {
        assert_eq!(put(&mut client, &nth.to_string(), past).code, 0);
        assert_eq!(queue_end(&mut client, "T", 0), i64::try_from(nth).unwrap() + 1, "{past}");
    }
    let century_ms = now_ms() + 100 * 365 * 86_400_000;
    for absurd in [
        "TIMER_DELAY_MS\u{1}3600001",
        "TIMER_DELAY_SEC\u{1}3601",
        "TIMER_DELAY_SEC\u{1}3155760000",
        "TIMER_DELAY_SEC\u{1}9223372036854775807",
        "TIMER_DELAY_SEC\u{1}soon",
        "TIMER_DELIVER_MS\u{1}99999999999999999999",
        &format!("TIMER_DELIVER_MS\u{1}{century_ms}"),
        "TIMER_DELAY_MS\u{1}-1\u{2}TIMER_DEL_UNIQKEY\u{1}k",
    ] {
        let reply = put(&mut client, "x", absurd);
        assert_eq!(reply.code, response::MESSAGE_ILLEGAL, "{absurd:?}");
        assert!(reply.remark.contains("max delay 3600000ms"), "{reply:?}");
    }
    // Whoever has waited already, and whoever has a level, does not wait as a timer.
    assert_eq!(put(&mut client, "3", "TIMER_OUT_MS\u{1}7\u{2}TIMER_DELAY_SEC\u{1}9999").code, 0);
    assert_eq!(put(&mut client, "4", "DELAY\u{1}1\u{2}TIMER_DELAY_SEC\u{1}9999").code, 0);
    eventually("the delayed one", || queue_end(&mut client, "T", 0) == 5);
    assert_eq!(queue_end(&mut client, WAITING, 0), 0);
}

#[test]
fn without_the_wheel_timers_are_refused_and_those_that_wait_stay() {
    let mut cluster = Cluster::start(1, &[]);
    put_after(&mut cluster.client(0), "waits", 4_000);
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker_with(&["timerWheelEnable=false"]);
    let reply = put(&mut cluster.client(0), "x", "TIMER_DELAY_SEC\u{1}1");
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(reply.remark.contains("timerWheelEnable is false"), "{reply:?}");
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker_with(&["timerWheelEnable=true"]);
    come_by(&mut cluster.client(0), "waits");
}

#[test]
fn too_many_timers_are_refused_with_flow_control() {
    let cluster = Cluster::start(1, &["timersPendingMax=5"]);
    let mut client = cluster.client(0);
    (0..5).for_each(|nth| put_after(&mut client, &nth.to_string(), 600_000));
    let reply = put(&mut client, "6", "TIMER_DELAY_SEC\u{1}600");
    assert_eq!(reply.code, response::SYSTEM_ERROR);
    assert!(reply.remark.contains("flow control") && reply.remark.contains('5'), "{reply:?}");
    assert_eq!(put(&mut client, "plain", "TAGS\u{1}a").code, 0, "others go on");
}

#[test]
fn too_many_timers_of_one_slot_are_refused_and_other_slots_go_on() {
    let cluster = Cluster::start(1, &["timerCongestNumEachSlot=3"]);
    let mut client = cluster.client(0);
    let slot_ms = (now_ms() / 1_000 + 600) * 1_000;
    let mut taken = 0;
    for nth in 0..40 {
        let reply = put(&mut client, &nth.to_string(), &format!("TIMER_DELIVER_MS\u{1}{slot_ms}"));
        taken += i32::from(reply.code == 0);
        // What was taken is in its slot before the next comes.
        let waits = |client: &mut Client| runtime_info(client, "timerCongestNum").parse::<i32>();
        eventually("it waits", || waits(&mut client) == Ok(taken));
    }
    assert!((3..=6).contains(&taken), "{taken}: all from 6 on are refused, none up to 3");
    put_after(&mut client, "another", 60_000);
}

#[test]
fn what_is_too_far_away_is_stored_again_and_comes_once() {
    let cluster = Cluster::start(1, &["timerRollWindowSlot=2"]);
    let mut client = cluster.client(0);
    let due_ms = now_ms() + 6_500;
    put_after(&mut client, "far", 6_500);
    let far = come_by(&mut client, "far");
    assert!(far.store_timestamp_ms >= due_ms, "{far:?}");
    let times: i32 = far.properties["TIMER_ROLL_TIMES"].parse().unwrap();
    assert!(times >= 2, "{far:?}");
    assert_eq!(queue_end(&mut client, WAITING, 0), i64::from(times) + 1);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(queue_end(&mut client, "T", 0), 1, "and not twice");
}

#[test]
fn what_nobody_can_deliver_stops_no_timer() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    for properties in [
        "KEYS\u{1}none",
        "TIMER_OUT_MS\u{1}soon",
        "TIMER_OUT_MS\u{1}1\u{2}REAL_TOPIC\u{1}../x\u{2}REAL_QID\u{1}0",
        "TIMER_OUT_MS\u{1}1\u{2}REAL_TOPIC\u{1}rmq_sys_wheel_timer\u{2}REAL_QID\u{1}0",
        "TIMER_OUT_MS\u{1}1\u{2}REAL_TOPIC\u{1}SCHEDULE_TOPIC_XXXX\u{2}REAL_QID\u{1}0",
        "TIMER_OUT_MS\u{1}-9223372036854775808\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}-1",
    ] {
        let header = SendHeader { properties, ..message(WAITING) };
        assert_eq!(client.send_message(&header, b"x").code, 0, "{properties:?}");
    }
    put_after(&mut client, "good", 500);
    come_by(&mut client, "good");
    assert_eq!(runtime_info(&mut client, "timerLeftOut"), "6");
}

#[test]
fn a_clean_stop_neither_repeats_nor_forgets_a_timer() {
    let mut cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    (0..20).for_each(|nth| put_after(&mut client, &nth.to_string(), 500));
    (20..40).for_each(|nth| put_after(&mut client, &nth.to_string(), 6_000 + nth));
    counted(&mut client, 20);
    assert_eq!(cluster.broker.stop(), Some(0));
    let wheel = std::fs::metadata(cluster.store().join("timerwheel")).unwrap();
    let log = std::fs::metadata(cluster.store().join("timerlog/00000000000000000000")).unwrap();
    assert_eq!((wheel.len(), log.len()), (38_707_200, 104_857_600), "as Apache wants them");
    cluster.restart_broker();
    let counted = counted(&mut cluster.client(0), 40);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
    assert!(cluster.broker.log().contains("taken over"), "{}", cluster.broker.log());
}

#[test]
fn damaged_files_cost_no_timer_and_repeat_none() {
    for (file, at) in [("timerlog/00000000000000000000", Some(30)), ("timerlog", None)] {
        let mut cluster = Cluster::start(1, &[]);
        let mut client = cluster.client(0);
        (0..10).for_each(|nth| put_after(&mut client, &nth.to_string(), 300));
        counted(&mut client, 10);
        (10..20).for_each(|nth| put_after(&mut client, &nth.to_string(), 6_000));
        // What the check says is done ends with a slot: theirs is over.
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(cluster.broker.stop(), Some(0));
        let path = cluster.store().join(file);
        if let Some(at) = at {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 4;
            std::fs::write(&path, bytes).unwrap();
        } else {
            std::fs::remove_dir_all(&path).unwrap();
        }
        cluster.restart_broker();
        let counted = counted(&mut cluster.client(0), 20);
        assert!(counted.values().all(|count| *count == 1), "{file}: {counted:?}");
        assert!(cluster.broker.log().contains("is not used"), "{}", cluster.broker.log());
    }
}

#[test]
fn a_kill_loses_no_timer_and_makes_none_early() {
    // Which moments: `TIMER_SEED=n cargo test -p broker --test it -- timers::a_kill`.
    let seed = std::env::var("TIMER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| now_ms().unsigned_abs() % 1_000_000);
    println!("TIMER_SEED={seed}");
    let mut cluster = Cluster::start(1, &["logBackend=mmap", "timerFlushIntervalMs=100"]);
    let mut due_ms = BTreeMap::new();
    for life in 0..4_u32 {
        let mut client = cluster.client(0);
        for nth in 0..60 {
            let text = format!("{life}-{nth}");
            let delay_ms = [300, 1_500, 4_000][nth % 3];
            due_ms.insert(text.clone(), now_ms() + delay_ms);
            put_after(&mut client, &text, delay_ms);
        }
        let random = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(life * 13);
        std::thread::sleep(Duration::from_millis(300 + random % 1_500));
        if life == 2 {
            assert_eq!(cluster.broker.stop(), Some(0));
        } else {
            cluster.broker.kill();
        }
        cluster.restart_broker();
    }
    let mut client = cluster.client(0);
    let counted = counted(&mut client, due_ms.len());
    let copies: usize = counted.values().sum();
    println!("{} copies more than {} messages after kills", copies - due_ms.len(), due_ms.len());
    assert!(counted.keys().eq(due_ms.keys()), "{counted:?}");
    for stored in read_all(&mut client, "T") {
        let due_ms = due_ms[stored.text()];
        assert!(stored.store_timestamp_ms >= due_ms, "{stored:?} is due at {due_ms}");
    }
}

#[test]
fn what_is_saved_is_not_repeated_by_a_kill() {
    let mut cluster = Cluster::start(1, &["timerFlushIntervalMs=50"]);
    let mut client = cluster.client(0);
    (0..20).for_each(|nth| put_after(&mut client, &nth.to_string(), 200));
    counted(&mut client, 20);
    let check = cluster.store().join("config/timercheck");
    let slot_over_ms = now_ms() + 2_000;
    eventually("progress is in its file", || {
        // Later ones make it say so.
        put_after(&mut client, "later", 1);
        let bytes = std::fs::read(&check).unwrap_or_default();
        let done = bytes.get(..8).and_then(|bytes| bytes.try_into().ok());
        done.is_some_and(|done| i64::from_be_bytes(done) >= slot_over_ms)
    });
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    put_after(&mut client, "last", 1);
    come_by(&mut client, "last");
    let counted = counted(&mut client, 22);
    let early = counted.iter().filter(|(text, _)| text.parse::<u32>().is_ok());
    assert!(early.clone().all(|(_, count)| *count == 1), "{counted:?}");
}

fn recall(client: &mut Client, topic: &str, handle: &str) -> crate::client::Frame {
    let fields = [("topic", topic), ("recallHandle", handle), ("producerGroup", "p")];
    client.call(request::RECALL_MESSAGE, &fields)
}

#[test]
fn a_recalled_message_never_comes_and_its_neighbours_do() {
    let mut cluster = Cluster::start(1, &["recallMessageEnable=true"]);
    let mut client = cluster.client(0);
    let due_ms = now_ms() + 5_000;
    let at = format!("TIMER_DELIVER_MS\u{1}{due_ms}");
    let mut handles = vec![];
    for text in ["a", "b", "c", "d"] {
        let reply = put(&mut client, text, &at);
        handles.push(reply.field("recallHandle").to_owned());
    }
    let reply = recall(&mut client, "T", &handles[1]);
    assert_eq!((reply.code, reply.field("msgId")), (0, "uk-b"), "{reply:?}");
    assert_eq!(reply.field("MSG_REGION"), "DefaultRegion");
    assert_eq!(recall(&mut client, "T", &handles[1]).code, 0, "twice is as good");
    // A kill before a topic that was made by itself is in its file takes it along.
    let topics = cluster.store().join("config/topics.json");
    eventually("the topic is in its file", || {
        std::fs::read_to_string(&topics).is_ok_and(|text| text.contains("\"T\""))
    });
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert_eq!(recall(&mut client, "T", &handles[3]).code, 0, "also after a restart");
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    put_after(&mut client, "later", due_ms + 1_500 - now_ms());
    come_by(&mut client, "later");
    let texts: Vec<String> =
        read_all(&mut client, "T").iter().map(|stored| stored.text().to_owned()).collect();
    assert_eq!(texts, ["a", "c", "later"]);
    assert_eq!(runtime_info(&mut client, "timerRecalled"), "2");
}

#[test]
fn recalls_are_refused_with_rocketmqs_codes() {
    let cluster = Cluster::start(1, &["recallMessageEnable=true", "timerMaxDelaySec=3600"]);
    let mut client = cluster.client(0);
    let plain = put(&mut client, "plain", "TAGS\u{1}a");
    assert!(!plain.ext.contains_key("recallHandle"), "only timers have a handle: {plain:?}");
    let handle = |topic: &str, broker: &str, at_ms: i64| {
        protocol::ids::RecallHandle::write(topic, broker, at_ms, "k")
    };
    let soon = now_ms() + 60_000;
    for (topic, handle, code) in [
        ("unknown", handle("unknown", "broker-a", soon), response::TOPIC_NOT_EXIST),
        ("T", "no handle".to_owned(), response::ILLEGAL_OPERATION),
        ("T", String::new(), response::ILLEGAL_OPERATION),
        ("T", handle("U", "broker-a", soon), response::ILLEGAL_OPERATION),
        ("T", handle("T", "broker-b", soon), response::ILLEGAL_OPERATION),
        ("T", handle("T", "broker-a", soon - 120_000), response::ILLEGAL_OPERATION),
        ("T", handle("T", "broker-a", soon + 3_600_000), response::ILLEGAL_OPERATION),
        ("T", handle("T", "broker-a", i64::MAX), response::ILLEGAL_OPERATION),
        ("T", handle("T", "broker-a", i64::MIN), response::ILLEGAL_OPERATION),
    ] {
        let reply = recall(&mut client, topic, &handle);
        assert_eq!(reply.code, code, "{topic} {handle}: {reply:?}");
        assert!(!reply.remark.is_empty());
    }
    assert_eq!(client.call(request::RECALL_MESSAGE, &[("topic", "T")]).code, 1);
    assert_eq!(recall(&mut client, "T", &handle("T", "broker-a", soon)).code, 0, "of none");
}

#[test]
fn nothing_is_recalled_where_it_is_not_allowed() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let reply = put(&mut client, "x", "TIMER_DELAY_SEC\u{1}60");
    let handle = reply.field("recallHandle").to_owned();
    assert!(!handle.is_empty(), "Apache returns it regardless");
    assert_eq!(recall(&mut client, "T", &handle).code, response::NO_PERMISSION);
}

#[test]
fn tools_are_told_how_far_timers_are_and_how_many_wait_for_each_topic() {
    let mut cluster = Cluster::start(1, &["timerFlushIntervalMs=50"]);
    let mut client = cluster.client(0);
    client.put("T", "", "makes the topic");
    let point = |client: &mut Client| {
        let reply = client.call(request::GET_TIMER_CHECK_POINT, &[]);
        assert_eq!((reply.code, reply.body.len()), (0, 56), "{reply:?}");
        let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().unwrap());
        reply.body.chunks(8).map(number).collect::<Vec<_>>()
    };
    let metrics = |client: &mut Client| {
        let reply = client.call(request::GET_TIMER_METRICS, &[]);
        assert_eq!(reply.code, 0, "{reply:?}");
        protocol::json::from_lenient::<protocol::bodies::TimerMetrics>(&reply.body).unwrap()
    };
    assert_eq!(metrics(&mut client), protocol::bodies::TimerMetrics::default());
    let sent_ms = now_ms();
    for (text, delay_ms) in [("later", 600_000), ("much later", 700_000), ("soon", 1_100)] {
        put_after(&mut client, text, delay_ms);
    }
    let waiting = |client: &mut Client| metrics(client).timing_count.get("T").map(|t| t.count);
    eventually("all wait", || metrics(&mut client).data_version.counter >= 3);
    come_by(&mut client, "soon");
    eventually("two wait", || waiting(&mut client) == Some(2));
    let found = metrics(&mut client);
    assert_eq!(found.data_version.counter, 4, "{found:?}");
    assert!(found.timing_count["T"].time_stamp >= sent_ms && found.timing_count.len() == 1);
    eventually("the checkpoint says that all are known", || point(&mut client)[2] == 3);
    let [done_ms, .., version_ms, counter] = point(&mut client)[..] else { unreachable!() };
    assert!(done_ms > 0 && version_ms >= sent_ms && counter > 0);
    // What waits is counted in the next life too; what comes meanwhile counts no more.
    put_after(&mut client, "after the stop", 1_500);
    eventually("three wait", || waiting(&mut client) == Some(3));
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    eventually("all but one wait", || waiting(&mut client) == Some(2));
    come_by(&mut client, "after the stop");
    assert_eq!(waiting(&mut client), Some(2));
}

#[test]
fn without_a_timer_wheel_tools_are_refused_as_apache_refuses_them() {
    let cluster = Cluster::start(1, &["timerWheelEnable=false"]);
    let mut client = cluster.client(0);
    for (code, remark) in [
        (request::GET_TIMER_CHECK_POINT, "The checkpoint is null"),
        (request::GET_TIMER_METRICS, "The timer message store is null"),
    ] {
        let reply = client.call(code, &[]);
        assert_eq!((reply.code, reply.remark.as_str()), (response::SYSTEM_ERROR, remark));
    }
}
