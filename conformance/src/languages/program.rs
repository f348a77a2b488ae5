//! One running program: its orders, its events.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dialogue::read_lines;
use crate::limits::{POLL, PROGRAM_END_MAX, PROGRAM_EVENT_MAX};
use crate::process::{Interrupt, Managed, Stop, append_to};

/// Killed when dropped.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    process: Managed,
    lines: Receiver<String>,
    interrupt: Interrupt,
    /// Events that came while another was waited for.
    early: Vec<Value>,
}

/// How an order ended: the reason, when it failed.
pub(super) type Sent = Result<(), String>;

impl Program {
    /// Starts it and waits until it says that it is ready.
    pub(super) fn start(
        mut command: Command,
        verb: &str,
        setup: &Value,
        (name, dir): (&str, &Path),
        interrupt: &Interrupt,
    ) -> Result<Self, Stop> {
        let log = dir.join(format!("{name}.log"));
        let mut child = command
            .arg(verb)
            .arg(setup.to_string())
            .env("HOME", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(append_to(&log)?)
            .spawn()
            .map_err(Stop::while_doing(format!("starting {name}")))?;
        let lines = read_lines(&mut child, &log)?;
        let process = Managed::adopt(name, child);
        let (name, interrupt) = (name.to_owned(), interrupt.clone());
        let mut program = Self { name, process, lines, interrupt, early: Vec::new() };
        program.wait_for(|event| event["event"] == "ready")?;
        Ok(program)
    }

    /// Has the messages sent, and waits for the outcome.
    pub(super) fn send(&mut self, kind: &str, messages: &[Value]) -> Result<Sent, Stop> {
        let order = json!({"kind": kind, "messages": messages});
        if let Some(stdin) = self.process.child().stdin.as_mut() {
            writeln!(stdin, "{order}")
                .and_then(|()| stdin.flush())
                .map_err(Stop::while_doing(format!("{}: giving the order {order}", self.name)))?;
        }
        let done = self.wait_for(|event| event["event"] == "sent" || event["event"] == "failed")?;
        if done["event"] == "sent" {
            return Ok(Ok(()));
        }
        Ok(Err(done["why"].as_str().unwrap_or("no reason given").to_owned()))
    }

    /// The next event within this time.
    pub(super) fn next(&mut self, limit: Duration) -> Result<Option<Value>, Stop> {
        if !self.early.is_empty() {
            return Ok(Some(self.early.remove(0)));
        }
        self.fresh(Instant::now() + limit)
    }

    fn wait_for(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Stop> {
        let end = Instant::now() + PROGRAM_EVENT_MAX;
        while let Some(event) = self.fresh(end)? {
            if wanted(&event) {
                return Ok(event);
            }
            self.early.push(event);
        }
        Err(Stop::Cannot(format!("{}: no answer within {PROGRAM_EVENT_MAX:?}", self.name)))
    }

    /// A line that is no event is the client's own chatter.
    fn fresh(&mut self, end: Instant) -> Result<Option<Value>, Stop> {
        loop {
            self.interrupt.check()?;
            match self.lines.recv_timeout(POLL) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(event) if event["event"] == "broken" => {
                        let why = event["why"].as_str().unwrap_or("");
                        return Err(Stop::Cannot(format!("{}: {why}", self.name)));
                    }
                    Ok(event) if event["event"].is_string() => return Ok(Some(event)),
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => {
                    let ended = self.process.ended();
                    return Err(Stop::Cannot(format!("{} has ended: {ended:?}", self.name)));
                }
            }
        }
    }

    /// Ends it in good order, so that it takes leave of the broker; a program that does not end is
    /// killed.
    pub(super) fn finish(mut self) -> Result<(), Stop> {
        drop(self.process.child().stdin.take());
        self.interrupt.wait_until(PROGRAM_END_MAX, || self.process.ended().is_some())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Program, Stop> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]);
        let interrupt = Interrupt::set_for_test(false);
        Program::start(command, "produce", &json!({}), ("t", dir.path()), &interrupt)
    }

    #[test]
    fn orders_are_answered_in_turn_and_early_events_are_kept() {
        let script = r#"echo '{"event":"ready"}'; read a; echo chatter; echo '{"event":"asked"}'
            echo '{"event":"sent"}'; read b; echo '{"event":"failed","why":"full"}'; read c"#;
        let mut program = shell(script).unwrap();
        assert_eq!(program.send("sync", &[]).unwrap(), Ok(()));
        assert_eq!(program.send("sync", &[]).unwrap(), Err("full".to_owned()));
        let early = program.next(Duration::ZERO).unwrap().unwrap();
        assert_eq!(early["event"], "asked");
        program.finish().unwrap();
    }

    #[test]
    fn a_program_that_breaks_gives_its_reason() {
        let error = shell(r#"echo '{"event":"broken","why":"no route"}'"#).unwrap_err();
        assert!(error.to_string().contains("no route"), "{error}");
        let error = shell("exit 3").unwrap_err();
        assert!(error.to_string().contains("has ended"), "{error}");
    }
}
