//! Damage in the middle of the log: reported with file and offset, never served, and what follows
//! stays readable at its own queue offsets.

use crate::oracle::{Oracle, Replay, log_place, logged, overwrite, request, seeds, small_config};
use engine::{Boundary, QueueOffset, Store, TagFilter};
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

const MANIFEST: &str = "/store/consumequeue.manifest";

async fn open(sim: &Sim) -> Store<Sim> {
    Store::open(sim.clone(), small_config("/store")).await.unwrap()
}

async fn filled(sim: &Sim, count: usize) -> Oracle {
    let store = open(sim).await;
    let mut oracle = Oracle::default();
    oracle.fill(sim, &store, count).await;
    store.close().await.unwrap();
    oracle
}

/// Opens, checks, adds, closes; and the same again: what is damaged stays so, what is added is
/// there.
async fn works_on(sim: &Sim, oracle: &mut Oracle, lost: &[usize]) {
    for _ in 0..2 {
        let store = open(sim).await;
        oracle.check_but(&store, lost).await;
        oracle.fill(sim, &store, 20).await;
        oracle.check_but(&store, lost).await;
        store.close().await.unwrap();
    }
}

#[test]
fn a_damaged_record_is_reported_not_served_and_what_follows_keeps_its_offsets() {
    // The size, the magic, the record's own offset, the body: all that shows.
    for byte in [0, 2, 4, 7, 30, 35, 90] {
        for seed in seeds(4) {
            let _replay = Replay(
                seed,
                "a_damaged_record_is_reported_not_served_and_what_follows_keeps_its_offsets",
            );
            let sim = Sim::new(seed);
            let mut oracle = sim.block_on(filled(&sim, 150));
            let nth =
                oracle.sent.iter().skip(20).position(|sent| sent.at.bytes > 200).unwrap() + 20;
            let (path, in_file) = log_place(oracle.sent[nth].at.physical_offset.0);
            sim.damage(&path, in_file + byte);
            let (recovered, log) = logged(|| {
                sim.block_on(async {
                    sim.remove_file(Path::new(MANIFEST)).await.unwrap();
                    let store = open(&sim).await;
                    let recovered = store.recovered();
                    oracle.check_but(&store, &[nth]).await;
                    store.close().await.unwrap();
                    recovered
                })
            });
            assert_eq!(
                (recovered.damaged_stretches, recovered.damaged_bytes),
                (1, oracle.sent[nth].at.bytes as u64),
                "byte {byte}"
            );
            let place = format!("path={} offset={in_file}", path.display());
            assert!(
                log.lines().any(|line| line.contains("ERROR")
                    && line.contains("damage in the log")
                    && line.contains(&place)),
                "{place} in {log}"
            );
            assert_eq!(
                log.matches("not served").count(),
                1,
                "however often it is asked for: {log}"
            );
            sim.block_on(works_on(&sim, &mut oracle, &[nth]));
        }
    }
}

#[test]
fn a_stretch_of_zeros_over_many_records_costs_these_alone() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_stretch_of_zeros_over_many_records_costs_these_alone");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut oracle = filled(&sim, 200).await;
            let from = oracle.sent[30].at.physical_offset.0 + sim.random_u64() % 300;
            let len = 1 + sim.random_u64() % 30_000;
            let (path, in_file) = log_place(from);
            let len = len.min(96 * 1024 - in_file);
            overwrite(&sim, &path, in_file, &vec![0; usize::try_from(len).unwrap()]).await;
            let touches =
                |at: &engine::Appended| at.physical_offset.0 < from + len && at.end().0 > from;
            let lost: Vec<usize> =
                (0..oracle.sent.len()).filter(|nth| touches(&oracle.sent[*nth].at)).collect();
            assert!(!lost.is_empty());
            sim.remove_file(Path::new(MANIFEST)).await.unwrap();
            let store = open(&sim).await;
            assert!(store.recovered().damaged_bytes >= len.min(91));
            store.close().await.unwrap();
            works_on(&sim, &mut oracle, &lost).await;
        });
    }
}

#[test]
fn the_first_and_the_last_messages_damaged_keep_their_offsets_too() {
    for victims in [&[0, 1, 2, 3][..], &[79, 78, 77]] {
        let sim = Sim::new(5);
        sim.block_on(async {
            let mut oracle = filled(&sim, 80).await;
            for nth in victims {
                let (path, in_file) = log_place(oracle.sent[*nth].at.physical_offset.0);
                sim.damage(&path, in_file + 5);
            }
            // The queues are rebuilt; the manifest still knows where the log and its queues ended.
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            works_on(&sim, &mut oracle, victims).await;
        });
    }
}

