//! A store that is not as it should be: a clear error naming path, place, expected and found, an
//! exit code that is not zero, and nothing overwritten; or a start that says what is lost, and
//! serves the rest.

use crate::client::pull_from;
use crate::cluster::{Cluster, eventually};
use protocol::codes::{request, response};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

const SETTINGS: [&str; 3] =
    ["mappedFileSizeCommitLog=1048576", "maxMessageSize=65536", "mappedFileSizeConsumeQueue=2000"];
const FILE_BYTES: u64 = 1 << 20;

/// A broker that had 50 messages of 60 KB and was closed: three log files and the beginning of a
/// fourth.
fn closed() -> Cluster {
    let mut cluster = Cluster::start(1, &SETTINGS);
    let mut client = cluster.client(0);
    let filling = "x".repeat(60_000);
    for nth in 0..50 {
        client.put("T", "", &format!("{nth}-{filling}"));
    }
    client.pull(&pull_from("T", 0)); // creates the group
    let commit = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", "3")];
    assert_eq!(client.call(request::UPDATE_CONSUMER_OFFSET, &commit).code, 0);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    cluster
}

fn log_file(cluster: &Cluster, nth: u64) -> PathBuf {
    cluster.store().join(format!("commitlog/{:020}", nth * FILE_BYTES))
}

