//! The native lane serves: what it stores and reads is what RocketMQ's clients store and read.

use crate::client::pull_from;
use crate::cluster::Cluster;
use crate::native_client::{Native, fetch, produce, record};
use protocol::codes::{request, response};
use protocol::native::{
    Ack, ArchivedOffsetIs, ArchivedRouteIs, ArchivedWelcome, CommitOffset, Durability, FetchStatus,
    Kind, Produce, QueryOffset, Route,
};
use std::time::{Duration, Instant};

#[test]
fn what_is_produced_natively_is_pulled_and_found_by_id_and_key_by_rocketmqs_clients() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let properties = "UNIQ_KEY\u{1}0A0B0C\u{2}KEYS\u{1}order-17\u{2}TAGS\u{1}a\u{2}";
    let produced = native.produce(&[record("T", 0, properties, "hello")]).produced();
    assert!(!produced.is_late);
    let mut client = cluster.client(0);
    let pulled = client.pull(&pull_from("T", 0));
    let message = &pulled.messages()[0];
    assert_eq!((message.text(), message.flag, message.queue_offset), ("hello", 7, 0));
    assert_eq!(message.physical_offset, produced.placed[0].physical_offset);
    assert_eq!(
        (message.properties["TAGS"].as_str(), message.properties["UNIQ_KEY"].as_str()),
        ("a", "0A0B0C")
    );
    let view = protocol::record::RecordView::parse(&pulled.body).unwrap();
    assert_eq!(view.store_host(), cluster.shard_addr(0), "the broker's host, not the client's");
    assert_eq!(
        (view.store_timestamp_ms(), view.born_host().to_string()),
        (produced.store_timestamp_ms, "10.1.2.3:4567".to_owned())
    );
    let by_id = client
        .call(request::VIEW_MESSAGE_BY_ID, &[("offset", &message.physical_offset.to_string())]);
    assert_eq!((by_id.code, by_id.messages()[0].text()), (response::SUCCESS, "hello"));
    for (key, unique) in [("order-17", "false"), ("0A0B0C", "true")] {
        let end = i64::MAX.to_string();
        let ext = [
            ("topic", "T"),
            ("key", key),
            ("maxNum", "9"),
            ("beginTimestamp", "0"),
            ("endTimestamp", end.as_str()),
            ("_UNIQUE_KEY_QUERY", unique),
        ];
        crate::cluster::eventually(key, || {
            client.call(request::QUERY_MESSAGE, &ext).code == response::SUCCESS
        });
    }
}

#[test]
fn what_rocketmqs_clients_send_is_fetched_natively_in_order_with_native_records_between() {
    let cluster = Cluster::start(1, &[]);
    let (mut native, mut client) = (Native::connect(&cluster), cluster.client(0));
    for nth in 0..10 {
        client.put("T", "", &format!("remoting {nth}"));
        native.produce(&[record("T", 0, "", &format!("native {nth}"))]).produced();
    }
    let fetched = native.fetch("T", 0);
    let texts: Vec<_> = fetched.messages.iter().map(|message| message.text().to_owned()).collect();
    let expected: Vec<_> =
        (0..10).flat_map(|nth| [format!("remoting {nth}"), format!("native {nth}")]).collect();
    assert_eq!(
        (texts, fetched.status, fetched.next_offset, fetched.range),
        (expected, FetchStatus::Found as u8, 20, (0, 20))
    );
    let pulled = client.pull(&pull_from("T", 5));
    assert_eq!(pulled.messages()[0].text(), "native 2");
}

