//! Generator threads: they start together or not at all, and say how much of the time is theirs.

use crate::fake_broker::{Sends, start_cluster, start_one};
use crate::program::{Ended, run_command};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn one_refused_connection_ends_a_run_of_two_threads() {
    let brokers = start_cluster(&[Sends::Acknowledged, Sends::DeafAfterOffset]);
    let out = tempfile::tempdir().unwrap();
    let more = ["--senders", "2", "--threads", "2"];
    let mut run = run_command(brokers[0].addr, out.path(), &more);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It used to wait for ever; a minute is for ever on any machine.
    let start = Instant::now();
    while run.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            run.kill().unwrap();
            panic!("the thread that connected waits for the one that could not");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "{said}");
    let refused = format!("cannot connect to broker {}", brokers[1].addr);
    assert!(said.contains(&refused), "{said}");
    assert_eq!(brokers[0].taken(), 0, "no thread starts alone");
}

#[test]
fn a_closed_loop_reports_service_time_and_the_generators_wait_apart() {
    let ended = Ended::run(start_one(Sends::Acknowledged).addr, &["--senders", "2"]);
    let row = ended.row();
    assert!(row["lag"].is_null(), "a closed loop has no schedule: {row}");
    let number = |pointer: &str| row.pointer(pointer).unwrap().as_f64().unwrap();
    assert_eq!(row["response"], row["service"], "no wait of the generator in either");
    // What was 1 ns in every row: a time that no machine needs for the next send.
    assert!(number("/generator_wait/p50_us") >= 0.01, "{row}");
    assert!(number("/generator_wait/max_us") > number("/generator_wait/p50_us"), "{row}");
    assert!(ended.folder.join("hgrm/closed-2x1-generator-wait.hgrm").exists());
    assert!(ended.said.contains("generator's wait"), "{}", ended.said);
}

#[test]
fn spinning_is_not_work() {
    let broker = start_one(Sends::Acknowledged);
    let busy = |more: &[&str]| {
        let ended = Ended::run(broker.addr, &[&["--spin", "always"], more].concat());
        (ended.row()["generator_busy_share"][0].as_f64().unwrap(), ended)
    };
    let (idle, ended) = busy(&["--rate", "20", "--duration", "1"]);
    assert!(idle > 0.0 && idle < 0.5, "20 messages a second keep nobody busy: {idle}");
    assert!(!ended.said.contains("generator-limited"), "{}", ended.said);
    let (loaded, _) = busy(&["--senders", "16", "--in-flight", "16"]);
    assert!(loaded > 3.0 * idle, "256 requests in flight: {loaded}, 20/s: {idle}");
}
