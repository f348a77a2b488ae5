//! What a run leaves behind, and what it does not.

use loadgen::env::{BrokerFacts, Environment};
use loadgen::integrity::IntegrityReport;
use loadgen::messages::{Messages, Sizes};
use loadgen::plan::{Load, Mode};
use loadgen::protocols::Protocol;
use loadgen::recorder::Recorder;
use loadgen::report::folder::RunFolder;
use loadgen::result::RunResult;
use loadgen::row::Row;
use protocol::remoting::SerializeType;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn result(lost: u64) -> RunResult {
    let load = Load {
        run_id: 1,
        seed: 1,
        topic: "t".into(),
        group: "g".into(),
        mode: Mode::Closed,
        senders: 1,
        in_flight: 1,
        messages: Messages { sizes: Sizes::Fixed(1024), ..Messages::default() },
        burst: 0,
        warmup: Duration::ZERO,
        duration: Duration::from_secs(1),
        spin: false,
        protocol: Protocol::Remoting,
        serialize: SerializeType::Json,
        acks_max: 0,
    };
    let mut recorder = Recorder::new(load.duration, Protocol::Remoting);
    for step in 1..1000u64 {
        recorder.sent += 1;
        recorder.answered_in_window += 1;
        recorder.answer(step * 1_000_000, step * 1000, step * 900);
    }
    RunResult {
        schema: 2,
        seed: 9,
        name: "20260101T000000-h-v1-quick".into(),
        workload: "quick".into(),
        target: "1 broker (V5_5_0)".into(),
        durability: "ASYNC_FLUSH, ASYNC_MASTER".into(),
        brokers: vec![BrokerFacts { addr: "127.0.0.1:1".into(), ..BrokerFacts::default() }],
        started: "2026-01-01T00:00:00Z".into(),
        question: "How fast?".into(),
        expectation: Some("fast".into()),
        rows: vec![Row::of_load("closed-1x1", "1 sender <closed>", &load, recorder)],
        integrity: Some(IntegrityReport {
            acknowledged: 999,
            consumed: 999 - lost,
            lost,
            ..IntegrityReport::default()
        }),
        ..RunResult::default()
    }
}

fn finish(out: &Path, lost: u64) -> std::path::PathBuf {
    let mut result = result(lost);
    let folder = RunFolder::create(out, &result.name).unwrap();
    folder.write_question(&result, "loadgen quick").unwrap();
    assert!(
        fs::read_to_string(folder.path().join("README.md")).unwrap().contains("fast"),
        "the expectation is there before the run"
    );
    result.judge();
    folder.finish(&mut result, &Environment::collect(out), "loadgen quick").unwrap()
}

#[test]
fn a_good_run_leaves_every_file_and_a_ledger_line() {
    let base = tempfile::tempdir().unwrap();
    let out = base.path().join("bench-results/runs");
    let folder = finish(&out, 0);
    assert_eq!(folder, out.join("20260101T000000-h-v1-quick"));
    for file in [
        "README.md",
        "environment.json",
        "result.json",
        "response.hgrm",
        "service.hgrm",
        "report.html",
        "summary.txt",
        "hgrm/closed-1x1-generator-wait.hgrm",
        "closed-1x1.hlog",
        "rows.csv",
        "over_time.csv",
        "openmessaging/closed-1x1.json",
        "config",
    ] {
        assert!(folder.join(file).exists(), "{file} is missing");
    }
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let readme = read("README.md");
    for part in [
        "## Question",
        "How fast?",
        "## Expectation",
        "## Answer",
        "integrity OK",
        "## Exact command",
        "loadgen quick",
    ] {
        assert!(readme.contains(part), "README without {part:?}");
    }
    let json: serde_json::Value = serde_json::from_str(&read("result.json")).unwrap();
    assert_eq!(json["rows"][0]["acknowledged"], 999);
    let ledger = fs::read_to_string(base.path().join("bench-results/ledger.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(ledger.trim()).unwrap();
    assert_eq!(
        (line["valid"].as_bool(), line["rows"][0]["name"].as_str()),
        (Some(true), Some("closed-1x1"))
    );
}

#[test]
fn the_report_is_self_contained_and_every_chart_names_the_durability() {
    let base = tempfile::tempdir().unwrap();
    let page = fs::read_to_string(finish(base.path(), 0).join("report.html")).unwrap();
    let charts: Vec<&str> = page.split("<svg").skip(1).collect();
    assert_eq!(charts.len(), 2 * 3, "rates, percentile spectrum, over time; broad and narrow");
    assert!(charts.iter().all(|chart| {
        let chart = chart.split("</svg>").next().unwrap();
        ["ASYNC_FLUSH, ASYNC_MASTER", "loopback"].iter().all(|part| chart.contains(part))
    }));
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !outside.contains("http") && !outside.contains("<script") && !outside.contains("src="),
        "the page needs something else"
    );
    assert!(
        page.contains("1 sender &lt;closed&gt;") && !page.contains("1 sender <closed>"),
        "text is escaped"
    );
}

#[test]
fn a_lost_message_names_the_folder_fail() {
    let base = tempfile::tempdir().unwrap();
    let folder = finish(base.path(), 1);
    assert!(folder.ends_with("20260101T000000-h-v1-quick.FAIL") && folder.is_dir());
    assert!(fs::read_to_string(folder.join("summary.txt")).unwrap().contains("INTEGRITY FAILED"));
    assert!(
        fs::read_to_string(base.path().join("ledger.jsonl")).unwrap().contains("\"valid\":false")
    );
}

#[test]
fn a_run_that_never_finished_keeps_a_folder_that_says_so() {
    let base = tempfile::tempdir().unwrap();
    drop(RunFolder::create(base.path(), "x").unwrap());
    assert!(base.path().join("x.FAIL/config").is_dir());
}

#[test]
fn runs_of_the_same_second_have_folders_of_their_own() {
    let base = tempfile::tempdir().unwrap();
    let good = finish(base.path(), 0);
    let bad = finish(base.path(), 1);
    let next = finish(base.path(), 0);
    let names = [&good, &bad, &next].map(|path| path.file_name().unwrap().to_str().unwrap());
    let name = "20260101T000000-h-v1-quick";
    assert_eq!(names, [name, &format!("{name}-2.FAIL"), &format!("{name}-3")]);
}
