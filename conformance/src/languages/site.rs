//! What one check has to work with: the cluster, the language, a topic and groups of its own.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::admin;
use super::program::Program;
use super::toolchain::Toolchain;
use crate::language::Language;
use crate::limits::{BUSY_MAX, BUSY_PAUSE, PROGRAM_RECEIVE_MAX, PROGRAM_SETTLE, ROUTE_MAX};
use crate::process::{Interrupt, Stop};

/// Queues of a topic at each broker.
const QUEUES: u16 = 4;

/// The cluster as programs see it.
#[derive(Debug, Clone)]
pub(crate) struct Outing {
    /// `HOST:PORT;HOST:PORT`.
    pub(crate) namesrv: String,
    /// The same name servers.
    pub(crate) namesrv_ports: [u16; 2],
    /// Name and port of each shard (or master).
    pub(crate) brokers: Vec<(String, u16)>,
    /// For logs, and the programs' home.
    pub(crate) dir: PathBuf,
}

/// One check in one language.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) outing: &'a Outing,
    pub(super) toolchain: &'a Toolchain,
    pub(super) interrupt: &'a Interrupt,
    pub(super) language: Language,
    pub(super) scenario: &'static str,
}

/// Figures worth printing, or why it failed.
pub(super) type Checked = Result<Vec<String>, Stop>;

impl Site<'_> {
    /// The check's own topic; its group is named after it.
    pub(super) fn topic(&self) -> String {
        format!("{}-{}", self.scenario, self.language.name())
    }

    pub(super) fn group(&self) -> String {
        format!("{}-group", self.topic())
    }

    /// Makes the topic at every broker and waits until both name servers know.
    pub(super) fn make_topic(&self) -> Result<(), Stop> {
        let topic = self.topic();
        self.at_every_broker(&topic, |port| admin::create_topic(port, &topic, QUEUES))?;
        self.await_route(&topic)
    }

    /// Until each has done it: on a machine with too much to do an answer may come too late.
    fn at_every_broker(
        &self,
        what: &str,
        make: impl Fn(u16) -> std::io::Result<()>,
    ) -> Result<(), Stop> {
        for (broker, port) in &self.outing.brokers {
            let mut outcome = Ok(());
            self.interrupt.wait_until(ROUTE_MAX, || {
                outcome = make(*port);
                outcome.is_ok()
            })?;
            outcome.map_err(Stop::while_doing(format!("making {what} at {broker}")))?;
        }
        Ok(())
    }

    /// Sets at every broker how often the group's messages may be tried again.
    pub(super) fn make_group(&self, retries_max: u16) -> Result<(), Stop> {
        let group = self.group();
        self.at_every_broker(&group, |port| admin::create_group(port, &group, retries_max))
    }

    /// Waits until both name servers have the topic on every broker.
    pub(super) fn await_route(&self, topic: &str) -> Result<(), Stop> {
        let names: Vec<String> = self.outing.brokers.iter().map(|(name, _)| name.clone()).collect();
        self.await_route_at(topic, &names)
    }

    /// Waits until both name servers have the topic on these brokers.
    pub(super) fn await_route_at(&self, topic: &str, brokers: &[String]) -> Result<(), Stop> {
        let ports = self.outing.namesrv_ports;
        let known = || ports.iter().all(|&port| admin::is_routed(port, topic, brokers));
        if self.interrupt.wait_until(ROUTE_MAX, known)? {
            return Ok(());
        }
        Err(Stop::Cannot(format!("{topic} is not at the name servers within {ROUTE_MAX:?}")))
    }

    /// A producer, or with the verb `transact` one of transactions.
    pub(super) fn producer(&self, verb: &str) -> Result<Program, Stop> {
        let group = format!("{}-producers", self.topic());
        let setup = json!({"namesrv": self.outing.namesrv, "group": group, "topic": self.topic()});
        self.start(verb, &setup, verb)
    }

    /// A consumer of the check's topic and group; `special` has what differs from the usual. Of two
    /// consumers of a topic, one has a `role`: its log is named after it.
    pub(super) fn consumer(&self, special: &Value) -> Result<Inbox, Stop> {
        let mut setup = json!({
            "namesrv": self.outing.namesrv, "group": self.group(), "topic": self.topic(),
            "tags": "*", "sql": "", "orderly": false, "fail_until": 0, "attempts_max": -1,
        });
        for (key, value) in special.as_object().into_iter().flatten() {
            setup[key] = value.clone();
        }
        let told = setup["role"].as_str().or(setup["topic"].as_str()).unwrap_or_default();
        let role = format!("consume-{}", told.replace('%', ""));
        Ok(Inbox { program: self.start("consume", &setup, &role)?, received: Vec::new() })
    }

    /// A program that breaks at its start is started once more: a client gives up at once when a
    /// name server's answer comes too late.
    fn start(&self, verb: &str, setup: &Value, role: &str) -> Result<Program, Stop> {
        let name = format!("{}-{role}", self.topic());
        let start = || {
            let command = self.toolchain.program(self.language);
            Program::start(command, verb, setup, (&name, &self.outing.dir), self.interrupt)
        };
        match start() {
            Err(Stop::Cannot(_)) => start(),
            other => other,
        }
    }
}

/// A message as a consumer's listener got it.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) body: String,
    /// How often it was tried before.
    pub(super) attempt: i64,
    /// By the machine's clock.
    pub(super) at_ms: i64,
    /// The topic it was sent to, when it came by a retry.
    pub(super) from: String,
    /// The broker that it came from; empty where the client does not say.
    pub(super) broker: String,
    /// Its queue there.
    pub(super) queue: i64,
}

