//! Cutting the log of an open store: what lies behind is gone as if it had never been, at once, for
//! everybody, and whatever crash comes in between.

use crate::copy::{FILE_BYTES, queues};
use crate::oracle::{Oracle, Replay, draft, request, seeds, small_config};
use engine::{
    AppendError, FlushPolicy, LogBackend, PhyOffset, QueueOffset, ReadSlices, ReadStatus, Store,
    StoreConfig, StoreError, TagFilter,
};
use rt::sim::{Fault, FaultOp, Sim};
use rt::{Priority, Runtime};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

async fn filled(sim: &Sim, config: &StoreConfig, count: usize) -> (Store<Sim>, Oracle) {
    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.fill(sim, &store, count).await;
    (store, oracle)
}

/// Cuts the oracle as the store.
fn cut(oracle: &mut Oracle, to: u64) {
    oracle.sent.retain(|sent| sent.at.end().0 <= to);
}

/// The store holds the oracle's messages and no others.
async fn check(sim: &Sim, store: &Store<Sim>, oracle: &Oracle) {
    while store.visible() < store.appended() {
        sim.sleep(Duration::from_millis(1)).await;
    }
    oracle.check(store).await;
    let found: usize = queues(store).await.values().map(|(_, _, records)| records.len()).sum();
    assert_eq!(found, oracle.sent.len(), "no message more");
}

