//! What messages look like and when they are due, on the real brokers.

use crate::fake_broker::{Sends, start_one};
use crate::program::{Ended, loadgen};
use protocol::batch;

/// Everything that a message can have, in batches, into hot queues; then all is read back.
fn all_is_read_back(protocol: &str) {
    let base = tempfile::tempdir().unwrap();
    let mut quick = loadgen();
    quick.args(["quick", "--seconds-per-phase", "0.3", "--no-floor", "--protocol", protocol]);
    quick.args(["--batch", "8", "--size", "zipf:60-3KiB", "--tags", "5", "--keys", "1000"]);
    quick.args(["--property-bytes", "40", "--queue-skew", "1", "--json", "--out"]);
    let ended = quick.arg(base.path()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).expect(&said);
    let integrity = &result["integrity"];
    let count = |name: &str| integrity[name].as_u64().unwrap();
    assert!(count("acknowledged") > 1_000, "{integrity}");
    assert_eq!(count("acknowledged") % 8, 0, "whole batches: {integrity}");
    for fault in ["lost", "duplicated", "reordered", "corrupt", "misplaced", "gaps"] {
        assert_eq!(count(fault), 0, "{fault}: {integrity}");
    }
    let messages = &result["rows"][0]["load"]["messages"];
    assert_eq!(messages["sizes"].as_str(), Some("zipf:60-3072"), "{messages}");
    assert_eq!((messages["batch"].as_u64(), messages["tags"].as_u64()), (Some(8), Some(5)));
    let size = result["rows"][0]["size_bytes"].as_u64().unwrap();
    assert!((61..3_072).contains(&size), "the mean: {size}");
}

#[test]
fn batches_of_every_kind_of_message_are_read_back_over_remoting() {
    all_is_read_back("remoting");
}

#[test]
fn batches_of_every_kind_of_message_are_read_back_over_the_native_protocol() {
    all_is_read_back("native");
}

#[test]
fn a_batch_counts_each_of_its_messages_and_a_rate_stays_one_of_messages() {
    let broker = start_one(Sends::Acknowledged);
    let more = ["--rate", "400", "--batch", "4", "--duration", "1", "--warmup", "0"];
    let ended = Ended::run(broker.addr, &more);
    assert_eq!((ended.count("planned"), ended.count("acknowledged")), (400, 400));
    assert_eq!(broker.taken(), 100, "requests");
    let bodies = broker.bodies();
    assert!(bodies.iter().all(|body| batch::check(body) == Ok(4)));
}

#[test]
fn messages_of_a_burst_are_due_together() {
    let broker = start_one(Sends::Acknowledged);
    let more = ["--rate", "400", "--shape", "burst", "--burst", "40", "--duration", "1"];
    let ended = Ended::run(broker.addr, &more);
    assert_eq!(ended.count("planned"), 400, "{}", ended.result);
    // Due times are in the payloads: ten bursts in the window, one in the warm-up.
    let due = |body: &Vec<u8>| u64::from_le_bytes(body[48..56].try_into().unwrap());
    let mut times: Vec<u64> = broker.bodies().iter().map(due).collect();
    times.sort_unstable();
    times.dedup();
    assert_eq!(times.len(), 11, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100_000_000), "{times:?}");
}
