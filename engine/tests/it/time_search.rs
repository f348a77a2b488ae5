//! Searching by time agrees with looking at every message.

use crate::oracle::{Oracle, Replay, seeds, small_config};
use engine::{Boundary, QueueOffset, Store};
use rt::Runtime;
use rt::sim::Sim;
use std::time::Duration;

fn naive(oracle: &Oracle, topic: &str, queue_id: i32, time_ms: i64, boundary: Boundary) -> i64 {
    let before = |stored_ms: i64| match boundary {
        Boundary::Lower => stored_ms < time_ms,
        Boundary::Upper => stored_ms <= time_ms,
    };
    let count =
        oracle.queue(topic, queue_id).filter(|sent| before(sent.at.store_timestamp_ms)).count();
    let count = i64::try_from(count).unwrap();
    if boundary == Boundary::Lower { count } else { (count - 1).max(0) }
}

#[test]
fn search_by_time_agrees_with_a_linear_look() {
    for seed in seeds(5) {
        let _replay = Replay(seed, "search_by_time_agrees_with_a_linear_look");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let store = Store::open(sim.clone(), small_config("/store")).await.unwrap();
            let mut oracle = Oracle::default();
            for _ in 0..60 {
                oracle.fill(&sim, &store, usize::try_from(sim.random_u64() % 20).unwrap()).await;
                sim.sleep(Duration::from_millis(sim.random_u64() % 4)).await;
            }
            let (first, last) = (
                oracle.sent[0].at.store_timestamp_ms,
                oracle.sent.last().unwrap().at.store_timestamp_ms,
            );
            for time_ms in first - 2..last + 3 {
                for (boundary, queue_id) in [(Boundary::Lower, 0), (Boundary::Upper, 1)] {
                    let found =
                        store.offset_by_time("alpha", queue_id, time_ms, boundary).await.unwrap();
                    assert_eq!(
                        found.0,
                        naive(&oracle, "alpha", queue_id, time_ms, boundary),
                        "{boundary:?} {time_ms}"
                    );
                }
            }
            for sent in oracle.queue("beta", 2) {
                let stored = store.store_time_at("beta", 2, sent.at.queue_offset).await.unwrap();
                assert_eq!(stored, Some(sent.at.store_timestamp_ms));
            }
            assert_eq!(store.store_time_at("beta", 2, QueueOffset(-1)).await.unwrap(), None);
            assert_eq!(
                store.offset_by_time("none", 0, 5, Boundary::Lower).await.unwrap(),
                QueueOffset(0)
            );
            store.close().await.unwrap();
        });
    }
}