#[test]
fn a_cut_store_goes_on_as_if_the_rest_had_never_been() {
    for seed in seeds(20) {
        let _replay = Replay(seed, "a_cut_store_goes_on_as_if_the_rest_had_never_been");
        let sim = Sim::new(seed);
        let flush = if seed % 2 == 0 { FlushPolicy::Sync } else { FlushPolicy::Async };
        let backend = if seed % 3 == 0 { LogBackend::Mmap } else { LogBackend::Direct };
        let config = StoreConfig { flush, backend, ..small_config("/store") };
        sim.block_on(async {
            let (store, mut oracle) = filled(&sim, &config, 200).await;
            for _ in 0..4 {
                let nth = usize::try_from(sim.random_u64()).unwrap_or(0) % oracle.sent.len();
                let to = oracle.sent[nth].at.physical_offset;
                store.truncate(to).await.unwrap();
                cut(&mut oracle, to.0);
                assert_eq!((store.appended(), store.visible(), store.flushed()), (to, to, to));
                check(&sim, &store, &oracle).await;
                oracle.fill(&sim, &store, 60).await;
                check(&sim, &store, &oracle).await;
            }
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            assert_eq!(store.recovered().damaged_stretches, 0);
            check(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_crash_at_any_moment_of_a_cut_leaves_the_log_before_or_behind_it() {
    let (mut before, mut behind) = (0, 0);
    for seed in seeds(240) {
        let _replay =
            Replay(seed, "a_crash_at_any_moment_of_a_cut_leaves_the_log_before_or_behind_it");
        let mut sim = Sim::new(seed);
        let flush = if seed % 2 == 0 { FlushPolicy::Sync } else { FlushPolicy::Async };
        let config = StoreConfig { flush, ..small_config("/store") };
        let (mut oracle, end, to) = sim.block_on(async {
            let (store, oracle) = filled(&sim, &config, 160).await;
            check(&sim, &store, &oracle).await;
            while store.flushed() < store.appended() {
                sim.sleep(Duration::from_millis(1)).await;
            }
            let nth = 1 + usize::try_from(sim.random_u64() % 150).unwrap();
            let (end, to) = (store.appended(), oracle.sent[nth].at.physical_offset);
            let cutting = async { store.truncate(to).await.unwrap() };
            let moment = Duration::from_micros(seed * 50);
            futures_lite::future::or(cutting, sim.sleep(moment)).await;
            (oracle, end, to)
        });
        sim = if seed % 3 == 0 { sim.kill() } else { sim.crash().0 };
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            let found = store.appended();
            if found == to {
                behind += 1;
                cut(&mut oracle, to.0);
            } else {
                assert_eq!(found, end, "neither before the cut nor behind it, which is {to}");
                before += 1;
            }
            check(&sim, &store, &oracle).await;
            oracle.fill(&sim, &store, 40).await;
            check(&sim, &store, &oracle).await;
            store.close().await.unwrap();
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            check(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
    if seeds(2).len() > 1 {
        assert!(before > 20 && behind > 20, "{before} before, {behind} behind");
    }
}

#[test]
fn only_boundaries_within_the_log_are_taken() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let config = small_config("/store");
        let (store, oracle) = filled(&sim, &config, 30).await;
        let (end, some) = (store.appended(), oracle.sent[9].at.physical_offset.0);
        for wrong in [some + 1, some + 4, some - 1] {
            let error = store.truncate(PhyOffset(wrong)).await.unwrap_err();
            assert!(matches!(error, StoreError::NoBoundary { .. }), "{wrong}: {error}");
        }
        let error = store.truncate(PhyOffset(end.0 + 1)).await.unwrap_err();
        assert!(matches!(error, StoreError::OutOfLog { .. }), "{error}");
        store.truncate(end).await.unwrap();
        assert_eq!(store.appended(), end);
        check(&sim, &store, &oracle).await;
        store.truncate(PhyOffset(0)).await.unwrap();
        assert_eq!(store.queue_range("alpha", 0), None, "a queue that never was");
        store.close().await.unwrap();
        let error = store.truncate(PhyOffset(0)).await.unwrap_err();
        assert!(matches!(error, StoreError::Closed), "{error}");
    });
}

#[test]
fn a_blank_and_a_files_beginning_are_boundaries() {
    let sim = Sim::new(2);
    sim.block_on(async {
        let config = small_config("/store");
        let (store, mut oracle) = filled(&sim, &config, 200).await;
        let last = |oracle: &Oracle, file: u64| {
            let in_file = oracle.sent.iter().rfind(|sent| sent.at.end().0 < file * FILE_BYTES);
            in_file.unwrap().at.end().0
        };
        for to in [3 * FILE_BYTES, last(&oracle, 3), 2 * FILE_BYTES, last(&oracle, 2)] {
            store.truncate(PhyOffset(to)).await.unwrap();
            cut(&mut oracle, to);
            check(&sim, &store, &oracle).await;
            assert_eq!(store.appended().0, to);
        }
        oracle.fill(&sim, &store, 100).await;
        check(&sim, &store, &oracle).await;
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), config).await.unwrap();
        check(&sim, &store, &oracle).await;
        store.close().await.unwrap();
    });
}

#[test]
fn readers_keep_their_slices_and_waiters_are_told() {
    let sim = Sim::new(3);
    sim.block_on(async {
        let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
        let (store, mut oracle) = filled(&sim, &config, 80).await;
        sim.sleep(Duration::from_millis(50)).await;
        let last = oracle.sent.last().unwrap().clone();
        let mut hot = ReadSlices::default();
        let wanted = request(&last.topic, last.queue_id, last.at.queue_offset.0, TagFilter::All);
        assert_eq!(store.read(&wanted, &mut hot), ReadStatus::Found);
        let told = Rc::new(Cell::new(0));
        let (waiting, count) = (store.clone(), told.clone());
        sim.spawn(Priority::Foreground, async move {
            waiting.acknowledged_beyond(waiting.appended()).await;
            count.set(count.get() + 1);
        });
        sim.sleep(Duration::from_millis(1)).await;
        let to = oracle.sent[20].at.physical_offset;
        let cutting = store.clone();
        let (count, done) = (told.clone(), Rc::new(Cell::new(false)));
        let is_done = done.clone();
        sim.spawn(Priority::Foreground, async move {
            cutting.truncate(to).await.unwrap();
            is_done.set(true);
        });
        sim.sleep(Duration::from_micros(1)).await;
        let refused = store.append(&draft("alpha", 0, b"", &[])).unwrap_err();
        assert!(matches!(refused, AppendError::TailFull { .. }), "{refused}");
        store.wait_writable().await;
        assert!(done.get() || store.appended() == to, "nobody is let in before the cut is done");
        while !done.get() {
            sim.sleep(Duration::from_micros(10)).await;
        }
        sim.sleep(Duration::from_millis(1)).await;
        assert_eq!(count.get(), 1, "who waited for an acknowledgement looks again");
        cut(&mut oracle, to.0);
        oracle.fill(&sim, &store, 100).await;
        let held: Vec<u8> = hot.slices.iter().flat_map(|slice| slice.to_vec()).collect();
        crate::oracle::assert_record(&held, &last);
        check(&sim, &store, &oracle).await;
        store.close().await.unwrap();
    });
}

#[test]
fn a_read_under_way_never_gives_what_came_after_the_cut() {
    for seed in seeds(60) {
        let _replay = Replay(seed, "a_read_under_way_never_gives_what_came_after_the_cut");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
            let (store, _) = filled(&sim, &config, 200).await;
            // The same queue, offset, place and length, and another body.
            let to = store.appended();
            let send = async |body: &[u8]| loop {
                match store.append(&draft("same", 0, body, &[])) {
                    Ok(at) => break at,
                    Err(_) => store.wait_writable().await,
                }
            };
            let first = send(&[b'a'; 900]).await;
            for _ in 0..60 {
                while store.append(&draft("other", 0, &[1; 3000], &[])).is_err() {
                    store.wait_writable().await;
                }
            }
            sim.sleep(Duration::from_millis(50)).await;
            assert!(!store.is_hot("same", 0, QueueOffset(0)), "it is read from disk");
            let (reader, by_place) = (store.clone(), store.clone());
            let seen = Rc::new(Cell::new(0));
            let (saw, saw_too) = (seen.clone(), seen.clone());
            let is_new_visible = Rc::new(Cell::new(false));
            let may_see = is_new_visible.clone();
            sim.spawn(Priority::Foreground, async move {
                let wanted = request("same", 0, 0, TagFilter::All).to_owned();
                let read = reader.read_cold(wanted).await.unwrap();
                let is_new = read.slices.iter().any(|slice| slice.contains(&b'b'));
                assert!(!is_new || may_see.get(), "seen before it was flushed");
                saw.set(saw.get() + 1);
            });
            sim.spawn(Priority::Foreground, async move {
                by_place.message_at(first.physical_offset).await.unwrap();
                saw_too.set(saw_too.get() + 1);
            });
            sim.sleep(Duration::from_micros(sim.random_u64() % 400)).await;
            store.truncate(to).await.unwrap();
            let again = send(&[b'b'; 900]).await;
            assert_eq!(again.physical_offset, first.physical_offset);
            while store.visible() < again.end() {
                assert_eq!(store.queue_range("same", 0).unwrap().max_offset, QueueOffset(0));
                sim.sleep(Duration::from_micros(1)).await;
            }
            is_new_visible.set(true);
            while seen.get() < 2 {
                sim.sleep(Duration::from_micros(10)).await;
            }
            store.close().await.unwrap();
        });
    }
}

