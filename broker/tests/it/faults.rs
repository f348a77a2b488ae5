//! A shard whose disk fails stops taking messages and says why; its siblings do not notice.
//!
//! The failing device is a limit on the size of files (RLIMIT_FSIZE), set while the broker runs: a
//! log write beyond it fails with EFBIG as one on a broken disk fails with EIO, and the shard whose
//! log is still below it is not touched.

use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::response;
use std::process::Command;

const SETTINGS: [&str; 4] = [
    "mappedFileSizeCommitLog=1048576",
    "maxMessageSize=65536",
    "tailCacheBytes=8388608",
    "mappedFileSizeConsumeQueue=2000",
];
/// Whole blocks: the write that crosses it comes back short, the rest of it is refused.
const LIMIT: &str = "--fsize=200704:";

fn limit_files(cluster: &Cluster, limit: &str) {
    let pid = cluster.broker.id().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, limit]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "prlimit (util-linux) sets the limit that stands for a failing disk"
    );
}

fn texts(client: &mut Client, offset: i64) -> Vec<Vec<u8>> {
    client
        .pull(&pull_from("T", offset))
        .messages()
        .into_iter()
        .map(|message| message.body)
        .collect()
}

#[test]
fn a_failing_log_stops_its_shard_with_the_reason_and_no_other() {
    fails_alone("ASYNC_FLUSH");
}

#[test]
fn a_failing_log_stops_its_shard_under_sync_flush_as_well() {
    fails_alone("SYNC_FLUSH");
}

fn fails_alone(policy: &str) {
    let policy = format!("flushDiskType={policy}");
    let settings: Vec<&str> = SETTINGS.iter().copied().chain([policy.as_str()]).collect();
    let mut cluster = Cluster::start(2, &settings);
    let (mut sound, mut broken) = (cluster.client(0), cluster.client(1));
    for client in [&mut sound, &mut broken] {
        client.put("T", "", "first");
        // Its ConsumeQueue file is there, so that the limit concerns the log only.
        eventually("the first message is in its files", || texts(client, 0).len() == 1);
    }
    eventually("the ConsumeQueue files are made", || {
        (0..2).all(|shard| {
            cluster
                .store()
                .join(format!("shard-{shard}/consumequeue/T/0/00000000000000000000"))
                .exists()
        })
    });
    limit_files(&cluster, LIMIT);
    let body = vec![b'x'; 40_000];
    let mut refused = None;
    eventually("the shard refuses", || {
        let reply = broken.send_message(&message("T"), &body);
        refused = (reply.code != response::SUCCESS).then_some(reply);
        refused.is_some()
    });
    let refused = refused.unwrap();
    assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{refused:?}");
    assert!(
        refused.remark.contains("restart") && refused.remark.contains("shard-1"),
        "{}",
        refused.remark
    );
    // The answer may be here before the line has come through the pipe.
    eventually("the log says why and what to do", || {
        let log = cluster.broker.log();
        log.contains("stops accepting writes; repair the disk, then restart")
            && log.contains("File too large")
    });
    assert_eq!(texts(&mut broken, 0)[0], b"first", "reads go on");
    for nth in 0..3 {
        sound.put("T", "", &format!("sound {nth}"));
    }
    assert_eq!(texts(&mut sound, 0).len(), 4, "the other shard lives");
    limit_files(&cluster, "--fsize=unlimited:");
    assert_eq!(
        broken.send_message(&message("T"), b"x").code,
        response::SERVICE_NOT_AVAILABLE,
        "not before a restart"
    );
    cluster.broker.signal("TERM");
    assert_ne!(cluster.broker.wait(), Some(0), "an unclean stop says so");
    cluster.restart_broker();
    let mut broken = cluster.client(1);
    assert_eq!(texts(&mut broken, 0)[0], b"first");
    broken.put("T", "", "goes on");
}
