//! `soak`: a line for each interval, there also when the program is killed, and nothing lost.

use crate::fake_broker::{FakeBroker, Sends, start_one};
use crate::program::{Ended, loadgen};
use hdrhistogram::Histogram;
use loadgen::report::hlog;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn late() -> FakeBroker {
    start_one(Sends::Late { by: Duration::from_millis(5), per_s: 1e6 })
}

fn soak(broker: &FakeBroker, out: &Path, more: &[&str]) -> Command {
    let mut soak = loadgen();
    soak.args(["soak", "--namesrv", &broker.addr.to_string(), "--no-floor", "--warmup", "0"]);
    soak.args(more).arg("--out").arg(out);
    soak
}

/// The cells of each line of the log.
fn lines(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("intervals.csv")).unwrap_or_default();
    let lines = text.lines().skip(1);
    lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn each_interval_has_a_line_and_a_histogram_and_together_they_are_the_row() {
    let (broker, out) = (late(), tempfile::tempdir().unwrap());
    // Any process that is quiet: its CPU and memory are in each line.
    let mut quiet = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = quiet.id().to_string();
    let more = ["--rate", "500", "--senders", "2", "--threads", "2", "--duration", "1.2s"];
    let more = [&more[..], &["--interval", "300ms", "--broker-pid", &pid]].concat();
    let ended = soak(&broker, out.path(), &more).output().unwrap();
    quiet.kill().unwrap();
    quiet.wait().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    let ended = Ended::read(out, ended.status.code(), said);
    let lines = lines(&ended.folder);
    let messages: Vec<u64> = lines.iter().map(|cells| cells[2].parse().unwrap()).collect();
    assert_eq!(messages.iter().sum::<u64>(), ended.count("acknowledged"), "{lines:?}");
    // A machine that stands still for an interval has no answer in it.
    assert!((2..=4).contains(&lines.len()), "{lines:?}");
    assert!(lines.iter().all(|cells| cells.len() == 12), "{lines:?}");
    let last = lines.last().unwrap();
    assert!(last[10].parse::<u64>().unwrap() > 0 && last[11].parse::<u64>().unwrap() > 0);
    let log = std::fs::read(ended.folder.join("intervals.hlog")).unwrap();
    let each: Vec<Histogram<u64>> = hlog::read_all(&log, "response").unwrap();
    assert_eq!(each.iter().map(Histogram::len).collect::<Vec<u64>>(), messages);
    assert!(ended.result["answer"].as_str().unwrap().contains("intervals"), "{}", ended.result);
}

/// The folder of a soak that runs.
fn folder_in(out: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(out).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.join("intervals.csv").exists())
}

#[test]
fn what_was_logged_outlives_a_killed_program_and_memory_does_not_grow_with_it() {
    let (broker, out) = (late(), tempfile::tempdir().unwrap());
    let more = ["--rate", "300", "--duration", "10h", "--interval", "200ms"];
    let mut run = soak(&broker, out.path(), &more);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let written = || folder_in(out.path()).map_or(0, |folder| lines(&folder).len());
    while written() < 8 {
        assert!(start.elapsed() < Duration::from_secs(90), "{} lines", written());
        std::thread::sleep(Duration::from_millis(20));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let folder = folder_in(out.path()).unwrap();
    assert!(folder.to_string_lossy().ends_with(".FAIL"), "{folder:?}");
    let lines = lines(&folder);
    let resident: Vec<u64> = lines.iter().map(|cells| cells[11].parse().unwrap()).collect();
    // Ten hours ahead, and 200 bytes of places for each message would show.
    assert!(*resident.last().unwrap() < resident[1] + (8 << 20), "{resident:?}");
    assert!(*resident.last().unwrap() < 256 << 20, "{resident:?}");
}
