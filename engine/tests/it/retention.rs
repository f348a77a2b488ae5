//! Old files go and full disks are emptied: minima move, files follow, reads and restarts agree,
//! and what is not due stays.

use crate::oracle::{Oracle, Replay, Sent, assert_record, request, seeds, small_config, split};
use engine::{
    AppendError, DeleteWhen, FlushPolicy, OwnedReadRequest, PhyOffset, ReadError, ReadSlices,
    ReadStatus, RetentionConfig, Store, StoreConfig, TagFilter,
};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim, SimConfig};
use std::path::Path;
use std::time::Duration;

const FILE_BYTES: u64 = 96 * 1024;
/// After a start, what was scanned goes into files behind the first answers.
const UNITS_ARE_IN_FILES: Duration = Duration::from_millis(50);

const HOUR: Duration = Duration::from_secs(3600);

/// Looks every 100 ms, at any hour.
fn eager() -> StoreConfig {
    let all_day = (0..24).map(|hour| hour.to_string()).collect::<Vec<_>>().join(";");
    let retention = RetentionConfig {
        delete_when: DeleteWhen::parse(&all_day).unwrap(),
        interval_ms: 100,
        ..RetentionConfig::default()
    };
    StoreConfig { retention, ..small_config("/store") }
}

async fn files(sim: &Sim, folder: &str) -> Vec<String> {
    sim.list_dir(Path::new(folder)).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Every queue holds exactly what it should: the messages from the log's beginning on, at their
/// offsets, to the end.
async fn check_kept(sim: &Sim, store: &Store<Sim>, oracle: &Oracle) {
    let begin = store.log_begin();
    for (topic, queue_id) in oracle.queues() {
        let all: Vec<&Sent> = oracle.queue(&topic, queue_id).collect();
        let gone = all.iter().filter(|sent| sent.at.physical_offset < begin).count();
        let range = store.queue_range(&topic, queue_id).unwrap();
        let (min, max) = (i64::try_from(gone).unwrap(), i64::try_from(all.len()).unwrap());
        assert_eq!(
            (range.min_offset.0, range.max_offset.0),
            (min, max),
            "{topic}/{queue_id}, the log begins at {begin}"
        );
        if gone > 0 {
            let mut out = ReadSlices::default();
            let status = store.read(&request(&topic, queue_id, min - 1, TagFilter::All), &mut out);
            assert_eq!(
                (status, out.next_begin_offset.0),
                (ReadStatus::OffsetTooSmall, min),
                "the corrected offset"
            );
        }
        let kept = read_from(store, &topic, queue_id, min).await;
        assert_eq!(kept.len(), all.len() - gone, "{topic}/{queue_id}");
        kept.iter().zip(&all[gone..]).for_each(|(record, sent)| assert_record(record, sent));
        if gone == all.len() {
            continue; // its files may be gone as well
        }
        let names = files(sim, &format!("/store/consumequeue/{topic}/{queue_id}")).await;
        let first: u64 = names.first().unwrap().parse().unwrap();
        assert!(
            first / 20 <= u64::try_from(min).unwrap()
                && names.len() <= 1 + (all.len() - gone) / 50 + 1,
            "{names:?} for {min}..{max}"
        );
    }
    let names = files(sim, "/store/commitlog").await;
    assert_eq!(names[0], format!("{:020}", begin.0));
}

async fn read_from(store: &Store<Sim>, topic: &str, queue_id: i32, from: i64) -> Vec<Vec<u8>> {
    let (mut records, mut offset) = (Vec::new(), from);
    loop {
        let read = store
            .read_cold(request(topic, queue_id, offset, TagFilter::All).to_owned())
            .await
            .unwrap();
        if read.status != ReadStatus::Found {
            return records;
        }
        records.extend(split(&read.slices));
        offset = read.next_begin_offset.0;
    }
}

#[test]
fn old_files_go_at_their_hour_and_everything_follows_and_a_restart_agrees() {
    for seed in seeds(20) {
        let _replay =
            Replay(seed, "old_files_go_at_their_hour_and_everything_follows_and_a_restart_agrees");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let begin = sim.block_on(async {
            let store = Store::open(sim.clone(), eager()).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            sim.sleep(Duration::from_millis(500)).await;
            assert_eq!(store.log_begin(), PhyOffset(0), "nothing is old");
            sim.advance_wall(40 * HOUR);
            oracle.fill(&sim, &store, 150).await;
            sim.advance_wall(40 * HOUR);
            sim.sleep(Duration::from_secs(2)).await;
            let begin = store.log_begin();
            assert!(
                begin.0 >= FILE_BYTES && begin.0 < store.appended().0 - 2 * FILE_BYTES,
                "the first part is old: {begin}"
            );
            check_kept(&sim, &store, &oracle).await;
            sim.advance_wall(100 * HOUR);
            sim.sleep(Duration::from_secs(5)).await;
            assert!(
                store.log_begin() > begin
                    && store.appended().0 - store.log_begin().0 < 2 * FILE_BYTES,
                "only what is being written stays"
            );
            check_kept(&sim, &store, &oracle).await;
            let index_before = files(&sim, "/store/index").await;
            oracle.fill(&sim, &store, 30).await;
            sim.sleep(Duration::from_secs(5)).await;
            check_kept(&sim, &store, &oracle).await;
            let index = files(&sim, "/store/index").await;
            assert!(
                index.len() < index_before.len() && index[0] > index_before[0],
                "index files follow: {index_before:?}, then {index:?}"
            );
            if seed % 2 == 0 {
                store.close().await.unwrap();
            } else {
                sim.sleep(Duration::from_millis(200)).await;
            }
            store.log_begin()
        });
        let sim = if seed % 4 == 3 { sim.crash().0 } else { sim.kill() };
        sim.block_on(async {
            let store = Store::open(sim.clone(), eager()).await.unwrap();
            assert_eq!(store.log_begin(), begin);
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn nothing_goes_outside_its_hour_while_there_is_space() {
    let sim = Sim::new(3);
    let mut config = eager();
    config.retention.delete_when = DeleteWhen::parse("4").unwrap();
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), config).await.unwrap();
        oracle.fill(&sim, &store, 200).await;
        sim.advance_wall(100 * HOUR);
        let hour = |sim: &Sim| sim.wall_ms() / 3_600_000 % 24;
        while hour(&sim) != 4 {
            sim.sleep(Duration::from_secs(1)).await;
            assert_eq!(store.log_begin(), PhyOffset(0), "at {} o'clock", hour(&sim));
            sim.advance_wall(HOUR / 2);
        }
        sim.sleep(Duration::from_secs(2)).await;
        assert!(store.log_begin().0 > 0);
        store.close().await.unwrap();
    });
}

#[test]
fn a_disk_that_fills_up_loses_its_oldest_files_refuses_in_time_and_goes_on_by_itself() {
    for seed in seeds(20) {
        let _replay = Replay(
            seed,
            "a_disk_that_fills_up_loses_its_oldest_files_refuses_in_time_and_goes_on_by_itself",
        );
        let capacity = 24 * FILE_BYTES;
        let sim = Sim::with_config(SimConfig {
            capacity_bytes: Some(capacity),
            ..SimConfig::with_seed(seed)
        });
        let forcibly = seed % 2 == 0;
        let mut config = eager();
        config.retention.clean_forcibly = forcibly;
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            let mut refused = 0;
            for _ in 0..3000 {
                match oracle.append(&store, ("alpha", 0), "red", 2000) {
                    Ok(_) => {}
                    Err(AppendError::TailFull { .. }) => store.wait_writable().await,
                    Err(AppendError::DiskNearlyFull { used_percent, .. }) => {
                        assert!(used_percent > 85, "{used_percent}");
                        refused += 1;
                        sim.sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
                if sim.random_u64().is_multiple_of(4) {
                    sim.sleep(Duration::from_micros(300)).await;
                }
            }
            assert_eq!(sim.fault_counts().no_space, 0, "refused before the file system is full");
            if forcibly {
                assert!(store.log_begin().0 > 0);
            } else {
                assert!(
                    refused > 0 && store.log_begin().0 == 0,
                    "young files stay when nobody may force them: {refused} refused"
                );
                // Reads go on; old files go; messages are taken again.
                check_kept(&sim, &store, &oracle).await;
                sim.advance_wall(73 * HOUR);
                sim.sleep(Duration::from_secs(3)).await;
                assert!(store.log_begin().0 > 0);
            }
            sim.sleep(Duration::from_secs(3)).await;
            oracle.append_waiting(&store, ("alpha", 0), "red", 10).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_disk_filled_by_others_to_the_last_byte_is_recovered_from() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "a_disk_filled_by_others_to_the_last_byte_is_recovered_from");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let mut config = eager();
        config.retention.batch_max = if seed % 2 == 0 { 3 } else { 1000 };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            sim.sleep(Duration::from_millis(100)).await;
            // Somebody's files take everything: not a block is left, not even for a manifest.
            sim.set_capacity(Some(store.appended().0));
            let mut refused = 0;
            for _ in 0..2000 {
                match oracle.append(&store, ("beta", 1), "red", 1000) {
                    Ok(_) => {}
                    Err(AppendError::TailFull { .. }) => sim.sleep(Duration::from_millis(2)).await,
                    Err(AppendError::DiskNearlyFull { .. } | AppendError::DiskFull { .. }) => {
                        refused += 1;
                        sim.sleep(Duration::from_millis(2)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert_eq!(store.poisoned(), None);
            assert!(
                refused > 0 && store.log_begin().0 > 0,
                "{refused} refused, the log begins at {}",
                store.log_begin()
            );
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(3)).await;
            oracle.fill(&sim, &store, 20).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

/// The store itself fills the disk before there is a checkpoint: no manifest can be written, and it
/// lists no file that could go.
#[test]
fn a_disk_that_is_full_before_the_first_checkpoint_is_recovered_from() {
    for seed in seeds(10) {
        let _replay =
            Replay(seed, "a_disk_that_is_full_before_the_first_checkpoint_is_recovered_from");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let config = StoreConfig { checkpoint_interval_ms: 1_000_000, ..eager() };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            sim.set_capacity(Some(1));
            let mut waited = 0;
            while store.log_begin() == PhyOffset(0) {
                sim.sleep(Duration::from_millis(10)).await;
                waited += 1;
                assert!(waited < 10_000, "nothing goes");
            }
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(3)).await;
            oracle.fill(&sim, &store, 20).await;
            // Written, so that the kill takes nothing.
            sim.sleep(Duration::from_millis(500)).await;
        });
        let sim = sim.kill();
        sim.block_on(async {
            let config = StoreConfig { retention: RetentionConfig::default(), ..eager() };
            let store = Store::open(sim.clone(), config).await.unwrap();
            sim.sleep(Duration::from_millis(50)).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

/// Simulation seed 20156, with faults five times as often: a file that could not be removed was
/// forgotten, a later round removed the one behind it, no manifest could say so, and the store with
/// a gap in it was refused.
#[test]
fn removals_that_fail_leave_no_gap() {
    let mut failed = 0;
    for seed in seeds(60) {
        let _replay = Replay(seed, "removals_that_fail_leave_no_gap");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let mut config = eager();
        config.retention.batch_max = 2;
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 400).await;
            sim.sleep(Duration::from_millis(200)).await;
            sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue.manifest"));
            sim.inject(Fault::eio(FaultOp::Name, "/store/commitlog").one_in(3));
            sim.advance_wall(80 * HOUR);
            sim.sleep(Duration::from_millis(800)).await;
            failed += sim.fault_counts().other_errors;
            if seed % 2 == 0 {
                sim.clear_faults();
                sim.sleep(Duration::from_secs(5)).await;
                check_kept(&sim, &store, &oracle).await;
            }
        });
        let sim = if seed % 3 == 0 { sim.crash().0 } else { sim.kill() };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            sim.sleep(Duration::from_secs(5)).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
    assert!(failed > 30 || std::env::var("ENGINE_SEED").is_ok(), "{failed} removals failed");
}

/// The log written to the very end of its last file, and no space for the next: the last file is
/// the log's all the same.
#[test]
fn the_last_file_stays_also_when_it_is_full() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "the_last_file_stays_also_when_it_is_full");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), eager()).await.unwrap();
            for _ in 0..8 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 4000).await;
            }
            sim.sleep(Duration::from_millis(50)).await;
            sim.set_capacity(Some(1));
            // All at once, over the end of the file, before anybody knows that there is no space.
            while store.appended().0 < FILE_BYTES {
                oracle.append(&store, ("alpha", 0), "red", 4000).unwrap();
            }
            sim.sleep(Duration::from_secs(3)).await;
            assert_eq!(
                (store.flushed().0, store.log_begin().0, store.poisoned()),
                (FILE_BYTES, 0, None)
            );
            check_kept(&sim, &store, &oracle).await;
            sim.set_capacity(None);
            sim.sleep(Duration::from_secs(3)).await;
            oracle.fill(&sim, &store, 20).await;
            sim.sleep(Duration::from_millis(100)).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_read_on_a_file_that_goes_is_right_or_that_reads_error() {
    let (mut right, mut wrong) = (0, 0);
    for seed in seeds(60) {
        let _replay = Replay(seed, "a_read_on_a_file_that_goes_is_right_or_that_reads_error");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), eager()).await.unwrap();
            oracle.fill(&sim, &store, 200).await;
            sim.sleep(Duration::from_millis(200)).await;
            store.close().await.unwrap();
            // Nothing is kept of what was read: every read goes to the file.
            let store = Store::open(
                sim.clone(),
                engine::StoreConfig { cold_cache_bytes_max: 0, ..eager() },
            )
            .await
            .unwrap();
            sim.inject(Fault::slow(FaultOp::Read, "/store", Duration::from_millis(150)));
            sim.advance_wall(80 * HOUR);
            let sent: Vec<&Sent> = oracle.queue("alpha", 0).collect();
            while store.log_begin().0 == 0 {
                match store.read_cold(first_of("alpha")).await {
                    Ok(read) if read.status == ReadStatus::Found => {
                        for record in split(&read.slices) {
                            let nth = protocol::record::RecordView::parse(&record)
                                .unwrap()
                                .queue_offset();
                            assert_record(&record, sent[usize::try_from(nth).unwrap()]);
                        }
                        right += usize::from(store.log_begin().0 > 0);
                    }
                    Ok(read) => assert!(
                        matches!(
                            read.status,
                            ReadStatus::MessageWasRemoving | ReadStatus::OffsetTooSmall
                        ),
                        "{:?}",
                        read.status
                    ),
                    Err(ReadError::File(gone)) => {
                        assert_eq!(gone.source.kind(), std::io::ErrorKind::NotFound, "{gone}");
                        wrong += 1;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            sim.clear_faults();
            sim.sleep(Duration::from_secs(2)).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
            assert_eq!(
                files(&sim, "/store/commitlog").await[0],
                format!("{:020}", store.log_begin().0),
                "no file came back"
            );
        });
    }
    eprintln!("{right} reads were right although their file went, {wrong} were errors");
    assert!(right + wrong > 0 || std::env::var("ENGINE_SEED").is_ok(), "no read met a removal");
}

