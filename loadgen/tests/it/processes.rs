//! Real processes: children end with their parent, errors say what to do.

use crate::program::{loadgen, only_folder};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn a_child_ends_when_its_parents_pipe_closes() {
    let mut child = loadgen()
        .args(["noop-target", "--exit-with-parent"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut addr = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut addr).unwrap();
    assert!(addr.trim().parse::<std::net::SocketAddr>().is_ok(), "{addr:?}");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(3), "the child outlived its parent's pipe");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn nobody_listening_is_an_error_that_names_the_peer_and_is_kept_as_a_failed_run() {
    let out = tempfile::tempdir().unwrap();
    let ended = loadgen()
        .args(["run", "--namesrv", "127.0.0.1:1", "--duration", "1", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        said.contains("cannot connect to name server 127.0.0.1:1")
            && said.contains("Is it running"),
        "{said}"
    );
    let folder = only_folder(out.path()).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "{folder:?}");
    let result = std::fs::read_to_string(folder.join("result.json")).unwrap();
    assert!(result.contains("cannot connect to name server 127.0.0.1:1"), "{result}");
}

#[test]
fn wrong_arguments_are_status_2() {
    assert_eq!(loadgen().args(["run"]).output().unwrap().status.code(), Some(2));
}

/// Starts `quick` with a store and results below `base`, and waits until its broker runs.
fn start_quick(base: &std::path::Path) -> std::process::Child {
    let mut quick = loadgen();
    quick
        .args(["quick", "--seconds-per-phase", "10", "--no-floor", "--out"])
        .arg(base.join("out"))
        .arg("--dir")
        .arg(base.join("store"));
    let mut quick = quick.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(quick.stderr.take().unwrap());
    assert!(
        said.lines().map_while(Result::ok).any(|line| line.starts_with("1 sender")),
        "quick ended before it measured"
    );
    quick
}

/// Process ids and command lines of the processes that mention `mark`.
pub(crate) fn processes_with(mark: &str) -> Vec<(u32, String)> {
    let each = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = each.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        Some((pid, line.replace('\0', " ")))
    });
    lines.filter(|(_, line)| line.contains(mark)).collect()
}

pub(crate) fn wait_until_gone(mark: &str) {
    let start = Instant::now();
    while !processes_with(mark).is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "still there: {:?}",
            processes_with(mark)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn ctrl_c_stops_the_children_removes_the_store_and_keeps_the_folder() {
    let base = tempfile::tempdir().unwrap();
    let mark = base.path().display().to_string();
    let mut quick = start_quick(base.path());
    assert!(
        processes_with(&mark).len() >= 3,
        "quick, broker, name server: {:?}",
        processes_with(&mark)
    );
    assert_eq!(
        std::fs::read_dir(base.path().join("store")).unwrap().count(),
        1,
        "the store is there while it runs"
    );
    signal(quick.id(), rustix::process::Signal::INT);
    // 130 in the warm-up, where nothing is measured yet; 4 if the machine was slow to signal.
    assert!(matches!(quick.wait().unwrap().code(), Some(4 | 130)));
    wait_until_gone(&mark);
    assert_eq!(
        std::fs::read_dir(base.path().join("store")).unwrap().count(),
        0,
        "the temporary store is gone"
    );
    let folder = only_folder(&base.path().join("out")).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL") && folder.join("result.json").exists());
    assert!(folder.join("config/mqbroker.log").exists(), "and what the children said");
}

#[test]
fn children_do_not_outlive_a_killed_parent() {
    let base = tempfile::tempdir().unwrap();
    let mark = base.path().display().to_string();
    let mut quick = start_quick(base.path());
    quick.kill().unwrap();
    quick.wait().unwrap();
    wait_until_gone(&mark);
    let folder = only_folder(&base.path().join("out")).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "killed, and marked: {folder:?}");
}

#[test]
fn quick_measures_checks_and_reports_with_no_set_up() {
    let base = tempfile::tempdir().unwrap();
    let ended = loadgen()
        .args(["quick", "--seconds-per-phase", "0.5", "--json", "--out"])
        .arg(base.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{} {said}", ended.status);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let rows = result["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["closed-1x1", "closed-64x1", "closed-16x8", "open-half", "consume"]);
    assert!(
        rows[..4].iter().all(|row| row["floor"]["rate_per_s"].as_f64().unwrap() > 0.0),
        "a floor beside every load"
    );
    let integrity = &result["integrity"];
    assert!(integrity["acknowledged"].as_u64().unwrap() > 0);
    assert_eq!(
        (
            integrity["lost"].as_u64(),
            integrity["duplicated"].as_u64(),
            integrity["incomplete"].is_null()
        ),
        (Some(0), Some(0), true)
    );
    assert!(result["durability"].as_str().unwrap().contains("ASYNC_FLUSH"));
    let left: Vec<_> =
        std::fs::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the run's folder and the ledger, no store: {left:?}");
}
