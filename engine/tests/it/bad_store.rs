//! Files that are not as they should be: a clear error that names them, and nothing overwritten.

use crate::oracle::{Oracle, request, small_config};
use engine::{OpenError, ReadError, Store, StoreConfig, TagFilter};
use rt::Runtime;
use rt::sim::Sim;
use std::path::{Path, PathBuf};

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
    let error = open_error(async |sim| sim.remove_file(&missing).await.unwrap(), small_config("/store"));
    assert!(matches!(&error, OpenError::MissingFile { path: found } if *found == path), "{error}");
}

#[test]
fn files_of_another_size_are_refused_with_the_key_to_change() {
    let mut config = small_config("/store");
    config.commitlog_file_bytes *= 2;
    let error = open_error(async |_| (), config);
    let text = error.to_string();
    assert!(matches!(error, OpenError::FileSize { .. }), "{text}");
    assert!(text.contains("98304 bytes, expected 196608") && text.contains("mappedFileSizeCommitLog"), "{text}");
}

#[test]
fn a_configuration_that_cannot_work_names_its_key() {
    let mut config = small_config("/store");
    config.tail_bytes_max = 1;
    let error = open_error(async |_| (), config);
    assert!(error.to_string().starts_with("tailCacheBytes = 1: expected at least"), "{error}");
}

#[test]
fn a_damaged_record_is_an_error_for_its_read_alone() {
    let sim = Sim::new(52);
    sim.block_on(async {
        let oracle = filled(&sim).await;
        let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
        let victim = oracle.queue("alpha", 0).next().unwrap().at;
        sim.damage(Path::new("/store/commitlog/00000000000000000000"), victim.physical_offset.0 + 5);
        let error = store.read_cold(request("alpha", 0, 0, TagFilter::All).to_owned()).await.unwrap_err();
        let ReadError::Damaged { offset, .. } = &error else { panic!("{error}") };
        assert_eq!(*offset, victim.physical_offset.0);
        let next = store.read_cold(request("alpha", 0, 1, TagFilter::All).to_owned()).await.unwrap();
        assert!(next.messages > 0);
        store.close().await.unwrap();
    });
}
