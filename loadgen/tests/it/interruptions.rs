//! Ctrl-C at each moment: the program ends, keeps what it has, and says that it is not all.

use crate::fake_broker::{FakeBroker, Sends, start_one};
use crate::processes::{processes_with, signal, wait_until_gone};
use crate::program::{Ended, loadgen, only_folder, run_command};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

/// Longer than any test: a run that Ctrl-C does not end is seen.
const FOREVER: &str = "600";

/// A `loadgen run` in progress.
struct Running {
    out: tempfile::TempDir,
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Running {
    fn start(broker: &FakeBroker, more: &[&str]) -> Self {
        let out = tempfile::tempdir().unwrap();
        let mut run = run_command(broker.addr, out.path(), more);
        let mut child = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { out, child, said }
    }

    fn interrupt(mut self) -> Ended {
        signal(self.child.id(), Signal::INT);
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        assert!(said.contains("interrupted"), "{said}");
        Ended::read(self.out, code, said)
    }
}

fn wait_for_sends(broker: &FakeBroker, sends: u64) {
    let start = Instant::now();
    while broker.taken() < sends {
        assert!(start.elapsed() < Duration::from_secs(60), "no sends");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn assert_marked(ended: &Ended, rows: usize) {
    assert!(ended.folder.to_string_lossy().ends_with(".FAIL"), "{:?}", ended.folder);
    assert_eq!(ended.result["rows"].as_array().unwrap().len(), rows, "{}", ended.result);
    let why = ended.result["ended_early"].as_str().unwrap();
    assert!(why.starts_with("interrupted"), "{why}");
    for file in ["README.md", "summary.txt", "report.html", "environment.json"] {
        assert!(ended.folder.join(file).exists(), "{file}");
    }
    let ledger = ended.folder.parent().unwrap().join("ledger.jsonl");
    assert!(std::fs::read_to_string(ledger).unwrap().contains("\"valid\":false"));
}

#[test]
fn in_the_warmup_there_is_no_row_yet() {
    let broker = start_one(Sends::Acknowledged);
    let run = Running::start(&broker, &["--warmup", FOREVER, "--rate", "100"]);
    wait_for_sends(&broker, 5);
    let ended = run.interrupt();
    assert_eq!(ended.code, Some(130), "{}", ended.said);
    assert_marked(&ended, 0);
}

#[test]
fn in_the_window_the_row_has_what_was_measured() {
    for more in [&["--rate", "100"][..], &["--senders", "2", "--threads", "2"]] {
        let broker = start_one(Sends::Acknowledged);
        let more = [more, &["--warmup", "0", "--duration", FOREVER]].concat();
        let run = Running::start(&broker, &more);
        wait_for_sends(&broker, 50);
        let ended = run.interrupt();
        ended.assert_failed();
        assert_marked(&ended, 1);
        assert!(ended.is_invalid_because("interrupted after"), "{}", ended.result);
        assert!(ended.count("acknowledged") > 0, "{}", ended.result);
        let seconds = ended.row()["seconds"].as_f64().unwrap();
        assert!(seconds > 0.0 && seconds < 600.0, "the time that was measured: {seconds}");
        // What was due after the signal was not planned.
        assert!(ended.count("planned") < 60_000, "{}", ended.result);
    }
}

#[test]
fn in_the_drain_the_missing_answers_are_counted() {
    let broker = start_one(Sends::NeverAnswered);
    let run = Running::start(&broker, &["--rate", "100", "--warmup", "0", "--duration", "0.2"]);
    wait_for_sends(&broker, 1);
    // The window is over, and the requests time out after 3 s.
    std::thread::sleep(Duration::from_millis(1200));
    let ended = run.interrupt();
    ended.assert_failed();
    assert_marked(&ended, 1);
    assert!(ended.count("unanswered") > 0, "{}", ended.result);
}

#[test]
fn while_messages_are_read_back_the_row_of_the_load_is_kept() {
    let broker = start_one(Sends::Acknowledged);
    let mut run = Running::start(&broker, &["--consume", "--warmup", "0"]);
    let said = run.said.by_ref().lines().map_while(Result::ok);
    assert!(said.take_while(|line| !line.starts_with("consume and check")).count() > 0);
    let ended = run.interrupt();
    ended.assert_failed();
    assert_marked(&ended, 1);
    assert!(ended.count("acknowledged") > 0);
    assert!(ended.result["integrity"].is_null(), "{}", ended.result);
}

#[test]
fn while_the_children_start_they_are_stopped() {
    let base = tempfile::tempdir().unwrap();
    let (out, store) = (base.path().join("out"), base.path().join("store"));
    let mut quick = loadgen();
    quick.arg("quick").arg("--out").arg(&out).arg("--dir").arg(&store);
    let mut quick = quick.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(quick.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("generator on core")));
    signal(quick.id(), Signal::INT);
    let said: Vec<String> = said.collect();
    assert_eq!(quick.wait().unwrap().code(), Some(130), "{said:?}");
    wait_until_gone(&base.path().display().to_string());
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0, "no store is left");
    assert!(only_folder(&out).unwrap().to_string_lossy().ends_with(".FAIL"));
}

#[test]
fn quick_with_an_invalid_row_ends_well_and_says_which() {
    let base = tempfile::tempdir().unwrap();
    let mut quick = loadgen();
    quick.args(["quick", "--seconds-per-phase", "0.5", "--no-floor"]);
    quick.args(["--broker-config", "mappedFileSizeCommitLog=67108864"]);
    quick.arg("--out").arg(base.path());
    let mut quick = quick.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(quick.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("1 sender")));
    // The broker stands still for longer than a request waits.
    let mark = format!("mqbroker --exit-with-parent -c {}", base.path().display());
    let broker = processes_with(&mark);
    let [(pid, _)] = &broker[..] else { panic!("one broker: {broker:?}") };
    signal(*pid, Signal::STOP);
    std::thread::sleep(Duration::from_millis(3_700));
    signal(*pid, Signal::CONT);
    let said: Vec<String> = said.collect();
    let ended = quick.wait_with_output().unwrap();
    let table = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(ended.status.code(), Some(0), "{said:?} {table}");
    assert!(table.contains("INVALID  1 sender"), "{table}");
    assert!(table.contains("integrity OK") && !table.contains("RUN INVALID"), "{table}");
    assert!(!only_folder(base.path()).unwrap().to_string_lossy().ends_with(".FAIL"));
}
