//! Several generator processes: their histograms are one, and none outlives the first.

use crate::fake_broker::{Sends, start_one};
use crate::processes::wait_until_gone;
use crate::program::{Ended, loadgen, run_command};
use loadgen::stored::Stored;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn the_parts_of_three_processes_are_one_row_with_every_message_in_it() {
    let broker = start_one(Sends::Late { by: Duration::from_millis(4), per_s: 1e6 });
    let more = ["--generators", "3", "--senders", "4", "--rate", "300", "--duration", "1"];
    let ended = Ended::run(broker.addr, &more);
    let row = ended.row();
    assert_eq!((ended.count("senders"), ended.count("planned")), (4, 300), "{}", ended.said);
    assert_eq!(row["load"]["generators"].as_u64(), Some(3), "{row}");
    assert_eq!(row["generator_busy_share"].as_array().unwrap().len(), 3);
    let stored = Stored::open(&ended.folder).unwrap();
    let merged = &stored.result.rows[0].recorder.as_ref().unwrap().response;
    assert_eq!(merged.len(), ended.count("acknowledged"));
    let parts = (1..=3).map(|nth| {
        let folder = ended.folder.join("generators").join(nth.to_string());
        let run = crate::program::only_folder(&folder).unwrap();
        Stored::open(&run).unwrap().result.rows[0].acknowledged
    });
    let parts: Vec<u64> = parts.collect();
    assert_eq!(parts.iter().sum::<u64>(), merged.len(), "{parts:?}");
    assert!(parts.iter().all(|part| *part > 50), "each had its part: {parts:?}");
    let verified = loadgen().arg("verify").arg(&ended.folder).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn what_several_processes_cannot_do_is_refused_before_anything_starts() {
    for (more, why) in [
        (&["--generators", "3", "--senders", "2"][..], "raise --senders"),
        (&["--generators", "2", "--senders", "2", "--consume"], "leave --consume"),
        (&["--generators", "2", "--senders", "2", "--consumers", "1"], "leave --consume"),
    ] {
        let ended = loadgen().args(["run", "-n", "127.0.0.1:1"]).args(more).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(1) && said.contains(why), "{said}");
    }
}

#[test]
fn generators_end_when_the_first_process_is_killed() {
    let broker = start_one(Sends::Acknowledged);
    let out = tempfile::tempdir().unwrap();
    let more = ["--generators", "2", "--senders", "2", "--rate", "100", "--duration", "600"];
    let mut run = run_command(broker.addr, out.path(), &more);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = std::time::Instant::now();
    while broker.taken() < 20 {
        assert!(start.elapsed() < Duration::from_secs(60), "no sends");
        std::thread::sleep(Duration::from_millis(10));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until_gone(&out.path().display().to_string());
}
