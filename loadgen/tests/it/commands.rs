//! The commands that search, compare and check, as their users run them.

use crate::fake_broker::{FakeBroker, Sends, start_one};
use crate::program::{Ended, loadgen};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// Brokers that answer this late: far above any noise of the machine that the tests run on.
fn late(by_ms: u64) -> FakeBroker {
    start_one(Sends::Late { by: Duration::from_millis(by_ms), per_s: 1e6 })
}

fn said(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Runs a command that measures, into a folder of its own.
fn measured(command: &[&str], more: &[&str]) -> Ended {
    let out = tempfile::tempdir().unwrap();
    let mut run = loadgen();
    run.args(command).args(["--warmup", "0.1", "--out"]).arg(out.path()).args(more);
    let ended = run.output().unwrap();
    Ended::read(out, ended.status.code(), said(&ended))
}

#[test]
fn a_sweep_has_a_row_for_each_rate_and_draws_the_curve() {
    let namesrv = late(20).addr.to_string();
    let rates = ["--rates", "100,200/s,0.4k/s", "--duration", "0.3", "--no-floor"];
    let ended = measured(&["sweep", "--namesrv", &namesrv, "--senders", "4"], &rates);
    let rows = ended.result["rows"].as_array().unwrap();
    let planned: Vec<f64> =
        rows.iter().map(|row| row["planned_rate_per_s"].as_f64().unwrap()).collect();
    assert_eq!(planned, [100.0, 200.0, 400.0], "{}", ended.said);
    let page = std::fs::read_to_string(ended.folder.join("report.html")).unwrap();
    assert!(page.contains("Response time by rate"), "the curve is drawn");
}

#[test]
fn a_sweep_without_rates_ends_where_a_closed_loop_does() {
    let namesrv = late(20).addr.to_string();
    let steps = ["--steps", "2", "--duration", "1", "--no-floor", "--in-flight", "4"];
    let ended = measured(&["sweep", "--namesrv", &namesrv, "--senders", "2"], &steps);
    let rows = ended.result["rows"].as_array().unwrap();
    let closed = rows[0]["rate_per_s"].as_f64().unwrap();
    let last = rows[2]["planned_rate_per_s"].as_f64().unwrap();
    assert_eq!((rows.len(), rows[0]["kind"].as_str()), (3, Some("closed")));
    assert!((last - closed).abs() <= 1.0, "{last} of {closed}");
}

#[test]
fn find_max_ends_below_what_the_broker_can_and_says_why() {
    let broker = start_one(Sends::Late { by: Duration::from_millis(40), per_s: 3_000.0 });
    let namesrv = broker.addr.to_string();
    let more = ["--from", "1k/s", "--p99", "250ms", "--within", "50%", "--duration", "1.2"];
    let ended = measured(&["find-max", "--namesrv", &namesrv, "--senders", "4"], &more);
    let answer = ended.result["answer"].as_str().unwrap();
    assert!(ended.said.contains(&format!("ANSWER   {answer}")), "{}", ended.said);
    let rows = ended.result["rows"].as_array().unwrap();
    let good = |row: &&serde_json::Value| row["invalid"].as_array().unwrap().is_empty();
    let highest = rows.iter().filter(good).map(|row| row["planned_rate_per_s"].as_f64().unwrap());
    let highest = highest.fold(0.0, f64::max);
    // What it finds depends on the machine; that it never finds more than there is does not.
    assert!(highest <= 3_100.0, "more than the broker can do: {}", ended.said);
    if answer.contains("confirmed twice") {
        let confirmed = rows.iter().rev().take(2).filter(good);
        assert_eq!(confirmed.count(), 2, "{}", ended.said);
        assert!(answer.contains("above it: "), "{answer}");
    } else {
        assert!(answer.starts_with("none"), "{answer}");
    }
}

#[test]
fn a_rate_beside_a_search_for_it_is_refused() {
    for command in ["sweep", "find-max"] {
        let ended = loadgen().args([command, "-n", "127.0.0.1:1", "--rate", "5"]).output().unwrap();
        assert!(said(&ended).contains("leave --rate out"), "{}", said(&ended));
        assert_eq!(ended.status.code(), Some(1));
    }
}

#[test]
fn two_brokers_are_compared_in_blocks_and_the_slower_one_is_found() {
    // Far apart: other tests have the machine at the same time.
    let (a, b) = (late(5).addr.to_string(), late(120).addr.to_string());
    let out = tempfile::tempdir().unwrap();
    let mut run = loadgen();
    run.args(["compare", "--namesrv-a", &a, "--namesrv-b", &b, "--senders", "16"]);
    run.args(["--blocks", "3", "--duration", "0.4", "--warmup", "0.05", "--no-floor", "--out"]);
    let ended = run.arg(out.path()).output().unwrap();
    let said = said(&ended);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    let folder = crate::program::only_folder(out.path()).unwrap();
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap()
    };
    let names: Vec<String> = read("result.json")["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names[..4], ["block-01-1-A", "block-01-2-B", "block-01-3-B", "block-01-4-A"]);
    let rate = &read("comparison.json")["compared"][0];
    let pairs = rate["pairs"].as_array().unwrap().len();
    let left_out = rate["invalid_pairs"].as_u64().unwrap();
    assert_eq!((rate["metric"].as_str(), pairs as u64 + left_out), (Some("rate"), 3));
    let estimate = &rate["estimate"];
    let [low, ratio, high] = ["low", "ratio", "high"].map(|name| estimate[name].as_f64().unwrap());
    // How narrow the interval is depends on what else the machine does.
    assert!(ratio < 0.7 && low <= ratio && ratio <= high, "5 ms against 120 ms: {estimate}");
}

/// Folders of stored runs whose only row has these medians, ms.
fn stored(ended: &Ended, medians_ms: [f64; 3]) -> [PathBuf; 3] {
    medians_ms.map(|median_ms| {
        let mut result = ended.result.clone();
        result["rows"][0]["response"]["p50_us"] = serde_json::json!(median_ms * 1_000.0);
        result["rows"][0]["invalid"] = serde_json::json!([]);
        let folder = ended.out().join(format!("median-{median_ms}"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("result.json"), result.to_string()).unwrap();
        folder
    })
}

fn judge(command: &str, a: &[PathBuf], b: &[PathBuf], more: &[&str]) -> (Option<i32>, String) {
    let mut run = loadgen();
    let ended = run.arg(command).args(a).arg("--to").args(b).args(more).output().unwrap();
    (ended.status.code(), said(&ended))
}

#[test]
fn a_gate_fails_for_what_is_shown_to_be_worse_and_for_nothing_else() {
    let ended = Ended::run(late(5).addr, &["--rate", "200"]);
    let (fast, slow) = (stored(&ended, [20.0, 20.2, 19.9]), stored(&ended, [30.0, 30.1, 29.7]));
    let mixed = stored(&ended, [18.0, 30.5, 21.0]);
    let p50 = ["--metrics", "p50", "--tolerance", "25%"];
    let (code, said) = judge("gate", &fast, &slow, &p50);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("gate: FAIL") && said.contains("B worse: +49."), "{said}");
    let (code, said) = judge("gate", &slow, &fast, &p50);
    assert_eq!(code, Some(0), "better is no fault: {said}");
    let wide = ["--metrics", "p50", "--tolerance", "60%"];
    assert_eq!(judge("gate", &fast, &slow, &wide).0, Some(0), "within what is allowed");
    let (code, said) = judge("gate", &fast, &mixed, &p50);
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("no difference shown (± "), "{said}");
    let (code, said) = judge("gate", &fast[..1], &slow[..1], &p50);
    assert_eq!(code, Some(6), "one pair shows nothing: {said}");
    assert!(said.contains("one pair has no interval"), "{said}");
    let allowed = [&p50[..], &["--undecided-passes"]].concat();
    assert_eq!(judge("gate", &fast[..1], &slow[..1], &allowed).0, Some(0));
    let (code, said) = judge("compare", &fast, &slow[..1], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("found 3 and 1"), "{said}");
}