#[test]
fn what_was_cut_is_found_by_no_key_and_what_replaced_it_is() {
    let sim = Sim::new(4);
    sim.block_on(async {
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let send = |key: &str| {
            let keys = format!("KEYS\u{1}{key}\u{2}");
            store.append(&draft("t", 0, b"body", &[keys.as_bytes()])).unwrap()
        };
        let query = async |key: &str| {
            let query = engine::KeyQuery {
                topic: "t".into(),
                key: key.into(),
                by_tag: false,
                max_messages: 32,
                begin_ms: 0,
                end_ms: i64::MAX,
            };
            store.query(query).await.unwrap().records.len()
        };
        let places: Vec<_> = (0..250).map(|nth| send(&format!("a{nth}"))).collect();
        while store.indexed() < store.visible() {
            sim.sleep(Duration::from_millis(1)).await;
        }
        store.truncate(places[100].physical_offset).await.unwrap();
        for nth in 0..100 {
            send(&format!("b{nth}"));
        }
        for nth in (0..250).step_by(9) {
            assert_eq!(query(&format!("a{nth}")).await, usize::from(nth < 100), "a{nth}");
        }
        for nth in (0..100).step_by(9) {
            assert_eq!(query(&format!("b{nth}")).await, 1, "b{nth}");
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_cut_that_fails_leaves_all_or_poisons_and_a_restart_finishes_it() {
    let (mut kept, mut poisoned) = (0, 0);
    for seed in seeds(90) {
        let _replay =
            Replay(seed, "a_cut_that_fails_leaves_all_or_poisons_and_a_restart_finishes_it");
        let sim = Sim::new(seed);
        let config = small_config("/store");
        let (mut oracle, to) = sim.block_on(async {
            let (store, oracle) = filled(&sim, &config, 120).await;
            sim.sleep(Duration::from_millis(100)).await;
            let to = oracle.sent[30].at.physical_offset;
            let end = store.appended();
            let op =
                [FaultOp::Name, FaultOp::Sync, FaultOp::Write][usize::try_from(seed % 3).unwrap()];
            sim.inject(Fault::eio(op, "/store").after(seed / 3).times(1));
            match store.truncate(to).await {
                Ok(()) => assert_eq!(store.appended(), to),
                Err(_) if store.poisoned().is_some() => poisoned += 1,
                Err(_) => {
                    assert_eq!(store.appended(), end, "nothing happened");
                    kept += 1;
                }
            }
            drop(store.close().await);
            (oracle, to)
        });
        let sim = sim.kill();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            let end = store.appended();
            assert!(end >= to);
            cut(&mut oracle, end.0);
            check(&sim, &store, &oracle).await;
            oracle.fill(&sim, &store, 30).await;
            check(&sim, &store, &oracle).await;
            store.close().await.unwrap();
        });
    }
    if seeds(2).len() > 1 {
        assert!(kept > 1 && poisoned > 3, "{kept} kept, {poisoned} poisoned");
    }
}

#[test]
fn a_topic_deleted_behind_the_cut_takes_new_messages_over_a_rebuild() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let config = small_config("/store");
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        let send = |topic| store.append(&draft(topic, 0, b"body", &[])).unwrap();
        send("stays");
        let to = send("goes").end();
        for _ in 0..50 {
            send("stays");
        }
        assert!(store.delete_topic("goes").await.unwrap());
        store.truncate(to).await.unwrap();
        assert_eq!(store.queue_range("goes", 0), None, "it stays deleted");
        assert_eq!(send("goes").queue_offset, QueueOffset(0));
        store.close().await.unwrap();
        for folder in ["/store/consumequeue", "/store/index"] {
            sim.remove_dir_all(Path::new(folder)).await.unwrap();
        }
        let store = Store::open(sim.clone(), config).await.unwrap();
        let ends = ["stays", "goes"].map(|topic| store.queue_range(topic, 0).unwrap().max_offset.0);
        assert_eq!(ends, [1, 1]);
        store.close().await.unwrap();
    });
}

