//! The tail on tmpfs: what a kill leaves, what a clean stop leaves, and what is said where no
//! memory outlives the process.

use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::memory_group::MemoryGroup;
use crate::mount::Mount;
use protocol::codes::request;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::BrokerSetup;

/// A folder on /dev/shm that goes with the test, as a setting.
fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::Builder::new().prefix("ringmq-test-").tempdir_in("/dev/shm").unwrap();
    let setting = format!("tailPath={}", dir.path().display());
    (dir, setting)
}

fn tails(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut tails: Vec<PathBuf> = entries.collect();
    tails.sort();
    tails
}

fn put_many(client: &mut Client, from: usize, upto: usize) {
    let sends: Vec<i32> = (from..upto)
        .map(|nth| {
            let text = format!("{nth} {}", "x".repeat(2000));
            client.send(request::SEND_MESSAGE_V2, 0, |w| message("T").write_v2(w), text.as_bytes())
        })
        .collect();
    for send in sends {
        assert_eq!(client.answer_to(send).code, 0);
    }
}

/// Every message is there, in order.
fn check(client: &mut Client, count: usize) {
    let mut read = 0;
    while read < count {
        let found = client.pull(&pull_from("T", i64::try_from(read).unwrap()));
        let texts: Vec<String> =
            found.messages().iter().map(|message| message.text().to_owned()).collect();
        assert!(!texts.is_empty(), "{read} of {count} are there: {found:?}");
        for text in texts {
            assert_eq!(text.split(' ').next(), Some(read.to_string().as_str()));
            read += 1;
        }
    }
    assert_eq!(read, count);
}

