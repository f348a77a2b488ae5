//! Delay levels: when a delayed message comes, in which form, and what a stop, a kill and a deleted
//! topic do to it.

use crate::client::{Client, Stored, long_pull_from, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::bodies::DelayOffsets;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";

pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Sends a text to queue 0 with a delay level.
pub(crate) fn put_delayed(client: &mut Client, topic: &str, level: i32, text: &str) {
    let properties = format!("DELAY\u{1}{level}\u{2}KEYS\u{1}{text}");
    let header = SendHeader { properties: &properties, ..message(topic) };
    let reply = client.send_message(&header, text.as_bytes());
    assert_eq!(reply.code, 0, "{reply:?}");
}

pub(crate) fn queue_end(client: &mut Client, topic: &str, queue: i32) -> i64 {
    let queue = queue.to_string();
    let reply = client.call(request::GET_MAX_OFFSET, &[("topic", topic), ("queueId", &queue)]);
    if reply.code == 0 { reply.number("offset") } else { 0 }
}

/// Everything that is in queue 0 of a topic.
pub(crate) fn read_all(client: &mut Client, topic: &str) -> Vec<Stored> {
    let mut all = vec![];
    loop {
        let offset = i64::try_from(all.len()).unwrap();
        let found = client.pull(&pull_from(topic, offset));
        if found.body.is_empty() {
            return all;
        }
        all.extend(found.messages());
    }
}

/// How often each text came to queue 0 of `T`, once all of them have.
pub(crate) fn counted(client: &mut Client, texts: usize) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    eventually("every delayed message comes", || {
        counted.clear();
        for stored in read_all(client, "T") {
            *counted.entry(stored.text().to_owned()).or_default() += 1;
        }
        counted.len() >= texts
    });
    counted
}

fn saved_offsets(cluster: &Cluster) -> BTreeMap<i32, i64> {
    let file = std::fs::read(cluster.store().join("config/delayOffset.json")).unwrap_or_default();
    let saved = protocol::json::from_lenient::<DelayOffsets>(&file);
    saved.map(|saved| saved.offset_table).unwrap_or_default()
}

#[test]
fn a_delayed_message_comes_when_it_is_due_and_not_before() {
    let cluster = Cluster::start(1, &["messageDelayLevel=3s 1s"]);
    let (mut client, mut consumer) = (cluster.client(0), cluster.client(0));
    client.put("T", "", "makes the topic");
    let poll = consumer.start_pull(&long_pull_from("T", 1, 20_000));
    let sent_ms = now_ms();
    put_delayed(&mut client, "T", 1, "later");
    let properties = "REAL_TOPIC\u{1}forged\u{2}DELAY\u{1}2\u{2}TAGS\u{1}tag\u{2}\
                      TIMER_DELAY_SEC\u{1}60\u{2}REAL_QID\u{1}77";
    let header = SendHeader { properties, queue_id: 0, ..message("T") };
    let reply = client.send_message(&header, b"sooner");
    assert_eq!((reply.code, reply.number("queueId")), (0, 0), "{reply:?}");
    assert_eq!(queue_end(&mut client, "T", 0), 1, "nothing is early");

    let sooner = consumer.answer_to(poll).messages().remove(0);
    assert_eq!((sooner.text(), sooner.queue_offset), ("sooner", 1));
    assert!(sooner.store_timestamp_ms >= sent_ms + 1_000, "{sooner:?} of {sent_ms}");
    let found = |name: &str| sooner.properties.get(name).map(String::as_str);
    assert_eq!([found("REAL_TOPIC"), found("REAL_QID")], [Some("T"), Some("0")]);
    assert_eq!([found("DELAY"), found("TAGS")], [Some("2"), Some("tag")]);
    assert_eq!([found("TIMER_DELAY_SEC"), found("CLUSTER")], [None, Some("DefaultCluster")]);

    let later = consumer.pull(&long_pull_from("T", 2, 20_000)).messages().remove(0);
    assert_eq!(later.text(), "later");
    assert!(later.store_timestamp_ms >= sent_ms + 3_000, "{later:?} of {sent_ms}");
    assert_eq!([queue_end(&mut client, SCHEDULE, 0), queue_end(&mut client, SCHEDULE, 1)], [1, 1]);
}