#[test]
fn one_frame_carries_records_of_several_topics_and_queues_and_each_gets_its_place() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("A");
    native.create("B");
    let records = [
        record("A", 0, "", "a0"),
        record("A", 0, "", "a1"),
        record("B", 2, "", "b0"),
        record("A", 1, "", "a2"),
        record("A", 0, "", "a3"),
    ];
    let produced = native.produce(&records).produced();
    assert_eq!(
        produced.placed.iter().map(|placed| placed.queue_offset).collect::<Vec<_>>(),
        [0, 1, 0, 0, 2]
    );
    let mut at = produced.placed[0].physical_offset;
    for (placed, record) in produced.placed.iter().zip(&records) {
        assert_eq!(placed.physical_offset, at, "they lie next to each other");
        at += i64::try_from(record.len()).unwrap();
    }
    let texts = |fetched: crate::native_client::Fetched| {
        fetched.messages.iter().map(|message| message.text().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(native.fetch("A", 0)), ["a0", "a1", "a3"]);
    let b = native
        .call(Kind::Fetch, &protocol::native::Fetch { queue_id: 2, ..fetch("B", 0, 0) }, &[])
        .fetched();
    assert_eq!(texts(b), ["b0"]);
}

#[test]
fn every_durability_acknowledges_at_its_mark_with_stages_in_order_and_keeps_messages_over_a_kill() {
    let policies = [
        ("SYNC_FLUSH", "direct", Durability::Flushed),
        ("SYNC_FLUSH", "mmap", Durability::Flushed),
        ("ASYNC_FLUSH", "mmap", Durability::Written),
    ];
    for (flush, backend, durability) in policies {
        let mut cluster = Cluster::start(
            1,
            &[
                &format!("flushDiskType={flush}"),
                &format!("logBackend={backend}"),
                "mappedFileSizeCommitLog=8388608",
            ],
        );
        let mut native = Native::silent(&cluster);
        let welcome = native.call(Kind::Hello, &crate::native_client::hello(1, 7), &[]);
        assert_eq!(
            welcome.view().header::<ArchivedWelcome>().unwrap().durability,
            durability as u8
        );
        native.create("T");
        for nth in 0..30 {
            let sent = Instant::now();
            let stages = native.produce(&[record("T", 0, "", &nth.to_string())]).produced().stages;
            let round_trip = u64::try_from(sent.elapsed().as_nanos()).unwrap();
            assert!(
                stages.appended_nanos > 0 && stages.appended_nanos <= stages.flushed_nanos,
                "{stages:?}"
            );
            assert!(
                stages.flushed_nanos <= stages.answered_nanos
                    && stages.answered_nanos <= round_trip,
                "{stages:?} of {round_trip}"
            );
            assert_eq!(stages.replicated_nanos, 0);
        }
        let at_once = native
            .call(
                Kind::Produce,
                &Produce { ack: Ack::Appended as u8, ..produce(1) },
                &record("T", 0, "", "30"),
            )
            .produced();
        assert_eq!(at_once.stages.flushed_nanos, 0, "it waited for no flush");
        native.produce(&[record("T", 0, "", "31")]).produced();
        cluster.broker.signal("KILL");
        cluster.broker.wait();
        cluster.restart_broker();
        let mut native = Native::connect(&cluster);
        let kept: Vec<_> =
            native.fetch("T", 0).messages.iter().map(|message| message.text().to_owned()).collect();
        assert_eq!(
            kept,
            (0..32).map(|nth: i32| nth.to_string()).collect::<Vec<_>>(),
            "{flush} {backend}"
        );
    }
}

#[test]
fn while_the_disk_stalls_a_frame_is_answered_late_and_says_how_long_it_waited() {
    let Some(disk) = crate::mount::Mount::new(96) else { return };
    let store = format!("storePathRootDir={}", disk.path().join("store").display());
    let cluster = Cluster::start(
        1,
        &[
            "flushDiskType=SYNC_FLUSH",
            "syncFlushTimeout=400",
            "mappedFileSizeCommitLog=8388608",
            &store,
        ],
    );
    let (mut native, mut reader) = (Native::connect(&cluster), Native::connect(&cluster));
    native.create("T");
    native.produce(&[record("T", 0, "", "before")]).produced();
    disk.freeze();
    let late = native.produce(&[record("T", 0, "", "late")]).produced();
    assert_eq!(
        (late.is_late, late.placed[0].queue_offset, late.stages.flushed_nanos),
        (true, 1, 0),
        "stored, not known to be durable"
    );
    assert!(late.stages.answered_nanos >= 300_000_000, "{:?}", late.stages);
    assert_eq!(
        reader.fetch("T", 1).status,
        FetchStatus::AtEnd as u8,
        "nobody sees what a power cut would take back"
    );
    disk.thaw();
    let held = reader.call(Kind::Fetch, &fetch("T", 1, 20_000), &[]).fetched();
    assert_eq!(held.messages[0].text(), "late");
}

