//! A campaign with tiny windows, a second RingMQ in the place of its peer: blocks, interruptions,
//! spoiled blocks, verdicts from the files, the first screen of the README.

use crate::native::Children;
use crate::processes::wait_until_gone;
use crate::program::loadgen;
use loadgen::campaign::{MARK_BEGIN, MARK_END, first_screen, verdicts_follow};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn campaign(folder: &Path, peer: &str, more: &[&str]) -> Command {
    let mut campaign = loadgen();
    campaign.arg("campaign").arg(folder).args(["--blocks", "2", "--window", "150ms"]);
    campaign.args(["--warmup", "50ms", "--calibration", "100ms", "--steady-window", "100ms"]);
    campaign.args(["--steady-within", "500ms", "--steal-max", "100%", "--apache-async", peer]);
    campaign.args(more);
    campaign
}

/// A peer that has started for certain: `NAMESRV,PID`.
fn peer(children: &mut Children, base: &Path, settings: &[(&str, &str)]) -> String {
    let namesrv = children.start_cluster_with(base, &base.join("store"), settings);
    let start = Instant::now();
    let answers = || {
        let mut run = loadgen();
        run.args(["run", "-n", &namesrv, "--no-floor", "--duration", "50ms", "--warmup", "0"]);
        let ended = run.arg("--out").arg(base.join("try")).output().unwrap();
        matches!(ended.status.code(), Some(0 | 4))
    };
    while !answers() {
        assert!(start.elapsed() < Duration::from_secs(90), "the peer does not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    format!("{namesrv},{}", children.0[1].id())
}

fn block_folders(folder: &Path, id: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join(id)) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.join("result.json").exists()).collect();
    paths.sort();
    paths
}

fn row_names(block: &Path) -> Vec<String> {
    let text = std::fs::read(block.join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let rows = result["rows"].as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_interrupted_campaign_goes_on_and_its_verdicts_follow_from_its_files() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let peer = peer(&mut children, base.path(), &[]);
    let folder = base.path().join("campaigns/tiny");
    let more = ["--drift-max", "1000%", "--only", "async-1x1,backlog,idle"];
    // Killed in its first block; what it stopped must not stay so.
    let mut run = campaign(&folder, &peer, &more).spawn().unwrap();
    let start = Instant::now();
    while !folder.join("async-1x1").is_dir() {
        assert!(start.elapsed() < Duration::from_secs(60), "no block begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    crate::processes::signal(run.id(), rustix::process::Signal::INT);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let expected = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(expected.contains("| async-1x1 | 3 to 3.5 times the rate |"), "before it: {expected}");
    let ended = campaign(&folder, &peer, &more).output().unwrap();
    let said = [&ended.stdout[..], &ended.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ended.status.success(), "{said}");
    for id in ["async-1x1", "backlog", "idle"] {
        let blocks = block_folders(&folder, id);
        let good: Vec<_> =
            blocks.iter().filter(|it| !it.to_string_lossy().ends_with(".FAIL")).collect();
        // A machine on which an echo of 100 ms has no answer spoils blocks until the tries end.
        let is_done = good.len() == 2 || blocks.len() == 6;
        assert!(is_done && !good.is_empty(), "{id}: {blocks:?} {said}");
        let names = row_names(good[0]);
        assert_eq!(
            (names[0].as_str(), names.last().unwrap().as_str()),
            ("echo-before", "echo-after")
        );
        let sides: Vec<&str> =
            names.iter().filter(|it| it.len() == 3).map(String::as_str).collect();
        assert_eq!(sides, ["1-A", "2-B", "3-B", "4-A"], "{id}");
    }
    assert!(verdicts_follow(&folder).unwrap(), "computed again from the blocks");
    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("NOT MEASURED") && !page.contains("<script"));
    // Somebody makes a verdict nicer.
    let path = folder.join("verdicts.json");
    let nicer = std::fs::read_to_string(&path).unwrap().replacen("NOT MEASURED", "PASS", 1);
    std::fs::write(&path, nicer).unwrap();
    assert!(!verdicts_follow(&folder).unwrap());
    let readme = base.path().join("README.md");
    std::fs::write(&readme, format!("# X\n{MARK_BEGIN}\nold\n{MARK_END}\nrest\n")).unwrap();
    let mut judge = loadgen();
    judge.arg("campaign").arg(&folder).args(["--judge", "--readme"]).arg(&readme);
    assert!(judge.output().unwrap().status.success());
    assert!(verdicts_follow(&folder).unwrap(), "judged again");
    let text = std::fs::read_to_string(&readme).unwrap();
    let row = text.lines().find(|line| line.starts_with("| 1 sender | RingMQ |")).unwrap();
    assert!(row.contains("/s") || row.contains(" k ") || row.contains("µs"), "{row}");
    assert!(text.ends_with("rest\n") && text.contains("not measured"), "{text}");
    drop(children);
    wait_until_gone(&base.path().display().to_string());
}

#[test]
fn a_block_beside_which_the_echo_drifts_is_kept_as_failed_and_repeated_until_it_is_given_up() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("tiny");
    let mut run = loadgen();
    run.arg("campaign").arg(&folder).args(["--blocks", "2", "--window", "50ms"]);
    run.args(["--warmup", "0", "--calibration", "50ms", "--drift-max", "0.0001%"]);
    let ended = run.args(["--only", "echo-64x1", "--steal-max", "100%"]).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let blocks = block_folders(&folder, "echo-64x1");
    assert_eq!(blocks.len(), 6, "three tries for each: {blocks:?}");
    assert!(blocks.iter().all(|it| it.to_string_lossy().ends_with(".FAIL")), "{blocks:?}");
    let why = std::fs::read_to_string(blocks[0].join("result.json")).unwrap();
    assert!(why.contains("the echo drifted by "), "{why}");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(readme.contains("| remoting 64×1: rate, bare echo | rate ≥ 0.6× | **NOT MEASURED**"));
    assert!(readme.contains("0 of 6 blocks have the figure"), "{readme}");
    let agreed = loadgen().arg("campaign").arg(&folder).args(["--blocks", "9"]).output().unwrap();
    let said = String::from_utf8_lossy(&agreed.stderr);
    assert!(
        agreed.status.code() == Some(1) && said.contains("begun with other settings"),
        "{said}"
    );
    let wrong = loadgen().arg("campaign").arg(&folder).args(["--only", "x"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("async-1x1"), "what there is");
}

/// A peer that answered every send as busy once made blocks that counted as good, and said nothing.
#[test]
fn a_block_whose_peer_takes_no_message_is_kept_as_failed_with_the_peers_answer() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let peer =
        peer(&mut children, base.path(), &[("startAcceptSendRequestTimeStamp", "9999999999999")]);
    let folder = base.path().join("tiny");
    let more = ["--drift-max", "1000%", "--only", "async-1x1"];
    let ended = campaign(&folder, &peer, &more).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let blocks = block_folders(&folder, "async-1x1");
    assert!(
        blocks.len() == 6 && blocks.iter().all(|it| it.to_string_lossy().ends_with(".FAIL")),
        "{blocks:?} {said}"
    );
    let result = std::fs::read(blocks[0].join("result.json")).unwrap();
    let result: serde_json::Value = serde_json::from_slice(&result).unwrap();
    let why = result["invalid"].to_string();
    assert!(why.contains("row 1-A has no message: code 1 SYSTEM_ERROR"), "{why}");
    drop(children);
    wait_until_gone(&base.path().display().to_string());
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The newest published campaign that has the first screen's loads.
fn newest() -> Option<PathBuf> {
    let entries = std::fs::read_dir(project().join("bench-results/campaigns")).ok()?.flatten();
    let mut folders: Vec<PathBuf> =
        entries.map(|it| it.path()).filter(|path| path.join("async-16x8").is_dir()).collect();
    // Names need not sort by time: one day has several.
    let started = |folder: &PathBuf| {
        let text = std::fs::read_to_string(folder.join("campaign.json")).unwrap();
        let campaign: serde_json::Value = serde_json::from_str(&text).unwrap();
        campaign["started"].as_str().unwrap().to_owned()
    };
    folders.sort_by_key(started);
    folders.pop()
}

#[test]
fn the_verdicts_of_every_published_campaign_follow_from_its_files() {
    let campaigns = std::fs::read_dir(project().join("bench-results/campaigns"));
    for entry in campaigns.into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            assert!(verdicts_follow(&entry.path()).unwrap(), "{:?}", entry.path());
        }
    }
}

