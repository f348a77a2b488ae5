//! What goes wrong around a run: a clear message, what was measured is kept and marked, and the
//! exit status is not 0. Name servers that nobody reaches, brokers that die and Ctrl-C at each
//! moment are in the files beside this one.

use crate::fake_broker::{Sends, start_one};
use crate::processes::{processes_with, signal, wait_until_gone};
use crate::program::{Ended, loadgen, only_folder, run_command};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_topic_that_may_not_be_written_is_named_and_not_made_anew() {
    let broker = start_one(Sends::ReadOnly);
    let ended = Ended::run(broker.addr, &["--topic", "Orders"]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("topic Orders exists and has no queue that may be written"));
    assert!(ended.said.contains("updateTopic -p 6"), "the fix: {}", ended.said);
    assert_eq!(broker.taken(), 0, "neither created nor written");
    assert!(ended.folder.to_string_lossy().ends_with(".FAIL"));
}

/// A file system of a few KiB; unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// `None`, said loudly, where this host does not let a test mount: the only reason for which a
    /// test may end early.
    fn new(kibibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kibibytes}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        eprintln!("SKIPPED: this host does not let a test mount a file system of its own");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_is_full_for_the_results_costs_the_files_and_not_the_figures() {
    let Some(disk) = Small::new(64) else { return };
    let broker = start_one(Sends::Acknowledged);
    let ended = run_command(broker.addr, disk.0.path(), &["--senders", "2"]).output().unwrap();
    let said = said(&ended);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("cannot write ") && said.contains(&*disk.0.path().to_string_lossy()));
    // What was measured is on standard output all the same, and marked.
    assert!(said.contains("2 senders × 1 in flight") && said.contains("not whole"), "{said}");
    let folder = only_folder(disk.0.path()).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "{folder:?}");
}

#[test]
fn a_disk_that_is_too_small_for_the_brokers_store_is_told_before_it_starts() {
    let Some(disk) = Small::new(8_192) else { return };
    let out = tempfile::tempdir().unwrap();
    let mut quick = loadgen();
    quick.args(["quick", "--seconds-per-phase", "0.5", "--no-floor", "--dir"]).arg(disk.0.path());
    let ended = quick.arg("--out").arg(out.path()).output().unwrap();
    let said = said(&ended);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("free, the store may need") && said.contains("--dir"), "{said}");
    assert_eq!(std::fs::read_dir(disk.0.path()).unwrap().count(), 0, "no store is left");
}

