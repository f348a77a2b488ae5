//! Somebody is killed while messages flow: the broker under all languages at once, which is then
//! started again, or one of two consumers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::program::{Program, Sent};
use super::site::{Checked, Received, Site, ensure};
use crate::limits::{BUSY_MAX, BUSY_PAUSE, SEND_AGAIN_MAX};
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

/// A row that is played across the kill of the broker; the flag says that it runs again.
pub(super) type AcrossKill = fn(&Site<'_>, &Moment, &AtomicBool) -> Checked;

/// Sends and receives across the kill; nothing acknowledged is lost.
pub(super) fn broker(site: &Site<'_>, moment: &Moment, back: &AtomicBool) -> Checked {
    play(site, Sends::default(), moment, back)
}

/// The same with an orderly consumer: of each key in a queue, what comes for the first time comes
/// in order. Producers move a key to another queue while they know of one shard only.
pub(super) fn orderly_broker(site: &Site<'_>, moment: &Moment, back: &AtomicBool) -> Checked {
    play(site, Sends::ordered(), moment, back)
}

fn play(site: &Site<'_>, mut sent: Sends, moment: &Moment, back: &AtomicBool) -> Checked {
    site.make_topic()?;
    let mut consumer = site.consumer(&json!({"orderly": sent.is_ordered}))?;
    let mut producer = site.producer("produce")?;
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
    let brokers = site.outing.brokers.len();
    let is_known = brokers == 1 || consumer.received.iter().all(|one| !one.broker.is_empty());
    if sent.is_ordered && is_known {
        in_order(consumer.received.iter())?;
    }
    let order = if sent.is_ordered && !is_known {
        ", order not judged: the client does not say from which broker a message came"
    } else {
        ""
    };
    let note = format!(
        "{} acknowledged, none lost, {} came twice, {} sends failed{order}",
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
    kill_one_of_two(site, Sends::default())
}

/// The same with orderly consumers: of each key in a queue, what comes for the first time comes in
/// order.
/// The dead one's locks are its own for a minute.
pub(super) fn orderly_consumer(site: &Site<'_>) -> Checked {
    kill_one_of_two(site, Sends::ordered())
}

fn kill_one_of_two(site: &Site<'_>, mut sent: Sends) -> Checked {
    site.make_topic()?;
    let mut doomed = site.consumer(&json!({"orderly": sent.is_ordered}))?;
    let mut heir = site.consumer(&json!({"role": "heir", "orderly": sent.is_ordered}))?;
    let mut producer = site.producer("produce")?;
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
    if sent.is_ordered {
        in_order(before.iter().chain(&heir.received))?;
    }
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

/// Of each key in a queue, every message that comes for the first time is later than those before.
/// Listeners of two processes: their clock is the machine's.
fn in_order<'a>(received: impl Iterator<Item = &'a Received>) -> Result<(), Stop> {
    let mut all: Vec<&Received> = received.collect();
    all.sort_by_key(|received| received.at_ms); // stable: one program's messages keep their order
    let mut seen: BTreeMap<(&str, &str, i64), BTreeSet<usize>> = BTreeMap::new();
    for received in all {
        let (key, number) = received.body.rsplit_once('-').unwrap_or_default();
        let number = number.parse().unwrap_or_default();
        let of_key = seen.entry((key, &received.broker, received.queue)).or_default();
        let highest = of_key.last().copied();
        ensure(of_key.contains(&number) || highest.is_none_or(|highest| highest < number), || {
            format!("{} came for the first time after number {highest:?} of its key", received.body)
        })?;
        of_key.insert(number);
    }
    Ok(())
}

/// Keys of ordered sends.
const KEYS: usize = 8;

#[derive(Debug, Default)]
struct Sends {
    acknowledged: Vec<String>,
    failed: usize,
    /// Each message has a key, and messages of a key go to one queue.
    is_ordered: bool,
}

impl Sends {
    fn ordered() -> Self {
        Self { is_ordered: true, ..Self::default() }
    }

    /// The broker is there, and takes a message; one that calls itself busy takes the next.
    fn must(&mut self, producer: &mut Program) -> Result<(), Stop> {
        let end = Instant::now() + BUSY_MAX;
        loop {
            match self.one(producer)? {
                Ok(()) => return Ok(()),
                Err(why) if may_be_busy(&why) && Instant::now() < end => thread::sleep(BUSY_PAUSE),
                Err(why) => {
                    return Err(Stop::Cannot(format!("a send to a running broker failed: {why}")));
                }
            }
        }
    }

    /// A failed message is not sent again: it may be there although nobody said so.
    fn one(&mut self, producer: &mut Program) -> Result<Sent, Stop> {
        let number = self.acknowledged.len() + self.failed;
        let (body, sent) = if self.is_ordered {
            let key = (number % KEYS).to_string();
            let body = format!("{key}-{number}");
            let message = json!({"body": body, "order": key});
            (body, producer.send("ordered", &[message])?)
        } else {
            let body = format!("k-{number}");
            let message = json!({"body": body});
            (body, producer.send("sync", &[message])?)
        };
        match sent {
            Ok(()) => self.acknowledged.push(body),
            Err(_) => self.failed += 1,
        }
        Ok(sent)
    }
}

/// Whether a broker that is busy may have refused it. The C++ client's ordered send catches all
/// that a broker says and calls it "No route info" (`DefaultMQProducerImpl`).
fn may_be_busy(why: &str) -> bool {
    why.contains("busy") || why.contains("No route info of this topic, ,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bodies: &[&str]) -> Vec<Received> {
        let one = |(at_ms, body): (i64, &&str)| Received {
            body: (*body).to_owned(),
            attempt: 0,
            at_ms,
            from: String::new(),
            broker: "b".to_owned(),
            queue: 0,
        };
        (0..).zip(bodies).map(one).collect()
    }

    #[test]
    fn repeats_are_in_order_and_a_first_that_is_late_is_not() {
        let ok = |bodies: &[&str]| in_order(received(bodies).iter()).is_ok();
        assert!(ok(&["a-0", "b-1", "a-2", "a-0", "a-2", "a-3", "b-4"]));
        assert!(!ok(&["a-0", "a-2", "a-1"]));
        let mut crossed = received(&["a-5", "a-4"]);
        crossed.reverse();
        assert!(in_order(crossed.iter()).is_err(), "by the clock, not by the list");
        crossed[0].queue = 1;
        assert!(in_order(crossed.iter()).is_ok(), "of another queue");
    }
}
