//! 10,000 queues on a shard: each costs its row and one file, not a descriptor, a task or a buffer.

use crate::oracle::{draft, small_config};
use engine::{QueueOffset, Store};
use rt::sim::Sim;

const QUEUES: i32 = 10_000;

#[test]
fn ten_thousand_queues_open_again_with_everything() {
    let sim = Sim::new(61);
    sim.block_on(async {
        let mut config = small_config("/store");
        config.commitlog_file_bytes = 4 << 20;
        let store = Store::open(sim.clone(), config.clone()).await.unwrap();
        for round in 0..2 {
            for queue_id in 0..QUEUES {
                let at = loop {
                    match store.append(&draft("t", queue_id, b"x", &[])) {
                        Err(_) => store.wait_writable().await,
                        Ok(at) => break at,
                    }
                };
                assert_eq!(at.queue_offset, QueueOffset(round));
            }
        }
        store.close().await.unwrap();
        let store = Store::open(sim.clone(), config).await.unwrap();
        assert_eq!(store.recovered().records_scanned, 0);
        assert!(
            (0..QUEUES)
                .all(|queue_id| store.queue_range("t", queue_id).unwrap().max_offset
                    == QueueOffset(2))
        );
        store.close().await.unwrap();
    });
}
