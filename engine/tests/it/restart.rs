//! A closed store opens with everything there, and scans nothing for it.

use crate::oracle::{Oracle, Replay, seeds, small_config};
use engine::{AppendError, OpenError, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Sim, SimConfig};
use std::path::Path;
use std::time::Duration;

#[test]
fn a_closed_store_opens_with_everything_and_scans_nothing() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_closed_store_opens_with_everything_and_scans_nothing");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut oracle = Oracle::default();
            for life in 0..4 {
                let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
                let recovered = store.recovered();
                assert_eq!(
                    (recovered.was_unclean, recovered.records_scanned),
                    (false, 0),
                    "life {life}"
                );
                oracle.check(&store).await;
                oracle.fill(&sim, &store, 70).await;
                oracle.check(&store).await;
                store.close().await.unwrap();
            }
        });
    }
}

#[test]
fn the_folder_is_rocketmqs() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let names = async || -> Vec<String> {
            sim.list_dir(Path::new("/store"))
                .await
                .unwrap()
                .into_iter()
                .map(|entry| entry.name)
                .collect()
        };
        assert!(names().await.contains(&"abort".to_owned()));
        assert_eq!(sim.read_file(Path::new("/store/abort")).await.unwrap()[..2], *b"1\n");
        let mut oracle = Oracle::default();
        oracle.fill(&sim, &store, 10).await;
        store.close().await.unwrap();
        assert_eq!(
            names().await,
            [
                "checkpoint",
                "commitlog",
                "commitlog.flushed",
                "consumequeue",
                "consumequeue.manifest",
                "index",
                "lock"
            ]
        );
        let checkpoint = sim.read_file(Path::new("/store/checkpoint")).await.unwrap();
        assert_eq!(checkpoint.len(), 4096);
        let last_ms = oracle.sent.last().unwrap().at.store_timestamp_ms;
        assert_eq!(
            (&checkpoint[..8], &checkpoint[8..16]),
            (&last_ms.to_be_bytes()[..], &last_ms.to_be_bytes()[..])
        );
        assert_eq!(
            checkpoint[16..24],
            last_ms.to_be_bytes(),
            "the last message has a tag, so the index ends with it"
        );
        assert_eq!(checkpoint[40..48], store.appended().0.to_be_bytes());
    });
}

#[test]
fn a_store_is_open_once() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let second = Store::open(sim.clone(), small_config("/store")).await.err().unwrap();
        assert!(matches!(second, OpenError::Locked { .. }), "{second}");
        store.close().await.unwrap();
        let third = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        third.close().await.unwrap();
        assert!(matches!(
            third.append(&crate::oracle::draft("t", 0, b"x", &[])),
            Err(AppendError::Closed)
        ));
    });
}

#[test]
fn a_filesystem_without_direct_io_works_and_is_reported() {
    let sim = Sim::with_config(SimConfig { direct_io: false, ..SimConfig::with_seed(9) });
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.fill(&sim, &store, 100).await;
        assert!(store.is_buffered());
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.check(&store).await;
        assert!(store.is_buffered());
        store.close().await.unwrap();
    });
}

/// How many bytes a start scans after a kill, when 200 messages came between two of four lives and
/// time alone brings no checkpoint.
fn most_scanned(checkpoint_bytes: u64) -> u64 {
    let (mut sim, mut oracle, mut most) = (Sim::new(3), Oracle::default(), 0);
    let config =
        StoreConfig { checkpoint_interval_ms: 1 << 30, checkpoint_bytes, ..small_config("/store") };
    for _ in 0..4 {
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            let recovered = store.recovered();
            most = most.max(recovered.log_end - recovered.scanned_from);
            oracle.check(&store).await;
            for _ in 0..20 {
                oracle.fill(&sim, &store, 10).await;
                sim.sleep(Duration::from_millis(10)).await;
            }
        });
        sim = sim.kill();
    }
    most
}

#[test]
fn what_a_start_scans_is_bounded_however_fast_the_log_grows() {
    let (bounded, not_bounded) = (most_scanned(64 << 10), most_scanned(u64::MAX));
    assert!(not_bounded > 800 << 10, "else nothing is shown: {not_bounded}");
    // What comes while a checkpoint is written is scanned with it.
    assert!((1..200 << 10).contains(&bounded), "{bounded} of {not_bounded}");
}

/// The writer of ConsumeQueues went on for as long as a queue had units; one that grew while it
/// wrote was never done, and no checkpoint came.
#[test]
fn checkpoints_come_while_a_queue_grows_without_a_pause() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let config = StoreConfig { checkpoint_interval_ms: 100, ..small_config("/store") };
        let store = Store::open(sim.clone(), config).await.unwrap();
        for nth in 0..20_000 {
            loop {
                match store.append(&crate::oracle::draft("t", 0, b"x", &[])) {
                    Ok(_) => break,
                    Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                    Err(error) => panic!("message {nth}: {error}"),
                }
            }
            sim.sleep(Duration::from_micros(50)).await;
        }
        let checkpoints = store.write_counts().checkpoints;
        assert!(checkpoints >= 5, "{checkpoints} checkpoints in a second, due each 100 ms");
        store.close().await.unwrap();
    });
}
