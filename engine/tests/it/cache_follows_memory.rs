//! A tail that follows the machine's memory: it grows while there is some to spare, gives back the
//! oldest of what is written when there is not, and comes again. Nothing is lost meanwhile.

use crate::oracle::{draft, request};
use engine::{AppendError, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter, TailPlace};
use rt::sim::Sim;
use rt::{MemoryRoom, Runtime};
use std::time::Duration;

const MIB: usize = 1 << 20;

fn config(place: TailPlace) -> StoreConfig {
    StoreConfig {
        tail_place: place,
        tail_bytes_max: 192 * MIB,
        tail_follows_memory: true,
        commitlog_file_bytes: 16 << 20,
        message_bytes_max: MIB,
        index_enabled: false,
        ..StoreConfig::new("/store")
    }
}

fn places() -> [TailPlace; 2] {
    [TailPlace::Private, TailPlace::Folder { path: "/dev/shm".into(), is_required: true }]
}

fn room(left_mib: u64) -> MemoryRoom {
    MemoryRoom { left_bytes: left_mib << 20, stalled_permille: 0 }
}

/// `count` messages of a little less than a chunk, at a pace that looks at memory keep up with.
async fn append(sim: &Sim, store: &Store<Sim>, count: usize) {
    let body = vec![7; 1_000_000];
    for _ in 0..count {
        while let Err(full) = store.append(&draft("t", 0, &body, &[])) {
            assert!(matches!(full, AppendError::TailFull { .. }), "{full}");
            store.wait_writable().await;
        }
        sim.sleep(Duration::from_millis(3)).await;
    }
}

fn status(store: &Store<Sim>, offset: i64) -> ReadStatus {
    store.read(&request("t", 0, offset, TagFilter::All), &mut ReadSlices::default())
}

#[test]
fn the_tail_grows_while_there_is_memory_gives_it_back_oldest_first_and_comes_again() {
    for place in places() {
        let sim = Sim::new(1);
        sim.block_on(async {
            let store = Store::open(sim.clone(), config(place)).await.unwrap();
            append(&sim, &store, 300).await;
            let full = store.cache_use();
            assert_eq!((full.tail_bytes, full.most_bytes), (192 * MIB, 192 * MIB), "it filled");
            assert_eq!(status(&store, 120), ReadStatus::Found);
            // 64 MiB are to be left to others, and 40 are missing.
            sim.set_memory_room(room(24));
            sim.sleep(Duration::from_millis(150)).await;
            let after = store.cache_use();
            assert!(after.tail_bytes < 160 * MIB, "{after:?}");
            assert_eq!(
                (status(&store, 120), status(&store, 299)),
                (ReadStatus::Cold, ReadStatus::Found)
            );
            sim.sleep(Duration::from_secs(2)).await;
            let least = store.cache_use();
            assert_eq!(least.tail_bytes, 64 * MIB, "the floor stays: {least:?}");
            append(&sim, &store, 30).await;
            assert_eq!(store.cache_use().tail_bytes, 64 * MIB, "it does with that");
            let cold = store.read_cold(request("t", 0, 120, TagFilter::All).to_owned()).await;
            assert_eq!(cold.unwrap().status, ReadStatus::Found, "it is on disk");
            sim.set_memory_room(MemoryRoom::UNLIMITED);
            append(&sim, &store, 200).await;
            let again = store.cache_use();
            assert!(again.tail_bytes + again.cold_bytes > 180 * MIB, "{again:?}");
            store.close().await.unwrap();
        });
    }
}

#[test]
fn what_is_not_written_is_never_given_back_and_has_its_bound() {
    for place in places() {
        let sim = Sim::new(2);
        let (config, mut sent) = (config(place), 0);
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            sim.hold_writes(true);
            let body = vec![7; 1_000_000];
            while store.append(&draft("t", 0, &body, &[])).is_ok() {
                sent += 1;
                sim.sleep(Duration::from_millis(3)).await;
            }
            let unwritten = store.appended().0 - store.written().0;
            let bound = u64::try_from(config.tail_floor_bytes()).unwrap();
            assert!((bound / 2..=bound + (2 << 20)).contains(&unwritten), "{unwritten} of {bound}");
            sim.set_memory_room(room(0));
            sim.sleep(Duration::from_secs(1)).await;
            assert!((0..sent).all(|offset| status(&store, offset) == ReadStatus::Found));
            sim.hold_writes(false);
            store.wait_writable().await;
            append(&sim, &store, 1).await;
            store.close().await.unwrap();
        });
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            assert_eq!(store.queue_range("t", 0).unwrap().max_offset.0, sent + 1);
            store.close().await.unwrap();
        });
    }
}

#[test]
fn windows_read_from_disk_are_of_the_same_budget_and_a_quarter_of_it_at_most() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let store = Store::open(sim.clone(), config(TailPlace::Private)).await.unwrap();
        append(&sim, &store, 400).await;
        for offset in 0..150 {
            let request = request("t", 0, offset, TagFilter::All).to_owned();
            assert_eq!(store.read_cold(request).await.unwrap().status, ReadStatus::Found);
            let cache = store.cache_use();
            assert!(cache.cold_bytes <= 192 * MIB / 4, "{cache:?}");
        }
        assert!(store.cache_use().cold_bytes > 20 * MIB, "{:?}", store.cache_use());
        sim.sleep(Duration::from_secs(1)).await;
        let cache = store.cache_use();
        assert!(cache.tail_bytes + cache.cold_bytes <= 193 * MIB, "{cache:?}");
        store.close().await.unwrap();
    });
}

#[test]
fn memory_is_reserved_ahead_as_fast_as_the_log_grows_and_given_back() {
    let sim = Sim::new(5);
    let place = TailPlace::Folder { path: "/dev/shm".into(), is_required: true };
    let room_bytes = 1 << 40;
    sim.set_kept_room(Some(room_bytes));
    sim.block_on(async {
        let store = Store::open(sim.clone(), config(place)).await.unwrap();
        let taken_mib = || (room_bytes - sim.kept_room().unwrap()) / MIB;
        let at_start = taken_mib();
        sim.sleep(Duration::from_secs(1)).await;
        assert_eq!(taken_mib(), at_start, "nothing is reserved for a log that does not grow");
        // About 30 MiB between two looks.
        append(&sim, &store, 100).await;
        let (tail_mib, taken) = (store.cache_use().tail_bytes / MIB, taken_mib());
        assert!(tail_mib > 95, "no chunk was used again: {tail_mib} MiB");
        assert!(taken >= tail_mib + 4, "{taken} MiB are reserved, {tail_mib} are used");
        assert!(taken <= tail_mib + 68, "{taken} MiB are reserved, {tail_mib} are used");
        sim.set_memory_room(room(0));
        sim.sleep(Duration::from_secs(1)).await;
        append(&sim, &store, 80).await;
        sim.sleep(Duration::from_secs(1)).await;
        assert_eq!(taken_mib(), at_start, "the tail has the memory that it never gives back");
        assert_eq!(status(&store, 179), ReadStatus::Found);
        store.close().await.unwrap();
    });
}
