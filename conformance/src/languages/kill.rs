//! Somebody is killed while messages flow: the broker under all languages at once, which is then
//! started again, or one of two consumers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::program::{Program, Sent};
use super::site::{Checked, Site, ensure};
use crate::limits::SEND_AGAIN_MAX;
use crate::process::Stop;

/// Messages before the kill, and messages that must be accepted after the restart.
const EACH_SIDE: usize = 30;
/// Between two sends.
const PAUSE: Duration = Duration::from_millis(20);

/// A language's messages flow: the broker may be killed.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicBool);

impl Moment {
    pub(super) fn flows(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sends and receives across the kill; nothing acknowledged is lost. `back` says that the broker
/// runs again.
pub(super) fn play(site: &Site<'_>, moment: &Moment, back: &AtomicBool) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({}))?;
    let mut producer = site.producer("produce")?;
    let mut sent = Sends::default();
    while sent.acknowledged.len() < EACH_SIDE {
        sent.must(&mut producer)?;
    }
    consumer.wait_for_all(&sent.acknowledged)?;
    moment.0.store(true, Ordering::Release);
    let mut after = 0;
    let mut back_since = None;
    while after < EACH_SIDE {
        let is_back = back.load(Ordering::Acquire);
        let last = sent.one(&mut producer)?;
        if is_back {
            let since = *back_since.get_or_insert_with(Instant::now);
            after += usize::from(last.is_ok());
            ensure(since.elapsed() < SEND_AGAIN_MAX, || {
                format!("only {after} sends succeeded within {SEND_AGAIN_MAX:?}: {last:?}")
            })?;
        }
        thread::sleep(PAUSE);
    }
    consumer.wait_for_all(&sent.acknowledged)?;
    consumer.settle()?;
    let note = format!(
        "{} acknowledged, none lost, {} came twice, {} sends failed",
        sent.acknowledged.len(),
        consumer.duplicates(),
        sent.failed
    );
    producer.finish()?;
    consumer.finish()?;
    Ok(vec![note])
}

/// Two consumers share the queues, one is killed; nothing acknowledged is lost.
pub(super) fn consumer(site: &Site<'_>) -> Checked {
    site.make_topic()?;
    let mut doomed = site.consumer(&json!({}))?;
    let mut heir = site.consumer(&json!({"role": "heir"}))?;
    let mut producer = site.producer("produce")?;
    let mut sent = Sends::default();
    // Who has queues receives: the heir too, as soon as the queues are shared.
    let end = Instant::now() + SEND_AGAIN_MAX;
    while doomed.received.is_empty() || heir.received.is_empty() {
        sent.must(&mut producer)?;
        doomed.look(PAUSE)?;
        heir.look(PAUSE)?;
        ensure(Instant::now() < end, || {
            let (one, two) = (doomed.received.len(), heir.received.len());
            format!("the queues were never shared: {one} and {two} messages")
        })?;
    }
    let before = doomed.killed()?;
    for _ in 0..EACH_SIDE {
        sent.must(&mut producer)?;
    }
    let came = |body: &String| before.iter().any(|received| received.body == *body);
    let rest: Vec<String> = sent.acknowledged.iter().filter(|body| !came(body)).cloned().collect();
    heir.wait_for_all(&rest)?;
    heir.settle()?;
    let again = heir.received.iter().filter(|received| came(&received.body)).count();
    let note = format!(
        "{} acknowledged, none lost, {} came twice",
        sent.acknowledged.len(),
        again + heir.duplicates()
    );
    producer.finish()?;
    heir.finish()?;
    Ok(vec![note])
}

#[derive(Debug, Default)]
struct Sends {
    acknowledged: Vec<String>,
    failed: usize,
}

impl Sends {
    /// The broker is there.
    fn must(&mut self, producer: &mut Program) -> Result<(), Stop> {
        let last = self.one(producer)?;
        ensure(last.is_ok(), || format!("a send to a running broker failed: {last:?}"))
    }

    /// A failed message is not sent again: it may be there although nobody said so.
    fn one(&mut self, producer: &mut Program) -> Result<Sent, Stop> {
        let body = format!("k-{}", self.acknowledged.len() + self.failed);
        let sent = producer.send("sync", &[json!({"body": body})])?;
        match sent {
            Ok(()) => self.acknowledged.push(body),
            Err(_) => self.failed += 1,
        }
        Ok(sent)
    }
}
