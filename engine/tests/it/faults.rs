//! A device that answers with errors: a failed write or flush of the log stops that store's appends
//! for good and nothing else; a failed read is that read's alone; derived files that could not be
//! synced are not believed; a full disk is waited out.

use crate::oracle::{Oracle, Replay, assert_record, consume, draft, request, seeds, small_config};
use engine::{
    AppendError, FlushPolicy, LogBackend, PhyOffset, ReadError, ReadSlices, ReadStatus, Store,
    StoreConfig, StoreError, TagFilter,
};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim, SimConfig};
use std::path::Path;
use std::time::Duration;

const LOG: &str = "/store/commitlog";
const QUEUES: &str = "/store/consumequeue";

async fn poisoned(sim: &Sim, store: &Store<Sim>) -> String {
    for _ in 0..10_000 {
        if let Some(reason) = store.poisoned() {
            return reason;
        }
        sim.sleep(Duration::from_millis(1)).await;
    }
    panic!("not poisoned within ten seconds: {:?}", sim.fault_counts());
}

/// Every policy and backend, and an error of each operation that they use.
fn failing_operation(seed: u64) -> (StoreConfig, FaultOp) {
    let flush = if seed % 4 < 2 { FlushPolicy::Async } else { FlushPolicy::Sync };
    let backend = if seed % 8 < 4 { LogBackend::Direct } else { LogBackend::Mmap };
    let op = if seed.is_multiple_of(2) { FaultOp::Write } else { FaultOp::Sync };
    (StoreConfig { flush, backend, ..small_config("/store") }, op)
}

#[test]
fn a_failed_write_or_flush_of_the_log_stops_appends_with_the_reason_and_reads_go_on() {
    for seed in seeds(80) {
        let _replay = Replay(
            seed,
            "a_failed_write_or_flush_of_the_log_stops_appends_with_the_reason_and_reads_go_on",
        );
        let (config, op) = failing_operation(seed);
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let flushed = sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 80).await;
            sim.sleep(Duration::from_millis(100)).await;
            assert_eq!(store.flushed(), store.appended());
            sim.inject(Fault::eio(op, LOG));
            let last = oracle.append(&store, ("alpha", 0), "red", 100).unwrap();
            let reason = poisoned(&sim, &store).await;
            assert!(reason.contains("write") || reason.contains("fdatasync"), "{reason}");
            assert!(reason.contains(LOG) && reason.contains("Input/output error"), "{reason}");
            let refused = store.append(&draft("alpha", 0, b"x", &[])).unwrap_err();
            assert_eq!(refused, AppendError::Poisoned { reason });
            assert!(refused.to_string().contains("restart"), "{refused}");
            store.wait_writable().await;
            store.acknowledged_beyond(PhyOffset(last.end().0 - 1)).await;
            sim.sleep(Duration::from_secs(20)).await;
            let counts = sim.fault_counts();
            assert_eq!(
                counts.write_errors + counts.sync_errors,
                1,
                "what failed is never tried again"
            );
            // What nobody was told of is not shown either; all before is still read.
            if store.acknowledged() < last.end() {
                oracle.sent.pop();
            }
            oracle.check(&store).await;
            let flushed = store.flushed();
            assert!(matches!(store.close().await.unwrap_err(), StoreError::Poisoned { .. }));
            assert_eq!(
                sim.fault_counts().write_errors + sim.fault_counts().sync_errors,
                1,
                "not at the close either"
            );
            assert!(sim.read_file(Path::new("/store/abort")).await.is_ok(), "it was no clean stop");
            flushed
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            assert!(store.recovered().was_unclean && store.appended() >= flushed);
            oracle.sent.truncate(80);
            assert_eq!(
                store.queue_range("beta", 0).unwrap().max_offset.0,
                i64::try_from(oracle.queue("beta", 0).count()).unwrap()
            );
            let read = consume(&store, "alpha", 0, TagFilter::All).await;
            let sent: Vec<_> = oracle.queue("alpha", 0).collect();
            assert!(
                read.len() == sent.len() || read.len() == sent.len() + 1,
                "the message in doubt is there or not"
            );
            read.iter().zip(sent).for_each(|(record, sent)| assert_record(record, sent));
            store.close().await.unwrap();
        });
    }
}

#[test]
fn whoever_waits_for_room_is_woken_when_the_store_stops() {
    let sim = Sim::new(7);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        sim.hold_writes(true);
        let body = vec![1; 8000];
        while store.append(&draft("t", 0, &body, &[])).is_ok() {}
        sim.inject(Fault::eio(FaultOp::Write, LOG));
        let waiting = store.clone();
        let release = async {
            sim.sleep(Duration::from_millis(5)).await;
            sim.hold_writes(false);
            std::future::pending::<()>().await;
        };
        futures_lite::future::or(waiting.wait_writable(), release).await;
        assert!(matches!(
            store.append(&draft("t", 0, &body, &[])),
            Err(AppendError::Poisoned { .. })
        ));
    });
}

