//! A deleted topic is gone at once, stays gone over restarts and rebuilds, and begins anew at
//! offset 0.

use crate::oracle::{
    Got, Oracle, Replay, Sent, assert_record, consume, consume_around_damage, draft, log_place,
    manifest, overwrite, seeds, small_config,
};
use engine::{FlushPolicy, PhyOffset, ReadSlices, ReadStatus, Store, StoreConfig, TagFilter};
use rt::sim::{Fault, FaultOp, Sim};
use rt::{Priority, Runtime};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn a_deleted_topic_does_not_come_back_from_the_log() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_deleted_topic_does_not_come_back_from_the_log");
        let sim = Sim::new(seed);
        let mut oracle = Oracle::default();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 300).await;
            assert!(store.delete_topic("alpha").await.unwrap());
            assert!(!store.delete_topic("alpha").await.unwrap());
            oracle.sent.retain(|sent| sent.topic != "alpha");
            let mut out = ReadSlices::default();
            let status =
                store.read(&crate::oracle::request("alpha", 0, 0, TagFilter::All), &mut out);
            assert_eq!(status, ReadStatus::NoMatchedLogicQueue);
            oracle.check(&store).await;
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None);
            store.close().await.unwrap();
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None, "rebuilt from the log");
            store.close().await.unwrap();
        });
    }
}

/// Simulation seed 730: the second try found no topic and said that all was well.
#[test]
fn a_deletion_that_failed_and_was_tried_again_survives_a_crash() {
    for seed in seeds(10) {
        let _replay = Replay(seed, "a_deletion_that_failed_and_was_tried_again_survives_a_crash");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            Oracle::default().fill(&sim, &store, 50).await;
            sim.sleep(Duration::from_millis(100)).await;
            sim.inject(Fault::eio(FaultOp::Write, "/store/consumequeue.manifest").times(1));
            store.delete_topic("alpha").await.unwrap_err();
            assert!(!store.delete_topic("alpha").await.unwrap(), "it is gone here");
            assert!(!store.delete_topic("never").await.unwrap());
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.queue_range("alpha", 0), None);
            store.close().await.unwrap();
        });
    }
}

/// Simulation seeds 86 and 139: a checkpoint that was under way when the topic was deleted said so
/// with a log end that was not flushed yet. After a power cut the log ended before it, and the
/// messages that came there were taken for those of the deleted topic.
#[test]
fn a_topic_deleted_during_a_checkpoint_keeps_what_comes_after_the_power_cut() {
    for seed in seeds(60) {
        let _replay = Replay(
            seed,
            "a_topic_deleted_during_a_checkpoint_keeps_what_comes_after_the_power_cut",
        );
        let sim = Sim::new(seed);
        let config = StoreConfig { flush_interval_ms: 1_000, ..small_config("/store") };
        let micros = |most: u64| Duration::from_micros(sim.random_u64() % most);
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            let mut oracle = Oracle::default();
            oracle.fill(&sim, &store, 60).await;
            sim.sleep(Duration::from_millis(60)).await;
            sim.inject(Fault::slow(
                FaultOp::Sync,
                "/store/consumequeue",
                Duration::from_millis(10),
            ));
            oracle.fill(&sim, &store, 20).await;
            sim.sleep(Duration::from_millis(30) + micros(20_000)).await;
            oracle.fill(&sim, &store, 10).await;
            drop(store.delete_topic("alpha"));
            sim.sleep(micros(40_000)).await;
        });
        let (sim, _) = sim.crash();
        let sent: Vec<_> = sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            let append = |nth| store.append(&draft("alpha", nth % 3, b"after", &[])).unwrap();
            let sent = (0..20).map(|nth| (nth % 3, append(nth))).collect();
            sim.sleep(Duration::from_millis(10)).await;
            sent
        });
        let sim = sim.kill();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config.clone()).await.unwrap();
            assert!(sent.iter().all(|(_, at)| at.end() <= store.appended()), "it was written");
            for (queue_id, at) in sent {
                let (offset, range) = (at.queue_offset, store.queue_range("alpha", queue_id));
                let has = range.is_some_and(|it| it.min_offset <= offset && offset < it.max_offset);
                assert!(has, "{queue_id} {offset:?}: {range:?}");
            }
        });
    }
}

