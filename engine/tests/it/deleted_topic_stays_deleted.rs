//! A deleted topic is gone at once, stays gone over restarts and rebuilds, and begins anew at
//! offset 0.

use crate::oracle::{
    Oracle, Replay, assert_record, consume, log_place, overwrite, seeds, small_config,
};
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
            let status =
                store.read(&crate::oracle::request("alpha", 0, 0, TagFilter::All), &mut out);
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

/// Simulation seed 20854: damage had taken the second and third message of the new topic. Its first
/// was then held for one with a damaged queue offset, and was gone.
#[test]
fn a_topic_that_begins_anew_keeps_its_first_message_when_damage_took_the_next_ones() {
    for damaged in 1..5 {
        let sim = Sim::new(damaged);
        sim.block_on(async {
            let mut oracle = Oracle::default();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            for _ in 0..20 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 300).await;
            }
            store.delete_topic("alpha").await.unwrap();
            oracle.sent.clear();
            for _ in 0..8 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 300).await;
            }
            store.close().await.unwrap();
            let lost: Vec<usize> = (1..=usize::try_from(damaged).unwrap()).collect();
            for nth in &lost {
                let at = oracle.sent[*nth].at;
                let (path, in_file) = log_place(at.physical_offset.0);
                overwrite(&sim, &path, in_file, &vec![0xAA; at.bytes]).await;
            }
            // Nothing is left that knows of the deletion.
            sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check_but(&store, &lost).await;
            let range = store.queue_range("alpha", 0).unwrap();
            assert_eq!((range.min_offset.0, range.max_offset.0), (0, 8));
            store.close().await.unwrap();
        });
    }
}