#[test]
fn a_kill_leaves_the_tail_until_the_next_start_and_a_clean_stop_leaves_none() {
    let (dir, setting) = folder();
    let mut cluster = Cluster::start(2, &[&setting]);
    let said = cluster.broker.said();
    let promise = format!("survives the process, in {}", dir.path().display());
    assert!(said.contains(&promise), "{said}");
    let before = tails(dir.path());
    assert_eq!(before.len(), 2, "one for each shard");
    cluster.client(0).put("T", "", "a message");
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    assert_eq!(tails(dir.path()), before);
    cluster.restart_broker();
    let after = tails(dir.path());
    assert!(after.len() == 2 && after.iter().all(|tail| !before.contains(tail)), "{after:?}");
    assert_eq!(cluster.client(0).pull(&pull_from("T", 0)).messages()[0].text(), "a message");
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    assert_eq!(tails(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn while_the_disk_stalls_sends_are_answered_and_a_kill_takes_none_of_them() {
    let Some(disk) = Mount::new(96) else { return };
    let (dir, setting) = folder();
    let store = format!("storePathRootDir={}", disk.path().join("store").display());
    let settings = ["mappedFileSizeCommitLog=8388608", &store, &setting];
    let mut cluster = Cluster::start(1, &settings);
    let mut client = cluster.client(0);
    put_many(&mut client, 0, 300);
    disk.freeze();
    put_many(&mut client, 300, 2000);
    cluster.broker.signal("KILL");
    // Its last write ends with the stall, and only then does the process.
    disk.thaw();
    cluster.broker.wait();
    assert_eq!(tails(dir.path()).len(), 1);
    cluster.restart_broker();
    let said = cluster.broker.said();
    assert!(said.contains("bytes were taken over from the memory that it left"), "{said}");
    check(&mut cluster.client(0), 2000);
}

#[test]
fn behind_a_slow_device_sends_are_answered_and_a_kill_takes_none_of_them() {
    let Some(disk) = Mount::new(96) else { return };
    let Some((script, _group)) = disk.writing_slowly(512 << 10) else { return };
    let (dir, setting) = folder();
    let store = format!("storePathRootDir={}", disk.path().join("store").display());
    let settings = ["mappedFileSizeCommitLog=8388608", &store, &setting];
    let words = ["sh", "-c", script.as_str(), "sh"];
    let mut cluster = Cluster::start_with(1, &settings, |setup: BrokerSetup| setup.through(words));
    let mut client = cluster.client(0);
    // 4 MB: the device would take eight seconds for them.
    put_many(&mut client, 0, 2000);
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    assert_eq!(tails(dir.path()).len(), 1);
    cluster.restart_broker();
    let said = cluster.broker.said();
    assert!(said.contains("bytes were taken over from the memory that it left"), "{said}");
    check(&mut cluster.client(0), 2000);
}

#[test]
fn where_the_tmpfs_has_no_room_sends_wait_until_written_and_the_greeting_says_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    let options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs", &path];
    if !Command::new("mount").args(options).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: mounting a tmpfs is not allowed here");
        return;
    }
    let setting = format!("tailPath={path}");
    let mut cluster = Cluster::start(1, &[&setting]);
    let said = cluster.broker.said();
    let parts = ["acknowledged when it is written", "WRITTEN", "can be had", "Fix: set tailPath"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    let mut client = cluster.client(0);
    put_many(&mut client, 0, 50);
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    cluster.restart_broker();
    check(&mut cluster.client(0), 50);
    drop(cluster);
    let _gone = Command::new("umount").arg("-l").arg(&path).status();
}

#[test]
fn an_empty_path_says_what_it_costs() {
    let cluster = Cluster::start(1, &["tailPath="]);
    let said = cluster.broker.said();
    assert!(said.contains("tailPath is empty: a killed process loses what it has not"), "{said}");
}

#[test]
fn a_folder_that_is_no_tmpfs_is_refused_with_the_reason() {
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut cluster = Cluster::start(1, &["tailPath="]);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    let mut command = cluster.broker_command();
    command.arg("--set").arg(format!("tailPath={}", disk.path().display()));
    let (code, said) = cluster.refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("tailPath") && said.contains("not on a tmpfs"), "{said}");
}

#[test]
fn what_lies_in_the_place_of_a_tail_stops_the_start_until_it_is_given_up() {
    let (dir, setting) = folder();
    let mut cluster = Cluster::start(1, &[&setting]);
    cluster.client(0).put("T", "", "kept");
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    let tail = tails(dir.path()).remove(0);
    let moved = tail.with_extension("moved");
    std::fs::rename(&tail, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &tail).unwrap();
    let (code, said) = cluster.refused_broker();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("link") && said.contains("a 0 alone into"), "{said}");
    std::fs::remove_file(&tail).unwrap();
    std::fs::rename(&moved, &tail).unwrap();
    cluster.restart_broker();
    assert_eq!(cluster.client(0).pull(&pull_from("T", 0)).messages()[0].text(), "kept");
}

#[test]
fn in_a_full_control_group_every_start_succeeds_and_answers_when_written() {
    let Some(group) = MemoryGroup::new(80 << 20) else { return };
    let enter = group.entering();
    let words = ["sh", "-c", enter.as_str(), "sh"];
    let mut cluster = Cluster::start_with(1, &[], |setup: BrokerSetup| setup.through(words));
    for nth in 0..3 {
        let said = cluster.broker.said();
        assert!(said.contains("WRITTEN") && said.contains("can be had"), "{said}");
        put_many(&mut cluster.client(0), nth * 50, nth * 50 + 50);
        cluster.broker.signal("KILL");
        cluster.broker.wait();
        cluster.restart_broker();
    }
    check(&mut cluster.client(0), 150);
}

#[test]
fn in_a_container_the_default_relies_on_no_tmpfs_of_its_own() {
    let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let can = Command::new(words[0]).args(&words[1..]).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this host does not let a test make a PID namespace");
        return;
    }
    let cluster = Cluster::start_with(1, &[], |setup: BrokerSetup| setup.through(words));
    let said = cluster.broker.said();
    assert!(said.contains("in a container") && said.contains("WRITTEN"), "{said}");
    eventually("it serves", || cluster.client(0).put("T", "", "x").code == 0);
}
