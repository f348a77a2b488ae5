//! The log's tail as a cache: `tailCacheBytes=auto` follows the memory there is, and what others do
//! to that memory while the broker runs costs no acknowledged message and no process.

use crate::client::{Client, message, pull_from};
use crate::cluster::{Cluster, eventually};
use crate::memory_group::MemoryGroup;
use protocol::bodies::KvTable;
use protocol::codes::request;
use protocol::json::from_lenient;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::BrokerSetup;

const MIB: u64 = 1 << 20;
const BODY_BYTES: usize = 64 << 10;
/// A busy machine may write slowly: no send is refused for it.
const PATIENCE: &str = "waitTimeMillsInSendQueue=60000";

/// A folder on /dev/shm that goes with the test, as a setting.
fn folder() -> (tempfile::TempDir, String) {
    let dir = tempfile::Builder::new().prefix("ringmq-test-").tempdir_in("/dev/shm").unwrap();
    let setting = format!("tailPath={}", dir.path().display());
    (dir, setting)
}

fn tails(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Sends the messages `from..upto`, each beginning with its number; all must be acknowledged.
fn put(client: &mut Client, from: usize, upto: usize) {
    let filler = "x".repeat(BODY_BYTES);
    for first in (from..upto).step_by(32) {
        let sends: Vec<i32> = (first..upto.min(first + 32))
            .map(|nth| {
                let text = format!("{nth} {filler}");
                let header = message("T");
                client.send(request::SEND_MESSAGE_V2, 0, |w| header.write_v2(w), text.as_bytes())
            })
            .collect();
        for send in sends {
            let answer = client.answer_to(send);
            assert_eq!(answer.code, 0, "{answer:?}");
        }
    }
}

/// Reads all from the beginning: every message is there, in order.
fn check(client: &mut Client, count: usize) {
    let mut read = 0;
    while read < count {
        let found = client.pull(&pull_from("T", i64::try_from(read).unwrap()));
        let messages = found.messages();
        assert!(!messages.is_empty(), "{read} of {count} are there: {}", found.code);
        for message in messages {
            assert_eq!(message.text().split(' ').next(), Some(read.to_string().as_str()));
            read += 1;
        }
    }
    assert_eq!(read, count);
}

/// A number of GET_BROKER_RUNTIME_INFO.
fn number(client: &mut Client, key: &str) -> u64 {
    let answer = client.call(request::GET_BROKER_RUNTIME_INFO, &[]);
    let table = from_lenient::<KvTable>(&answer.body).unwrap().table;
    table[key].parse().unwrap_or_else(|_| panic!("{key} is {:?}", table[key]))
}

#[test]
fn auto_grows_in_its_control_group_gives_back_when_that_shrinks_and_comes_again() {
    let Some(group) = MemoryGroup::new(1024 * MIB) else { return };
    let (_dir, setting) = folder();
    let enter = group.entering();
    let words = ["sh", "-c", enter.as_str(), "sh"];
    let settings = ["tailCacheBytes=auto", PATIENCE, &setting];
    let cluster = Cluster::start_with(1, &settings, |setup: BrokerSetup| setup.through(words));
    let said = cluster.broker.said();
    assert!(said.contains("tailCacheBytes=auto, for each shard up to 256 MiB"), "{said}");
    let mut client = cluster.client(0);
    let mut sent = 0;
    let fill = |client: &mut Client, sent: &mut usize| {
        eventually("the tail fills", || {
            put(client, *sent, *sent + 320);
            *sent += 320;
            number(client, "cacheTailBytes") > 200 * MIB
        });
    };
    fill(&mut client, &mut sent);
    // Step by step, each less than the broker leaves to others. A limit at what is in use would be
    // the end of any process that takes a page before it looks.
    let mut steps = 0;
    loop {
        let before = number(&mut client, "cacheTailBytes");
        if before < 110 * MIB {
            break;
        }
        let limit = group.used_bytes() + 40 * MIB;
        eventually("the limit is taken", || group.try_limit(limit));
        eventually("the broker gives back", || number(&mut client, "cacheTailBytes") < before);
        put(&mut client, sent, sent + 32);
        sent += 32;
        steps += 1;
    }
    assert!(steps > 2, "{steps} steps");
    put(&mut client, sent, sent + 320);
    sent += 320;
    assert!(number(&mut client, "cacheTailBytes") < 160 * MIB);
    check(&mut client, sent);
    assert!(group.try_limit(1024 * MIB));
    fill(&mut client, &mut sent);
    drop(cluster);
}

#[test]
fn a_tail_that_is_deleted_while_it_is_used_costs_a_clean_stop_nothing_and_a_kill_says_so() {
    let (dir, setting) = folder();
    let mut cluster = Cluster::start(1, &[PATIENCE, &setting]);
    let delete = || tails(dir.path()).iter().for_each(|tail| std::fs::remove_file(tail).unwrap());
    put(&mut cluster.client(0), 0, 64);
    delete();
    put(&mut cluster.client(0), 64, 128);
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0), "{}", cluster.broker.log());
    cluster.restart_broker();
    check(&mut cluster.client(0), 128);
    delete();
    let mut client = cluster.client(0);
    put(&mut client, 128, 192);
    // Warm reads: everything is in the log.
    eventually("all is written", || {
        let before = number(&mut client, "getHotMessages");
        client.pull(&pull_from("T", 191));
        number(&mut client, "getHotMessages") == before
    });
    cluster.broker.signal("KILL");
    cluster.broker.wait();
    cluster.restart_broker();
    let said = cluster.broker.said();
    assert!(said.contains("is GONE"), "{said}");
    check(&mut cluster.client(0), 192);
}

#[test]
fn a_tmpfs_that_others_fill_stops_the_tails_growth_and_nothing_else() {
    for cache in ["tailCacheBytes=auto", "tailCacheBytes=268435456"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let options = ["-t", "tmpfs", "-o", "size=120m", "tmpfs", &path];
        if !Command::new("mount").args(options).status().is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: mounting a tmpfs is not allowed here");
            return;
        }
        let setting = format!("tailPath={path}");
        let mut cluster = Cluster::start(1, &[cache, PATIENCE, &setting]);
        let mut client = cluster.client(0);
        put(&mut client, 0, 1200);
        // Whatever is left goes to somebody else.
        let full = std::fs::write(dir.path().join("other"), vec![1; 120 << 20]);
        assert!(full.is_err(), "the tmpfs has an end");
        put(&mut client, 1200, 3200);
        assert!(number(&mut client, "cacheTailBytes") <= 121 * MIB);
        check(&mut client, 3200);
        cluster.broker.signal("KILL");
        cluster.broker.wait();
        cluster.restart_broker();
        check(&mut cluster.client(0), 3200);
        drop(cluster);
        let _gone = Command::new("umount").arg("-l").arg(&path).status();
    }
}