/// Simulation seed 82473: damage lay between the manifest's log end and a deletion that it told of,
/// and a power cut had taken the flushed mark. The log was cut at the damage; the messages that
/// came there were then taken for those of the deleted topic when the queues were built anew.
#[test]
fn damage_below_a_deletion_that_is_known_costs_itself_alone() {
    let name = "damage_below_a_deletion_that_is_known_costs_itself_alone";
    let mut tried = 0;
    for seed in seeds(200) {
        let _replay = Replay(seed, name);
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let known = sim.block_on(deletion_during_a_checkpoint(&sim, &mut oracle));
        let Some((log_end, deleted_at)) = known else { continue };
        let (sim, _) = sim.crash();
        // What a crash left behind it is another test's.
        oracle.sent.retain(|sent| sent.at.end().0 <= deleted_at);
        // One with a follower: of a queue's last message nothing tells where its place was.
        let queue = |sent: &Sent| (sent.topic.clone(), sent.queue_id);
        let damaged = oracle.sent.iter().enumerate().position(|(nth, it)| {
            let mut later = oracle.sent[nth + 1..].iter();
            it.at.physical_offset.0 >= log_end && later.any(|later| queue(later) == queue(it))
        });
        let Some(damaged) = damaged else { continue };
        tried += 1;
        let (path, in_file) = log_place(oracle.sent[damaged].at.physical_offset.0);
        sim.damage(&path, in_file + 1);
        sim.block_on(async {
            sim.remove_file(Path::new("/store/commitlog.flushed")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert!(store.appended().0 >= deleted_at, "cut at {}", store.appended());
            assert_eq!(store.recovered().damaged_stretches, 1);
            oracle.check_but(&store, &[damaged]).await;
            oracle.append_waiting(&store, ("alpha", 0), "red", 300).await;
            store.close().await.unwrap();
            sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check_but(&store, &[damaged]).await;
            store.close().await.unwrap();
        });
    }
    assert!(tried > 4 || std::env::var("ENGINE_SEED").is_ok(), "{tried} of these came");
}

/// Deletes alpha while a checkpoint is under way: that one's log end, and where the deletion is
/// that it tells of all the same. `None`: the next one told of it.
async fn deletion_during_a_checkpoint(sim: &Sim, oracle: &mut Oracle) -> Option<(u64, u64)> {
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    oracle.fill(sim, &store, 60).await;
    sim.sleep(Duration::from_millis(60)).await;
    sim.inject(Fault::slow(FaultOp::Sync, "/store/consumequeue", Duration::from_millis(10)));
    oracle.fill(sim, &store, 20).await;
    sim.sleep(Duration::from_micros(30_000 + sim.random_u64() % 20_000)).await;
    oracle.fill(sim, &store, 40).await;
    let deletion = store.delete_topic("alpha");
    oracle.sent.retain(|sent| sent.topic != "alpha");
    drop(deletion);
    for _ in 0..200 {
        sim.sleep(Duration::from_millis(1)).await;
        let manifest = manifest(sim).await;
        if let Some(deleted_at) = manifest["deleted"]["alpha"].as_u64() {
            let log_end = manifest["log_end"].as_u64().unwrap();
            return (log_end < deleted_at).then_some((log_end, deleted_at));
        }
    }
    None
}

#[test]
fn a_topic_that_begins_anew_has_only_its_new_messages() {
    let sim = Sim::new(5);
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.fill(&sim, &store, 200).await;
        store.delete_topic("alpha").await.unwrap();
        oracle.sent.retain(|sent| sent.topic != "alpha");
        oracle.fill(&sim, &store, 30).await;
        oracle.check(&store).await;
        store.close().await.unwrap();
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.check(&store).await;
        let read = consume(&store, "alpha", 0, TagFilter::All).await;
        let sent: Vec<_> = oracle.queue("alpha", 0).collect();
        assert_eq!(read.len(), sent.len());
        read.iter().zip(sent).for_each(|(record, sent)| assert_record(record, sent));
        store.close().await.unwrap();
    });
}

