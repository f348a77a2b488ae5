//! The crash test as a program: 20 kills for each promise, and a promise that is not kept is found.

use std::process::{Command, Output};

fn crash(args: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .arg("crash")
        .args(args)
        .arg("--json")
        .arg("--dir")
        .arg(dir.path())
        .output()
        .unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    output
}

fn nothing_is_missing(args: &[&str]) {
    let output = crash(args);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0), "{said}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number =
        |pointer: &str| result.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap();
    eprintln!("{said}");
    assert_eq!((number("/kills"), number("/integrity/lost")), (20, 0));
    assert!(
        number("/kills_in_flight") >= 10 && number("/integrity/acknowledged") > 500,
        "too tame: {said}"
    );
}

#[test]
fn twenty_kills_take_nothing_that_sync_flush_acknowledged() {
    nothing_is_missing(&["--flush", "sync", "--backend", "direct"]);
}

#[test]
fn twenty_kills_take_nothing_that_async_flush_on_mmap_acknowledged() {
    nothing_is_missing(&["--flush", "async", "--backend", "mmap"]);
}

#[test]
fn twenty_kills_take_nothing_that_async_flush_on_direct_acknowledged() {
    nothing_is_missing(&[
        "--flush",
        "async",
        "--backend",
        "direct",
        "--senders",
        "16",
        "--in-flight",
        "16",
    ]);
}

#[test]
fn a_broker_whose_log_goes_back_is_caught() {
    // With an empty tailPath ASYNC_FLUSH on direct acknowledges from memory that goes with the
    // process. The check has to see what a kill takes, else it could not fail at all.
    let output = crash(&[
        "--flush",
        "async",
        "--backend",
        "direct",
        "--broker-config",
        "tailPath=",
        "--kills",
        "8",
        "--senders",
        "32",
        "--in-flight",
        "16",
    ]);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result.get("promised"), Some(&serde_json::Value::Bool(false)));
    let lost = result.pointer("/integrity/lost").and_then(serde_json::Value::as_u64).unwrap();
    assert!(lost > 0, "{result}");
    assert_eq!(output.status.code(), Some(0), "it was not promised: {result}");
}
