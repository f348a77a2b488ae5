//! What comes later: delays, retries, dead letters, transactions.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::site::{Checked, Received, Site, ensure, must_be_sent, send_each, wait_for_event};
use crate::process::Stop;

/// A delay level by number, in milliseconds: Apache's default `messageDelayLevel`.
const LEVELS_MS: [(i64, i64); 3] = [(1, 1_000), (2, 5_000), (3, 10_000)];
/// A first retry takes level 3.
const FIRST_RETRY_MS: i64 = 10_000;

/// By the machine's clock, which programs and servers share.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A message with a delay level comes once, and not before it is due.
pub(super) fn delay(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({}))?;
    let mut producer = site.producer("produce")?;
    let mut due = Vec::new();
    for (level, delay_ms) in LEVELS_MS {
        let body = format!("level-{level}");
        due.push((body.clone(), now_ms() + delay_ms));
        must_be_sent(&mut producer, "sync", &[json!({"body": body, "delay": level})])?;
    }
    let bodies: Vec<String> = due.iter().map(|(body, _)| body.clone()).collect();
    consumer.wait_for_all(&bodies)?;
    let mut late_ms = 0;
    for received in &consumer.received {
        let Some((body, due_ms)) = due.iter().find(|(body, _)| *body == received.body) else {
            return Err(Stop::Cannot(format!("{}: nobody sent that", received.body)));
        };
        ensure(received.at_ms >= *due_ms, || {
            format!("{body} came {} ms before it was due", due_ms - received.at_ms)
        })?;
        late_ms = late_ms.max(received.at_ms - due_ms);
    }
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("levels 1, 2, 3; at most {late_ms} ms late")])
}

/// A message whose listener fails comes again after its delay, with a higher count.
pub(super) fn retry(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({"fail_until": 1}))?;
    let mut producer = site.producer("produce")?;
    let bodies: Vec<String> = (0..4).map(|i| format!("m-{i}")).collect();
    let messages: Vec<_> = bodies.iter().map(|body| json!({"body": body})).collect();
    send_each(&mut producer, "sync", &messages)?;
    consumer.wait("each message twice", |received| {
        bodies.iter().all(|body| attempt(received, body, 1).is_some())
    })?;
    consumer.settle()?;
    for body in &bodies {
        let (first, second) =
            (attempt(&consumer.received, body, 0), attempt(&consumer.received, body, 1));
        let waited_ms = second.zip(first).map_or(-1, |(second, first)| second - first);
        ensure(waited_ms >= FIRST_RETRY_MS, || format!("{body} came again after {waited_ms} ms"))?;
    }
    ensure(consumer.received.iter().all(|r| r.attempt <= 1), || {
        format!("a message came again after its success: {:?}", consumer.received)
    })?;
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("{} messages failed once", bodies.len())])
}

/// When the message came at this attempt.
fn attempt(received: &[Received], body: &str, nth: i64) -> Option<i64> {
    received.iter().find(|r| r.body == body && r.attempt == nth).map(|r| r.at_ms)
}

/// A message that fails as often as it may ends in `%DLQ%group`, where the same client finds it.
pub(super) fn dead_letter(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    if !site.language.sets_attempts() {
        site.make_group(1)?;
    }
    let mut consumer = site.consumer(&json!({"fail_until": 99, "attempts_max": 1}))?;
    let mut producer = site.producer("produce")?;
    let bodies = ["dead-0".to_owned(), "dead-1".to_owned()];
    let messages: Vec<_> = bodies.iter().map(|body| json!({"body": body})).collect();
    send_each(&mut producer, "sync", &messages)?;
    // C++ gets both again as one batch, and shows its listener those up to the first that fails.
    consumer.wait("a message again", |received| {
        bodies.iter().any(|body| attempt(received, body, 1).is_some())
    })?;
    let graves = format!("%DLQ%{}", site.group());
    site.await_route_at(&graves, &[])?;
    let mourners = format!("{}-mourners", site.group());
    let mut graveyard = site.consumer(&json!({"topic": graves, "group": mourners}))?;
    graveyard.wait_for_all(&bodies)?;
    for letter in &graveyard.received {
        ensure(letter.from == site.topic(), || format!("{letter:?}: its topic is not told"))?;
    }
    consumer.settle()?;
    ensure(consumer.received.iter().all(|r| r.attempt <= 1), || {
        format!("a dead message came again: {:?}", consumer.received)
    })?;
    producer.finish()?;
    consumer.finish()?;
    graveyard.finish()?;
    Ok(vec![format!("{} messages given up after 2 attempts", bodies.len())])
}

/// Commit, rollback, and both after the broker has asked.
pub(super) fn transaction(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({}))?;
    let mut producer = site.producer("transact")?;
    let fates = ["commit", "rollback", "ask-commit", "ask-rollback"];
    let body = |fate: &str, i: u32| format!("{fate}-{i}");
    for i in 0..2 {
        let messages = fates.map(|fate| json!({"body": body(fate, i)}));
        send_each(&mut producer, "transaction", &messages)?;
    }
    let each = |fate: &'static str| (0..2).map(move |i| body(fate, i));
    let wanted: Vec<String> = each("commit").chain(each("ask-commit")).collect();
    let mut unasked: BTreeSet<String> = each("ask-commit").chain(each("ask-rollback")).collect();
    wait_for_event(&mut producer, "a question about each open transaction", |event| {
        if event["event"] == "asked" {
            unasked.remove(event["body"].as_str().unwrap_or_default());
        }
        unasked.is_empty()
    })?;
    consumer.wait_for_all(&wanted)?;
    consumer.settle()?;
    for received in &consumer.received {
        ensure(wanted.contains(&received.body), || format!("{} was delivered", received.body))?;
    }
    let twice = consumer.duplicates();
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![format!("{} delivered, {} not, {twice} twice", wanted.len(), wanted.len())])
}
