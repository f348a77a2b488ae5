//! What is sent is what is pulled, at once or after a wait.

use crate::client::{Client, Stored, long_pull_from, message, pull_from};
use crate::cluster::Cluster;
use protocol::codes::{request, response};
use protocol::headers::{PullHeader, SendHeader};
use protocol::ids::OffsetMsgId;
use protocol::remoting::SerializeType;
use std::time::{Duration, Instant};

#[test]
fn a_message_is_stored_as_sent_with_the_brokers_properties() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let sent = SendHeader {
        flag: 7,
        properties: "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}0AC\u{2}CLUSTER\u{1}old\u{2}TAGS\u{1}a",
        ..message("T")
    };
    let reply = client.send_message(&sent, b"hello");
    assert_eq!((reply.code, reply.version), (0, 513));
    assert_eq!(
        (reply.field("MSG_REGION"), reply.field("TRACE_ON"), reply.field("transactionId")),
        ("DefaultRegion", "true", "0AC")
    );
    assert_eq!((reply.number("queueId"), reply.number("queueOffset")), (0, 0));
    let id = OffsetMsgId::parse(reply.field("msgId")).unwrap();
    assert_eq!((id.store_host, id.physical_offset), (cluster.shard_addr(0), 0));

    let pulled = client.pull(&pull_from("T", 0));
    assert_eq!((pulled.code, pulled.remark.as_str()), (response::SUCCESS, "FOUND"));
    let offsets = ["nextBeginOffset", "minOffset", "maxOffset", "suggestWhichBrokerId"]
        .map(|name| pulled.number(name));
    assert_eq!(offsets, [1, 0, 1, 0]);
    let messages = pulled.messages();
    let properties: Vec<_> = messages[0]
        .properties
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("CLUSTER", "DefaultCluster"),
        ("KEYS", "k"),
        ("MSG_REGION", "DefaultRegion"),
        ("TAGS", "a"),
        ("TRACE_ON", "true"),
        ("UNIQ_KEY", "0AC"),
    ];
    assert_eq!(properties, expected);
    assert_eq!(
        (messages[0].text(), messages[0].flag, messages[0].queue_offset, messages.len()),
        ("hello", 7, 0, 1)
    );

    let viewed = client.call(request::VIEW_MESSAGE_BY_ID, &[("offset", "0")]);
    assert_eq!((viewed.code, Stored::parse(&viewed.body)), (0, messages[0].clone()));
    assert_eq!(
        client.call(request::VIEW_MESSAGE_BY_ID, &[("offset", "1")]).code,
        response::SYSTEM_ERROR
    );
}

#[test]
fn every_form_of_send_ends_in_the_same_queue_in_order() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "v2");
    let v1 = client.send(request::SEND_MESSAGE, 0, |w| message("T").write_v1(w), b"v1");
    assert_eq!(client.answer_to(v1).code, 0);
    client.oneway(request::SEND_MESSAGE_V2, |w| message("T").write_v2(w), b"one-way");
    let mut batch = Vec::new();
    for text in ["batch 0", "batch 1"] {
        let entry = protocol::batch::BatchEntry {
            flag: 3,
            body: text.as_bytes(),
            properties: b"TAGS\x01b",
        };
        protocol::batch::write(&mut batch, &entry).unwrap();
    }
    let header = SendHeader { batch: true, ..message("T") };
    let sent = client.send(request::SEND_BATCH_MESSAGE, 0, |w| header.write_v2(w), &batch);
    let reply = client.answer_to(sent);
    let ids: Vec<_> = reply
        .field("msgId")
        .split(',')
        .map(|id| OffsetMsgId::parse(id).unwrap().physical_offset)
        .collect();
    assert_eq!((reply.code, reply.number("queueOffset")), (0, 3));
    client.serialize = SerializeType::RocketMq;
    client.put("T", "", "binary header");

    let messages = client.pull(&pull_from("T", 0)).messages();
    let texts: Vec<_> = messages.iter().map(Stored::text).collect();
    assert_eq!(texts, ["v2", "v1", "one-way", "batch 0", "batch 1", "binary header"]);
    assert!(
        messages
            .iter()
            .enumerate()
            .all(|(index, message)| message.queue_offset == i64::try_from(index).unwrap())
    );
    assert_eq!(ids, [messages[3].physical_offset, messages[4].physical_offset]);
    assert_eq!(
        messages[4].properties.iter().collect::<Vec<_>>(),
        [(&"TAGS".to_owned(), &"b".to_owned())],
        "as sent, as Apache 5.5.0 keeps it"
    );
    assert_eq!(messages[2].properties["UNIQ_KEY"].len(), 32, "one was made for it");
    assert!(client.others.is_empty(), "a one-way send is not answered");
}