/// A consumer and what it has received.
#[derive(Debug)]
pub(super) struct Inbox {
    program: Program,
    pub(super) received: Vec<Received>,
}

impl Inbox {
    /// Receives until `done` says true.
    pub(super) fn wait(
        &mut self,
        what: &str,
        done: impl Fn(&[Received]) -> bool,
    ) -> Result<(), Stop> {
        let end = Instant::now() + PROGRAM_RECEIVE_MAX;
        while !done(&self.received) {
            let left = end.saturating_duration_since(Instant::now());
            let Some(event) = self.program.next(left)? else {
                let bodies: Vec<&str> = self.received.iter().map(|r| r.body.as_str()).collect();
                return Err(Stop::Cannot(format!(
                    "{what}: not within {PROGRAM_RECEIVE_MAX:?}; received {} messages: {}",
                    bodies.len(),
                    shortened(&bodies)
                )));
            };
            self.take(&event);
        }
        Ok(())
    }

    /// Waits until every one of these bodies has come.
    pub(super) fn wait_for_all(&mut self, bodies: &[String]) -> Result<(), Stop> {
        let what = format!("all of {} messages", bodies.len());
        let outcome = self.wait(&what, |received| lacking(bodies, received).is_empty());
        outcome.map_err(|stop| match stop {
            Stop::Cannot(why) => {
                let lacking = lacking(bodies, &self.received);
                Stop::Cannot(format!("{} missing ({}): {why}", lacking.len(), shortened(&lacking)))
            }
            Stop::Interrupted => Stop::Interrupted,
        })
    }

    /// Gives messages that must not come the time to do it.
    pub(super) fn settle(&mut self) -> Result<(), Stop> {
        self.look(PROGRAM_SETTLE)
    }

    /// Takes what comes within this time.
    pub(super) fn look(&mut self, limit: Duration) -> Result<(), Stop> {
        let end = Instant::now() + limit;
        while let Some(event) = self.program.next(end.saturating_duration_since(Instant::now()))? {
            self.take(&event);
        }
        Ok(())
    }

    /// How many messages came more than once (each counted as often as it came again).
    pub(super) fn duplicates(&self) -> usize {
        let mut bodies: Vec<&str> = self.received.iter().map(|r| r.body.as_str()).collect();
        bodies.sort_unstable();
        bodies.windows(2).filter(|pair| pair[0] == pair[1]).count()
    }

    /// SIGKILL; what it had received.
    pub(super) fn killed(mut self) -> Result<Vec<Received>, Stop> {
        self.look(Duration::ZERO)?;
        Ok(self.received)
    }

    /// Ends the consumer in good order.
    pub(super) fn finish(self) -> Result<(), Stop> {
        self.program.finish()
    }

    fn take(&mut self, event: &Value) {
        if event["event"] != "received" {
            return;
        }
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| event[key].as_i64().unwrap_or(-1);
        self.received.push(Received {
            body: text("body"),
            attempt: number("attempt"),
            at_ms: number("at_ms"),
            from: text("from"),
            broker: text("broker"),
            queue: number("queue"),
        });
    }
}

fn lacking<'a>(bodies: &'a [String], received: &[Received]) -> Vec<&'a str> {
    let came = |body: &&String| received.iter().any(|r| r.body == **body);
    bodies.iter().filter(|body| !came(body)).map(String::as_str).collect()
}

/// The first few, for a line of the report.
fn shortened(bodies: &[&str]) -> String {
    let dots = if bodies.len() > 12 { ", …" } else { "" };
    format!("{}{dots}", bodies[..bodies.len().min(12)].join(", "))
}

/// Sends the messages one by one, each of which must be accepted.
pub(super) fn send_each(producer: &mut Program, kind: &str, all: &[Value]) -> Result<(), Stop> {
    for message in all {
        must_be_sent(producer, kind, std::slice::from_ref(message))?;
    }
    Ok(())
}

/// Sends the messages with one order, which must be accepted. A busy broker refuses (code 2) what
/// it has not stored, and is asked again: that is flow control, not a fault.
pub(super) fn must_be_sent(
    producer: &mut Program,
    kind: &str,
    messages: &[Value],
) -> Result<(), Stop> {
    let end = Instant::now() + BUSY_MAX;
    loop {
        match producer.send(kind, messages)? {
            Ok(()) => return Ok(()),
            Err(why) if why.contains("busy") && Instant::now() < end => thread::sleep(BUSY_PAUSE),
            Err(why) => {
                return Err(Stop::Cannot(format!("{kind} send of {messages:?} failed: {why}")));
            }
        }
    }
}

/// Looks at events of a producer until one is `wanted`.
pub(super) fn wait_for_event(
    producer: &mut Program,
    what: &str,
    mut done: impl FnMut(&Value) -> bool,
) -> Result<(), Stop> {
    let end = Instant::now() + PROGRAM_RECEIVE_MAX;
    loop {
        let left: Duration = end.saturating_duration_since(Instant::now());
        match producer.next(left)? {
            Some(event) if done(&event) => return Ok(()),
            Some(_) => {}
            None => {
                return Err(Stop::Cannot(format!("{what}: not within {PROGRAM_RECEIVE_MAX:?}")));
            }
        }
    }
}

/// A `Stop` unless it holds.
pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(Stop::Cannot(why())) }
}