#[test]
fn stages_are_told_only_to_those_who_ask() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let silent = native
        .call(
            Kind::Produce,
            &Produce { wants_stages: false, ..produce(1) },
            &record("T", 0, "", "x"),
        )
        .produced();
    assert_eq!(silent.stages, protocol::native::Stages::default());
}

#[test]
fn a_held_fetch_is_answered_by_the_next_message_or_with_nothing_when_its_time_is_up() {
    let cluster = Cluster::start(1, &[]);
    let (mut native, mut other) = (Native::connect(&cluster), Native::connect(&cluster));
    native.create("T");
    let nothing = native.call(Kind::Fetch, &fetch("T", 0, 200), &[]).fetched();
    assert_eq!(
        (nothing.status, nothing.next_offset, nothing.messages.len()),
        (FetchStatus::AtEnd as u8, 0, 0)
    );
    let held = native.send(Kind::Fetch, &fetch("T", 0, 60_000), &[]);
    // Requests behind a held one are answered before it.
    assert_eq!(native.call(Kind::Ping, &(), &[]).view().kind, Kind::Pong);
    let woken = Instant::now();
    other.produce(&[record("T", 0, "", "awaited")]).produced();
    let answer = native.receive().unwrap();
    assert_eq!((answer.view().correlation, answer.fetched().messages[0].text()), (held, "awaited"));
    assert!(woken.elapsed() < Duration::from_secs(20), "by the message, not by time");
    native.send(Kind::Fetch, &fetch("T", 1, 60_000), &[]);
    cluster.client(0).put("T", "", "from a RocketMQ client");
    assert_eq!(native.receive().unwrap().fetched().messages[0].text(), "from a RocketMQ client");
}

#[test]
fn fetches_outside_a_queue_say_where_to_go_on() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let outcome = |native: &mut Native, offset| {
        let fetched = native.fetch("T", offset);
        (fetched.status, fetched.next_offset)
    };
    assert_eq!(outcome(&mut native, 5), (FetchStatus::BeyondEnd as u8, 0), "of an empty queue");
    native.produce(&[record("T", 0, "", "a"), record("T", 0, "", "b")]).produced();
    assert_eq!(outcome(&mut native, 2), (FetchStatus::AtEnd as u8, 2));
    assert_eq!(outcome(&mut native, 3), (FetchStatus::BeyondEnd as u8, 2));
    assert_eq!(outcome(&mut native, i64::MAX), (FetchStatus::BeyondEnd as u8, 2));
    assert_eq!(outcome(&mut native, -1), (FetchStatus::BelowMin as u8, 0));
    assert_eq!(outcome(&mut native, i64::MIN), (FetchStatus::BelowMin as u8, 0));
}

#[test]
fn tags_select_and_limits_of_messages_and_bytes_hold() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let records: Vec<_> = (0..100)
        .map(|nth| record("T", 0, &format!("TAGS\u{1}tag{}", nth % 2), &nth.to_string()))
        .collect();
    native.produce(&records).produced();
    let odd = protocol::native::Fetch {
        tags: vec![protocol::tags::java_hash("tag1")],
        ..fetch("T", 0, 0)
    };
    let fetched = native.call(Kind::Fetch, &odd, &[]).fetched();
    assert_eq!(
        fetched.messages.iter().map(|m| m.text().parse::<i32>().unwrap()).collect::<Vec<_>>(),
        (0..100).filter(|nth| nth % 2 == 1).collect::<Vec<_>>()
    );
    let few = native
        .call(Kind::Fetch, &protocol::native::Fetch { messages_max: 3, ..fetch("T", 0, 0) }, &[])
        .fetched();
    assert_eq!((few.messages.len(), few.next_offset), (3, 3));
    let one = native
        .call(Kind::Fetch, &protocol::native::Fetch { bytes_max: 1, ..fetch("T", 0, 0) }, &[])
        .fetched();
    assert_eq!(one.messages.len(), 1, "one is always returned");
    let all = native.fetch("T", 0);
    assert_eq!(all.messages.len(), 100, "RocketMQ's 32 messages a pull do not count here");
}

