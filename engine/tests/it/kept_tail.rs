//! A tail that outlives its process: a kill at any moment takes nothing that was appended, however
//! the device stalls, wherever the takeover is killed, whatever ran in between.

use crate::oracle::{Oracle, Replay, draft, request, seeds, small_config};
use engine::{AppendError, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter};
use engine::{TailMemory, TailPlace};
use protocol::batch::BatchEntry;
use rt::sim::Sim;
use rt::{Priority, Runtime};
use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

pub(crate) fn kept() -> TailPlace {
    TailPlace::Folder { path: "/dev/shm".into(), is_required: true }
}

pub(crate) fn config(tail_place: TailPlace) -> StoreConfig {
    StoreConfig { tail_place, ..small_config("/store") }
}

pub(crate) async fn open(sim: &Sim, config: &StoreConfig) -> Store<Sim> {
    Store::open(sim.clone(), config.clone()).await.unwrap()
}

/// A store with messages that are written and, behind them, messages that the stalled device has
/// not taken; then the kill.
pub(crate) fn killed_at_a_stall(sim: &Sim, config: &StoreConfig, oracle: &mut Oracle) -> Sim {
    sim.block_on(async {
        let store = open(sim, config).await;
        oracle.fill(sim, &store, 20).await;
        sim.sleep(Duration::from_millis(sim.random_u64() % 20)).await;
        sim.hold_writes(true);
        // One of them is on its way to the device, and may get there in the next life.
        let unwritten = 1 + usize::try_from(sim.random_u64() % 60).unwrap();
        for _ in 0..unwritten {
            let len = usize::try_from(sim.random_u64() % 4000).unwrap();
            if oracle.append(&store, ("alpha", 0), "red", len).is_err() {
                break;
            }
            sim.sleep(Duration::from_micros(sim.random_u64() % 300)).await;
        }
        assert!(store.written() < store.appended());
    });
    sim.kill()
}