fn first_of(topic: &str) -> OwnedReadRequest {
    request(topic, 0, 0, TagFilter::All).to_owned()
}

#[test]
fn a_crash_while_files_go_leaves_a_store_that_opens_with_the_same_messages() {
    let mut moved = 0;
    for seed in seeds(100) {
        let _replay =
            Replay(seed, "a_crash_while_files_go_leaves_a_store_that_opens_with_the_same_messages");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let mut config = StoreConfig { flush: FlushPolicy::Sync, ..eager() };
        config.retention.file_interval_ms = 1;
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            sim.advance_wall(80 * HOUR);
            sim.sleep(Duration::from_millis(99) + Duration::from_micros(sim.random_u64() % 20_000))
                .await;
            drop(store);
        });
        let sim = if seed % 2 == 0 { sim.crash().0 } else { sim.kill() };
        sim.block_on(async {
            config.retention.reserved_ms = u64::MAX / 2;
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            moved += usize::from(store.log_begin().0 > 0);
            sim.sleep(UNITS_ARE_IN_FILES).await;
            check_kept(&sim, &store, &oracle).await;
            let begin = store.log_begin();
            store.close().await.unwrap();
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = Store::open(sim.clone(), config).await.unwrap();
            assert_eq!(store.log_begin(), begin);
            sim.sleep(UNITS_ARE_IN_FILES).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
    assert!(
        (10..90).contains(&moved) || std::env::var("ENGINE_SEED").is_ok(),
        "{moved} of 100 crashes after the removal began"
    );
}

/// Simulation seed 8630: no new manifest could be written, the old one got the new beginnings, and
/// a deleted topic, which the crash brought back, kept its old ones.
#[test]
fn a_topic_that_comes_back_begins_where_the_log_does() {
    let (sim, mut oracle) = (Sim::new(8630), Oracle::default());
    sim.block_on(async {
        let config = StoreConfig { checkpoint_interval_ms: 1_000_000, ..eager() };
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        oracle.fill(&sim, &store, 300).await;
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), config).await.unwrap();
        sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue.manifest").times(1));
        sim.inject(Fault::eio(FaultOp::Name, "/store/consumequeue/beta"));
        drop(store.delete_topic("beta"));
        sim.advance_wall(80 * HOUR);
        while store.log_begin() == PhyOffset(0) {
            sim.sleep(Duration::from_millis(10)).await;
        }
        sim.sleep(Duration::from_millis(200)).await;
    });
    let sim = sim.kill();
    sim.block_on(async {
        let config = StoreConfig { retention: RetentionConfig::default(), ..eager() };
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert!(store.queue_range("beta", 0).is_some(), "its deletion reached no disk");
        check_kept(&sim, &store, &oracle).await;
    });
}

