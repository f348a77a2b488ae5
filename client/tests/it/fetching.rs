//! Fetching, holding, offsets.

use crate::broker_process::Broker;
use client::{ClientError, Deliver, FetchOptions, Message, Queue};
use protocol::native::FetchStatus;
use std::time::{Duration, Instant};

const QUEUE: Queue = Queue { shard: 0, queue_id: 0 };

#[test]
fn a_fetch_at_the_end_is_held_and_a_message_ends_the_wait() {
    let broker = Broker::start(1, &[]);
    let mut client = broker.client();
    client.create_topic("T", 1).unwrap();
    let start = Instant::now();
    let nothing = client
        .fetch("T", QUEUE, 0, &FetchOptions { hold_ms: 300, ..FetchOptions::default() })
        .unwrap();
    assert_eq!((nothing.status, nothing.messages().count()), (Some(FetchStatus::AtEnd), 0));
    // The broker counts whole milliseconds of the time that its turn began with.
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    let got = client
        .wait(|client| async move {
            // Both on one connection: the send overtakes the fetch that is held.
            let options = FetchOptions { hold_ms: 20_000, ..FetchOptions::default() };
            let mut held = std::pin::pin!(client.fetch("T", QUEUE, 0, &options));
            let is_held = std::future::poll_fn(|context| {
                std::task::Poll::Ready(held.as_mut().poll(context).is_pending())
            })
            .await;
            assert!(is_held);
            client.send(&Message::new("T", b"wake up")).await?;
            held.await
        })
        .unwrap();
    assert_eq!(
        got.messages().map(|message| message.unwrap().body().to_vec()).collect::<Vec<_>>(),
        [b"wake up"]
    );
    assert_eq!((got.status, got.next_offset), (Some(FetchStatus::Found), 1));
}

#[test]
fn offsets_are_committed_and_found_again_and_a_fetch_beyond_the_end_says_where_to_go_on() {
    let broker = Broker::start(1, &[]);
    let mut client = broker.client();
    client.create_topic("T", 1).unwrap();
    (0..3).for_each(|_| assert!(client.send(&Message::new("T", b"m")).is_ok()));
    assert_eq!(client.offsets("g", "T", QUEUE).unwrap().committed, -1);
    client.commit("g", "T", QUEUE, 2).unwrap();
    let is = client.offsets("g", "T", QUEUE).unwrap();
    assert_eq!((is.committed, is.min_offset, is.max_offset), (2, 0, 3));
    let beyond = client
        .fetch("T", QUEUE, 99, &FetchOptions { hold_ms: 0, ..FetchOptions::default() })
        .unwrap();
    assert_eq!((beyond.status, beyond.next_offset), (Some(FetchStatus::BeyondEnd), 3));
}

#[test]
fn a_request_that_nobody_waits_for_any_more_gives_its_place_back() {
    // 512 may wait at the same time
    let broker = Broker::start(1, &[]);
    let mut client = broker.client();
    client.create_topic("T", 1).unwrap();
    for _ in 0..20 {
        for _ in 0..100 {
            let dropped = client.wait(|client| async move {
                let options = FetchOptions { hold_ms: 0, ..FetchOptions::default() };
                let mut fetch = Box::pin(client.fetch("T", QUEUE, 0, &options));
                std::future::poll_fn(|context| {
                    std::task::Poll::Ready(Ok(fetch.as_mut().poll(context).is_pending()))
                })
                .await
            });
            assert!(dropped.unwrap());
        }
        // Its answer comes behind theirs.
        client.offsets("g", "T", QUEUE).unwrap();
    }
}

#[test]
fn an_expression_selects_and_what_is_delivered_later_comes_later() {
    let broker = Broker::start(1, &["enablePropertyFilter=true", "messageDelayLevel=1s"]);
    let mut client = broker.client();
    client.create_topic("T", 1).unwrap();
    let later = [Deliver::AtOnce, Deliver::Level(1), Deliver::AfterMs(1_500), Deliver::AtMs(1)];
    for (nth, deliver) in later.into_iter().enumerate() {
        let (size, body) = (nth.to_string(), [b'0' + u8::try_from(nth).unwrap()]);
        let properties = [("size", size.as_str())];
        let message = Message { properties: &properties, ..Message::new("T", &body) };
        client.send(&message.delivered(deliver)).unwrap();
    }
    let mut offset = 0;
    let mut bodies = vec![];
    let expression = Some("size <> 3".to_owned());
    let options = FetchOptions { expression, ..FetchOptions::default() };
    while bodies.len() < 3 {
        let batch = client.fetch("T", QUEUE, offset, &options).unwrap();
        bodies.extend(batch.messages().map(|message| message.unwrap().body().to_vec()));
        offset = batch.next_offset;
    }
    assert_eq!(bodies, [b"0", b"1", b"2"]);
    let wrong = FetchOptions { expression: Some("size <".into()), ..FetchOptions::default() };
    let error = client.fetch("T", QUEUE, 0, &wrong).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { refusal, .. }
        if refusal.code() == Some(protocol::native::ErrorCode::Expression)),
        "{error}"
    );
    let both = FetchOptions { tags: vec!["a".into()], ..options };
    assert!(client.fetch("T", QUEUE, 0, &both).unwrap_err().to_string().contains("TAGS"));
}
