//! ConsumeQueue files that can't be written or synced: each queue fails for itself. The others go
//! on, the manifest lists only what is durable, and the next start builds the rest from the log.

use crate::oracle::{Oracle, Replay, draft, logged, manifest, seeds, small_config};
use engine::{AppendError, LeftOver, QueueOffset, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::Path;
use std::time::Duration;

const STUCK: &str = "/store/consumequeue/alpha/0";
async fn has_abort(sim: &Sim) -> bool {
    sim.read_file(Path::new("/store/abort")).await.is_ok()
}

/// Sends for a while with one queue failing, then ends the store's life.
async fn live_with_a_failing_queue(sim: &Sim, oracle: &mut Oracle, seed: u64) -> bool {
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    oracle.fill(sim, &store, 60).await;
    sim.sleep(Duration::from_millis(60)).await;
    let op = [FaultOp::Write, FaultOp::Sync, FaultOp::Allocate][usize::try_from(seed % 3).unwrap()];
    let rarely = if seed.is_multiple_of(2) { 1 } else { 3 };
    sim.inject(Fault::eio(op, STUCK).one_in(rarely));
    for _ in 0..6 {
        oracle.fill(sim, &store, 40).await;
        sim.sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(store.poisoned(), None);
    oracle.check(&store).await;
    // A checkpoint more, without anything new.
    sim.sleep(Duration::from_millis(200)).await;
    let listed = manifest(sim).await;
    assert_eq!(listed["log_end"], store.appended().0, "the checkpoints go on");
    let is_behind = !listed["behind"]["alpha"]["0"].is_null();
    assert_eq!(listed["version"], if is_behind { 3 } else { 2 });
    let durable = |topic: &str, queue: i32| {
        let queue = queue.to_string();
        let behind = listed["behind"][topic][&queue]["durable"].as_i64();
        behind.or_else(|| listed["queues"][topic][&queue]["max"].as_i64())
    };
    for (topic, queue_id) in oracle.queues() {
        let end = store.queue_range(&topic, queue_id).unwrap().max_offset.0;
        let is_stuck = (topic.as_str(), queue_id) == ("alpha", 0);
        let is_whole = durable(&topic, queue_id) == Some(end);
        assert_eq!(!is_whole, is_stuck && is_behind, "{topic} {queue_id}");
    }
    if seed % 4 != 3 {
        return is_behind;
    }
    let left = store.close().await.unwrap();
    assert_eq!(left.is_clean_stop(), !is_behind, "{left:?}");
    assert_eq!(has_abort(sim).await, is_behind, "a clean stop is what Apache RocketMQ believes");
    if is_behind {
        let [queue] = &left.queues[..] else { panic!("{left:?}") };
        assert_eq!((queue.topic.as_str(), queue.queue_id), ("alpha", 0));
        assert_eq!(Some(queue.from.0), durable("alpha", 0));
        assert!(queue.reason.contains(STUCK), "{}", queue.reason);
    }
    is_behind
}

#[test]
fn a_queue_that_cant_be_written_or_synced_keeps_no_other_behind_and_loses_nothing() {
    let mut behind = 0;
    for seed in seeds(90) {
        let _replay = Replay(
            seed,
            "a_queue_that_cant_be_written_or_synced_keeps_no_other_behind_and_loses_nothing",
        );
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        behind += usize::from(sim.block_on(live_with_a_failing_queue(&sim, &mut oracle, seed)));
        let sim = if (seed / 4).is_multiple_of(2) { sim.crash().0 } else { sim.kill() };
        sim.clear_faults();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            oracle.fill(&sim, &store, 40).await;
            let left = store.close().await.unwrap();
            assert_eq!(left, LeftOver::default());
            assert!(!has_abort(&sim).await);
            let listed = manifest(&sim).await;
            assert!(listed["behind"].is_null() && listed["version"] == 2, "whole again: {listed}");
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.recovered().records_scanned, 0);
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    assert!(behind > 40 || std::env::var("ENGINE_SEED").is_ok(), "{behind} runs had one behind");
}

#[test]
fn a_start_scans_only_what_the_queue_that_is_behind_misses_and_rebuilds_no_other() {
    let (sim, mut oracle) = (Sim::new(3), Oracle::default());
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.fill(&sim, &store, 300).await;
        sim.sleep(Duration::from_millis(100)).await;
        let before = store.appended().0;
        sim.inject(Fault::eio(FaultOp::Write, STUCK));
        oracle.fill(&sim, &store, 300).await;
        let left = store.close().await.unwrap();
        assert!(!left.is_clean_stop());
        sim.clear_faults();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        assert!(store.recovered().scanned_from >= before, "{:?}", store.recovered());
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}

#[test]
fn a_stuck_queue_is_named_once_and_said_to_be_written_again() {
    let (sim, mut oracle) = (Sim::new(5), Oracle::default());
    let ((), log) = logged(|| {
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            sim.inject(Fault::eio(FaultOp::Write, STUCK));
            for _ in 0..20 {
                oracle.fill(&sim, &store, 10).await;
                sim.sleep(Duration::from_millis(10)).await;
            }
            assert!(sim.fault_counts().write_errors > 10, "it is tried again");
            sim.clear_faults();
            sim.sleep(Duration::from_millis(50)).await;
            assert_eq!(store.close().await.unwrap(), LeftOver::default());
        });
    });
    assert_eq!(log.matches("can't be written").count(), 1, "{log}");
    assert_eq!(log.matches("written again").count(), 1, "{log}");
    assert!(log.contains("alpha 0") && log.contains(STUCK), "{log}");
}

/// As many units as may wait for the files of stuck queues (`limits::STUCK_UNITS_MAX`).
#[test]
fn only_sends_to_a_stuck_queue_are_refused_when_its_units_are_as_many_as_memory_may_hold() {
    let sim = Sim::new(7);
    sim.block_on(async {
        let config = StoreConfig {
            commitlog_file_bytes: 64 << 20,
            // What is appended between a write that fails and the news of it: a tail or two.
            tail_bytes_max: 1 << 20,
            chunk_bytes: 256 << 10,
            index_enabled: false,
            ..small_config("/store")
        };
        let store = Store::open(sim.clone(), config).await.unwrap();
        sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue/t/0"));
        let to = |queue_id| store.append(&draft("t", queue_id, b"", &[]));
        let mut sent = 0;
        let refused = loop {
            match to(0) {
                Ok(_) => sent += 1,
                Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                Err(refused) => break refused,
            }
        };
        let AppendError::QueueStuck { topic, queue_id, reason } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((topic.as_str(), *queue_id), ("t", 0));
        assert!(reason.contains("/store/consumequeue/t/0"), "{reason}");
        assert!((1_000_000..1_100_000).contains(&sent), "{sent} units are held");
        for nth in 0..100 {
            assert_eq!(to(1).unwrap().queue_offset, QueueOffset(nth), "others go on");
            sim.sleep(Duration::from_millis(1)).await;
        }
        assert!(matches!(to(0), Err(AppendError::QueueStuck { .. })));
        sim.clear_faults();
        sim.sleep(Duration::from_secs(5)).await;
        assert_eq!(to(0).unwrap().queue_offset, QueueOffset(sent), "it goes on by itself");
        assert_eq!(store.close().await.unwrap(), LeftOver::default());
    });
}