#[test]
fn a_queue_that_lost_every_message_goes_on_at_its_offset_also_after_a_rebuild() {
    let (sim, mut oracle) = (Sim::new(4), Oracle::default());
    sim.block_on(async {
        let store = Store::open(sim.clone(), eager()).await.unwrap();
        for _ in 0..70 {
            oracle.append_waiting(&store, ("idle", 2), "red", 100).await;
        }
        oracle.fill(&sim, &store, 300).await;
        sim.sleep(Duration::from_millis(200)).await;
        sim.advance_wall(80 * HOUR);
        sim.sleep(Duration::from_secs(2)).await;
        let range = store.queue_range("idle", 2).unwrap();
        assert_eq!((range.min_offset.0, range.max_offset.0), (70, 70));
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), eager()).await.unwrap();
        assert_eq!(store.queue_range("idle", 2), Some(range));
        store.close().await.unwrap();
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        let store = Store::open(sim.clone(), eager()).await.unwrap();
        assert_eq!(
            store.queue_range("idle", 2),
            Some(range),
            "a group at offset 70 must not meet other messages below it"
        );
        let next = oracle.append_waiting(&store, ("idle", 2), "red", 100).await;
        assert_eq!(next.queue_offset.0, 70);
        store.close().await.unwrap();
    });
}