#[test]
fn what_was_flushed_before_a_crash_is_damaged_not_torn() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "what_was_flushed_before_a_crash_is_damaged_not_torn");
        let sim = Sim::new(seed);
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = open(&sim).await;
            oracle.fill(&sim, &store, 120).await;
            sim.sleep(std::time::Duration::from_millis(200)).await;
        });
        let (sim, _) = sim.crash();
        let (path, in_file) = log_place(oracle.sent[60].at.physical_offset.0);
        sim.damage(&path, in_file + 1);
        sim.block_on(async {
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            works_on(&sim, &mut oracle, &[60]).await;
        });
    }
}

#[test]
fn damage_that_no_scan_met_is_found_by_the_read_that_reaches_it() {
    let sim = Sim::new(52);
    let oracle = sim.block_on(filled(&sim, 400));
    let victims: Vec<usize> = (0..400).filter(|nth| nth % 37 == 3).collect();
    for nth in &victims {
        let (path, in_file) = log_place(oracle.sent[*nth].at.physical_offset.0);
        sim.damage(&path, in_file + 88);
    }
    let ((), log) = logged(|| {
        sim.block_on(async {
            let store = open(&sim).await;
            assert_eq!(
                (store.recovered().records_scanned, store.recovered().damaged_stretches),
                (0, 0)
            );
            oracle.check_but(&store, &victims).await;
            oracle.check_but(&store, &victims).await;
            for nth in &victims {
                let sent = &oracle.sent[*nth];
                assert!(
                    store.message_at(sent.at.physical_offset).await.unwrap().is_none(),
                    "by its offset neither"
                );
                let read = store
                    .read_cold(
                        request(
                            &sent.topic,
                            sent.queue_id,
                            sent.at.queue_offset.0,
                            TagFilter::Codes(&[1]),
                        )
                        .to_owned(),
                    )
                    .await
                    .unwrap();
                assert!(
                    read.messages == 0 && read.next_begin_offset > sent.at.queue_offset,
                    "a filter goes past it"
                );
            }
            store.close().await.unwrap();
        });
    });
    assert_eq!(log.matches("not served").count(), victims.len(), "each once: {log}");
    assert!(log.contains("BODYCRC is"), "{log}");
}

#[test]
fn a_search_by_time_goes_around_damage() {
    let sim = Sim::new(53);
    sim.block_on(async {
        let store = open(&sim).await;
        let mut oracle = Oracle::default();
        for _ in 0..100 {
            oracle.append_waiting(&store, ("alpha", 0), "red", 400).await;
            sim.sleep(std::time::Duration::from_millis(2)).await;
        }
        store.close().await.unwrap();
        for sent in &oracle.sent[40..60] {
            let (path, in_file) = log_place(sent.at.physical_offset.0);
            sim.damage(&path, in_file + 30);
        }
        sim.remove_file(Path::new(MANIFEST)).await.unwrap();
        let store = open(&sim).await;
        for (nth, sent) in oracle.sent.iter().enumerate().filter(|(nth, _)| !(40..60).contains(nth))
        {
            let found = store
                .offset_by_time("alpha", 0, sent.at.store_timestamp_ms, Boundary::Lower)
                .await
                .unwrap();
            let expected = if nth == 60 { 40..=60 } else { nth..=nth };
            assert!(expected.contains(&usize::try_from(found.0).unwrap()), "{nth}: {found}");
            let found = store
                .offset_by_time("alpha", 0, sent.at.store_timestamp_ms, Boundary::Upper)
                .await
                .unwrap();
            assert!(
                (nth..=if nth == 39 { 59 } else { nth })
                    .contains(&usize::try_from(found.0).unwrap()),
                "{nth}: {found}"
            );
        }
        assert_eq!(store.store_time_at("alpha", 0, QueueOffset(45)).await.unwrap(), None);
        store.close().await.unwrap();
    });
}

#[test]
fn a_wrong_queue_offset_costs_its_record_alone() {
    // BODYCRC does not cover it; the queue's next record gives it away. Bits of all sizes, up and
    // down.
    for bit in [0, 1, 3, 6, 13, 40, 63] {
        let sim = Sim::new(bit);
        sim.block_on(async {
            let mut oracle = filled(&sim, 200).await;
            let nth =
                oracle.sent.iter().skip(100).position(|sent| sent.at.queue_offset.0 > 8).unwrap()
                    + 100;
            let sent = &oracle.sent[nth];
            let wrong = sent.at.queue_offset.0 ^ (1 << bit);
            let (path, in_file) = log_place(sent.at.physical_offset.0);
            overwrite(&sim, &path, in_file + 20, &wrong.to_be_bytes()).await;
            sim.remove_file(Path::new(MANIFEST)).await.unwrap();
            works_on(&sim, &mut oracle, &[nth]).await;
        });
    }
}
