//! `matrix` and `replication-cost`, as their users run them.

use crate::fake_broker::{Sends, start_one};
use crate::processes::{processes_with, signal, wait_until_gone};
use crate::program::{Ended, loadgen, only_folder, unless_the_disk_stands_still};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SHORT: [&str; 8] = [
    "--blocks",
    "2",
    "--warmup",
    "0.05",
    "--rate",
    "200/s",
    "--broker-config",
    "mappedFileSizeCommitLog=67108864",
];

fn command(name: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = loadgen();
    command.args([name, "--no-floor", "--out"]).arg(out).args(SHORT).args(more);
    if !more.contains(&"--duration") {
        command.args(["--duration", "0.2"]);
    }
    command
}

fn run(name: &str, more: &[&str]) -> Ended {
    let out = tempfile::tempdir().unwrap();
    let ended = command(name, out.path(), more).output().unwrap();
    let said = [&ended.stdout[..], &ended.stderr[..]].concat();
    Ended::read(out, ended.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn names(ended: &Ended) -> Vec<&str> {
    let rows = ended.result["rows"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

fn cost<'a>(ended: &'a Ended, from: &str, to: &str, load: &str) -> &'a Value {
    let costs = ended.result["matrix"]["costs"].as_array().unwrap();
    let is_it = |cost: &&Value| {
        let key = &cost["key"];
        cost["from"] == from && key["slaves"] == to && key["load"] == load
    };
    costs.iter().find(is_it).unwrap_or_else(|| panic!("no {from} {to} {load}: {}", ended.said))
}

#[test]
fn replication_cost_starts_masters_and_slaves_and_says_what_waiting_costs() {
    let ended =
        run("replication-cost", &["--flush", "async", "--loads", "1x1,4x4", "--duration", "0.6"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let mut expected = Vec::new();
    for load in ["1x1", "4x4", "open"] {
        expected.extend(["none", "async", "sync"].map(|it| format!("ringmq-async-{it}-{load}")));
    }
    let rows = names(&ended);
    for name in &expected {
        assert!(rows.contains(&name.as_str()), "{name} is not in {rows:?}");
    }
    // Each visit of both blocks is a window: 2 × 2 × 9 of them, and a heading.
    let windows = std::fs::read_to_string(ended.folder.join("windows.csv")).unwrap();
    assert_eq!(windows.lines().count(), 1 + 2 * 2 * 9);
    let waits = cost(&ended, "async", "sync", "1x1");
    let pairs = waits["compared"][0]["pairs"].as_array().unwrap().len() as u64;
    let left_out = waits["compared"][0]["invalid_pairs"].as_u64().unwrap();
    assert_eq!(pairs + left_out, 2, "a pair for each block: {waits}");
    let sentence = "RingMQ, ASYNC_FLUSH, 1x1: sync replication costs";
    assert!(
        ended.said.contains(sentence) && ended.said.contains("with 1 sender"),
        "{}",
        ended.said
    );
    assert!(ended.result["answer"].as_str().unwrap().contains("4 senders × 4 in flight"));
    let page = std::fs::read_to_string(ended.folder.join("report.html")).unwrap();
    assert!(page.contains("Throughput lost") && page.contains("Added to p50"));
    // The stages of native sends: only who waits for a slave has a wait in that stage.
    let wait_us = |slaves: &str| {
        let name = format!("native-ringmq-async-{slaves}-1x1");
        let rows = ended.result["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == name.as_str()).unwrap();
        // Nothing is known where a busy machine let no message through.
        row["stages"]["stages"][4]["mean_us"].as_f64()
    };
    assert!(wait_us("sync").is_none_or(|us| us > 0.0), "{}", ended.said);
    for slaves in ["none", "async"] {
        assert!(wait_us(slaves).is_none_or(|us| us == 0.0), "{slaves}: {}", ended.said);
    }
    assert_eq!(std::fs::read_dir(ended.out()).unwrap().count(), 2, "folder and ledger, no store");
    let held = loadgen().arg("verify").arg(&ended.folder).output().unwrap();
    let told = [&held.stdout[..], &held.stderr[..]].concat();
    assert!(held.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn a_matrix_has_a_row_for_each_batch_size_and_flush_policy() {
    let more = ["--slaves", "none", "--batches", "1,4", "--loads", "2x2", "--no-equal-rate"];
    let out = tempfile::tempdir().unwrap();
    let mut matrix = loadgen();
    matrix.args(["matrix", "--no-floor", "--out"]).arg(out.path()).args(more);
    matrix.args(["--blocks", "1", "--duration", "0.2", "--warmup", "0.05", "--json"]);
    matrix.args(["--broker-config", "mappedFileSizeCommitLog=67108864"]);
    let (ended, said) = unless_the_disk_stands_still(|| {
        let ended = matrix.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        (!said.contains("the closed loop had no answers"), (ended, said))
    });
    let result: Value = serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{said}"));
    let cells: Vec<(String, u64)> = result["matrix"]["cells"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cell| {
            let key = &cell["key"];
            (key["flush"].as_str().unwrap().to_owned(), key["batch"].as_u64().unwrap())
        })
        .collect();
    let each = [("ASYNC_FLUSH", 1), ("ASYNC_FLUSH", 4), ("SYNC_FLUSH", 1), ("SYNC_FLUSH", 4)];
    assert_eq!(cells, each.map(|(flush, batch)| (flush.to_owned(), batch)), "{said}");
    assert_eq!(result["matrix"]["order"], "N N");
}

#[test]
fn running_clusters_are_compared_and_a_known_difference_is_found() {
    let late = |by_ms| {
        start_one(Sends::Late { by: Duration::from_millis(by_ms), per_s: 1e6 }).addr.to_string()
    };
    let clusters = [format!("async={}", late(10)), format!("sync={}", late(110))];
    let more = ["--cluster", &clusters[0], "--cluster", &clusters[1], "--loads", "8x1"];
    let ended = run("replication-cost", &[&more[..], &["--duration", "0.6"]].concat());
    let cost = cost(&ended, "async", "sync", "8x1");
    let p50 = cost["differences"].as_array().unwrap();
    let p50 = p50.iter().find(|one| one["metric"] == "p50").unwrap_or_else(|| panic!("{cost}"));
    let added_us = p50["mean_us"].as_f64().unwrap();
    assert!((50_000.0..400_000.0).contains(&added_us), "110 ms beside 10 ms: {p50}");
    assert!(ended.said.contains("cluster, its own flush policy, 8x1: sync replication costs"));
}

#[test]
fn ctrl_c_keeps_the_windows_so_far_and_leaves_no_process() {
    let out = tempfile::tempdir().unwrap();
    let mark = out.path().display().to_string();
    let more = ["--flush", "async", "--slaves", "async,sync", "--loads", "1x1"];
    let mut command = command("replication-cost", out.path(), &more);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = said.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("block 1 of 2, row 3")), "it ended before");
    assert!(processes_with(&mark).len() >= 7, "itself, two name servers, masters, slaves");
    signal(child.id(), rustix::process::Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(4));
    wait_until_gone(&mark);
    let folder = only_folder(out.path()).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "{folder:?}");
    let result = std::fs::read(folder.join("result.json")).unwrap();
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert!(!result["rows"].as_array().unwrap().is_empty());
    assert!(result["ended_early"].as_str().unwrap().starts_with("interrupted"));
}

#[test]
fn without_java_the_other_broker_is_refused_with_the_fix() {
    let out = tempfile::tempdir().unwrap();
    let jars = out.path().join("jars").display().to_string();
    let more = ["--broker", "apache", "--apache-jars", &jars];
    let mut command = command("replication-cost", out.path(), &more);
    let ended = command.env("JAVA", "no-such-java").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("needs Java") && said.contains("variable JAVA"), "{said}");
}
