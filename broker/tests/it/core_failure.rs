//! A core that panics ends the broker: with a reason, and without harm to the other shards.

use crate::cluster::{Cluster, eventually};
use std::path::Path;
use testkit::Process;

fn broker_that_panics(cluster: &mut Cluster, shard: usize, after_ms: u64) {
    cluster.broker.signal("TERM");
    assert_eq!(cluster.broker.wait(), Some(0));
    let mut command = cluster.broker_command();
    command.env("RINGMQ_TEST_PANIC_AFTER_MS", format!("{shard}:{after_ms}"));
    cluster.broker = Process::spawn(command);
}

fn is_marked_unclean(store: &Path) -> bool {
    store.join("abort").exists()
}

#[test]
fn a_panic_in_one_shard_ends_the_process_and_the_other_shard_closes_its_store() {
    let mut cluster = Cluster::start(2, &["flushDiskType=SYNC_FLUSH"]);
    // After the start even on a slow machine: the stores are open when it happens.
    broker_that_panics(&mut cluster, 1, 5_000);
    cluster.broker.wait_for("boot success", 2);
    (0..2).for_each(|shard| _ = cluster.client(shard).put("T", "", "stays"));
    let code = cluster.broker.wait();
    eventually("the reason", || cluster.broker.log().contains("mqbroker: shard 1: "));
    let log = cluster.broker.log();
    assert_eq!(code, Some(1), "{log}");
    let reason = log.lines().find(|line| line.starts_with("mqbroker: ")).unwrap();
    for part in ["a core panicked at broker/src/", "RINGMQ_TEST_PANIC_AFTER_MS asks for it"] {
        assert!(reason.contains(part), "{part:?} is missing in {reason:?}");
    }
    assert!(!is_marked_unclean(&cluster.store().join("shard-0")), "{log}");
    assert!(is_marked_unclean(&cluster.store().join("shard-1")), "{log}");
    cluster.restart_broker();
    for shard in 0..2 {
        let pulled = cluster.client(shard).pull(&crate::client::pull_from("T", 0));
        assert_eq!(pulled.messages()[0].text(), "stays", "shard {shard}");
    }
    assert!(cluster.broker.said().contains("shard 1: the store was not closed"));
}

#[test]
fn a_panic_while_the_broker_is_alone_on_its_core_frees_the_port() {
    let mut cluster = Cluster::start(1, &[]);
    broker_that_panics(&mut cluster, 0, 0);
    assert_eq!(cluster.broker.wait(), Some(1), "{}", cluster.broker.log());
    std::net::TcpListener::bind(cluster.shard_addr(0)).unwrap();
    cluster.restart_broker();
}
