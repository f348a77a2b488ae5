//! When a send is answered, and what consumers see until then.

use crate::client::{Client, Frame, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use crate::mount::Mount;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;
use std::time::Duration;

/// Starts a send with these properties.
fn start_send(client: &mut Client, properties: &str, text: &str) -> i32 {
    let header = SendHeader { properties, ..message("T") };
    client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), text.as_bytes())
}

fn texts(frame: &Frame) -> Vec<String> {
    frame.messages().iter().map(|message| message.text().to_owned()).collect()
}

#[test]
fn every_policy_serves_sends_batches_and_pulls_and_keeps_them_over_a_kill() {
    for settings in [
        ["flushDiskType=SYNC_FLUSH", "logBackend=direct"],
        ["flushDiskType=SYNC_FLUSH", "logBackend=mmap"],
        ["flushDiskType=ASYNC_FLUSH", "logBackend=mmap"],
        ["flushDiskType=ASYNC_FLUSH", "logBackend=direct"],
    ] {
        let mut cluster = Cluster::start(1, &settings);
        let mut client = cluster.client(0);
        for nth in 0..50 {
            assert_eq!(
                client.put("T", "", &nth.to_string()).number("queueOffset"),
                nth,
                "{settings:?}"
            );
        }
        let sends: Vec<i32> =
            (50..90).map(|nth: i32| start_send(&mut client, "", &nth.to_string())).collect();
        let answers: Vec<Frame> =
            sends.into_iter().map(|opaque| client.answer_to(opaque)).collect();
        assert!(
            answers.iter().all(|answer| answer.code == 0 && answer.field("msgId").len() == 32),
            "{settings:?}"
        );
        cluster.broker.signal("KILL");
        cluster.broker.wait();
        cluster.restart_broker();
        let mut client = cluster.client(0);
        let mut read = Vec::new();
        while read.len() < 90 {
            let offset = i64::try_from(read.len()).unwrap();
            let found = texts(&client.pull(&pull_from("T", offset)));
            assert!(!found.is_empty(), "{settings:?}: {} of 90 are there", read.len());
            read.extend(found);
        }
        let expected: Vec<String> = (0..90).map(|nth: i32| nth.to_string()).collect();
        assert_eq!(read, expected, "{settings:?}");
        assert!(
            cluster.broker.said().contains(settings[0].trim_start_matches("flushDiskType=")),
            "{}",
            cluster.broker.said()
        );
    }
}

#[test]
fn while_the_disk_stalls_nothing_is_acknowledged_or_seen_and_then_everything_is() {
    let Some(disk) = Mount::new(96) else { return };
    let store = format!("storePathRootDir={}", disk.path().join("store").display());
    let settings = [
        "flushDiskType=SYNC_FLUSH",
        "syncFlushTimeout=400",
        "mappedFileSizeCommitLog=8388608",
        store.as_str(),
    ];
    let cluster = Cluster::start(1, &settings);
    let (mut producer, mut consumer) = (cluster.client(0), cluster.client(0));
    producer.put("T", "", "before");
    let held = consumer.start_pull(&long_pull_from("T", 1, 20_000));
    disk.freeze();
    let waits = start_send(&mut producer, "", "waits");
    let does_not_wait = start_send(&mut producer, "WAIT\u{1}false", "does not wait");
    let at_once = producer.answer_to(does_not_wait);
    assert_eq!(
        (at_once.code, at_once.number("queueOffset")),
        (0, 2),
        "WAIT=false is answered from memory"
    );
    let late = producer.answer_to(waits);
    assert_eq!(
        (late.code, late.number("queueOffset")),
        (response::FLUSH_DISK_TIMEOUT, 1),
        "stored, not known to be durable: {late:?}"
    );
    assert!(!late.field("msgId").is_empty(), "the answer says where it is");
    assert!(
        consumer.receive_within(Duration::from_millis(200)).is_none(),
        "nobody sees what a power cut would take back"
    );
    assert_eq!(
        producer
            .call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")])
            .number("offset"),
        1
    );
    disk.thaw();
    let mut seen = texts(&consumer.answer_to(held));
    if seen.len() < 2 {
        seen.extend(texts(&consumer.pull(&long_pull_from("T", 2, 20_000))));
    }
    assert_eq!(seen, ["waits", "does not wait"]);
    producer.put("T", "", "after");
}
