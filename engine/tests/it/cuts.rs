//! What lies behind the ends of ConsumeQueues after an unclean stop is cut while messages are
//! served already; until all is, the store counts as not closed. Apache RocketMQ takes units until
//! it meets one of size 0: what it would find there is what is counted here.

use crate::oracle::{Oracle, Replay, seeds, small_config};
use engine::{LeftOver, Store, StoreConfig};
use rt::Runtime;
use rt::sim::Sim;
use std::path::{Path, PathBuf};
use std::time::Duration;

const QUEUES: &str = "/store/consumequeue";
const UNITS_PER_FILE: usize = 50;

async fn has_abort(sim: &Sim) -> bool {
    sim.read_file(Path::new("/store/abort")).await.is_ok()
}

async fn names(sim: &Sim, folder: &Path) -> Vec<String> {
    let entries = sim.list_dir(folder).await.unwrap_or_default();
    entries.into_iter().map(|entry| entry.name).collect()
}

/// The folders of all queues on disk: topic, queue, path.
async fn queue_folders(sim: &Sim) -> Vec<(String, i32, PathBuf)> {
    let mut folders = Vec::new();
    for topic in names(sim, Path::new(QUEUES)).await {
        for queue in names(sim, &Path::new(QUEUES).join(&topic)).await {
            let path = Path::new(QUEUES).join(&topic).join(&queue);
            folders.push((topic.clone(), queue.parse().unwrap(), path));
        }
    }
    folders
}

/// Places behind a queue's end, in all its files, that are no zeros.
async fn phantoms_in(sim: &Sim, folder: &Path, end: usize) -> usize {
    let mut phantoms = 0;
    for name in names(sim, folder).await {
        let first = name.parse::<usize>().unwrap() / 20;
        // It may be cut off at this very moment.
        let Ok(bytes) = sim.read_file(&folder.join(&name)).await else { continue };
        assert!(bytes.len() <= UNITS_PER_FILE * 20, "{name}: {} bytes", bytes.len());
        let units = bytes.chunks(20).enumerate().filter(|(nth, _)| first + nth >= end);
        phantoms += units.filter(|(_, unit)| unit.iter().any(|byte| *byte != 0)).count();
    }
    phantoms
}

async fn phantoms(sim: &Sim, store: &Store<Sim>) -> usize {
    let mut all = 0;
    for (topic, queue_id, folder) in queue_folders(sim).await {
        let range = store.queue_range(&topic, queue_id);
        let end = range.map_or(0, |range| usize::try_from(range.max_offset.0).unwrap());
        all += phantoms_in(sim, &folder, end).await;
    }
    all
}

/// Lives and is cut off by a power cut: units reach the disk whose records do not.
fn lose_the_end_of_the_log(sim: &Sim, oracle: &mut Oracle, config: &StoreConfig) -> Sim {
    sim.block_on(async {
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        oracle.fill(sim, &store, 80).await;
        sim.sleep(Duration::from_millis(60)).await;
        // Enough for a second file of some queues.
        oracle.fill(sim, &store, 350).await;
        sim.sleep(Duration::from_micros(sim.random_u64() % 12_000)).await;
    });
    sim.crash().0
}

/// Opens the store and forgets the messages that it has not: a power cut took them.
async fn open(sim: &Sim, oracle: &mut Oracle, config: &StoreConfig) -> Store<Sim> {
    let store = Store::open(sim.clone(), config.clone()).await.unwrap();
    let end = store.appended();
    oracle.sent.retain(|sent| sent.at.end() <= end);
    store
}

#[test]
fn no_phantom_is_left_after_a_clean_stop_whatever_kills_came_before_it() {
    let (mut met, mut kept) = (0, 0);
    for seed in seeds(80) {
        let _replay =
            Replay(seed, "no_phantom_is_left_after_a_clean_stop_whatever_kills_came_before_it");
        let (mut sim, mut oracle) = (Sim::new(seed), Oracle::default());
        // Everything since the start may be lost.
        let config = StoreConfig { flush_interval_ms: 1000, ..small_config("/store") };
        sim = lose_the_end_of_the_log(&sim, &mut oracle, &config);
        for _ in 0..seed % 4 {
            sim.block_on(async {
                let store = open(&sim, &mut oracle, &config).await;
                met += phantoms(&sim, &store).await;
                assert!(has_abort(&sim).await);
                sim.sleep(Duration::from_micros(sim.random_u64() % 6_000)).await;
            });
            sim = sim.kill();
        }
        sim.block_on(async {
            let store = open(&sim, &mut oracle, &config).await;
            met += phantoms(&sim, &store).await;
            oracle.check(&store).await;
            // New units over what is not cut yet.
            let count = usize::try_from(sim.random_u64() % 60).unwrap();
            oracle.fill(&sim, &store, count).await;
            oracle.check(&store).await;
            if seed.is_multiple_of(3) {
                sim.sleep(Duration::from_micros(sim.random_u64() % 20_000)).await;
            }
            assert_eq!(store.close().await.unwrap(), LeftOver::default());
            assert!(!has_abort(&sim).await);
            assert_eq!(phantoms(&sim, &store).await, 0, "Apache would serve them");
            kept += oracle.sent.len();
        });
        let (sim, _) = sim.crash();
        sim.block_on(async {
            let store = Store::open(sim.clone(), config).await.unwrap();
            assert_eq!(store.recovered().records_scanned, 0);
            assert_eq!(phantoms(&sim, &store).await, 0, "the cuts were durable");
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    assert!(
        (met > 300 && kept > 1000) || std::env::var("ENGINE_SEED").is_ok(),
        "{met} phantoms met, {kept} messages kept"
    );
}

#[test]
fn closing_without_time_to_cut_leaves_the_cuts_and_abort_to_the_next_start() {
    let mut met = 0;
    for seed in seeds(30) {
        let _replay =
            Replay(seed, "closing_without_time_to_cut_leaves_the_cuts_and_abort_to_the_next_start");
        let (mut sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let config = StoreConfig { flush_interval_ms: 1000, ..small_config("/store") };
        sim = lose_the_end_of_the_log(&sim, &mut oracle, &config);
        sim.block_on(async {
            let in_a_hurry = StoreConfig { close_deadline_ms: 0, ..config.clone() };
            let store = open(&sim, &mut oracle, &in_a_hurry).await;
            let left = store.close().await.unwrap();
            assert!(
                left.cuts_are_due && !left.is_clean_stop() && has_abort(&sim).await,
                "{left:?}"
            );
            met += phantoms(&sim, &store).await;
            let store = open(&sim, &mut oracle, &config).await;
            oracle.check(&store).await;
            assert_eq!(store.close().await.unwrap(), LeftOver::default());
            assert_eq!(phantoms(&sim, &store).await, 0);
        });
    }
    assert!(met > 20 || std::env::var("ENGINE_SEED").is_ok(), "{met} phantoms were left");
}
