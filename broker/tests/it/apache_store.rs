//! A store that Apache RocketMQ 5.5.0 wrote is opened in place: every message by queue, by id, by
//! key and by unique key, groups at their offsets, and what RingMQ has no use for stays as it was.
//! The store is a fixture; its README says how it was made.

use crate::client::{Client, Frame, Stored, message, pull_from};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::ids::OffsetMsgId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The facts of the fixture's store.
const SETTINGS: [&str; 6] = [
    "mappedFileSizeCommitLog=81920",
    "maxMessageSize=4096",
    "mappedFileSizeConsumeQueue=400",
    "maxHashSlotNum=200",
    "maxIndexNum=300",
    "fileReservedTime=100000",
];

/// A message as Apache's client knew it.
struct Sent {
    topic: String,
    queue: String,
    offset: i64,
    id: OffsetMsgId,
    unique_key: String,
    key: String,
    body: String,
}

struct Expected {
    messages: Vec<Sent>,
    /// Group, topic, queue, offset.
    offsets: Vec<(String, String, String, i64)>,
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/apache-store")
}

fn expected() -> Expected {
    let text = std::fs::read_to_string(fixture().join("expected.txt")).unwrap();
    let (mut messages, mut offsets) = (vec![], vec![]);
    for line in text.lines() {
        let fields: Vec<&str> = line.splitn(9, ' ').collect();
        let text = |nth: usize| fields[nth].to_owned();
        match fields[0] {
            "message" => {
                let mut body = text(8);
                let length: usize = fields[7].parse().unwrap();
                body.extend(std::iter::repeat_n('x', length - body.len()));
                let (offset, id) =
                    (fields[3].parse().unwrap(), OffsetMsgId::parse(fields[4]).unwrap());
                messages.push(Sent {
                    topic: text(1),
                    queue: text(2),
                    offset,
                    id,
                    unique_key: text(5),
                    key: text(6),
                    body,
                });
            }
            _ => offsets.push((text(1), text(2), text(3), fields[4].parse().unwrap())),
        }
    }
    assert!(
        messages.len() > 200 && offsets.len() > 10,
        "{} messages, {} offsets",
        messages.len(),
        offsets.len()
    );
    Expected { messages, offsets }
}

/// A broker on a copy of the fixture.
fn open() -> Cluster {
    let mut cluster = Cluster::start(1, &SETTINGS);
    stop(&mut cluster);
    std::fs::remove_dir_all(cluster.store()).unwrap();
    std::fs::create_dir(cluster.store()).unwrap();
    // -m: files are as old as the copy, or retention would find them expired.
    let unpacked = Command::new("tar")
        .arg("-xzmf")
        .arg(fixture().join("store.tar.gz"))
        .arg("-C")
        .arg(cluster.store())
        .status();
    assert!(unpacked.unwrap().success());
    cluster.restart_broker();
    cluster
}

fn stop(cluster: &mut Cluster) {
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0), "{}", cluster.broker.log());
}

fn query(client: &mut Client, topic: &str, key: &str, more: &[(&str, &str)]) -> Vec<Stored> {
    let end = i64::MAX.to_string();
    let ext = [
        ("topic", topic),
        ("key", key),
        ("maxNum", "32"),
        ("beginTimestamp", "0"),
        ("endTimestamp", end.as_str()),
    ];
    let found: Frame = client.call(request::QUERY_MESSAGE, &[&ext, more].concat());
    if found.code == response::QUERY_NOT_FOUND { vec![] } else { found.messages() }
}

fn read_queue(client: &mut Client, topic: &str, queue: &str) -> Vec<Stored> {
    let mut all: Vec<Stored> = vec![];
    loop {
        let from = i64::try_from(all.len()).unwrap();
        let found =
            client.pull(&PullHeader { queue_id: queue.parse().unwrap(), ..pull_from(topic, from) });
        if found.code != response::SUCCESS {
            assert_eq!(found.code, response::PULL_NOT_FOUND, "{found:?}");
            assert_eq!(found.number("maxOffset"), from);
            return all;
        }
        all.extend(found.messages());
    }
}

