//! ConsumeQueues can be deleted while the store is stopped, all, one, or one file: no answer
//! changes.

use crate::oracle::{Oracle, small_config};
use engine::Store;
use rt::Runtime;
use rt::sim::Sim;
use std::path::Path;

async fn filled(sim: &Sim) -> Oracle {
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.fill(sim, &store, 600).await;
    store.close().await.unwrap();
    oracle
}

async fn check_rebuilt(sim: &Sim, oracle: &mut Oracle) {
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    assert!(store.recovered().records_scanned > 0, "the queues were built from the log");
    oracle.check(&store).await;
    oracle.fill(sim, &store, 50).await;
    oracle.check(&store).await;
    store.close().await.unwrap();
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    assert_eq!(store.recovered().records_scanned, 0);
    oracle.check(&store).await;
    store.close().await.unwrap();
}

fn deleting_changes_nothing(delete: impl AsyncFn(&Sim)) {
    let sim = Sim::new(11);
    sim.block_on(async {
        let mut oracle = filled(&sim).await;
        delete(&sim).await;
        check_rebuilt(&sim, &mut oracle).await;
    });
}

#[test]
fn deleting_all_consumequeues_changes_no_answer() {
    deleting_changes_nothing(async |sim| {
        sim.remove_dir_all(Path::new("/store/consumequeue")).await.unwrap()
    });
}

#[test]
fn deleting_one_queue_changes_no_answer() {
    deleting_changes_nothing(async |sim| {
        sim.remove_dir_all(Path::new("/store/consumequeue/alpha/1")).await.unwrap()
    });
}

#[test]
fn deleting_one_file_changes_no_answer() {
    deleting_changes_nothing(async |sim| {
        let folder = Path::new("/store/consumequeue/beta/0");
        let files = sim.list_dir(folder).await.unwrap();
        assert!(files.len() > 1);
        sim.remove_file(&folder.join(&files[0].name)).await.unwrap();
    });
}

#[test]
fn deleting_manifest_and_checkpoint_changes_no_answer() {
    deleting_changes_nothing(async |sim| {
        sim.remove_file(Path::new("/store/consumequeue.manifest")).await.unwrap();
        sim.remove_file(Path::new("/store/checkpoint")).await.unwrap();
    });
}

#[test]
fn a_manifest_cut_short_is_no_manifest() {
    deleting_changes_nothing(async |sim| {
        let path = Path::new("/store/consumequeue.manifest");
        let whole = sim.read_file(path).await.unwrap();
        sim.replace_file(path, whole[..whole.len() / 2].to_vec(), false).await.unwrap();
    });
}
