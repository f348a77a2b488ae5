//! A broker killed under way: what is known, what is unknown, and that nothing is sent twice.

use crate::broker_process::{Broker, eventually};
use crate::sending::read_all;
use client::{ClientError, Message};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn what_was_in_flight_when_the_broker_was_killed_is_unknown_and_is_never_sent_again() {
    let mut broker = Broker::start(1, &["flushDiskType=SYNC_FLUSH"]);
    let mut client = broker.client();
    client.create_topic("T", 2).unwrap();
    let (mut bodies, mut acknowledged, mut unknown) =
        (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut is_killed = false;
    let mut number = 0;
    // Messages go on while the broker dies; the client redials meanwhile.
    while unknown.is_empty() {
        for _ in 0..50 {
            let body = format!("body {number}");
            number += 1;
            match client.client().submit(&Message::new("T", body.as_bytes())) {
                Ok(ticket) => drop(bodies.insert(ticket, body)),
                Err(error) => assert!(
                    error.is_full() || matches!(error, ClientError::NotSent { .. }),
                    "{error}"
                ),
            }
        }
        client.turn(std::time::Duration::from_millis(1)).unwrap();
        if !acknowledged.is_empty() && !is_killed {
            broker.process.kill();
            is_killed = true;
        }
        while let Some(done) = client.client().try_completion() {
            match done.outcome {
                Ok(_) => drop(acknowledged.insert(done.ticket)),
                Err(error) => {
                    assert!(error.outcome_is_unknown() && unknown.insert(done.ticket), "{error}")
                }
            }
        }
    }
    broker.restart();
    // What only gathered goes out on the new connection.
    while let Some(done) = client.completion().unwrap() {
        match done.outcome {
            Ok(_) => drop(acknowledged.insert(done.ticket)),
            Err(error) if error.outcome_is_unknown() => drop(unknown.insert(done.ticket)),
            Err(error) => assert!(matches!(error, ClientError::NotSent { .. }), "{error}"),
        }
    }
    eventually("the client is connected again", || {
        client.send(&Message::new("T", b"after")).is_ok()
    });
    let mut stored: BTreeMap<String, u32> = BTreeMap::new();
    read_all(&mut client, "T")
        .into_values()
        .flatten()
        .for_each(|body| *stored.entry(body).or_default() += 1);
    stored.remove("after");
    assert!(
        acknowledged.iter().all(|ticket| stored.get(&bodies[ticket]) == Some(&1)),
        "acknowledged under SYNC_FLUSH: there once"
    );
    assert!(stored.values().all(|times| *times == 1), "nothing twice");
    let known: BTreeSet<&String> =
        acknowledged.iter().chain(&unknown).map(|ticket| &bodies[ticket]).collect();
    assert!(
        stored.keys().all(|body| known.contains(body)),
        "what was said not to be sent is not there"
    );
}

#[test]
fn a_shard_that_is_gone_is_passed_over_and_one_that_comes_back_is_used_again() {
    let mut first = Broker::start(1, &["brokerName=broker-one"]);
    let second = Broker::start(1, &["brokerName=broker-two"]);
    let mut client = client::ThreadClient::connect(
        &[&first.addr(), &second.addr()],
        client::ClientConfig::default(),
    )
    .unwrap();
    client.create_topic("T", 2).unwrap();
    let shards_used = |client: &mut client::ThreadClient| -> BTreeSet<u32> {
        let tickets: Vec<_> =
            (0..8).map(|_| client.submit_waiting(&Message::new("T", b"m")).unwrap()).collect();
        while client.completion().unwrap().is_some() {}
        tickets.into_iter().map(|ticket| ticket.shard).collect()
    };
    assert_eq!(shards_used(&mut client), BTreeSet::from([0, 1]));
    first.process.kill();
    eventually("the loss is noticed", || {
        client.turn(std::time::Duration::from_millis(5)).unwrap();
        client.client().welcome(0).is_none()
    });
    assert_eq!(shards_used(&mut client), BTreeSet::from([1]));
    first.restart();
    eventually("the shard is back", || {
        client.turn(std::time::Duration::from_millis(5)).unwrap();
        client.client().welcome(0).is_some()
    });
    assert_eq!(shards_used(&mut client), BTreeSet::from([0, 1]));
}

#[test]
fn errors_while_a_shard_is_away_say_why_it_is() {
    let mut broker = Broker::start(1, &[]);
    let mut client = broker.client();
    client.create_topic("T", 1).unwrap();
    broker.process.kill();
    let queue = client::Queue { shard: 0, queue_id: 0 };
    let mut reasons = BTreeSet::new();
    eventually("a dial was refused", || {
        client.turn(std::time::Duration::from_millis(5)).unwrap();
        let error = client.offsets("g", "T", queue).unwrap_err();
        reasons.insert(error.to_string());
        error.to_string().contains("refused")
    });
    let ours = |reason: &String| reason.contains("cancel") || reason.contains("Broken pipe");
    assert!(
        !reasons.iter().any(ours),
        "the ends of our own operations are no reasons: {reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .all(|reason| reason.starts_with(&format!("query offset at {}: ", broker.addr()))),
        "{reasons:?}"
    );
}