/// Simulation seed 20854: damage had taken the second and third message of the new topic. Its first
/// was then held for one with a damaged queue offset, and was gone.
#[test]
fn a_topic_that_begins_anew_keeps_its_first_message_when_damage_took_the_next_ones() {
    for damaged in 1..5 {
        let sim = Sim::new(damaged);
        sim.block_on(async {
            let mut oracle = Oracle::default();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            for _ in 0..20 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 300).await;
            }
            store.delete_topic("alpha").await.unwrap();
            oracle.sent.clear();
            for _ in 0..8 {
                oracle.append_waiting(&store, ("alpha", 0), "red", 300).await;
            }
            store.close().await.unwrap();
            let lost: Vec<usize> = (1..=usize::try_from(damaged).unwrap()).collect();
            for nth in &lost {
                let at = oracle.sent[*nth].at;
                let (path, in_file) = log_place(at.physical_offset.0);
                overwrite(&sim, &path, in_file, &vec![0xAA; at.bytes]).await;
            }
            // Nothing is left that knows of the deletion.
            sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.check_but(&store, &lost).await;
            let range = store.queue_range("alpha", 0).unwrap();
            assert_eq!((range.min_offset.0, range.max_offset.0), (0, 8));
            store.close().await.unwrap();
        });
    }
}

/// How a life ends in the test below.
#[derive(Clone, Copy, Debug)]
enum End {
    Closed,
    Killed,
    PowerCut,
}

/// Deletes topic alpha and sends to it in the same moment, while the queues are being written.
async fn delete_and_send_at_once(
    sim: &Sim,
    store: &Store<Sim>,
    oracle: &mut Oracle,
    running: &Rc<Cell<usize>>,
) {
    sim.sleep(Duration::from_micros(sim.random_u64() % 60_000)).await;
    let (mine, deletion) = (sim.clone(), store.delete_topic("alpha"));
    oracle.sent.retain(|sent| sent.topic != "alpha");
    running.set(running.get() + 1);
    let running = running.clone();
    let slow = mine.random_u64().is_multiple_of(2);
    sim.spawn(Priority::Background, async move {
        if slow {
            mine.sleep(Duration::from_micros(mine.random_u64() % 20_000)).await;
        }
        deletion.await.unwrap();
        running.set(running.get() - 1);
    });
    for nth in 0..1 + sim.random_u64() % 60 {
        let queue_id = i32::try_from(nth % 3).unwrap();
        oracle.append_waiting(store, ("alpha", queue_id), "red", 200).await;
    }
}

/// The new topic's units went into the old topic's folder, which was then removed.
#[test]
fn a_topic_that_is_made_anew_at_once_keeps_its_messages_over_restarts() {
    for seed in seeds(60) {
        let _replay =
            Replay(seed, "a_topic_that_is_made_anew_at_once_keeps_its_messages_over_restarts");
        let mut sim = Sim::new(seed);
        let mut oracle = Oracle::default();
        for end in [End::Closed, End::Killed, End::PowerCut, End::Closed] {
            let config = StoreConfig { flush: FlushPolicy::Sync, ..small_config("/store") };
            sim.block_on(async {
                let store = Store::open(sim.clone(), config.clone()).await.unwrap();
                oracle.check(&store).await;
                oracle.fill(&sim, &store, 100).await;
                let running = Rc::new(Cell::new(0));
                for _ in 0..4 {
                    delete_and_send_at_once(&sim, &store, &mut oracle, &running).await;
                }
                // The records leave the tail, so that units are asked of the files.
                for _ in 0..60 {
                    oracle.append_waiting(&store, ("beta", 0), "red", 3000).await;
                }
                sim.sleep(Duration::from_millis(u64::from(!matches!(end, End::Killed)) * 200))
                    .await;
                oracle.check(&store).await;
                while running.get() > 0 {
                    sim.sleep(Duration::from_millis(1)).await;
                }
                store.acknowledged_beyond(PhyOffset(store.appended().0 - 1)).await;
                if matches!(end, End::Closed) {
                    store.close().await.unwrap();
                }
            });
            sim = match end {
                End::PowerCut => sim.crash().0,
                End::Closed | End::Killed => sim.kill(),
            };
        }
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert!(!store.recovered().was_unclean);
            oracle.check(&store).await;
            store.close().await.unwrap();
            let folders = sim.list_dir(Path::new("/store/consumequeue")).await.unwrap();
            let names: Vec<&str> = folders.iter().map(|folder| folder.name.as_str()).collect();
            assert_eq!(names, ["alpha", "beta"], "Apache takes every folder for a topic");
        });
    }
}

