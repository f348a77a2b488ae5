//! What was in memory when a process was killed is in the memory of the next: readers do not wait
//! for the disk.

use crate::kept_tail::{config, kept, open};
use crate::oracle::{Oracle, Replay, cold, draft, request, seeds};
use engine::{FlushPolicy, ReadStatus, StoreConfig, TagFilter, TailMemory};
use rt::sim::Sim;
use rt::{MemoryRoom, Runtime};
use std::path::Path;
use std::time::Duration;

fn with_room_for(chunks: usize) -> StoreConfig {
    let config = config(kept());
    StoreConfig { tail_bytes_max: chunks * config.chunk_bytes, ..config }
}

/// Fills a store, lets the disk have everything if `is_rested`, and kills the process.
fn filled_and_killed(sim: &Sim, config: &StoreConfig, oracle: &mut Oracle, is_rested: bool) -> Sim {
    sim.block_on(async {
        let store = open(sim, config).await;
        oracle.fill(sim, &store, 40).await;
        if is_rested {
            sim.sleep(Duration::from_millis(100)).await;
            assert_eq!(store.written(), store.appended());
        }
    });
    sim.kill()
}

#[test]
fn after_kills_what_was_in_memory_is_read_without_the_disk() {
    for seed in seeds(60) {
        let _replay = Replay(seed, "after_kills_what_was_in_memory_is_read_without_the_disk");
        let flush = [FlushPolicy::Async, FlushPolicy::Sync][usize::from(seed % 2 == 1)];
        let config = StoreConfig { flush, ..with_room_for(24) };
        let mut oracle = Oracle::default();
        let mut sim = filled_and_killed(&Sim::new(seed), &config, &mut oracle, seed % 3 == 0);
        for _ in 0..3 {
            sim.block_on(async {
                let store = open(&sim, &config).await;
                assert!(matches!(store.tail_memory(), TailMemory::Kept { .. }));
                oracle.check(&store).await;
                let cache = store.cache_use();
                assert_eq!(cache.read_bytes, 0, "{cache:?}");
                oracle.fill(&sim, &store, 2).await;
                while store.acknowledged() < store.appended() {
                    store.acknowledged_beyond(store.acknowledged()).await;
                }
                oracle.check(&store).await;
                assert_eq!(store.cache_use().read_bytes, 0, "the log goes on behind it");
            });
            sim = sim.kill();
        }
        // A clean stop leaves no memory.
        sim.block_on(async { open(&sim, &config).await.close().await.unwrap() });
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.check(&store).await;
            assert!(store.cache_use().read_bytes > 0);
        });
    }
}

#[test]
fn of_more_than_the_tail_holds_the_newest_is_warm() {
    for seed in seeds(40) {
        let _replay = Replay(seed, "of_more_than_the_tail_holds_the_newest_is_warm");
        let (config, mut oracle) = (with_room_for(10), Oracle::default());
        let mut sim = Sim::new(seed);
        for _ in 0..4 {
            sim = filled_and_killed(&sim, &config, &mut oracle, true);
        }
        sim.block_on(async {
            let store = open(&sim, &config).await;
            let newest = oracle.sent.last().unwrap();
            let offset = newest.at.queue_offset.0;
            let newest = request(&newest.topic, newest.queue_id, offset, TagFilter::All);
            let (status, _, records) = cold(&store, newest.to_owned()).await;
            assert_eq!((status, records.len()), (ReadStatus::Found, 1));
            assert_eq!(store.cache_use().read_bytes, 0, "its unit is on disk, and it is not");
            oracle.check(&store).await;
            assert!(store.cache_use().read_bytes > 0);
            oracle.fill(&sim, &store, 40).await;
            oracle.check(&store).await;
        });
    }
}

