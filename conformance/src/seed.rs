//! The seed's two programs, unchanged: the producer runs before and beside the consumer, each
//! message is printed once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;

use crate::dialogue::{Verdict, read_lines};
use crate::limits::{SCENARIO_MAX, SEED_RECEIVE_MAX, SEED_SETTLE};
use crate::process::{Interrupt, Managed, Stop, append_to};

/// Messages that the seed's producer sends in one run.
const MESSAGES: usize = 10;

/// How often each body was printed.
#[derive(Debug, Default)]
struct Printed(BTreeMap<String, usize>);

impl Printed {
    /// The consumer prints `THREAD Receive New Messages: BODY `; other lines are not counted.
    fn line(&mut self, line: &str) {
        if let Some((_, body)) = line.split_once("Receive New Messages: ") {
            *self.0.entry(body.trim().to_owned()).or_default() += 1;
        }
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }

    /// Every one of the ten bodies this many times, and no other.
    fn check(&self, times: usize) -> Option<String> {
        let expected: BTreeMap<String, usize> =
            (0..MESSAGES).map(|i| (format!("Hello RocketMQ {i}"), times)).collect();
        (self.0 != expected)
            .then(|| format!("each of 10 messages {times} time(s) expected, received {:?}", self.0))
    }
}

/// `java` makes a command for a main class of the programs, without arguments.
pub(crate) fn run(
    java: impl Fn() -> Command,
    name: &str,
    dir: &Path,
    interrupt: &Interrupt,
) -> Result<Verdict, Stop> {
    let mut verdict = Verdict::default();
    let mut printed = Printed::default();
    if let Some(why) = produce(&java, name, dir, interrupt)? {
        return Ok(Verdict { failure: Some(why), ..verdict });
    }
    let (_consumer, lines) = consume(&java, name, dir)?;
    for round in 1..=2 {
        if round == 2
            && let Some(why) = produce(&java, name, dir, interrupt)?
        {
            return Ok(Verdict { failure: Some(why), ..verdict });
        }
        receive(&lines, &mut printed, round * MESSAGES, interrupt)?;
        if let Some(why) = printed.check(round) {
            return Ok(Verdict { failure: Some(why), ..verdict });
        }
    }
    verdict.notes.push("10 sent before, 10 beside the consumer, each printed once".into());
    Ok(verdict)
}

/// Runs the producer to its end; why it failed, if it did.
fn produce(
    java: &impl Fn() -> Command,
    name: &str,
    dir: &Path,
    interrupt: &Interrupt,
) -> Result<Option<String>, Stop> {
    let mut command = java();
    command.arg("ClusterProducerExample");
    let mut producer = Managed::start(name, command, dir)?;
    let ended = interrupt.wait_until(SCENARIO_MAX, || producer.ended().is_some())?;
    let success = producer.ended().is_some_and(|status| status.success());
    Ok((!ended || !success).then(|| format!("ClusterProducerExample: {:?}", producer.ended())))
}

fn consume(
    java: &impl Fn() -> Command,
    name: &str,
    dir: &Path,
) -> Result<(Managed, Receiver<String>), Stop> {
    let log = dir.join(format!("{name}.log"));
    let mut child = java()
        .arg("ClusterConsumerExample")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(append_to(&log)?)
        .spawn()
        .map_err(Stop::while_doing("starting ClusterConsumerExample"))?;
    let lines = read_lines(&mut child, &log)?;
    Ok((Managed::adopt(name, child), lines))
}

/// Waits for `total` messages, then long enough for one too many.
fn receive(
    lines: &Receiver<String>,
    printed: &mut Printed,
    total: usize,
    interrupt: &Interrupt,
) -> Result<(), Stop> {
    interrupt.wait_until(SEED_RECEIVE_MAX, || {
        lines.try_iter().for_each(|line| printed.line(&line));
        printed.total() >= total
    })?;
    interrupt.wait_until(SEED_SETTLE, || false)?;
    lines.try_iter().for_each(|line| printed.line(&line));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(bodies: impl Iterator<Item = usize>) -> Printed {
        let mut printed = Printed::default();
        printed.line("Consumer started.");
        bodies.for_each(|i| {
            printed
                .line(&format!("ConsumeMessageThread_1 Receive New Messages: Hello RocketMQ {i} "))
        });
        printed
    }

    #[test]
    fn once_each_is_right() {
        assert_eq!(printed(0..10).check(1), None);
        assert_eq!(printed((0..10).chain(0..10)).check(2), None);
    }

    #[test]
    fn a_missing_or_repeated_message_is_told() {
        assert!(printed(0..9).check(1).is_some());
        assert!(printed((0..10).chain([3])).check(1).unwrap().contains("Hello RocketMQ 3\": 2"));
    }
}