#[test]
fn a_broker_whose_disk_fills_refuses_and_the_rows_say_so() {
    let Some(disk) = Small::new(96 << 10) else { return };
    let base = tempfile::tempdir().unwrap();
    let mut children = crate::native::Children(Vec::new());
    let namesrv = children.start_cluster_in(base.path(), disk.0.path(), "ASYNC_FLUSH");
    let start = std::time::Instant::now();
    // Files of 64 MiB on a disk of 96 MiB: the second does not fit. A slow machine needs several
    // runs to get there.
    let wrong = |ended: &Ended| ended.count("failed") + ended.count("unanswered");
    let ended = loop {
        let out = tempfile::tempdir().unwrap();
        let mut run = loadgen();
        run.args(["run", "--namesrv", &namesrv, "--no-floor", "--senders", "16"]);
        run.args(["--size", "128KiB", "--warmup", "0", "--duration", "2", "--out"]).arg(out.path());
        let ended = run.output().unwrap();
        let told = said(&ended);
        if told.contains("CPU/msg") {
            let ended = Ended::read(out, ended.status.code(), told);
            if wrong(&ended) > 0 {
                break ended;
            }
        }
        assert!(start.elapsed().as_secs() < 90, "the disk does not fill");
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    ended.assert_failed();
    assert!(!ended.row()["errors"].as_object().unwrap().is_empty(), "{}", ended.said);
    assert!(ended.said.contains("errors   16 senders"), "by name, in the broker's words");
}

#[test]
fn on_a_terminal_of_40_columns_no_line_of_the_result_is_broken() {
    let broker = start_one(Sends::Acknowledged);
    let out = tempfile::tempdir().unwrap();
    let run = run_command(broker.addr, out.path(), &["--senders", "2"]);
    let words = run.get_args().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let line = format!(
        "stty cols 40 rows 24; {} {} 2>/dev/null",
        run.get_program().to_string_lossy(),
        words.join(" ")
    );
    let terminal = Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    let Ok(terminal) = terminal else {
        eprintln!("SKIPPED: no `script` here to make a terminal");
        return;
    };
    let shown = String::from_utf8_lossy(&terminal.stdout).replace('\r', "");
    assert!(shown.contains("RT p50") && shown.contains("  rate"), "{shown}");
    let folder = only_folder(out.path()).unwrap().display().to_string();
    let figures =
        shown.lines().filter(|line| !folder.contains(line.trim()) && !line.contains("report.html"));
    for line in figures {
        assert!(line.chars().count() <= 40, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn ctrl_c_twice_ends_at_once_and_leaves_no_process() {
    let base = tempfile::tempdir().unwrap();
    let mark = base.path().display().to_string();
    let mut quick = loadgen();
    quick.args(["quick", "--seconds-per-phase", "5", "--no-floor", "--out"]);
    quick.arg(base.path().join("out")).arg("--dir").arg(base.path().join("store"));
    let mut quick = quick.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(quick.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("1 sender")));
    // The broker does not stop: its SIGTERM waits as long as it stands still.
    let broker = processes_with(&format!("mqbroker --exit-with-parent -c {mark}"));
    let [(pid, _)] = &broker[..] else { panic!("one broker: {broker:?}") };
    signal(*pid, Signal::STOP);
    signal(quick.id(), Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    signal(quick.id(), Signal::INT);
    assert_eq!(quick.wait().unwrap().code(), Some(130));
    signal(*pid, Signal::CONT);
    wait_until_gone(&mark);
    let folder = only_folder(&base.path().join("out")).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "{folder:?}");
}

#[test]
fn two_at_once_have_folders_of_their_own_and_say_that_they_disturbed_each_other() {
    let (broker, out) = (start_one(Sends::Acknowledged), tempfile::tempdir().unwrap());
    let start = |duration: &str| {
        let more = ["--rate", "100", "--duration", duration, "--json"];
        let mut run = run_command(broker.addr, out.path(), &more);
        run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (longer, shorter) = (start("4"), start("1"));
    let shorter = shorter.wait_with_output().unwrap();
    let result: serde_json::Value = serde_json::from_slice(&shorter.stdout).unwrap();
    let notes = result["notes"].to_string();
    assert!(notes.contains("another loadgen ran on this host"), "{notes}");
    assert!(notes.contains(&longer.id().to_string()), "its process: {notes}");
    assert!(longer.wait_with_output().unwrap().status.code().is_some());
    let entries = std::fs::read_dir(out.path()).unwrap().flatten().map(|entry| entry.path());
    let folders: Vec<PathBuf> = entries.filter(|path| path.join("result.json").exists()).collect();
    assert_eq!(folders.len(), 2, "{folders:?}");
    let ledger = std::fs::read_to_string(out.path().join("ledger.jsonl")).unwrap();
    assert_eq!(ledger.lines().count(), 2, "{ledger}");
    assert!(ledger.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn result_files_of_others_are_read_refused_with_their_path_or_found_wrong() {
    let ended = Ended::run(start_one(Sends::Acknowledged).addr, &["--rate", "200"]);
    let base = tempfile::tempdir().unwrap();
    let copy = |name: &str, change: &dyn Fn(&Path)| {
        let folder = base.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(&ended.folder).unwrap().flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
            }
        }
        change(&folder);
        folder
    };
    let log = || "open-200.hlog";
    let spoil_log = |bytes: &'static [u8]| {
        move |folder: &Path| std::fs::write(folder.join(log()), bytes).unwrap()
    };
    let result = |text: &'static str| {
        move |folder: &Path| std::fs::write(folder.join("result.json"), text).unwrap()
    };
    for (name, change, why) in [
        ("binary", &spoil_log(b"\0\xff\xfe\n\n") as &dyn Fn(&Path), "open-200.hlog"),
        ("cut", &spoil_log(b"Tag=response,0.0,1.0,1.0,HIST"), "open-200.hlog"),
        ("newer", &result(r#"{"schema":99}"#), "use the loadgen that wrote it"),
        ("no-json", &result("<html>"), "can't be read"),
        ("nested", &result("[[[[[[[[[[[[[["), "can't be read"),
        (
            "gone",
            &|folder: &Path| std::fs::remove_file(folder.join("result.json")).unwrap(),
            "cannot read",
        ),
    ] {
        let folder = copy(name, change);
        for command in ["verify", "report"] {
            let ended = loadgen().arg(command).arg(&folder).output().unwrap();
            let said = said(&ended);
            assert!(matches!(ended.status.code(), Some(1 | 7)), "{command} {name}: {said}");
            assert!(said.contains(why) && !said.contains("panicked"), "{command} {name}: {said}");
        }
    }
    let whole = copy("whole", &|_| ());
    assert!(loadgen().arg("report").arg(&whole).output().unwrap().status.success());
}
