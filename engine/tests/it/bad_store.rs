//! Files that are not as they should be: a clear error that names them, and nothing overwritten.

use crate::oracle::{Oracle, small_config};
use engine::{OpenError, Store, StoreConfig};
use rt::Runtime;
use rt::sim::Sim;
use std::path::PathBuf;

async fn filled(sim: &Sim) -> Oracle {
    let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
    let mut oracle = Oracle::default();
    oracle.fill(sim, &store, 400).await;
    store.close().await.unwrap();
    oracle
}

fn open_error(damage: impl AsyncFn(&Sim), config: StoreConfig) -> OpenError {
    let sim = Sim::new(51);
    sim.block_on(async {
        filled(&sim).await;
        damage(&sim).await;
        let error = Store::open(sim.clone(), config).await.err().unwrap();
        let again = Store::open(sim.clone(), small_config("/store")).await.err();
        assert!(!matches!(again, Some(OpenError::Locked { .. })), "a refused store is not locked");
        error
    })
}

#[test]
fn a_missing_middle_file_is_named() {
    let path = PathBuf::from(format!("/store/commitlog/{:020}", 96 * 1024));
    let missing = path.clone();
    let error =
        open_error(async |sim| sim.remove_file(&missing).await.unwrap(), small_config("/store"));
    assert!(matches!(&error, OpenError::MissingFile { path: found } if *found == path), "{error}");
}

#[test]
fn files_of_another_size_are_refused_with_the_key_to_change() {
    let mut config = small_config("/store");
    config.commitlog_file_bytes *= 2;
    let error = open_error(async |_| (), config);
    let text = error.to_string();
    assert!(matches!(error, OpenError::FileSize { .. }), "{text}");
    assert!(
        text.contains("98304 bytes, expected 196608") && text.contains("mappedFileSizeCommitLog"),
        "{text}"
    );
}

#[test]
fn a_configuration_that_cannot_work_names_its_key() {
    let mut config = small_config("/store");
    config.tail_bytes_max = 1;
    let error = open_error(async |_| (), config);
    assert!(error.to_string().starts_with("tailCacheBytes = 1: expected at least"), "{error}");
}
