//! Messages: dead letters, ids of a batch, long polls, what properties may hold.

use super::stop;
use crate::client::{Client, Stored, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use crate::retry::{property, pulled, send_back};
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::ids::OffsetMsgId;
use std::time::Duration;

fn dead_letters(client: &mut Client) -> Vec<Stored> {
    client.pull(&pull_from("%DLQ%g", 0)).messages()
}

#[test]
fn a_message_sent_back_too_often_is_a_dead_letter() {
    let cluster = Cluster::start(1, &["flushDiskType=SYNC_FLUSH"]);
    let mut client = cluster.client(0);
    let first = pulled(&mut client, "given up");
    let second = pulled(&mut client, "over its maximum");
    let reply = send_back(&mut client, first.physical_offset, "-1", &[]);
    assert_eq!((reply.code, reply.remark.as_str()), (0, ""), "{reply:?}");
    let own_maximum = [("maxReconsumeTimes", "0"), ("originTopic", "T"), ("unitMode", "false")];
    assert_eq!(send_back(&mut client, second.physical_offset, "0", &own_maximum).code, 0);
    let letters = dead_letters(&mut client);
    assert_eq!(letters.iter().map(Stored::text).collect::<Vec<_>>(), [first.text(), second.text()]);
    let host = cluster.shard_addr(0);
    for (letter, original) in letters.iter().zip([&first, &second]) {
        let id = OffsetMsgId { store_host: host, physical_offset: original.physical_offset };
        let mut id_text = String::new();
        id.write(&mut id_text);
        assert_eq!((letter.reconsume_times, letter.flag), (1, original.flag));
        for (name, expected) in [
            ("RETRY_TOPIC", "T"),
            ("ORIGIN_MESSAGE_ID", id_text.as_str()),
            ("WAIT", "false"),
            ("DELAY", "0"),
            ("TAGS", "tag"),
        ] {
            assert_eq!(property(letter, name), Some(expected), "{name} in {letter:?}");
        }
    }
    // A dead letter that is sent back keeps where it first was.
    assert_eq!(send_back(&mut client, letters[0].physical_offset, "-1", &[]).code, 0);
    let third = dead_letters(&mut client).remove(2);
    assert_eq!((third.reconsume_times, property(&third, "RETRY_TOPIC")), (2, Some("T")));
    assert_eq!(property(&third, "ORIGIN_MESSAGE_ID"), property(&letters[0], "ORIGIN_MESSAGE_ID"));
}

#[test]
fn a_message_sent_back_that_is_not_there_or_not_a_groups_is_refused() {
    let cluster = Cluster::start(1, &["autoCreateSubscriptionGroup=false"]);
    let mut client = cluster.client(0);
    let stored = client.put("T", "", "x");
    let id = OffsetMsgId::parse(stored.field("msgId")).unwrap().physical_offset.to_string();
    let ext = |group| [("offset", id.as_str()), ("group", group), ("delayLevel", "-1")];
    let unknown = client.call(request::CONSUMER_SEND_MSG_BACK, &ext("unknown"));
    assert_eq!(unknown.code, response::SUBSCRIPTION_GROUP_NOT_EXIST, "{unknown:?}");
    let mut nowhere = ext("TOOLS_CONSUMER");
    for offset in ["1", "999999", "-1", "9223372036854775807"] {
        nowhere[0].1 = offset;
        let reply = client.call(request::CONSUMER_SEND_MSG_BACK, &nowhere);
        assert_eq!(reply.code, response::SYSTEM_ERROR, "{offset}: {reply:?}");
        assert!(reply.remark.starts_with("look message by offset failed"), "{reply:?}");
    }
    let ext = ext("TOOLS_CONSUMER");
    for missing in 0..ext.len() {
        let mut ext = ext.to_vec();
        let (name, _) = ext.remove(missing);
        let reply = client.call(request::CONSUMER_SEND_MSG_BACK, &ext);
        assert_ne!(reply.code, 0, "without {name}");
    }
}

#[test]
fn an_orderly_consumers_message_over_its_maximum_is_a_dead_letter() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    client.pull(&pull_from("T", 0)); // makes the group
    let retry = SendHeader {
        properties: "DELAY\u{1}6\u{2}RETRY_TOPIC\u{1}T\u{2}TAGS\u{1}tag",
        reconsume_times: 3,
        max_reconsume_times: Some(2),
        ..message("%RETRY%g")
    };
    let reply = client.send_message(&retry, b"three times");
    assert_eq!(reply.code, 0, "refused, it blocks its queue for ever: {reply:?}");
    assert_eq!(reply.number("queueId"), 0);
    let letter = dead_letters(&mut client).remove(0);
    assert_eq!((letter.text(), letter.reconsume_times), ("three times", 3));
    assert_eq!(property(&letter, "DELAY"), Some("-1"));
    assert_eq!(property(&letter, "RETRY_TOPIC"), Some("T"));
}