#[test]
fn a_held_pull_is_answered_as_soon_as_a_message_it_wants_arrives() {
    let cluster = Cluster::start(1, &[]);
    let (mut consumer, mut producer) = (cluster.client(0), cluster.client(0));
    producer.put("T", "a", "first");
    let wants_b = PullHeader { subscription: Some("b || c"), ..long_pull_from("T", 1, 20_000) };
    let held = consumer.start_pull(&wants_b);
    std::thread::sleep(Duration::from_millis(100));
    producer.put("T", "a", "not wanted");
    assert!(consumer.receive_within(Duration::from_millis(300)).is_none(), "it waits on");
    producer.put("T", "c", "wanted");
    let since = Instant::now();
    let reply = consumer.answer_to(held);
    assert!(since.elapsed() < Duration::from_secs(5), "not by its deadline");
    let texts: Vec<_> = reply.messages().iter().map(|message| message.text().to_owned()).collect();
    assert_eq!((texts, reply.number("nextBeginOffset")), (vec!["wanted".to_owned()], 3));
}

#[test]
fn a_held_pull_without_messages_ends_in_time_with_its_offsets() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "one");
    let since = Instant::now();
    let reply = client.pull(&long_pull_from("T", 1, 400));
    assert!((400..5_000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
    assert_eq!(
        (reply.code, reply.remark.as_str()),
        (response::PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE")
    );
    assert_eq!(
        [reply.number("nextBeginOffset"), reply.number("minOffset"), reply.number("maxOffset")],
        [1, 0, 1]
    );
}

#[test]
fn offsets_outside_the_queue_are_moved() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "one");
    for (offset, code, next) in [
        (9, response::PULL_OFFSET_MOVED, 1),
        (-5, response::PULL_OFFSET_MOVED, 0),
        (1, response::PULL_NOT_FOUND, 1),
    ] {
        let reply = client.pull(&pull_from("T", offset));
        assert_eq!((reply.code, reply.number("nextBeginOffset")), (code, next), "offset {offset}");
    }
    let unmatched = client.pull(&PullHeader { subscription: Some("nothing"), ..pull_from("T", 0) });
    assert_eq!(
        (unmatched.code, unmatched.number("nextBeginOffset")),
        (response::PULL_RETRY_IMMEDIATELY, 1)
    );
    let empty = client.pull(&PullHeader { queue_id: 1, ..pull_from("T", 0) });
    assert_eq!(empty.code, response::PULL_NOT_FOUND);
}

#[test]
fn pipelined_sends_are_answered_each_and_kept_in_order() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    let sent: Vec<i32> = (0..500)
        .map(|n: u32| {
            client.send(
                request::SEND_MESSAGE_V2,
                0,
                |w| message("T").write_v2(w),
                n.to_string().as_bytes(),
            )
        })
        .collect();
    for (index, opaque) in sent.iter().enumerate() {
        let reply = client.answer_to(*opaque);
        assert_eq!((reply.code, reply.number("queueOffset")), (0, i64::try_from(index).unwrap()));
    }
    assert_eq!(
        pull_all(&mut client, "T"),
        (0..500).map(|n: u32| n.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn more_than_the_device_takes_waits_or_is_refused_and_memory_stays_bounded() {
    let cluster = Cluster::start(1, &["waitTimeMillsInSendQueue=10000", "tailCacheBytes=8388608"]);
    let (mut sender, mut reader) = (cluster.client(0), cluster.client(0));
    let body = |n: usize| [format!("{n:06}").as_bytes(), &vec![b'x'; 1 << 20]].concat();
    let sent: Vec<i32> = (0..300)
        .map(|n| sender.send(request::SEND_MESSAGE_V2, 0, |w| message("T").write_v2(w), &body(n)))
        .collect();
    let answers: Vec<_> = sent.into_iter().map(|opaque| sender.answer_to(opaque)).collect();
    let mut acknowledged = vec![];
    for (n, answer) in answers.iter().enumerate() {
        if answer.code == response::SUCCESS {
            assert_eq!(
                answer.number("queueOffset"),
                i64::try_from(acknowledged.len()).unwrap(),
                "in the order sent"
            );
            acknowledged.push(n);
        } else {
            assert!(
                answer.code == response::SYSTEM_BUSY
                    && answer.remark.contains("start flow control"),
                "{answer:?}"
            );
        }
    }
    assert!(acknowledged.len() > 30, "{} of 300", acknowledged.len());
    let max =
        reader.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")]).number("offset");
    assert_eq!(max, i64::try_from(acknowledged.len()).unwrap(), "what was refused is not stored");
    for offset in [0, acknowledged.len() / 2, acknowledged.len() - 1] {
        let first = &reader.pull(&pull_from("T", i64::try_from(offset).unwrap())).messages()[0];
        assert_eq!(first.body[..6], *format!("{:06}", acknowledged[offset]).as_bytes());
    }
    let peak = cluster.broker.resident_bytes_peak();
    assert!(peak < 160 << 20, "{peak} bytes resident for 300 MiB");
}

/// Everything in queue 0, pull by pull.
fn pull_all(client: &mut Client, topic: &str) -> Vec<String> {
    let mut texts = vec![];
    let mut offset = 0;
    loop {
        let reply = client.pull(&pull_from(topic, offset));
        if reply.code != response::SUCCESS {
            return texts;
        }
        texts.extend(reply.messages().iter().map(|message| message.text().to_owned()));
        offset = reply.number("nextBeginOffset");
    }
}
