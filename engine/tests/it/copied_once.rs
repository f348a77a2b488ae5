//! A message's bytes are copied once, from the request into the log's tail: the device gets them
//! from there. On `mmap` once more, into the page cache.

use crate::oracle::{draft, small_config};
use engine::{FlushPolicy, LogBackend, Store, StoreConfig};
use rt::Runtime;
use rt::sim::Sim;

#[test]
fn a_message_is_copied_once_and_only_last_blocks_again() {
    for flush in [FlushPolicy::Async, FlushPolicy::Sync] {
        for backend in [LogBackend::Direct, LogBackend::Mmap] {
            let sim = Sim::new(3);
            sim.block_on(async {
                let config = StoreConfig {
                    flush,
                    backend,
                    chunk_bytes: 256 * 1024,
                    tail_bytes_max: 1 << 20,
                    ..small_config("/store")
                };
                let store = Store::open(sim.clone(), config).await.unwrap();
                let (body, mut records) = ([7; 1024], 0);
                for _ in 0..2000 {
                    while store.append(&draft("alpha", 0, &body, &[])).is_err() {
                        store.wait_writable().await;
                    }
                    records += 1;
                    if records % 64 == 0 {
                        sim.sleep(std::time::Duration::from_millis(1)).await;
                    }
                }
                store.close().await.unwrap();
                let counts = store.write_counts();
                assert_eq!(counts.messages, 2000);
                assert!(
                    counts.record_bytes >= 2000 * 1024 && counts.record_bytes < 2000 * 1200,
                    "{counts:?}"
                );
                // One block for each write of the log, and one for each chunk of the tail; nothing
                // for each message.
                let mapped = if backend == LogBackend::Mmap { counts.log_bytes } else { 0 };
                assert!(
                    counts.copied_again_bytes - mapped <= 4096 * (counts.log_writes + 20),
                    "{counts:?}"
                );
                assert!(counts.log_writes < 400, "{counts:?}");
            });
        }
    }
}
