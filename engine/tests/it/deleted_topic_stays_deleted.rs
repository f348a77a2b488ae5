//! A deleted topic is gone at once, stays gone over restarts and rebuilds, and begins anew at offset 0.

use crate::oracle::{Oracle, Replay, assert_record, consume, seeds, small_config};
use engine::{ReadSlices, ReadStatus, Store, TagFilter};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::Path;

#[test]
fn a_deleted_topic_does_not_come_back_from_the_log() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_deleted_topic_does_not_come_back_from_the_log");
        let sim = Sim::new(seed);
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            assert!(store.delete_topic("alpha").await.unwrap());
            assert!(!store.delete_topic("alpha").await.unwrap());
            oracle.sent.retain(|sent| sent.topic != "alpha");
            let mut out = ReadSlices::default();
            let status = store.read(&crate::oracle::request("alpha", 0, 0, TagFilter::All), &mut out);
            assert_eq!(status, ReadStatus::NoMatchedLogicQueue);
            oracle.check(&store).await;
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None);
            store.close().await.unwrap();
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None, "rebuilt from the log");
            store.close().await.unwrap();
        });
    }
}

/// Simulation seed 730: the second try found no topic and said that all was well.
#[test]
fn a_deletion_that_failed_and_was_tried_again_survives_a_crash() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_deletion_that_failed_and_was_tried_again_survives_a_crash");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            Oracle::default().fill(&sim, &store, 50).await;
            sim.sleep(std::time::Duration::from_millis(100)).await;
            sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue.manifest").times(1));
            store.delete_topic("alpha").await.unwrap_err();
            assert!(!store.delete_topic("alpha").await.unwrap(), "it is gone here");
            assert!(!store.delete_topic("never").await.unwrap());
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None);
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_topic_that_begins_anew_has_only_its_new_messages() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.fill(&sim, &store, 200).await;
        store.delete_topic("alpha").await.unwrap();
        oracle.sent.retain(|sent| sent.topic != "alpha");
        oracle.fill(&sim, &store, 30).await;
        oracle.check(&store).await;
        store.close().await.unwrap();
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.check(&store).await;
        let read = consume(&store, "alpha", 0, TagFilter::All).await;
        let sent: Vec<_> = oracle.queue("alpha", 0).collect();
        assert_eq!(read.len(), sent.len());
        read.iter().zip(sent).for_each(|(record, sent)| assert_record(record, sent));
        store.close().await.unwrap();
    });
}
