//! One Java program: its lines read, its requests granted, its verdict taken.
//!
//! The program writes `@ASK what` and waits for a line (`ok …` or `no …`), `@NOTE figure`, `@FAIL
//! reason`; everything else is just logged. Its exit status 0 is a pass.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;

use crate::limits::{POLL, SCENARIO_MAX};
use crate::process::{Interrupt, Managed, Stop, append_to};

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// Empty for a pass.
    pub(crate) failure: Option<String>,
    /// The failure is known and not the fault of the servers under test: it is not counted.
    pub(crate) excused: bool,
    /// Figures worth showing.
    pub(crate) notes: Vec<String>,
}

impl Verdict {
    /// As it is printed.
    pub(crate) fn word(&self) -> &'static str {
        match (&self.failure, self.excused) {
            (None, _) => "PASS",
            (Some(_), false) => "FAIL",
            (Some(_), true) => "KNOWN",
        }
    }

    /// It fails the whole run.
    pub(crate) fn counts(&self) -> bool {
        self.failure.is_some() && !self.excused
    }
}

/// A line of the program, understood.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Ask(&'a str),
    Note(&'a str),
    Fail(&'a str),
    Other,
}

fn understand(line: &str) -> Line<'_> {
    match line.split_once(' ') {
        Some(("@ASK", rest)) => Line::Ask(rest),
        Some(("@NOTE", rest)) => Line::Note(rest),
        Some(("@FAIL", rest)) => Line::Fail(rest),
        _ => Line::Other,
    }
}

/// Runs the program to its end; `grant` does what it asks for (with the program's process id).
pub(crate) fn hold(
    command: Command,
    name: &str,
    dir: &Path,
    interrupt: &Interrupt,
    mut grant: impl FnMut(&str, u32) -> Result<String, Stop>,
) -> Result<Verdict, Stop> {
    let (mut program, lines) = start(command, name, dir)?;
    let mut verdict = Verdict::default();
    let end = Instant::now() + SCENARIO_MAX;
    loop {
        interrupt.check()?;
        if Instant::now() > end {
            verdict.failure = Some(format!("not done within {SCENARIO_MAX:?}"));
            return Ok(verdict);
        }
        match lines.recv_timeout(POLL) {
            Ok(line) => heed(&line, &mut program, &mut verdict, &mut grant)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let ended = interrupt.wait_until(POLL * 100, || program.ended().is_some())?;
    let passed = ended && program.ended().is_some_and(|status| status.success());
    if !passed && verdict.failure.is_none() {
        verdict.failure =
            Some(format!("the program ended without a verdict: {:?}", program.ended()));
    }
    Ok(verdict)
}

fn heed(
    line: &str,
    program: &mut Managed,
    verdict: &mut Verdict,
    grant: &mut impl FnMut(&str, u32) -> Result<String, Stop>,
) -> Result<(), Stop> {
    match understand(line) {
        Line::Note(text) => verdict.notes.push(text.to_owned()),
        Line::Fail(text) => verdict.failure = Some(text.to_owned()),
        Line::Ask(what) => {
            let answer = match grant(what, program.id()) {
                Ok(done) => format!("ok {done}\n"),
                Err(Stop::Interrupted) => return Err(Stop::Interrupted),
                Err(Stop::Cannot(why)) => format!("no {}\n", why.lines().next().unwrap_or("")),
            };
            // A program that has ended meanwhile says so by its exit status.
            if let Some(stdin) = program.child().stdin.as_mut() {
                let _ = stdin.write_all(answer.as_bytes()).and_then(|()| stdin.flush());
            }
        }
        Line::Other => {}
    }
    Ok(())
}

fn start(
    mut command: Command,
    name: &str,
    dir: &Path,
) -> Result<(Managed, Receiver<String>), Stop> {
    let log = dir.join(format!("{name}.log"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(append_to(&log)?)
        .spawn()
        .map_err(Stop::while_doing(format!("starting the program of {name}")))?;
    let lines = read_lines(&mut child, &log)?;
    Ok((Managed::adopt(name, child), lines))
}

/// A thread copies the program's output to the log and hands every line on; the channel closes when
/// the output does.
pub(crate) fn read_lines(child: &mut Child, log: &Path) -> Result<Receiver<String>, Stop> {
    let (lines_in, lines): (Sender<String>, _) = channel();
    let mut copy = append_to(log)?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Stop::Cannot("a program without a pipe for its output".into()));
    };
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // The log is a help for the reader, not the verdict: losing a line of it loses nothing.
            let _ = writeln!(copy, "{line}");
            if lines_in.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Verdict, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut asked = Vec::new();
        let interrupt = Interrupt::set_for_test(false);
        let verdict = hold(command, "t", dir.path(), &interrupt, |what, _| {
            asked.push(what.to_owned());
            if what == "impossible" { Err(Stop::Cannot("cannot".into())) } else { Ok("7".into()) }
        });
        (verdict.unwrap(), asked)
    }

    #[test]
    fn exit_zero_is_a_pass_with_its_notes() {
        let (verdict, _) = shell("echo noise; echo '@NOTE 3 ms'; exit 0");
        assert_eq!(verdict, Verdict { notes: vec!["3 ms".into()], ..Verdict::default() });
    }

    #[test]
    fn a_failure_carries_the_programs_reason() {
        let (verdict, _) = shell("echo '@FAIL 2 messages missing'; exit 1");
        assert_eq!(verdict.failure.as_deref(), Some("2 messages missing"));
    }

    #[test]
    fn a_silent_death_is_a_failure() {
        let (verdict, _) = shell("exit 3");
        assert!(verdict.failure.unwrap().contains("without a verdict"));
    }

    #[test]
    fn requests_are_granted_and_answered() {
        let (verdict, asked) = shell(
            "echo '@ASK restart-broker'; read a; echo \"@NOTE $a\"; echo '@ASK impossible'; read \
                b; echo \"@NOTE $b\"",
        );
        assert_eq!(asked, ["restart-broker", "impossible"]);
        assert_eq!(verdict.notes, ["ok 7", "no cannot"]);
    }
}
