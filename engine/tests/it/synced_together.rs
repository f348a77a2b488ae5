//! More changed ConsumeQueues than a few wait for the next checkpoint, go into their files in
//! pieces, and are synced with their whole file system.

use crate::oracle::{Oracle, Replay, logged, manifest, seeds, small_config};
use engine::{LeftOver, Store, StoreConfig};
use rt::Runtime;
use rt::sim::{Fault, FaultOp, Sim};
use std::path::PathBuf;
use std::time::Duration;

const QUEUES: &str = "/store/consumequeue";

fn config() -> StoreConfig {
    StoreConfig { few_queues_max: 2, ..small_config("/store") }
}

/// Lives, with queues whose files are there, until a checkpoint has told of all messages.
async fn live(sim: &Sim, oracle: &mut Oracle, fault: Option<Fault>) -> Store<Sim> {
    let store = Store::open(sim.clone(), config()).await.unwrap();
    oracle.fill(sim, &store, 100).await;
    sim.sleep(Duration::from_millis(300)).await;
    if let Some(fault) = fault {
        sim.inject(fault);
    }
    oracle.fill(sim, &store, 100).await;
    sim.sleep(Duration::from_millis(300)).await;
    assert_eq!(manifest(sim).await["log_end"], store.appended().0, "there is a checkpoint");
    store
}

#[test]
fn one_sync_makes_all_queues_durable() {
    for seed in seeds(40) {
        let _replay = Replay(seed, "one_sync_makes_all_queues_durable");
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        sim.block_on(async {
            // No file is synced by itself: it would fail, and its queue be behind.
            let fault = ["alpha", "beta", "gamma"]
                .map(|topic| Fault::eio(FaultOp::Sync, format!("{QUEUES}/{topic}")));
            fault.into_iter().for_each(|fault| sim.inject(fault));
            drop(live(&sim, &mut oracle, None).await);
            assert!(manifest(&sim).await["behind"].is_null());
            assert_eq!(sim.fault_counts().sync_errors, 0);
        });
        let sim = sim.crash().0;
        sim.block_on(async {
            let store = Store::open(sim.clone(), config()).await.unwrap();
            assert_eq!(store.recovered().records_scanned, 0, "the checkpoint knows them all");
            oracle.check(&store).await;
            assert_eq!(store.close().await.unwrap(), LeftOver::default());
        });
    }
}

#[test]
fn when_it_fails_each_queue_is_synced_by_itself_and_what_was_lost_is_built_again() {
    let mut behind = 0;
    for seed in seeds(60) {
        let _replay = Replay(
            seed,
            "when_it_fails_each_queue_is_synced_by_itself_and_what_was_lost_is_built_again",
        );
        let (sim, mut oracle) = (Sim::new(seed), Oracle::default());
        let ((), log) = logged(|| {
            sim.block_on(async {
                let fault = Fault::eio(FaultOp::Sync, QUEUES).times(1);
                drop(live(&sim, &mut oracle, Some(fault)).await);
                behind += usize::from(!manifest(&sim).await["behind"].is_null());
            });
        });
        assert!(log.contains("synced by itself") && log.contains("syncfs"), "{log}");
        let sim = sim.crash().0;
        sim.block_on(async {
            let store = Store::open(sim.clone(), config()).await.unwrap();
            oracle.check(&store).await;
            assert_eq!(store.close().await.unwrap(), LeftOver::default());
            let store = Store::open(sim.clone(), config()).await.unwrap();
            oracle.check(&store).await;
            store.close().await.unwrap();
        });
    }
    assert!(behind > 10 || std::env::var("ENGINE_SEED").is_ok(), "{behind} runs lost pages");
}

#[test]
fn units_of_many_queues_wait_for_the_checkpoint() {
    let (sim, mut oracle) = (Sim::new(9), Oracle::default());
    sim.block_on(async {
        let config = StoreConfig { checkpoint_interval_ms: 3_600_000, ..config() };
        let store = Store::open(sim.clone(), config).await.unwrap();
        oracle.fill(&sim, &store, 20).await;
        let before = units_in_files(&sim).await;
        oracle.fill(&sim, &store, 200).await;
        sim.sleep(Duration::from_secs(10)).await;
        assert_eq!(units_in_files(&sim).await, before, "written only while the queues were few");
        oracle.check(&store).await;
        assert_eq!(store.close().await.unwrap(), LeftOver::default());
        let store = Store::open(sim.clone(), self::config()).await.unwrap();
        oracle.check(&store).await;
        store.close().await.unwrap();
    });
}

async fn units_in_files(sim: &Sim) -> usize {
    let mut folders = vec![PathBuf::from(QUEUES)];
    let mut units = 0;
    while let Some(folder) = folders.pop() {
        for entry in sim.list_dir(&folder).await.unwrap_or_default() {
            let path = folder.join(&entry.name);
            if entry.is_dir {
                folders.push(path);
                continue;
            }
            let bytes = sim.read_file(&path).await.unwrap();
            units += bytes.chunks(20).filter(|unit| unit.iter().any(|byte| *byte != 0)).count();
        }
    }
    units
}
