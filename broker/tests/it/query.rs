//! Messages are found by key, by unique key, by tag, by time; what is not there is QUERY_NOT_FOUND.

use crate::client::{Client, Frame, message};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::SendHeader;

fn put(client: &mut Client, topic: &str, keys: &str, nth: usize) {
    let properties =
        format!("KEYS\u{1}{keys}\u{2}UNIQ_KEY\u{1}UNIQ{nth}\u{2}TAGS\u{1}tag{}", nth % 2);
    let reply = client.send_message(
        &SendHeader { properties: &properties, ..message(topic) },
        format!("body {nth}").as_bytes(),
    );
    assert_eq!(reply.code, 0, "{reply:?}");
}

fn query(client: &mut Client, key: &str, max: &str, more: &[(&str, &str)]) -> Frame {
    let end = i64::MAX.to_string();
    let ext = [
        ("topic", "T"),
        ("key", key),
        ("maxNum", max),
        ("beginTimestamp", "0"),
        ("endTimestamp", end.as_str()),
    ];
    let ext: Vec<(&str, &str)> = ext
        .into_iter()
        .filter(|(name, _)| more.iter().all(|(other, _)| other != name))
        .chain(more.iter().copied())
        .collect();
    client.call(request::QUERY_MESSAGE, &ext)
}

fn bodies(frame: &Frame) -> Vec<String> {
    assert_eq!((frame.code, frame.remark.as_str()), (response::SUCCESS, ""), "{frame:?}");
    frame.messages().iter().map(|message| message.text().to_owned()).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|nth| format!("body {nth}")).collect()
}

fn check(client: &mut Client) {
    let found = query(client, "often", "1000", &[]);
    assert_eq!(bodies(&found), numbered(36..100), "the newest 64, in the log's order");
    let last = found.messages().last().unwrap().physical_offset;
    assert_eq!(found.number("indexLastUpdatePhyoffset"), last);
    assert!(found.number("indexLastUpdateTimestamp") > 1_600_000_000_000);
    assert_eq!(bodies(&query(client, "often", "3", &[])), numbered(97..100));
    assert_eq!(bodies(&query(client, "k7", "64", &[])), ["body 7"]);
    let unique = [("_UNIQUE_KEY_QUERY", "true")];
    assert_eq!(
        bodies(&query(client, "UNIQ9", "0", &unique)),
        ["body 9"],
        "maxNum is not looked at"
    );
    assert_eq!(
        bodies(&query(client, "often", "0", &unique)),
        numbered(68..100),
        "defaultQueryMaxNum"
    );
    assert_eq!(bodies(&query(client, "tag1", "2", &[("indexType", "T")])), ["body 97", "body 99"]);
}

#[test]
fn messages_are_found_by_key_unique_key_and_tag_also_after_a_restart() {
    let mut cluster = Cluster::start(
        1,
        &[
            "maxHashSlotNum=50",
            "maxIndexNum=90",
            "mappedFileSizeCommitLog=131072",
            "maxMessageSize=4096",
        ],
    );
    let mut client = cluster.client(0);
    for nth in 0..100 {
        put(&mut client, "T", &format!("k{nth} often"), nth);
    }
    check(&mut client);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    cluster.restart_broker();
    check(&mut cluster.client(0));
    let files = std::fs::read_dir(cluster.store().join("index")).unwrap();
    assert!(files.count() > 3, "files of 90 keys roll");
}

#[test]
fn what_is_not_there_or_cannot_be_asked_is_told_as_rocketmq_tells_it() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "Aa", 1);
    for (key, more) in [
        ("nobody's", [("topic", "T")]),
        ("BB", [("topic", "T")]),
        ("Aa", [("topic", "other")]),
        ("Aa", [("endTimestamp", "5")]),
        ("Aa", [("indexType", "T")]),
    ] {
        let found = query(&mut client, key, "64", &more);
        let expected =
            (response::QUERY_NOT_FOUND, "can not find message, maybe time range not correct", "0");
        assert_eq!(
            (found.code, found.remark.as_str(), found.field("indexLastUpdatePhyoffset")),
            expected,
            "{key} {more:?}"
        );
    }
    assert_eq!(query(&mut client, "Aa", "-1", &[]).code, response::SYSTEM_ERROR);
    assert_eq!(query(&mut client, "Aa", "many", &[]).code, response::SYSTEM_ERROR);
    assert_eq!(client.call(request::QUERY_MESSAGE, &[("topic", "T")]).code, response::SYSTEM_ERROR);
    assert_eq!(bodies(&query(&mut client, "Aa", "1", &[])), ["body 1"]);
}

#[test]
fn without_the_index_nothing_is_found_and_no_file_is_made() {
    let cluster = Cluster::start(1, &["messageIndexEnable=false"]);
    let mut client = cluster.client(0);
    put(&mut client, "T", "k", 1);
    assert_eq!(query(&mut client, "k", "1", &[]).code, response::QUERY_NOT_FOUND);
    assert!(!cluster.store().join("index").exists());
}
