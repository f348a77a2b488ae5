//! The same store on real files and a real core: what is sent is there, hot, cold and after a
//! restart.

use crate::copy::{feed, log_bytes, open_copy, queues};
use crate::oracle::{Oracle, small_config};
use engine::{FlushPolicy, LogBackend, Store, StoreConfig};
use rt::Runtime;
use rt::real::{Core, CorePlacement, launch};
use rt::ring::RingConfig;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[test]
fn real_files_hold_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    on_core(move |core| lives(core, root.clone()));
    let files = std::fs::read_dir(folder.path().join("commitlog")).unwrap();
    assert!(files.count() > 3);
}

/// Runs `life` on a core of its own.
fn on_core<F: Future<Output = std::io::Result<()>> + 'static>(
    life: impl Fn(Core) -> F + Clone + Send + 'static,
) {
    let running =
        launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| life(core));
    running.unwrap().join().unwrap();
}

async fn lives(core: Core, root: PathBuf) -> std::io::Result<()> {
    let mut oracle = Oracle::default();
    for life in 0..3 {
        let mut config = small_config("");
        config.root.clone_from(&root);
        let store = Store::open(core.clone(), config).await.unwrap();
        assert_eq!(
            (store.recovered().was_unclean, store.recovered().records_scanned),
            (false, 0),
            "life {life}"
        );
        oracle.check(&store).await;
        oracle.fill(&core, &store, 300).await;
        oracle.check(&store).await;
        eprintln!(
            "life {life}: log of {} bytes, {}",
            store.appended(),
            if store.is_buffered() { "buffered" } else { "O_DIRECT" }
        );
        store.close().await.unwrap();
    }
    Ok(())
}

/// The configurations of a master and of its copy.
fn pair(folder: &Path, flush: FlushPolicy, backend: LogBackend) -> [StoreConfig; 2] {
    ["master", "copy"].map(|name| {
        let root = folder.join(name);
        StoreConfig { flush, backend, ..small_config(root.to_str().unwrap()) }
    })
}

/// The copy takes what it has not of the master's log.
async fn follow(core: &Core, configs: &[StoreConfig; 2], master: &Store<Core>, copy: &Store<Core>) {
    let (from, upto) = (copy.appended().0, master.appended().0);
    while master.flushed().0 < upto {
        core.sleep(Duration::from_millis(1)).await;
    }
    let bytes = log_bytes(core, configs[0].root.to_str().unwrap(), from, upto).await;
    feed(copy, &configs[1], from, &bytes, || 3).await.unwrap();
    assert_eq!(copy.appended(), master.appended());
    while copy.visible().min(master.visible()) < copy.appended() {
        core.sleep(Duration::from_millis(1)).await;
    }
    assert!(queues(copy).await == queues(master).await, "other queues");
}

async fn copied_and_cut(core: Core, configs: [StoreConfig; 2]) -> std::io::Result<()> {
    let master = Store::open(core.clone(), configs[0].clone()).await.unwrap();
    let copy = open_copy(&core, &configs[1]).await;
    let mut oracle = Oracle::default();
    oracle.fill(&core, &master, 300).await;
    follow(&core, &configs, &master, &copy).await;
    for nth in [200, 120, 1] {
        let to = oracle.sent[nth].at.physical_offset;
        for store in [&master, &copy] {
            store.truncate(to).await.unwrap();
            assert_eq!((store.appended(), store.flushed()), (to, to));
        }
        oracle.sent.truncate(nth);
        oracle.fill(&core, &master, 100).await;
        follow(&core, &configs, &master, &copy).await;
        oracle.check(&master).await;
    }
    for store in [master, copy] {
        assert!(store.close().await.unwrap().is_clean_stop());
    }
    Ok(())
}

async fn equal_after_a_restart(core: Core, configs: [StoreConfig; 2]) -> std::io::Result<()> {
    let master = Store::open(core.clone(), configs[0].clone()).await.unwrap();
    let copy = Store::open(core.clone(), configs[1].clone()).await.unwrap();
    for store in [&master, &copy] {
        assert_eq!((store.recovered().was_unclean, store.recovered().records_scanned), (false, 0));
    }
    assert!(queues(&copy).await == queues(&master).await, "other queues");
    let end = master.appended().0;
    let [of_master, of_copy] = [0, 1].map(|nth| configs[nth].root.to_str().unwrap());
    assert!(log_bytes(&core, of_master, 0, end).await == log_bytes(&core, of_copy, 0, end).await);
    for store in [master, copy] {
        assert!(store.close().await.unwrap().is_clean_stop());
    }
    Ok(())
}

#[test]
fn a_copy_follows_its_master_and_its_cuts_on_real_files() {
    for (flush, backend) in [
        (FlushPolicy::Async, LogBackend::Direct),
        (FlushPolicy::Sync, LogBackend::Direct),
        (FlushPolicy::Async, LogBackend::Mmap),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let configs = pair(folder.path(), flush, backend);
        let again = configs.clone();
        on_core(move |core| copied_and_cut(core, configs.clone()));
        on_core(move |core| equal_after_a_restart(core, again.clone()));
    }
}