#[test]
fn every_published_run_agrees_with_itself_or_is_withdrawn() {
    let page = std::fs::read_to_string(project().join("bench-results/README.md")).unwrap();
    let (_, withdrawn) = page.split_once("## Withdrawn").unwrap();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(project().join("bench-results/runs")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        looked_at += 1;
        if withdrawn.contains(&format!("](runs/{name}/README.md)")) {
            let readme = std::fs::read_to_string(entry.path().join("README.md")).unwrap();
            assert!(readme.contains("ithdrawn"), "{name} does not say so itself");
            continue;
        }
        let verified = loadgen().arg("verify").arg(entry.path()).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && !said.contains("schema 1"), "{name}: {said}");
    }
    assert!(looked_at >= 9, "only {looked_at} runs");
}

#[test]
fn the_first_screen_of_the_readme_is_what_the_newest_campaign_says() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let (_, rest) = readme.split_once(MARK_BEGIN).expect("the README has the mark");
    let (table, _) = rest.split_once(MARK_END).expect("and its end");
    let told = first_screen(newest().as_deref(), &project().join("bench-results/runs")).unwrap();
    assert_eq!(
        table.trim(),
        told.trim(),
        "run `loadgen campaign FOLDER --judge --readme README.md`"
    );
}

/// Lines of a text that claim a speed: a number with a unit of time or of a rate.
fn speeds(text: &str) -> Vec<&str> {
    let is_speed = |line: &str| {
        let words: Vec<&str> = line.split([' ', '(', ')', ',', '|']).collect();
        words.windows(2).any(|pair| {
            let is_number = pair[0].ends_with(|c: char| c.is_ascii_digit());
            is_number
                && ["µs", "messages/s", "msg/s", "k/s", "M/s"]
                    .contains(&pair[1].trim_end_matches('.'))
        }) || line.contains("messages a second")
    };
    text.lines().filter(|line| is_speed(line)).collect()
}

#[test]
fn no_page_of_the_front_claims_a_speed_that_no_run_stands_behind() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let (before, rest) = readme.split_once(MARK_BEGIN).unwrap();
    let (_, behind) = rest.split_once(MARK_END).unwrap();
    for part in [before, behind] {
        assert_eq!(speeds(part), Vec::<&str>::new(), "figures stand in the table alone");
    }
    assert_eq!(speeds("it takes 8.5 µs and does 502,000 messages/s").len(), 1, "they are seen");
}