#[test]
fn a_kill_takes_nothing_though_the_device_stalls_and_goes_on_in_the_next_life() {
    let mut crossed_files = 0;
    for seed in seeds(150) {
        let name = "a_kill_takes_nothing_though_the_device_stalls_and_goes_on_in_the_next_life";
        let _replay = Replay(seed, name);
        let (config, mut oracle) = (config(kept()), Oracle::default());
        let mut sim = Sim::new(seed);
        // Twice in a row.
        for _ in 0..2 {
            sim = killed_at_a_stall(&sim, &config, &mut oracle);
        }
        sim.block_on(async {
            let store = open(&sim, &config).await;
            let recovered = store.recovered();
            assert!(recovered.taken_over_bytes > 0, "{recovered:?}");
            assert_eq!((recovered.damaged_stretches, recovered.log_end), (0, store.appended().0));
            assert_eq!(store.appended(), oracle.sent.last().unwrap().at.end());
            let file = config.commitlog_file_bytes;
            let began = recovered.log_end - recovered.taken_over_bytes;
            crossed_files += usize::from(began / file < recovered.log_end / file);
            oracle.check(&store).await;
            // The device gets to what the killed process had asked for.
            sim.sleep(Duration::from_millis(10)).await;
            oracle.fill(&sim, &store, 20).await;
            store.close().await.unwrap();
            assert!(sim.kept_files().is_empty(), "a clean stop leaves no file");
            let store = open(&sim, &config).await;
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    let is_replay = std::env::var("ENGINE_SEED").is_ok();
    assert!(crossed_files > 20 || is_replay, "{crossed_files} went across a file's end");
}

#[test]
fn a_kill_anywhere_in_a_takeover_begins_the_same_again() {
    for seed in seeds(60) {
        let _replay = Replay(seed, "a_kill_anywhere_in_a_takeover_begins_the_same_again");
        let (config, mut oracle) = (config(kept()), Oracle::default());
        let mut sim = killed_at_a_stall(&Sim::new(seed), &config, &mut oracle);
        let mut opened = 0;
        for _ in 0..12 {
            let time = Duration::from_micros(sim.random_u64() % 6_000);
            let is_open = sim.block_on(futures_lite::future::or(
                async {
                    drop(open(&sim, &config).await);
                    true
                },
                async {
                    sim.sleep(time).await;
                    false
                },
            ));
            opened += usize::from(is_open);
            sim = sim.kill();
            assert!(sim.kept_files().len() <= 2, "{:?}", sim.kept_files());
        }
        assert!(opened < 12, "none was killed in the middle");
        sim.block_on(async {
            let store = open(&sim, &config).await;
            assert_eq!(sim.kept_files().len(), 1, "what nobody needs is removed");
            oracle.check(&store).await;
            oracle.fill(&sim, &store, 20).await;
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_power_cut_in_a_takeover_takes_nothing_that_was_flushed() {
    for seed in seeds(100) {
        let _replay = Replay(seed, "a_power_cut_in_a_takeover_takes_nothing_that_was_flushed");
        let (config, mut oracle) = (config(kept()), Oracle::default());
        let sim = Sim::new(seed);
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.fill(&sim, &store, 30).await;
            sim.sleep(Duration::from_millis(40)).await;
            assert_eq!(store.flushed(), store.appended());
            let flushed = oracle.sent.len();
            sim.hold_writes(true);
            oracle.append(&store, ("alpha", 0), "red", 500).unwrap();
            oracle.sent.truncate(flushed);
        });
        let sim = sim.kill();
        let time = Duration::from_micros(sim.random_u64() % 4_000);
        sim.block_on(futures_lite::future::or(
            async { drop(open(&sim, &config).await) },
            sim.sleep(time),
        ));
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = open(&sim, &config).await;
            let end = oracle.sent.last().unwrap().at.end();
            assert!(store.appended() >= end, "{} of {end}", store.appended());
            assert_eq!(store.recovered().damaged_stretches, 0);
            for sent in &oracle.sent {
                let found = store.message_at(sent.at.physical_offset).await.unwrap().unwrap();
                crate::oracle::assert_record(&found, sent);
            }
        });
    }
}

#[test]
fn a_batch_that_a_kill_comes_into_is_not_there_at_all() {
    for kill_at in 0..5 {
        let sim = Sim::new(kill_at);
        let config = config(kept());
        let next = RefCell::new(None);
        let (bodies, mut seen) = ([[7; 900]; 5], 0);
        let end = sim.block_on(async {
            let store = open(&sim, &config).await;
            store.append(&draft("t", 0, b"before", &[])).unwrap();
            let end = store.appended();
            let entries = bodies.iter().map(|body| BatchEntry { flag: 0, body, properties: b"" });
            let batch = store.append_batch(&draft("t", 0, &[], &[]), entries, |_| {
                if seen == kill_at {
                    *next.borrow_mut() = Some(sim.kill());
                }
                seen += 1;
            });
            assert_eq!(batch.unwrap().count, 5);
            end
        });
        let next = next.take().unwrap();
        next.block_on(async {
            let store = open(&next, &config).await;
            assert_eq!(store.appended(), end, "killed behind message {kill_at}");
            let range = store.queue_range("t", 0).unwrap();
            assert_eq!(range.max_offset.0, 1);
            store.append(&draft("t", 0, b"after", &[])).unwrap();
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_kill_between_any_two_stores_leaves_all_of_an_append_or_nothing() {
    let mut chunks_begun = 0;
    for seed in seeds(30) {
        let name = "a_kill_between_any_two_stores_leaves_all_of_an_append_or_nothing";
        let _replay = Replay(seed, name);
        let mut missing = 0;
        loop {
            let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
            let config = config(kept());
            let stores = sim.block_on(async {
                let store = open(&sim, &config).await;
                // Chunks that were used before, so that their lines say something.
                oracle.fill(&sim, &store, 250).await;
                sim.sleep(Duration::from_millis(20)).await;
                let in_chunk = store.appended().0 % (config.chunk_bytes as u64);
                let len = if in_chunk > 8_000 { 8_000 } else { 500 };
                chunks_begun += usize::from(len == 8_000);
                let before = sim.kept_stores();
                oracle.append(&store, ("beta", 0), "red", len).unwrap();
                sim.kept_stores() - before
            });
            let sim = sim.kill_before_stores(missing);
            sim.block_on(async {
                let store = open(&sim, &config).await;
                let end = oracle.sent.last().unwrap().at.end();
                if store.appended() < end {
                    assert!(missing > 0, "it was stored");
                    let last = oracle.sent.pop().unwrap();
                    let before = oracle.sent.last().unwrap().at.end();
                    // A file's blank comes first, and is an append of its own.
                    let ends = [before, last.at.physical_offset];
                    assert!(ends.contains(&store.appended()), "{missing} missing");
                }
                oracle.check(&store).await;
            });
            if missing == stores {
                break;
            }
            missing += 1;
        }
    }
    assert!(chunks_begun > 30, "{chunks_begun} chunks were begun");
}

#[test]
fn a_late_write_of_a_files_last_block_does_not_land_on_what_was_taken_over() {
    for seed in seeds(60) {
        let name = "a_late_write_of_a_files_last_block_does_not_land_on_what_was_taken_over";
        let _replay = Replay(seed, name);
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let config = config(kept());
        let last_block = config.commitlog_file_bytes - 4096;
        sim.block_on(async {
            let store = open(&sim, &config).await;
            while store.appended().0 < last_block {
                let left = usize::try_from(last_block - store.appended().0).unwrap();
                oracle.append_waiting(&store, ("alpha", 0), "red", left.min(2500)).await;
            }
            while store.written() < store.appended() {
                sim.sleep(Duration::from_millis(1)).await;
            }
            sim.hold_writes(true);
            for len in [10, 20, 8000] {
                oracle.append(&store, ("alpha", 0), "red", len).unwrap();
                sim.sleep(Duration::from_millis(1)).await;
            }
            assert!(store.written().0 < config.commitlog_file_bytes);
            assert!(store.appended().0 > config.commitlog_file_bytes);
        });
        let sim = sim.kill();
        sim.block_on(async {
            let store = open(&sim, &config).await;
            sim.sleep(Duration::from_millis(10)).await;
            oracle.check(&store).await;
        });
        let sim = sim.kill();
        sim.block_on(async {
            let store = open(&sim, &config).await;
            oracle.check(&store).await;
            assert_eq!(store.recovered().damaged_stretches, 0);
        });
    }
}

#[test]
fn what_an_older_tail_holds_never_comes_back() {
    let places = [
        TailPlace::Private,
        TailPlace::Nowhere { reason: "none".to_owned() },
        kept(),
        TailPlace::Folder { path: "/run/ringmq".into(), is_required: true },
    ];
    for seed in seeds(80) {
        let _replay = Replay(seed, "what_an_older_tail_holds_never_comes_back");
        let (mut sim, mut oracle) = (Sim::new(seed), Oracle::default());
        for _ in 0..6 {
            let place = places[usize::try_from(sim.random_u64() % 4).unwrap()].clone();
            let config = config(place);
            let survives = sim.block_on(async {
                let store = open(&sim, &config).await;
                oracle.check(&store).await;
                oracle.fill(&sim, &store, 15).await;
                sim.hold_writes(true);
                for _ in 0..10 {
                    let _full = oracle.append(&store, ("beta", 1), "red", 700);
                }
                sim.sleep(Duration::from_millis(2)).await;
                let is_kept = matches!(store.tail_memory(), TailMemory::Kept { .. });
                if is_kept { store.appended() } else { store.written() }
            });
            let next = sim.kill();
            // What is written late may be there, and nothing that was not written.
            let found = next.block_on(async {
                let store = open(&next, &config).await;
                let found = store.appended();
                let end = oracle.sent.last().unwrap().at.end();
                assert!(found <= end, "{found} of {end}");
                assert!(found.0 + 20_000 > survives.0, "{found}, {survives} survives");
                found
            });
            oracle.sent.retain(|sent| sent.at.end() <= found);
            sim = next.kill();
        }
    }
}

#[test]
fn the_answer_waits_for_what_the_tail_promises() {
    for (place, is_kept, waits) in [
        (kept(), true, false),
        (TailPlace::Private, false, false),
        (TailPlace::Nowhere { reason: "a reason".to_owned() }, false, true),
    ] {
        let sim = Sim::new(5);
        sim.block_on(async {
            let store = open(&sim, &config(place)).await;
            assert_eq!(matches!(store.tail_memory(), TailMemory::Kept { .. }), is_kept);
            sim.hold_writes(true);
            let appended = store.append(&draft("t", 0, b"x", &[])).unwrap();
            assert_eq!(store.acknowledged() < appended.end(), waits);
            assert_eq!(store.visible(), store.acknowledged());
            let device = sim.clone();
            sim.spawn(Priority::Background, async move {
                device.sleep(Duration::from_millis(50)).await;
                device.hold_writes(false);
            });
            let before = sim.now_nanos();
            while store.acknowledged() < appended.end() {
                store.acknowledged_beyond(store.acknowledged()).await;
            }
            assert_eq!(sim.now_nanos() - before >= 49_000_000, waits);
            store.close().await.unwrap();
        });
    }
}

#[test]
fn without_memory_for_it_a_store_opens_says_why_and_answers_when_written() {
    let sim = Sim::new(6);
    let config = config(kept());
    sim.block_on(async {
        sim.set_kept_room(Some(1000));
        let store = open(&sim, &config).await;
        let TailMemory::NotKept { reason } = store.tail_memory() else {
            panic!("{:?}", store.tail_memory())
        };
        assert!(reason.contains("/dev/shm") && reason.contains("1000 can be had"), "{reason}");
        assert!(sim.kept_files().is_empty());
        store.close().await.unwrap();
    });
}

#[test]
fn readers_that_keep_chunks_hold_up_nobody_until_four_times_the_tail_is_lent() {
    let sim = Sim::new(9);
    sim.block_on(async {
        let config = config(kept());
        let store = open(&sim, &config).await;
        let mut held = Vec::new();
        let mut oracle = Oracle::default();
        let refused = loop {
            match oracle.append(&store, ("alpha", 0), "red", 3000) {
                Ok(_) => {}
                Err(AppendError::TailFull { .. }) if store.written() < store.appended() => {
                    let waits = futures_lite::future::or(
                        async { store.wait_writable().await },
                        sim.sleep(Duration::from_millis(100)),
                    );
                    waits.await;
                }
                Err(refused) => break refused,
            }
            let mut out = ReadSlices::default();
            let last = store.queue_range("alpha", 0).unwrap().max_offset.0 - 1;
            let status = store.read(&request("alpha", 0, last, TagFilter::All), &mut out);
            assert_eq!(status, ReadStatus::Found);
            held.append(&mut out.slices);
        };
        assert_eq!(refused, AppendError::TailFull { unwritten_bytes: 0 });
        let bytes: usize = held.iter().map(|slice| slice.len()).sum();
        assert!(bytes > 2 * config.tail_bytes_max, "{bytes} lent");
        held.clear();
        store.wait_writable().await;
        oracle.append(&store, ("alpha", 0), "red", 3000).unwrap();
        oracle.check(&store).await;
    });
    let sim = sim.kill();
    sim.block_on(async {
        open(&sim, &config(kept())).await;
    });
}

#[test]
fn a_store_that_failed_keeps_its_tail_for_the_next_start() {
    let sim = Sim::new(12);
    let (config, mut oracle) = (config(kept()), Oracle::default());
    sim.block_on(async {
        let store = open(&sim, &config).await;
        oracle.fill(&sim, &store, 20).await;
        sim.sleep(Duration::from_millis(20)).await;
        let op = rt::sim::FaultOp::Write;
        sim.inject(rt::sim::Fault::eio(op, "/store/commitlog"));
        oracle.append(&store, ("alpha", 0), "red", 100).unwrap();
        while store.poisoned().is_none() {
            sim.sleep(Duration::from_millis(1)).await;
        }
        assert!(store.close().await.is_err());
        assert_eq!(sim.kept_files().len(), 1);
    });
    let sim = sim.kill();
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert!(store.recovered().taken_over_bytes > 0);
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}

#[test]
fn memory_that_is_gone_is_told() {
    let config = config(kept());
    let mut oracle = Oracle::default();
    let sim = killed_at_a_stall(&Sim::new(15), &config, &mut oracle);
    let (sim, _) = sim.crash();
    sim.block_on(async {
        let store = open(&sim, &config).await;
        assert!(store.recovered().is_kept_memory_gone);
        store.close().await.unwrap();
        assert!(!open(&sim, &config).await.recovered().is_kept_memory_gone);
    });
}

#[test]
fn a_large_tail_takes_its_memory_as_it_fills_and_does_with_less() {
    let sim = Sim::new(16);
    sim.block_on(async {
        let config = StoreConfig {
            tail_bytes_max: 256 << 20,
            chunk_bytes: 1 << 20,
            commitlog_file_bytes: 16 << 20,
            message_bytes_max: 1 << 20,
            ..config(kept())
        };
        sim.set_kept_room(Some(80 << 20));
        let store = open(&sim, &config).await;
        assert!(matches!(store.tail_memory(), TailMemory::Kept { .. }));
        let body = vec![7; 1_000_000];
        for _ in 0..120 {
            while let Err(full) = store.append(&draft("t", 0, &body, &[])) {
                assert!(matches!(full, AppendError::TailFull { .. }), "{full}");
                store.wait_writable().await;
            }
        }
        let mut out = ReadSlices::default();
        let at = |offset| request("t", 0, offset, TagFilter::All);
        assert_eq!(store.read(&at(60), &mut out), ReadStatus::Found, "80 MiB are there");
        assert_eq!(store.read(&at(10), &mut out), ReadStatus::Cold, "and not more");
    });
}

#[test]
fn tails_that_no_store_needs_are_removed_and_no_other() {
    let sim = Sim::new(14);
    let of = |root: &str| StoreConfig { root: root.into(), ..config(kept()) };
    let sim = {
        sim.block_on(async {
            for root in ["/gone", "/store", "/other"] {
                let store = open(&sim, &of(root)).await;
                store.append(&draft("t", 0, root.as_bytes(), &[])).unwrap();
                std::mem::forget(store);
            }
        });
        sim.kill()
    };
    sim.block_on(async {
        sim.remove_dir_all(Path::new("/gone")).await.unwrap();
        assert_eq!(sim.kept_files().len(), 3);
        let store = open(&sim, &of("/store")).await;
        assert_eq!(sim.kept_files().len(), 2, "its own and that of the store that lives");
        store.close().await.unwrap();
        let store = open(&sim, &of("/other")).await;
        assert_eq!(store.queue_range("t", 0).unwrap().max_offset.0, 1);
        store.close().await.unwrap();
        assert!(sim.kept_files().is_empty());
    });
}

#[test]
fn stores_that_start_at_the_same_time_after_a_kill_take_nothing_from_each_other() {
    for seed in seeds(40) {
        let name = "stores_that_start_at_the_same_time_after_a_kill_take_nothing_from_each_other";
        let _replay = Replay(seed, name);
        let of = |root: &str| StoreConfig { root: root.into(), ..config(kept()) };
        let sim = Sim::new(seed);
        sim.block_on(async {
            for root in ["/store", "/other"] {
                let store = open(&sim, &of(root)).await;
                store.append(&draft("t", 0, root.as_bytes(), &[])).unwrap();
                std::mem::forget(store);
            }
        });
        let sim = sim.kill();
        sim.block_on(async {
            let delay = Duration::from_micros(sim.random_u64() % 3_000);
            let one = async { open(&sim, &of("/store")).await };
            let other = async {
                sim.sleep(delay).await;
                open(&sim, &of("/other")).await
            };
            let (one, other) = futures_lite::future::zip(one, other).await;
            for store in [one, other] {
                assert_eq!(store.queue_range("t", 0).unwrap().max_offset.0, 1);
                store.close().await.unwrap();
            }
            assert!(sim.kept_files().is_empty());
        });
    }
}
