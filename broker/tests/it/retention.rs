//! Old messages go and full disks are survived, over the wire and on a real file system.

use crate::client::{Client, long_pull_from, message, pull_from};
use crate::cluster::{Cluster, eventually};
use protocol::codes::{request, response};
use std::path::{Path, PathBuf};
use std::process::Command;

const SMALL: [&str; 5] = [
    "mappedFileSizeCommitLog=1048576",
    "maxMessageSize=65536",
    "tailCacheBytes=8388608",
    "mappedFileSizeConsumeQueue=200",
    "cleanResourceInterval=50",
];
const ALL_DAY: &str = "deleteWhen=0;1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23";

fn min_offset(client: &mut Client) -> i64 {
    client.call(request::GET_MIN_OFFSET, &[("topic", "T"), ("queueId", "0")]).number("offset")
}

fn large() -> Vec<u8> {
    vec![b'x'; 60_000]
}

fn log_bytes(store: &Path) -> u64 {
    let files = std::fs::read_dir(store.join("commitlog")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn old_messages_go_and_consumers_are_led_to_what_is_there() {
    let settings: Vec<&str> = SMALL
        .iter()
        .copied()
        .chain(["fileReservedTime=0", ALL_DAY, "deleteCommitLogFilesInterval=0"])
        .collect();
    let mut cluster = Cluster::start(1, &settings);
    let (mut client, mut waiting) = (cluster.client(0), cluster.client(0));
    for _ in 0..100 {
        eventually("it is taken", || {
            client.send_message(&message("T"), &large()).code == response::SUCCESS
        });
    }
    let held = waiting.start_pull(&long_pull_from("T", 100, 30_000));
    eventually("the beginning has gone", || min_offset(&mut client) > 60);
    let store = cluster.store();
    eventually("its files too", || log_bytes(&store) <= 4 * 1_048_576);
    eventually("and those of its queue", || {
        !store.join("consumequeue/T/0/00000000000000000000").exists()
    });
    let min = min_offset(&mut client);
    let moved = client.pull(&pull_from("T", 0));
    assert_eq!(
        (moved.code, moved.number("nextBeginOffset")),
        (response::PULL_OFFSET_MOVED, min),
        "{moved:?}"
    );
    let there = client.pull(&pull_from("T", min));
    assert_eq!((there.code, there.messages()[0].queue_offset), (response::SUCCESS, min));
    client.put("T", "", "for who waited");
    assert_eq!(waiting.answer_to(held).messages()[0].text(), "for who waited");
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    cluster.restart_broker();
    let mut client = cluster.client(0);
    assert!(min_offset(&mut client) >= min);
    assert_eq!(
        client.call(request::GET_MAX_OFFSET, &[("topic", "T"), ("queueId", "0")]).number("offset"),
        101
    );
    assert_eq!(client.pull(&pull_from("T", 0)).code, response::PULL_OFFSET_MOVED);
}

/// A small file system of its own.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// `None`, said loudly, where mounting is not allowed.
    fn mount(test: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=20m", "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { dir }),
            refused => {
                eprintln!(
                    "\n*** SKIPPED: {test} needs a disk that it can fill, and mounting a tmpfs \
                        is not allowed here: {refused:?}\n"
                );
                None
            }
        }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn available(&self) -> u64 {
        let output = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.dir.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap().trim().parse().unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_sends_in_time_and_they_resume_by_themselves() {
    let Some(disk) =
        SmallDisk::mount("a_full_disk_refuses_sends_in_time_and_they_resume_by_themselves")
    else {
        return;
    };
    let ballast = disk.dir.path().join("somebody's file");
    std::fs::write(&ballast, vec![1; 8 << 20]).unwrap();
    let store = format!("storePathRootDir={}", disk.store().display());
    let settings: Vec<&str> =
        SMALL.iter().copied().chain(["cleanFileForciblyEnable=false", &store]).collect();
    let cluster = Cluster::start(1, &settings);
    let (mut client, mut waiting) = (cluster.client(0), cluster.client(0));
    let mut sent = 0;
    let refused = loop {
        let reply = client.send_message(&message("T"), &large());
        match reply.code {
            response::SUCCESS => sent += 1,
            response::SYSTEM_BUSY => {}
            _ => break reply,
        }
        assert!(sent < 1000, "the disk has room for 300");
    };
    assert_eq!(refused.code, response::SERVICE_NOT_AVAILABLE, "{refused:?}");
    assert!(
        refused.remark.contains("% full") && refused.remark.contains("diskSpaceWarningLevelRatio"),
        "{}",
        refused.remark
    );
    assert!(disk.available() > 0, "before the file system is full");
    eventually("the refusal is logged", || {
        cluster.broker.log().contains("messages are refused until")
    });
    assert_eq!(client.pull(&pull_from("T", 0)).messages()[0].queue_offset, 0, "reads go on");
    let held = waiting.start_pull(&long_pull_from("T", sent, 30_000));
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(
        client.send_message(&message("T"), b"x").code,
        response::SERVICE_NOT_AVAILABLE,
        "it does not come and go"
    );
    std::fs::remove_file(&ballast).unwrap();
    eventually("sends are taken again", || {
        client.send_message(&message("T"), b"again").code == response::SUCCESS
    });
    assert_eq!(waiting.answer_to(held).messages()[0].text(), "again");
    assert_eq!(min_offset(&mut client), 0, "nothing was removed");
    eventually("it is logged that it goes on", || {
        cluster.broker.log().contains("messages are taken again")
    });
}

#[test]
fn a_disk_that_would_fill_up_loses_its_oldest_messages_instead() {
    let Some(disk) =
        SmallDisk::mount("a_disk_that_would_fill_up_loses_its_oldest_messages_instead")
    else {
        return;
    };
    let store = format!("storePathRootDir={}", disk.store().display());
    let settings: Vec<&str> = SMALL
        .iter()
        .copied()
        .chain(["deleteCommitLogFilesInterval=0", "deleteFileBatchMax=2", &store])
        .collect();
    let mut cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    for _ in 0..1000 {
        eventually("it is taken", || {
            client.send_message(&message("T"), &large()).code == response::SUCCESS
        });
    }
    // A removal under way moves the minimum in memory first and then in the manifest: a kill
    // between the two takes it back.
    let mut min = -1;
    eventually("no removal is under way", || {
        let before = std::mem::replace(&mut min, min_offset(&mut client));
        std::thread::sleep(std::time::Duration::from_millis(300));
        min == before
    });
    assert!(min > 500, "three times the disk went through it; the first message is {min}");
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    cluster.restart_broker();
    let mut client = cluster.client(0);
    let again = min_offset(&mut client);
    assert!(again >= min);
    assert_eq!(client.pull(&pull_from("T", again)).messages()[0].queue_offset, again);
}
