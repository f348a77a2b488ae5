//! Sync, pipelined and batched sends; refusals; back-pressure; timeouts.

use crate::broker_process::Broker;
use client::{ClientConfig, ClientError, FetchOptions, Message, Queue, Stored, ThreadClient};
use protocol::native::ErrorCode;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Every body of a topic, by queue, in order.
pub(crate) fn read_all(
    client: &mut ThreadClient,
    topic: &str,
) -> BTreeMap<(u32, i32), Vec<String>> {
    let mut found = BTreeMap::new();
    for queue in client.route(topic).unwrap().readable().to_vec() {
        let bodies: &mut Vec<String> = found.entry((queue.shard, queue.queue_id)).or_default();
        let end = client.offsets("reader", topic, queue).unwrap().max_offset;
        let mut offset = 0;
        while offset < end {
            let batch = client
                .fetch(
                    topic,
                    queue,
                    offset,
                    &FetchOptions { hold_ms: 0, ..FetchOptions::default() },
                )
                .unwrap();
            for message in batch.messages() {
                let message = message.unwrap();
                assert_eq!(message.queue_offset(), i64::try_from(bodies.len()).unwrap());
                bodies.push(String::from_utf8(message.body().to_vec()).unwrap());
            }
            assert!(batch.next_offset > offset, "{:?}", batch.status);
            offset = batch.next_offset;
        }
    }
    found
}

fn pipelined(settings: &[&str], linger: Duration) {
    let broker = Broker::start(2, settings);
    let mut config = ClientConfig::default();
    config.producer.linger = linger;
    let mut client = broker.client_with(config);
    assert_eq!(client.client().shards(), 2, "the second shard is in the first one's Welcome");
    client.create_topic("T", 2).unwrap();
    let mut sent = BTreeMap::new();
    for number in 0..3_000 {
        let body = format!("body {number}");
        let message = Message::new("T", body.as_bytes()).with_tag("a").with_keys(&["k1", "k2"]);
        sent.insert(client.submit_waiting(&message).unwrap(), body);
    }
    let mut stored: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
    while let Some(done) = client.completion().unwrap() {
        assert!(sent.contains_key(&done.ticket));
        assert!(
            stored
                .entry(done.ticket.shard)
                .or_default()
                .insert(done.outcome.unwrap().physical_offset)
        );
    }
    assert_eq!(
        stored.values().map(BTreeSet::len).collect::<Vec<_>>(),
        [1_500, 1_500],
        "queues of both shards take turns"
    );
    let found = read_all(&mut client, "T");
    assert_eq!(found.len(), 4);
    let bodies: BTreeSet<String> = found.into_values().flatten().collect();
    assert_eq!(bodies, sent.into_values().collect());
}

#[test]
fn pipelined_messages_are_stored_once_each_over_all_queues_of_all_shards() {
    pipelined(&[], Duration::ZERO);
}

#[test]
fn the_same_with_linger_sync_flush_and_a_checksum_over_each_record() {
    pipelined(&["flushDiskType=SYNC_FLUSH", "enabledAppendPropCRC=true"], Duration::from_millis(2));
}

#[test]
fn a_sync_send_tells_where_its_message_lies_and_where_the_time_went() {
    let broker = Broker::start(1, &["flushDiskType=SYNC_FLUSH"]);
    let mut config = ClientConfig::default();
    config.producer.wants_stages = true;
    let mut client = broker.client_with(config);
    client.create_topic("T", 1).unwrap();
    let start = Instant::now();
    let Stored { queue_offset, stages, is_late, .. } =
        client.send(&Message::new("T", b"x")).unwrap();
    let took_nanos = u64::try_from(start.elapsed().as_nanos()).unwrap();
    assert!(queue_offset == 0 && !is_late);
    assert!(
        0 < stages.appended_nanos && stages.appended_nanos <= stages.flushed_nanos,
        "{stages:?}"
    );
    assert!(
        stages.flushed_nanos <= stages.answered_nanos && stages.answered_nanos <= took_nanos,
        "{stages:?} of {took_nanos}"
    );
}

/// Why the broker refused, when it did.
fn code_of(error: &ClientError) -> Option<ErrorCode> {
    match error {
        ClientError::Refused { refusal, .. } => refusal.code(),
        _ => None,
    }
}

#[test]
fn a_topic_or_queue_that_is_not_there_is_a_typed_refusal_and_the_connection_goes_on() {
    let broker = Broker::start(1, &[]);
    let mut client = broker.client();
    let missing = client.send(&Message::new("Missing", b"x")).unwrap_err();
    assert_eq!(code_of(&missing), Some(ErrorCode::Topic), "{missing}");
    client.create_topic("T", 1).unwrap();
    let good = client
        .client()
        .submit_to(Queue { shard: 0, queue_id: 0 }, &Message::new("T", b"good"))
        .unwrap();
    let bad = client
        .client()
        .submit_to(Queue { shard: 0, queue_id: 9 }, &Message::new("T", b"bad"))
        .unwrap();
    let errors = [good, bad].map(|ticket| {
        client.wait(|client| async move { client.completion_of(ticket).await }).unwrap_err()
    });
    assert!(
        matches!(&errors[0], ClientError::Neighbour { .. }),
        "the whole frame is refused: {}",
        errors[0]
    );
    assert_eq!(code_of(&errors[1]), Some(ErrorCode::Queue), "{}", errors[1]);
    assert_eq!(
        client.send(&Message::new("T", b"again")).unwrap().queue_offset,
        0,
        "nothing of the refused frame was stored"
    );
    let shard =
        client.client().submit_to(Queue { shard: 7, queue_id: 0 }, &Message::new("T", b"x"));
    assert!(matches!(shard, Err(ClientError::NoQueue { .. })));
}

#[test]
fn a_broker_that_stands_still_gives_back_pressure_then_timeouts_that_name_it() {
    let broker = Broker::start(1, &[]);
    let mut config = ClientConfig::default();
    config.producer.in_flight_bytes_max = 100_000;
    config.timeout = Duration::from_millis(700);
    let mut client = broker.client_with(config);
    client.create_topic("T", 1).unwrap();
    broker.process.stand_still();
    let mut taken = 0;
    let full = loop {
        match client.client().submit(&Message::new("T", &[7; 1_000])) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(full.is_full() && (80..=100).contains(&taken), "{taken} taken, then {full}");
    client.client().flush().unwrap();
    let mut timed_out = 0;
    while let Some(done) = client.completion().unwrap() {
        let error = done.outcome.unwrap_err();
        assert!(
            error.outcome_is_unknown()
                && error
                    .to_string()
                    .starts_with(&format!("produce at {}: no answer within 7", broker.addr())),
            "{error}"
        );
        timed_out += 1;
    }
    assert_eq!(timed_out, taken);
    broker.process.signal("CONT");
    client.send(&Message::new("T", b"awake")).unwrap();
}