#[test]
fn every_level_has_its_queue_and_what_is_above_the_highest_has_the_highest() {
    let levels = format!("messageDelayLevel={}", ["1s"; 20].join(" "));
    let cluster = Cluster::start(1, &[&levels]);
    let mut client = cluster.client(0);
    for level in (1..=20).chain([99]) {
        put_delayed(&mut client, "T", level, &level.to_string());
    }
    let ends: Vec<i64> = (0..21).map(|queue| queue_end(&mut client, SCHEDULE, queue)).collect();
    assert_eq!(ends, [&[1; 19][..], &[2, 0]].concat());
    let counted = counted(&mut client, 21);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
    let all = read_all(&mut client, "T");
    let capped = all.iter().find(|message| message.text() == "99").unwrap();
    assert_eq!(capped.properties["DELAY"], "20");
}

#[test]
fn a_kill_loses_no_delayed_message_and_makes_none_early() {
    let settings = ["flushDiskType=SYNC_FLUSH", "messageDelayLevel=4s 1s"];
    let mut cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    let mut due_ms = BTreeMap::new();
    for nth in 0..60 {
        let (level, delay_ms) = if nth % 2 == 0 { (1, 4_000) } else { (2, 1_000) };
        due_ms.insert(nth.to_string(), now_ms() + delay_ms);
        put_delayed(&mut client, "T", level, &nth.to_string());
    }
    // Some are delivered, some are not, and no progress is saved yet.
    eventually("the first comes", || queue_end(&mut client, "T", 0) > 0);
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let counted = counted(&mut client, 60);
    let copies: usize = counted.values().sum();
    println!("{} of 60 were delivered twice after a kill", copies - 60);
    assert!(counted.values().all(|count| *count <= 2), "{counted:?}");
    for stored in read_all(&mut client, "T") {
        let due_ms = due_ms[stored.text()];
        assert!(stored.store_timestamp_ms >= due_ms, "{stored:?} is due at {due_ms}");
    }
}

#[test]
fn several_kills_at_any_moment_lose_nothing_and_progress_never_runs_ahead() {
    // Which moments: `DELAY_SEED=n cargo test -p broker --test it -- delay::several_kills`.
    let seed = std::env::var("DELAY_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| now_ms().unsigned_abs() % 1_000_000);
    println!("DELAY_SEED={seed}");
    // A killed process loses nothing that is in the page cache, and progress is saved all the time.
    let settings = ["logBackend=mmap", "messageDelayLevel=1s", "flushDelayOffsetInterval=100"];
    let mut cluster = Cluster::start(1, &settings);
    let mut due_ms = BTreeMap::new();
    for life in 0..4 {
        let mut client = cluster.client(0);
        for nth in 0..100 {
            let text = format!("{life}-{nth}");
            due_ms.insert(text.clone(), now_ms() + 1_000);
            put_delayed(&mut client, "T", 1, &text);
        }
        let random = seed.wrapping_mul(6_364_136_223_846_793_005).rotate_left(life * 13);
        std::thread::sleep(Duration::from_millis(600 + random % 1_000));
        cluster.broker.kill();
        cluster.restart_broker();
    }
    let mut client = cluster.client(0);
    let counted = counted(&mut client, due_ms.len());
    let copies: usize = counted.values().sum();
    println!("{} copies more than {} messages after 4 kills", copies - due_ms.len(), due_ms.len());
    assert!(counted.keys().eq(due_ms.keys()), "{counted:?}");
    for stored in read_all(&mut client, "T") {
        let due_ms = due_ms[stored.text()];
        assert!(stored.store_timestamp_ms >= due_ms, "{stored:?} is due at {due_ms}");
    }
}

#[test]
fn a_clean_stop_neither_repeats_nor_forgets_a_delayed_message() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=6s 1s"]);
    let mut client = cluster.client(0);
    (0..40).for_each(|nth| put_delayed(&mut client, "T", 2, &nth.to_string()));
    put_delayed(&mut client, "T", 1, "slow");
    counted(&mut client, 40);
    assert_eq!(cluster.broker.stop(), Some(0));
    let delivered = saved_offsets(&cluster);
    assert_eq!(delivered.get(&2), Some(&40));
    cluster.restart_broker();
    let counted = counted(&mut cluster.client(0), 41);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
}

#[test]
fn progress_is_saved_while_the_broker_runs_and_a_kill_repeats_nothing_older() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1s", "flushDelayOffsetInterval=100"]);
    let mut client = cluster.client(0);
    (0..20).for_each(|nth| put_delayed(&mut client, "T", 1, &nth.to_string()));
    eventually("progress is in its file", || saved_offsets(&cluster).get(&1) == Some(&20));
    cluster.broker.kill();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    put_delayed(&mut client, "T", 1, "20");
    let counted = counted(&mut client, 21);
    assert!(counted.values().all(|count| *count == 1), "{counted:?}");
}