/// A takeover that has no memory to spare gives back what it could keep, and may be killed then:
/// the next one must not take holes for messages.
#[test]
fn memory_that_a_killed_takeover_gave_back_is_read_from_disk() {
    let mut cold = 0;
    for seed in seeds(60) {
        let _replay = Replay(seed, "memory_that_a_killed_takeover_gave_back_is_read_from_disk");
        let (config, mut oracle) = (with_room_for(24), Oracle::default());
        let mut sim = filled_and_killed(&Sim::new(seed), &config, &mut oracle, seed % 2 == 0);
        for nth in 0..6 {
            let left_bytes = if nth % 2 == 0 { 1 << 20 } else { 1 << 40 };
            sim.set_memory_room(MemoryRoom { left_bytes, stalled_permille: 0 });
            let time = Duration::from_micros(sim.random_u64() % 4_000);
            sim.block_on(futures_lite::future::or(
                async {
                    drop(open(&sim, &config).await);
                },
                async {
                    sim.sleep(time).await;
                },
            ));
            sim = sim.kill();
        }
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.check(&store).await;
            cold += usize::from(store.cache_use().read_bytes > 0);
            oracle.fill(&sim, &store, 10).await;
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    assert!(cold > 0 || std::env::var("ENGINE_SEED").is_ok(), "none was given back");
}

#[test]
fn where_there_is_room_for_one_tail_only_the_new_one_has_it() {
    let (config, mut oracle) = (with_room_for(24), Oracle::default());
    let sim = filled_and_killed(&Sim::new(7), &config, &mut oracle, true);
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert!(matches!(store.tail_memory(), TailMemory::Kept { .. }));
    });
    let sim = sim.kill();
    sim.set_kept_room(Some(0));
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert!(matches!(store.tail_memory(), TailMemory::NotKept { .. }));
        oracle.check(&store).await;
    });
}

#[test]
fn a_power_cut_under_sync_flush_says_nothing_of_lost_messages() {
    let config = StoreConfig { flush: FlushPolicy::Sync, ..with_room_for(24) };
    let (sim, mut oracle) = (Sim::new(8), Oracle::default());
    sim.block_on(async {
        let store = open(&sim, &config).await;
        oracle.fill(&sim, &store, 20).await;
        sim.sleep(Duration::from_millis(100)).await;
        assert_eq!(store.acknowledged(), store.appended());
    });
    let (sim, _) = sim.crash();
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert!(!store.recovered().is_kept_memory_gone, "{:?}", store.recovered());
        oracle.check(&store).await;
    });
}

/// The log's last block is written again with the next message. A byte of it that the disk has
/// otherwise than memory must not come back to life under queues that were built without it.
#[test]
fn memory_that_differs_from_the_disk_in_the_last_block_is_not_used() {
    let (config, mut oracle) = (with_room_for(24), Oracle::default());
    let sim = Sim::new(9);
    let damaged = sim.block_on(async {
        let store = open(&sim, &config).await;
        for _ in 0..8 {
            oracle.append(&store, ("alpha", 0), "red", 100).unwrap();
        }
        sim.sleep(Duration::from_millis(100)).await;
        assert_eq!(store.flushed(), store.appended());
        oracle.sent.last().unwrap().at.physical_offset.0
    });
    let sim = sim.kill();
    sim.damage("/store/commitlog/00000000000000000000".as_ref(), damaged + 10);
    sim.block_on(async {
        let store = open(&sim, &config).await;
        oracle.fill(&sim, &store, 3).await;
        sim.sleep(Duration::from_millis(100)).await;
        store.close().await.unwrap();
    });
    sim.block_on(async {
        let store = open(&sim, &config).await;
        let found = store.message_at(engine::PhyOffset(damaged)).await.unwrap();
        assert!(found.is_none(), "it was not healed halfway");
        store.close().await.unwrap();
    });
}

/// A life begins with the log's last block in its memory, as the disk has it. The simulation found
/// that the next life served from there what had been damaged (seed 70228).
#[test]
fn what_was_damaged_on_disk_before_the_killed_life_is_not_served_from_its_memory() {
    let (config, sim) = (with_room_for(24), Sim::new(11));
    let path = Path::new("/store/commitlog/00000000000000000000");
    let offset_1 = || request("t", 0, 1, TagFilter::All).to_owned();
    sim.block_on(async {
        let store = open(&sim, &config).await;
        store.append(&draft("t", 0, &[7; 300], &[])).unwrap();
        let damaged = store.append(&draft("t", 0, &[7; 300], &[])).unwrap();
        store.close().await.unwrap();
        // The upper half of where the record says that it lies.
        sim.damage(path, damaged.physical_offset.0 + 30);
    });
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert_eq!(cold(&store, offset_1()).await.0, ReadStatus::MessageWasRemoving);
        store.append(&draft("t", 0, &[7; 300], &[])).unwrap();
        sim.sleep(Duration::from_millis(100)).await;
    });
    let sim = sim.kill();
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert_eq!(cold(&store, offset_1()).await.0, ReadStatus::MessageWasRemoving);
        let own = request("t", 0, 2, TagFilter::All).to_owned();
        let before = store.cache_use().read_bytes;
        assert_eq!(cold(&store, own).await.0, ReadStatus::Found);
        assert_eq!(store.cache_use().read_bytes, before, "what it appended is warm");
    });
}