#[test]
fn a_group_that_holds_locks_sends_dead_letters_whatever_their_count() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "x");
    client.pull(&pull_from("T", 0)); // makes the group
    let lock = r#"{"clientId":"c","consumerGroup":"g","onlyThisBroker":false,
        "mqSet":[{"brokerName":"broker-a","queueId":0,"topic":"T"}]}"#;
    assert_eq!(client.call_with(request::LOCK_BATCH_MQ, &[], lock.as_bytes()).code, 0);
    let retry = SendHeader {
        properties: "DELAY\u{1}4",
        reconsume_times: 1,
        max_reconsume_times: Some(16),
        ..message("%RETRY%g")
    };
    assert_eq!(client.send_message(&retry, b"once").code, 0);
    assert_eq!(dead_letters(&mut client)[0].text(), "once");
}

#[test]
fn every_id_of_a_batch_finds_its_message_also_with_a_checksum_in_the_properties() {
    let cluster = Cluster::start(1, &["enabledAppendPropCRC=true"]);
    let mut client = cluster.client(0);
    let mut batch = Vec::new();
    for text in ["first", "second", "third"] {
        let entry = protocol::batch::BatchEntry {
            flag: 0,
            body: text.as_bytes(),
            properties: b"TAGS\x01b",
        };
        protocol::batch::write(&mut batch, &entry).unwrap();
    }
    let header = SendHeader { batch: true, ..message("T") };
    let sent = client.send(request::SEND_BATCH_MESSAGE, 0, |w| header.write_v2(w), &batch);
    let reply = client.answer_to(sent);
    let ids: Vec<_> = reply.field("msgId").split(',').collect();
    assert_eq!(ids.len(), 3, "{reply:?}");
    for (id, text) in ids.into_iter().zip(["first", "second", "third"]) {
        let offset = OffsetMsgId::parse(id).unwrap().physical_offset.to_string();
        let found =
            client.call(request::VIEW_MESSAGE_BY_ID, &[("offset", &offset), ("topic", "T")]);
        assert_eq!(found.code, 0, "{text}: {found:?}");
        assert_eq!(found.messages()[0].text(), text);
    }
}

#[test]
fn a_long_poll_whose_tags_do_not_match_moves_on_before_its_deadline() {
    let cluster = Cluster::start(1, &[]);
    let (mut consumer, mut producer) = (cluster.client(0), cluster.client(0));
    producer.put("T", "other", "0");
    // Apache looks again every 5 s; the deadline is far behind the limit of the test's patience.
    let poll =
        PullHeader { subscription: Some("wanted"), ..long_pull_from("T", 1, 10 * 60 * 1000) };
    let asked = consumer.start_pull(&poll);
    for nth in 1..=3 {
        producer.put("T", "other", &nth.to_string());
    }
    let answer = consumer.answer_to(asked);
    assert_eq!(answer.code, response::PULL_RETRY_IMMEDIATELY, "{answer:?}");
    assert_eq!(answer.number("nextBeginOffset"), 4);
    let poll = PullHeader { queue_offset: 4, ..poll };
    let asked = consumer.start_pull(&poll);
    assert!(consumer.receive_within(Duration::from_millis(300)).is_none(), "nothing to move over");
    producer.put("T", "wanted", "4");
    assert_eq!(consumer.answer_to(asked).messages()[0].text(), "4");
}

#[test]
fn a_zero_byte_in_properties_is_stored() {
    for stop_in_order in [true, false] {
        let mut cluster = Cluster::start(1, &["flushDiskType=SYNC_FLUSH"]);
        let mut client = cluster.client(0);
        let header = SendHeader { properties: "a\u{1}b\u{0}c", ..message("T") };
        let reply = client.send_message(&header, b"with a zero");
        assert_eq!(reply.code, 0, "{reply:?}");
        client.put("T", "", "behind it");
        if stop_in_order {
            stop(&mut cluster);
        } else {
            cluster.broker.kill();
        }
        cluster.restart_broker();
        let found = cluster.client(0).pull(&pull_from("T", 0)).messages();
        let texts: Vec<_> = found.iter().map(Stored::text).collect();
        assert_eq!(texts, ["with a zero", "behind it"], "stopped in order: {stop_in_order}");
        assert_eq!(property(&found[0], "a"), Some("b\u{0}c"));
    }
}
