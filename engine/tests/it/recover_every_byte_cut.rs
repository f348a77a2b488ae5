//! A log cut at any byte opens with the longest prefix of whole records, and works on from there.

use crate::oracle::{Oracle, overwrite, small_config};
use engine::{LogSource, Store, StoreConfig};
use rt::sim::Sim;
use rt::{File, OpenMode, Runtime};
use std::path::Path;

const MANIFEST: &str = "/store/consumequeue.manifest";
const LOG: &str = "/store/commitlog/00000000000000000000";

/// What is left of the log file behind the cut.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Zeros,
    Nothing,
    /// As a crash that reordered writes leaves it: a sector later there are bytes again.
    LaterSectors,
}

fn config() -> StoreConfig {
    // No background round between opening and killing, so that each store is what the cut made it.
    StoreConfig {
        checkpoint_interval_ms: 1 << 30,
        consumequeue_interval_ms: 1 << 30,
        ..small_config("/store")
    }
}

/// How the log came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Its own messages, and no manifest.
    Own,
    /// Its own, after others were cut off.
    Cut,
    /// Another store's bytes.
    Copied,
}

/// A small store.
struct Small {
    log: Vec<u8>,
    /// As it was when the last message came, and where it ends.
    manifest: Option<(Vec<u8>, usize)>,
    oracle: Oracle,
}

fn send(oracle: &mut Oracle, store: &Store<Sim>, lens: &[usize]) {
    for (nth, len) in lens.iter().enumerate() {
        oracle.append(store, (["alpha", "beta"][nth % 2], 0), "red", *len).unwrap();
    }
}

fn small_store(origin: Origin) -> Small {
    let sim = Sim::new(1);
    let mut oracle = Oracle::default();
    let (log, after_cut) = sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        send(&mut oracle, &store, &[1, 40]);
        let first_end = store.appended();
        if origin == Origin::Cut {
            let mut cut_off = Oracle { sent: oracle.sent.clone() };
            send(&mut cut_off, &store, &[700, 800, 900]);
            store.truncate(first_end).await.unwrap();
        }
        send(&mut oracle, &store, &[600, 0, 17, 300]);
        let end = usize::try_from(store.appended().0).unwrap();
        let manifest = sim.read_file(Path::new(MANIFEST)).await.ok();
        store.close().await.unwrap();
        let log = sim.read_file(Path::new(LOG)).await.unwrap()[..end].to_vec();
        (log, manifest.map(|bytes| (bytes, usize::try_from(first_end.0).unwrap())))
    });
    let manifest = match origin {
        Origin::Own => None,
        Origin::Cut => after_cut,
        Origin::Copied => Some((manifest_of_copy(&log), 0)),
    };
    Small { log, manifest, oracle }
}

/// The manifest of a store that was fed `log`.
fn manifest_of_copy(log: &[u8]) -> Vec<u8> {
    let sim = Sim::new(2);
    sim.block_on(async {
        let copy = crate::copy::open_copy(&sim, &config()).await;
        crate::copy::feed(&copy, &config(), 0, log, || 2).await.unwrap();
        sim.read_file(Path::new(MANIFEST)).await.unwrap()
    })
}

async fn lay_out(sim: &Sim, small: &Small, cut: usize, behind: Behind) {
    let log = &small.log;
    if let Some((manifest, _)) = &small.manifest {
        // The queues it lists are in no file here: they are built from the log.
        sim.create_dir_all(Path::new("/store")).await.unwrap();
        sim.replace_file(Path::new(MANIFEST), manifest.clone(), false).await.unwrap();
    }
    sim.create_dir_all(Path::new("/store/commitlog")).await.unwrap();
    sim.replace_file(Path::new("/store/abort"), b"1".to_vec(), false).await.unwrap();
    overwrite(sim, Path::new(LOG), 0, &log[..cut]).await;
    let file = sim.open(Path::new(LOG), OpenMode::Buffered).await.unwrap();
    file.set_len(if behind == Behind::Nothing { cut as u64 } else { 96 * 1024 }).await.unwrap();
    let later = cut.next_multiple_of(512) + 512;
    if behind == Behind::LaterSectors && later < log.len() {
        overwrite(sim, Path::new(LOG), later as u64, &log[later..]).await;
    }
}

fn every_cut(origin: Origin) {
    let small = small_store(origin);
    let from = small.manifest.as_ref().map_or(0, |(_, end)| *end);
    assert!(small.log.len() > from + 1000);
    for behind in [Behind::Zeros, Behind::Nothing, Behind::LaterSectors] {
        for cut in from..=small.log.len() {
            let sim = Sim::new(cut as u64);
            let mut left = Oracle { sent: small.oracle.sent.clone() };
            left.sent.retain(|sent| sent.at.end().0 <= cut as u64);
            sim.block_on(async {
                lay_out(&sim, &small, cut, behind).await;
                let store = Store::open(sim.clone(), config()).await.unwrap();
                let end = left.sent.last().map_or(0, |sent| sent.at.end().0);
                let found = (store.appended().0, store.recovered().damaged_stretches);
                assert_eq!(found, (end, 0), "{origin:?} cut at {cut}");
                let is_copy = store.source() == LogSource::Foreign;
                assert_eq!(is_copy, origin == Origin::Copied);
                store.set_source(LogSource::Own).await.unwrap();
                left.check(&store).await;
                left.append(&store, ("alpha", 0), "blue", 30).unwrap();
                left.append(&store, ("beta", 0), "blue", 30).unwrap();
                left.check(&store).await;
                store.close().await.unwrap();
                let store = Store::open(sim.clone(), config()).await.unwrap();
                left.check(&store).await;
                store.close().await.unwrap();
            });
        }
    }
}

#[test]
fn every_cut_leaves_the_longest_prefix_of_whole_records_and_a_store_that_works() {
    every_cut(Origin::Own);
}

#[test]
fn every_cut_of_a_store_that_was_truncated_leaves_the_longest_prefix() {
    every_cut(Origin::Cut);
}

#[test]
fn every_cut_of_a_store_that_was_fed_raw_leaves_the_longest_prefix() {
    every_cut(Origin::Copied);
}