/// Every file with its content; the lock file is made by whoever looks.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            all.extend(content(&path));
        } else if !path.ends_with("lock") {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

/// The broker refuses, says all of `parts`, and leaves every file as it was.
fn refuses(cluster: &Cluster, parts: &[&str]) {
    let before = content(&cluster.store());
    let (code, said) = cluster.refused_broker();
    assert_eq!(code, Some(1), "{said}");
    let last = said.lines().rfind(|line| line.starts_with("mqbroker: ")).unwrap();
    assert!(parts.iter().all(|part| last.contains(part)), "{parts:?} in {last}");
    assert!(content(&cluster.store()) == before, "files were changed by a refused start: {last}");
}

/// After what the refusal asked for was done.
fn starts_again(mut cluster: Cluster) {
    cluster.restart_broker();
    let range = [("topic", "T"), ("queueId", "0")];
    assert_eq!(cluster.client(0).call(request::GET_MAX_OFFSET, &range).number("offset"), 50);
}

#[test]
fn a_log_file_that_is_missing_or_of_another_size_is_refused() {
    let cluster = closed();
    let (first, middle, last) =
        (log_file(&cluster, 0), log_file(&cluster, 1), log_file(&cluster, 2));
    let kept = fs::read(&middle).unwrap();

    fs::remove_file(&middle).unwrap();
    refuses(&cluster, &[middle.to_str().unwrap(), "missing", "restore it"]);
    fs::write(&middle, &kept[..500_000]).unwrap();
    refuses(
        &cluster,
        &[middle.to_str().unwrap(), "500000 bytes", "expected 1048576", "mappedFileSizeCommitLog"],
    );
    fs::write(&middle, [kept.as_slice(), b"more"].concat()).unwrap();
    refuses(&cluster, &[middle.to_str().unwrap(), "1048580 bytes", "expected 1048576"]);
    fs::write(&middle, &kept).unwrap();

    // The files behind the last message are only made ahead.
    let later: Vec<PathBuf> =
        (3..).map(|nth| log_file(&cluster, nth)).take_while(|path| path.exists()).collect();
    later.iter().for_each(|path| fs::remove_file(path).unwrap());
    let kept = fs::read(&last).unwrap();
    fs::write(&last, &kept[..600_000]).unwrap();
    refuses(
        &cluster,
        &[last.to_str().unwrap(), "600000 bytes, expected at least", "consumequeue.manifest"],
    );
    fs::remove_file(&last).unwrap();
    refuses(&cluster, &[last.to_str().unwrap(), "0 bytes, expected at least"]);
    fs::write(&last, &kept).unwrap();

    fs::rename(&first, first.with_extension("aside")).unwrap();
    fs::create_dir(&first).unwrap();
    refuses(&cluster, &[first.to_str().unwrap()]);
    fs::remove_dir(&first).unwrap();
    fs::rename(first.with_extension("aside"), &first).unwrap();
    starts_again(cluster);
}

#[test]
fn a_newer_format_is_refused() {
    let cluster = closed();
    let manifest = cluster.store().join("consumequeue.manifest");
    let kept = fs::read(&manifest).unwrap();
    fs::write(&manifest, b"{\"version\":77,\"something\":\"new\"}\n").unwrap();
    refuses(
        &cluster,
        &[manifest.to_str().unwrap(), "version 77", "knows up to", "nothing was changed"],
    );
    fs::write(&manifest, kept).unwrap();
    starts_again(cluster);
}

#[test]
fn files_and_folders_in_each_others_place_are_refused() {
    let cluster = closed();
    let store = cluster.store();
    for name in ["commitlog", "consumequeue"] {
        let (folder, aside) = (store.join(name), store.join("aside"));
        fs::rename(&folder, &aside).unwrap();
        fs::write(&folder, "a file").unwrap();
        refuses(&cluster, &[folder.to_str().unwrap(), "expected a folder, found a file"]);
        fs::remove_file(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
    }
    for name in ["checkpoint", "consumequeue.manifest", "config/topics.json"] {
        let (file, aside) = (store.join(name), store.join("aside"));
        fs::rename(&file, &aside).unwrap();
        fs::create_dir(&file).unwrap();
        refuses(&cluster, &[file.to_str().unwrap(), "Is a directory"]);
        fs::remove_dir(&file).unwrap();
        fs::rename(&aside, &file).unwrap();
    }
    let lock = store.join("lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    refuses(&cluster, &[lock.to_str().unwrap(), "Is a directory"]);
    fs::remove_dir(&lock).unwrap();
    let aside = store.with_extension("aside");
    fs::rename(&store, &aside).unwrap();
    fs::write(&store, "a file").unwrap();
    let (code, said) = cluster.refused_broker();
    assert!(
        code == Some(1)
            && said.contains(&format!("{}: expected a folder, found a file", store.display())),
        "{said}"
    );
    assert_eq!(fs::read(&store).unwrap(), b"a file");
    fs::remove_file(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    starts_again(cluster);
}

#[test]
fn a_folder_that_may_not_be_written_is_refused() {
    let cluster = closed();
    // As nobody: a folder that root may not write there is not.
    let dir = cluster.dir();
    let as_configured = cluster.broker_command();
    // A copy: the folder it was built into may be closed to nobody.
    let program = dir.join("mqbroker");
    fs::copy(as_configured.get_program(), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(as_configured.get_args());
    assert!(
        std::process::Command::new("chmod")
            .args(["-R", "a+rX,go-w"])
            .arg(dir)
            .status()
            .unwrap()
            .success()
    );
    if fs::metadata(dir).is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0) {
        command.uid(65_534).gid(65_534);
    } else {
        assert!(
            std::process::Command::new("chmod")
                .args(["-R", "a-w"])
                .arg(cluster.store())
                .status()
                .unwrap()
                .success()
        );
    }
    let before = content(&cluster.store());
    let (code, said) = cluster.refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("Permission denied") && said.contains(cluster.store().to_str().unwrap()),
        "{said}"
    );
    assert!(content(&cluster.store()) == before);
    assert!(
        std::process::Command::new("chmod")
            .args(["-R", "u+w"])
            .arg(dir)
            .status()
            .unwrap()
            .success()
    );
    starts_again(cluster);
}

#[test]
fn a_table_cut_short_is_replaced_by_its_backup_and_said_and_without_one_refused_with_the_position()
{
    let mut cluster = closed();
    let (file, backup) = (
        cluster.store().join("config/consumerOffset.json"),
        cluster.store().join("config/consumerOffset.json.bak"),
    );
    let whole = fs::read(&file).unwrap();
    for (cut, said) in [(whole.len() / 2, "at byte"), (0, "it is empty")] {
        fs::write(&file, &whole[..cut]).unwrap();
        fs::write(&backup, b"{").unwrap();
        refuses(&cluster, &[file.to_str().unwrap(), said, backup.to_str().unwrap(), "at byte 1"]);
        fs::remove_file(&backup).unwrap();
        refuses(&cluster, &[file.to_str().unwrap(), said, "it is missing"]);
    }
    fs::write(&backup, &whole).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    cluster.restart_broker();
    let used = format!("{} is used in the place of {}", backup.display(), file.display());
    eventually("the log says that the backup is used and why", || {
        let log = cluster.broker.log();
        log.contains(&used) && log.contains("at byte")
    });
    let query = [("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")];
    assert_eq!(cluster.client(0).call(request::QUERY_CONSUMER_OFFSET, &query).number("offset"), 3);
    assert_eq!(
        (fs::read(&file).unwrap(), fs::read(&backup).unwrap()),
        (whole.clone(), whole.clone()),
        "the damaged one is no backup"
    );
    assert_eq!(fs::read(file.with_extension("json.damaged")).unwrap(), &whole[..whole.len() / 2]);
}

#[test]
fn a_damaged_message_is_said_and_skipped_and_the_rest_is_served() {
    let mut cluster = closed();
    let file = OpenOptions::new().write(true).open(log_file(&cluster, 1)).unwrap();
    // In the middle of the second file's third record.
    file.write_all_at(b"????", 150_000).unwrap();
    drop(file);
    for is_rebuilt in [false, true] {
        if is_rebuilt {
            fs::remove_dir_all(cluster.store().join("consumequeue")).unwrap();
        }
        cluster.restart_broker();
        assert_eq!(
            cluster.broker.said().contains("UNREADABLE in the log: 1 stretches"),
            is_rebuilt,
            "{}",
            cluster.broker.said()
        );
        let mut client = cluster.client(0);
        let (mut offset, mut skipped, mut served) = (0, vec![], 0);
        while offset < 50 {
            let answer = client.pull(&pull_from("T", offset));
            let next = answer.number("nextBeginOffset");
            match answer.code {
                response::SUCCESS => {
                    let messages = answer.messages();
                    assert!(messages.iter().all(|message| {
                        message.text().starts_with(&format!("{}-", message.queue_offset))
                    }));
                    served += messages.len();
                }
                response::PULL_RETRY_IMMEDIATELY => skipped.push(offset),
                other => panic!("code {other} at {offset}"),
            }
            assert!(next > offset);
            offset = next;
        }
        assert_eq!((served, skipped.len()), (49, 1));
        let path = log_file(&cluster, 1).display().to_string();
        eventually("it is logged", || {
            cluster
                .broker
                .log()
                .lines()
                .any(|line| line.contains("not served") && line.contains(&path))
        });
        cluster.broker.signal("TERM");
        assert_eq!(cluster.broker.wait(), Some(0));
    }
}
