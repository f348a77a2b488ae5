//! Four queues whose messages lie mixed in one log, much larger than every cache: what one reads
//! from disk serves the others, and nobody loses or doubles a message.

use crate::oracle::{Oracle, Replay, assert_record, request, seeds, small_config, split};
use engine::{QueueOffset, ReadRequest, ReadStatus, Store, StoreConfig, TagFilter};
use futures_util::future::join_all;
use rt::Runtime;
use rt::sim::Sim;
use std::time::Duration;

const QUEUES: i32 = 4;
/// Of the windows: 48 cells.
const CACHE_BYTES: usize = 768 * 1024;

fn config() -> StoreConfig {
    StoreConfig { cold_cache_bytes_max: CACHE_BYTES, ..small_config("/store") }
}

/// A store whose log is three times as large as the windows and on disk alone.
async fn filled(sim: &Sim, oracle: &mut Oracle) -> Store<Sim> {
    let store = Store::open(sim.clone(), config()).await.unwrap();
    while store.appended().0 < 3 * CACHE_BYTES as u64 {
        for queue_id in 0..QUEUES {
            let bytes = 200 + usize::try_from(sim.random_u64() % 600).unwrap();
            oracle.append_waiting(&store, ("mixed", queue_id), "red", bytes).await;
        }
    }
    store.close().await.unwrap();
    Store::open(sim.clone(), config()).await.unwrap()
}

/// One read of a queue from `offset` on, compared with what was sent; where it goes on.
async fn read(store: &Store<Sim>, oracle: &Oracle, queue_id: i32, offset: i64) -> i64 {
    let request = request("mixed", queue_id, offset, TagFilter::All);
    let request = ReadRequest { max_messages: 8, ..request }.to_owned();
    let found = store.read_cold(request).await.unwrap();
    assert_eq!(found.status, ReadStatus::Found, "{queue_id} at {offset}");
    let first = usize::try_from(offset).unwrap();
    let sent = oracle.queue("mixed", queue_id).skip(first);
    let records = split(&found.slices);
    assert_eq!(records.len(), found.messages);
    records.iter().zip(sent).for_each(|(record, sent)| assert_record(record, sent));
    found.next_begin_offset.0
}

fn end(store: &Store<Sim>, queue_id: i32) -> QueueOffset {
    store.queue_range("mixed", queue_id).unwrap().max_offset
}

fn device_bytes_a_byte(store: &Store<Sim>) -> f64 {
    store.cache_use().read_bytes as f64 / store.appended().0 as f64
}

#[test]
fn queues_read_in_turn_cost_the_device_the_log_once() {
    for seed in seeds(5) {
        let _replay = Replay(seed, "queues_read_in_turn_cost_the_device_the_log_once");
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut oracle = Oracle::default();
            let store = filled(&sim, &mut oracle).await;
            let mut places = [0; 4];
            while (0..QUEUES).zip(places).any(|(queue_id, at)| at < end(&store, queue_id).0) {
                for (queue_id, at) in (0..QUEUES).zip(&mut places) {
                    if *at < end(&store, queue_id).0 {
                        *at = read(&store, &oracle, queue_id, *at).await;
                    }
                }
            }
            let cost = device_bytes_a_byte(&store);
            assert!(cost < 1.1, "{cost} device bytes for each byte of the log");
            store.close().await.unwrap();
        });
    }
}

#[test]
fn queues_read_at_the_same_time_by_consumers_that_dawdle_cost_the_device_the_log_once() {
    for seed in seeds(5) {
        let _replay = Replay(
            seed,
            "queues_read_at_the_same_time_by_consumers_that_dawdle_cost_the_device_the_log_once",
        );
        let sim = Sim::new(seed);
        sim.block_on(async {
            let mut oracle = Oracle::default();
            let store = filled(&sim, &mut oracle).await;
            let readers = (0..QUEUES).map(|queue_id| {
                let (store, oracle, sim) = (&store, &oracle, &sim);
                async move {
                    let mut at = 0;
                    while at < end(store, queue_id).0 {
                        at = read(store, oracle, queue_id, at).await;
                        sim.sleep(Duration::from_micros(sim.random_u64() % 400)).await;
                    }
                }
            });
            join_all(readers).await;
            let cost = device_bytes_a_byte(&store);
            assert!(cost < 1.2, "{cost} device bytes for each byte of the log");
            store.close().await.unwrap();
        });
    }
}

#[test]
fn a_queue_alone_is_read_with_the_log_around_it_once() {
    let sim = Sim::new(7);
    sim.block_on(async {
        let mut oracle = Oracle::default();
        let store = filled(&sim, &mut oracle).await;
        let mut at = 0;
        while at < end(&store, 2).0 {
            at = read(&store, &oracle, 2, at).await;
        }
        let cost = device_bytes_a_byte(&store);
        assert!(cost < 1.1, "{cost} device bytes for each byte of the log");
        assert!(store.cache_use().cold_bytes <= CACHE_BYTES);
        store.close().await.unwrap();
    });
}