fn check(client: &mut Client, expected: &Expected) {
    let queues: BTreeSet<(&str, &str)> =
        expected.messages.iter().map(|sent| (sent.topic.as_str(), sent.queue.as_str())).collect();
    let stored: BTreeMap<(&str, &str), Vec<Stored>> = queues
        .into_iter()
        .map(|(topic, queue)| ((topic, queue), read_queue(client, topic, queue)))
        .collect();
    for sent in &expected.messages {
        let in_queue = &stored[&(sent.topic.as_str(), sent.queue.as_str())]
            [usize::try_from(sent.offset).unwrap()];
        assert_eq!((in_queue.text(), in_queue.queue_offset), (sent.body.as_str(), sent.offset));
        let place = sent.id.physical_offset.to_string();
        let viewed = client.call(request::VIEW_MESSAGE_BY_ID, &[("offset", &place)]);
        assert_eq!((viewed.code, &Stored::parse(&viewed.body)), (0, in_queue), "by id");
        assert_eq!(
            query(client, &sent.topic, &sent.key, &[]),
            std::slice::from_ref(in_queue),
            "by key {}",
            sent.key
        );
        let unique = query(client, &sent.topic, &sent.unique_key, &[("_UNIQUE_KEY_QUERY", "true")]);
        assert_eq!(unique, std::slice::from_ref(in_queue), "by unique key {}", sent.unique_key);
    }
    let committed = query(client, "T_fixture_b", "txCOMMIT_MESSAGE", &[]);
    assert_eq!(committed.iter().map(Stored::text).collect::<Vec<_>>(), ["COMMIT_MESSAGE"]);
    assert_eq!(read_queue(client, "%RETRY%G_fixture_retry", "0").len(), 1);
    for (group, topic, queue, offset) in &expected.offsets {
        let ext = [
            ("consumerGroup", group.as_str()),
            ("topic", topic),
            ("queueId", queue),
            ("setZeroIfNotFound", "false"),
        ];
        let found = client.call(request::QUERY_CONSUMER_OFFSET, &ext);
        assert_eq!((found.code, found.number("offset")), (0, *offset), "{ext:?}");
    }
}

/// Every file below some folders of the store, by its path.
fn files(store: &Path, folders: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| store.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_store_of_apaches_is_opened_in_place_and_goes_on() {
    let (mut cluster, expected) = (open(), expected());
    let strange = [
        "rocksdbstore",
        "compaction",
        "config/delayOffset.json",
        "config/consumerFilter.json",
        "config/transactionMetrics",
        "abort.bak",
    ];
    let (store, index) = (cluster.store(), files(&cluster.store(), &["index"]));
    let before = files(&store, &strange);
    assert!(before.len() > 5 && index.len() > 1);
    check(&mut cluster.client(0), &expected);

    let mut client = cluster.client(0);
    let next = expected
        .messages
        .iter()
        .filter(|sent| sent.topic == "T_fixture" && sent.queue == "0")
        .map(|sent| sent.offset + 1)
        .max()
        .unwrap();
    // The first message of all, which created the topic, is in some queue too.
    let next = next.max(i64::try_from(read_queue(&mut client, "T_fixture", "0").len()).unwrap());
    let sent = client.send_message(
        &SendHeader { properties: "KEYS\u{1}ours\u{2}UNIQ_KEY\u{1}OURS", ..message("T_fixture") },
        b"ours",
    );
    assert_eq!((sent.code, sent.number("queueOffset")), (0, next), "the queue goes on");
    assert_eq!(query(&mut client, "T_fixture", "ours", &[]).len(), 1);
    stop(&mut cluster);
    assert_eq!(files(&store, &strange), before, "what RingMQ has no use for stays as it was");
    let full = index
        .iter()
        .rev()
        .skip(1)
        .filter(|(path, bytes)| std::fs::read(path).unwrap() == **bytes)
        .count();
    assert_eq!(full, index.len() - 1, "Apache's full index files are taken over");
    cluster.restart_broker();
    check(&mut cluster.client(0), &expected);
}

#[test]
fn without_apaches_derived_files_every_answer_is_the_same() {
    let (mut cluster, expected) = (open(), expected());
    stop(&mut cluster);
    for folder in ["index", "consumequeue"] {
        std::fs::remove_dir_all(cluster.store().join(folder)).unwrap();
    }
    cluster.restart_broker();
    check(&mut cluster.client(0), &expected);
}

#[test]
fn a_store_of_apaches_that_was_killed_is_opened_with_every_message() {
    let (mut cluster, expected) = (open(), expected());
    stop(&mut cluster);
    // What SIGKILL leaves: the abort file, and no manifest, because it was never RingMQ's.
    std::fs::remove_file(cluster.store().join("consumequeue.manifest")).unwrap();
    std::fs::write(cluster.store().join("abort"), "4711").unwrap();
    cluster.restart_broker();
    check(&mut cluster.client(0), &expected);
}

#[test]
fn what_apaches_files_forbid_is_kept_when_groups_are_saved() {
    let mut cluster = open();
    stop(&mut cluster);
    let path = cluster.store().join("config/subscriptionGroup.json");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("\"forbiddenTable\":{}", "\"forbiddenTable\":{\"G_fixture\":{\"T_fixture\":3}}");
    assert!(text.contains("T_fixture"));
    std::fs::write(&path, text).unwrap();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    client.pull(&PullHeader { consumer_group: "new_group", ..pull_from("T_fixture", 0) });
    let compact = || std::fs::read_to_string(&path).unwrap().split_whitespace().collect::<String>();
    crate::cluster::eventually("the new group is saved", || compact().contains("new_group"));
    assert!(
        compact().contains(r#""forbiddenTable":{"G_fixture":{"T_fixture":3}}"#),
        "{}",
        compact()
    );
}
