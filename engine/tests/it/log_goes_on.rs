//! What stops the log without having harmed it is waited out: the next file can't be made, a write
//! finds no space.

use crate::oracle::{Oracle, Replay, logged, seeds, small_config};
use engine::{AppendError, FlushPolicy, LogBackend, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim, SimConfig};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOG: &str = "/store/commitlog";
const FILE_BYTES: u64 = 96 * 1024;

fn second_file() -> PathBuf {
    Path::new(LOG).join(format!("{FILE_BYTES:020}"))
}

fn every_config() -> Vec<StoreConfig> {
    let mut configs = Vec::new();
    for flush in [FlushPolicy::Async, FlushPolicy::Sync] {
        for backend in [LogBackend::Direct, LogBackend::Mmap] {
            configs.push(StoreConfig { flush, backend, ..small_config("/store") });
        }
    }
    configs
}

/// Each way in which the making of a file can fail.
fn failing_files() -> Vec<Fault> {
    vec![
        Fault::too_many_open(second_file()),
        Fault::eio(FaultOp::Open, second_file()),
        Fault::eio(FaultOp::Allocate, second_file()),
        Fault::eio(FaultOp::Sync, second_file()),
        Fault::no_space(FaultOp::Allocate, second_file()),
    ]
}

/// Sends until the store refuses for a reason that is no full tail.
async fn send_until_refused(sim: &Sim, store: &Store<Sim>, oracle: &mut Oracle) -> AppendError {
    loop {
        match oracle.append(store, ("alpha", 0), "red", 1000) {
            Ok(_) => sim.sleep(Duration::from_millis(5)).await,
            Err(AppendError::TailFull { .. }) => sim.sleep(Duration::from_millis(1)).await,
            Err(error) => return error,
        }
    }
}

async fn goes_on(sim: &Sim, store: &Store<Sim>, oracle: &mut Oracle) {
    sim.clear_faults();
    sim.sleep(Duration::from_secs(3)).await;
    oracle.fill(sim, store, 60).await;
    sim.sleep(Duration::from_secs(1)).await;
    assert_eq!((store.poisoned(), store.flushed()), (None, store.appended()));
    oracle.check(store).await;
}

#[test]
fn a_next_log_file_that_cannot_be_made_refuses_only_what_needs_it_and_goes_on_by_itself() {
    for (nth, fault) in failing_files().into_iter().enumerate() {
        for config in every_config() {
            let (sim, mut oracle) = (Sim::new(nth as u64), Oracle::default());
            let run = || {
                sim.block_on(async {
                    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
                    oracle.append(&store, ("alpha", 0), "red", 1000).unwrap();
                    sim.inject(fault.clone());
                    let refused = send_until_refused(&sim, &store, &mut oracle).await;
                    let log_at = match &refused {
                        AppendError::DiskFull { log_at } if nth == 4 => log_at.0,
                        AppendError::LogBlocked { log_at, .. } if nth < 4 => log_at.0,
                        error => panic!("{error}"),
                    };
                    assert_eq!(log_at, FILE_BYTES, "{refused}");
                    assert!(store.appended().0 > FILE_BYTES - 1300, "the first file is used up");
                    assert_eq!(store.poisoned(), None);
                    sim.sleep(Duration::from_secs(20)).await;
                    assert_eq!(store.poisoned(), None);
                    oracle.check(&store).await;
                    goes_on(&sim, &store, &mut oracle).await;
                    store.close().await.unwrap();
                    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
                    oracle.check(&store).await;
                    store.close().await.unwrap();
                });
            };
            let ((), log) = logged(run);
            assert_eq!(log.matches("the log can't go on from there").count(), 1, "{log}");
            assert_eq!(log.matches("the log goes on").count(), 1, "{log}");
        }
    }
}

#[test]
fn one_failure_half_a_file_early_is_noticed_by_nobody_who_sends() {
    for fault in failing_files() {
        for config in every_config() {
            let (sim, mut oracle) = (Sim::new(3), Oracle::default());
            sim.block_on(async {
                let store = Store::open(sim.clone(), config).await.unwrap();
                sim.inject(fault.clone().times(1));
                for _ in 0..150 {
                    oracle.append_waiting(&store, ("alpha", 0), "red", 1000).await;
                    sim.sleep(Duration::from_millis(40)).await;
                }
                let counts = sim.fault_counts();
                let struck =
                    counts.open_errors + counts.other_errors + counts.sync_errors + counts.no_space;
                assert_eq!((store.poisoned(), struck), (None, 1));
                oracle.check(&store).await;
                store.close().await.unwrap();
            });
        }
    }
}

#[test]
fn a_store_closes_cleanly_while_its_next_file_cannot_be_made() {
    for fault in failing_files() {
        let (sim, mut oracle) = (Sim::new(4), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            sim.inject(fault);
            for _ in 0..60 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 1000).await;
            }
            sim.sleep(Duration::from_millis(500)).await;
            store.close().await.unwrap();
            sim.clear_faults();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert!(!store.recovered().was_unclean);
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_write_of_the_log_that_finds_no_space_is_waited_out() {
    for seed in seeds(40) {
        let _replay = Replay(seed, "a_write_of_the_log_that_finds_no_space_is_waited_out");
        let config = every_config().swap_remove(usize::try_from(seed % 4).unwrap());
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 20).await;
            sim.inject(Fault::no_space(FaultOp::Write, LOG));
            let refused = send_until_refused(&sim, &store, &mut oracle).await;
            assert!(matches!(refused, AppendError::DiskFull { .. }), "{refused}");
            sim.sleep(Duration::from_secs(5)).await;
            assert_eq!(store.poisoned(), None);
            goes_on(&sim, &store, &mut oracle).await;
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

/// A store that was opened on a full disk has holes in its last file.
#[test]
fn a_hole_of_a_log_file_on_a_full_disk_is_waited_out() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "a_hole_of_a_log_file_on_a_full_disk_is_waited_out");
        let config = every_config().swap_remove(usize::try_from(seed % 4).unwrap());
        let sim = Sim::with_config(SimConfig {
            capacity_bytes: Some(8 << 20),
            ..SimConfig::with_seed(seed)
        });
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 10).await;
            sim.sleep(Duration::from_millis(200)).await;
        });
        let sim = sim.kill();
        sim.block_on(async {
            let space = sim.disk_space(Path::new("/store")).await.unwrap();
            let used = space.total_bytes - space.available_bytes;
            // Opening cuts the file behind the log's end and can reserve it no more.
            sim.inject(Fault::no_space(FaultOp::Allocate, LOG).after(1).times(1));
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            sim.set_capacity(Some(used - 40 * 1024));
            let refused = send_until_refused(&sim, &store, &mut oracle).await;
            assert!(
                matches!(
                    refused,
                    AppendError::DiskFull { .. } | AppendError::DiskNearlyFull { .. }
                ),
                "{refused}"
            );
            assert!(sim.fault_counts().no_space > 1, "{:?}", sim.fault_counts());
            assert_eq!(store.poisoned(), None);
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(60)).await;
            goes_on(&sim, &store, &mut oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn an_fdatasync_of_the_log_that_finds_no_space_stops_the_store() {
    for config in every_config() {
        let (sim, mut oracle) = (Sim::new(5), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            oracle.fill(&sim, &store, 20).await;
            sim.sleep(Duration::from_millis(100)).await;
            sim.inject(Fault::no_space(FaultOp::Sync, LOG).times(1));
            let refused = send_until_refused(&sim, &store, &mut oracle).await;
            assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
            assert!(store.poisoned().unwrap().contains("fdatasync"));
        });
    }
}