/// A store without manifest whose topic began anew: `old` messages, then eight new ones, the first
/// `damaged` of which are gone. Returns what the queue gives.
fn rebuilt_without_its_first(old: usize, damaged: usize) -> Vec<Option<Vec<u8>>> {
    let sim = Sim::new(1);
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for _ in 0..old {
            oracle.append_waiting(&store, ("alpha", 0), "old", 300).await;
        }
        store.delete_topic("alpha").await.unwrap();
        oracle.sent.clear();
        for _ in 0..8 {
            oracle.append_waiting(&store, ("alpha", 0), "new", 300).await;
        }
        store.close().await.unwrap();
        for sent in &oracle.sent[..damaged] {
            let (path, in_file) = log_place(sent.at.physical_offset.0);
            overwrite(&sim, &path, in_file, &vec![0xAA; sent.at.bytes]).await;
        }
        sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let got = consume_around_damage(&store, "alpha", 0).await;
        for sent in &oracle.sent[damaged..] {
            let offset = usize::try_from(sent.at.queue_offset.0).unwrap();
            let Got::Record(record) = &got[offset].1 else { panic!("{offset} is not served") };
            assert_record(record, sent);
        }
        store.close().await.unwrap();
        got.into_iter()
            .map(|(_, got)| match got {
                Got::Record(record) => Some(record),
                Got::Damaged => None,
            })
            .collect()
    })
}

/// The places of the new topic's first messages were those of the deleted topic's.
#[test]
fn a_topic_that_began_anew_serves_no_deleted_message_where_damage_took_its_first() {
    for damaged in 1..=6 {
        let got = rebuilt_without_its_first(20, damaged);
        assert_eq!(got.len(), 8, "{damaged} damaged");
        assert!(got[..damaged].iter().all(Option::is_none), "{damaged} damaged");
    }
}

/// Nothing on disk tells here that a topic began anew: see the text of the engine's `fill`.
#[test]
fn where_damage_hides_that_a_topic_began_anew_nothing_that_may_be_live_is_given_up() {
    let got = rebuilt_without_its_first(3, 5);
    assert_eq!(got.iter().filter(|got| got.is_some()).count(), 3 + 3);
    assert!(got[3].is_none() && got[4].is_none());
}

/// Simulation seed 72: the message was looked for in the log from its beginning, and the one that
/// the deleted topic had at that offset was found.
#[test]
fn a_damaged_first_message_is_not_replaced_by_a_deleted_topics() {
    let sim = Sim::new(1);
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        for (tag, deletes) in [("old", true), ("new", false)] {
            for _ in 0..8 {
                oracle.append_waiting(&store, ("alpha", 0), tag, 300).await;
            }
            if deletes {
                store.delete_topic("alpha").await.unwrap();
                oracle.sent.clear();
            }
        }
        oracle.append_waiting(&store, ("beta", 0), "red", 8000).await;
        store.close().await.unwrap();
        let at = oracle.sent[0].at;
        let (path, in_file) = log_place(at.physical_offset.0);
        overwrite(&sim, &path, in_file, &vec![0xAA; at.bytes]).await;
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        oracle.check_but(&store, &[0]).await;
        store.close().await.unwrap();
    });
}

#[test]
fn a_topic_whose_old_folder_cannot_be_removed_for_now_loses_nothing_and_hinders_nobody() {
    for seed in seeds(20) {
        let _replay = Replay(
            seed,
            "a_topic_whose_old_folder_cannot_be_removed_for_now_loses_nothing_and_hinders_nobody",
        );
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            oracle.fill(&sim, &store, 100).await;
            sim.sleep(Duration::from_millis(100)).await;
            sim.inject(Fault::eio(FaultOp::Name, "/store/consumequeue/alpha"));
            store.delete_topic("alpha").await.unwrap_err();
            oracle.sent.retain(|sent| sent.topic != "alpha");
            oracle.fill(&sim, &store, 100).await;
            sim.sleep(Duration::from_millis(200)).await;
            oracle.check(&store).await;
            let beta = Path::new("/store/consumequeue/beta/0/00000000000000000000");
            let written = sim.read_file(beta).await.unwrap();
            let last = usize::try_from(store.queue_range("beta", 0).unwrap().max_offset.0).unwrap();
            let unit = last.min(50) * 20 - 20;
            assert!(written[unit..unit + 20].iter().any(|byte| *byte != 0), "others are written");
            if seed % 2 == 0 {
                sim.clear_faults();
                sim.sleep(Duration::from_millis(200)).await;
                oracle.check(&store).await;
                store.close().await.unwrap();
            } else {
                let left = store.close().await.unwrap();
                assert!(left.cuts_are_due && !left.is_clean_stop(), "{left:?}");
            }
            assert_eq!(manifest(&sim).await["log_end"], store.appended().0, "checkpoints go on");
        });
        let sim = sim.kill();
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            assert_eq!(store.recovered().was_unclean, seed % 2 == 1);
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
}
