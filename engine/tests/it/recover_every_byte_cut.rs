//! A log cut at any byte opens with the longest prefix of whole records, and works on from there.

use crate::oracle::{Oracle, overwrite, small_config};
use engine::{Store, StoreConfig};
use rt::sim::Sim;
use rt::{File, OpenMode, Runtime};
use std::path::Path;

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

/// A small log: its bytes and what was sent.
fn small_log() -> (Vec<u8>, Oracle) {
    let sim = Sim::new(1);
    let mut oracle = Oracle::default();
    let bytes = sim.block_on(async {
        let store = Store::open(sim.clone(), config()).await.unwrap();
        for (nth, len) in [1, 40, 600, 0, 17, 300].into_iter().enumerate() {
            oracle.append(&store, (["alpha", "beta"][nth % 2], 0), "red", len).unwrap();
        }
        let end = usize::try_from(store.appended().0).unwrap();
        store.close().await.unwrap();
        sim.read_file(Path::new(LOG)).await.unwrap()[..end].to_vec()
    });
    (bytes, oracle)
}

async fn lay_out(sim: &Sim, log: &[u8], cut: usize, behind: Behind) {
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

#[test]
fn every_cut_leaves_the_longest_prefix_of_whole_records_and_a_store_that_works() {
    let (log, oracle) = small_log();
    assert!(log.len() > 1500);
    for behind in [Behind::Zeros, Behind::Nothing, Behind::LaterSectors] {
        for cut in 0..=log.len() {
            let sim = Sim::new(cut as u64);
            let mut left = Oracle { sent: oracle.sent.clone() };
            left.sent.retain(|sent| sent.at.end().0 <= cut as u64);
            sim.block_on(async {
                lay_out(&sim, &log, cut, behind).await;
                let store = Store::open(sim.clone(), config()).await.unwrap();
                let end = left.sent.last().map_or(0, |sent| sent.at.end().0);
                let recovered = store.recovered();
                assert_eq!(
                    (store.appended().0, recovered.damaged_stretches),
                    (end, 0),
                    "cut at {cut}"
                );
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