#[test]
fn a_manifest_ahead_of_the_log_is_an_error_that_names_the_file() {
    let sim = Sim::new(6);
    sim.block_on(async {
        let config = small_config("/store");
        let (store, oracle) = filled(&sim, &config, 200).await;
        let manifest = Path::new("/store/consumequeue.manifest");
        sim.sleep(Duration::from_millis(100)).await;
        let ahead = sim.read_file(manifest).await.unwrap();
        store.truncate(oracle.sent[5].at.physical_offset).await.unwrap();
        store.close().await.unwrap();
        sim.replace_file(manifest, ahead, false).await.unwrap();
        let refused = Store::open(sim.clone(), config).await.err().unwrap();
        let says = refused.to_string();
        assert!(says.contains("/store/commitlog/") && says.contains("manifest"), "{says}");
    });
}

#[test]
fn closing_waits_for_a_cut_that_nobody_waits_for() {
    let sim = Sim::new(7);
    sim.block_on(async {
        let config = small_config("/store");
        let (store, mut oracle) = filled(&sim, &config, 100).await;
        let to = oracle.sent[50].at.physical_offset;
        let forgotten = store.truncate(to);
        futures_lite::future::or(
            async {
                forgotten.await.unwrap();
            },
            sim.sleep(Duration::from_micros(300)),
        )
        .await;
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert_eq!(store.appended(), to);
        cut(&mut oracle, to.0);
        check(&sim, &store, &oracle).await;
        store.close().await.unwrap();
    });
}

#[test]
fn records_begin_where_they_were_appended_and_as_far_apart_as_asked() {
    let (sim, config) = (Sim::new(5), small_config("/store"));
    sim.block_on(async {
        let (store, oracle) = filled(&sim, &config, 300).await;
        while store.written() < store.appended() {
            sim.sleep(Duration::from_millis(1)).await;
        }
        let end = store.appended();
        let ends = PhyOffset(FILE_BYTES.min(end.0));
        // It looks at one file: that of `from`.
        let second = (FILE_BYTES, end.0.min(2 * FILE_BYTES));
        for (from, upto) in [(0, ends.0), (700, 9_000), (9_000, 9_000), second] {
            let begins = |at: &u64| (from..=upto).contains(at);
            let all = oracle.sent.iter().map(|sent| sent.at.physical_offset.0);
            let mut known: Vec<u64> = all.filter(begins).collect();
            known.extend((upto == end.0).then_some(end.0));
            let found = store.record_begins(PhyOffset(from), PhyOffset(upto), 1).await.unwrap();
            // A file's blank begins where no message does.
            let mut found: Vec<u64> = found.into_iter().map(|at| at.0).collect();
            found.retain(|at| known.contains(at));
            assert_eq!(found, known, "[{from}, {upto}]");
            for at in found {
                store.record_begins(PhyOffset(at), PhyOffset(at), 1).await.unwrap();
            }
        }
        let apart = store.record_begins(PhyOffset(0), ends, 10_000).await.unwrap();
        assert!(apart.len() > 4 && apart.windows(2).all(|two| two[1].0 - two[0].0 >= 10_000));
        for at in apart {
            assert!(store.truncate(at).await.is_ok() || at.0 > store.appended().0);
        }
        store.close().await.unwrap();
    });
}