#[test]
fn a_delayed_message_whose_topic_is_gone_brings_it_back() {
    let cluster = Cluster::start(1, &["messageDelayLevel=2s"]);
    let mut client = cluster.client(0);
    put_delayed(&mut client, "T", 1, "x");
    assert_eq!(client.call(request::DELETE_TOPIC_IN_BROKER, &[("topic", "T")]).code, 0);
    assert_eq!(client.pull(&pull_from("T", 0)).code, response::TOPIC_NOT_EXIST);
    eventually("the message comes", || queue_end(&mut client, "T", 0) == 1);
    assert_eq!(read_all(&mut client, "T")[0].text(), "x");
    eventually("the log says so", || cluster.broker.log().contains("topic T is gone"));
}

#[test]
fn a_delayed_message_whose_queue_is_gone_comes_to_another_of_its_topic() {
    let cluster = Cluster::start(1, &["messageDelayLevel=3s"]);
    let mut client = cluster.client(0);
    let header = SendHeader { properties: "DELAY\u{1}1", queue_id: 3, ..message("T") };
    assert_eq!(client.send_message(&header, b"x").code, 0);
    let smaller = [
        ("topic", "T"),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", "1"),
        ("writeQueueNums", "1"),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
    ];
    assert_eq!(client.call(request::UPDATE_AND_CREATE_TOPIC, &smaller).code, 0);
    eventually("the message comes", || queue_end(&mut client, "T", 0) == 1);
    assert_eq!(read_all(&mut client, "T")[0].properties["REAL_QID"], "3");
}

#[test]
fn levels_that_are_taken_away_leave_no_message_behind() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1h 1h 1h"]);
    put_delayed(&mut cluster.client(0), "T", 3, "x");
    assert_eq!(cluster.broker.stop(), Some(0));
    cluster.restart_broker_with(&["messageDelayLevel=1s"]);
    let mut client = cluster.client(0);
    eventually("the message comes", || queue_end(&mut client, "T", 0) == 1);
    assert_eq!(cluster.broker.stop(), Some(0));
    assert_eq!(saved_offsets(&cluster), [(3, 1)].into());
}

#[test]
fn a_file_that_is_ahead_of_its_queue_hides_no_message() {
    let mut cluster = Cluster::start(1, &["messageDelayLevel=1s"]);
    assert_eq!(cluster.broker.stop(), Some(0));
    let file = cluster.store().join("config/delayOffset.json");
    std::fs::write(
        &file,
        r#"{"dataVersion":{"counter":1,"stateVersion":0,"timestamp":1},"offsetTable":{1:7,40:3}}"#,
    )
    .unwrap();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    put_delayed(&mut client, "T", 1, "x");
    eventually("the message comes", || queue_end(&mut client, "T", 0) == 1);
    assert!(cluster.broker.log().contains("it goes on at 0"), "{}", cluster.broker.log());
    assert_eq!(cluster.broker.stop(), Some(0));
    assert_eq!(saved_offsets(&cluster), [(1, 1), (40, 3)].into(), "what has no queue stays");
}

#[test]
fn a_batch_is_not_delayed_and_says_so() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let header = SendHeader { properties: "DELAY\u{1}1", batch: true, ..message("T") };
    let reply = client.send_message(&header, b"whatever");
    assert_eq!(reply.code, response::MESSAGE_ILLEGAL);
    assert!(reply.remark.contains("delayed"), "{reply:?}");
}

#[test]
fn delayed_messages_wait_for_room_as_others_do() {
    const SENDS: usize = 60;
    let cluster = Cluster::start(
        1,
        &["messageDelayLevel=1s", "tailCacheBytes=8388608", "waitTimeMillsInSendQueue=20000"],
    );
    let mut client = cluster.client(0);
    client.put("T", "", "makes the topic");
    let body = vec![b'x'; 1 << 20];
    let header = SendHeader { properties: "DELAY\u{1}1", ..message("T") };
    let send = |client: &mut Client| {
        client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), &body)
    };
    let sends: Vec<i32> = (0..SENDS).map(|_| send(&mut client)).collect();
    let is_stored = |opaque| {
        let reply = client.answer_to(opaque);
        assert!([0, response::SYSTEM_BUSY].contains(&reply.code), "{reply:?}");
        reply.code == 0
    };
    let stored = sends.into_iter().map(is_stored).filter(|is_stored| *is_stored).count();
    assert!(stored > 8, "{stored} of {SENDS}: more than the tail holds");
    let end = i64::try_from(stored).unwrap() + 1;
    eventually("every copy is there", || queue_end(&mut client, "T", 0) == end);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(queue_end(&mut client, "T", 0), end, "and none twice");
}
