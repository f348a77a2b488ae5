//! Consumers beside the senders: the time from end to end, the backlog, and what is missing.

use crate::fake_broker::{Sends, start_one};
use crate::native::Children;
use crate::program::{Ended, loadgen, only_folder};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// A run against a cluster that may still be starting.
fn run_on(namesrv: &str, base: &Path, more: &[&str]) -> (Value, std::path::PathBuf, String) {
    let start = Instant::now();
    loop {
        let out = tempfile::tempdir_in(base).unwrap().keep();
        let mut run = loadgen();
        run.args(["run", "--namesrv", namesrv, "--no-floor", "--json", "--out"]).arg(&out);
        let ended = run.args(more).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let result = serde_json::from_slice::<Value>(&ended.stdout);
        if let Ok(result) = result
            && result["rows"][0]["acknowledged"].as_u64() > Some(0)
        {
            return (result, only_folder(&out).unwrap(), said);
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_message_is_read_once_and_timed_from_when_it_was_due_in_both_protocols() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let namesrv = children.start_cluster(base.path(), "ASYNC_FLUSH");
    let load = ["--senders", "4", "--rate", "2k/s", "--duration", "1", "--warmup", "0.3"];
    for protocol in ["remoting", "native"] {
        let more = [&load[..], &["--consumers", "2", "--protocol", protocol]].concat();
        let (result, folder, said) = run_on(&namesrv, base.path(), &more);
        let row = &result["rows"][0];
        let consuming = &row["consuming"];
        let count = |name: &str| consuming[name].as_u64().unwrap();
        let acknowledged = row["acknowledged"].as_u64().unwrap();
        let timed = consuming["end_to_end"]["count"].as_u64().unwrap();
        assert_eq!(timed, acknowledged, "each message of the window once: {consuming} {said}");
        assert!(count("messages") >= acknowledged, "the warm-up's too: {consuming}");
        assert_eq!((count("faults"), count("consumers")), (0, 2));
        for fault in ["corrupt", "reordered", "gaps"] {
            assert_eq!(consuming["integrity"][fault], 0, "{consuming}");
        }
        assert!(consuming["integrity"]["incomplete"].is_null(), "{consuming}");
        let end_to_end = consuming["end_to_end"]["p50_us"].as_f64().unwrap();
        assert!(end_to_end > 0.0 && end_to_end < 60e6, "{consuming}");
        assert!(!consuming["backlog"].as_array().unwrap().is_empty(), "over time: {consuming}");
        assert!(
            folder.join(format!("hgrm/{}-end-to-end.hgrm", row["name"].as_str().unwrap())).exists()
        );
        let verified = loadgen().arg("verify").arg(&folder).output().unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
}

#[test]
fn a_message_that_is_read_before_it_was_due_is_a_fault() {
    let broker = start_one(Sends::ReadBeforeDue);
    let more = ["--consumers", "1", "--rate", "200", "--duration", "1", "--warmup", "0"];
    let ended = Ended::run(broker.addr, &more);
    let consuming = &ended.row()["consuming"];
    let faults = consuming["faults"].as_u64().unwrap();
    assert!(faults > 0, "{consuming}");
    assert!(ended.said.contains("were read before they were due"), "{}", ended.said);
    let timed = consuming["end_to_end"]["count"].as_u64().unwrap_or(0);
    assert!(timed + faults <= ended.count("acknowledged"), "no fault is a time: {consuming}");
}

#[test]
fn what_is_acknowledged_and_not_handed_out_makes_the_row_invalid() {
    let broker = start_one(Sends::Acknowledged);
    let ended = Ended::run(broker.addr, &["--consumers", "1", "--rate", "200"]);
    ended.assert_failed();
    assert!(ended.is_invalid_because("did not read everything"), "{}", ended.result);
    assert!(ended.is_invalid_because("gave nothing at offset 0"), "{}", ended.result);
    assert!(ended.count("acknowledged") > 0, "the senders' figures are kept");
    let backlog = ended.row()["consuming"]["backlog_end"].as_u64().unwrap();
    assert!(backlog > 0, "{}", ended.row());
}

#[test]
fn a_backlog_that_is_drained_is_named_hot_or_cold_where_that_is_known() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let namesrv = children.start_cluster(base.path(), "ASYNC_FLUSH");
    let pid = children.0[1].id().to_string();
    let load = ["--senders", "4", "--duration", "0.4", "--warmup", "0.1", "--consume"];
    let (result, ..) =
        run_on(&namesrv, base.path(), &[&load[..], &["--broker-pid", &pid]].concat());
    let (sent, read) = (&result["rows"][0], &result["rows"][1]);
    let label = read["label"].as_str().unwrap();
    assert!(label.starts_with("backlog drain, 8 queues, "), "{label}");
    // What was just written is in memory; the index or a checkpoint may read a little.
    assert!(label.contains("hot (from memory)") || label.contains("partly cold"), "{label}");
    assert!(read["device_read_bytes"].is_u64() && read["broker_resident_bytes"].is_u64());
    let number = |name: &str| sent[name].as_f64().unwrap();
    let (cpu, spin) = (number("broker_cpu_us_per_message"), number("spin_cpu_us_per_message"));
    assert!(cpu > 0.0 && spin >= 0.0, "the broker's process is told, and its spin: {sent}");
    let (result, ..) = run_on(&namesrv, base.path(), &load);
    let label = result["rows"][1]["label"].as_str().unwrap();
    assert!(label.ends_with("hot or cold not known"), "no process was named: {label}");
}

#[test]
fn instructions_are_counted_where_perf_can_and_are_unknown_where_not() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let namesrv = children.start_cluster(base.path(), "ASYNC_FLUSH");
    let pid = children.0[1].id().to_string();
    run_on(&namesrv, base.path(), &["--duration", "0.2", "--warmup", "0"]);
    // A perf that counts: it says so at once for a command, and for processes when it is ended.
    let perf = base.path().join("perf");
    let script = "#!/bin/sh\nsay() { echo '5000000,,instructions,1,100.00,,' >&2; exit 0; }\n\
        case \"$*\" in *' -p '*) trap say INT; while :; do sleep 0.02; done;; *) say;; esac\n";
    std::fs::write(&perf, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&perf, mode).unwrap();
    let path = format!("{}:{}", base.path().display(), std::env::var("PATH").unwrap());
    let mut run = loadgen();
    run.args(["run", "--namesrv", &namesrv, "--broker-pid", &pid, "--no-floor", "--json"]);
    run.args(["--duration", "0.3", "--warmup", "0", "--out"]).arg(base.path().join("counted"));
    let ended = run.env("PATH", path).output().unwrap();
    let result: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let row = &result["rows"][0];
    let messages = row["acknowledged"].as_f64().unwrap();
    let counted = row["instructions_per_message"].as_f64().unwrap();
    assert!((counted * messages / 5e6 - 1.0).abs() < 0.01, "{row}");
    let mut run = loadgen();
    run.args(["run", "--namesrv", &namesrv, "--broker-pid", &pid, "--no-floor", "--json"]);
    run.args(["--duration", "0.2", "--warmup", "0", "--out"]).arg(base.path().join("not"));
    let ended = run.env("PATH", "/nonexistent").output().unwrap();
    let result: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(result["rows"][0]["instructions_per_message"].is_null());
}