#[test]
fn runs_that_promise_different_things_are_not_compared_unless_asked() {
    let ended = Ended::run(late(5).addr, &["--rate", "200"]);
    let [a, b, _] = stored(&ended, [20.0, 21.0, 22.0]);
    let path = b.join("result.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("ASYNC_FLUSH", "SYNC_FLUSH");
    std::fs::write(&path, text).unwrap();
    let (a, b) = ([a], [b]);
    let (code, said) = judge("compare", &a, &b, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not comparable") && said.contains("durability: "), "{said}");
    let (code, said) = judge("compare", &a, &b, &["--even-if-different"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("DIFFERENT  durability"), "{said}");
}

#[test]
fn a_run_that_was_touched_is_found_and_its_report_can_be_drawn_again() {
    let ended = Ended::run(late(10).addr, &["--rate", "2k/s", "--duration", "0.6"]);
    let verify = |folder: &Path| {
        let ended = loadgen().arg("verify").arg(folder).output().unwrap();
        (ended.status.code(), said(&ended))
    };
    let (code, words) = verify(&ended.folder);
    assert_eq!(code, Some(0), "{words}");
    let page = ended.folder.join("again.html");
    let drawn = loadgen().arg("report").arg(&ended.folder).arg("--to").arg(&page).output().unwrap();
    assert!(drawn.status.success(), "{}", said(&drawn));
    let original = std::fs::read_to_string(ended.folder.join("report.html")).unwrap();
    let again = std::fs::read_to_string(&page).unwrap();
    assert_eq!(original.matches("<svg").count(), again.matches("<svg").count());
    assert!(again.contains("Response time by percentile"));
    // Somebody makes p50 and a count nicer.
    let path = ended.folder.join("result.json");
    let mut result = ended.result.clone();
    result["rows"][0]["response"]["p50_us"] = serde_json::json!(1.0);
    result["rows"][0]["unanswered"] = serde_json::json!(3);
    std::fs::write(&path, result.to_string()).unwrap();
    let (code, words) = verify(&ended.folder);
    assert_eq!(code, Some(7), "{words}");
    for fault in ["response times differ from the histogram's", "outcomes", "had no answer"] {
        assert!(words.contains(fault), "{fault}: {words}");
    }
    assert!(ended.out().exists());
}

#[test]
fn a_published_run_of_schema_1_is_verified_as_far_as_it_goes() {
    let runs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-results/runs");
    let folder = runs.join("20261121T015335-vm-1d045afda56c-quick");
    let ended = loadgen().arg("verify").arg(folder).output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    assert!(said(&ended).contains("schema 1"), "{}", said(&ended));
}

#[test]
fn known_stalls_are_found_or_the_machine_is_too_busy_to_tell() {
    let ended = loadgen().args(["selftest", "--json"]).output().unwrap();
    let findings: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let stalls = findings["stalls"].as_array().unwrap();
    let lengths: Vec<f64> = stalls.iter().map(|it| it["stall_us"].as_f64().unwrap()).collect();
    assert_eq!(lengths, [1_000.0, 10_000.0, 100_000.0]);
    let found = stalls.iter().all(|stall| stall["found"].as_bool().unwrap());
    // A generator that was itself late says so, and does not call the test failed.
    let late = !findings["invalid"].as_array().unwrap().is_empty();
    let expected = if found {
        0
    } else if late {
        4
    } else {
        7
    };
    assert_eq!(ended.status.code(), Some(expected), "{}", said(&ended));
    assert!(found || late, "the generator was in time and missed a stall: {}", said(&ended));
}

#[test]
fn comparisons_of_a_broker_with_itself_are_kept_with_what_they_say() {
    let out = tempfile::tempdir().unwrap();
    let mut command = loadgen();
    command.args(["selftest", "--compare", "--times", "1", "--blocks", "2", "--window", "100ms"]);
    let ended = command.arg("--out").arg(out.path()).output().unwrap();
    let folder = crate::program::only_folder(out.path()).unwrap();
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("a broker and itself: a difference in "), "{readme}");
    assert!(folder.join("comparisons.json").exists());
    // With two blocks either may come out: the name, the text and the status agree.
    let holds = readme.contains("selftest --compare holds");
    assert_eq!(folder.to_string_lossy().ends_with(".FAIL"), !holds, "{readme}");
    assert_eq!(ended.status.code(), Some(if holds { 0 } else { 7 }), "{}", said(&ended));
    assert!(said(&ended).contains(folder.to_str().unwrap()), "{}", said(&ended));
}

#[test]
fn a_workload_file_is_the_command_line_and_a_wrong_key_names_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.toml");
    let broker = late(5);
    let text = "rate = '0.2k/s'\nduration = '300ms'\nsize = '1kB'\nno-floor = true\nwarmup = 0\n";
    std::fs::write(&file, text).unwrap();
    let namesrv = broker.addr.to_string();
    let mut run = loadgen();
    run.args(["run", "--namesrv", &namesrv, "--rate", "300", "--workload"]).arg(&file);
    let ended = run.arg("--out").arg(folder.path().join("out")).output().unwrap();
    let out = crate::program::only_folder(&folder.path().join("out")).unwrap();
    let result = std::fs::read(out.join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
    let row = &result["rows"][0];
    assert_eq!(row["size_bytes"].as_u64(), Some(1000), "{}", said(&ended));
    assert_eq!(row["planned_rate_per_s"].as_f64(), Some(300.0), "the command line counts more");
    std::fs::write(&file, "senderz = 4").unwrap();
    let ended = loadgen().args(["run", "-n", &namesrv, "--workload"]).arg(&file).output().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(said(&ended).contains("no `senderz`: do you mean `senders`?"), "{}", said(&ended));
}

#[test]
fn completions_manual_pages_and_the_environment_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let ended = loadgen().args(["completions", shell]).output().unwrap();
        assert!(said(&ended).contains("find-max"), "{shell}");
    }
    let pages = tempfile::tempdir().unwrap();
    assert!(loadgen().args(["man", "--out"]).arg(pages.path()).status().unwrap().success());
    let page = std::fs::read_to_string(pages.path().join("loadgen-gate.1")).unwrap();
    assert!(page.contains("tolerance") && page.contains("Exit status"), "{page}");
    assert!(!pages.path().join("loadgen-mqbroker.1").exists(), "children are nobody's commands");
    let main = loadgen().arg("man").output().unwrap();
    assert!(said(&main).contains(".TH loadgen 1"));
    let json = loadgen().args(["env", "--json"]).output().unwrap();
    let facts: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(facts["kernel"].is_string() && facts["store"]["free_bytes"].is_u64());
    assert!(said(&loadgen().arg("env").output().unwrap()).contains("cpu.cores"));
}
