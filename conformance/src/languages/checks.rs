//! What is expected at once: sends, filters, order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::program::Program;
use super::site::{Checked, Inbox, Site, ensure, must_be_sent, send_each};
use crate::process::Stop;

/// Sync and one-way sends arrive, as far as the client has them.
pub(super) fn send(site: &Site<'_>) -> Checked {
    let mut kinds = vec!["sync"];
    if site.language.sends_one_way() {
        kinds.push("oneway");
    }
    let note = kinds.join(" and ");
    arrives(site, note, |producer| {
        let bodies: Vec<String> =
            kinds.iter().flat_map(|kind| (0..10).map(move |i| format!("{kind}-{i}"))).collect();
        for body in &bodies {
            let kind = body.split('-').next().unwrap_or_default();
            must_be_sent(producer, kind, &[json!({"body": body})])?;
        }
        Ok(bodies)
    })
}

/// The messages of a batch arrive, each by itself.
pub(super) fn batch(site: &Site<'_>) -> Checked {
    arrives(site, "one batch".to_owned(), |producer| {
        let bodies: Vec<String> = (0..5).map(|i| format!("batch-{i}")).collect();
        let messages: Vec<_> = bodies.iter().map(|body| json!({"body": body})).collect();
        must_be_sent(producer, "batch", &messages)?;
        Ok(bodies)
    })
}

/// Sends, and expects as many messages as that says.
fn arrives(
    site: &Site<'_>,
    note: String,
    send: impl FnOnce(&mut Program) -> Result<Vec<String>, Stop>,
) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({}))?;
    let mut producer = site.producer("produce")?;
    let bodies = send(&mut producer)?;
    consumer.wait_for_all(&bodies)?;
    consumer.settle()?;
    let figures = exactly(&consumer, bodies.len())?;
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![note, figures])
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
    filtered(site, &json!({"tags": "A||B"}), &(0..16).map(message).collect::<Vec<_>>(), wanted)
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