/// What the manifest does not list of a queue is known from the log alone: gone with it, the queue
/// would give offsets out a second time after a crash.
#[test]
fn no_file_goes_that_holds_what_the_manifest_on_disk_does_not_list() {
    for seed in seeds(20) {
        let _replay =
            Replay(seed, "no_file_goes_that_holds_what_the_manifest_on_disk_does_not_list");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let is_second_life = seed % 2 == 0;
        sim.block_on(async {
            let store = Store::open(sim.clone(), eager()).await.unwrap();
            oracle.fill(&sim, &store, 100).await;
            sim.sleep(Duration::from_millis(200)).await;
            let store = if is_second_life {
                store.close().await.unwrap();
                Store::open(sim.clone(), eager()).await.unwrap()
            } else {
                store
            };
            sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue.manifest"));
            for _ in 0..70 {
                oracle.append_waiting(&store, ("idle", 2), "red", 100).await;
            }
            oracle.fill(&sim, &store, 300).await;
            sim.sleep(Duration::from_millis(200)).await;
            sim.advance_wall(80 * HOUR);
            sim.sleep(Duration::from_secs(2)).await;
            assert!(store.log_begin() > PhyOffset(0), "what it does list goes");
        });
        let sim = if seed % 3 == 0 { sim.crash().0 } else { sim.kill() };
        sim.block_on(async {
            let config = StoreConfig { retention: RetentionConfig::default(), ..eager() };
            let store = Store::open(sim.clone(), config).await.unwrap();
            sim.sleep(Duration::from_millis(50)).await;
            check_kept(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_deleted_topic_is_forgotten_with_its_last_record() {
    let (sim, mut oracle) = (Sim::new(9), Oracle::default());
    sim.block_on(async {
        let store = Store::open(sim.clone(), eager()).await.unwrap();
        oracle.fill(&sim, &store, 100).await;
        store.delete_topic("alpha").await.unwrap();
        oracle.sent.retain(|sent| sent.topic != "alpha");
        let manifest = || async {
            String::from_utf8(
                sim.read_file(Path::new("/store/consumequeue.manifest")).await.unwrap(),
            )
            .unwrap()
        };
        assert!(manifest().await.contains("alpha"));
        while store.appended().0 < 6 * FILE_BYTES {
            oracle.append_waiting(&store, ("beta", 1), "red", 2000).await;
        }
        sim.sleep(Duration::from_millis(200)).await;
        sim.advance_wall(80 * HOUR);
        sim.sleep(Duration::from_secs(2)).await;
        assert!(!manifest().await.contains("alpha"));
        check_kept(&sim, &store, &oracle).await;
        store.close().await.unwrap();
    });
}
