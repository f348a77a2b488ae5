//! The same store on real files and a real core: what is sent is there, hot, cold and after a
//! restart.

use crate::oracle::{Oracle, small_config};
use engine::Store;
use rt::real::{CorePlacement, launch};
use rt::ring::RingConfig;
use std::path::PathBuf;

#[test]
fn real_files_hold_what_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    let running = launch(&[CorePlacement::Unpinned], RingConfig::default(), move |core, _| {
        lives(core, root.clone())
    });
    running.unwrap().join().unwrap();
    let files = std::fs::read_dir(folder.path().join("commitlog")).unwrap();
    assert!(files.count() > 3);
}

async fn lives(core: rt::real::Core, root: PathBuf) -> std::io::Result<()> {
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