#[test]
fn offsets_are_those_that_rocketmqs_consumers_see() {
    let cluster = Cluster::start(1, &[]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    native.produce(&[record("T", 0, "", "a"), record("T", 0, "", "b")]).produced();
    let query = QueryOffset { queue_id: 0, group: "readers".into(), topic: "T".into() };
    let is = |native: &mut Native| {
        let answer = native.call(Kind::QueryOffset, &query, &[]);
        let view = answer.view();
        let is = view.header::<ArchivedOffsetIs>().unwrap();
        (is.committed.to_native(), is.min_offset.to_native(), is.max_offset.to_native())
    };
    assert_eq!(is(&mut native), (-1, 0, 2));
    let commit =
        CommitOffset { queue_id: 0, offset: 1, group: "readers".into(), topic: "T".into() };
    assert_eq!(native.call(Kind::CommitOffset, &commit, &[]).view().kind, Kind::Committed);
    assert_eq!(is(&mut native), (1, 0, 2));
    let mut client = cluster.client(0);
    let seen = client.call(
        request::QUERY_CONSUMER_OFFSET,
        &[("consumerGroup", "readers"), ("topic", "T"), ("queueId", "0")],
    );
    assert_eq!(seen.number("offset"), 1);
    client.call(
        request::UPDATE_CONSUMER_OFFSET,
        &[("consumerGroup", "readers"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "2")],
    );
    assert_eq!(is(&mut native), (2, 0, 2));
}

#[test]
fn a_topic_made_by_a_native_client_exists_on_its_shard_and_for_every_client() {
    let cluster = Cluster::start(2, &[]);
    let mut native = Native::silent(&cluster);
    let welcome = native.call(Kind::Hello, &crate::native_client::hello(0, 9), &[]);
    let view = welcome.view();
    let shards = &view.header::<ArchivedWelcome>().unwrap().shards;
    let addresses: Vec<_> = shards.iter().map(|shard| shard.address.as_str().to_owned()).collect();
    assert_eq!(
        addresses,
        [0, 1].map(|shard| cluster.shard_addr(shard).to_string()),
        "the shard map"
    );
    let absent = native.call(Kind::Route, &Route { create_queues: 0, topic: "T".into() }, &[]);
    assert_eq!(absent.error().0, protocol::native::ErrorCode::Topic);
    let made = native.create("T");
    let view = made.view();
    let route = view.header::<ArchivedRouteIs>().unwrap();
    assert_eq!(
        (
            route.read_queues.to_native(),
            route.write_queues.to_native(),
            route.permission.to_native()
        ),
        (4, 4, 6)
    );
    crate::cluster::eventually("its shard is in the route", || {
        cluster.brokers_of("T") == ["broker-a-s0"]
    });
}

#[test]
fn records_of_a_store_with_whole_record_checksums_get_theirs() {
    let mut cluster = Cluster::start(1, &["enabledAppendPropCRC=true"]);
    let mut native = Native::connect(&cluster);
    native.create("T");
    let refused = native.produce(&[record("T", 0, "TAGS\u{1}a\u{2}", "x")]).error();
    assert!(refused.2.contains("__CRC32#"), "{refused:?}");
    native
        .produce(&[record("T", 0, "TAGS\u{1}a\u{2}__CRC32#\u{1}0000000000\u{2}", "checked")])
        .produced();
    cluster.broker.signal("TERM");
    cluster.broker.wait();
    cluster.restart_broker();
    let pulled = cluster.client(0).pull(&pull_from("T", 0));
    protocol::record::RecordView::parse(&pulled.body).unwrap().verify_intact().unwrap();
    assert_eq!(pulled.messages()[0].text(), "checked");
}
