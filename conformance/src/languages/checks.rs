//! What is expected at once: sends, filters, order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::site::{Checked, Inbox, Site, ensure, must_be_sent, send_each};
use crate::process::Stop;

/// Sync, one-way and batch sends arrive, as far as the client has them.
pub(super) fn send(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({}))?;
    let mut producer = site.producer("produce")?;
    let mut bodies = Vec::new();
    let mut next = |kind: &str, count: usize| -> Vec<Value> {
        let new: Vec<String> = (0..count).map(|i| format!("{kind}-{i}")).collect();
        bodies.extend(new.iter().cloned());
        new.into_iter().map(|body| json!({"body": body})).collect()
    };
    send_each(&mut producer, "sync", &next("sync", 10))?;
    for kind in site.language.other_sends() {
        let messages = next(kind, 5);
        match *kind {
            "batch" => must_be_sent(&mut producer, kind, &messages)?,
            _ => send_each(&mut producer, kind, &messages)?,
        }
    }
    consumer.wait_for_all(&bodies)?;
    consumer.settle()?;
    let note = exactly(&consumer, bodies.len())?;
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("sync {}", site.language.other_sends().join(" ")), note])
}

/// As many messages as were wanted; duplicates are counted, not judged: a rebalance allows them.
fn exactly(consumer: &Inbox, wanted: usize) -> Result<String, Stop> {
    let (came, twice) = (consumer.received.len(), consumer.duplicates());
    ensure(came - twice == wanted, || format!("{wanted} messages expected, {came} came"))?;
    Ok(format!("{wanted} messages, {twice} twice"))
}

/// A subscription to two tags gets those.
pub(super) fn tags(site: &Site<'_>) -> Checked {
    let message = |i: usize| {
        let tag = ["A", "B", "C", ""][i % 4];
        json!({"body": format!("{tag}-{i}"), "tag": tag})
    };
    let wanted = |message: &Value| message["tag"] == "A" || message["tag"] == "B";
    filtered(site, &json!({"tags": "A || B"}), &(0..16).map(message).collect::<Vec<_>>(), wanted)
}

/// A SQL92 expression is judged by the broker, also where a property is missing.
pub(super) fn sql(site: &Site<'_>) -> Checked {
    let message = |i: usize| {
        let colour = ["red", "blue"][i % 2];
        let properties = match i % 5 {
            0 => json!({"colour": colour}),
            _ => json!({"colour": colour, "size": i.to_string()}),
        };
        json!({"body": format!("{colour}-{i}"), "properties": properties})
    };
    let wanted = |message: &Value| {
        let size = message["properties"]["size"].as_str().and_then(|size| size.parse().ok());
        message["properties"]["colour"] == "red" && size.is_some_and(|size: u32| size > 5)
    };
    let expression = "colour = 'red' AND size > 5";
    filtered(site, &json!({"sql": expression}), &(0..20).map(message).collect::<Vec<_>>(), wanted)
}

/// Sends all, and expects what is wanted and nothing else.
fn filtered(
    site: &Site<'_>,
    filter: &Value,
    all: &[Value],
    wanted: impl Fn(&Value) -> bool,
) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(filter)?;
    let mut producer = site.producer("produce")?;
    send_each(&mut producer, "sync", all)?;
    let bodies: Vec<String> = all
        .iter()
        .filter(|message| wanted(message))
        .map(|message| message["body"].as_str().unwrap_or_default().to_owned())
        .collect();
    consumer.wait_for_all(&bodies)?;
    consumer.settle()?;
    for received in &consumer.received {
        ensure(bodies.contains(&received.body), || format!("{} passed the filter", received.body))?;
    }
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("{} of {} messages", bodies.len(), all.len())])
}

/// What is sent with one key arrives in that order at an orderly consumer.
pub(super) fn in_order(site: &Site<'_>) -> Checked {
    const KEYS: usize = 3;
    const ROUNDS: usize = 10;
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({"orderly": true}))?;
    let mut producer = site.producer("produce")?;
    let all: Vec<(String, String)> = (0..ROUNDS * KEYS)
        .map(|i| ((i % KEYS).to_string(), format!("{}-{:02}", i % KEYS, i / KEYS)))
        .collect();
    for (key, body) in &all {
        must_be_sent(&mut producer, "ordered", &[json!({"body": body, "order": key})])?;
    }
    let bodies: Vec<String> = all.into_iter().map(|(_, body)| body).collect();
    consumer.wait_for_all(&bodies)?;
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for received in &consumer.received {
        let key = received.body.split('-').next().unwrap_or_default();
        let before = last.insert(key, &received.body);
        let ordered = before.is_none_or(|before| before <= received.body.as_str());
        ensure(ordered, || format!("{} came after {before:?}", received.body))?;
    }
    let twice = consumer.duplicates();
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("{} messages of {KEYS} keys, {twice} twice", bodies.len())])
}