#[test]
fn a_failed_read_is_that_reads_alone() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "a_failed_read_is_that_reads_alone");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 200).await;
            sim.sleep(Duration::from_millis(100)).await;
            for folder in [LOG, QUEUES] {
                let mut out = ReadSlices::default();
                assert_eq!(
                    store.read(&request("alpha", 0, 0, TagFilter::All), &mut out),
                    ReadStatus::Cold
                );
                sim.inject(Fault::eio(FaultOp::Read, folder).times(1));
                let failed = store
                    .read_cold(request("alpha", 0, 0, TagFilter::All).to_owned())
                    .await
                    .unwrap_err();
                let ReadError::File(error) = failed else { panic!("{failed}") };
                assert!(
                    error.path.starts_with(folder) && error.source.raw_os_error() == Some(5),
                    "{error}"
                );
                assert_eq!(store.poisoned(), None);
                oracle.append_waiting(&store, ("beta", 1), "red", 50).await;
                sim.inject(Fault::short_reads("/store").one_in(3));
                oracle.check(&store).await;
                sim.clear_faults();
            }
            assert_eq!(sim.fault_counts().read_errors, 2);
            store.close().await.unwrap();
        });
    }
}

/// The kernel drops what a failed fdatasync of a cached file could not write, and says yes to the
/// next one.
#[test]
fn consumequeue_files_that_could_not_be_synced_are_not_believed_after_a_power_cut() {
    let mut struck = 0;
    for seed in seeds(60) {
        let _replay = Replay(
            seed,
            "consumequeue_files_that_could_not_be_synced_are_not_believed_after_a_power_cut",
        );
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 100).await;
            sim.sleep(Duration::from_millis(100)).await;
            sim.inject(Fault::eio(FaultOp::Sync, QUEUES).one_in(4).times(3));
            for _ in 0..5 {
                oracle.fill(&sim, &store, 20).await;
                sim.sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(store.poisoned(), None, "the log has everything");
            oracle.check(&store).await;
            struck += sim.fault_counts().sync_errors;
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    assert!(struck > 20 || std::env::var("ENGINE_SEED").is_ok(), "{struck} syncs failed");
}

#[test]
fn a_store_opens_on_a_full_disk_with_a_last_file_that_a_kill_left_short() {
    for seed in seeds(30) {
        let _replay =
            Replay(seed, "a_store_opens_on_a_full_disk_with_a_last_file_that_a_kill_left_short");
        let sim = Sim::with_config(SimConfig {
            capacity_bytes: Some(8 << 20),
            ..SimConfig::with_seed(seed)
        });
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 60).await;
            sim.sleep(Duration::from_millis(200)).await;
        });
        let sim = sim.kill();
        sim.block_on(async {
            // Between the making of a file and the reserving of its space.
            let files = sim.list_dir(Path::new(LOG)).await.unwrap();
            let next = files.len() as u64 * 96 * 1024;
            sim.open(&Path::new(LOG).join(format!("{next:020}")), rt::OpenMode::Buffered)
                .await
                .unwrap();
            let space = sim.disk_space(Path::new("/store")).await.unwrap();
            sim.set_capacity(Some(space.total_bytes - space.available_bytes + 48 * 1024));
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(3)).await;
            oracle.fill(&sim, &store, 120).await;
            oracle.check(&store).await;
            assert_eq!(store.poisoned(), None);
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_disk_without_space_for_the_next_log_file_refuses_and_goes_on_by_itself() {
    for seed in seeds(30) {
        let _replay = Replay(
            seed,
            "a_disk_without_space_for_the_next_log_file_refuses_and_goes_on_by_itself",
        );
        let sim = Sim::with_config(SimConfig {
            capacity_bytes: Some(1 << 20),
            ..SimConfig::with_seed(seed)
        });
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 60).await;
            sim.set_capacity(Some(0));
            let mut refused = 0;
            for nth in 0..400 {
                match oracle.append(&store, ("alpha", nth % 3), "red", 1500) {
                    Ok(_) => {}
                    Err(AppendError::DiskFull { log_at }) => {
                        refused += 1;
                        assert_eq!(log_at.0 % (96 * 1024), 0);
                    }
                    Err(AppendError::TailFull { .. }) => sim.sleep(Duration::from_millis(1)).await,
                    Err(error) => panic!("{error}"),
                }
                sim.sleep(Duration::from_micros(200)).await;
            }
            assert!(
                refused > 0 && sim.fault_counts().no_space > 0,
                "{refused} refused, {:?}",
                sim.fault_counts()
            );
            assert_eq!(store.poisoned(), None, "a full disk is no broken one");
            oracle.check(&store).await;
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(3)).await;
            oracle.fill(&sim, &store, 60).await;
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_device_that_takes_seconds_delays_and_loses_nothing() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_device_that_takes_seconds_delays_and_loses_nothing");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            for op in [FaultOp::Write, FaultOp::Sync, FaultOp::Read, FaultOp::Allocate] {
                sim.inject(Fault::slow(op, "/store", Duration::from_secs(3)).one_in(5));
            }
            oracle.fill(&sim, &store, 200).await;
            let read = consume(&store, "alpha", 0, TagFilter::All).await;
            assert_eq!(read.len(), oracle.queue("alpha", 0).count());
            assert!(sim.fault_counts().slow > 2, "{:?}", sim.fault_counts());
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

/// Zeros written ahead and the log share files: an fdatasync tells of an error once, to whoever
/// asks first.
#[test]
fn a_failed_flush_of_zeros_is_one_of_the_log() {
    let sim = Sim::with_config(SimConfig { direct_io: false, ..SimConfig::with_seed(11) });
    sim.block_on(async {
        let store = Store::open(
            sim.clone(),
            StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") },
        )
        .await
        .unwrap();
        // Making the first file syncs it and the folder.
        sim.inject(Fault::eio(FaultOp::Sync, LOG).after(2).times(1));
        let reason = poisoned(&sim, &store).await;
        assert!(reason.contains("zeros"), "{reason}");
    });
}
